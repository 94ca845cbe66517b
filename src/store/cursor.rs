//! Where a page of a listing ended, as an opaque text. Every listing is ordered by one growing number, so a cursor is that
//! number and the name of the listing it belongs to. A cursor grants nothing: it is no secret and needs no signature.

use super::StoreError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A listing that has pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    Deliveries,
    Events,
    Requests,
    Pulls,
}

impl Listing {
    fn word(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries",
            Self::Events => "events",
            Self::Requests => "requests",
            Self::Pulls => "pulls",
        }
    }

    /// The cursor after the row `seq`.
    pub(super) fn cursor(self, seq: i64) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}:{seq}", self.word()))
    }

    /// The row before which the next page begins; beyond every row when there is no cursor.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`] when the text is not a cursor of this listing.
    pub(super) fn before(self, cursor: Option<&str>) -> Result<i64, StoreError> {
        let Some(cursor) = cursor else { return Ok(i64::MAX) };
        let read = || {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let text = String::from_utf8(bytes).ok()?;
            let seq = text.strip_prefix(self.word())?.strip_prefix(':')?;
            seq.parse::<i64>().ok().filter(|seq| *seq > 0)
        };
        read().ok_or_else(|| StoreError::BadCursor(self.word()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_in_its_own_listing_only() {
        let cursor = Listing::Events.cursor(42);
        assert_eq!(Listing::Events.before(Some(&cursor)).expect("a cursor"), 42);
        assert_eq!(Listing::Events.before(None).expect("the beginning"), i64::MAX);
        for (listing, bad) in [(Listing::Pulls, cursor.as_str()), (Listing::Events, ""), (Listing::Events, "42"), (Listing::Events, "ö")] {
            assert!(matches!(listing.before(Some(bad)), Err(StoreError::BadCursor(_))), "{bad}");
        }
    }
}
