//! Calls about one repository: each within the account's budget, with the account's token, along GitHub's redirects, and its
//! answer judged. A call that was redirected or refused for its token had no effect, so it may be made again.

use super::account::{Access, Account};
use super::budget::{self, Kind};
use super::transport::{Answer, Ask, GRAPHQL};
use super::wire::{WireError, WireGraph, WireGraphError, WireRepository};
use super::{GitHubSettings, judge, read};
use crate::forge::{ForgeError, Priority};
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Redirects followed for one call.
const MOST_HOPS: u32 = 3;
/// Entries in one page of a listing.
const PAGE: usize = 100;
/// Pages read of one listing.
const MOST_PAGES: u32 = 10;

/// One repository at GitHub, as everyone who calls about it shares it.
pub(super) struct Repository {
    pub(super) account: Arc<Account>,
    /// As it is configured, for people.
    pub(super) forge: String,
    /// As it is configured: `owner/name`.
    pub(super) configured: String,
    place: RwLock<Place>,
    /// The numbers of milestones that were looked up by their titles.
    pub(super) milestones: Mutex<HashMap<String, u64>>,
    /// Whether this GitHub knows no merge queues: an older Enterprise Server.
    pub(super) without_queues: AtomicBool,
    /// Whether this GitHub does not tell of many pull requests at once.
    pub(super) without_many: AtomicBool,
}

/// Where the repository is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) owner: String,
    name: String,
    /// Whether GitHub told us another name than the configured one.
    moved: bool,
}

impl Place {
    /// Owner and name.
    pub(super) fn parts(self) -> (String, String) {
        (self.owner, self.name)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// A call about the repository.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) kind: Kind,
    /// Path and query; made anew when the repository turns out to have another name.
    pub(super) route: &'a (dyn Fn(&Place) -> String + Send + Sync),
    pub(super) body: Option<&'a Value>,
    /// The version of the answer that is known already.
    pub(super) known: Option<&'a str>,
}

/// Calls about a repository with one priority.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) repository: Arc<Repository>,
    pub(super) priority: Priority,
}

impl Repository {
    pub(super) fn new(settings: &GitHubSettings, account: Arc<Account>) -> Self {
        let configured = format!("{}/{}", settings.owner, settings.repository);
        let forge = format!("GitHub repository {configured}");
        let place = Place { owner: settings.owner.clone(), name: settings.repository.clone(), moved: false };
        Self {
            account,
            forge,
            configured,
            place: RwLock::new(place),
            milestones: Mutex::default(),
            without_queues: AtomicBool::new(false),
            without_many: AtomicBool::new(false),
        }
    }

    pub(super) fn place(&self) -> Place {
        self.place.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a person should know about its name.
    pub(super) fn moved_note(&self) -> Option<String> {
        let place = self.place();
        place.moved.then(|| format!("the repository is called {place} now; put that name into its resource"))
    }
}

impl Client {
    pub(super) fn forge(&self) -> &str {
        &self.repository.forge
    }

    pub(super) fn unreachable(&self, message: String) -> ForgeError {
        ForgeError::Unreachable { forge: self.forge().to_owned(), message }
    }

    /// Reads something.
    pub(super) async fn get<T: DeserializeOwned>(&self, route: &(dyn Fn(&Place) -> String + Send + Sync)) -> Result<T, ForgeError> {
        let answer = self.send(Call { method: Method::GET, kind: Kind::Read, route, body: None, known: None }).await?;
        read(self.forge(), &answer.text)
    }

    /// Changes something.
    pub(super) async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        kind: Kind,
        route: &(dyn Fn(&Place) -> String + Send + Sync),
        body: &Value,
    ) -> Result<T, ForgeError> {
        let answer = self.send(Call { method, kind, route, body: Some(body), known: None }).await?;
        // A cut or foreign answer: the effect may have happened, and the next attempt will find it.
        read(self.forge(), &answer.text)
    }

