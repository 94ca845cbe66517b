//! The figures of `make bench`: each is measured against a reference measured in the same run, printed, and kept as one
//! line of JSON. Nothing is asserted here; `docs/performance.md` says how to read them.

mod commit;
mod database;
mod deliveries;
mod drafts;
mod editing;
mod feedback;
mod history;
mod ingest;
mod load;
mod matching;
mod outage;
mod plan;
mod policy;
mod process;
mod push;
mod reference;
mod remote;
mod replan;
mod replicas;
mod report;
mod server;
mod slow;

use anyhow::bail;
use report::Report;
use std::path::PathBuf;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// What the documented figures are made with.
    Full,
    /// A look at whether everything works (`BENCH_SHORT=1`); its figures mean little.
    Short,
}

impl Effort {
    fn from_environment() -> Self {
        if std::env::var("BENCH_SHORT").is_ok_and(|value| value == "1") { Self::Short } else { Self::Full }
    }

    /// One of two, by effort.
    pub fn pick<T>(self, full: T, short: T) -> T {
        match self {
            Self::Full => full,
            Self::Short => short,
        }
    }
}

/// Where everything is: the programs measured, and a directory for what they write.
pub struct Setting {
    /// The `kubeops` program.
    pub kubeops: PathBuf,
    /// A directory on the disk that is measured; each group makes one of its own in it and removes it.
    pub scratch: PathBuf,
    /// How much is measured.
    pub effort: Effort,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["reference-server", port, workers] => reference::serve(port.parse()?, workers.parse()?),
        ["remote", port, root] => remote::serve(port.parse()?, root.into()),
        ["fill", file, count] => process::fill(file.as_ref(), count.parse()?),
        [group, summary] => measure(group, Report::open(summary.as_ref())?),
        _ => bail!(
            "usage: kubeops-bench (ingest|plan|policy|match|edit|commit|push|feedback|replan|draft|process|replicas|slow|outage|history) SUMMARY.jsonl"
        ),
    }
}

fn measure(group: &str, mut report: Report) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let beside = program.parent().map(|directory| directory.join("kubeops")).unwrap_or_default();
    let kubeops = std::env::var_os("KUBEOPS").map_or(beside, PathBuf::from);
    if !kubeops.is_file() {
        bail!("{} is not there; build it first, or name it in KUBEOPS", kubeops.display());
    }
    let scratch = std::env::var_os("BENCH_SCRATCH").map_or_else(std::env::temp_dir, PathBuf::from);
    let setting = Setting { kubeops, scratch, effort: Effort::from_environment() };
    match group {
        "ingest" => ingest::measure(&setting, &mut report),
        "plan" => plan::measure(&setting, &mut report),
        "policy" => policy::measure(&setting, &mut report),
        "match" => matching::measure(&setting, &mut report),
        "edit" => editing::measure(&setting, &mut report),
        "commit" => commit::measure(&setting, &mut report),
        "push" => push::measure(&setting, &mut report),
        "feedback" => feedback::measure(&setting, &mut report),
        "replan" => replan::measure(&setting, &mut report),
        "draft" => drafts::measure(&setting, &mut report),
        "process" => process::measure(&setting, &mut report),
        "replicas" => replicas::measure(&setting, &mut report),
        "slow" => slow::measure(&setting, &mut report),
        "outage" => outage::measure(&setting, &mut report),
        "history" => history::measure(&setting, &mut report),
        _ => bail!(
            "there is no group {group:?}: ingest, plan, policy, match, edit, commit, push, feedback, replan, draft, process, replicas, slow, outage, history"
        ),
    }
}
