//! The real program as a child process, on a directory, a repository and a port of its own: started, spoken to over plain
//! sockets, killed, started again on the same data. Everything it ever logged is kept, and shown when the test fails.

use super::upstream::{UpstreamRepo, fsck};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Far longer than it takes: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The ticket every story starts from: a namespace request that was just approved, as Jira Cloud sends it.
const TICKET: &str = include_str!("../../fixtures/ingress/jira-cloud-transitioned.json");
/// The URL in the shipped inventory.
const SHIPPED_URL: &str = "file:///srv/git/gitops.git";

/// Asks again and again, at growing intervals, until there is an answer.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(4);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "not within {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(200));
    }
}

/// An approved ticket asking for a namespace of this team's in production.
pub fn ticket(key: &str, team: &str) -> Value {
    let mut ticket: Value = serde_json::from_str(TICKET).expect("the fixture is JSON");
    ticket["issue"]["key"] = json!(key);
    ticket["issue"]["fields"]["customfield_10050"] = json!(team);
    ticket["changelog"]["id"] = json!(change_id(&[key, team]));
    ticket
}

/// The id of a change in an issue's history: another one for another change.
pub fn change_id(parts: &[&str]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(parts.join("/"));
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]).to_string()
}

/// What the server answered.
#[derive(Debug, Clone)]
pub struct Answered {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Answered {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }

    /// The delivery's id, of an answer that has one.
    pub fn id(&self) -> String {
        self.json()["id"].as_str().unwrap_or_else(|| panic!("an id in {}", self.text())).to_owned()
    }

    /// Status and word: `202 accepted`.
    pub fn word(&self) -> String {
        format!("{} {}", self.status, self.json()["status"].as_str().unwrap_or("-"))
    }
}

/// One HTTP/1.1 call on a connection of its own.
pub fn call(address: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answered> {
    call_within(PATIENCE, address, method, target, headers, body)
}

/// The same of a caller that waits no longer than this for each piece of the answer.
pub fn call_within(
    patience: Duration,
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answered> {
    call_slowly(Duration::ZERO, patience, address, method, target, headers, body)
}

/// The same of a caller whose last byte comes so much later than all others.
pub fn call_slowly(
    pause: Duration,
    patience: Duration,
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answered> {
    let mut stream = TcpStream::connect_timeout(&address, patience.min(Duration::from_secs(5)))?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    head.push_str("\r\n");
    // A server may answer and hang up before it has read everything: what it said counts.
    let (most, last) = body.split_at(if pause.is_zero() { body.len() } else { body.len().saturating_sub(1) });
    let mut written = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(most));
    if !last.is_empty() {
        std::thread::sleep(pause);
        written = written.and_then(|()| stream.write_all(last));
    }
    let mut raw = Vec::new();
    let read = stream.read_to_end(&mut raw);
    match parse(&raw) {
        Some(answered) => Ok(answered),
        None => Err(written.err().or(read.err()).unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into())),
    }
}

/// A whole answer; none when it was cut short.
fn parse(raw: &[u8]) -> Option<Answered> {
    let split = raw.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&raw[..split]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: BTreeMap<String, String> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let rest = &raw[split + 4..];
    let body = if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        unchunk(rest)?
    } else {
        let length: usize = headers.get("content-length").map_or(Some(0), |length| length.parse().ok())?;
        rest.get(..length)?.to_vec()
    };
    Some(Answered { status, headers, body })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 4 + size..)?;
    }
}

/// A way to speak to a running server: cheap to copy into threads.
#[derive(Clone)]
pub struct Connection {
    pub address: SocketAddr,
    token: String,
    jira: String,
    alertmanager: String,
}

impl Connection {
    /// Sends a delivery with these headers.
    pub fn deliver(&self, source: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answered> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        call(self.address, "POST", &format!("/api/v1/webhooks/{source}"), &all, body)
    }

