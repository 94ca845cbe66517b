//! What Kubernetes adds to lists, and its sets, which are lists read without order.

use super::{Call, Entry, Outcome, boolean, list, mismatch, number};
use cel::ExecutionError;
use cel::common::types::{CelDouble, CelInt, CelUInt};
use cel::common::value::{CowVal, Val};
use std::cmp::Ordering;

pub(super) const ENTRIES: &[Entry] = &[
    ("isSorted", Call::Member, 0, |args| {
        let mut sorted = true;
        for pair in list("isSorted", &args, 0)?.windows(2) {
            sorted &= order("isSorted", pair[0], pair[1])? != Ordering::Greater;
        }
        Ok(boolean(sorted))
    }),
    ("sum", Call::Member, 0, |args| sum(&args)),
    ("min", Call::Member, 0, |args| extreme("min", &args, Ordering::Less)),
    ("max", Call::Member, 0, |args| extreme("max", &args, Ordering::Greater)),
    ("indexOf", Call::OfList, 1, |args| {
        let found = list("indexOf", &args, 0)?.iter().position(|item| item.equals(args[1].as_ref()));
        Ok(number(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1)))
    }),
    ("lastIndexOf", Call::OfList, 1, |args| {
        let found = list("lastIndexOf", &args, 0)?.iter().rposition(|item| item.equals(args[1].as_ref()));
        Ok(number(found.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1)))
    }),
    ("includes", Call::OfList, 1, |args| Ok(boolean(list("includes", &args, 0)?.iter().any(|item| item.equals(args[1].as_ref()))))),
    ("sets.contains", Call::Global, 2, |args| Ok(boolean(contains(&list("sets.contains", &args, 0)?, &list("sets.contains", &args, 1)?)))),
    ("sets.equivalent", Call::Global, 2, |args| {
        let (one, other) = (list("sets.equivalent", &args, 0)?, list("sets.equivalent", &args, 1)?);
        Ok(boolean(contains(&one, &other) && contains(&other, &one)))
    }),
    ("sets.intersects", Call::Global, 2, |args| {
        let (one, other) = (list("sets.intersects", &args, 0)?, list("sets.intersects", &args, 1)?);
        Ok(boolean(one.iter().any(|item| other.iter().any(|other| item.equals(*other)))))
    }),
];

/// Whether every element of `part` is in `whole`.
fn contains(whole: &[&dyn Val], part: &[&dyn Val]) -> bool {
    part.iter().all(|item| whole.iter().any(|other| item.equals(*other)))
}

fn order(function: &str, one: &dyn Val, other: &dyn Val) -> Result<Ordering, ExecutionError> {
    let comparer = one.as_comparer().ok_or_else(|| ExecutionError::function_error(function, "the elements have no order"))?;
    comparer.compare(other).map_err(|_| ExecutionError::function_error(function, "the elements cannot be compared with one another"))
}

fn sum<'b, 'v>(args: &[CowVal<'_, 'v>]) -> Outcome<'b, 'v> {
    let items = list("sum", args, 0)?;
    let unfit = || ExecutionError::function_error("sum", "the elements cannot be added up");
    let Some((first, rest)) = items.split_first() else { return Ok(number(0)) };
    if let Some(first) = first.downcast_ref::<CelInt>() {
        let add = |sum: i64, item: &&(dyn Val + 'v)| sum.checked_add(*item.downcast_ref::<CelInt>()?.inner());
        return rest.iter().try_fold(*first.inner(), add).map(number).ok_or_else(unfit);
    }
    if let Some(first) = first.downcast_ref::<CelUInt>() {
        let add = |sum: u64, item: &&(dyn Val + 'v)| sum.checked_add(*item.downcast_ref::<CelUInt>()?.inner());
        return rest.iter().try_fold(*first.inner(), add).map(|sum| CowVal::owned(CelUInt::from(sum))).ok_or_else(unfit);
    }
    if let Some(first) = first.downcast_ref::<CelDouble>() {
        let add = |sum: f64, item: &&(dyn Val + 'v)| Some(sum + *item.downcast_ref::<CelDouble>()?.inner());
        return rest.iter().try_fold(*first.inner(), add).map(|sum| CowVal::owned(CelDouble::from(sum))).ok_or_else(unfit);
    }
    Err(mismatch("sum", args))
}

fn extreme<'b, 'v>(function: &str, args: &[CowVal<'_, 'v>], wanted: Ordering) -> Outcome<'b, 'v> {
    let items = list(function, args, 0)?;
    let Some((first, rest)) = items.split_first() else { return Err(ExecutionError::function_error(function, "the list is empty")) };
    let mut best = *first;
    for item in rest {
        if order(function, *item, best)? == wanted {
            best = *item;
        }
    }
    Ok(CowVal::Owned(best.clone_as_boxed()))
}
