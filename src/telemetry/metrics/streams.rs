//! What is told of streams whose messages are fetched, by source.

use super::registering::Register;
use super::{Metrics, TelemetryError};
use prometheus::{IntCounterVec, IntGaugeVec};

/// Of every source that fetches.
#[derive(Clone)]
pub(super) struct StreamMetrics {
    connected: IntGaugeVec,
    pending: IntGaugeVec,
    unacknowledged: IntGaugeVec,
    redelivered: IntCounterVec,
}

impl StreamMetrics {
    pub(super) fn registered(register: Register<'_>) -> Result<Self, TelemetryError> {
        let of_source = &["source"];
        Ok(Self {
            connected: register.gauges("stream_connected", "1 while this process fetches the messages of a stream.", of_source)?,
            pending: register.gauges(
                "stream_pending",
                "Messages that wait to be delivered, to whichever process: how far all lag behind.",
                of_source,
            )?,
            unacknowledged: register.gauges(
                "stream_unacknowledged",
                "Messages that were delivered, to whichever process, and are not acknowledged.",
                of_source,
            )?,
            redelivered: register.counters(
                "stream_redelivered_total",
                "Messages that had been delivered before, to whichever process.",
                of_source,
            )?,
        })
    }
}

impl Metrics {
    /// Whether the messages of a source are fetched. How its consumer stands is not known while they are not.
    pub fn stream_connected(&self, source: &str, connected: bool) {
        self.streams.connected.with_label_values(&[source]).set(connected.into());
        if !connected {
            forget(&[&self.streams.pending, &self.streams.unacknowledged], source);
        }
        // There from the first connection on, so that the first is an increase.
        drop(self.streams.redelivered.with_label_values(&[source]));
        drop(self.deliveries.with_label_values(&[source, "unreadable"]));
    }

    /// How the consumer of a source stands.
    pub fn stream_standing(&self, source: &str, pending: u64, unacknowledged: u64) {
        let count = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.streams.pending.with_label_values(&[source]).set(count(pending));
        self.streams.unacknowledged.with_label_values(&[source]).set(count(unacknowledged));
    }

    /// A message came that had been delivered before.
    pub fn stream_redelivered(&self, source: &str) {
        self.streams.redelivered.with_label_values(&[source]).inc();
    }

    /// A source is there no more.
    pub fn forget_stream(&self, source: &str) {
        forget(&[&self.streams.connected, &self.streams.pending, &self.streams.unacknowledged], source);
    }
}

fn forget(all: &[&IntGaugeVec], source: &str) {
    for gauges in all {
        // One that was never told has no gauge.
        let _ = gauges.remove_label_values(&[source]);
    }
}
