//! Signed webhooks as <https://www.standardwebhooks.com> has them; the body is a CloudEvent. It never tells the key, nor what the
//! receiver answers beyond its status.

use super::http::Http;
use super::{FeedbackError, Makings, Notice, Notifier, SecretSource};
use crate::inventory::WebhookSpec;
use crate::spans;
use crate::types::{ChannelName, TraceParent, is_loopback};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use sha2::Sha256;
use url::Url;

/// Bytes a signing key may have.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What a signing key looks like.
pub(super) const FORM: &str = "a signing key is `whsec_` and 24 to 64 bytes in base64: `echo \"whsec_$(openssl rand -base64 32)\"` makes one";

/// The bytes of a signing key; none where it does not have the form.
pub(super) fn key(secret: &SecretString) -> Option<Vec<u8>> {
    let encoded = secret.expose_secret().trim();
    STANDARD.decode(encoded.strip_prefix("whsec_").unwrap_or(encoded)).ok().filter(|key| KEY_BYTES.contains(&key.len()))
}

/// One receiver.
pub struct Webhook {
    http: Http,
    spec: WebhookSpec,
    secret: SecretSource,
}

impl Webhook {
    /// A receiver; nothing is called yet.
    ///
    /// # Errors
    /// [`FeedbackError::Setup`] when the settings make no client.
    pub fn new(name: &ChannelName, spec: &WebhookSpec, makings: Makings) -> Result<Self, FeedbackError> {
        let channel = format!("the webhook receiver (channel {name})");
        let local = Url::parse(&spec.url).is_ok_and(|url| is_loopback(&url));
        let http = Http::new(channel, local, makings.clock, makings.timeout)?;
        Ok(Self { http, spec: spec.clone(), secret: makings.secret })
    }

    /// The signature of a message.
    fn sign(&self, id: &str, timestamp: i64, body: &str) -> Result<String, FeedbackError> {
        let secret = (self.secret)().map_err(|message| self.http.setup(format!("there is no signing key: {message}")))?;
        let wrong = || self.http.setup(format!("its signing key does not have the form wanted: {FORM}"));
        let key = key(&secret).ok_or_else(wrong)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| wrong())?;
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    }
}

#[async_trait]
impl Notifier for Webhook {
    async fn notify(&self, notice: &Notice) -> Result<(), FeedbackError> {
        let body = event(notice).to_string();
        let timestamp = self.http.clock.now().unix_seconds();
        let signature = self.sign(&notice.id, timestamp, &body)?;
        let mut request = self.http.client().post(&self.spec.url).header("content-type", "application/json");
        for (name, value) in &self.spec.headers {
            request = request.header(name, value);
        }
        // A receiver of one's own may go on in the trace; Jira, Slack, forges and models are told of none.
        if let Some(place) = spans::here().filter(TraceParent::is_sampled) {
            request = request.header(spans::TRACEPARENT, place.to_string());
        }
        let request = request
            .header("webhook-id", &notice.id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", signature)
            .body(body);
        let answer = self.http.send(request).await?;
        match answer.is_success() {
            true => Ok(()),
            false => Err(self.http.refused(answer.status, format!("status {}", answer.status))),
        }
    }
}

/// The notice as a CloudEvent (<https://cloudevents.io>, 1.0, structured).
fn event(notice: &Notice) -> Value {
    json!({
        "specversion": "1.0",
        "id": notice.id,
        "source": "kubeops",
        "type": format!("dev.kubeops.{}", notice.kind),
        "time": notice.at,
        "datacontenttype": "application/json",
        "data": { "title": notice.title, "text": notice.text, "url": notice.url, "details": notice.data },
    })
}