    /// The signature Jira would send with this body.
    pub fn signature(&self, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.jira.as_bytes()).expect("a key");
        mac.update(body);
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    /// What Alertmanager shows.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.alertmanager)
    }

    /// Sends bytes signed as Jira signs them.
    pub fn jira(&self, body: &[u8]) -> std::io::Result<Answered> {
        self.deliver("service-desk", &[("x-hub-signature", &self.signature(body))], body)
    }

    /// Sends a ticket that must be answered.
    pub fn ticket(&self, ticket: &Value) -> Answered {
        self.jira(ticket.to_string().as_bytes()).expect("an answer")
    }

    /// Sends what Alertmanager would, with its token.
    pub fn alert(&self, payload: &Value) -> Answered {
        self.deliver("alertmanager", &[("authorization", &self.bearer())], payload.to_string().as_bytes()).expect("an answer")
    }

    /// Calls the API with the token.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Answered {
        let token = format!("Bearer {}", self.token);
        let body = body.map(Value::to_string).unwrap_or_default();
        let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
        call(self.address, method, &format!("/api/v1{path}"), &headers, body.as_bytes()).expect("an answer of the API")
    }

    /// What the API shows at a path.
    pub fn get(&self, path: &str) -> Value {
        let answered = self.api("GET", path, None);
        assert_eq!(answered.status, 200, "{path}: {}", answered.text());
        answered.json()
    }

    /// Every item of a listing.
    pub fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.get(&format!("{path}?limit=500{after}"));
            items.extend(page["items"].as_array().expect("items").iter().cloned());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return items,
            }
        }
    }

    /// The requests with this correlation key, newest first.
    pub fn requests_of(&self, key: &str) -> Vec<Value> {
        self.all("/requests").into_iter().filter(|request| request["correlation"] == key).collect()
    }

    /// Waits until the newest request with this key is in a state, and shows it with everything about it.
    pub fn settled(&self, key: &str, state: &str) -> Value {
        let mut last = Value::Null;
        let id = eventually(&format!("the request of {key} is {state}"), || {
            last = self.requests_of(key).into_iter().next()?;
            (last["state"] == state).then(|| last["id"].as_str().map(str::to_owned))?
        });
        self.get(&format!("/requests/{id}"))
    }

    /// Waits until every delivery is read and no task waits but for its hour. `/status` remembers for a second: it may not know yet what
    /// was just told.
    pub fn nothing_owed(&self) {
        let is_owed = |task: &Value| ["waiting", "leased"].contains(&task["state"].as_str().unwrap_or_default()) && task["kind"] != "clock";
        eventually("nothing is owed", || {
            let read = self.all("/deliveries").iter().all(|delivery| delivery["state"] != "pending");
            let requests = || self.all("/requests").into_iter().filter_map(|request| request["id"].as_str().map(str::to_owned));
            let done = |id: String| !self.get(&format!("/requests/{id}"))["tasks"].as_array().is_some_and(|tasks| tasks.iter().any(is_owed));
            (read && requests().all(done)).then_some(())
        });
    }

    /// What a path outside the API answers.
    pub fn plain(&self, path: &str) -> Answered {
        call(self.address, "GET", path, &[], b"").expect("an answer")
    }

    /// A metric's value, summed over the lines that hold all of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = self.plain("/metrics").text();
        let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && labels.iter().all(|l| line.contains(l));
        text.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// A child, and the threads that read what it says.
struct Process {
    child: Child,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Waits until it listens. It does not come to that when it ends before.
    fn listens(&mut self, heard: &mpsc::Receiver<SocketAddr>) -> Result<SocketAddr, mpsc::RecvTimeoutError> {
        let begun = Instant::now();
        loop {
            // What it started may outlive it, and keep open what it said.
            let has_ended = self.child.try_wait().expect("its state").is_some();
            match heard.recv_timeout(Duration::from_millis(20)) {
                Err(mpsc::RecvTimeoutError::Timeout) if has_ended => return Err(mpsc::RecvTimeoutError::Disconnected),
                Err(mpsc::RecvTimeoutError::Timeout) if begun.elapsed() < PATIENCE => {}
                address => return address,
            }
        }
    }
}

