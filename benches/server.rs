//! Programs under measurement, as children: started on a free port of the loopback, waited for, paused, killed by their id.

use crate::Setting;
use anyhow::{Context, bail};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory that is removed with what is in it.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A directory of its own in the setting's.
    pub fn new(setting: &Setting, name: &str) -> anyhow::Result<Self> {
        let path = setting.scratch.join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        Ok(Self(path.canonicalize()?))
    }

    /// The path of `name` in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running program; killed when dropped.
pub struct Running {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From its start until it first answered as it should.
    pub ready_after: Duration,
}

impl Running {
    /// Starts `command` and waits until `GET path` is answered with 200 or, where `path` is none, until it listens.
    pub fn start(mut command: Command, address: SocketAddr, path: Option<&str>, log: &Path) -> anyhow::Result<Self> {
        let log = File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let begun = Instant::now();
        let child = command.spawn().with_context(|| format!("{command:?} cannot be started"))?;
        let mut running = Self { child, address, ready_after: Duration::ZERO };
        loop {
            if answers(address, path) {
                running.ready_after = begun.elapsed();
                return Ok(running);
            }
            if let Some(status) = running.child.try_wait()? {
                bail!("{command:?} ended: {status}");
            }
            if begun.elapsed() > PATIENCE {
                bail!("{command:?} does not answer after {} s", PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Its memory in MiB: all resident pages, shared ones included.
    pub fn rss_mib(&self) -> anyhow::Result<f64> {
        memory_mib(self.child.id(), "VmRSS")
    }

    /// The most memory it ever had, in MiB.
    pub fn peak_rss_mib(&self) -> anyhow::Result<f64> {
        memory_mib(self.child.id(), "VmHWM")
    }

    /// The processor time that it and what it started took so far.
    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        processor_time(self.child.id())
    }

    /// Stops it where it stands until the guard is dropped, so that it costs nothing while something else is measured.
    pub fn paused(&self) -> Paused<'_> {
        self.signal("STOP");
        Paused(self)
    }

    /// Asks it to end and waits until it has.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.signal("TERM");
        self.child.wait()?;
        Ok(())
    }

    /// Interrupts it, which some programs end at without waiting for their clients, and waits until it has ended.
    pub fn interrupt(mut self) -> anyhow::Result<()> {
        self.signal("INT");
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets the program go on when dropped.
pub struct Paused<'r>(&'r Running);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.signal("CONT");
    }
}

/// `kubeops serve` with the shipped defaults but for the logs; its resources and secrets lie in `place`.
pub fn kubeops(setting: &Setting, place: &Scratch, metrics: bool) -> anyhow::Result<Running> {
    kubeops_with(setting, place, &[("ENABLE_METRICS", if metrics { "true" } else { "false" })])
}

/// The same with these settings.
pub fn kubeops_with(setting: &Setting, place: &Scratch, settings: &[(&str, &str)]) -> anyhow::Result<Running> {
    replica(setting, place, "", settings)
}

/// One of several beside one another: its data and its log have names that end so.
pub fn replica(setting: &Setting, place: &Scratch, name: &str, settings: &[(&str, &str)]) -> anyhow::Result<Running> {
    let address = free_address()?;
    let mut command = Command::new(&setting.kubeops);
    command
        .arg("serve")
        .env_clear()
        .env("HOST", "127.0.0.1")
        .env("PORT", address.port().to_string())
        .env("DATA_DIR", place.join(&format!("data{name}")))
        .env("RESOURCES_DIR", place.join("resources"))
        .env("SECRET_PROVIDER", format!("file:{}", place.join("secrets").display()))
        .env("LOG_LEVEL", "WARN")
        .env("ACCESS_LOG", "off")
        .envs(settings.iter().copied());
    Running::start(command, address, Some("/ready"), &place.join(&format!("kubeops{name}.log")))
}

/// The reference server: this program again.
pub fn reference(place: &Scratch, workers: usize) -> anyhow::Result<Running> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["reference-server", &address.port().to_string(), &workers.to_string()]);
    Running::start(command, address, None, &place.join("reference.log"))
}

/// As many web workers as `kubeops` has by default.
pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).max(2)
}

/// An address nobody listens on at the moment.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Sends what Alertmanager would, with its token.
pub fn post_alert(address: SocketAddr, body: &serde_json::Value) -> anyhow::Result<()> {
    let body = body.to_string();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let head = format!(
        "POST /api/v1/webhooks/alertmanager HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer {ALERTMANAGER_TOKEN}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 202"), "an alert was answered: {answer}");
    Ok(())
}

fn answers(address: SocketAddr, path: Option<&str>) -> bool {
    match path {
        Some(path) => get(address, path).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")),
        None => TcpStream::connect(address).is_ok(),
    }
}

/// The whole answer to `GET path`.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The resources a server is measured with: those that are shipped, and secrets for their sources.
pub fn write_resources(place: &Scratch) -> anyhow::Result<()> {
    std::fs::create_dir_all(place.join("resources"))?;
    std::fs::create_dir_all(place.join("secrets"))?;
    for (name, text) in RESOURCES {
        std::fs::write(place.join("resources").join(name), text)?;
    }
    std::fs::write(place.join("secrets").join("JIRA_WEBHOOK_SECRET"), crate::deliveries::SECRET)?;
    std::fs::write(place.join("secrets").join("ALERTMANAGER_TOKEN"), ALERTMANAGER_TOKEN)?;
    Ok(())
}

/// What Alertmanager shows.
pub const ALERTMANAGER_TOKEN: &str = "measured-with-a-token-of-32-bytes-or-more";

/// The resources that are shipped.
pub const RESOURCES: &[(&str, &str)] = &[
    ("sources.yaml", include_str!("../config/resources/sources.yaml")),
    ("inventory.yaml", include_str!("../config/resources/inventory.yaml")),
    ("namespace-request.yaml", include_str!("../config/resources/namespace-request.yaml")),
    ("autoscaler-maxed-out.yaml", include_str!("../config/resources/autoscaler-maxed-out.yaml")),
];

/// A line of a process's memory, in MiB: `VmRSS` at this moment, `VmHWM` the most there ever was.
pub fn memory_mib(process: u32, line: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let found = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':')).context("no such line")?;
    Ok(found.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

/// The processor time of a process, of its living children, and of those it has waited for.
pub fn processor_time(process: u32) -> anyhow::Result<Duration> {
    /// `USER_HZ`, in which the kernel tells these times on every Linux.
    const TICKS: u64 = 100;
    let fields = |process: u32| -> Option<Vec<u64>> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name may hold anything; what follows its last bracket does not.
        Some(stat.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
    };
    let ticks = |fields: &[u64]| fields[11..15].iter().sum::<u64>();
    let mut total = ticks(&fields(process).context("it has ended")?);
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(of) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(fields) else { continue };
        if of[1] == u64::from(process) {
            total += ticks(&of);
        }
    }
    Ok(Duration::from_millis(total * 1000 / TICKS))
}
