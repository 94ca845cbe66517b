//! What people read of a run: the closing line, the points at which processes died, and of a run that is not as it should be the whole
//! story of the first key that is not, with everything kept on the disk.

use super::judge::Finding;
use super::ledger::{Death, End, InFlight, Noted, is_of};
use super::power::Told;
use super::run::Ran;
use super::schedule::Plan;
use super::world::World;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Lines of the log that a story shows at most.
const LINES: usize = 400;

/// What several runs come to.
#[derive(Default)]
pub struct Sum {
    pub kills: usize,
    pub cuts: usize,
    acknowledged: usize,
    lost: usize,
    duplicated: usize,
    out_of_order: usize,
    broken: usize,
    strange: usize,
    deaths: Vec<Death>,
    died_at: BTreeSet<&'static str>,
}

impl Sum {
    pub fn add(&mut self, ran: &Ran) {
        self.kills += ran.kills;
        self.acknowledged += ran.judged.acknowledged;
        self.cuts += ran.cuts.cuts;
        self.lost += ran.judged.lost.len() + ran.cuts.lost.len();
        self.broken += ran.cuts.broken.len();
        self.duplicated += ran.judged.duplicated.len();
        self.out_of_order += ran.judged.out_of_order.len();
        self.strange += ran.strange.len();
        self.deaths.extend(&ran.books.deaths);
        self.died_at.extend(ran.died_at.keys());
    }

    /// What was in flight when processes that listened died like this.
    pub fn in_flight(&self, how: End) -> Option<InFlight> {
        in_flight(&self.deaths, how)
    }

    /// The same as people read it.
    pub fn line_of_flight(&self) -> String {
        flight(&self.deaths)
    }

    /// The line everybody looks for.
    pub fn line(&self) -> String {
        let Self { kills, acknowledged, lost, duplicated, out_of_order, .. } = self;
        format!("torture: {kills} kills, {acknowledged} acknowledged, {lost} lost, {duplicated} duplicated, {out_of_order} out of order")
    }

    /// The same of runs whose power failed; what is doubled or out of order is broken there too.
    pub fn line_of_cuts(&self) -> String {
        let Self { cuts, acknowledged, lost, .. } = self;
        format!("cuts: {cuts} cuts, {acknowledged} acknowledged, {lost} lost, {} broken", self.broken + self.duplicated + self.out_of_order)
    }

