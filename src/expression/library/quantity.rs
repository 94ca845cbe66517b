//! `quantity("1.5Gi")`: Kubernetes' amounts, exact to a billionth.
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>

use super::{Args, Call, Entry, Kube, Outcome, boolean, kube, mismatch, number, text};
use cel::ExecutionError;
use cel::common::types::{CelDouble, CelInt};
use cel::common::value::CowVal;
use std::cmp::Ordering;

/// Billionths of one.
const ONE: i128 = 1_000_000_000;

/// An amount in billionths; what is smaller is rounded away from zero, as Kubernetes does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::expression) struct Quantity(i128);

impl Quantity {
    /// Reads `100m`, `1.5Gi`, `2e3`.
    fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let digits = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (amount, suffix) = unsigned.split_at(digits);
        let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || amount.len() > 60 {
            return None;
        }
        let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
        let places = u32::try_from(fraction.len()).ok()?;
        let (up, down) = scale(suffix)?;
        let numerator = mantissa.checked_mul(up)?.checked_mul(ONE)?;
        let denominator = 10_i128.checked_pow(places)?.checked_mul(down)?;
        let rounded = numerator / denominator + i128::from(numerator % denominator != 0);
        Some(Self(if text.starts_with('-') { -rounded } else { rounded }))
    }

    fn as_integer(self) -> Option<i64> {
        (self.0 % ONE == 0).then(|| i64::try_from(self.0 / ONE).ok()).flatten()
    }

    #[expect(clippy::cast_precision_loss, reason = "the function is called asApproximateFloat")]
    fn as_float(self) -> f64 {
        self.0 as f64 / ONE as f64
    }
}

/// What a suffix multiplies and divides with.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((1024_i128.pow(power), 1));
    let decimal = |power: u32| Some((10_i128.pow(power), 1));
    match suffix {
        "" => decimal(0),
        "n" => Some((1, 1_000_000_000)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            Some(if exponent < 0 { (1, power) } else { (power, 1) })
        }
    }
}

pub(super) const ENTRIES: &[Entry] = &[
    ("quantity", Call::Global, 1, make),
    ("isQuantity", Call::Global, 1, |args| Ok(boolean(Quantity::parse(text("isQuantity", &args, 0)?).is_some()))),
    ("isInteger", Call::Member, 0, |args| Ok(boolean(own("isInteger", &args)?.as_integer().is_some()))),
    ("asInteger", Call::Member, 0, as_integer),
    ("asApproximateFloat", Call::Member, 0, |args| Ok(CowVal::owned(CelDouble::from(own("asApproximateFloat", &args)?.as_float())))),
    ("sign", Call::Member, 0, |args| Ok(number(i64::try_from(own("sign", &args)?.0.signum()).unwrap_or_default()))),
    ("add", Call::Member, 1, |args| combine("add", &args, i128::checked_add)),
    ("sub", Call::Member, 1, |args| combine("sub", &args, i128::checked_sub)),
    ("isGreaterThan", Call::Member, 1, |args| Ok(boolean(compare("isGreaterThan", &args)? == Ordering::Greater))),
    ("isLessThan", Call::Member, 1, |args| Ok(boolean(compare("isLessThan", &args)? == Ordering::Less))),
    ("compareTo", Call::Member, 1, |args| Ok(number(compare("compareTo", &args)? as i64))),
];

fn make<'b, 'v>(args: Args<'b, 'v>) -> Outcome<'b, 'v> {
    let parsed = Quantity::parse(text("quantity", &args, 0)?);
    parsed.map(|quantity| CowVal::owned(Kube::Quantity(quantity))).ok_or_else(|| ExecutionError::function_error("quantity", "this is no quantity"))
}

fn as_integer<'b, 'v>(args: Args<'b, 'v>) -> Outcome<'b, 'v> {
    let integer = own("asInteger", &args)?.as_integer();
    integer.map(number).ok_or_else(|| ExecutionError::function_error("asInteger", "the quantity is no whole number of 64 bits"))
}

fn own(function: &str, args: &[CowVal<'_, '_>]) -> Result<Quantity, ExecutionError> {
    match kube(function, args, 0)? {
        Kube::Quantity(quantity) => Ok(*quantity),
        _ => Err(mismatch(function, args)),
    }
}

/// The quantity it is added to or taken from: another quantity, or a whole number.
fn combine<'b, 'v>(function: &str, args: &[CowVal<'_, '_>], with: fn(i128, i128) -> Option<i128>) -> Outcome<'b, 'v> {
    let other = match args.get(1).and_then(|value| value.downcast_ref::<CelInt>()) {
        Some(whole) => Quantity(i128::from(*whole.inner()) * ONE),
        None => own(function, args.get(1..).unwrap_or_default())?,
    };
    let result = with(own(function, args)?.0, other.0);
    result.map(|sum| CowVal::owned(Kube::Quantity(Quantity(sum)))).ok_or_else(|| ExecutionError::function_error(function, "the result is too large"))
}

/// How the first argument stands to the second: two quantities, or two versions.
fn compare(function: &str, args: &[CowVal<'_, '_>]) -> Result<Ordering, ExecutionError> {
    match (kube(function, args, 0)?, kube(function, args, 1)?) {
        (Kube::Quantity(one), Kube::Quantity(other)) => Ok(one.cmp(other)),
        (Kube::Version(one), Kube::Version(other)) => Ok(one.cmp(other)),
        _ => Err(mismatch(function, args)),
    }
}
