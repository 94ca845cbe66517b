//! GitHub and GitHub Enterprise, through octocrab, with a token or as an App.
//! At most three calls make a new pull request with labels, assignees, milestone and reviewers; one finds that nothing
//! differs. It never makes a second open pull request for a branch, removes nobody, and its errors never hold a token.

mod account;
mod app;
mod budget;
mod client;
mod evidence;
mod judge;
mod look;
mod many;
mod merging;
mod missed;
mod propose;
mod refused;
mod remarks;
mod transport;
mod turns;
mod window;
mod wire;

pub use account::{Account, AccountSettings, Identity, Myself};

use super::{CheckSpec, Forge, ForgeError, Look, Mark, Priority, Pull, PullSpec, PullState, Reaction, Remark, WindowSpec};
use crate::request::{RemarkAddress, RemarkPlace};
use crate::types::{BranchName, ParseError, Timestamp};
use budget::Kind;
use client::{Client, Place, Repository};
use http::Method;
use judge::{judge, read};
use many::Words;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use wire::{WirePull, WireRemark, WireUser, approvals};

/// GitHub takes titles of at most 256 characters.
const TITLE_LIMIT: usize = 256;
/// GitHub takes bodies and comments of at most 65,536 characters.
const BODY_LIMIT: usize = 65_536;

/// Where a secret of the moment comes from. The error is shown to people and must hold no secret.
pub type SecretSource = Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>;

/// Which repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitHubSettings {
    /// The repository's owner: a person or an organisation.
    pub owner: String,
    /// The repository's name.
    pub repository: String,
}

impl GitHubSettings {
    /// The repository of this name, `owner/repository`.
    ///
    /// # Errors
    /// When `repository` is not two such words: they become part of an address.
    pub fn of(repository: &str) -> Result<Self, ParseError> {
        let word =
            |s: &str| (1..=100).contains(&s.len()) && s != "." && s != ".." && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        match repository.split_once('/') {
            Some((owner, name)) if word(owner) && word(name) => Ok(Self { owner: owner.to_owned(), repository: name.to_owned() }),
            _ => Err(ParseError::new("GitHub repository", repository, "it is owner/repository, of letters, digits, `-`, `_` and `.`")),
        }
    }
}

/// One repository at GitHub, called with one priority.
pub struct GitHub {
    client: Client,
}

/// A pull request, and what of it is GitHub's alone.
struct Held {
    pull: Pull,
    /// What GraphQL knows it by.
    node: Option<String>,
    /// Its milestone's number.
    milestone: Option<u64>,
}

impl GitHub {
    /// A repository, called as `account` with the priority of a ticket. Nothing is called yet.
    pub fn new(settings: &GitHubSettings, account: Arc<Account>) -> Self {
        Self { client: Client { repository: Arc::new(Repository::new(settings, account)), priority: Priority::Ticket } }
    }

    /// The same, called with another priority.
    #[must_use]
    pub fn with(&self, priority: Priority) -> Self {
        Self { client: Client { repository: Arc::clone(&self.client.repository), priority } }
    }

    /// Whether a call may be made now; it asks nobody.
    ///
    /// # Errors
    /// [`ForgeError::Limited`] with the time that is left.
    pub fn check(&self) -> Result<(), ForgeError> {
        let repository = &self.client.repository;
        repository.account.check(&repository.forge, &repository.place().to_string(), self.client.priority)
    }

    /// The name of the budget its calls come from, as far as it is known without asking.
    pub fn budget_name(&self) -> Option<String> {
        let repository = &self.client.repository;
        repository.account.budget_name(&repository.place().to_string())
    }

    /// The token that opens the repository over HTTPS.
    ///
    /// # Errors
    /// When there is none, or GitHub cannot be asked for one.
    pub async fn git_token(&self) -> Result<SecretString, ForgeError> {
        let repository = &self.client.repository;
        repository.account.git_token(&repository.forge, &repository.place().to_string()).await
    }

