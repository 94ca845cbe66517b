//! API tokens by their SHA-256. The token itself never comes here; a lookup by the digest of a random 256-bit secret tells
//! nothing by the time it takes.

use super::query::{Connection, Row, statement};
use super::rows::Columns;
use crate::store::{Role, StoreError, TokenRecord};
use crate::types::{Timestamp, TokenId};

fn word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

fn read(row: &Row) -> Result<TokenRecord, StoreError> {
    let role = match row.text("role")?.as_str() {
        "viewer" => Role::Viewer,
        "operator" => Role::Operator,
        "admin" => Role::Admin,
        _ => return Err(super::rows::broken("role")),
    };
    Ok(TokenRecord {
        id: row.parsed("id")?,
        name: row.text("name")?,
        role,
        hash: row.bytes("hash")?.try_into().map_err(|_| super::rows::broken("hash"))?,
        created_at: row.moment("created_at")?,
        expires_at: row.optional_moment("expires_at")?,
        revoked_at: row.optional_moment("revoked_at")?,
    })
}

/// See [`crate::store::Store::insert_token`].
pub(super) async fn insert(connection: &mut Connection, token: &TokenRecord) -> Result<(), StoreError> {
    statement("INSERT INTO tokens (id, name, role, hash, created_at, expires_at, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?)")
        .bind(token.id.as_str())
        .bind(token.name.as_str())
        .bind(word(token.role))
        .bind(&token.hash[..])
        .bind(token.created_at.unix_millis())
        .bind(token.expires_at.map(Timestamp::unix_millis))
        .bind(token.revoked_at.map(Timestamp::unix_millis))
        .execute(connection)
        .await?;
    Ok(())
}

/// See [`crate::store::Store::token_by_hash`].
pub(super) async fn by_hash(connection: &mut Connection, hash: &[u8; 32], now: Timestamp) -> Result<Option<TokenRecord>, StoreError> {
    let row = statement("SELECT id, name, role, hash, created_at, expires_at, revoked_at FROM tokens WHERE hash = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)")
        .bind(&hash[..])
        .bind(now.unix_millis())
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// See [`crate::store::Store::tokens`].
pub(super) async fn list(connection: &mut Connection) -> Result<Vec<TokenRecord>, StoreError> {
    let all = statement("SELECT id, name, role, hash, created_at, expires_at, revoked_at FROM tokens ORDER BY seq DESC");
    all.fetch_all(connection).await?.iter().map(read).collect()
}

/// See [`crate::store::Store::revoke_token`]. Revoking again keeps the first moment.
pub(super) async fn revoke(connection: &mut Connection, id: &TokenId, now: Timestamp) -> Result<(), StoreError> {
    let done = statement("UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?")
        .bind(now.unix_millis())
        .bind(id.as_str())
        .execute(connection)
        .await?;
    if done.rows_affected() == 0 { Err(StoreError::NotFound(format!("token {id}"))) } else { Ok(()) }
}
