//! A disk whose power can be cut: an ext4 in an image file. What was not flushed to the device stands in the kernel's memory alone, so
//! a copy of the image is what a cut would have left. Mounts are given back whatever happens; those of a killed run, by the next, which also
//! ends the processes that still have files open there.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the directories of these disks begin with.
const PREFIX: &str = "kubeops-power-";
/// Held by the process that has the disk, as long as it lives.
const LOCK: &str = "lock";
/// How long a mount is waited for that somebody has files open on.
const BUSY: Duration = Duration::from_secs(10);
/// How long the image may go on changing, and a process may take to stand still.
const STILL: Duration = Duration::from_secs(10);
/// What a file system may do that promises nothing but what is asked for: nothing is flushed by the clock, and a file that replaces
/// another is not flushed for being so.
const OPTIONS: &str = "loop,noatime,nodiscard,noauto_da_alloc,commit=300";

/// The disk.
pub struct PowerDisk {
    // Before the directory that the lock stands in.
    _mounts: Mounts,
    /// How often the power failed.
    failed: u32,
    _lock: File,
    directory: tempfile::TempDir,
}

impl PowerDisk {
    /// With so many mebibytes, in memory.
    ///
    /// # Errors
    /// What is missing, where there is no root, no loop device or no mkfs.
    pub fn plugged_in(mebibytes: u32) -> Result<Self, String> {
        remove_leftovers();
        Self::made(mebibytes).map_err(|missing| format!("a disk whose power can be cut needs root, a loop device and mkfs.ext4 ({missing})"))
    }

    fn made(mebibytes: u32) -> Result<Self, String> {
        let directory = tempfile::Builder::new().prefix(PREFIX).tempdir_in("/tmp").map_err(|error| error.to_string())?;
        // PostgreSQL, which is not root, has to come by.
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("its own directory");
        let lock = locked(directory.path()).map_err(|error| format!("a lock: {error}"))?;
        let disk = Self { _mounts: Mounts(directory.path().to_path_buf()), failed: 0, _lock: lock, directory };
        for name in ["memory", "disk"] {
            std::fs::create_dir(disk.place(name)).expect("a mount point");
        }
        // Two images, and a copy of files to look at.
        let size = format!("size={}m", mebibytes * 3);
        done(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(disk.place("memory")))?;
        let image = File::create(disk.image()).map_err(|error| error.to_string())?;
        image.set_len(u64::from(mebibytes) * 1024 * 1024).map_err(|error| error.to_string())?;
        let eager = "lazy_itable_init=0,lazy_journal_init=0";
        done(Command::new("mkfs.ext4").args(["-q", "-F", "-b", "4096", "-m", "0", "-E", eager]).arg(disk.image()))?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.place("disk")
    }

    /// A place beside it that loses nothing.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.place("memory").join(name)
    }

    /// A copy of the disk as it is now, which stays when this is gone; tells where it is.
    pub fn keep(&self) -> PathBuf {
        let name = self.directory.path().file_name().unwrap_or_default().to_string_lossy().replace(PREFIX, "kubeops-kept-");
        let kept = std::env::temp_dir().join(format!("{name}-{}.img", self.failed));
        done(Command::new("cp").arg("--sparse=always").arg(self.image()).arg(&kept)).unwrap_or_else(|error| eprintln!("it cannot be kept: {error}"));
        kept
    }

    /// Everything stays as it is, as when the process that has the disk is killed; tells where.
    pub fn abandon(self) -> PathBuf {
        let Self { _mounts, _lock, directory, .. } = self;
        std::mem::forget(_mounts);
        directory.keep()
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn image(&self) -> PathBuf {
        self.place("memory").join(format!("{}.img", self.failed))
    }

    /// Data before the names of files one time, and in any order the next.
    fn mount(&self) -> Result<(), String> {
        let order = if self.failed.is_multiple_of(2) { "ordered" } else { "writeback" };
        let options = format!("{OPTIONS},data={order}");
        done(Command::new("mount").args(["-t", "ext4", "-o", &options]).arg(self.image()).arg(self.path()))
    }

    /// Everything that was written up to now is on the disk.
    pub fn settle(&self) {
        done(Command::new("sync").arg("--file-system").arg(self.path())).expect("a sync");
    }

    /// What is on the disk at this moment is what will be there when the power returns. Whoever writes has to stand still already; the
    /// kernel may still be writing for them, so it is copied until it is the same before and after.
    pub fn fails(&mut self) {
        let image = self.image();
        self.failed += 1;
        let begun = Instant::now();
        loop {
            done(Command::new("cp").arg("--sparse=always").arg(&image).arg(self.image())).expect("a copy");
            let same = Command::new("cmp").arg("--silent").arg(&image).arg(self.image()).status().expect("cmp");
            if same.success() {
                return;
            }
            assert!(begun.elapsed() < STILL, "somebody goes on writing to {}", self.path().display());
        }
    }

    /// The disk as the failure left it. Nobody may have a file open on it any more.
    pub fn returns(&self) {
        give_back(&self.path()).unwrap_or_else(|error| panic!("somebody still has a file open: {error}"));
        let former = self.place("memory").join(format!("{}.img", self.failed - 1));
        std::fs::remove_file(former).expect("the image it was");
        self.mount().expect("the kernel reads its journal");
    }
}

