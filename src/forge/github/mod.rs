//! GitHub and GitHub Enterprise, through octocrab, with a token.
//! At most three calls make a new pull request with labels and reviewers; one finds that nothing differs. It never makes a
//! second open pull request for a branch, and its errors never hold the token.

mod client;
mod wire;

pub use client::{RateBudget, TokenSource};

use super::{Forge, ForgeError, Pull, PullSpec, PullState, Reviewer, cut};
use crate::clock::Clock;
use crate::types::{BranchName, ParseError};
use client::Client;
use http::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wire::{WirePull, WireReview, approvals};

/// GitHub takes titles of at most 256 characters.
const TITLE_LIMIT: usize = 256;
/// GitHub takes bodies and comments of at most 65,536 characters.
const BODY_LIMIT: usize = 65_536;

/// Which repository at which GitHub.
#[derive(Clone)]
pub struct GitHubSettings {
    /// The API's address: `https://api.github.com`, or `https://<host>/api/v3` for GitHub Enterprise Server.
    pub api: String,
    /// The repository's owner: a person or an organisation.
    pub owner: String,
    /// The repository's name.
    pub repository: String,
    /// How long one call may take in all.
    pub timeout: Duration,
}

impl GitHubSettings {
    /// Settings for `owner/repository` at github.com, with half a minute for a call.
    ///
    /// # Errors
    /// When the text is not `owner/repository`.
    pub fn of(slug: &str) -> Result<Self, ParseError> {
        let word =
            |s: &str| (1..=100).contains(&s.len()) && s != "." && s != ".." && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        match slug.split_once('/') {
            Some((owner, repository)) if word(owner) && word(repository) => Ok(Self {
                api: "https://api.github.com".to_owned(),
                owner: owner.to_owned(),
                repository: repository.to_owned(),
                timeout: Duration::from_secs(30),
            }),
            _ => Err(ParseError::new("GitHub repository", slug, "it is owner/repository, of letters, digits, `-`, `_` and `.`")),
        }
    }
}

/// One repository at GitHub.
pub struct GitHub {
    client: Client,
    owner: String,
    /// `/repos/<owner>/<repository>`.
    route: String,
}

impl GitHub {
    /// A client of one repository; nothing is called yet. It must be made within a tokio runtime.
    ///
    /// # Errors
    /// [`ForgeError::Setup`] when the address is none, or the machine has no trusted certificates.
    pub fn new(settings: &GitHubSettings, token: TokenSource, clock: Arc<dyn Clock>) -> Result<Self, ForgeError> {
        let forge = format!("GitHub repository {}/{}", settings.owner, settings.repository);
        let setup = |error: octocrab::Error| ForgeError::Setup {
            forge: forge.clone(),
            message: error.to_string().lines().next().unwrap_or_default().to_owned(),
        };
        let octocrab = octocrab::Octocrab::builder()
            .base_uri(settings.api.trim_end_matches('/'))
            .map_err(setup)?
            .set_connect_timeout(Some(Duration::from_secs(10)))
            .set_read_timeout(Some(settings.timeout))
            .set_write_timeout(Some(settings.timeout))
            .build()
            .map_err(setup)?;
        let client = Client { forge, octocrab, token, clock, timeout: settings.timeout, budget: Mutex::new(None) };
        Ok(Self { client, owner: settings.owner.clone(), route: format!("/repos/{}/{}", settings.owner, settings.repository) })
    }

    /// What is left of the primary rate limit, by the last answer; none before the first.
    pub fn budget(&self) -> Option<RateBudget> {
        self.client.budget()
    }

    async fn pull(&self, method: Method, route: String, body: Option<Value>) -> Result<Pull, ForgeError> {
        let wire: WirePull = self.client.call(method, &format!("{}{route}", self.route), body.as_ref()).await?;
        Ok(wire.into_pull(&self.owner))
    }