    /// Git was refused with that token.
    pub async fn git_refused(&self) {
        let repository = &self.client.repository;
        repository.account.git_refused(&repository.place().to_string()).await;
    }

    /// Whose acts ours are, as far as GitHub was asked.
    pub fn myself(&self) -> Option<Myself> {
        self.client.repository.account.myself.get().cloned()
    }

    /// Asks GitHub whose acts ours are, once for every repository of the account.
    ///
    /// # Errors
    /// What GitHub gives.
    pub async fn introduce(&self) -> Result<(), ForgeError> {
        let account = &self.client.repository.account;
        if account.myself.get().is_some() {
            return Ok(());
        }
        let myself = match account.app() {
            Some(app) => app.myself(self.client.priority).await?,
            None => self.client.get::<WireUser>(&|_: &Place| "/user".to_owned()).await?.into(),
        };
        account.myself.get_or_init(|| myself);
        Ok(())
    }

    fn held(&self, wire: WirePull) -> Held {
        let (node, milestone) = (wire.node_id.clone(), wire.milestone.as_ref().map(|milestone| milestone.number));
        Held { pull: wire.into_pull(&self.client.repository.place().owner), node, milestone }
    }

    async fn pull(&self, number: u64) -> Result<Held, ForgeError> {
        let wire = match self.client.get(&|at: &Place| format!("/repos/{at}/pulls/{number}")).await {
            Err(ForgeError::NotFound { .. }) => return Err(self.no_pull(number).await),
            wire => wire?,
        };
        Ok(self.held(wire))
    }

    async fn change(&self, number: u64, change: &Value) -> Result<Held, ForgeError> {
        let wire = self.client.write(Method::PATCH, Kind::Write, &|at: &Place| format!("/repos/{at}/pulls/{number}"), change).await?;
        Ok(self.held(wire))
    }

    /// Why there is no such pull request: it is not there, or the repository is hidden from us altogether.
    async fn no_pull(&self, number: u64) -> ForgeError {
        match self.client.get::<Value>(&|at: &Place| format!("/repos/{at}")).await {
            Ok(_) => ForgeError::NoPull { forge: self.client.forge().to_owned(), number },
            Err(error) => error,
        }
    }

    /// The pull requests of a head branch: the open one, then the others, newest first.
    async fn pulls_of(&self, head: &BranchName) -> Result<Vec<Held>, ForgeError> {
        // A branch name has no character that needs escaping in a query.
        let route = |at: &Place| format!("/repos/{at}/pulls?state=all&head={}:{head}&sort=created&direction=desc&per_page=30", at.owner);
        let wires: Vec<WirePull> = self.client.get(&route).await?;
        // GitHub ignores a filter it does not understand, so the answer is not believed.
        let mut pulls: Vec<Held> = wires.into_iter().map(|wire| self.held(wire)).filter(|held| held.pull.head == head.as_str()).collect();
        pulls.sort_by_key(|held| (held.pull.state != PullState::Open, std::cmp::Reverse(held.pull.number)));
        Ok(pulls)
    }

    /// The reviews of a pull request as they are told, the oldest first.
    async fn reviews_of(&self, number: u64) -> Result<Vec<Value>, ForgeError> {
        self.client.list(&|at: &Place| format!("/repos/{at}/pulls/{number}/reviews")).await
    }

    /// A pull request with its approvals, and its reviews with words.
    async fn reviewed(&self, mut pull: Pull) -> Result<(Pull, Vec<Remark>), ForgeError> {
        let raw = self.reviews_of(pull.number).await?;
        let wires: Result<Vec<WireRemark>, _> = raw.iter().map(WireRemark::deserialize).collect();
        let wires = wires.map_err(|_| self.client.unreachable(format!("what it tells of the reviews of #{} makes no sense", pull.number)))?;
        pull.approved_by = approvals(&wires);
        let reviews = wires.into_iter().zip(raw).filter_map(|(wire, raw)| remarks::read(RemarkPlace::Review, wire, raw)).collect();
        Ok((pull, reviews))
    }
}