    /// Those of these points at which nobody died.
    pub fn unreached(&self, points: &[&'static str]) -> Vec<&'static str> {
        points.iter().copied().filter(|point| !self.died_at.contains(point)).collect()
    }

    pub fn is_good(&self) -> bool {
        self.broken + self.lost + self.duplicated + self.out_of_order + self.strange == 0
    }
}

/// Shows what was found.
pub fn tell(plan: &Plan, ran: &Ran) {
    let name = plan.name();
    println!("{name}: seed {}, {} kills, {} acknowledged", plan.seed, ran.kills, ran.judged.acknowledged);
    let points: Vec<String> = ran.died_at.iter().map(|(point, times)| format!("{point} {times}")).collect();
    println!("{name}: died at {}", points.join(", "));
    flight(&ran.books.deaths).lines().for_each(|line| println!("{name}: {line}"));
    println!("{name}: {} times what was acknowledged was sent again", ran.repeated);
    for (word, findings) in [("LOST", &ran.judged.lost), ("DUPLICATED", &ran.judged.duplicated), ("OUT OF ORDER", &ran.judged.out_of_order)] {
        findings.iter().for_each(|finding| println!("{name}: {word} {}: {}", finding.key, finding.what));
    }
    if plan.power.is_some() {
        let Told { cuts, damaged, backups: [begun, found], .. } = &ran.cuts;
        println!("{name}: {cuts} cuts; {damaged} times one damaged a mirror; of {begun} backups the power failed over {found} were there");
        ran.cuts.lost.values().for_each(|lost| println!("{name}: LOST {lost}"));
        ran.cuts.broken.iter().for_each(|broken| println!("{name}: BROKEN {broken}"));
    }
    ran.strange.iter().for_each(|strange| println!("{name}: STRANGE {strange}"));
}

fn in_flight(deaths: &[Death], how: End) -> Option<InFlight> {
    InFlight::at(&deaths.iter().filter(|death| death.how == how).copied().collect::<Vec<Death>>())
}

/// What was in flight at deaths of each kind; those apart that had not come to listen.
fn flight(deaths: &[Death]) -> String {
    let mut parts = Vec::new();
    for (how, word) in [(End::Killed, "a kill at random"), (End::AtPoint, "a death at a point"), (End::Cut, "a cut")] {
        let Some(InFlight { all, new, mostly, least, to_it }) = in_flight(deaths, how) else { continue };
        let of_these = deaths.iter().filter(|death| death.how == how);
        let (times, unheard) = (of_these.clone().count(), of_these.filter(|death| !death.listened).count());
        let apart = if unheard == 0 { String::new() } else { format!("; {unheard} more before anybody listened") };
        parts.push(format!(
            "in flight at {word}, {times} times: median {all}, new {new} (nine in ten: {mostly}, least {least}; to the one that died {to_it}{apart})"
        ));
    }
    parts.join("\n")
}

/// Keeps what is left of a run that is not as it should be, and tells where, with the story of the first key that is not.
pub fn keep(world: &mut World, ran: &Ran) -> PathBuf {
    let log = world.server.log();
    let keys: Vec<String> = ran.judged.findings().map(|finding: &Finding| finding.key.clone()).filter(|key| !key.is_empty()).collect();
    let [directory, _] = world.server.keep();
    if world.disk.is_some() {
        // It is gone with its mount.
        let copy = directory.join("r0-kept");
        let _ = std::process::Command::new("cp").arg("-a").arg(directory.join("r0")).arg(copy).status();
    }
    if let Some(power) = &world.power {
        power.borrow().settle();
        println!("the disk is kept as {}", power.borrow().keep().display());
    }
    world.database.iter().for_each(|database| database.borrow_mut().keep());
    std::fs::write(directory.join("server.log"), &log).expect("written");
    std::fs::write(directory.join("ledgers.txt"), format!("{:#?}", ran.books)).expect("written");
    for (place, key) in keys.iter().enumerate().take(20) {
        let story = story_of(world, ran, key, &log);
        std::fs::write(directory.join(format!("story-{place}.txt")), &story).expect("written");
        if place == 0 {
            println!("{story}");
        }
    }
    println!("everything is kept in {}", directory.display());
    directory
}

/// All that is known of a key.
fn story_of(world: &World, ran: &Ran, key: &str, log: &str) -> String {
    let (books, mut lines) = (&ran.books, Vec::new());
    let mut part = |title: &str, more: Vec<String>| {
        lines.push(format!("--- {key}: {title}"));
        lines.extend(more);
    };
    part("what is wrong", ran.judged.findings().filter(|finding| finding.key == key).map(|finding| finding.what.clone()).collect());
    let sent = books.sent.iter().filter(|sent| sent.key == key).map(|sent| {
        let tries: Vec<String> = sent.tries.iter().map(|one| format!("{} r{} {:?}", one.at, one.replica, one.answer)).collect();
        format!("{} {:?}: {}", sent.order, sent.word, tries.join("; "))
    });
    part("what was sent, and answered (milliseconds since the begin, replica)", sent.collect());
    let noted = books.notes.get(key).into_iter().flatten().map(|note| {
        let what = match &note.what {
            Noted::Open { number, value } => format!("#{number} is open with {value:?}"),
            Noted::NoneOpen => "none is open".to_owned(),
            Noted::Merged { number, value } => format!("merged #{number} with {value:?}"),
            Noted::Reverted { number } => format!("merged #{number}, which takes it back"),
        };
        format!("{} after {}: {what}", note.at, note.after)
    });
    part("what people saw and did", noted.collect());
    let effects = books.effects.iter().filter(|effect| is_of(&effect.head, key));
    part("what was done at GitHub", effects.map(|effect| format!("{} #{}: {}", effect.at, effect.pull, effect.call)).collect());
    part(
        "what there is at GitHub",
        books.pulls.iter().filter(|pull| is_of(&pull.head, key) || pull.reverts(key)).map(|pull| format!("{pull:?}")).collect(),
    );
    part("the ticket", vec![format!("{:#?}", books.issues.get(key))]);
    part("what the program says", ran.timelines.get(key).cloned().into_iter().collect());
    let ids = ran.requests.get(key).cloned().unwrap_or_default();
    let of_key = log.lines().filter(|line| line.contains(key) || ids.iter().any(|id| line.contains(id.as_str())));
    part(&format!("the log, of {}", world.server.data().display()), of_key.take(LINES).map(str::to_owned).collect());
    lines.join("\n")
}
