//! A bare GitOps repository made with the real `git` command, on disk or behind a real `git http-backend`.

use super::loopback::{Answer, Loopback, Request};
use base64::Engine as _;
use kubeops::git::{CommitMeta, Identity, Mirror};
use kubeops::plan::{BaseTree, ChangeSet, FileChange};
use kubeops::types::{CommitSha, DirectoryPath, EventId, RequestId, Timestamp};
use kubeops::validate::{KubernetesVersion, Rules, UnknownKinds, ValidatedChange, validate};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// The files every upstream starts with: two clusters, a base with an overlay, an executable script and a link.
const SEED: &[(&str, &str)] = &[
    ("README.md", "# GitOps\n"),
    ("clusters/prod/namespaces/payments.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: payments\n"),
    ("clusters/prod/kustomization.yaml", "resources:\n  - namespaces/payments.yaml\n"),
    ("clusters/staging/namespaces/payments.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: payments\n"),
    ("clusters/staging/quota/payments.yaml", "apiVersion: v1\nkind: ResourceQuota\nmetadata:\n  name: quota\n  namespace: payments\n"),
];

pub struct UpstreamRepo {
    directory: tempfile::TempDir,
    path: PathBuf,
}

/// Whatever a test did, `git fsck --strict` finds nothing in the end.
impl Drop for UpstreamRepo {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.path.join("HEAD").exists() {
            self.fsck();
        }
    }
}