/// Another process beside a [`TestServer`], which does not listen yet. It ends with this.
pub struct Starting<'s> {
    server: &'s TestServer,
    process: Option<Process>,
    heard: mpsc::Receiver<SocketAddr>,
}

impl Starting<'_> {
    /// The process.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").child.id()
    }

    /// Waits until it listens; none when it ends before.
    pub fn listens(mut self) -> Option<Replica> {
        match self.process.as_mut()?.listens(&self.heard) {
            Ok(address) => Some(Replica { process: self.process.take(), connection: self.server.connection_to(address) }),
            Err(error) => {
                assert_eq!(error, mpsc::RecvTimeoutError::Disconnected, "it neither listens nor ends: {}", self.server.log());
                None
            }
        }
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

/// Another process beside a [`TestServer`], whose log it shares.
pub struct Replica {
    process: Option<Process>,
    connection: Connection,
}

impl Replica {
    /// It, to be spoken to.
    pub fn at(&self) -> &Connection {
        &self.connection
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").child.id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        signal(self.process.as_ref().expect("it runs"), name);
    }

    /// How it ended, if it has by itself.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.as_mut()?.child.try_wait().expect("its state")
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.child.kill();
            process.child.wait().expect("reaped");
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}

fn signal(process: &Process, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.child.id().to_string()]).status().expect("kill");
    assert!(sent.success(), "the signal was sent");
}

/// A server with everything it needs.
pub struct TestServer {
    directory: tempfile::TempDir,
    pub upstream: UpstreamRepo,
    environment: BTreeMap<String, String>,
    process: Option<Process>,
    connection: Option<Connection>,
    token: String,
    jira: String,
    alertmanager: String,
    log: Arc<Mutex<String>>,
    /// The file that is started.
    program: PathBuf,
}

