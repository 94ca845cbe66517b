//! Two thousand connections that send a byte a second, or nothing, beside senders that are in a hurry: how long those wait.

use crate::Setting;
use crate::ingest::{MOST_A_SECOND, SOURCE, Sender};
use crate::load::Outcome;
use crate::report::{Reference, Report};
use crate::server::{self, Running, Scratch};
use anyhow::ensure;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Connections that are slow.
const SLOW: usize = 2_000;
/// Connections that are not.
const QUICK: usize = 16;
/// Between two bytes of a slow one.
const PAUSE: Duration = Duration::from_secs(1);

/// Measures `slow.p99_ms`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    rlimit::increase_nofile_limit(16 * 1024)?;
    let (rounds, time) = setting.effort.pick((4, Duration::from_millis(2_500)), (1, Duration::from_millis(500)));
    let sender = Sender::new(SOURCE, MOST_A_SECOND * usize::try_from((time * rounds * 2).as_secs() + 2)?, false)?;
    // A server and a store each: it sheds what is beyond so many that wait, and is not waited for here.
    let start = |name: &str| -> anyhow::Result<(Scratch, Running)> {
        let place = Scratch::new(setting, name)?;
        server::write_resources(&place)?;
        let kubeops = server::kubeops(setting, &place, false)?;
        sender.send(kubeops.address, QUICK, time / 4)?;
        Ok((place, kubeops))
    };
    let (_place, kubeops) = start("quick")?;
    let alone = (0..rounds).map(|_| sender.send(kubeops.address, QUICK, time)).collect::<anyhow::Result<Vec<_>>>()?;
    kubeops.end()?;

    let (_place, kubeops) = start("slow")?;
    let wanted = setting.effort.pick(SLOW, 100);
    let crowd = Crowd::gather(kubeops.address, wanted)?;
    let beside = (0..rounds).map(|_| sender.send(kubeops.address, QUICK, time)).collect::<anyhow::Result<Vec<_>>>()?;
    let (open, begun) = crowd.disperse();
    ensure!(open >= most_of(wanted), "{open} of {wanted} slow connections were open at the end, at least {} are wanted", most_of(wanted));

    let ((alone_rate, alone), (rate, beside)) = (Outcome::joined(alone), Outcome::joined(beside));
    report.figure("slow.p99_ms", beside.millis(99.0), "ms", Reference { value: alone.millis(99.0), what: "without them" })?;
    report.note(&format!(
        "{open} slow connections at the end, {begun} begun in all; others: {rate:.0}/s beside them, {alone_rate:.0}/s without, {}",
        beside.told()
    ));
    report.note(&format!("{:.1} MiB resident at most", kubeops.peak_rss_mib()?));
    kubeops.end()
}

/// So many of the slow ones are open at any time: the server ends those that take too long, and another takes the place.
fn most_of(count: usize) -> usize {
    count * 9 / 10
}

/// The slow ones.
struct Crowd {
    over: Arc<AtomicBool>,
    open: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<()>,
}

impl Crowd {
    /// Opens them all, and begins another whenever one was closed.
    fn gather(address: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let (over, open, begun): (Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let shared = (Arc::clone(&over), Arc::clone(&open), Arc::clone(&begun));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::spawn(move || {
            let (over, open, begun) = shared;
            runtime.block_on(async {
                for number in 0..count {
                    let (over, open, begun) = (Arc::clone(&over), Arc::clone(&open), Arc::clone(&begun));
                    tokio::spawn(async move {
                        while !over.load(Ordering::Relaxed) {
                            let Ok(stream) = TcpStream::connect(address).await else { continue };
                            begun.fetch_add(1, Ordering::Relaxed);
                            open.fetch_add(1, Ordering::Relaxed);
                            slowly(stream, number, &over).await;
                            open.fetch_sub(1, Ordering::Relaxed);
                        }
                    });
                }
                while !over.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        });
        for _ in 0..600 {
            if open.load(Ordering::Relaxed) >= most_of(count) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let there = open.load(Ordering::Relaxed);
        ensure!(there >= most_of(count), "{there} of {count} slow connections are open");
        Ok(Self { over, open, begun, thread })
    }

    /// Ends them; how many were open, and how many were begun in all.
    fn disperse(self) -> (usize, usize) {
        let counts = (self.open.load(Ordering::Relaxed), self.begun.load(Ordering::Relaxed));
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
        counts
    }
}

/// A third says nothing, a third never comes to the end of its head, a third not to that of its body; until the server has enough of it.
async fn slowly(mut stream: TcpStream, number: usize, over: &AtomicBool) {
    let head =
        format!("POST {SOURCE} HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\nX-Hub-Signature: sha256=00\r\nContent-Length: 60000\r\n");
    let (at_once, then) = match number % 3 {
        0 => (String::new(), ""),
        1 => (head, "X-Filler: "),
        _ => (format!("{head}\r\n"), "{\"filler\": \""),
    };
    if stream.write_all(at_once.as_bytes()).await.is_err() {
        return;
    }
    let mut bytes = then.bytes().chain(std::iter::repeat(b'a'));
    let mut answer = [0; 512];
    while !over.load(Ordering::Relaxed) {
        if tokio::time::timeout(PAUSE, stream.read(&mut answer)).await.is_ok() {
            // An answer before the end, or the end of the connection.
            return;
        }
        let next = bytes.next().unwrap_or(b'a');
        if !then.is_empty() && stream.write_all(&[next]).await.is_err() {
            return;
        }
    }
}
