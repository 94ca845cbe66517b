//! A home directory, resources and a bare repository of a test's own; the program in it, and a server when one is needed.

use crate::support::upstream::UpstreamRepo;
use assert_cmd::Command;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_kubeops");
/// What the portal signs with.
pub const SECRET: &str = "a-secret-of-the-portal-that-is-long-enough";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// One source, one cluster, and two automations: for volumes, which are approved, and for quotas.
const RESOURCES: &str = r#"apiVersion: kubeops.dev/v1alpha1
kind: Source
metadata: { name: portal }
spec:
  kind: generic
  authentication:
    hmac: { secrets: [PORTAL_SECRET] }
  mapping:
    id: body.ticket
    type: "'volume.requested'"
    subject: body.ticket
---
apiVersion: kubeops.dev/v1alpha1
kind: Automation
metadata: { name: volume }
spec:
  on: { source: portal, types: [volume.requested] }
  when: event.data.approved == true && event.data.size != "none"
  parameters:
    name: { from: event.data.name, schema: { type: string, pattern: "^[a-z][a-z0-9-]{1,40}$" } }
    namespace: { from: event.data.namespace, default: payments, schema: { type: string } }
    size: { from: event.data.size, schema: { type: string, enum: [10Gi, 50Gi] } }
  target: { cluster: prod }
  render:
    - template: persistent-volume-claim
      path: "volumes/{{ parameters.name }}.yaml"
  pullRequest:
    title: "Volume {{ parameters.name }} ({{ event.subject }})"
---
apiVersion: kubeops.dev/v1alpha1
kind: Cluster
metadata: { name: prod }
spec: { repository: gitops, path: clusters/prod }
"#;

/// A place for the program to run in.
pub struct World {
    pub upstream: UpstreamRepo,
    directory: tempfile::TempDir,
}

impl World {
    pub fn new() -> Self {
        let world = Self { upstream: UpstreamRepo::new(), directory: tempfile::tempdir().expect("a temporary directory") };
        for name in ["home", "resources"] {
            std::fs::create_dir(world.path(name)).expect("a directory");
        }
        world.write("resources/portal.yaml", RESOURCES);
        let repository = format!(
            "apiVersion: kubeops.dev/v1alpha1\nkind: Repository\nmetadata: {{ name: gitops }}\nspec: {{ url: {} }}\n",
            world.upstream.path().display()
        );
        world.write("resources/gitops.yaml", &repository);
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// The environment of every command: nothing of the machine's but where programs are.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let text = |name: &str| self.path(name).display().to_string();
        vec![
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("HOME", text("home")),
            ("RESOURCES_DIR", text("resources")),
            ("DATA_DIR", text("data")),
            ("PORTAL_SECRET", SECRET.to_owned()),
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", "0".to_owned()),
            ("GRACEFUL_TIMEOUT", "10".to_owned()),
        ]
    }

    /// The program with these arguments, in the directory of this world.
    pub fn kubeops(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_clear().envs(self.environment()).current_dir(self.directory.path()).args(arguments).timeout(PATIENCE);
        command
    }

    /// Runs it and tells exit code, standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.kubeops(arguments))
    }

    /// A token of this role, made beside the store.
    pub fn token(&self, role: &str) -> String {
        self.run(&["token", "create", "--name", role, "--role", role]).ok().trim().to_owned()
    }

    /// The server of this world, listening.
    pub fn serve(&self) -> Server<'_> {
        self.serve_with(&[])
    }

    /// The same with further settings.
    pub fn serve_with(&self, settings: &[(&str, &str)]) -> Server<'_> {
        let mut child = std::process::Command::new(PROGRAM)
            .env_clear()
            .envs(self.environment())
            .envs(settings.iter().copied())
            .current_dir(self.directory.path())
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut log = BufReader::new(child.stderr.take().expect("standard error"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("a line") > 0, "the server ended: {said}");
            if let Some((_, address)) = line.trim_end().split_once("listening on http://") {
                break address.to_owned();
            }
            said.push_str(&line);
        };
        // Somebody has to read on, or the server would block on a full pipe.
        let said = Arc::new(Mutex::new(said));
        let into = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                into.lock().expect("a lock").push_str(&format!("{line}\n"));
            }
        });
        let mut server = Server { world: self, child, address, token: String::new(), said };
        server.token = self.token("admin");
        server
    }
}

/// A server that ends with the test.
pub struct Server<'w> {
    pub world: &'w World,
    child: Child,
    pub address: String,
    /// An admin's.
    pub token: String,
    said: Arc<Mutex<String>>,
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server<'_> {
    /// What it wrote to standard error so far.
    pub fn log(&self) -> String {
        self.said.lock().expect("a lock").clone()
    }

    /// The first line of the log with this text, as soon as it was read.
    pub fn logs(&self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(line) = self.log().lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "no {text} in {}", self.log());
            std::thread::yield_now();
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A command that talks to this server.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.world.kubeops(arguments);
        Ran::of(command.env("KUBEOPS_SERVER", self.url()).env("KUBEOPS_TOKEN", &self.token))
    }

    /// What a command prints as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--output", "json"];
        all.extend(arguments);
        serde_json::from_str(&self.run(&all).ok()).expect("JSON")
    }

    /// Sends `body` as the portal does and tells status and answer.
    pub fn deliver(&self, body: &Value) -> (u16, Value) {
        self.deliver_signed(body, SECRET)
    }

    /// The same, signed with another secret.
    pub fn deliver_signed(&self, body: &Value, secret: &str) -> (u16, Value) {
        let body = body.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
        mac.update(body.as_bytes());
        let head = format!(
            "POST /api/v1/webhooks/portal HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nX-Signature: sha256={}\r\nContent-Length: {}\r\n\r\n",
            hex::encode(mac.finalize().into_bytes()),
            body.len()
        );
        let mut stream = TcpStream::connect(&self.address).expect("connected");
        stream.write_all(format!("{head}{body}").as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        (head[9..12].parse().expect("a status"), serde_json::from_str(body).expect("JSON"))
    }

    /// Waits until a request about `correlation` is in this state, and tells it.
    pub fn until(&self, correlation: &str, state: &str) -> Value {
        let begun = Instant::now();
        loop {
            let page = self.json(&["requests", "list", "--correlation", correlation]);
            let found = page["items"].as_array().into_iter().flatten().find(|request| request["state"] == state);
            if let Some(request) = found {
                return request.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "{correlation} is not {state}: {page}");
        }
    }
}

/// What a ticket asks for.
pub fn ticket(id: &str, name: &str) -> Value {
    json!({ "ticket": id, "approved": true, "name": name, "size": "50Gi" })
}

/// What a command came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub error: String,
}

impl Ran {
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the program runs");
        Self {
            code: output.status.code().expect("an exit code"),
            out: String::from_utf8(output.stdout).expect("UTF-8"),
            error: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Standard output of a command that has to succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.error);
        self.out
    }

    /// Asserts the exit code, and tells everything that was printed.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.error);
        assert!(!self.error.contains("panicked"), "{}", self.error);
        format!("{}{}", self.out, self.error)
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.error))
    }
}

/// The root of the project.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
