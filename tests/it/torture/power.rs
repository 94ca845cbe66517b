//! The power fails under the program, its store and its mirrors, and returns: what was acknowledged is there, each once and with its body,
//! and what stands on the disk is whole. Here a loss is only written down; what becomes of requests is the judge's.

use super::fleet::Fleet;
use super::ledger::Sent;
use super::schedule::Plan;
use super::world::World;
use crate::support::postgres::Keeps;
use crate::support::power::{Frozen, PowerDisk};
use crate::support::server::Connection;
use crate::support::upstream::damage;
use sqlx::{Connection as _, SqliteConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Child;

/// What came of the cuts of a run.
#[derive(Debug, Clone, Default)]
pub struct Told {
    pub cuts: usize,
    /// What was acknowledged before a cut and was not there, or not as it was sent, after it.
    pub lost: BTreeMap<usize, String>,
    /// What was not whole after a cut.
    pub broken: Vec<String>,
    /// Whether the program did not come back at all.
    pub is_gone: bool,
    /// Mirrors that a cut damaged. Nothing in them is precious, and they are to be made anew.
    pub damaged: usize,
    /// Backups that the power failed over, and that were there afterwards.
    pub backups: [usize; 2],
}

impl Told {
    pub fn is_good(&self) -> bool {
        self.lost.is_empty() && self.broken.is_empty()
    }
}

/// A backup that is being made, or was just made, when the power fails.
pub struct Backup {
    child: Child,
    file: PathBuf,
}

impl Backup {
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("its state").is_some()
    }
}

pub struct Cuts<'w> {
    world: &'w World,
    pub told: Told,
    /// Whether what a cut leaves should be whole, and is kept where it is not.
    keeps: bool,
    /// Those whose bodies were compared, by their places in the ledger.
    read: BTreeSet<usize>,
}

impl<'w> Cuts<'w> {
    pub fn of(world: &'w World, plan: &Plan) -> Self {
        let keeps = plan.power.is_some_and(|power| power.keeps == Keeps::All);
        Self { world, told: Told::default(), keeps, read: BTreeSet::new() }
    }

    pub fn backup(&mut self) -> Backup {
        self.told.backups[0] += 1;
        let file = self.world.home().join("backups").join(format!("{}.db", self.told.cuts));
        Backup { child: self.world.server.begins(&["store", "backup", file.to_str().expect("UTF-8")]), file }
    }

    /// The power fails when `moment` returns, and returns itself. Nobody has started the program again yet.
    pub fn cut(&mut self, fleet: &mut Fleet<'_, '_>, mut backup: Option<Backup>, moment: impl FnOnce()) {
        let world = self.world;
        let power = world.power.as_ref().expect("a disk whose power can be cut");
        let mut database = world.database.as_ref().map(|database| database.borrow_mut());
        // Who was told so before has to find it afterwards.
        let ended = backup.as_mut().and_then(|backup| backup.child.try_wait().expect("its state"));
        let mut roots = fleet.ids();
        roots.extend(backup.as_ref().filter(|_| ended.is_none()).map(|backup| backup.child.id()));
        roots.extend(database.as_ref().map(|database| database.id()));
        let frozen = Frozen::of(&roots, moment);
        fleet.witness_cut();
        power.borrow_mut().fails();
        drop(frozen);
        fleet.power_fails();
        if let Some(backup) = &mut backup {
            backup.child.wait().expect("reaped");
        }
        database.iter_mut().for_each(|database| database.dies());
        let power = power.borrow();
        power.returns();
        self.told.cuts += 1;
        let store = match &mut database {
            Some(database) => database.recovers().and_then(|()| database.is_whole()),
            None => file_is_whole(&self.world.home().join("r0/kubeops.db"), &power),
        };
        if let Err(error) = store {
            self.breaks(&power, &format!("the store: {error}"));
        }
        self.told.damaged += mirrors(world).iter().filter(|mirror| damage(mirror).is_some()).count();
        if let Some(backup) = backup {
            let is_promised = ended.is_some_and(|status| status.success());
            if ended.is_some() && !is_promised {
                self.breaks(&power, &format!("a backup failed before: {ended:?}"));
            }
            self.look_at(&power, &backup.file, is_promised);
        }
    }

