//! A load generator: connections that stay open, each sending its next delivery when the last was answered.
//! It does as little as it can, because it runs on the cores it measures.

use crate::deliveries::Deliveries;
use crate::report::Sorted;
use anyhow::{Context, bail};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Threads that send.
const THREADS: usize = 2;

/// What came of sending for a while.
pub struct Outcome {
    /// Deliveries answered 202.
    pub answered: usize,
    /// From the first sent to the last answered.
    pub took: Duration,
    /// How long each answer took.
    pub latencies: Vec<Duration>,
}

impl Outcome {
    /// Deliveries a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }

    /// The rate and the latencies of several as one.
    pub fn joined(outcomes: Vec<Outcome>) -> (f64, Sorted) {
        let answered: usize = outcomes.iter().map(|outcome| outcome.answered).sum();
        let took: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
        let latencies = outcomes.into_iter().flat_map(|outcome| outcome.latencies).collect();
        (answered as f64 / took.as_secs_f64(), Sorted::new(latencies))
    }
}

/// Sends deliveries from `next` on over `connections` for `time`. A server that keeps nothing may get them again: then
/// `repeat` begins anew where they end; else sending ends with them.
///
/// # Errors
/// Any answer but 202, and any connection that breaks.
pub fn run(
    address: SocketAddr,
    deliveries: &Arc<Deliveries>,
    next: &Arc<AtomicUsize>,
    repeat: bool,
    connections: usize,
    time: Duration,
) -> anyhow::Result<Outcome> {
    let begun = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| (connections + thread) / THREADS)
        .filter(|share| *share > 0)
        .map(|share| {
            let (deliveries, next, over) = (Arc::clone(deliveries), Arc::clone(next), Arc::clone(&over));
            std::thread::spawn(move || thread(address, &deliveries, &next, repeat, share, &over))
        })
        .collect();
    std::thread::sleep(time);
    over.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    for thread in threads {
        match thread.join() {
            Ok(more) => latencies.extend(more?),
            Err(_) => bail!("a sending thread broke"),
        }
    }
    Ok(Outcome { answered: latencies.len(), took: begun.elapsed(), latencies })
}

fn thread(
    address: SocketAddr,
    deliveries: &Arc<Deliveries>,
    next: &Arc<AtomicUsize>,
    repeat: bool,
    connections: usize,
    over: &Arc<AtomicBool>,
) -> anyhow::Result<Vec<Duration>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let tasks: Vec<_> = (0..connections)
            .map(|_| tokio::task::spawn_local(connection(address, Arc::clone(deliveries), Arc::clone(next), repeat, Arc::clone(over))))
            .collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await??);
        }
        Ok(latencies)
    })
}

async fn connection(
    address: SocketAddr,
    deliveries: Arc<Deliveries>,
    next: Arc<AtomicUsize>,
    repeat: bool,
    over: Arc<AtomicBool>,
) -> anyhow::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(address).await.context("no connection")?;
    stream.set_nodelay(true)?;
    let mut request = deliveries.buffer();
    let mut answer = Vec::with_capacity(4096);
    let mut latencies = Vec::with_capacity(16 * 1024);
    while !over.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let number = if repeat { number % deliveries.len() } else { number };
        if number >= deliveries.len() {
            break;
        }
        deliveries.write(number, &mut request);
        let begun = Instant::now();
        stream.write_all(&request).await?;
        read_answer(&mut stream, &mut answer).await?;
        latencies.push(begun.elapsed());
        if !answer.starts_with(b"HTTP/1.1 202") {
            bail!("a delivery was answered: {}", String::from_utf8_lossy(&answer));
        }
    }
    Ok(latencies)
}

/// Reads one whole answer.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<()> {
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 {
            bail!("the connection was closed in the middle of an answer");
        }
        if whole(answer)?.is_some_and(|length| answer.len() >= length) {
            return Ok(());
        }
    }
}

/// The length of the answer that begins here, once its head is complete.
fn whole(answer: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end])?;
    let length = head.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = length.context("an answer without a length")?;
    Ok(Some(end + 4 + length.trim().parse::<usize>()?))
}
