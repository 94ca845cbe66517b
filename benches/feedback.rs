//! From a webhook to the comment at its ticket, with everything in between: plan, commit, push, pull request. The remote is a real
//! `git http-backend`; GitHub and Jira answer at once.

use crate::Setting;
use crate::push::World;
use crate::remote::COMMENTED;
use crate::report::{Reference, Report, Sorted};
use crate::server::Scratch;
use anyhow::{Context, ensure};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Files of the repository.
const FILES: usize = 1_000;
/// Tickets come one by one, farther apart than writes at GitHub are kept: what is measured is a ticket that meets nobody else's.
const APART: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(30);

const CHANNEL: &str = "---\napiVersion: kubeops.dev/v1alpha1\nkind: Channel\nmetadata:\n  name: issues\nspec:\n  jira:\n    url: REMOTE\n    deployment: cloud\n    \
    authentication: { basic: { user: kubeops@acme.example, secret: JIRA_API_TOKEN } }\n";

/// Measures `feedback.webhook_to_comment_p50_ms`. Between writes GitHub asks for a pause of a second, which is most of the time there: the figure
/// is without it, and the note with it.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let (told, pushed) = told(setting, "0")?;
    let reference = Reference { value: pushed.millis(50.0), what: "pushing a commit that is ready" };
    report.figure("feedback.webhook_to_comment_p50_ms", told.millis(50.0), "ms", reference)?;
    report.note(&format!("from webhook to comment:           {}", told.told()));
    let (paced, _) = self::told(setting, "1000")?;
    report.note(&format!("with the pauses GitHub asks for:   {}", paced.told()));
    Ok(())
}

/// How long it took for tickets, one by one, and for pushes of commits that were ready; writes at the forge so many milliseconds apart.
fn told(setting: &Setting, pause: &str) -> anyhow::Result<(Sorted, Sorted)> {
    let mut world = World::start(setting, FILES, &[("FORGE_WRITE_PAUSE_MS", pause)], tell_tickets)?;
    world.warm_up()?;
    let (mut told, mut pushed) = (Vec::new(), Vec::new());
    for _ in 0..setting.effort.pick(15, 2) {
        std::thread::sleep(APART);
        pushed.push(world.push_ready(1)?);
        told.push(told_after(&mut world)?);
    }
    world.end()?;
    Ok((Sorted::new(told), Sorted::new(pushed)))
}

/// Gives the resources a Jira, which is `remote`, and has the shipped automation tell its tickets what became of them.
pub fn tell_tickets(place: &Scratch, remote: SocketAddr) -> anyhow::Result<()> {
    std::fs::write(place.join("secrets").join("JIRA_API_TOKEN"), "measured")?;
    let resources = place.join("resources");
    let inventory = resources.join("inventory.yaml");
    let text = std::fs::read_to_string(&inventory)?;
    std::fs::write(&inventory, format!("{text}{}", CHANNEL.replace("REMOTE", &format!("http://{remote}"))))?;
    let automation = resources.join("namespace-request.yaml");
    let text = std::fs::read_to_string(&automation)?;
    let told = text.replacen("\nspec:\n", "\nspec:\n  feedback: [{ channel: issues }]\n", 1);
    ensure!(told != text, "the shipped automation is not what it was");
    Ok(std::fs::write(&automation, told)?)
}

/// From the first byte of a webhook until its ticket has a comment.
fn told_after(world: &mut World) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let key = world.send()?.to_ascii_uppercase();
    let file = world.place.join(COMMENTED).join(&key);
    while !file.exists() {
        let log = || std::fs::read_to_string(world.place.join("kubeops.log")).unwrap_or_default();
        (begun.elapsed() < PATIENCE).then_some(()).with_context(|| format!("{key} has no comment; the server said:\n{}", log()))?;
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(begun.elapsed())
}