impl UpstreamRepo {
    /// A repository with [`SEED`] on `main`.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("upstream.git");
        let path_text = path.to_str().expect("UTF-8");
        run(directory.path(), &["init", "--quiet", "--bare", "--initial-branch=main", path_text]);
        let upstream = Self { directory, path };
        let mut stream = String::from("commit refs/heads/main\ncommitter Seed <seed@example.com> 1700000000 +0000\ndata 4\nseed\n");
        for (path, content) in SEED {
            stream.push_str(&format!("M 100644 inline {path}\ndata {}\n{content}\n", content.len()));
        }
        stream.push_str("M 100755 inline scripts/apply.yaml\ndata 13\nkind: Script\n\nM 120000 inline clusters/current\ndata 4\nprod\n");
        upstream.fast_import(&stream);
        upstream
    }

    /// Feeds `git fast-import`.
    pub fn fast_import(&self, stream: &str) {
        let mut child = command(&self.path, &["fast-import", "--quiet", "--force"]).stdin(Stdio::piped()).spawn().expect("git fast-import");
        child.stdin.take().expect("stdin").write_all(stream.as_bytes()).expect("written");
        assert!(child.wait().expect("git ends").success());
    }

    /// Commits one file on a branch, as a person would who pushed it; tells the commit.
    pub fn write(&self, branch: &str, path: &str, content: &str) -> CommitSha {
        let from = self.tip(branch).map_or_else(String::new, |tip| format!("from {tip}\n"));
        self.fast_import(&format!(
            "commit refs/heads/{branch}\ncommitter Person <person@example.com> 1700000100 +0000\ndata 6\nperson\n{from}M 100644 inline {path}\ndata {}\n{content}\n",
            content.len()
        ));
        self.tip(branch).expect("the branch exists")
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It stays on the disk when this is dropped; tells where.
    pub fn keep(&mut self) -> PathBuf {
        self.directory.disable_cleanup(true);
        self.path.clone()
    }

    /// A directory beside the repository, gone with it.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn tip(&self, branch: &str) -> Option<CommitSha> {
        let output = command(&self.path, &["rev-parse", "--verify", "--quiet", &format!("refs/heads/{branch}")]).output().expect("git");
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    }

    /// Merges a commit into a branch, as the forge does for a person; tells the merge commit, or nothing where it does not fit.
    pub fn merge(&self, head: &str, branch: &str, pull: u64) -> Option<String> {
        let base = self.tip(branch)?.to_string();
        let merged = command(&self.path, &["merge-tree", "--write-tree", &base, head]).output().expect("git");
        let tree = merged.status.success().then(|| String::from_utf8_lossy(&merged.stdout).trim().to_owned())?;
        let words = format!("Merge pull request #{pull}");
        let made = command(&self.path, &["commit-tree", &tree, "-p", &base, "-p", head, "-m", &words])
            .envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com")])
            .envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.com")])
            .output()
            .expect("git");
        assert!(made.status.success(), "git commit-tree: {}", said(&made));
        let commit = String::from_utf8_lossy(&made.stdout).trim().to_owned();
        self.git(&["update-ref", &format!("refs/heads/{branch}"), &commit, &base]);
        Some(commit)
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        run(&self.path, arguments)
    }

    pub fn log(&self) -> String {
        self.git(&["log", "--all", "--format=%H %s"])
    }

    pub fn show(&self, path: &str, revision: &str) -> String {
        self.git(&["show", &format!("{revision}:{path}")])
    }

    /// `git fsck --strict` finds nothing.
    pub fn fsck(&self) {
        fsck(&self.path);
    }

    /// A hook that refuses pushes with a word, and leaves a trace when it is run.
    pub fn install_hook(&self, name: &str, script: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let hooks = self.path.join("hooks");
        std::fs::create_dir_all(&hooks).expect("hooks");
        let hook = hooks.join(name);
        std::fs::write(&hook, format!("#!/bin/sh\n{script}\n")).expect("a hook");
        std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).expect("executable");
        hook
    }

    /// The repository over HTTP; `token` is then the password every request must show, with the user `bot`.
    pub fn serve(&self, token: Option<&str>) -> HttpUpstream {
        self.serve_watched(token, |_| {})
    }

    /// The same; `watch` sees every request that is let in before it is answered, and may hold it up.
    pub fn serve_watched(&self, token: Option<&str>, watch: impl Fn(&Request) + Send + Sync + 'static) -> HttpUpstream {
        let expected = token.map(str::to_owned);
        let doorkeeper = move |shown: Option<(&str, &str)>| match (&expected, shown) {
            (None, _) => true,
            (Some(token), Some((user, password))) => user == "bot" && password == token,
            (Some(_), None) => false,
        };
        self.serve_with(doorkeeper, watch)
    }

    /// The repository over HTTP for whom `doorkeeper` lets in, by the user and password that were shown.
    pub fn serve_to(&self, doorkeeper: impl Fn(Option<(&str, &str)>) -> bool + Send + Sync + 'static) -> HttpUpstream {
        self.serve_with(doorkeeper, |_| {})
    }

    fn serve_with(
        &self,
        doorkeeper: impl Fn(Option<(&str, &str)>) -> bool + Send + Sync + 'static,
        watch: impl Fn(&Request) + Send + Sync + 'static,
    ) -> HttpUpstream {
        self.git(&["config", "http.receivepack", "true"]);
        let root = self.directory.path().to_path_buf();
        let refusal: Arc<Mutex<Option<Refusal>>> = Arc::default();
        let refused = Arc::clone(&refusal);
        let server = Loopback::serve(move |request| {
            let shown = request.headers.get("authorization").and_then(|shown| shown.strip_prefix("Basic "));
            let shown = shown.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
            let shown = shown.and_then(|bytes| String::from_utf8(bytes).ok());
            if !doorkeeper(shown.as_deref().and_then(|text| text.split_once(':'))) {
                let mut answer = Answer::new(401, "text/plain", "who are you?");
                answer.headers.push(("www-authenticate".to_owned(), "Basic realm=\"git\"".to_owned()));
                return answer;
            }
            watch(&request);
            let refused = refused.lock().expect("the refusal").clone().and_then(|refusal| refusal.answer(&request));
            refused.unwrap_or_else(|| http_backend(&root, &request))
        });
        HttpUpstream { url: format!("{}/upstream.git", server.url()), refusal, _server: server }
    }
}

pub struct HttpUpstream {
    pub url: String,
    refusal: Arc<Mutex<Option<Refusal>>>,
    _server: Loopback,
}

