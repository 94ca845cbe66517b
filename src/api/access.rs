//! Who may do what. Every route under `/api/v1` needs a token unless it stands in a scope that says otherwise (webhooks, docs);
//! [`needed_role`] is the one table of roles, used by the middleware, the OpenAPI document and the tests.

use super::error::ApiError;
use super::held;
use super::state::AppState;
use super::token::Token;
use crate::store::Role;
use crate::types::{Timestamp, TokenId};
use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest, HttpMessage, HttpRequest, web};
use std::collections::HashMap;
use std::future::{Ready, ready};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tracing::Span;

/// How long a token is believed without asking the store again: a revocation elsewhere takes effect within this.
const CACHE_TTL: Duration = Duration::from_secs(5);
/// Tokens remembered before the stale ones are forgotten.
const CACHE_MANY: usize = 1024;

/// The role a call needs: reading is for viewers, changing for operators; tokens and the bytes senders sent are for admins.
pub fn needed_role(method: &Method, pattern: &str) -> Role {
    if pattern.starts_with("/api/v1/tokens") || pattern == "/api/v1/deliveries/{id}/body" {
        Role::Admin
    } else if matches!(*method, Method::GET | Method::HEAD) {
        Role::Viewer
    } else {
        Role::Operator
    }
}

/// The word for a role.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

/// Who made a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token it came with.
    pub token: TokenId,
    /// The token's name: the actor in timelines.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl FromRequest for Caller {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Caller>().cloned();
        ready(caller.ok_or_else(|| ApiError::unauthenticated("this needs a token").into()))
    }
}

/// Tokens seen lately, by hash.
#[derive(Debug, Default)]
pub(super) struct TokenCache(Mutex<HashMap<[u8; 32], (Caller, Timestamp)>>);

impl TokenCache {
    fn get(&self, hash: &[u8; 32], now: Timestamp) -> Option<Caller> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|(_, until)| now < *until).map(|(caller, _)| caller.clone())
    }

    fn put(&self, hash: [u8; 32], caller: Caller, until: Timestamp, now: Timestamp) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= CACHE_MANY {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() < CACHE_MANY {
            known.insert(hash, (caller, until));
        }
    }

    /// Forgets a token that was revoked here.
    pub(super) fn forget(&self, token: &TokenId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, (caller, _)| caller.token != *token);
    }
}

/// Lets a call through when its token may make it; the caller goes with the request.
pub(super) async fn authenticate<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let state = request.app_data::<web::Data<AppState>>().cloned();
    let admitted = match &state {
        Some(state) => admit(state, &request).await,
        None => Err(ApiError::internal("the application has no state")),
    };
    let caller = match admitted {
        Ok(caller) => caller,
        Err(error) => {
            let rest = request.take_payload();
            held::hold(request.request(), rest);
            return Ok(request.error_response(error).map_into_right_body());
        }
    };
    Span::current().record("actor", caller.name.as_str());
    request.extensions_mut().insert(caller);
    if let Some(state) = &state {
        held::limit_time(&mut request, state.parts.body_timeout);
    }
    Ok(next.call(request).await?.map_into_left_body())
}

async fn admit(state: &AppState, request: &ServiceRequest) -> Result<Caller, ApiError> {
    let caller = identify(state, request).await?;
    state.limiter.take(&caller.token, state.now()).map_err(|seconds| ApiError::too_many(state.limiter.calls_a_minute(), seconds))?;
    let needed = needed_role(request.method(), &request.match_pattern().unwrap_or_default());
    if caller.role < needed {
        let (has, needs) = (role_name(caller.role), role_name(needed));
        return Err(ApiError::forbidden(format!("this needs the role {needs}; the token `{}` has {has}", caller.name)));
    }
    Ok(caller)
}

async fn identify(state: &AppState, request: &ServiceRequest) -> Result<Caller, ApiError> {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Err(ApiError::unauthenticated("this needs a token: Authorization: Bearer kops_..."));
    };
    let refused = || ApiError::unauthenticated("the token is not known, has expired or was revoked");
    let text = header.to_str().map_err(|_| refused())?;
    let Some((_, credentials)) = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return Err(ApiError::unauthenticated("the Authorization header must be `Bearer kops_...`"));
    };
    let hash = Token::parse(credentials.trim()).ok_or_else(refused)?.hash();
    let now = state.now();
    if let Some(caller) = state.tokens.get(&hash, now) {
        return Ok(caller);
    }
    let record = state.timed(state.store().token_by_hash(&hash, now)).await?.ok_or_else(refused)?;
    let caller = Caller { token: record.id, name: record.name, role: record.role };
    let until = now.plus(CACHE_TTL);
    state.tokens.put(hash, caller.clone(), record.expires_at.map_or(until, |expiry| expiry.min(until)), now);
    Ok(caller)
}
