//! `semver("1.2.3")`: versions and their order. <https://semver.org/>

use super::{Args, Call, Entry, Kube, Outcome, boolean, kube, mismatch, number, text};
use cel::ExecutionError;
use cel::common::types::CelBool;
use cel::common::value::CowVal;
use std::cmp::Ordering;

/// A version without what its build adds, which has no order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::expression) struct Version {
    numbers: [u64; 3],
    before: Vec<String>,
}

impl Version {
    /// Reads `1.2.3-rc.1+build`; `lenient` also `v1.2` and leading zeros.
    fn parse(text: &str, lenient: bool) -> Option<Self> {
        let text = if lenient { text.trim().trim_start_matches('v') } else { text };
        let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
        let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
        let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !build.into_iter().chain(before).flat_map(|text| text.split('.')).all(word) {
            return None;
        }
        let leading_zero = |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        let parts: Vec<&str> = core.split('.').collect();
        let before: Vec<String> = before.into_iter().flat_map(|text| text.split('.')).map(str::to_owned).collect();
        let right = parts.len() == 3 && !parts.iter().any(|part| leading_zero(part));
        if parts.len() > 3 || !lenient && !right || before.iter().any(|part| leading_zero(part)) {
            return None;
        }
        let mut numbers = [0; 3];
        for (number, part) in numbers.iter_mut().zip(&parts) {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            *number = part.parse().ok()?;
        }
        Some(Self { numbers, before })
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let part = |one: &String, other: &String| match (one.parse::<u64>(), other.parse::<u64>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => one.cmp(other),
        };
        let before = || match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let differing = self.before.iter().zip(&other.before).map(|(one, other)| part(one, other)).find(|order| order.is_ne());
                differing.unwrap_or_else(|| self.before.len().cmp(&other.before.len()))
            }
        };
        self.numbers.cmp(&other.numbers).then_with(before)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

pub(super) const ENTRIES: &[Entry] = &[
    ("semver", Call::Global, 1, make),
    ("semver", Call::Global, 2, make),
    ("isSemver", Call::Global, 1, |args| Ok(boolean(read("isSemver", &args)?.is_some()))),
    ("isSemver", Call::Global, 2, |args| Ok(boolean(read("isSemver", &args)?.is_some()))),
    ("major", Call::Member, 0, |args| part("major", &args, 0)),
    ("minor", Call::Member, 0, |args| part("minor", &args, 1)),
    ("patch", Call::Member, 0, |args| part("patch", &args, 2)),
];

fn read(function: &str, args: &[CowVal<'_, '_>]) -> Result<Option<Version>, ExecutionError> {
    let lenient = match args.get(1) {
        None => false,
        Some(value) => *value.downcast_ref::<CelBool>().ok_or_else(|| mismatch(function, args))?.inner(),
    };
    Ok(Version::parse(text(function, args, 0)?, lenient))
}

fn make<'b, 'v>(args: Args<'b, 'v>) -> Outcome<'b, 'v> {
    let version = read("semver", &args)?.ok_or_else(|| ExecutionError::function_error("semver", "this is no version"))?;
    Ok(CowVal::owned(Kube::Version(version)))
}

fn part<'b, 'v>(function: &str, args: &[CowVal<'_, '_>], at: usize) -> Outcome<'b, 'v> {
    match kube(function, args, 0)? {
        Kube::Version(version) => Ok(number(i64::try_from(version.numbers[at]).unwrap_or(i64::MAX))),
        _ => Err(mismatch(function, args)),
    }
}
