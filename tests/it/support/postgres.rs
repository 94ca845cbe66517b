//! A real PostgreSQL on the loopback, one for all tests of the process, and a database of its own for each.
//! It never syncs: a test that cuts the power starts its own, which does. Which version it is, `KUBEOPS_TEST_POSTGRES` may say: the directory of
//! another one, with `bin/initdb` and `bin/postgres`.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A database, empty.
pub struct Database {
    port: u16,
    name: String,
    address: String,
}

struct Cluster {
    port: u16,
}

impl Database {
    /// Makes one; the first call starts the server.
    pub async fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let port = tokio::task::spawn_blocking(|| cluster().port).await.expect("a server");
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        psql(port, "postgres", &format!("CREATE DATABASE {name}")).await;
        Self { port, address: format!("postgres://kubeops@127.0.0.1:{port}/{name}"), name }
    }

    /// What a statement gives, as text.
    pub async fn psql(&self, sql: &str) -> String {
        psql(self.port, &self.name, sql).await
    }

    /// Where it is, as `STORE_URL` has it.
    pub fn address(&self) -> &str {
        &self.address
    }
}

async fn psql(port: u16, database: &str, sql: &str) -> String {
    let told = tokio::process::Command::new(client("psql"))
        .args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "-h", "127.0.0.1", "-U", "kubeops", "-d", database, "-c", sql])
        .env("PGPORT", port.to_string())
        .output()
        .await
        .expect("psql");
    assert!(told.status.success(), "{sql}: {}", String::from_utf8_lossy(&told.stderr));
    String::from_utf8_lossy(&told.stdout).trim().to_owned()
}

/// A program of the newest PostgreSQL that is installed: Debian has them beside one another, and not in `PATH`.
fn client(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok()));
    versions.iter().rev().map(|version| version.join("bin").join(name)).find(|path| path.exists()).unwrap_or_else(|| PathBuf::from(name))
}

/// The server's own programs. Those that are asked for stand where the user they run as may not come by, so they are copied.
struct Programs(Option<PathBuf>);

impl Programs {
    /// Copied below this directory where others are asked for than those that are installed.
    fn beside(directory: &Path) -> Self {
        Self(std::env::var_os("KUBEOPS_TEST_POSTGRES").map(|asked| {
            let own = directory.join("programs");
            let copied = Command::new("cp").args(["--recursive", "--preserve=links,mode"]).arg(&asked).arg(&own).status().expect("cp");
            assert!(copied.success(), "KUBEOPS_TEST_POSTGRES is {}", asked.display());
            own
        }))
    }

    fn get(&self, name: &str) -> PathBuf {
        self.0.as_ref().map_or_else(|| client(name), |own| own.join("bin").join(name))
    }
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let (sender, receiver) = std::sync::mpsc::channel();
        // The server gets a signal when the thread that started it ends, which this one does with the process.
        std::thread::spawn(move || {
            let (cluster, mut server) = start();
            sender.send(cluster).expect("somebody waits");
            server.wait().expect("reaped");
        });
        receiver.recv().expect("a server")
    })
}

fn start() -> (Cluster, Child) {
    let directory = tempfile::Builder::new().prefix("kubeops-postgres").tempdir_in("/tmp").expect("a directory").keep();
    let programs = Programs::beside(&directory);
    let data = initialised(&directory, &programs, &[]);
    let port = free_port();
    // What it leaves behind goes with it.
    let mut server = as_its_user(Path::new("sh"));
    server.args([
        "-c",
        r#"directory=$1; shift; "$@" & server=$!; trap "kill -INT $server" TERM; wait $server; wait $server; rm -rf "$directory""#,
        "sh",
    ]);
    server.arg(&directory).arg(programs.get("postgres"));
    let child = listening(server, &directory, &data, port, Keeps::Nothing).expect("a server");
    (Cluster { port }, child)
}

/// What a server does for what it acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// It is on the disk.
    All,
    /// It is on the disk a moment later: what it runs with sees to that.
    Late,
    /// Nothing is ever synced.
    Nothing,
}

