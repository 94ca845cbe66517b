//! A PostgreSQL of the measurement's own, on the disk that is measured, with its defaults: it syncs each commit.

use crate::report::number;
use crate::server::{self, Running, Scratch};
use anyhow::{Context, bail, ensure};
use sqlx::{Connection as _, PgConnection};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Whether a transaction has the lock of the one writer: its class is "KOps" in ASCII.
const HELD: &str = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = x'4b4f7073'::int AND objid = 1 AND granted)";
const LOOKS_EVERY: Duration = Duration::from_millis(5);

/// A server, and one database in it.
pub struct Postgres {
    server: Running,
    directory: PathBuf,
}

impl Postgres {
    /// Makes one in `place` and starts it with its defaults, except where `settings` (`name=value`) say otherwise.
    pub fn start(place: &Scratch, settings: &[&str]) -> anyhow::Result<Self> {
        let directory = place.join("postgres");
        let data = directory.join("data");
        std::fs::create_dir_all(&directory)?;
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&directory))?;
        }
        let mut made = as_its_user(&program("initdb"));
        made.args(["--username=kubeops", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--pgdata"]).arg(&data);
        run(&mut made)
            .with_context(|| format!("a directory of PostgreSQL cannot be made in {}; scripts/setup.sh bench installs it", directory.display()))?;
        let address = server::free_address()?;
        let mut command = as_its_user(&program("postgres"));
        command.arg("-D").arg(&data).args(["-c", "listen_addresses=127.0.0.1", "-c", "synchronous_commit=on", "-c", "max_wal_size=4GB"]);
        command.arg("-c").arg(format!("port={}", address.port())).arg("-c").arg(format!("unix_socket_directories={}", directory.display()));
        command.args(settings.iter().flat_map(|setting| ["-c", setting]));
        let server = Running::start(command, address, None, &place.join("postgres.log"))?;
        let postgres = Self { server, directory };
        // It listens before it takes statements.
        let begun = std::time::Instant::now();
        while postgres.psql("SELECT 1").is_err() {
            ensure!(begun.elapsed() < Duration::from_secs(30), "PostgreSQL takes no statement");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(postgres)
    }

    /// What `STORE_URL` says of it.
    pub fn url(&self) -> String {
        format!("postgres://kubeops@127.0.0.1:{}/postgres", self.server.address.port())
    }

    /// What statements give, as text.
    pub fn psql(&self, sql: &str) -> anyhow::Result<String> {
        let mut command = Command::new(program("psql"));
        command.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1", "--command", sql]);
        command.args(self.place());
        Ok(run(&mut command)?.trim().to_owned())
    }

    /// Transactions a second of a script that so many clients run for a while.
    pub fn pgbench(&self, script: &Path, clients: usize, time: Duration) -> anyhow::Result<f64> {
        let mut command = Command::new(program("pgbench"));
        command.args(["--no-vacuum", "--client", &clients.to_string(), "--jobs", &clients.min(2).to_string()]);
        // It knows whole seconds.
        command.args(["--time", &time.as_secs().max(1).to_string(), "--file"]).arg(script).args(self.place());
        let told = run(&mut command)?;
        let rate = told.lines().find_map(|line| line.strip_prefix("tps = ")).context("pgbench told no rate")?;
        Ok(rate.split(' ').next().unwrap_or_default().parse()?)
    }

    /// The processor time of all its processes.
    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        self.server.processor_time()
    }

    /// Begins to look how much of the time somebody holds the lock of the one writer: what no number of processes does at once.
    pub fn watch_writer(&self) -> anyhow::Result<Watch> {
        let (over, url) = (Arc::new(AtomicBool::new(false)), self.url());
        let (until, runtime) = (Arc::clone(&over), tokio::runtime::Builder::new_current_thread().enable_all().build()?);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&url).await?;
                let (mut held, mut looks) = (0_u32, 0_u32);
                while !until.load(Ordering::Relaxed) {
                    let look = sqlx::query_scalar(HELD).fetch_one(&mut connection);
                    let is_held: bool = look.await?;
                    held += u32::from(is_held);
                    looks += 1;
                    tokio::time::sleep(LOOKS_EVERY).await;
                }
                Ok(f64::from(held) / f64::from(looks.max(1)))
            })
        });
        Ok(Watch { over, thread })
    }

    fn place(&self) -> [String; 7] {
        let port = self.server.address.port().to_string();
        ["--host", "127.0.0.1", "--port", &port, "--username", "kubeops", "postgres"].map(str::to_owned)
    }

    /// Ends it, and removes what it kept.
    pub fn end(self) -> anyhow::Result<()> {
        // Fast: it ends the sessions that are still there.
        self.server.interrupt()?;
        Ok(std::fs::remove_dir_all(&self.directory)?)
    }
}

/// Looks at a lock; see [`Postgres::watch_writer`].
pub struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<f64>>,
}

impl Watch {
    /// The share of the looks that found it held.
    pub fn end(self) -> anyhow::Result<f64> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| bail!("the watch broke"))
    }
}

/// Processor time for people, of so many.
pub fn each(spent: Duration, count: f64) -> String {
    let micros = spent.as_secs_f64() * 1e6 / count;
    if micros < 1000.0 { format!("{} µs", number(micros)) } else { format!("{} ms", number(micros / 1000.0)) }
}

/// What a command says.
fn run(command: &mut Command) -> anyhow::Result<String> {
    let told = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(told.status.success(), "{command:?}: {}", String::from_utf8_lossy(&told.stderr));
    Ok(String::from_utf8_lossy(&told.stdout).into_owned())
}

/// The program of the newest PostgreSQL that is installed: Debian has them beside one another, and not in `PATH`.
fn program(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<u32>().ok()));
    versions.iter().rev().map(|version| version.join("bin").join(name)).find(|path| path.exists()).unwrap_or_else(|| PathBuf::from(name))
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
