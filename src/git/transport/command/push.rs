//! Pushing with the git program: commits of ours as one pack in a directory of their own, every branch under its lease, all in one process.
//! The mirror is not written to, and nothing of the pack stays.

use super::environment::REMOTE;
use super::{GitCommand, Talk, fetch, judge, words};
use crate::git::GitError;
use crate::git::error::plain;
use crate::git::open::open_in_memory;
use crate::git::proposal::Proposals;
use crate::git::transport::{Expected, Place, PushReport, Pushed, RefUpdate};
use crate::types::CommitSha;
use git2::Oid;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Most branches one process is given: their arguments stay far from the system's limit.
const MOST_BRANCHES: usize = 256;

type Outcome = Result<Pushed, GitError>;

/// Updates branches; see [`super::super::Transport::push`].
pub(super) fn push(git: &GitCommand, place: &Place, updates: &[RefUpdate]) -> Result<PushReport, GitError> {
    let base = look_at_the_base(git, place, updates)?;
    let mut outcomes = Vec::with_capacity(updates.len());
    for some in updates.chunks(MOST_BRANCHES) {
        outcomes.extend(push_some(git, place, some)?);
    }
    Ok(PushReport { results: outcomes, base })
}

/// git leaves out of the pack what the remote's branches hold, as far as the mirror knows it. When the base has moved since it was
/// fetched, that is nothing, and the whole history would be sent.
fn look_at_the_base(git: &GitCommand, place: &Place, updates: &[RefUpdate]) -> Result<Option<CommitSha>, GitError> {
    if git.saw_base_lately(place) || updates.iter().all(|update| update.commit.is_none()) {
        return Ok(None);
    }
    match fetch::base(git, place) {
        // The branches may be pushed whatever became of the base.
        Ok(tip) => Ok(Some(tip)),
        Err(GitError::NoBranch { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn push_some(git: &GitCommand, place: &Place, updates: &[RefUpdate]) -> Result<Vec<Outcome>, GitError> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; updates.len()];
    // git deletes a branch that is not there without a word; where a lease tells, it is not asked.
    if updates.iter().any(|update| update.commit.is_none() && update.expected == Expected::Any) {
        let tips = fetch::tips(git, place)?;
        for (update, outcome) in updates.iter().zip(&mut outcomes).filter(|(update, _)| update.commit.is_none()) {
            *outcome = (!tips.contains_key(&update.branch.full_ref())).then_some(Ok(Pushed::AlreadyThere));
        }
    }
    let mut talk = git.talk(place)?;
    stage(&mut talk, updates, &mut outcomes)?;
    let waiting: Vec<&RefUpdate> = updates.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_none()).map(|(update, _)| update).collect();
    if !waiting.is_empty() {
        let heard = talk.run(&arguments(&waiting), None)?;
        let lines = Line::read(&heard.finished.stdout);
        // A pack that could not be made fails every branch at the server, which cannot tell why.
        if let Some(error) = heard.failure.filter(|error| lines.is_empty() || matches!(error, GitError::Corrupt { .. })) {
            return Err(objects_left_out(place, updates, error));
        }
        let said = judge::remote_words(&heard.finished.stderr);
        for (update, outcome) in updates.iter().zip(&mut outcomes).filter(|(_, outcome)| outcome.is_none()) {
            *outcome = Some(judged(place, update, lines.get(&update.branch.full_ref()), &said));
        }
        find_the_moved(git, place, updates, &mut outcomes)?;
    }
    let bug = || GitError::Bug { repository: place.remote.name.clone(), message: "nothing was told of a branch".to_owned() };
    Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(|| Err(bug()))).collect())
}

