//! The server on a real socket: what needs a connection to be seen.

use super::world::*;
use kubeops::api::{Bound, Listen, ServeError, ServeOptions, Server, serve};
use kubeops::telemetry::{AccessLog, LogFormat};
use std::io::Read;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

fn serve_at(listen: &Listen, world: &World) -> Result<Server, ServeError> {
    let options = ServeOptions {
        workers: 1,
        keep_alive: Duration::from_secs(5),
        head_timeout: Duration::from_secs(1),
        graceful_timeout: Duration::from_secs(5),
    };
    serve(Bound::to(listen)?, &options, world.state.clone())
}

fn start(world: &World) -> (Server, SocketAddr) {
    let server = serve_at(&Listen::Tcp { host: "127.0.0.1".to_owned(), port: 0 }, world).expect("a server");
    let address = server.addresses()[0];
    (server, address)
}

/// Sends `bytes` and reads until the server closes.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("sent");
    read_all(&mut stream).await
}

async fn read_all(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut answer = Vec::new();
    // A server that closes with bytes unread may reset the connection after its answer; one that never closes fails the test.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[actix_web::test]
async fn a_chunked_body_nobody_reads_does_not_hold_the_connection() {
    let world = World::with(Wishes { body_timeout: Duration::from_millis(100), ..Wishes::default() });
    let (server, address) = start(&world);
    let authorised = format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", operator());
    let asking = "POST /api/v1/automations/a/requests";
    for (line, headers, status) in [
        ("GET /healthz", "", "200"),
        ("POST /nowhere", "", "404"),
        ("POST /healthz", "", "405"),
        (asking, "", "401"),
        (asking, authorised.as_str(), "408"),
        ("POST /api/v1/webhooks/service-desk", "", "408"),
    ] {
        let answer =
            exchange(address, format!("{line} HTTP/1.1\r\nhost: x\r\n{headers}transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n").as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {answer}");
    }
    server.stop(false).await;
}

#[actix_web::test]
async fn a_body_that_grows_too_large_is_refused_before_it_ends() {
    let world = World::new();
    let (server, address) = start(&world);
    let announced = exchange(address, b"POST /api/v1/webhooks/tiny HTTP/1.1\r\nhost: x\r\ncontent-length: 17\r\n\r\n").await;
    assert!(announced.starts_with("HTTP/1.1 413"), "{announced}");
    let chunked = b"POST /api/v1/webhooks/tiny HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n8\r\n01234567\r\n9\r\n012345678\r\n";
    let chunked = exchange(address, chunked).await;
    assert!(
        chunked.starts_with("HTTP/1.1 413") && chunked.contains("\"code\":\"too_large\"") && chunked.contains("strict-transport-security"),
        "{chunked}"
    );
    assert!(world.receiver.seen.lock().expect("a lock").is_empty());
    server.stop(false).await;
}

#[actix_web::test]
async fn a_body_in_pieces_arrives_whole() {
    let world = World::new();
    let (server, address) = start(&world);
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream
        .write_all(b"POST /api/v1/webhooks/service-desk HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 60000\r\n\r\n")
        .await
        .expect("sent");
    for piece in 0..6u8 {
        stream.write_all(&[b'a' + piece; 10_000]).await.expect("sent");
        stream.flush().await.expect("sent");
        tokio::task::yield_now().await;
    }
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 202"));
    let seen = world.receiver.seen.lock().expect("a lock").clone();
    let expected: Vec<u8> = (0..6u8).flat_map(|piece| [b'a' + piece; 10_000]).collect();
    assert!(seen[0].body == expected);
    server.stop(true).await;
}

#[actix_web::test]
async fn a_slow_body_and_slow_headers_time_out() {
    let world = World::with(Wishes { body_timeout: Duration::from_millis(100), ..Wishes::default() });
    let (server, address) = start(&world);
    let body = exchange(address, b"POST /api/v1/webhooks/service-desk HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{").await;
    assert!(body.starts_with("HTTP/1.1 408") && body.contains("\"code\":\"too_slow\""), "{body}");
    let head = exchange(address, b"POST /api/v1/webhooks/service-desk HTT").await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(world.receiver.seen.lock().expect("a lock").is_empty());
    server.stop(false).await;
}

#[actix_web::test]
async fn a_unix_socket_serves_replaces_a_stale_one_and_is_taken_away() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("kubeops.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a stale socket"));
    let world = World::new();
    let server = serve_at(&Listen::Unix(path.clone()), &world).expect("a server");
    assert!(server.addresses().is_empty());
    let mut stream = UnixStream::connect(&path).await.expect("a connection");
    let delivery = b"POST /api/v1/webhooks/service-desk HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-forwarded-for: 198.51.100.7\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(delivery).await.expect("sent");
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 202"));
    assert_eq!(world.receiver.seen.lock().expect("a lock")[0].client, "198.51.100.7".parse().ok());
    let taken = serve_at(&Listen::Unix(path.clone()), &world).expect_err("somebody listens there");
    assert!(taken.to_string().contains("kubeops.sock"), "{taken}");
    server.stop(true).await;
    assert!(!path.exists());
    std::fs::write(&path, "not a socket").expect("a file");
    assert!(serve_at(&Listen::Unix(path.clone()), &world).is_err());
    assert!(path.exists(), "a file that is no socket is left alone");
}

