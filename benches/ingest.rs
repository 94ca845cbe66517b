//! Deliveries a second that are on disk before they are answered, against a bare route and against Debian's `webhook`.
//! All three get the same bytes from the same generator, in turns; whoever is not measured is stopped meanwhile.

use crate::Setting;
use crate::deliveries::{Deliveries, SECRET};
use crate::load::{self, Outcome};
use crate::report::{Reference, Report};
use crate::server::{self, Running, Scratch};
use anyhow::{Context, bail};
use serde_json::json;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

/// Connections of the generator.
pub const CONNECTIONS: usize = 64;
/// A server's path for the source that is measured.
pub const SOURCE: &str = "/api/v1/webhooks/service-desk";
/// The hook of `webhook`.
const HOOK: &str = "/hooks/measured";
/// More deliveries a second than any server here takes durably.
pub const MOST_A_SECOND: usize = 100_000;

/// Deliveries for a server, and the number of the next one.
pub struct Sender {
    deliveries: Arc<Deliveries>,
    next: Arc<AtomicUsize>,
    repeat: bool,
}

impl Sender {
    /// So many deliveries to a path; `repeat` begins anew where they end.
    pub fn new(path: &str, count: usize, repeat: bool) -> anyhow::Result<Self> {
        Ok(Self { deliveries: Arc::new(Deliveries::new(path, count)?), next: Arc::default(), repeat })
    }

    /// Sends over so many connections for a while.
    pub fn send(&self, address: SocketAddr, connections: usize, time: Duration) -> anyhow::Result<Outcome> {
        load::run(address, &self.deliveries, &self.next, self.repeat, connections, time)
    }
}

/// Measures `ingest.*`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let place = Scratch::new(setting, "ingest")?;
    server::write_resources(&place)?;
    throughput(setting, &place, report)?;
    grouping(setting, &place, report)
}

fn throughput(setting: &Setting, place: &Scratch, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, time) = setting.effort.pick((4, Duration::from_millis(2500)), (1, Duration::from_millis(400)));
    let warm_up = time / 8;
    let most = MOST_A_SECOND * usize::try_from((time * (rounds + 1)).as_secs() + 1)?;
    let once = Sender::new(SOURCE, most, false)?;
    let (bare_sender, hook_sender) = (Sender::new(SOURCE, 50_000, true)?, Sender::new(HOOK, 50_000, true)?);
    let kubeops = server::kubeops(setting, place, false)?;
    let bare = server::reference(place, server::workers())?;
    let webhook = start_webhook(place)?;
    {
        let _paused = kubeops.paused();
        bare_sender.send(bare.address, CONNECTIONS, warm_up)?;
        hook_sender.send(webhook.address, CONNECTIONS, warm_up)?;
    }
    once.send(kubeops.address, CONNECTIONS, warm_up)?;
    let (mut echoed, mut durable, mut hooked) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        {
            let _paused = kubeops.paused();
            echoed.push(bare_sender.send(bare.address, CONNECTIONS, time)?);
            hooked.push(hook_sender.send(webhook.address, CONNECTIONS, time)?);
        }
        durable.push(once.send(kubeops.address, CONNECTIONS, time)?);
        let rate = |outcomes: &[Outcome]| outcomes.last().map_or(f64::NAN, Outcome::rate);
        report.note(&format!(
            "round {round} of {rounds}: bare route {:.0}/s, webhook {:.0}/s, kubeops {:.0}/s",
            rate(&echoed),
            rate(&hooked),
            rate(&durable)
        ));
    }
    let rss = kubeops.rss_mib()?;
    kubeops.end()?;
    let ((echo_rate, echo_times), (hook_rate, _), (rate, times)) = (Outcome::joined(echoed), Outcome::joined(hooked), Outcome::joined(durable));
    let against = |value, what| Reference { value, what };
    report.figure("ingest.durable_vs_echo", rate, "deliveries/s", against(echo_rate, "a bare route that keeps nothing"))?;
    report.figure("ingest.durable_vs_webhook", rate, "deliveries/s", against(hook_rate, "webhook, which keeps nothing"))?;
    report.figure("ingest.p99_ms", times.millis(99.0), "ms", against(echo_times.millis(99.0), "the bare route's"))?;
    report.note(&format!("kubeops, {CONNECTIONS} connections: {}; {rss:.1} MiB resident at the end", times.told()));
    Ok(())
}