#[async_trait::async_trait]
impl Forge for GitHub {
    async fn ensure_pull(&self, spec: &PullSpec) -> Result<Pull, ForgeError> {
        let mut pull = self.ensured(spec).await?;
        pull.notes.extend(self.client.repository.moved_note());
        Ok(pull)
    }

    async fn get(&self, number: u64) -> Result<Pull, ForgeError> {
        let mut pull = self.pull(number).await?.pull;
        if pull.state == PullState::Open {
            pull.queued = self.queued(number).await?;
        }
        Ok(pull)
    }

    async fn find(&self, head: &BranchName) -> Result<Option<Pull>, ForgeError> {
        Ok(self.pulls_of(head).await?.into_iter().next().map(|held| held.pull))
    }

    async fn close(&self, number: u64, comment: Option<&str>) -> Result<Pull, ForgeError> {
        let held = self.pull(number).await?;
        if held.pull.state != PullState::Open {
            return Ok(held.pull);
        }
        if let Some(comment) = comment {
            self.say(number, comment, None, true).await?;
        }
        Ok(self.change(number, &json!({ "state": "closed" })).await?.pull)
    }

    fn follows_branches(&self) -> bool {
        true
    }

    async fn comment_once(&self, number: u64, body: &str, marker: &str, asked_before: bool) -> Result<(), ForgeError> {
        self.say(number, body, Some(marker), asked_before).await
    }

    async fn answer_once(&self, remark: &RemarkAddress, body: &str, marker: &str, asked_before: bool) -> Result<(), ForgeError> {
        match remark.place {
            RemarkPlace::Thread => self.reply(remark, body, marker, asked_before).await,
            RemarkPlace::Conversation | RemarkPlace::Review => self.say(remark.pull, body, Some(marker), asked_before).await,
        }
    }

    async fn remark(&self, remark: &RemarkAddress) -> Result<Option<Remark>, ForgeError> {
        self.remarked(remark).await
    }

    async fn may_write(&self, login: &str) -> Result<bool, ForgeError> {
        self.permits(login).await
    }

    async fn react(&self, remark: &RemarkAddress, reaction: Reaction) -> Result<(), ForgeError> {
        self.reacted(remark, reaction).await
    }

    async fn look(&self, numbers: &[u64], since: Option<&Mark>) -> Result<Look, ForgeError> {
        Ok(self.looked(numbers, since, Words::Left).await?.0)
    }

    async fn comments(&self, place: RemarkPlace, since: Timestamp) -> Result<Vec<Remark>, ForgeError> {
        self.comments_since(place, since).await
    }

    async fn reviews(&self, numbers: &[u64], since: Option<&Mark>) -> Result<(Vec<Remark>, Mark), ForgeError> {
        self.reviews_since(numbers, since).await
    }

    async fn surroundings(&self, remark: &RemarkAddress) -> Result<(Value, Value), ForgeError> {
        self.around(remark).await
    }

    async fn why_refused(&self) -> Result<(), ForgeError> {
        self.refused().await
    }

    async fn report(&self, check: &CheckSpec) -> Result<bool, ForgeError> {
        self.evidence(check).await
    }

    async fn show_window(&self, window: &WindowSpec) -> Result<bool, ForgeError> {
        self.window(window).await
    }
}

/// A permanent refusal of a side matter becomes a note; the pull request stands. What may pass is an error, to be retried.
fn note(notes: &mut Vec<String>, what: &str, error: ForgeError) -> Result<(), ForgeError> {
    match error {
        ForgeError::Refused { message, .. } | ForgeError::Forbidden { message, .. } | ForgeError::NotFound { message, .. } => {
            notes.push(format!("{what}: {message}"));
            Ok(())
        }
        error => Err(error),
    }
}
