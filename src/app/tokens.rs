//! Tokens of the API, made for whoever hands them out. Only their hash is kept.

use crate::api::Token;
use crate::clock::Clock;
use crate::store::{Role, Store, TokenRecord};
use crate::types::{Timestamp, TokenId};

/// Makes an API token: the record that is kept, and the token, which is not.
///
/// # Errors
/// When the store cannot write.
pub async fn issue_token(
    store: &dyn Store,
    clock: &dyn Clock,
    name: &str,
    role: Role,
    expires_at: Option<Timestamp>,
) -> anyhow::Result<(TokenRecord, String)> {
    let token = Token::from_key(new_key());
    let now = clock.now();
    let record = TokenRecord {
        id: TokenId::from_parts(now, clock.random()),
        name: name.to_owned(),
        role,
        hash: token.hash(),
        created_at: now,
        expires_at,
        revoked_at: None,
    };
    store.insert_token(&record).await?;
    Ok((record, token.expose().to_owned()))
}

/// 256 bits of the system's generator, for a new token.
pub fn new_key() -> [u8; 32] {
    rand::random()
}