impl TestServer {
    /// Directory, repository, resources and secrets, with nothing running yet.
    pub fn prepare() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let upstream = UpstreamRepo::new();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir(path("resources")).expect("resources");
        std::fs::create_dir(path("secrets")).expect("secrets");
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/config/resources")).expect("the shipped resources") {
            let file = entry.expect("an entry").path();
            let text = std::fs::read_to_string(&file).expect("a resource file");
            let text = text.replace(SHIPPED_URL, &format!("file://{}", upstream.path().display()));
            std::fs::write(path("resources").join(file.file_name().expect("a name")), text).expect("written");
        }
        let text = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
        let environment = [
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("HOME", text(path("home"))),
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", "0".to_owned()),
            ("PUBLIC_URL", "http://kubeops.test".to_owned()),
            ("DATA_DIR", text(path("data"))),
            ("RESOURCES_DIR", text(path("resources"))),
            ("SECRET_PROVIDER", format!("file:{}", text(path("secrets")))),
            ("ENABLE_METRICS", "true".to_owned()),
            ("GRACEFUL_TIMEOUT", "20".to_owned()),
            // What a test writes to the upstream is there at once; what is believed for a while has stories of its own.
            ("FETCH_MAX_AGE_SECONDS", "0".to_owned()),
            ("LOG_LEVEL", "INFO".to_owned()),
        ];
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let secret = || hex::encode(kubeops::app::new_key());
        let server = Self {
            directory,
            upstream,
            environment,
            process: None,
            connection: None,
            token: String::new(),
            jira: secret(),
            alertmanager: secret(),
            log: Arc::default(),
            program: PathBuf::from(env!("CARGO_BIN_EXE_kubeops")),
        };
        server.secret("JIRA_WEBHOOK_SECRET", &server.jira);
        server.secret("ALERTMANAGER_TOKEN", &server.alertmanager);
        server
    }

    /// A running server.
    pub fn start() -> Self {
        let mut server = Self::prepare();
        server.run();
        server
    }

    /// Sets a variable of its environment; an empty value unsets it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Puts a secret where the server looks for it.
    pub fn secret(&self, name: &str, value: &str) {
        std::fs::write(self.place("secrets").join(name), value).expect("a secret");
    }

    /// The secrets of the two sources and the API token.
    pub fn secrets(&self) -> [&str; 3] {
        [&self.jira, &self.alertmanager, &self.token]
    }

    /// The token Alertmanager shows.
    pub fn alertmanager_token(&self) -> &str {
        &self.alertmanager
    }

    /// A path in the server's own directory.
    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        PathBuf::from(&self.environment["DATA_DIR"])
    }

    /// Reads a resource file, lets it be changed, and writes it back in one step, as an editor does.
    pub fn edit_resource(&self, file: &str, edit: impl FnOnce(String) -> String) {
        let path = self.place("resources").join(file);
        let beside = self.place(&format!("{file}.new"));
        std::fs::write(&beside, edit(std::fs::read_to_string(&path).unwrap_or_default())).expect("written");
        std::fs::rename(beside, path).expect("put in place");
    }

    /// Everything the server said so far, over all its lives.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().current_dir(self.directory.path());
        command.envs(self.environment.iter().filter(|(_, value)| !value.is_empty()));
        command
    }

    /// Starts the server, waits until it listens, and makes a token when there is none yet.
    pub fn run(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let (process, address) = self.serve(self.command(&["serve"]));
        self.process = Some(process);
        if self.token.is_empty() {
            let made = self.cli(&["token", "create", "--name", "flow", "--role", "admin"]);
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            self.token = String::from_utf8(made.stdout).expect("UTF-8").trim().to_owned();
        }
        self.connection = Some(self.connection_to(address));
    }

    /// Starts another process of the same settings with a data directory of its own: a replica, where the store is shared.
    pub fn replica(&self, name: &str) -> Replica {
        let mut command = self.command(&["serve"]);
        command.env("DATA_DIR", self.place(name));
        let (process, address) = self.serve(command);
        Replica { process: Some(process), connection: self.connection_to(address) }
    }

    /// The same on a data directory that stands anywhere, with these further variables, which nobody waits for yet.
    pub fn starting(&self, data: &Path, environment: &[(&str, &str)]) -> Starting<'_> {
        let mut command = self.command(&["serve"]);
        command.env("DATA_DIR", data).envs(environment.iter().copied());
        let (process, heard) = self.spawn(command);
        Starting { server: self, process: Some(process), heard }
    }

    /// What it leaves on the disk stays there when it is dropped; tells where that is, of the server and of the repository.
    pub fn keep(&mut self) -> [PathBuf; 2] {
        self.directory.disable_cleanup(true);
        [self.directory.path().to_path_buf(), self.upstream.keep()]
    }

    fn connection_to(&self, address: SocketAddr) -> Connection {
        Connection { address, token: self.token.clone(), jira: self.jira.clone(), alertmanager: self.alertmanager.clone() }
    }

    /// Starts a server and waits until it listens.
    fn serve(&self, command: Command) -> (Process, SocketAddr) {
        let (mut process, heard) = self.spawn(command);
        let address = process.listens(&heard);
        if address.is_err() {
            let _ = process.child.kill();
        }
        (process, address.unwrap_or_else(|_| panic!("the server does not listen: {}", self.log())))
    }

    /// Starts a server; it is heard where it listens, if it comes to that.
    fn spawn(&self, mut command: Command) -> (Process, mpsc::Receiver<SocketAddr>) {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
        let (listening, heard) = mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] = [Box::new(child.stdout.take().expect("stdout")), Box::new(child.stderr.take().expect("stderr"))];
        let readers = streams.into_iter().map(|stream| {
            let (log, listening) = (Arc::clone(&self.log), listening.clone());
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if let Some(address) = line.strip_prefix("kubeops: listening on http://").and_then(|address| address.parse::<SocketAddr>().ok()) {
                        let _ = listening.send(address);
                    }
                    let mut log = log.lock().expect("the log");
                    log.push_str(&line);
                    log.push('\n');
                }
            })
        });
        (Process { child, readers: readers.collect() }, heard)
    }

    /// Starts a server that is expected to give up by itself, and tells what it said.
    pub fn run_refused(&self) -> Output {
        let mut child = self.command(&["serve"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program");
        let ended = ended_within(&mut child, PATIENCE);
        if ended.is_none() {
            let _ = child.kill();
        }
        let output = child.wait_with_output().expect("it ended");
        assert!(ended.is_some(), "the server did not refuse to start: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Runs a command of the program beside the server, with the server's address and the token.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        command.env_remove("KUBEOPS_FAILPOINT").env("KUBEOPS_TOKEN", &self.token);
        if let Some(connection) = &self.connection {
            command.env("KUBEOPS_SERVER", format!("http://{}", connection.address));
        }
        command.output().expect("the program")
    }

    /// Starts a command of the program that nobody waits for.
    pub fn begins(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program")
    }

    /// Runs a command of the program that dies at a point.
    pub fn cli_dying_at(&self, point: &str, arguments: &[&str]) -> Output {
        self.command(arguments).env("KUBEOPS_FAILPOINT", point).output().expect("the program")
    }

    /// The process that runs.
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("it runs").child.id()
    }

    /// The running server, to be spoken to.
    pub fn at(&self) -> &Connection {
        self.connection.as_ref().expect("it was started")
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        signal(self.process.as_ref().expect("it runs"), name);
    }

    /// How much of the running server's memory is resident.
    pub fn resident_mib(&self) -> f64 {
        let id = self.process.as_ref().expect("it runs").child.id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches("kB").trim().parse::<f64>().expect("a number") / 1024.0
    }

    /// A copy of the program for this server alone, which is started from now on; tells where it is.
    pub fn own_program(&mut self) -> PathBuf {
        self.program = self.place("kubeops");
        std::fs::copy(env!("CARGO_BIN_EXE_kubeops"), &self.program).expect("a copy");
        self.program.clone()
    }

    /// Loses everything a stopped server kept, its tokens with it.
    pub fn lose_data(&mut self) {
        assert!(self.process.is_none(), "it runs");
        std::fs::remove_dir_all(self.data()).expect("the data");
        self.token.clear();
    }

    /// `kill -9`, and whatever was left of its output.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.child.kill().expect("killed");
        process.child.wait().expect("reaped");
        process.readers.into_iter().for_each(|reader| reader.join().expect("a reader"));
    }

    /// Asks it to end and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Waits until it ends by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("it runs");
        let Some(status) = ended_within(&mut process.child, PATIENCE) else {
            self.process = Some(process);
            panic!("the server did not end within {} s", PATIENCE.as_secs());
        };
        process.readers.into_iter().for_each(|reader| reader.join().expect("a reader"));
        status
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.child.try_wait().expect("its state").is_some())
    }
}

fn ended_within(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        match child.try_wait().expect("its state") {
            Some(status) => return Some(status),
            None if begun.elapsed() > patience => return None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- what the server said\n{}---", self.log.lock().map(|log| log.clone()).unwrap_or_default());
            return;
        }
        // However it ended, git finds nothing to complain of in a mirror that is whole; of the repository its own end says so.
        let mirrors = std::fs::read_dir(self.data().join("mirrors")).into_iter().flatten().flatten().map(|entry| entry.path());
        mirrors.filter(|path| path.join("kubeops-mirror").exists()).for_each(|path| fsck(&path));
    }
}

/// The files below a directory that hold one of these texts.
pub fn files_with(directory: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, texts));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).expect("a file");
            if texts.iter().any(|text| bytes.windows(text.len()).any(|window| window == text.as_bytes())) {
                found.push(path);
            }
        }
    }
    found
}
