//! Extractors with our words for what they refuse.

use super::error::ApiError;
use super::state::AppState;
use actix_web::dev::Payload;
use actix_web::http::header::ACCEPT;
use actix_web::{Error, FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use std::future::{Ready, ready};

/// The state, as handlers take it.
pub(super) type State = web::Data<AppState>;

/// What stands in the path, parsed. What cannot be a name or an id cannot be found: 404.
#[derive(Debug)]
pub(super) struct At<T>(pub(super) T);

impl<T: DeserializeOwned + 'static> FromRequest for At<T> {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(web::Path::<T>::from_request(request, payload).into_inner().map(|path| Self(path.into_inner())))
    }
}

/// Whether a diff is wanted as JSON: it is text unless the caller says `application/json`.
#[derive(Debug)]
pub(super) struct WantsJson(pub(super) bool);

impl FromRequest for WantsJson {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        ready(Ok(Self(accept.contains("application/json"))))
    }
}

/// The `Idempotency-Key` header: 1 to 255 visible ASCII characters.
#[derive(Debug)]
pub(super) struct IdempotencyKey(pub(super) Option<String>);

impl FromRequest for IdempotencyKey {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let refused = || ApiError::bad_request("invalid_header", "Idempotency-Key has 1 to 255 visible ASCII characters").into();
        ready(match request.headers().get("idempotency-key").map(|value| value.to_str()) {
            None => Ok(Self(None)),
            Some(Ok(key)) if (1..=255).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) => Ok(Self(Some(key.to_owned()))),
            Some(_) => Err(refused()),
        })
    }
}
