//! A plain HTTP/1.1 server on the loopback, one thread per connection: enough for fakes, and free to misbehave
//! (cut bodies, dropped connections), which is why no web framework is used.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// The path, without the query.
    pub path: String,
    pub query: String,
    /// Lower-case names.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// How an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    Whole,
    /// The promised length is longer than what is sent before the connection ends.
    Truncated,
    /// The connection ends without an answer.
    Dropped,
    /// Whole, so many milliseconds later.
    Late(u64),
    /// No answer, and the connection stays open until the other side ends it.
    Silent,
}

#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub delivery: Delivery,
}

impl Answer {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type".to_owned(), content_type.to_owned())], body: body.into(), delivery: Delivery::Whole }
    }
}

/// When each of those who were given no answer went away.
type Abandoned = Arc<Mutex<Vec<Instant>>>;

/// A running server; it stops when it is dropped.
pub struct Loopback {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    abandoned: Abandoned,
    accept: Option<JoinHandle<()>>,
}

impl Loopback {
    pub fn serve(handler: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let abandoned = Abandoned::default();
        let (stopped, left, handler) = (Arc::clone(&stop), Arc::clone(&abandoned), Arc::new(handler));
        let accept = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (handler, left) = (Arc::clone(&handler), Arc::clone(&left));
                std::thread::spawn(move || drop(converse(stream, &*handler, &left)));
            }
        });
        Self { address, stop, abandoned, accept: Some(accept) }
    }

    /// When each of those who were given no answer ended its connection, which nobody here did.
    pub fn abandoned(&self) -> Vec<Instant> {
        self.abandoned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
        if let Some(accept) = self.accept.take() {
            let _ = accept.join();
        }
    }
}

/// One request per connection: the answer always says `connection: close`.
fn converse(stream: TcpStream, handler: &(dyn Fn(Request) -> Answer + Send + Sync), abandoned: &Abandoned) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let Some(request) = read_request(&mut reader, &stream)? else { return Ok(()) };
    let answer = handler(request);
    let mut stream = stream;
    if answer.delivery == Delivery::Silent {
        let waited_in_vain = |error: &std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        if !reader.read(&mut [0]).is_err_and(|error| waited_in_vain(&error)) {
            abandoned.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        }
        return Ok(());
    }
    if let Delivery::Late(millis) = answer.delivery {
        std::thread::sleep(Duration::from_millis(millis));
    }
    if answer.delivery == Delivery::Dropped {
        return stream.shutdown(Shutdown::Both);
    }
    let mut head = format!("HTTP/1.1 {} Answer\r\nconnection: close\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let sent = if answer.delivery == Delivery::Truncated { answer.body.len() / 2 } else { answer.body.len() };
    stream.write_all(head.as_bytes())?;
    stream.write_all(&answer.body[..sent])?;
    stream.flush()?;
    stream.shutdown(Shutdown::Write)
}

fn read_request(reader: &mut BufReader<TcpStream>, stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or("/").to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    if headers.get("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim().split(';').next().unwrap_or("0"), 16).map_err(std::io::Error::other)?;
            let start = body.len();
            body.resize(start + size, 0);
            reader.read_exact(&mut body[start..])?;
            let mut end = String::new();
            reader.read_line(&mut end)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = headers.get("content-length").and_then(|value| value.parse::<usize>().ok()) {
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Ok(Some(Request { method, path: path.to_owned(), query: query.to_owned(), headers, body }))
}
