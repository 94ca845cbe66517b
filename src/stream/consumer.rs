//! The durable consumer: found, made where it is missing, kept as it is wished for. A stream is never made or changed.

use super::StreamError;
use crate::ingress::{Consumer as Wished, Deliver, Subscription};
use async_nats::jetstream::consumer::{AckPolicy, Config, DeliverPolicy, FromConsumer, PullConsumer, pull};
use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind};
use async_nats::jetstream::{Context, ErrorCode};
use std::collections::BTreeSet;

/// The consumer of `subscription`, as it is wished for.
///
/// # Errors
/// When the stream is not there, the consumer is not and may not be made, is not one that loses nothing, or cannot be changed without a loss.
pub(super) async fn find_or_make(context: &Context, subscription: &Subscription) -> Result<PullConsumer, StreamError> {
    let (stream, name) = (&subscription.stream, &subscription.consumer);
    // An older server knows one subject, and makes a consumer of all when it is told several.
    if subscription.keeps.as_ref().is_some_and(|wished| wished.subjects.len() > 1) && !knows_subjects(context) {
        return Err(StreamError::Unfit(format!("the consumer {name} is to have several subjects, which needs NATS 2.10")));
    }
    let found: Result<PullConsumer, ConsumerError> = context.get_consumer_from_stream(name, stream).await;
    let consumer = match (found, &subscription.keeps) {
        (Ok(found), None) => found,
        (Ok(found), Some(wished)) if is_as_wished(&found.cached_info().config, wished) => found,
        (Ok(found), Some(wished)) if has_other_subjects(&found.cached_info().config, wished) && !knows_subjects(context) => {
            return Err(StreamError::Unfit(format!(
                "the consumer {name} of the stream {stream} has other subjects, and NATS before 2.10 passes over messages when they are changed: \
                 name another consumer, or leave the subjects as they were"
            )));
        }
        (Ok(found), Some(wished)) => {
            let kept = pull::Config::try_from_consumer_config(found.cached_info().config.clone());
            let kept = kept.map_err(|error| StreamError::Unfit(format!("the consumer {name} is of another kind: {error}")))?;
            let changed = with(kept, wished);
            context.create_consumer_on_stream(changed, stream).await.map_err(|error| told(&error, subscription))?
        }
        (Err(error), Some(wished)) if code(&error) == Some(ErrorCode::CONSUMER_NOT_FOUND) => {
            let new = pull::Config {
                durable_name: Some(name.clone()),
                description: Some("KubeOps".to_owned()),
                deliver_policy: begins(wished.deliver),
                ack_policy: AckPolicy::Explicit,
                ..pull::Config::default()
            };
            context.create_consumer_on_stream(with(new, wished), stream).await.map_err(|error| told(&error, subscription))?
        }
        (Err(error), _) => return Err(told(&error, subscription)),
    };
    let config = &consumer.cached_info().config;
    if config.ack_policy != AckPolicy::Explicit {
        return Err(StreamError::Unfit(format!(
            "the consumer {name} does not want every message acknowledged (ack policy explicit), so some could be lost"
        )));
    }
    Ok(consumer)
}

/// `config` with what is wished for of it.
fn with(config: pull::Config, wished: &Wished) -> pull::Config {
    // One subject is written as servers before 2.10 know it.
    let (one, several) = match wished.subjects.as_slice() {
        [] => (String::new(), Vec::new()),
        [one] => (one.clone(), Vec::new()),
        several => (String::new(), several.to_vec()),
    };
    pull::Config {
        filter_subject: one,
        filter_subjects: several,
        ack_wait: wished.ack_wait,
        max_ack_pending: wished.max_ack_pending.into(),
        max_deliver: wished.max_deliver.map_or(-1, i64::from),
        ..config
    }
}

fn has_other_subjects(config: &Config, wished: &Wished) -> bool {
    filters(config) != wished.subjects.iter().map(String::as_str).collect()
}

/// Whether a consumer can have several subjects, and be given others and go on where it was: 2.9.10 passes over messages that fit the new ones.
fn knows_subjects(context: &Context) -> bool {
    context.client().is_server_compatible(2, 10, 0)
}

fn is_as_wished(config: &Config, wished: &Wished) -> bool {
    !has_other_subjects(config, wished)
        && config.ack_wait == wished.ack_wait
        && config.max_ack_pending == i64::from(wished.max_ack_pending)
        && config.max_deliver.max(0) == wished.max_deliver.map_or(0, i64::from)
}

fn filters(config: &Config) -> BTreeSet<&str> {
    let one = Some(config.filter_subject.as_str()).filter(|subject| !subject.is_empty());
    one.into_iter().chain(config.filter_subjects.iter().map(String::as_str)).collect()
}

fn begins(deliver: Deliver) -> DeliverPolicy {
    match deliver {
        Deliver::New => DeliverPolicy::New,
        Deliver::All => DeliverPolicy::All,
        Deliver::Last => DeliverPolicy::Last,
        Deliver::LastPerSubject => DeliverPolicy::LastPerSubject,
    }
}

fn code(error: &ConsumerError) -> Option<ErrorCode> {
    match error.kind() {
        ConsumerErrorKind::JetStream(error) => Some(error.error_code()),
        _ => None,
    }
}

fn told(error: &ConsumerError, subscription: &Subscription) -> StreamError {
    let (stream, name) = (&subscription.stream, &subscription.consumer);
    match (code(error), error.kind()) {
        (Some(ErrorCode::STREAM_NOT_FOUND), _) => StreamError::Unfit(format!("there is no stream {stream}")),
        (Some(ErrorCode::CONSUMER_NOT_FOUND), _) => {
            StreamError::Unfit(format!("there is no consumer {name} of the stream {stream}, and `create: false` says not to make it"))
        }
        (Some(ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT), _) => {
            StreamError::Unfit("JetStream is not enabled there".to_owned())
        }
        // Another leader is being chosen, or a server of several is away.
        (Some(_), ConsumerErrorKind::JetStream(error)) if error.code() >= 500 => StreamError::Away(error.to_string()),
        (Some(_), _) => StreamError::Unfit(format!("the consumer {name} of the stream {stream} cannot be had: {error}")),
        (None, ConsumerErrorKind::InvalidConsumerType) => {
            StreamError::Unfit(format!("the consumer {name} is one that NATS pushes to; a pull consumer is needed"))
        }
        (None, _) => StreamError::Away(error.to_string()),
    }
}
