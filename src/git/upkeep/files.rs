//! The files a mirror's objects stand in: packs with their indexes, loose objects, and what a killed process left.
//! It lists, measures and removes; which objects are wanted is not its matter.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What may stand beside a pack, named as it is. A pack with one of [`KEPT`] is somebody else's to remove.
const PARTS: [&str; 6] = ["idx", "pack", "rev", "bitmap", "mtimes", "keep"];
/// Marks of packs that are not removed: being written by a fetch, or part of a partial clone.
const KEPT: [&str; 2] = ["keep", "promisor"];
/// What nobody has touched for so long was left by a process that is no more.
const ABANDONED: Duration = Duration::from_secs(3600);

/// A pack with its index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PackFiles {
    /// Without its ending.
    stem: PathBuf,
    /// The bytes of pack and index.
    pub(super) bytes: u64,
}

impl PackFiles {
    pub(super) fn part(&self, ending: &str) -> PathBuf {
        self.stem.with_extension(ending)
    }

    /// Removes it, the index first, so that nobody finds a pack that is half there.
    pub(super) fn remove(&self) -> std::io::Result<()> {
        PARTS.iter().try_for_each(|ending| gone(fs::remove_file(self.part(ending))))
    }
}

/// Everything in a mirror's object directory at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    objects: PathBuf,
    /// The largest first.
    pub(super) packs: Vec<PackFiles>,
    /// Loose objects, and the bytes they take.
    pub(super) loose: Vec<(PathBuf, u64)>,
}

impl Files {
    pub(super) fn of(mirror: &Path) -> std::io::Result<Self> {
        let objects = mirror.join("objects");
        let (mut packs, mut loose) = (Vec::new(), Vec::new());
        for path in listed(&objects.join("pack"))? {
            let pack = PackFiles { stem: path.with_extension(""), bytes: 0 };
            let kept = KEPT.iter().any(|ending| pack.part(ending).exists());
            if path.extension().is_some_and(|ending| ending == "idx") && !kept && pack.part("pack").exists() {
                packs.push(pack_of(&path)?);
            }
        }
        packs.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.stem.cmp(&b.stem)));
        let two_digits =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 2 && name.to_string_lossy().bytes().all(|b| b.is_ascii_hexdigit()));
        for directory in listed(&objects)?.into_iter().filter(two_digits) {
            for path in listed(&directory)? {
                let bytes = fs::metadata(&path)?.len();
                loose.push((path, bytes));
            }
        }
        loose.sort_unstable();
        Ok(Self { objects, packs, loose })
    }

    /// The bytes of all packs and loose objects.
    pub(super) fn bytes(&self) -> u64 {
        self.packs.iter().map(|pack| pack.bytes).chain(self.loose.iter().map(|(_, bytes)| *bytes)).sum()
    }

    /// Moves a pack in that was written, and synced, elsewhere on the same disk; a pack of that name is the same one.
    pub(super) fn adopt(&self, pack: &PackFiles) -> std::io::Result<PackFiles> {
        let directory = self.objects.join("pack");
        let stem = directory.join(pack.stem.file_name().unwrap_or_default());
        // The index last: without it nobody looks at the pack.
        for ending in ["pack", "idx"] {
            fs::rename(pack.part(ending), stem.with_extension(ending))?;
        }
        fs::File::open(directory)?.sync_all()?;
        Ok(PackFiles { stem, bytes: pack.bytes })
    }

    /// Removes the packs but those that `stay`, and the loose objects, with what git's programs may have written about them.
    pub(super) fn remove(&self, stay: &[&PackFiles]) -> std::io::Result<()> {
        for about in ["pack/multi-pack-index", "info/commit-graph"] {
            gone(fs::remove_file(self.objects.join(about)))?;
        }
        gone(fs::remove_dir_all(self.objects.join("info/commit-graphs")))?;
        let stays = |pack: &PackFiles| stay.iter().any(|other| other.stem == pack.stem);
        self.packs.iter().filter(|pack| !stays(pack)).try_for_each(PackFiles::remove)?;
        self.loose.iter().try_for_each(|(path, _)| gone(fs::remove_file(path)))
    }
}

/// The pack with this index.
pub(super) fn pack_of(index: &Path) -> std::io::Result<PackFiles> {
    let pack = PackFiles { stem: index.with_extension(""), bytes: 0 };
    let bytes = fs::metadata(index)?.len() + fs::metadata(pack.part("pack"))?.len();
    Ok(PackFiles { bytes, ..pack })
}

/// Removes what a process that is no more left half-written: packs without their index and indexes without their pack,
/// temporary files, and directories of ours named `scratch`.
pub(super) fn sweep(mirror: &Path, scratch: &str, now: SystemTime) -> std::io::Result<()> {
    let old =
        |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > ABANDONED));
    for path in listed(&mirror.join("objects/pack"))? {
        let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned()).unwrap_or_default();
        let half = match ending.as_str() {
            "idx" | "rev" | "bitmap" | "mtimes" | "keep" | "promisor" => !path.with_extension("pack").exists(),
            "pack" => !path.with_extension("idx").exists(),
            _ => path.file_name().is_some_and(|name| name != "multi-pack-index"),
        };
        if half && old(&path) {
            gone(fs::remove_file(&path))?;
        }
    }
    for path in listed(mirror)? {
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(scratch)) && old(&path) {
            gone(fs::remove_dir_all(&path))?;
        }
    }
    Ok(())
}

/// The entries of a directory; none when there is no such directory.
fn listed(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What is not there needs no removing.
fn gone(removed: std::io::Result<()>) -> std::io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