    /// Brings an open pull request to what `spec` says, with no call for what is so already.
    async fn bring_up(&self, pull: Pull, spec: &PullSpec) -> Result<Pull, ForgeError> {
        if pull.state != PullState::Open {
            return Ok(pull);
        }
        let mut pull = pull;
        let (title, body) = (cut(&spec.title, TITLE_LIMIT), cut(&spec.body, BODY_LIMIT));
        if pull.title != title || !same_text(&pull.body, &body) || pull.base != spec.base.as_str() {
            let change = json!({ "title": title, "body": body, "base": spec.base });
            pull = self.pull(Method::PATCH, format!("/pulls/{}", pull.number), Some(change)).await?;
        }
        self.label(&mut pull, spec).await?;
        let missing: Vec<&Reviewer> = spec.reviewers.iter().filter(|reviewer| !holds(&pull.reviewers, reviewer)).collect();
        // Who has reviewed is no longer listed as asked, and must not be asked again for that.
        if !missing.is_empty() && self.reviews(pull.number).await?.is_empty() {
            self.ask(&mut pull, &missing).await?;
        }
        Ok(pull)
    }

    async fn create(&self, spec: &PullSpec) -> Result<Pull, ForgeError> {
        let wanted = json!({
            "title": cut(&spec.title, TITLE_LIMIT),
            "body": cut(&spec.body, BODY_LIMIT),
            "head": spec.head,
            "base": spec.base,
        });
        match self.pull(Method::POST, "/pulls".to_owned(), Some(wanted)).await {
            Ok(mut pull) => {
                self.label(&mut pull, spec).await?;
                self.ask(&mut pull, &spec.reviewers.iter().collect::<Vec<_>>()).await?;
                Ok(pull)
            }
            // 422: usually because there is one, made by an attempt whose answer was lost.
            // Or because its change is in the base already: the one that was merged is the one asked for.
            Err(refused @ ForgeError::Refused { .. }) => match self.asked_for(spec).await? {
                Some(pull) => self.bring_up(pull, spec).await,
                None => Err(refused),
            },
            Err(error) => Err(error),
        }
    }

    /// The pull request that was asked for before, if there is one.
    async fn asked_for(&self, spec: &PullSpec) -> Result<Option<Pull>, ForgeError> {
        Ok(self.pulls_of(&spec.head).await?.into_iter().find(|pull| pull.is_of(spec)))
    }

    /// The pull requests of a head branch: the open one, then the others, newest first.
    async fn pulls_of(&self, head: &BranchName) -> Result<Vec<Pull>, ForgeError> {
        // A branch name has no character that needs escaping in a query.
        let route = format!("{}/pulls?state=all&head={}:{head}&sort=created&direction=desc&per_page=30", self.route, self.owner);
        let wires: Vec<WirePull> = self.client.call(Method::GET, &route, None).await?;
        // GitHub ignores a filter it does not understand, so the answer is not believed.
        let mut pulls: Vec<Pull> = wires.into_iter().map(|wire| wire.into_pull(&self.owner)).filter(|pull| pull.head == head.as_str()).collect();
        pulls.sort_by_key(|pull| (pull.state != PullState::Open, std::cmp::Reverse(pull.number)));
        Ok(pulls)
    }

    /// Adds the labels that are missing. GitHub makes a label it does not know.
    async fn label(&self, pull: &mut Pull, spec: &PullSpec) -> Result<(), ForgeError> {
        let missing: Vec<&String> = spec.labels.iter().filter(|label| !pull.labels.iter().any(|has| has.eq_ignore_ascii_case(label))).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let route = format!("{}/issues/{}/labels", self.route, pull.number);
        match self.client.call::<Vec<Value>>(Method::POST, &route, Some(&json!({ "labels": missing }))).await {
            Ok(_) => pull.labels.extend(missing.into_iter().cloned()),
            Err(error) => note(pull, "the labels were not set", error)?,
        }
        Ok(())
    }

