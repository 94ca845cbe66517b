//! A connection takes its time, and a lease may end meanwhile. A call that waits for one is asked for its lease again whenever it goes on,
//! and once more when the connection stands, names, TCP and TLS and all, before anything of the request is said on it.

use super::{Lost, check};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

tokio::task_local! {
    /// How many connections of this call are being made.
    static BEING_MADE: Arc<AtomicUsize>;
}

/// Makes a call with a client whose connector has the layer [`Asked`]. The lease of this task is asked for before the call, and for as long
/// as the call waits for a connection, its own or one that another call is done with. Once it is on its way it is waited for.
///
/// # Errors
/// When the lease is over before the call was sent.
pub async fn call<F: Future>(call: F) -> Result<F::Output, Lost> {
    check()?;
    let being_made = Arc::new(AtomicUsize::new(0));
    let mut call = pin!(BEING_MADE.scope(Arc::clone(&being_made), call));
    poll_fn(|context| {
        if being_made.load(Ordering::SeqCst) > 0 {
            check()?;
        }
        call.as_mut().poll(context).map(Ok)
    })
    .await
}

/// The layer of a connector that asks for the lease of whoever wanted the connection when that stands. It belongs around everything that
/// the connection needs, TLS above all.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked;

/// A connector with the layer [`Asked`].
#[derive(Debug, Clone)]
pub struct Connector<S>(S);

impl<S> Layer<S> for Asked {
    type Service = Connector<S>;

    fn layer(&self, connector: S) -> Connector<S> {
        Connector(connector)
    }
}

impl<S, R> Service<R> for Connector<S>
where
    S: Service<R>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let (connecting, made) = (self.0.call(target), Made::begun());
        Box::pin(async move {
            let connection = connecting.await.map_err(Into::<BoxError>::into)?;
            // Whoever wanted it may have another by now: then it is made in a task of its own, which has no lease, and kept for a later call.
            check()?;
            drop(made);
            Ok(connection)
        })
    }
}

/// A connection that is being made; it counts until this is dropped.
struct Made(Option<Arc<AtomicUsize>>);

impl Made {
    fn begun() -> Self {
        let count = BEING_MADE.try_with(Arc::clone).ok();
        if let Some(count) = &count {
            count.fetch_add(1, Ordering::SeqCst);
        }
        Self(count)
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Up;
    use super::super::{Clock, Lease};
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    /// A connector whose connection stands when somebody says so.
    struct Slow(Option<oneshot::Receiver<()>>);

    impl Service<()> for Slow {
        type Response = &'static str;
        type Error = oneshot::error::RecvError;
        type Future = Pin<Box<dyn Future<Output = Result<&'static str, Self::Error>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            let stands = self.0.take().expect("it is wanted once");
            Box::pin(async move { stands.await.map(|()| "a connection") })
        }
    }

    /// A clock at 100 s, and a lease from then on for 20 s.
    fn lease() -> (Arc<Up>, Lease) {
        let clock = Arc::new(Up::at(100));
        let lease = Lease::new(Arc::clone(&clock) as Arc<dyn Clock>, Duration::from_secs(100), Duration::from_secs(20));
        (clock, lease)
    }

    fn slow() -> (oneshot::Sender<()>, Connector<Slow>) {
        let (stands, standing) = oneshot::channel();
        (stands, Asked.layer(Slow(Some(standing))))
    }

    #[tokio::test]
    async fn a_connection_that_stands_when_the_lease_is_over_is_not_used() {
        for (at, lasts) in [(117, true), (118, false)] {
            let ((clock, lease), (stands, mut connector)) = (lease(), slow());
            let used = tokio::spawn(lease.over(async move { connector.call(()).await.map_err(|error| error.downcast::<Lost>().is_ok()) }));
            tokio::task::yield_now().await;
            clock.set(at);
            stands.send(()).expect("it is waited for");
            assert_eq!(used.await.expect("an end"), if lasts { Ok("a connection") } else { Err(true) });
        }
        // Work under no lease, as a person's command, may.
        let (stands, mut connector) = slow();
        stands.send(()).expect("it is waited for");
        assert_eq!(connector.call(()).await.expect("a connection"), "a connection");
    }

    #[tokio::test]
    async fn a_call_that_waits_for_a_connection_ends_with_the_lease_and_one_that_was_sent_does_not() {
        for waits in [true, false] {
            let ((clock, lease), (stands, mut connector)) = (lease(), slow());
            let (done, answered) = oneshot::channel();
            let call = tokio::spawn(lease.over(call(async move {
                let connecting = connector.call(());
                if waits {
                    // Another call's connection, which is free before its own stands.
                    let answer = answered.await.expect("an answer");
                    drop(connecting);
                    return answer;
                }
                connecting.await.expect("a connection");
                answered.await.expect("an answer")
            })));
            if !waits {
                stands.send(()).expect("it is waited for");
            }
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            clock.set(118);
            done.send("an answer").expect("it is waited for");
            assert_eq!(call.await.expect("an end"), if waits { Err(Lost) } else { Ok("an answer") });
        }
    }

    #[tokio::test]
    async fn a_call_is_not_begun_once_the_lease_is_over() {
        let (clock, lease) = lease();
        clock.set(118);
        let begun = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&begun);
        let called = lease.over(call(async move { counts.fetch_add(1, Ordering::SeqCst) })).await;
        assert_eq!((called, begun.load(Ordering::SeqCst)), (Err(Lost), 0));
    }
}
