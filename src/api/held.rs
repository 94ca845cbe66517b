//! Bodies nobody reads to their end. The framework drains an abandoned chunked body for as long as its sender likes; a connection
//! whose body is still held when the answer is sent is closed instead. And a body that is read must arrive in time.

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::Method;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::web::Bytes;
use actix_web::{HttpMessage, HttpRequest};
use futures_util::{Stream, StreamExt, stream};
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A body that may not have been read to its end; it waits in the request's extensions for the answer.
pub(super) struct Held {
    _body: Rc<RefCell<Payload>>,
}

/// Keeps what is left of a body until the answer is sent.
pub(super) fn hold(request: &HttpRequest, rest: Payload) {
    request.extensions_mut().insert(Held { _body: Rc::new(RefCell::new(rest)) });
}

/// What is held of the request, to be handed to the answer.
pub(super) fn release(request: &HttpRequest) -> Option<Held> {
    // Looking first: most requests have no extensions, and a removal would make room for some.
    let is_held = request.extensions().contains::<Held>();
    is_held.then(|| request.extensions_mut().remove::<Held>()).flatten()
}

/// Holds a chunked body where none is read.
pub(super) fn hold_unwanted(request: &mut ServiceRequest) {
    let wants_body = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE);
    if !wants_body && request.headers().contains_key(TRANSFER_ENCODING) {
        let rest = request.take_payload();
        hold(request.request(), rest);
    }
}

/// Lets the body fail with [`io::ErrorKind::TimedOut`] when it has not arrived after `limit`. What is left of it is held.
pub(super) fn limit_time(request: &mut ServiceRequest, limit: Duration) {
    let body = request.take_payload();
    if matches!(body, Payload::None) {
        return;
    }
    let body = Rc::new(RefCell::new(body));
    request.extensions_mut().insert(Held { _body: Rc::clone(&body) });
    let mut deadline = Box::pin(tokio::time::sleep(limit));
    let timed = stream::poll_fn(move |cx| match body.borrow_mut().poll_next_unpin(cx) {
        Poll::Pending => deadline.as_mut().poll(cx).map(|()| Some(Err(PayloadError::Io(io::ErrorKind::TimedOut.into())))),
        ready => ready,
    });
    let timed: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> = Box::pin(timed);
    request.set_payload(timed.into());
}

/// An answer that keeps an unread body alive until it is sent.
pub(super) struct HoldingBody {
    body: BoxBody,
    _held: Held,
}

impl HoldingBody {
    pub(super) fn new(body: BoxBody, held: Held) -> Self {
        Self { body, _held: held }
    }
}

impl MessageBody for HoldingBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_next(cx)
    }
}
