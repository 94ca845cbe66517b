//! Ids: a prefix that says of what, then a ULID (26 characters, sorts by time). <https://github.com/ulid/spec>

use super::{ParseError, Timestamp, text_type};
use std::str::FromStr;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $what:literal) => {
        text_type!($(#[$doc])* $name, concat!("^", $prefix, "_[0-9a-hjkmnp-tv-z]{26}$"));

        impl $name {
            /// What every id of this type starts with.
            pub const PREFIX: &'static str = $prefix;

            /// The id for a moment and 80 random bits (the upper 48 bits of `random` are not used).
            pub fn from_parts(at: Timestamp, random: u128) -> Self {
                let ulid = ulid::Ulid::from_parts(at.unix_millis().max(0).unsigned_abs(), random);
                Self(format!(concat!($prefix, "_{}"), ulid.to_string().to_ascii_lowercase()))
            }

            /// Its ULID as a number.
            pub fn bits(&self) -> u128 {
                self.0.strip_prefix(concat!($prefix, "_")).and_then(|ulid| ulid::Ulid::from_string(ulid).ok()).map_or(0, u128::from)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                let ulid = text.strip_prefix(concat!($prefix, "_"));
                match ulid {
                    Some(ulid) if ulid.len() == 26 && !ulid.contains(|c: char| c.is_ascii_uppercase()) && ulid::Ulid::from_string(ulid).is_ok() => {
                        Ok(Self(text.to_owned()))
                    }
                    _ => Err(ParseError::new($what, text, concat!("it is `", $prefix, "_` and 26 lower-case characters of a ULID"))),
                }
            }
        }
    };
}

id_type!(/// One authenticated HTTP request, stored byte for byte.
    DeliveryId, "dlv", "delivery id");
id_type!(/// One thing that happened, read from a delivery.
    EventId, "evt", "event id");
id_type!(/// One thing asked for, from acceptance to its end.
    RequestId, "req", "request id");
id_type!(/// One step that is still owed.
    TaskId, "tsk", "task id");
id_type!(/// One API token; the id is public, the token is not.
    TokenId, "tok", "token id");
id_type!(/// What the copilot suggests of a sentence, for a person to confirm.
    SuggestionId, "sug", "suggestion id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let early = RequestId::from_parts(Timestamp::from_unix_millis(1_000), u128::MAX);
        let late = RequestId::from_parts(Timestamp::from_unix_millis(1_001), 0);
        assert!(early < late);
        assert_eq!(early.as_str().parse::<RequestId>().as_ref(), Ok(&early));
        assert!(early.as_str().parse::<EventId>().is_err());
        assert!(early.as_str().to_uppercase().parse::<RequestId>().is_err());
    }
}
