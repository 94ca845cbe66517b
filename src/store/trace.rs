//! What a person has in hand when they ask what became of something, and what it may be of ours. Plain values.

use crate::types::{BranchName, DeliveryId, EventId, RepositoryName, RequestId};

/// The shortest beginning of a commit's id that is looked for.
const SHORTEST_COMMIT: usize = 7;

/// A thing that requests can be found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clue {
    /// A request.
    Request(RequestId),
    /// A delivery: the requests its events opened, joined or told of.
    Delivery(DeliveryId),
    /// An event.
    Event(EventId),
    /// A pull request, also one that its request had before it was asked for again: its number, and the repository by our name or the end of its address (`/acme/gitops/pull/12`), where it was said.
    Pull {
        /// Our name of the repository.
        repository: Option<RepositoryName>,
        /// The end of its address.
        address: Option<String>,
        /// Its number.
        number: u64,
    },
    /// The beginning of a commit's id, in lower case and of seven digits or more: one that holds a change, was on the branch, or merged it.
    Commit(String),
    /// A head branch.
    Branch(BranchName),
    /// Anything else: a correlation key, the key of a member, or what an event was about, such as a ticket's key or an alert's fingerprint.
    Name(String),
}

impl Clue {
    /// Everything a text may be. It is always a name too.
    pub fn all_of(text: &str) -> Vec<Self> {
        let text = text.trim();
        let ids = [text.parse().ok().map(Self::Request), text.parse().ok().map(Self::Delivery), text.parse().ok().map(Self::Event)];
        let commit = (SHORTEST_COMMIT..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let branch = text.strip_prefix("refs/heads/").unwrap_or(text);
        let branch = if branch.contains('/') { branch.parse().ok().map(Self::Branch) } else { None };
        let others = [pull(text), commit.then(|| Self::Commit(text.to_ascii_lowercase())), branch, Some(Self::Name(text.to_owned()))];
        ids.into_iter().chain(others).flatten().collect()
    }
}

/// `#12`, `gitops#12`, `acme/gitops#12`, `gitops/12`, or the address of a pull request.
fn pull(text: &str) -> Option<Clue> {
    let number = |text: &str| text.parse::<u64>().ok().filter(|number| *number > 0);
    if let Some((_, path)) = text.split_once("://").and_then(|(_, rest)| rest.split_once('/')) {
        let parts: Vec<&str> = path.split(['/', '?', '#']).collect();
        let place = parts.iter().position(|part| matches!(*part, "pull" | "pulls")).filter(|place| *place >= 1)?;
        let next = parts.get(place + 1)?;
        // One of the local forge: `/api/v1/pulls/gitops/12`.
        if let (Ok(name), Some(number)) = (next.parse::<RepositoryName>(), parts.get(place + 2).and_then(|part| number(part))) {
            return Some(Clue::Pull { repository: Some(name), address: None, number });
        }
        let number = number(next)?;
        return Some(Clue::Pull {
            repository: None,
            address: Some(format!("/{}/{number}", parts[place.saturating_sub(2)..=place].join("/"))),
            number,
        });
    }
    let (place, number) = match text.split_once('#') {
        Some((place, digits)) => (place, number(digits)?),
        None => (text.rsplit_once('/')?.0, number(text.rsplit_once('/')?.1)?),
    };
    match (place.is_empty(), place.parse::<RepositoryName>(), place.split_once('/')) {
        (true, _, _) => Some(Clue::Pull { repository: None, address: None, number }),
        (_, Ok(name), _) => Some(Clue::Pull { repository: Some(name), address: None, number }),
        (_, _, Some(_)) if text.contains('#') => Some(Clue::Pull { repository: None, address: Some(format!("/{place}/pull/{number}")), number }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulls(text: &str) -> Option<(Option<String>, Option<String>, u64)> {
        Clue::all_of(text).into_iter().find_map(|clue| match clue {
            Clue::Pull { repository, address, number } => Some((repository.map(|name| name.to_string()), address, number)),
            _ => None,
        })
    }

    #[test]
    fn a_pull_request_is_named_as_people_name_it() {
        let address = Some("/acme/gitops/pull/12".to_owned());
        assert_eq!(pulls("https://github.com/acme/gitops/pull/12"), Some((None, address.clone(), 12)));
        assert_eq!(pulls("https://git.example.com:8443/acme/gitops/pull/12/files?diff=split#r1"), Some((None, address.clone(), 12)));
        assert_eq!(pulls("acme/gitops#12"), Some((None, address, 12)));
        assert_eq!(pulls("gitops#12"), Some((Some("gitops".to_owned()), None, 12)));
        assert_eq!(pulls("gitops/12"), Some((Some("gitops".to_owned()), None, 12)));
        assert_eq!(pulls("#12"), Some((None, None, 12)));
        assert_eq!(pulls("https://kubeops.example/api/v1/pulls/gitops/12"), Some((Some("gitops".to_owned()), None, 12)));
        for other in ["OPS-42", "12", "gitops#", "gitops#x", "gitops#0", "https://github.com/acme/gitops", "kubeops/namespace-request/ops-42-abc"] {
            assert_eq!(pulls(other), None, "{other}");
        }
    }

    #[test]
    fn a_text_may_be_several_things_and_is_always_a_name() {
        assert_eq!(Clue::all_of(" OPS-42 "), [Clue::Name("OPS-42".to_owned())]);
        let fingerprint = "0123456789abcdef";
        assert_eq!(Clue::all_of(fingerprint), [Clue::Commit(fingerprint.to_owned()), Clue::Name(fingerprint.to_owned())]);
        assert_eq!(Clue::all_of("ABCDEF0")[0], Clue::Commit("abcdef0".to_owned()));
        assert_eq!(Clue::all_of("abcdef").len(), 1, "too short for a commit");
        let branch = "kubeops/namespace-request/ops-42-0123456789";
        assert_eq!(Clue::all_of(&format!("refs/heads/{branch}"))[0], Clue::Branch(branch.parse().expect("a branch")));
        let id = "req_01kajz0000000000000000000a";
        assert_eq!(Clue::all_of(id)[0], Clue::Request(id.parse().expect("an id")));
    }
}
