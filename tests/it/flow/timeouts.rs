//! Clients that are idle or slow, under `KEEP_ALIVE` and `TIMEOUT`.

use crate::support::server::{PATIENCE, TestServer};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A connection on which bytes were sent.
fn sent(server: &TestServer, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.at().address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(bytes.as_bytes()).expect("sent");
    stream
}

/// Asks on a connection that stays, and reads the answer.
fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(br#"{"status":"ok"}"#) {
        assert_eq!(stream.read(&mut byte).expect("an answer"), 1, "it was closed: {}", String::from_utf8_lossy(&answer));
        answer.push(byte[0]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// What comes until the server closes, and how long that took.
fn until_closed(mut stream: TcpStream) -> (String, Duration) {
    let begun = Instant::now();
    let mut rest = Vec::new();
    // Closed with bytes unread, a connection may end in a reset.
    match stream.read_to_end(&mut rest) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the server closes it: {error}"),
    }
    (String::from_utf8_lossy(&rest).into_owned(), begun.elapsed())
}

#[test]
fn an_idle_connection_is_kept_for_as_long_as_keep_alive_says() {
    let mut server = TestServer::prepare();
    server.set("KEEP_ALIVE", "1").run();
    let mut stream = sent(&server, "");
    let first = ask(&mut stream);
    assert!(!first.to_ascii_lowercase().contains("connection: close"), "{first}");
    ask(&mut stream);
    let (rest, took) = until_closed(stream);
    assert_eq!(rest, "");
    assert!(took > Duration::from_millis(400) && took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn without_keep_alive_each_answer_is_the_last() {
    let mut server = TestServer::prepare();
    server.set("KEEP_ALIVE", "0").run();
    let mut stream = sent(&server, "");
    let answer = ask(&mut stream);
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    assert_eq!(until_closed(stream).0, "");
}

#[test]
fn a_client_that_is_slower_than_the_time_out_is_told_and_cut_off() {
    let mut server = TestServer::prepare();
    server.set("TIMEOUT", "1").run();
    let head = sent(&server, "GET /healthz HTTP/1.1\r\nhost: ");
    let body =
        sent(&server, "POST /api/v1/webhooks/service-desk HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{");
    for (what, stream) in [("headers", head), ("a body", body)] {
        let (answer, took) = until_closed(stream);
        assert!(answer.starts_with("HTTP/1.1 408"), "{what}: {answer}");
        // Without the setting it would be 10 s for headers and 30 s for a body.
        assert!(took < Duration::from_secs(8), "{what}: {took:?}");
    }
    // Who is quick is served as ever.
    assert_eq!(server.at().plain("/healthz").status, 200);
}