/// What a host of repositories refuses to those it let in.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// 403 to every push, with these words: nothing is to be written here.
    Pushes(&'static str),
    /// 403 to everything.
    Everything,
    /// 404: hidden from this token, or gone.
    Hidden,
    /// 301 to the repository's other name.
    LedTo(&'static str),
}

impl Refusal {
    /// None where the request is let through.
    fn answer(&self, request: &Request) -> Option<Answer> {
        let pushes = request.path.ends_with("/git-receive-pack") || request.query.contains("service=git-receive-pack");
        Some(match self {
            Self::Pushes(words) if pushes => Answer::new(403, "text/plain", *words),
            Self::Pushes(_) => return None,
            Self::Everything => Answer::new(403, "text/plain", "Forbidden"),
            Self::Hidden => Answer::new(404, "text/plain", "Repository not found."),
            Self::LedTo(name) => {
                let mut answer = Answer::new(301, "text/plain", "Moved Permanently");
                let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
                answer
                    .headers
                    .push(("location".to_owned(), format!("{}{query}", request.path.replacen("/upstream.git", &format!("/{name}.git"), 1))));
                answer
            }
        })
    }
}

impl HttpUpstream {
    /// From now on this is refused, or nothing any more.
    pub fn refuse(&self, refusal: Option<Refusal>) {
        *self.refusal.lock().expect("the refusal") = refusal;
    }
}

/// One CGI call (RFC 3875) of `git http-backend`.
fn http_backend(root: &Path, request: &Request) -> Answer {
    let mut child = bare_command("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", &request.path)
        .env("QUERY_STRING", &request.query)
        .env("REQUEST_METHOD", &request.method)
        .env("CONTENT_TYPE", request.headers.get("content-type").map_or("", String::as_str))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", request.headers.get("content-encoding").map_or("", String::as_str))
        .env("GIT_PROTOCOL", request.headers.get("git-protocol").map_or("", String::as_str))
        .env("REMOTE_USER", "bot")
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git http-backend");
    let mut input = child.stdin.take().expect("stdin");
    let body = request.body.clone();
    let writer = std::thread::spawn(move || drop(input.write_all(&body)));
    let output = child.wait_with_output().expect("git http-backend ends").stdout;
    let _ = writer.join();
    let split = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..split]).into_owned();
    let mut answer = Answer {
        status: 200,
        headers: Vec::new(),
        body: output[(split + 4).min(output.len())..].to_vec(),
        delivery: super::loopback::Delivery::Whole,
    };
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        if name.eq_ignore_ascii_case("status") {
            answer.status = value.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(500);
        } else {
            answer.headers.push((name.to_owned(), value.to_owned()));
        }
    }
    answer
}

/// `git fsck --strict` on a bare repository. Of a partial one nothing may be missing but what was promised.
pub fn fsck(path: &Path) {
    let damage = damage(path);
    assert!(damage.is_none(), "git fsck: {}", damage.unwrap_or_default());
}

/// What `git fsck` finds to be wrong with a repository.
pub fn damage(path: &Path) -> Option<String> {
    let packs = std::fs::read_dir(path.join("objects/pack")).into_iter().flatten().flatten();
    let partial = packs.into_iter().any(|entry| entry.path().extension().is_some_and(|ending| ending == "promisor"));
    let promised = ["-c", "remote.upstream.promisor=true", "-c", "remote.upstream.partialclonefilter=blob:none"];
    let arguments = promised.iter().take(if partial { 4 } else { 0 }).chain(&["fsck", "--strict", "--full", "--no-dangling"]);
    let output = command(path, &arguments.copied().collect::<Vec<_>>()).env("GIT_NO_LAZY_FETCH", "1").output().expect("git fsck");
    (!output.status.success()).then(|| said(&output))
}

/// Runs git in a directory and tells what it printed; fails the test when git fails.
pub fn run(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments).output().expect("git");
    assert!(output.status.success(), "git {arguments:?}: {}", said(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The real git, deaf to the machine's configuration.
pub fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = bare_command("git");
    command.current_dir(directory).args(arguments);
    command
}

fn bare_command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// A change that passed the gate: paths with their new content, or none to remove the file.
pub fn validated(mirror: &Arc<Mirror>, base: &CommitSha, files: &[(&str, Option<&str>)]) -> ValidatedChange {
    validated_on(&mirror.snapshot(base).expect("a snapshot"), files)
}

/// The same on any tree.
pub fn validated_on(base: &dyn BaseTree, files: &[(&str, Option<&str>)]) -> ValidatedChange {
    let mut change = ChangeSet { files: BTreeMap::new(), templates: BTreeMap::from([("config".to_owned(), "ab".repeat(32))]), notes: Vec::new() };
    for (path, content) in files {
        let file = content.map_or(FileChange::Remove, |content| FileChange::Write(content.as_bytes().to_vec()));
        change.files.insert(path.parse().expect("a manifest path"), file);
    }
    let rules = Rules::new(KubernetesVersion::default(), DirectoryPath::root(), UnknownKinds::Allow);
    validate(change, base, &rules).expect("a valid change")
}

/// A ConfigMap whose content tells `value`.
pub fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\n  namespace: payments\ndata:\n  value: \"{value}\"\n")
}

pub fn meta(subject: &str) -> CommitMeta {
    let identity = Identity::new("KubeOps", "kubeops@example.com").expect("an identity");
    let time = Timestamp::from_unix_millis(1_760_000_000_123);
    CommitMeta {
        author: identity.clone(),
        committer: identity,
        time,
        subject: subject.to_owned(),
        body: String::new(),
        request: RequestId::from_parts(time, 1),
        automation: "namespace-request".parse().expect("a name"),
        event: EventId::from_parts(time, 2),
        drafted: None,
        co_authors: Vec::new(),
        signed_off_by: false,
        signing: None,
    }
}