    /// Asks for reviews. GitHub refuses all when one is nobody it knows, or the author.
    async fn ask(&self, pull: &mut Pull, reviewers: &[&Reviewer]) -> Result<(), ForgeError> {
        let (mut users, mut teams) = (Vec::new(), Vec::new());
        for reviewer in reviewers {
            match reviewer {
                Reviewer::User(login) if login.eq_ignore_ascii_case(&pull.author) => {
                    pull.notes.push(format!("{login} opened the pull request and cannot review it"));
                }
                Reviewer::User(login) => users.push(login),
                Reviewer::Team { team, .. } => teams.push(team),
            }
        }
        if users.is_empty() && teams.is_empty() {
            return Ok(());
        }
        let body = json!({ "reviewers": users, "team_reviewers": teams });
        match self.pull(Method::POST, format!("/pulls/{}/requested_reviewers", pull.number), Some(body)).await {
            Ok(answer) => pull.reviewers = answer.reviewers,
            Err(error) => note(pull, "nobody was asked to review", error)?,
        }
        Ok(())
    }

    async fn reviews(&self, number: u64) -> Result<Vec<WireReview>, ForgeError> {
        self.client.call(Method::GET, &format!("{}/pulls/{number}/reviews?per_page=100", self.route), None).await
    }

    fn no_pull(&self, number: u64) -> impl Fn(ForgeError) -> ForgeError {
        let forge = self.client.forge.clone();
        move |error| match error {
            ForgeError::NotFound { .. } => ForgeError::NoPull { forge: forge.clone(), number },
            error => error,
        }
    }
}

#[async_trait::async_trait]
impl Forge for GitHub {
    async fn ensure_pull(&self, spec: &PullSpec) -> Result<Pull, ForgeError> {
        let found = if spec.asked_before { self.asked_for(spec).await? } else { None };
        match found {
            Some(pull) => self.bring_up(pull, spec).await,
            None => self.create(spec).await,
        }
    }

    async fn get(&self, number: u64) -> Result<Pull, ForgeError> {
        let mut pull = self.pull(Method::GET, format!("/pulls/{number}"), None).await.map_err(self.no_pull(number))?;
        pull.approved_by = approvals(self.reviews(number).await?);
        Ok(pull)
    }

    async fn find(&self, head: &BranchName) -> Result<Option<Pull>, ForgeError> {
        Ok(self.pulls_of(head).await?.into_iter().next())
    }

    async fn close(&self, number: u64, comment: Option<&str>) -> Result<Pull, ForgeError> {
        let pull = self.pull(Method::GET, format!("/pulls/{number}"), None).await.map_err(self.no_pull(number))?;
        if pull.state != PullState::Open {
            return Ok(pull);
        }
        if let Some(comment) = comment {
            self.comment(number, comment).await?;
        }
        self.pull(Method::PATCH, format!("/pulls/{number}"), Some(json!({ "state": "closed" }))).await
    }

    async fn comment(&self, number: u64, body: &str) -> Result<(), ForgeError> {
        let route = format!("{}/issues/{number}/comments", self.route);
        let body = json!({ "body": cut(body, BODY_LIMIT) });
        self.client.call::<Value>(Method::POST, &route, Some(&body)).await.map(drop).map_err(self.no_pull(number))
    }
}

/// A permanent refusal of a side matter becomes a note; the pull request stands. What may pass is an error, to be retried.
fn note(pull: &mut Pull, what: &str, error: ForgeError) -> Result<(), ForgeError> {
    match error {
        ForgeError::Refused { message, .. } | ForgeError::Forbidden { message, .. } | ForgeError::NotFound { message, .. } => {
            pull.notes.push(format!("{what}: {message}"));
            Ok(())
        }
        error => Err(error),
    }
}

/// Whether two bodies are the same text: GitHub's editor writes CRLF and trims the end.
fn same_text(one: &str, other: &str) -> bool {
    one.replace("\r\n", "\n").trim_end() == other.replace("\r\n", "\n").trim_end()
}

/// Logins and team names are the same in any case.
fn holds(reviewers: &[Reviewer], wanted: &Reviewer) -> bool {
    reviewers.iter().any(|reviewer| match (reviewer, wanted) {
        (Reviewer::User(one), Reviewer::User(other)) => one.eq_ignore_ascii_case(other),
        (Reviewer::Team { team: one, .. }, Reviewer::Team { team: other, .. }) => one.eq_ignore_ascii_case(other),
        _ => false,
    })
}