#[actix_web::test]
async fn head_is_answered_as_get_is_without_the_body() {
    let world = World::new();
    let (server, address) = start(&world);
    for (path, status) in [
        ("/healthz", 200),
        ("/ready", 200),
        ("/", 307),
        ("/api/v1/docs", 307),
        ("/api/v1/docs/", 200),
        ("/api/v1/docs/openapi.json", 200),
        ("/no", 404),
    ] {
        let ask =
            async |method: &str| exchange(address, format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await;
        let (get, head) = (ask("GET").await, ask("HEAD").await);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        assert!(head.ends_with("\r\n\r\n") && head.matches("\r\n\r\n").count() == 1, "{path} has no body: {head}");
        let length = |answer: &str| answer.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if status != 404 {
            assert_eq!(length(&head), length(&get), "{path}");
        }
    }
    let refused = exchange(address, b"HEAD /api/v1/requests HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    server.stop(false).await;
}

#[actix_web::test]
async fn an_address_that_is_taken_is_named() {
    let world = World::new();
    let (server, address) = start(&world);
    let again = Listen::Tcp { host: "127.0.0.1".to_owned(), port: address.port() };
    let error = serve_at(&again, &world).expect_err("the port is taken");
    assert!(error.to_string().starts_with(&format!("cannot listen on 127.0.0.1:{}", address.port())), "{error}");
    server.stop(false).await;
}

#[actix_web::test]
async fn a_graceful_stop_answers_what_is_in_flight() {
    let world = World::new();
    let (server, address) = start(&world);
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream
        .write_all(b"POST /api/v1/webhooks/service-desk HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
        .await
        .expect("sent");
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).await.expect("the server has begun to read the body");
    let stopping = tokio::spawn(server.stop(true));
    tokio::task::yield_now().await;
    stream.write_all(b"{}").await.expect("sent");
    assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 202"));
    stopping.await.expect("stopped");
    assert!(TcpStream::connect(address).await.is_err());
}

#[actix_web::test]
async fn the_access_log_has_a_line_per_request_and_no_query() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let log = AccessLog::start(Box::new(file.reopen().expect("the file again")), LogFormat::Json).expect("a thread");
    let world = World::with(Wishes { access_log: Some(log.clone()), ..Wishes::default() });
    world.get("/api/v1/sources").await;
    world.call(actix_web::test::TestRequest::post().uri("/api/v1/webhooks/service-desk?token=hunter2").set_payload("{}")).await;
    world.call(actix_web::test::TestRequest::default().method(actix_web::http::Method::HEAD).uri("/healthz")).await;
    log.flush();
    let mut text = String::new();
    file.read_to_string(&mut text).expect("lines");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        (lines[0]["path"].as_str(), lines[0]["status"].as_u64(), lines[0]["actor"].as_str()),
        (Some("/api/v1/sources"), Some(200), Some("a viewer"))
    );
    assert_eq!((lines[1]["path"].as_str(), lines[1]["status"].as_u64()), (Some("/api/v1/webhooks/service-desk"), Some(202)));
    assert_eq!((lines[2]["method"].as_str(), lines[2]["status"].as_u64()), (Some("HEAD"), Some(200)));
    assert!(!text.contains("hunter2") && !text.contains("kops_"));
}

#[actix_web::test]
async fn more_bodies_at_once_than_there_is_room_for_are_shed_and_small_ones_get_through() {
    let world = World::with(Wishes { body_timeout: Duration::from_secs(60), ..Wishes::default() });
    let (server, address) = start(&world);
    let begun = |length: usize| format!("POST /api/v1/webhooks/big HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    // Each sends all of a large body but its last byte: 64 MiB may be held.
    let (length, mut slow) = (1024 * 1024, Vec::new());
    for _ in 0..64 * 1024 * 1024 / length {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(begun(length).as_bytes()).await.expect("sent");
        stream.write_all(&vec![b' '; length - 1]).await.expect("sent");
        slow.push(stream);
    }
    let large = [begun(64 * 1024 + 1).into_bytes(), vec![b' '; 64 * 1024 + 1]].concat();
    let mut answer = String::new();
    for _ in 0..5000 {
        // What was sent may not all have been read yet.
        answer = exchange(address, &large).await;
        if !answer.starts_with("HTTP/1.1 202") {
            break;
        }
    }
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("\"code\":\"busy\"") && answer.to_lowercase().contains("retry-after: 5"),
        "{answer}"
    );
    let small = [begun(2).into_bytes(), b"{}".to_vec()].concat();
    assert!(exchange(address, &small).await.starts_with("HTTP/1.1 202"), "a small one gets through");
    // Those that go on get through as well, and then there is room again.
    for mut stream in slow {
        stream.write_all(b" ").await.expect("sent");
        assert!(read_all(&mut stream).await.starts_with("HTTP/1.1 202"));
    }
    assert!(exchange(address, &large).await.starts_with("HTTP/1.1 202"));
    server.stop(true).await;
}