/// A PostgreSQL of one test alone, which dies and comes back as the test says.
pub struct OwnServer {
    port: u16,
    place: PathBuf,
    keeps: Keeps,
    /// Where the data stands on no disk of the test's.
    directory: Option<tempfile::TempDir>,
    programs: Programs,
    _beside: tempfile::TempDir,
    settings: Vec<String>,
    /// What is loaded before the C library.
    preloaded: Option<PathBuf>,
    child: Option<Child>,
}

impl OwnServer {
    /// It ends with the thread that starts it, at the latest.
    pub fn start() -> Self {
        let mut server = Self::prepare(&[]);
        server.run();
        server
    }

    /// One that does not run yet, made with these words for `initdb`.
    pub fn prepare(words: &[String]) -> Self {
        let directory = tempfile::Builder::new().prefix("kubeops-postgres").tempdir_in("/tmp").expect("a directory");
        let mut server = Self::made(directory.path().to_path_buf(), words, Keeps::Nothing);
        server.directory = Some(directory);
        server
    }

    /// One that runs in a directory of the test's, with a library loaded before the C library or without. It is not synced yet.
    pub fn at(place: PathBuf, keeps: Keeps, preloaded: Option<PathBuf>) -> Self {
        std::fs::create_dir_all(&place).expect("a directory");
        let mut server = Self::made(place, &[], keeps);
        server.preloaded = preloaded;
        // The disk of a test is small.
        server.set(&["max_wal_size=64MB"]).run();
        server
    }

    fn made(place: PathBuf, words: &[String], keeps: Keeps) -> Self {
        let server = Self::of(place, keeps);
        initialised(&server.place, &server.programs, words);
        server
    }

    fn of(place: PathBuf, keeps: Keeps) -> Self {
        // The disk of a test has no room for it.
        let beside = tempfile::Builder::new().prefix("kubeops-postgres").tempdir_in("/tmp").expect("a directory");
        give(beside.path());
        let programs = Programs::beside(beside.path());
        Self { port: free_port(), place, keeps, directory: None, programs, _beside: beside, settings: Vec::new(), preloaded: None, child: None }
    }

    /// A standby of this one, which follows it from now on over that address. It takes no writes until it is promoted.
    pub fn standby(&self, over: std::net::SocketAddr) -> Self {
        let directory = tempfile::Builder::new().prefix("kubeops-postgres").tempdir_in("/tmp").expect("a directory");
        give(directory.path());
        let mut copied = as_its_user(&client("pg_basebackup"));
        copied.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-U", "kubeops", "-h", "127.0.0.1", "-p", &over.port().to_string()]);
        let copied = copied.arg("-D").arg(directory.path().join("data")).output().expect("pg_basebackup");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let mut standby = Self::of(directory.path().to_path_buf(), Keeps::Nothing);
        standby.directory = Some(directory);
        standby.run();
        standby
    }

    /// The process that started all others.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Settings it runs with from its next start on: `name=value`.
    pub fn set(&mut self, settings: &[&str]) -> &mut Self {
        self.settings.extend(settings.iter().map(|setting| (*setting).to_owned()));
        self
    }

    /// Who may come in, and how: the lines of `pg_hba.conf`. Over its socket anybody may.
    pub fn let_in(&self, lines: &str) {
        let file = self.place.join("data/pg_hba.conf");
        std::fs::write(file, format!("local all all trust\n{lines}\n")).expect("written");
    }