/// How many deliveries share one commit. Counted by the server itself: a commit of the inbox is one `fdatasync` of the log.
fn grouping(setting: &Setting, place: &Scratch, report: &mut Report) -> anyhow::Result<()> {
    let time = setting.effort.pick(Duration::from_secs(2), Duration::from_millis(300));
    let sender = Sender::new(SOURCE, MOST_A_SECOND * usize::try_from((time * 3).as_secs() + 1)?, false)?;
    // A store of its own: the one before holds the same deliveries.
    std::fs::remove_dir_all(place.join("data"))?;
    let kubeops = server::kubeops(setting, place, true)?;
    let per_delivery = |connections: usize| -> anyhow::Result<f64> {
        let before = Counted::read(&kubeops)?;
        sender.send(kubeops.address, connections, time)?;
        let after = Counted::read(&kubeops)?;
        Ok((after.commits - before.commits) / (after.deliveries - before.deliveries))
    };
    let (alone, many) = (per_delivery(1)?, per_delivery(CONNECTIONS)?);
    report.figure("ingest.fdatasync_per_delivery", many, "fdatasync", Reference { value: alone, what: "one connection: nothing to group" })?;
    let (waiting, begun) = (Counted::read(&kubeops)?.pending, Instant::now());
    let patience = setting.effort.pick(Duration::from_secs(3), Duration::from_millis(500));
    std::thread::sleep(patience);
    let left = Counted::read(&kubeops)?.pending;
    report.note(&format!("then, without load, {:.0} deliveries a second are dispatched", (waiting - left) / begun.elapsed().as_secs_f64()));
    kubeops.end()
}

/// What the server's metrics say.
pub struct Counted {
    /// Transactions of the inbox.
    pub commits: f64,
    /// Deliveries written by them.
    pub deliveries: f64,
    /// Deliveries that wait to be dispatched.
    pub pending: f64,
}

impl Counted {
    /// Asks for them; takes a second, because some are told no more often.
    pub fn read(server: &Running) -> anyhow::Result<Self> {
        // The numbers of the store are told at most once a second.
        std::thread::sleep(Duration::from_millis(1100));
        let text = server::get(server.address, "/metrics")?;
        let value = |name: &str| -> anyhow::Result<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).with_context(|| format!("no metric {name}"))?;
            Ok(line.trim().parse()?)
        };
        Ok(Self {
            commits: value("kubeops_inbox_commits_total")?,
            deliveries: value("kubeops_inbox_deliveries_total")?,
            pending: value("kubeops_pending_deliveries")?,
        })
    }
}

/// Debian's `webhook`, at the least it can do with a signed delivery: check the signature, read the JSON, look at a rule that
/// does not hold. It starts no command and stores nothing.
fn start_webhook(place: &Scratch) -> anyhow::Result<Running> {
    let header = |name: &str| json!({ "source": "header", "name": name });
    let hooks = json!([{
        "id": "measured",
        "execute-command": "/bin/true",
        "trigger-rule-mismatch-http-response-code": 202,
        "trigger-rule": { "and": [
            { "match": { "type": "payload-hmac-sha256", "secret": SECRET, "parameter": header("X-Hub-Signature") } },
            { "match": { "type": "value", "value": "Namespace request", "parameter": { "source": "payload", "name": "issue.fields.issuetype.name" } } },
        ]},
    }]);
    let file = place.join("hooks.json");
    std::fs::write(&file, hooks.to_string())?;
    let address = server::free_address()?;
    let mut command = Command::new("webhook");
    command.arg("-hooks").arg(file).args(["-ip", "127.0.0.1", "-port", &address.port().to_string()]);
    let running = Running::start(command, address, None, &place.join("webhook.log"));
    match running {
        Ok(running) => Ok(running),
        Err(error) => bail!("{error:#}; scripts/setup.sh bench installs it"),
    }
}