/// Everything that is mounted in a directory of these.
struct Mounts(PathBuf);

impl Drop for Mounts {
    fn drop(&mut self) {
        take_apart(&self.0);
    }
}

/// Unmounts what is there, now or as soon as nobody has a file open on it. Its loop device goes with it.
fn take_apart(directory: &Path) {
    for mounted in ["disk", "memory"].map(|name| directory.join(name)) {
        if is_mounted(&mounted) && give_back(&mounted).is_err() {
            let lazily = done(Command::new("umount").arg("--lazy").arg(&mounted));
            lazily.unwrap_or_else(|error| eprintln!("{} is still mounted: {error}", mounted.display()));
        }
    }
}

pub fn is_mounted(at: &Path) -> bool {
    let at = at.to_str().expect("UTF-8");
    std::fs::read_to_string("/proc/self/mountinfo").is_ok_and(|mounts| mounts.lines().any(|line| line.split(' ').nth(4) == Some(at)))
}

/// Processes that were killed close their files a moment later.
fn give_back(mounted: &Path) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match done(Command::new("umount").arg(mounted)) {
            Err(_) if begun.elapsed() < BUSY => std::thread::sleep(Duration::from_millis(10)),
            other => return other,
        }
    }
}

/// A file that nobody else can lock while this process lives. It gets its name when it is locked.
fn locked(directory: &Path) -> std::io::Result<File> {
    let beside = directory.join("lock.new");
    let lock = File::create(&beside)?;
    lock.lock()?;
    std::fs::rename(beside, directory.join(LOCK))?;
    Ok(lock)
}

/// Takes apart what killed runs left.
fn remove_leftovers() {
    for directory in std::fs::read_dir("/tmp").into_iter().flatten().flatten().map(|entry| entry.path()) {
        let is_ours = directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
        // Without a lock it is being made.
        let Some(lock) = is_ours.then(|| File::open(directory.join(LOCK)).ok()).flatten() else { continue };
        if lock.try_lock().is_ok() {
            // Nobody is left who would end them. Others like this one have the lock open for a moment, and only that.
            signal(Signal::KILL, &users(&directory.join("disk")));
            take_apart(&directory);
            let _ = std::fs::remove_dir_all(&directory);
        }
    }
}

fn done(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    // `mount` goes on about where more is to be read.
    let said = String::from_utf8_lossy(&output.stderr).trim().lines().next().unwrap_or_default().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {said}")) }
}

/// Processes, with all that they started, that stand still. They die with it, without another step.
pub struct Frozen(Vec<u32>);

impl Frozen {
    /// These and all they started, at the moment that `moment` returns at: a database that ran on when the program stands still could still sync
    /// what it had said to be on the disk. Whoever keeps its word has it there by then.
    pub fn of(roots: &[u32], moment: impl FnOnce()) -> Self {
        let (mut frozen, mut more) = (Self(Vec::new()), roots.to_vec());
        let mut below = children(&more);
        while !below.is_empty() {
            more.extend(below);
            below = children(&more);
        }
        moment();
        while !more.is_empty() {
            signal(Signal::STOP, &more);
            frozen.0.extend(more);
            let begun = Instant::now();
            while !frozen.0.iter().all(|process| stands(*process)) {
                assert!(begun.elapsed() < STILL, "a process does not stand still");
                std::thread::sleep(Duration::from_millis(1));
            }
            // Who stands still starts nobody.
            more = children(&frozen.0);
        }
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal(Signal::KILL, &self.0);
    }
}

/// The processes that have a file open below a directory, or stand in it.
fn users(of: &Path) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("the processes").flatten();
    let numbered = processes.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    let uses = |path: &Path| {
        let files = std::fs::read_dir(path.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path());
        files.chain([path.join("cwd")]).any(|link| std::fs::read_link(link).is_ok_and(|file| file.starts_with(of)))
    };
    numbered.filter(|(_, path)| uses(path)).map(|(process, _)| process).collect()
}

/// Those that have ended already need no signal.
fn signal(signal: Signal, processes: &[u32]) {
    for process in processes.iter().filter_map(|process| Pid::from_raw(process.cast_signed())) {
        let _ = kill_process(process, signal);
    }
}

/// Whether none of its threads runs: all stand still, or have ended.
fn stands(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    threads.into_iter().all(|thread| state(&thread.path()).is_none_or(|(state, _)| ["T", "t", "Z", "X"].contains(&state.as_str())))
}

/// The processes that these started, and that are not among them.
fn children(of: &[u32]) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("the processes").flatten();
    let numbered = processes.filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path())));
    let started =
        numbered.filter(|(process, path)| !of.contains(process) && state(path).is_some_and(|(state, parent)| of.contains(&parent) && state != "Z"));
    started.map(|(process, _)| process).collect()
}

/// The state of a process or a thread, and who started it, as `proc(5)` has them.
fn state(path: &Path) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(path.join("stat")).ok()?;
    // The name, which may hold anything, ends with the last bracket.
    let mut rest = stat.rsplit_once(") ")?.1.split(' ');
    Some((rest.next()?.to_owned(), rest.next()?.parse().ok()?))
}