    /// What a statement gives, as text; asked over its socket.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let mut asked = Command::new(client("psql"));
        asked.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "-U", "kubeops", "-d", database, "-c", sql]);
        let told = asked.arg("-h").arg(&self.place).env("PGPORT", self.port.to_string()).output().expect("psql");
        assert!(told.status.success(), "{sql}: {}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8_lossy(&told.stdout).trim().to_owned()
    }

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// What it leaves on the disk stays there.
    pub fn keep(&mut self) {
        self.directory.iter_mut().for_each(|directory| directory.disable_cleanup(true));
    }

    /// All its processes die at once, in the middle of whatever they do, as with `pg_ctl stop -m immediate`.
    pub fn dies(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill").args(["-QUIT", &child.id().to_string()]).status();
            child.wait().expect("reaped");
        }
    }

    /// It comes back, and recovers from its log.
    pub fn run(&mut self) {
        self.recovers().unwrap_or_else(|error| panic!("{error}"));
    }

    /// The same of one that may find its data in pieces.
    ///
    /// # Errors
    /// What it says when it does not come to serve.
    pub fn recovers(&mut self) -> Result<(), String> {
        let mut server = as_its_user(&self.programs.get("postgres"));
        server.args(self.settings.iter().flat_map(|setting| ["-c", setting.as_str()]));
        server.envs(self.preloaded.iter().map(|library| ("LD_PRELOAD", library)));
        self.child = Some(listening(server, &self.place, &self.place.join("data"), self.port, self.keeps)?);
        Ok(())
    }

    /// Whether every table and every index is whole, as `pg_amcheck` sees it.
    ///
    /// # Errors
    /// What is not.
    pub fn is_whole(&self) -> Result<(), String> {
        let port = self.port.to_string();
        let mut command = Command::new(client("pg_amcheck"));
        // Its functions stand where they are no other program's tables.
        command.args(["--install-missing=pg_catalog", "--heapallindexed", "-h", "127.0.0.1", "-p", &port, "-U", "kubeops", "-d", "postgres"]);
        let checked = command.output().expect("pg_amcheck");
        if checked.status.success() {
            Ok(())
        } else {
            Err(format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr)))
        }
    }

    /// It serves again, by itself or because somebody starts it once it has ended.
    pub fn comes_back(&mut self) {
        let until = Instant::now() + Duration::from_secs(60);
        while !serves(self.port) {
            if self.child.as_mut().is_none_or(|child| child.try_wait().expect("its state").is_some()) {
                return self.run();
            }
            assert!(Instant::now() < until, "PostgreSQL neither serves nor ends");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.dies();
    }
}

/// Makes a path PostgreSQL's own, where that runs as another user.
pub fn give(path: &Path) {
    if is_root() {
        let owned = Command::new("chown").arg("postgres").arg(path).status().expect("chown");
        assert!(owned.success(), "{} has another owner", path.display());
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address").port()
}

/// A directory of data of a new server, below this one.
fn initialised(directory: &Path, programs: &Programs, words: &[String]) -> PathBuf {
    let data = directory.join("data");
    give(directory);
    let mut made = as_its_user(&programs.get("initdb"));
    made.args(["--username=kubeops", "--auth=trust", "--no-sync", "--data-checksums", "--encoding=UTF8", "--locale=C.UTF-8"]);
    made.args(words).arg("-D").arg(&data);
    let made = made.stdout(Stdio::null()).output().expect("initdb");
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    data
}

/// Starts a server with this command, and waits until it listens. Else tells what it said.
fn listening(mut server: Command, directory: &Path, data: &Path, port: u16, keeps: Keeps) -> Result<Child, String> {
    let log = directory.join("log");
    let fsync = if keeps == Keeps::Nothing { "fsync=off" } else { "fsync=on" };
    server.arg("-D").arg(data).args(["-c", "listen_addresses=127.0.0.1", "-c", fsync, "-c", "max_connections=400"]);
    server.arg("-c").arg(format!("port={port}")).arg("-c").arg(format!("unix_socket_directories={}", directory.display()));
    server.stdout(Stdio::null()).stderr(std::fs::File::create(&log).expect("a log")).process_group(0);
    let mut child = server.spawn().expect("postgres");
    let until = Instant::now() + Duration::from_secs(30);
    while !serves(port) {
        let has_ended = child.try_wait().expect("its state").is_some();
        if has_ended || Instant::now() > until {
            let _ = child.kill();
            child.wait().expect("reaped");
            return Err(format!("PostgreSQL did not start: {}", std::fs::read_to_string(&log).unwrap_or_default()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(child)
}

/// Whether statements are taken. Connections are so before that, and each is told that the server is starting up.
fn serves(port: u16) -> bool {
    let asked = Command::new(client("pg_isready")).args(["--quiet", "-h", "127.0.0.1", "-p", &port.to_string()]).status();
    asked.expect("pg_isready").success()
}

/// PostgreSQL refuses to run as root; as root it is run as the user that its package made. It ends with whoever started it.
fn as_its_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]);
    if is_root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
    }
    command.arg(program);
    command
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