/// A partial mirror lacks what it was not asked for: when the base was rewritten, that may be what a commit on the old base stands
/// on. Then the commit is to be made again on the new one.
fn objects_left_out(place: &Place, updates: &[RefUpdate], error: GitError) -> GitError {
    let commit = updates.iter().find_map(|update| update.commit.clone());
    match (error, commit) {
        (GitError::Corrupt { repository, .. }, Some(commit)) if place.remote.git.partial_clone => GitError::NoCommit { repository, commit },
        (error, _) => error,
    }
}

/// Puts the objects of the commits to be pushed into a pack beside the mirror, which git is told of for this one run.
fn stage(talk: &mut Talk<'_>, updates: &[RefUpdate], outcomes: &mut [Option<Outcome>]) -> Result<(), GitError> {
    let place = talk.place;
    let name = &place.remote.name;
    let local = |error: git2::Error| GitError::local(name, &error);
    let repository = open_in_memory(&place.path).map_err(local)?;
    let proposals = Proposals::of(name, &place.path);
    let mut objects: Vec<Oid> = Vec::new();
    for (update, outcome) in updates.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_none()) {
        let Some(commit) = &update.commit else { continue };
        *outcome = match proposals.load_telling(&repository, commit, &mut objects) {
            Ok(Some(_)) => None,
            Ok(None) => Some(Err(GitError::NoCommit { repository: name.clone(), commit: commit.clone() })),
            Err(error) => Some(Err(error)),
        };
    }
    if objects.is_empty() {
        return Ok(());
    }
    objects.sort_unstable();
    objects.dedup();
    let quarantine = talk.directory.path().join("objects");
    fs::create_dir_all(quarantine.join("pack")).map_err(|error| GitError::storage(name, &error))?;
    pack(&repository, &objects, &quarantine.join("pack")).map_err(local)?;
    talk.command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted(&quarantine));
    Ok(())
}

fn pack(repository: &git2::Repository, objects: &[Oid], directory: &Path) -> Result<(), git2::Error> {
    let mut builder = repository.packbuilder()?;
    builder.set_threads(1);
    for object in objects {
        builder.insert_object(*object, None)?;
    }
    builder.write(directory, 0o600)
}

/// A path in a list whose parts are separated by colons: as a C string in quotes (`git(1)`).
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\""))
}

fn arguments(updates: &[&RefUpdate]) -> Vec<String> {
    let mut arguments = words(&["push", "--porcelain", "--progress", "--no-verify", "--no-signed", "--no-follow-tags"]);
    for update in updates {
        let expected = match &update.expected {
            Expected::Any => continue,
            Expected::Absent => "",
            Expected::At(commit) => commit.as_str(),
        };
        arguments.push(format!("--force-with-lease={}:{expected}", update.branch.full_ref()));
    }
    arguments.push(REMOTE.to_owned());
    for update in updates {
        let source = update.commit.as_ref().map_or("", CommitSha::as_str);
        // A plus would overrule the lease.
        let force = if update.expected == Expected::Any && update.commit.is_some() { "+" } else { "" };
        arguments.push(format!("{force}{source}:{}", update.branch.full_ref()));
    }
    arguments
}

/// What `git push --porcelain` says of one branch: `<flag> TAB <from>:<to> TAB <summary> (<reason>)`.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    flag: char,
    summary: String,
}

impl Line {
    /// By the full reference at the remote.
    fn read(stdout: &[u8]) -> HashMap<String, Self> {
        let text = String::from_utf8_lossy(stdout);
        let line = |line: &str| {
            let mut parts = line.splitn(3, '\t');
            let (flag, references, summary) = (parts.next()?, parts.next()?, parts.next()?);
            let mut flag = flag.chars();
            let (Some(flag), None) = (flag.next(), flag.next()) else { return None };
            let to = references.rsplit_once(':')?.1;
            Some((to.to_owned(), Self { flag, summary: summary.to_owned() }))
        };
        text.lines().filter_map(line).collect()
    }
}

