//! The way of ended spans to the exporter. Spans wait for the one they were begun below, and go together with it: what a killed process had done
//! of a step is exported whole or not at all, so that no span is left without its parent and the next attempt's make the tree.
//! Whoever ends a span waits for nobody: what does not fit is dropped and counted, details before what they are details of.

use super::traces::TraceCounts;
use opentelemetry::Context;
use opentelemetry::trace::{Span as _, SpanContext, SpanId, TraceContextExt};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// Holds spans back, and passes them on.
#[derive(Debug)]
pub(super) struct Queue {
    /// Each message is what goes together: its top span is the last.
    ready: mpsc::Sender<Vec<SpanData>>,
    counts: Arc<TraceCounts>,
    /// Spans that may be kept at once: held back, ready, and being exported.
    room: u64,
    begun: Mutex<Begun>,
}

/// What has begun and not come to its end.
#[derive(Debug, Default)]
struct Begun {
    /// Of each span, the one it goes with: itself, where its parent is in no span of this process.
    tops: HashMap<SpanId, SpanId>,
    /// The ended ones, by the one they go with.
    held: HashMap<SpanId, Vec<SpanData>>,
}

impl Queue {
    /// A queue for `room` spans, and its other end.
    pub(super) fn new(room: usize, counts: Arc<TraceCounts>) -> (Self, mpsc::Receiver<Vec<SpanData>>) {
        let room = room.max(1);
        // As each message holds a span, there are never more of them than there is room.
        let (ready, queue) = mpsc::channel(room);
        (Self { ready, counts, room: room as u64, begun: Mutex::default() }, queue)
    }

    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, span: SpanId, parent: &SpanContext) {
        let mut begun = self.begun();
        let above = (parent.is_valid() && !parent.is_remote()).then(|| parent.span_id());
        let top = above.and_then(|above| begun.tops.get(&above)).copied().unwrap_or(span);
        begun.tops.insert(span, top);
    }

    fn end(&self, span: SpanData) {
        let id = span.span_context.span_id();
        let mut begun = self.begun();
        let top = begun.tops.remove(&id).unwrap_or(id);
        let mut together = begun.held.remove(&top).unwrap_or_default();
        if self.is_room() {
            together.push(span);
        } else if together.is_empty() {
            self.counts.queue_full.fetch_add(1, Ordering::Relaxed);
        } else {
            // All that it or what is above it stands for in general; whatever is above ends later.
            let many = together.len() as u64;
            together.clear();
            together.push(span);
            self.counts.queue_full.fetch_add(many, Ordering::Relaxed);
            self.counts.waiting.fetch_sub(many - 1, Ordering::Relaxed);
        }
        if together.is_empty() {
            return;
        }
        // One whose top ended before it goes by itself.
        if top != id && begun.tops.contains_key(&top) {
            begun.held.insert(top, together);
            return;
        }
        drop(begun);
        let many = together.len() as u64;
        if self.ready.try_send(together).is_err() {
            self.counts.waiting.fetch_sub(many, Ordering::Relaxed);
            self.counts.queue_full.fetch_add(many, Ordering::Relaxed);
        }
    }

    /// Takes room for one span, where there is some.
    fn is_room(&self) -> bool {
        let taken = |waiting: u64| (waiting < self.room).then_some(waiting + 1);
        self.counts.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, parent: &Context) {
        if span.span_context().is_sampled() {
            self.begin(span.span_context().span_id(), parent.span().span_context());
        }
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanBuilder, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

    struct Made {
        tracer: SdkTracer,
        queue: mpsc::Receiver<Vec<SpanData>>,
        counts: Arc<TraceCounts>,
        _provider: SdkTracerProvider,
    }

    fn made(room: usize) -> Made {
        let counts = Arc::new(TraceCounts::default());
        let (processor, queue) = Queue::new(room, Arc::clone(&counts));
        let provider = SdkTracerProvider::builder().with_span_processor(processor).build();
        Made { tracer: provider.tracer("test"), queue, counts, _provider: provider }
    }

    impl Made {
        fn begin(&self, name: &'static str, parent: &Context) -> Context {
            Context::new().with_span(self.tracer.build_with_context(SpanBuilder::from_name(name), parent))
        }

        /// What is ready, in its order; what goes together stands together.
        fn ready(&mut self) -> Vec<Vec<String>> {
            let mut all = Vec::new();
            while let Ok(together) = self.queue.try_recv() {
                all.push(together.into_iter().map(|span| span.name.into_owned()).collect());
            }
            all
        }

        fn dropped(&self) -> u64 {
            self.counts.queue_full.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn what_was_begun_below_a_span_goes_with_it_and_not_before() {
        let mut made = made(10);
        let step = made.begin("step", &Context::new());
        let push = made.begin("push", &step);
        let call = made.begin("call", &push);
        let other = made.begin("other", &Context::new().with_remote_span_context(step.span().span_context().clone()));
        call.span().end();
        push.span().end();
        assert_eq!((made.ready(), made.counts.waiting()), (Vec::new(), 2));
        step.span().end();
        assert_eq!(made.ready(), [["call", "push", "step"]]);
        // As it would be in another process: it waits for none here.
        other.span().end();
        assert_eq!(made.ready(), [["other"]]);
        let late = made.begin("late", &step);
        late.span().end();
        assert_eq!(made.ready(), [["late"]]);
        assert_eq!(made.dropped(), 0);
    }

    #[test]
    fn what_ends_after_the_one_it_was_begun_below_goes_by_itself_and_leaves_nothing() {
        let mut made = made(10);
        let step = made.begin("step", &Context::new());
        let left = made.begin("left", &step);
        step.span().end();
        left.span().end();
        assert_eq!(made.ready(), [["step"], ["left"]]);
    }

    #[test]
    fn where_there_is_no_room_details_go_first_and_each_is_counted() {
        let mut made = made(2);
        let step = made.begin("step", &Context::new());
        for name in ["one", "two", "three"] {
            made.begin(name, &step).span().end();
        }
        // The third took the place of the first two.
        assert_eq!((made.dropped(), made.counts.waiting()), (2, 1));
        step.span().end();
        assert_eq!(made.ready(), [["three", "step"]]);
        assert_eq!(made.counts.waiting(), 2, "until they are exported");
        made.begin("more", &Context::new()).span().end();
        assert_eq!((made.ready(), made.dropped(), made.counts.waiting()), (Vec::new(), 3, 2));
    }
}
