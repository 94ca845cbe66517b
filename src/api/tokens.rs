//! API tokens: made, listed, revoked. A token is shown once, when it is made.

use super::error::ApiError;
use super::extract::{At, State};
use super::paging::Listing;
use super::token::{Token, token_name};
use super::views::TokenView;
use crate::store::{Role, TokenRecord};
use crate::types::{Timestamp, TokenId};
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpResponse, delete, get, post, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Lists every token, newest first. No token is shown.
#[utoipa::path(tag = "tokens", responses((status = 200, description = "The tokens.", body = Listing<TokenView>)))]
#[get("/tokens")]
pub(super) async fn list_tokens(state: State) -> Result<web::Json<Listing<TokenView>>, ApiError> {
    let tokens = state.timed(state.store().tokens()).await?;
    Ok(web::Json(Listing::whole(tokens.into_iter().map(Into::into).collect())))
}

/// A token to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// What a person calls it: the actor in timelines. No control characters.
    #[schema(min_length = 1, max_length = 100, example = "ci")]
    name: String,
    /// viewer, operator or admin.
    #[schema(value_type = String, example = "operator")]
    role: Role,
    /// When it stops working; left out, never.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A token that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeToken {
    /// The token. It is not kept and never shown again.
    #[schema(pattern = "^kops_[0-9A-Za-z]{49}$")]
    token: String,
    /// What is kept of it.
    #[serde(flatten)]
    view: TokenView,
}

/// Makes a token and shows it, once.
#[utoipa::path(tag = "tokens",
    responses((status = 201, description = "The token.", body = MadeToken, headers(("Location" = String, description = "The token's record.")))))]
#[post("/tokens")]
pub(super) async fn create_token(state: State, body: web::Json<NewToken>) -> Result<HttpResponse, ApiError> {
    let NewToken { name, role, expires_at } = body.into_inner();
    let now = state.now();
    let name = token_name(&name).map_err(|rule| ApiError::bad_request("invalid_body", format!("name {rule}")))?;
    if expires_at.is_some_and(|expiry| expiry <= now) {
        return Err(ApiError::bad_request("invalid_body", "expires_at lies in the past"));
    }
    let token = Token::from_key((state.parts.new_key)());
    let id = TokenId::from_parts(now, state.parts.clock.random());
    let record = TokenRecord { id, name, role, hash: token.hash(), created_at: now, expires_at, revoked_at: None };
    state.timed(state.store().insert_token(&record)).await?;
    let mut answer = HttpResponse::Created();
    answer.insert_header((LOCATION, format!("/api/v1/tokens/{}", record.id))).insert_header((CACHE_CONTROL, "no-store"));
    Ok(answer.json(MadeToken { token: token.expose().to_owned(), view: record.into() }))
}

/// Revokes a token, at once on this server and within seconds on others.
#[utoipa::path(tag = "tokens", params(("id" = String, Path, description = "The token's id.")),
    responses((status = 204, description = "It is revoked.")))]
#[delete("/tokens/{id}")]
pub(super) async fn revoke_token(state: State, At(id): At<TokenId>) -> Result<HttpResponse, ApiError> {
    state.timed(state.store().revoke_token(&id, state.now())).await?;
    state.tokens.forget(&id);
    Ok(HttpResponse::NoContent().finish())
}