    /// A backup is whole or not there; and there, where somebody was told so.
    fn look_at(&mut self, power: &PowerDisk, file: &Path, is_promised: bool) {
        if file.exists() {
            self.told.backups[1] += 1;
            let verified = self.world.server.cli(&["store", "verify", file.to_str().expect("UTF-8")]);
            if !verified.status.success() {
                self.breaks(power, &format!("a backup is not whole: {}", String::from_utf8_lossy(&verified.stderr)));
            }
        } else if is_promised {
            self.breaks(power, "a backup that was made is gone");
        }
        // The next needs room. A removal may be undone by a cut: then it comes again.
        let left = std::fs::read_dir(file.parent().expect("a directory")).into_iter().flatten().flatten();
        left.for_each(|entry| std::fs::remove_file(entry.path()).expect("removed"));
    }

    fn breaks(&mut self, power: &PowerDisk, what: &str) {
        if self.keeps && self.told.broken.is_empty() {
            println!("what the cut left is kept as {}", power.keep().display());
        }
        self.told.broken.push(format!("after cut {}: {what}", self.told.cuts));
    }

    /// Holds what was acknowledged before the cut against what is there.
    pub fn look(&mut self, door: &Connection, sent: &[Sent]) {
        let cut = self.told.cuts;
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for delivery in door.all("/deliveries") {
            *times.entry(delivery["id"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
        for (place, sent) in sent.iter().enumerate().filter(|(_, sent)| !sent.acknowledged().is_empty()) {
            for id in sent.acknowledged() {
                match times.get(id) {
                    Some(1) => {}
                    Some(more) => self.told.broken.push(format!("after cut {cut}: {id} is listed {more} times")),
                    None => {
                        self.told.lost.entry(place).or_insert_with(|| format!("after cut {cut}: {id} of {}", sent.key));
                    }
                }
                if self.told.lost.contains_key(&place) || !self.read.insert(place) {
                    continue;
                }
                let body = door.api("GET", &format!("/deliveries/{id}/body"), None);
                if body.status != 200 || body.body != sent.body.as_bytes() {
                    let what = format!("after cut {cut}: the body of {id} of {}: {} and {} bytes", sent.key, body.status, body.body.len());
                    self.told.lost.insert(place, what);
                }
            }
        }
    }

    /// The program did not come back: with it, everything that was acknowledged is gone.
    pub fn all_is_lost(&mut self, sent: &[Sent]) {
        let cut = self.told.cuts;
        self.told.is_gone = true;
        self.told.broken.push(format!("after cut {cut}: the program does not come back"));
        let acknowledged = sent.iter().enumerate().filter(|(_, sent)| !sent.acknowledged().is_empty());
        self.told.lost.extend(acknowledged.map(|(place, sent)| (place, format!("after cut {cut}: {} with the whole store", sent.key))));
    }

    /// When everything has come to rest, no mirror is damaged any more.
    pub fn end(&mut self) {
        let damaged = mirrors(self.world).into_iter().filter_map(|mirror| Some(format!("{}: {}", mirror.display(), damage(&mirror)?)));
        self.told.broken.extend(damaged.map(|what| format!("still in the end: {what}")));
    }
}

/// The mirrors that are whole as far as the program sees at once.
fn mirrors(world: &World) -> Vec<PathBuf> {
    let mirrors = std::fs::read_dir(world.home().join("r0/mirrors")).into_iter().flatten().flatten().map(|entry| entry.path());
    mirrors.filter(|path| path.join("kubeops-mirror").exists()).collect()
}

/// Looks at a copy, so that the program itself finds the file as the cut left it.
fn file_is_whole(file: &Path, power: &PowerDisk) -> Result<(), String> {
    let copy = power.beside("looked-at.db");
    for ending in ["", "-wal", "-shm"] {
        let beside = PathBuf::from(format!("{}{ending}", copy.display()));
        let _ = std::fs::remove_file(&beside);
        let from = PathBuf::from(format!("{}{ending}", file.display()));
        // The index of the log is made anew.
        if ending != "-shm" && from.exists() {
            std::fs::copy(from, beside).map_err(|error| error.to_string())?;
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let address = format!("sqlite://{}?mode=rw", copy.display());
        let mut connection = SqliteConnection::connect(&address).await.map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        for question in
            ["SELECT integrity_check FROM pragma_integrity_check", "SELECT 'refers to nothing: ' || \"table\" FROM pragma_foreign_key_check"]
        {
            let answers = sqlx::query_scalar::<_, String>(question).fetch_all(&mut connection).await.map_err(|error| error.to_string())?;
            found.extend(answers.into_iter().filter(|answer| answer != "ok"));
        }
        connection.close().await.map_err(|error| error.to_string())?;
        if found.is_empty() { Ok(()) } else { Err(found.join("; ")) }
    })
}
