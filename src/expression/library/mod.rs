//! Kubernetes' own CEL functions, beside the standard ones: quantities, addresses, lists, sets, regular expressions, formats, versions.
//! Every function is a plain Rust function over values; none reads anything but its arguments.
//! <https://kubernetes.io/docs/reference/using-api/cel/>

mod format;
mod lists;
mod net;
mod quantity;
mod regular;
mod url;
#[cfg(test)]
mod tests;
mod value;
mod version;

pub(super) use regular::{Patterns, metered};
pub(super) use value::Kube;

use super::functions::{Arity, Function};
use cel::common::functions::Function as Operation;
use cel::common::types::{CelBool, CelInt, CelString, DYN_TYPE, LIST_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{Env, ExecutionError};
use std::sync::{Arc, LazyLock};

type Args<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Outcome<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// How a function is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// `name(x)`.
    Global,
    /// `x.name()`, on anything.
    Member,
    /// `x.name()`, on a list: a text has a function of that name already.
    OfList,
}

/// Name, how it is called, the number of arguments beside the value it is called on, and what it does.
pub(super) type Entry = (&'static str, Call, usize, Operation);

/// What the library of each subject holds.
const SUBJECTS: &[&[Entry]] = &[quantity::ENTRIES, lists::ENTRIES, regular::ENTRIES, url::ENTRIES, net::ENTRIES, format::ENTRIES, version::ENTRIES];

/// CEL with everything that Kubernetes adds, and what keeps it within bounds.
pub(super) static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    for extension in [cel::extensions::strings, cel::extensions::math, cel::extensions::lists] {
        if let Err(error) = extension(&mut env) {
            unreachable!("the shipped CEL extensions do not overlap: {error}");
        }
    }
    for (name, call, count, operation) in SUBJECTS.iter().copied().flatten().chain(super::meter::ENTRIES).chain(regular::METERED) {
        let id = format!("kubernetes.{name}.{count}.{}", *call as u8);
        let arguments = std::iter::repeat_with(|| DYN_TYPE).take(*count).collect();
        let added = match call {
            Call::Global => env.add_overload(name, &id, arguments, *operation),
            Call::Member => env.add_member_overload(name, &id, DYN_TYPE, arguments, *operation),
            Call::OfList => env.add_member_overload(name, &id, LIST_TYPE, arguments, *operation),
        };
        if let Err(error) = added {
            unreachable!("Kubernetes' functions do not overlap with the standard ones: {error}");
        }
    }
    Arc::new(env)
});

/// A function that only what this crate rewrites can call.
pub(super) const fn internal(name: &'static str, count: usize, operation: Operation) -> Entry {
    (name, Call::Global, count, operation)
}

/// Names and numbers of arguments, for the check at load.
pub(super) static FUNCTIONS: LazyLock<Vec<Function>> = LazyLock::new(|| {
    let mut functions: Vec<Function> = Vec::new();
    let extension =
        [("slice", 2), ("flatten", 0), ("flatten", 1), ("distinct", 0), ("sort", 0), ("sortBy", 2)].map(|(name, count)| (name, false, count));
    let own = SUBJECTS.iter().copied().flatten().map(|(name, call, count, _)| (*name, *call == Call::Global, *count));
    for (name, global, count) in extension.into_iter().chain([("lists.range", true, 1)]).chain(own) {
        let at = functions.iter().position(|function| function.name == name).unwrap_or_else(|| {
            functions.push(Function { name, global: None, member: None });
            functions.len() - 1
        });
        let arity: &mut Option<Arity> = if global { &mut functions[at].global } else { &mut functions[at].member };
        let (fewest, most) = arity.unwrap_or((count, count));
        *arity = Some((fewest.min(count), most.max(count)));
    }
    functions
});

/// A text among the arguments.
fn text<'a>(function: &str, args: &'a [CowVal<'_, '_>], at: usize) -> Result<&'a str, ExecutionError> {
    let value: &dyn Val = args.get(at).map(|value| value.as_ref()).ok_or_else(|| mismatch(function, args))?;
    value.downcast_ref::<CelString<'_>>().map(CelString::inner).ok_or_else(|| mismatch(function, args))
}

/// A whole number among the arguments.
fn int(function: &str, args: &[CowVal<'_, '_>], at: usize) -> Result<i64, ExecutionError> {
    let value = args.get(at).and_then(|value| value.downcast_ref::<CelInt>());
    value.map(|value| *value.inner()).ok_or_else(|| mismatch(function, args))
}

/// One of Kubernetes' own values among the arguments.
fn kube<'a>(function: &str, args: &'a [CowVal<'_, '_>], at: usize) -> Result<&'a Kube, ExecutionError> {
    args.get(at).and_then(|value| value.downcast_ref::<Kube>()).ok_or_else(|| mismatch(function, args))
}

/// The elements of a list among the arguments.
fn list<'a, 'v>(function: &str, args: &'a [CowVal<'_, 'v>], at: usize) -> Result<Vec<&'a (dyn Val + 'v)>, ExecutionError> {
    let value: &'a (dyn Val + 'v) = args.get(at).map(|value| value.as_ref()).ok_or_else(|| mismatch(function, args))?;
    let list = value.downcast_ref::<cel::common::types::CelList<'_>>().ok_or_else(|| mismatch(function, args))?;
    Ok(list.inner().iter().map(AsRef::as_ref).collect())
}

/// The function does not take values of these types.
fn mismatch(function: &str, args: &[CowVal<'_, '_>]) -> ExecutionError {
    ExecutionError::no_such_overload(function, args.iter().map(|value| value.get_type().name().to_owned()).collect())
}

fn boolean<'b, 'v>(value: bool) -> CowVal<'b, 'v> {
    CowVal::owned(CelBool::from(value))
}

fn number<'b, 'v>(value: i64) -> CowVal<'b, 'v> {
    CowVal::owned(CelInt::from(value))
}

fn string<'b, 'v>(value: impl Into<String>) -> CowVal<'b, 'v> {
    CowVal::owned(CelString::from(value.into()))
}
