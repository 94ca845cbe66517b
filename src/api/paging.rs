//! Listings in stretches: `{items, next}`, where `next` goes back in as `after`.

use super::error::ApiError;
use crate::store::PageQuery;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

const DEFAULT_LIMIT: u32 = 50;
const MOST: u32 = 500;
const CHECK_BYTES: usize = 4;

/// A stretch of a listing, newest first unless the route says otherwise.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listing<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Pass it as `after` for what follows; null at the end.
    pub next: Option<String>,
}

impl<T> Listing<T> {
    /// A page of the store, row by row in the API's words.
    pub(super) fn of<R>(page: crate::store::Page<R>, view: impl FnMut(R) -> T) -> Self {
        Self { items: page.items.into_iter().map(view).collect(), next: page.next.map(|cursor| seal(&cursor)) }
    }

    /// A listing that is whole.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// Which stretch of a listing, for the store.
///
/// # Errors
/// 400 when the limit is out of range or `after` is not one of ours.
pub(super) fn page(limit: Option<u32>, after: Option<&str>) -> Result<PageQuery, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(ApiError::bad_request("invalid_query", format!("limit is a number from 1 to {MOST}")));
    }
    let after = after.map(|sealed| {
        unseal(sealed).ok_or_else(|| ApiError::bad_request("invalid_query", "after must be the `next` of an earlier answer, unchanged"))
    });
    Ok(PageQuery { limit, after: after.transpose()? })
}

/// The store's cursor with a checksum in front: a damaged one is told from a store that fails.
fn seal(cursor: &str) -> String {
    let mut bytes = Sha256::digest(cursor)[..CHECK_BYTES].to_vec();
    bytes.extend_from_slice(cursor.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unseal(sealed: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
    let (check, cursor) = bytes.split_at_checked(CHECK_BYTES)?;
    (Sha256::digest(cursor)[..CHECK_BYTES] == *check).then(|| String::from_utf8(cursor.to_vec()).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_damaged_cursor_is_refused() {
        let mut sealed = seal("req_01");
        assert_eq!(unseal(&sealed).as_deref(), Some("req_01"));
        sealed.push('A');
        for bad in ["", "x", "AAAA", &sealed] {
            assert_eq!(unseal(bad), None, "{bad}");
        }
        assert!(page(Some(0), None).is_err());
        assert!(page(Some(501), None).is_err());
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was(cursor in "\\PC{0,60}") {
            prop_assert_eq!(unseal(&seal(&cursor)), Some(cursor));
        }
    }
}
