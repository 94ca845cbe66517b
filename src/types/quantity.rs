//! Kubernetes quantities, exactly: `512Mi`, `250m`, `1.5`, `2e3`.
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Billionths: the finest that Kubernetes keeps.
const NANO: i128 = 1_000_000_000;
/// Larger numbers than any cluster has, so that sums and products of two stay within 128 bits: 2^63 wholes.
const MOST: i128 = (1 << 63) * NANO;

/// An amount with the unit its author wrote. Two are equal when their amounts are: `1Gi` is `1024Mi`.
#[derive(Debug, Clone, Copy)]
pub struct Quantity {
    nanos: i128,
    unit: Unit,
}

/// A suffix, by its family and its power in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// n, u, m, none, k, M, G, T, P, E: powers of 1000, from -3.
    Decimal(i8),
    /// Ki, Mi, Gi, Ti, Pi, Ei: powers of 1024, from 1; 0 is whole bytes of a binary quantity.
    Binary(i8),
}

/// How an amount that has no exact form is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the next one above.
    Up,
    /// To the next one below.
    Down,
    /// To the nearest one, halves up.
    Nearest,
}

/// Why a text is no quantity, or an amount cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QuantityError(String);

impl Unit {
    const DECIMAL: [(&'static str, i8); 9] = [("n", -3), ("u", -2), ("m", -1), ("k", 1), ("M", 2), ("G", 3), ("T", 4), ("P", 5), ("E", 6)];
    const BINARY: [(&'static str, i8); 6] = [("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];

    fn of(suffix: &str) -> Option<Self> {
        let find = |table: &[(&str, i8)]| table.iter().find(|(name, _)| *name == suffix).map(|(_, power)| *power);
        if suffix.is_empty() {
            return Some(Self::Decimal(0));
        }
        find(&Self::DECIMAL).map(Self::Decimal).or_else(|| find(&Self::BINARY).map(Self::Binary))
    }

    fn suffix(self) -> &'static str {
        let find = |table: &[(&'static str, i8)], power: i8| table.iter().find(|(_, own)| *own == power).map_or("", |(name, _)| *name);
        match self {
            Self::Decimal(power) => find(&Self::DECIMAL, power),
            Self::Binary(power) => find(&Self::BINARY, power),
        }
    }

    /// Billionths in one of it.
    fn nanos(self) -> i128 {
        match self {
            Self::Decimal(power) => 1000_i128.pow(u32::from((power + 3).unsigned_abs())),
            Self::Binary(power) => NANO * 1024_i128.pow(u32::from(power.unsigned_abs())),
        }
    }

    fn smaller(self) -> Option<Self> {
        match self {
            Self::Decimal(power) if power > -3 => Some(Self::Decimal(power - 1)),
            Self::Binary(power) if power > 0 => Some(Self::Binary(power - 1)),
            _ => None,
        }
    }
}

impl Quantity {
    /// A whole number.
    pub fn whole(number: i64) -> Self {
        Self { nanos: i128::from(number) * NANO, unit: Unit::Decimal(0) }
    }

    /// Whether it is a whole number.
    pub fn is_whole(self) -> bool {
        self.nanos % NANO == 0
    }

    /// The whole number it is, or is next to.
    pub fn to_whole(self, rounding: Rounding) -> Option<i64> {
        i64::try_from(divided(self.nanos, NANO, rounding)).ok()
    }

    /// The sum, in the unit of `self`.
    ///
    /// # Errors
    /// When it is larger than any quantity.
    pub fn plus(self, other: Self) -> Result<Self, QuantityError> {
        self.with(self.nanos + other.nanos)
    }

    /// The product with a number without a unit, rounded to a billionth, in the unit of `self`.
    ///
    /// # Errors
    /// When it is larger than any quantity.
    pub fn times(self, factor: Self, rounding: Rounding) -> Result<Self, QuantityError> {
        let product = self.nanos.checked_mul(factor.nanos).ok_or_else(too_large)?;
        self.with(divided(product, NANO, rounding))
    }

    fn with(self, nanos: i128) -> Result<Self, QuantityError> {
        if nanos.abs() > MOST { Err(too_large()) } else { Ok(Self { nanos, unit: self.unit }) }
    }

    /// As a manifest says it: in the author's unit while it is whole in it, else in the largest smaller one in which it is. What is finer
    /// than a thousandth, or a byte of a binary quantity, is rounded.
    pub fn written(self, rounding: Rounding) -> String {
        let mut unit = self.unit;
        let finest = |unit: Unit| matches!(unit, Unit::Decimal(power) if power <= -1) || unit == Unit::Binary(0);
        while self.nanos % unit.nanos() != 0 && !finest(unit) {
            match unit.smaller() {
                Some(smaller) => unit = smaller,
                None => break,
            }
        }
        format!("{}{}", divided(self.nanos, unit.nanos(), rounding), unit.suffix())
    }
}

fn too_large() -> QuantityError {
    QuantityError("the amount is larger than any quantity may be (2^63)".to_owned())
}

fn divided(dividend: i128, divisor: i128, rounding: Rounding) -> i128 {
    let (whole, rest) = (dividend.div_euclid(divisor), dividend.rem_euclid(divisor));
    let up = match rounding {
        Rounding::Up => rest > 0,
        Rounding::Down => false,
        Rounding::Nearest => rest * 2 >= divisor,
    };
    whole + i128::from(up)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let refuse = || QuantityError(format!("{:?} is no quantity; one looks like `2`, `0.5`, `500m` or `512Mi`", shown(text)));
        let end = text.bytes().position(|byte| !(byte.is_ascii_digit() || b"+-.".contains(&byte))).unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (unit, exponent) = match (Unit::of(suffix), suffix.strip_prefix(['e', 'E'])) {
            (Some(unit), _) => (unit, 0),
            (None, Some(exponent)) => (Unit::Decimal(0), exponent.parse::<i32>().map_err(|_| refuse())?),
            (None, None) => return Err(refuse()),
        };
        let (negative, digits) = match number.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) || whole.len() + fraction.len() > 30 {
            return Err(refuse());
        }
        let mantissa: i128 = format!("{whole}{fraction}").parse().map_err(|_| refuse())?;
        let shift = exponent - i32::try_from(fraction.len()).map_err(|_| refuse())?;
        let scaled = mantissa.checked_mul(unit.nanos()).ok_or_else(too_large)?;
        let power = 10_i128.checked_pow(shift.unsigned_abs()).ok_or_else(refuse)?;
        // Kubernetes rounds what is finer than a billionth up.
        let nanos = if shift < 0 { divided(scaled, power, Rounding::Up) } else { scaled.checked_mul(power).ok_or_else(too_large)? };
        Self { nanos: 0, unit }.with(if negative { -nanos } else { nanos })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written(Rounding::Up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quantity(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_quantity_is_read_exactly_and_keeps_its_unit() {
        for (left, right) in
            [("1Gi", "1024Mi"), ("0.5", "500m"), ("1e3", "1k"), ("12E2", "1200"), (".5Gi", "512Mi"), ("1000u", "1m"), ("+3", "3"), ("1.", "1")]
        {
            assert_eq!(quantity(left), quantity(right), "{left}");
        }
        assert!(quantity("999m") < quantity("1") && quantity("1Ki") > quantity("1k") && quantity("-1") < quantity("0"));
        for text in ["512Mi", "250m", "2", "10G", "0", "-3", "1Ei"] {
            assert_eq!(quantity(text).to_string(), text);
        }
        for text in ["", "Mi", "1 Gi", "1gi", "1.2.3", "--1", "1e", "1e1.5", "1e999", "99999999999Ei", "20%", "ten", "1KI", "1_000"] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn sums_and_products_stay_in_the_authors_unit_while_they_are_whole_in_it() {
        let sum = |left: &str, right: &str| quantity(left).plus(quantity(right)).expect("a sum").to_string();
        assert_eq!(sum("512Mi", "512Mi"), "1024Mi");
        assert_eq!(sum("1Gi", "512Mi"), "1536Mi");
        assert_eq!(sum("1.5Gi", "0.5Gi"), "2Gi");
        assert_eq!(sum("900m", "100m"), "1000m");
        assert_eq!(sum("1", "250m"), "1250m");
        assert_eq!(sum("1Gi", "-1Mi"), "1023Mi");
        let product = |left: &str, factor: &str, rounding| quantity(left).times(quantity(factor), rounding).expect("a product").written(rounding);
        assert_eq!(product("1Gi", "1.5", Rounding::Up), "1536Mi");
        assert_eq!(product("100m", "1.333", Rounding::Up), "134m");
        assert_eq!(product("100m", "1.333", Rounding::Down), "133m");
        assert_eq!(product("3", "0.5", Rounding::Up), "1500m");
        assert_eq!(quantity("3").times(quantity("0.5"), Rounding::Up).expect("a product").to_whole(Rounding::Nearest), Some(2));
        assert_eq!(product("3Ki", "0.3333", Rounding::Up), "1024");
        assert!(quantity("1Ei").times(quantity("100"), Rounding::Up).is_err());
        assert!(quantity("1Ei").times(quantity("1Ei"), Rounding::Up).is_err());
    }
}
