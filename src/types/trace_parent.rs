//! Which trace something belongs to, as the W3C writes it. <https://www.w3.org/TR/trace-context/#traceparent-header>

use super::ParseError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A trace, the span in it that others are children of, and whether somebody keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceParent {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// The only flag of version 00 that we heed.
const SAMPLED: u8 = 1;

impl TraceParent {
    /// Of these ids; none when one of them is zero, which stands for nothing.
    pub fn new(trace: u128, span: u64, sampled: bool) -> Option<Self> {
        (trace != 0 && span != 0).then_some(Self { trace, span, sampled })
    }

    /// One that nobody keeps, for the log: its trace is made of these bits, the same for the same.
    pub fn derived(bits: u128) -> Self {
        let low = u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
        Self { trace: bits.max(1), span: low.max(1), sampled: false }
    }

    /// The trace's id as a number; never zero.
    pub fn trace(&self) -> u128 {
        self.trace
    }

    /// The span's id as a number; never zero.
    pub fn span(&self) -> u64 {
        self.span
    }

    /// Whether it is kept somewhere.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The trace's id as 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// The span's id as 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }

    /// The same place, kept or not.
    pub fn with_sampled(self, sampled: bool) -> Self {
        Self { sampled, ..self }
    }
}

impl FromStr for TraceParent {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        read(text).ok_or_else(|| {
            ParseError::new("traceparent", text, "it is `00-<32 digits>-<16 digits>-<2 digits>`, in lower-case hexadecimal, no id zero")
        })
    }
}

/// A later version may say more behind what this one says.
fn read(text: &str) -> Option<TraceParent> {
    let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let well_formed = version.len() == 2 && version != "ff" && trace.len() == 32 && span.len() == 16 && flags.len() == 2;
    let ends = version != "00" || parts.next().is_none();
    if !well_formed || !ends || ![version, trace, span, flags].into_iter().all(is_hex) {
        return None;
    }
    let flags = u8::from_str_radix(flags, 16).ok()?;
    TraceParent::new(u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?, flags & SAMPLED != 0)
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

impl TryFrom<String> for TraceParent {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<TraceParent> for String {
    fn from(parent: TraceParent) -> Self {
        parent.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_is_one() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let plain = format!("00-{trace}-00f067aa0ba902b7-01");
        let parsed: TraceParent = plain.parse().expect("well-formed");
        assert_eq!((parsed.trace_id().as_str(), parsed.span_id().as_str(), parsed.is_sampled()), (trace, "00f067aa0ba902b7", true));
        assert_eq!(parsed.to_string(), plain);
        assert_eq!(format!("cc-{trace}-00f067aa0ba902b7-01-more").parse::<TraceParent>().as_ref(), Ok(&parsed));
        // A flag of a later day does not keep a trace.
        assert!(format!("00-{trace}-00f067aa0ba902b7-02").parse::<TraceParent>().is_ok_and(|parent| !parent.is_sampled()));
        for bad in [
            String::new(),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{trace}-00f067aa0ba902b7-01-more"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
            format!("00-{trace}-00f067aa-01"),
            format!("00-{trace}-00f067aa0ba902b7-0\u{e9}"),
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad}");
        }
    }
}
