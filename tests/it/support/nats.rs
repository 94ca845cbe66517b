//! A real nats-server with JetStream on the loopback, of one test alone: it dies and comes back as the test says, with its streams.

use super::server::eventually;
use async_nats::jetstream::{self, consumer, stream};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// A server, its directory and its port.
pub struct NatsServer {
    port: u16,
    directory: tempfile::TempDir,
    child: Option<Child>,
    /// How this test logs in.
    login: Login,
}

/// How a test logs in.
type Login = Box<dyn Fn(async_nats::ConnectOptions) -> async_nats::ConnectOptions>;

impl NatsServer {
    /// One that lets everybody in.
    pub fn start() -> Self {
        Self::start_with("", |options| options)
    }

    /// One with these lines in its configuration, and how the test itself logs in.
    pub fn start_with(configuration: &str, login: impl Fn(async_nats::ConnectOptions) -> async_nats::ConnectOptions + 'static) -> Self {
        let directory = tempfile::Builder::new().prefix("kubeops-nats").tempdir_in("/tmp").expect("a directory");
        let port = TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address").port();
        let store = directory.path().join("jetstream");
        let configuration = format!(
            "listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\", max_mem: 64MB, max_file: 256MB }}\n{configuration}\n",
            store.display()
        );
        std::fs::write(directory.path().join("nats.conf"), configuration).expect("written");
        let mut server = Self { port, directory, child: None, login: Box::new(login) };
        server.run();
        server
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// It ends at once, in the middle of whatever it does.
    pub fn dies(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().expect("reaped");
        }
    }

    /// It comes back with what it had on the disk.
    pub fn run(&mut self) {
        let log = std::fs::File::create(self.directory.path().join("log")).expect("a log");
        let mut command = Command::new("nats-server");
        command.arg("--config").arg(self.directory.path().join("nats.conf")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("nats-server; scripts/setup.sh test installs it"));
        eventually("nats-server listens", || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().expect("its state"));
            assert!(ended.is_none(), "nats-server ended: {}", std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default());
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    /// Makes a stream of these subjects.
    pub fn stream(&self, name: &str, subjects: &[&str]) {
        let config =
            stream::Config { name: name.to_owned(), subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(), ..Default::default() };
        self.at(async |context| drop(context.get_or_create_stream(config.clone()).await.expect("a stream")));
    }

    /// Whether it is of this version or a later one.
    pub fn is_at_least(&self, major: i64, minor: i64) -> bool {
        let mut is = false;
        let into = &mut is;
        self.at(async |context| *into = context.client().is_server_compatible(major, minor, 0));
        is
    }

    /// Publishes, and waits until the stream has it.
    pub fn publish(&self, subject: &str, headers: &[(&str, &str)], body: &[u8]) {
        self.publish_all(&[(subject.to_owned(), body.to_vec())], headers);
    }

    /// Publishes one after the other over one connection, all with these headers.
    pub fn publish_all(&self, messages: &[(String, Vec<u8>)], headers: &[(&str, &str)]) {
        self.at(async |context| {
            for (subject, body) in messages {
                let mut map = async_nats::HeaderMap::new();
                headers.iter().for_each(|(name, value)| map.insert(*name, *value));
                let told = context.publish_with_headers(subject.clone(), map, body.clone().into()).await.expect("published");
                told.await.expect("the stream has it");
            }
        });
    }

    /// How a consumer stands; none when there is none.
    pub fn consumer(&self, stream: &str, name: &str) -> Option<consumer::Info> {
        let mut found = None;
        let into = &mut found;
        self.at(async |context| {
            let got: Result<consumer::PullConsumer, _> = context.get_consumer_from_stream(name, stream).await;
            *into = got.ok().map(|consumer| consumer.cached_info().clone());
        });
        found
    }

    /// Waits until a consumer has nothing to deliver, and nothing that is not acknowledged.
    pub fn all_acknowledged(&self, stream: &str, name: &str) {
        eventually("every message is acknowledged", || {
            self.consumer(stream, name).filter(|info| info.num_pending == 0 && info.num_ack_pending == 0).map(drop)
        });
    }

    fn at(&self, work: impl AsyncFnOnce(jetstream::Context)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client = (self.login)(async_nats::ConnectOptions::new()).connect(self.url()).await.expect("a connection");
            work(jetstream::new(client)).await;
        });
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.dies();
        if std::thread::panicking() {
            eprintln!("--- what nats-server said\n{}---", std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default());
        }
    }
}
