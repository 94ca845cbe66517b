//! How a connection is made: who we are, which certificates count, and what the connection tells of itself.

use super::{API_TIMEOUT, CONNECT_TIMEOUT, MOST_MESSAGES, StreamError};
use crate::ingress::{NatsAuthentication, NatsTls, Subscription};
use crate::types::{SecretName, SourceName};
use async_nats::{ConnectOptions, Event};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The longest text of a server that is kept, in characters.
const LONGEST_SAID: usize = 300;

/// What a connection told of itself.
pub(super) struct Heard {
    said: Mutex<Option<String>>,
    closed: watch::Sender<bool>,
}

impl Default for Heard {
    fn default() -> Self {
        Self { said: Mutex::default(), closed: watch::Sender::new(false) }
    }
}

impl Heard {
    fn hear(&self, event: &Event) {
        match event {
            // Who connects again on our own has the secrets as they are now, and knows what went with the connection.
            Event::Disconnected | Event::Closed => {
                self.closed.send_replace(true);
            }
            Event::ServerError(_) | Event::ClientError(_) => {
                let said = event.to_string().chars().filter(|c| !c.is_control()).take(LONGEST_SAID).collect();
                *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
            }
            _ => {}
        }
    }

    /// What was said last.
    pub(super) fn last(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the connection is lost.
    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Returns when the connection is lost.
    pub(super) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        if closed.wait_for(|closed| *closed).await.is_err() {
            std::future::pending().await
        }
    }
}

/// How to connect.
pub(super) fn of(
    name: &SourceName,
    subscription: &Subscription,
    secret: &(dyn Fn(&SecretName) -> Result<SecretString, String> + Sync),
    heard: &Arc<Heard>,
) -> Result<ConnectOptions, StreamError> {
    let listener = Arc::clone(heard);
    let options = ConnectOptions::new()
        .name(format!("kubeops/{name}"))
        .connection_timeout(CONNECT_TIMEOUT)
        .request_timeout(Some(API_TIMEOUT))
        .subscription_capacity(MOST_MESSAGES * 4)
        // A connection that is lost is opened anew by whoever has the link: a few attempts cover a change of servers.
        .max_reconnects(subscription.servers.len() * 2 + 1)
        .require_tls(subscription.tls.is_some())
        .event_callback(move |event| {
            let listener = Arc::clone(&listener);
            async move { listener.hear(&event) }
        });
    let options = match &subscription.tls {
        Some(tls) if tls.first => options.tls_client_config(client_config(tls, secret)?).tls_first(),
        Some(tls) => options.tls_client_config(client_config(tls, secret)?),
        None => options,
    };
    match &subscription.authentication {
        Some(authentication) => logged_in(options, authentication, secret),
        None => Ok(options),
    }
}

fn looked_up(name: &SecretName, secret: &(dyn Fn(&SecretName) -> Result<SecretString, String> + Sync)) -> Result<SecretString, StreamError> {
    secret(name).map_err(|reason| StreamError::Secret { name: name.clone(), reason })
}

fn logged_in(
    options: ConnectOptions,
    authentication: &NatsAuthentication,
    secret: &(dyn Fn(&SecretName) -> Result<SecretString, String> + Sync),
) -> Result<ConnectOptions, StreamError> {
    let value = looked_up(authentication.secret(), secret)?;
    let text = value.expose_secret().trim();
    Ok(match authentication {
        NatsAuthentication::Password { username, .. } => options.user_and_password(username.clone(), value.expose_secret().to_owned()),
        NatsAuthentication::Token { .. } => options.token(value.expose_secret().to_owned()),
        NatsAuthentication::Nkey { secret: name } => {
            if !(text.starts_with("SU") && text.len() == 58 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())) {
                return Err(StreamError::Secret { name: name.clone(), reason: "it is no seed of a user, which begins with SU".to_owned() });
            }
            options.nkey(text.to_owned())
        }
        // The library wants the line end that whoever looked the secret up took away. Its error may show what it could not read.
        NatsAuthentication::Creds { secret: name } => options
            .credentials(&format!("{text}\n"))
            .map_err(|_| StreamError::Secret { name: name.clone(), reason: "it is no .creds file, with a user's JWT and seed".to_owned() })?,
    })
}

/// The certificates that are believed, and ours.
fn client_config(tls: &NatsTls, secret: &(dyn Fn(&SecretName) -> Result<SecretString, String> + Sync)) -> Result<rustls::ClientConfig, StreamError> {
    let unfit = |what: &str| StreamError::Unfit(format!("`nats.tls.{what}` cannot be read as certificates in PEM"));
    let read = |text: &str, what: &str| {
        let found: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        found.ok().filter(|found| !found.is_empty()).ok_or_else(|| unfit(what))
    };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in read(&tls.ca, "ca")? {
        roots.add(certificate).map_err(|_| unfit("ca"))?;
    }
    let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
    let (Some(certificate), Some(name)) = (&tls.certificate, &tls.key) else { return Ok(builder.with_no_client_auth()) };
    let wrong = |reason: &str| StreamError::Secret { name: name.clone(), reason: reason.to_owned() };
    let value = looked_up(name, secret)?;
    let key = PrivateKeyDer::from_pem_slice(value.expose_secret().as_bytes()).map_err(|_| wrong("it is no private key in PEM"))?;
    let chain = read(certificate, "certificate")?;
    builder.with_client_auth_cert(chain, key).map_err(|_| wrong("it is not the key of `nats.tls.certificate`"))
}