/// What the word about one branch means. `said` is what the server's hooks printed.
fn judged(place: &Place, update: &RefUpdate, line: Option<&Line>, said: &str) -> Outcome {
    let (repository, branch) = (place.remote.name.clone(), update.branch.clone());
    let Some(line) = line else { return Err(GitError::Network { repository, message: format!("the server told nothing of {branch}") }) };
    match line.flag {
        '=' => Ok(Pushed::AlreadyThere),
        ' ' | '+' | '*' | '-' => Ok(Pushed::Updated),
        _ if super::super::RACED.iter().any(|word| line.summary.contains(word)) => Err(GitError::Moved { repository, branch, found: None }),
        _ if ["remote failure", "unpacker error", "remote unpack failed"].iter().any(|word| line.summary.contains(word)) => {
            Err(GitError::Network { repository, message: plain(&format!("{} {said}", line.summary), 400) })
        }
        _ => Err(GitError::Rejected { repository, branch, message: plain(&format!("{} {said}", line.summary), 600) }),
    }
}

/// git says that a lease is lost and not where the branch is. That is looked up for all of them at once, and one that is where it
/// was wanted was brought there by an attempt whose answer was lost.
fn find_the_moved(git: &GitCommand, place: &Place, updates: &[RefUpdate], outcomes: &mut [Option<Outcome>]) -> Result<(), GitError> {
    let moved = |outcome: &Option<Outcome>| matches!(outcome, Some(Err(GitError::Moved { .. })));
    if !outcomes.iter().any(moved) {
        return Ok(());
    }
    let tips = fetch::tips(git, place)?;
    for (update, outcome) in updates.iter().zip(outcomes).filter(|(_, outcome)| moved(outcome)) {
        let found = tips.get(&update.branch.full_ref()).cloned();
        *outcome = Some(match found == update.commit {
            true => Ok(Pushed::AlreadyThere),
            false => Err(GitError::Moved { repository: place.remote.name.clone(), branch: update.branch.clone(), found }),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_push_are_read_by_branch() {
        let said = "To file:///srv/x.git\n*\tabc:refs/heads/new\t[new branch]\n+\tabc:refs/heads/moved\t1...2 (forced update)\n \tabc:refs/heads/on\t1..2\n\
                    =\tabc:refs/heads/same\t[up to date]\n-\t:refs/heads/gone\t[deleted]\n!\t(delete):refs/heads/kept\t[rejected] (stale info)\nDone\n";
        let lines = Line::read(said.as_bytes());
        let flags: Vec<char> = ["new", "moved", "on", "same", "gone", "kept"].iter().map(|name| lines[&format!("refs/heads/{name}")].flag).collect();
        assert_eq!(flags, ['*', '+', ' ', '=', '-', '!']);
        assert_eq!(lines["refs/heads/kept"].summary, "[rejected] (stale info)");
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn a_lease_is_never_overruled_by_force() {
        let update = |commit: Option<&str>, expected| RefUpdate {
            branch: "kubeops/x".parse().expect("a branch"),
            commit: commit.map(|commit| commit.repeat(40).parse().expect("a commit")),
            expected,
        };
        let at = || Expected::At("b".repeat(40).parse().expect("a commit"));
        let told = |update: RefUpdate| arguments(&[&update]).split_off(6).join(" ");
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        assert_eq!(told(update(Some("a"), Expected::Absent)), format!("--force-with-lease=refs/heads/kubeops/x: upstream {a}:refs/heads/kubeops/x"));
        assert_eq!(told(update(Some("a"), at())), format!("--force-with-lease=refs/heads/kubeops/x:{b} upstream {a}:refs/heads/kubeops/x"));
        assert_eq!(told(update(Some("a"), Expected::Any)), format!("upstream +{a}:refs/heads/kubeops/x"));
        assert_eq!(told(update(None, at())), format!("--force-with-lease=refs/heads/kubeops/x:{b} upstream :refs/heads/kubeops/x"));
        assert_eq!(told(update(None, Expected::Any)), "upstream :refs/heads/kubeops/x");
    }
}
