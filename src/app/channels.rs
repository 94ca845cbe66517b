//! Glue: the channels in force, each made once for its settings.

use crate::clock::Clock;
use crate::feedback::{Account, FeedbackError, Makings, Outlet, SecretSource, TIMEOUT};
use crate::inventory::ChannelSpec;
use crate::pipeline::{Channels, Rules};
use crate::secrets::SecretProvider;
use crate::types::ChannelName;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The channels of the resources in force.
pub struct ConfiguredChannels {
    rules: Arc<Rules>,
    secrets: Arc<dyn SecretProvider>,
    clock: Arc<dyn Clock>,
    pictures: Option<String>,
    made: Mutex<BTreeMap<ChannelName, (ChannelSpec, Outlet)>>,
}

impl ConfiguredChannels {
    /// Channels that are opened when they are first used; below `pictures` the browsers of their users find pictures for links.
    pub fn new(rules: Arc<Rules>, secrets: Arc<dyn SecretProvider>, clock: Arc<dyn Clock>, pictures: Option<String>) -> Self {
        Self { rules, secrets, clock, pictures, made: Mutex::default() }
    }
}

impl Channels for ConfiguredChannels {
    fn outlet(&self, name: &ChannelName) -> Result<Outlet, FeedbackError> {
        let rules = self.rules.current();
        let Some(channel) = rules.set.inventory.channels.get(name) else {
            let message = "there is no such channel any more".to_owned();
            return Err(FeedbackError::Setup { channel: format!("the channel {name}"), message });
        };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, outlet)) = made.get(name).filter(|(spec, _)| *spec == channel.spec) {
            return Ok(outlet.clone());
        }
        let (secrets, named) = (Arc::clone(&self.secrets), channel.spec.secret().clone());
        let secret: SecretSource = Arc::new(move || secrets.secret(&named).map_err(|error| error.to_string()));
        let makings = Makings { secret, clock: Arc::clone(&self.clock), timeout: TIMEOUT };
        let outlet = Outlet::open(channel, makings, self.pictures.as_deref())?;
        made.insert(name.clone(), (channel.spec.clone(), outlet.clone()));
        Ok(outlet)
    }

    fn ourselves(&self) -> Vec<Account> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.values().filter_map(|(_, outlet)| if let Outlet::Tracker(tracker) = outlet { tracker.known_account() } else { None }).collect()
    }
}