    /// Reads a listing, whose route has no query, to its end: GitHub tells the oldest first. At most [`MOST_PAGES`] are read.
    pub(super) async fn list<T: DeserializeOwned>(&self, route: &(dyn Fn(&Place) -> String + Send + Sync)) -> Result<Vec<T>, ForgeError> {
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let found: Vec<T> = self.get(&|at: &Place| format!("{}?per_page={PAGE}&page={page}", route(at))).await?;
            let last = found.len() < PAGE;
            all.extend(found);
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// Asks GraphQL, and tells the answer's `data`; null where this GitHub has none of it, or does not know what is asked for.
    pub(super) async fn graphql(&self, kind: Kind, document: &str, variables: Value) -> Result<Value, ForgeError> {
        self.ask_graphql(kind, document, variables, false).await
    }

    /// As [`Self::graphql`], for many things of a repository: what is not there is null in the answer.
    pub(super) async fn graphql_found(&self, kind: Kind, document: &str, variables: Value) -> Result<Value, ForgeError> {
        self.ask_graphql(kind, document, variables, true).await
    }

    async fn ask_graphql(&self, kind: Kind, document: &str, variables: Value, missing_is_told: bool) -> Result<Value, ForgeError> {
        let body = json!({ "query": document, "variables": variables });
        let call = Call { method: Method::POST, kind, route: &|_| GRAPHQL.to_owned(), body: Some(&body), known: None };
        let answer = match self.send(call).await {
            // GraphQL tells of what is not there in an answer of its own: here it is missing itself.
            Err(ForgeError::NotFound { .. }) => return Ok(Value::Null),
            answer => answer?,
        };
        let graph: WireGraph = read(self.forge(), &answer.text)?;
        let all_found =
            |error: &WireGraphError| !(missing_is_told && error.kind == "NOT_FOUND" && graph.data.get("repository").is_some_and(Value::is_object));
        let Some(error) = graph.errors.into_iter().find(all_found) else { return Ok(graph.data) };
        if error.is_unknown_field() {
            return Ok(Value::Null);
        }
        let (forge, message) = (self.forge().to_owned(), error.words());
        Err(match error.kind.as_str() {
            "RATE_LIMITED" => {
                let access = self.access().await?;
                let wait = access.budget().limited_by_graphql(&answer, message.clone());
                ForgeError::Limited { forge, retry_after: Some(wait), message }
            }
            "FORBIDDEN" | "INSUFFICIENT_SCOPES" => ForgeError::Forbidden { forge, message },
            "NOT_FOUND" => ForgeError::NotFound { forge, message },
            "INTERNAL" | "SERVICE_UNAVAILABLE" => ForgeError::Unreachable { forge, message },
            _ => ForgeError::Refused { forge, message },
        })
    }

    pub(super) async fn access(&self) -> Result<Access<'_>, ForgeError> {
        self.repository.account.access(self.forge(), &self.repository.place().to_string(), self.priority).await
    }

    /// Makes the call, along redirects, and tells a good answer (2xx or 304).
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Answer, ForgeError> {
        let (mut hops, mut asked_for_name) = (0, false);
        let mut target = (call.route)(&self.repository.place());
        loop {
            let ask = Ask { method: call.method.clone(), route: &target, body: call.body, known: call.known };
            let answer = self.exchange(ask, call.kind).await?;
            match answer.status.as_u16() {
                200..=299 | 304 => return Ok(answer),
                301 | 302 | 307 | 308 if hops < MOST_HOPS => {
                    hops += 1;
                    let location = answer.header("location").and_then(|location| self.repository.account.transport.route_of(location));
                    let message = "it has moved to another host, where the token is not sent".to_owned();
                    let next = location.ok_or_else(|| ForgeError::NotFound { forge: self.forge().to_owned(), message })?;
                    // Repeated as it was, as GitHub asks: a redirected call had no effect.
                    let renamed = !asked_for_name && self.learn_name(&target, &next).await;
                    asked_for_name = true;
                    target = if renamed { (call.route)(&self.repository.place()) } else { next };
                }
                301 | 302 | 307 | 308 => return Err(self.unreachable("it leads round in a circle".to_owned())),
                _ => return Err(judge(self.forge(), &answer)),
            }
        }
    }

    /// One exchange within the budget; a token that is not taken is renewed once.
    async fn exchange(&self, ask: Ask<'_>, kind: Kind) -> Result<Answer, ForgeError> {
        let forge = self.forge();
        let resource = if ask.route == GRAPHQL { budget::GRAPHQL } else { budget::CORE };
        let mut renewed = false;
        loop {
            let access = self.access().await?;
            access.budget().check(resource, self.priority).map_err(|limited| limited.of(forge))?;
            let token = access.token(forge, self.priority).await?;
            let turn = access.budget().admit(resource, kind, self.priority).await.map_err(|limited| limited.of(forge))?;
            let again = Ask { method: ask.method.clone(), ..ask };
            let answer = self.repository.account.transport.exchange(again, &token).await.map_err(|lost| {
                access.budget().lost();
                lost.of(forge)
            })?;
            drop(turn);
            if let Some(wait) = access.budget().learn(resource, &answer) {
                let message = WireError::read(&answer.text).words();
                let message = if message.is_empty() { format!("status {}", answer.status.as_u16()) } else { message };
                return Err(ForgeError::Limited { forge: forge.to_owned(), retry_after: Some(wait), message });
            }
            if answer.status.as_u16() == 401 && !renewed && access.refused(&token).await {
                renewed = true;
                continue;
            }
            return Ok(answer);
        }
    }

    /// Learns the repository's present name from where a call was led on to; true when it has another one now.
    async fn learn_name(&self, target: &str, next: &str) -> bool {
        let place = self.repository.place();
        let path = |route: &str| route.split('?').next().unwrap_or_default().to_owned();
        let (asked, led_to) = (path(target), path(next));
        let Some(root) = asked.strip_prefix(&format!("/repos/{place}")).and_then(|rest| led_to.strip_suffix(rest)) else { return false };
        let ask = Ask { method: Method::GET, route: root, body: None, known: None };
        let answer = match self.exchange(ask, Kind::Read).await {
            Ok(answer) if answer.status.is_success() => answer,
            _ => return false,
        };
        let Ok(found) = read::<WireRepository>(self.forge(), &answer.text) else { return false };
        let Ok(settings) = GitHubSettings::of(&found.full_name) else { return false };
        let new = Place { owner: settings.owner, name: settings.repository, moved: true };
        if new.owner == place.owner && new.name == place.name {
            return false;
        }
        tracing::warn!(configured = self.forge(), now = %new, "the repository has another name now; put it into the repository's resource");
        *self.repository.place.write().unwrap_or_else(PoisonError::into_inner) = new;
        true
    }
}
