//! Makes sure that a branch has one pull request that looks as asked: finds it or opens it, then brings it up to what is
//! wanted with no call for what is so already. Labels, assignees and reviewers are added, never removed, but for our own
//! label of what is held.

use super::budget::Kind;
use super::client::{Call, Place};
use super::wire::{WireIssue, WireLabel, WireMilestone, WirePull};
use super::{BODY_LIMIT, GitHub, Held, TITLE_LIMIT, note};
use crate::automation::Milestone;
use crate::forge::{ForgeError, HELD_LABEL, Pull, PullSpec, PullState, Reviewer, cut};
use http::Method;
use serde_json::{Map, Value, json};
use std::sync::PoisonError;
use std::time::Duration;

/// Pages of milestones looked through for a title.
const MILESTONE_PAGES: u32 = 10;

impl GitHub {
    pub(super) async fn ensured(&self, spec: &PullSpec) -> Result<Pull, ForgeError> {
        let found = match &spec.written {
            Some(written) => Some(self.pull(written.number).await?),
            None if spec.asked_before => self.asked_for(spec).await?,
            None => None,
        };
        match found {
            Some(held) => self.bring_up(held, spec).await,
            None => self.create(spec).await,
        }
    }

    async fn create(&self, spec: &PullSpec) -> Result<Pull, ForgeError> {
        match self.open(spec, spec.draft).await {
            Ok(held) => self.dress(held, spec, true).await,
            Err(ForgeError::Refused { message, .. }) if spec.draft && message.contains("Draft pull requests are not supported") => {
                let mut held = self.open(spec, false).await?;
                held.pull.notes.push("it is no draft: this repository's plan has none".to_owned());
                self.dress(held, spec, true).await
            }
            // 422: usually because there is one, made by an attempt whose answer was lost.
            // Or because its change is in the base already: the one that was merged is the one asked for.
            Err(ForgeError::Refused { message, .. }) => match self.asked_for(spec).await? {
                Some(held) => self.bring_up(held, spec).await,
                None => Err(self.why_not(message, spec)),
            },
            Err(error) => Err(error),
        }
    }

    async fn open(&self, spec: &PullSpec, draft: bool) -> Result<Held, ForgeError> {
        let mut wanted = json!({
            "title": cut(&spec.title, TITLE_LIMIT),
            "body": cut(&spec.body, BODY_LIMIT),
            "head": spec.head,
            "base": spec.base,
        });
        if draft {
            wanted["draft"] = true.into();
        }
        let wire: WirePull = self.client.write(Method::POST, Kind::Content, &|at: &Place| format!("/repos/{at}/pulls"), &wanted).await?;
        Ok(self.held(wire))
    }

    /// What a refusal to open one means, when there is none.
    fn why_not(&self, message: String, spec: &PullSpec) -> ForgeError {
        let forge = self.client.forge().to_owned();
        match message.as_str() {
            said if said.contains("No commits between") => ForgeError::NothingToPropose { forge, head: spec.head.clone(), base: spec.base.clone() },
            said if said.contains("head: invalid") => ForgeError::NoHead { forge, head: spec.head.clone() },
            said if said.contains("base: invalid") => ForgeError::NoBase { forge, base: spec.base.clone() },
            // It does not show yet what it says is there.
            said if said.contains("already exists") => ForgeError::Unreachable { forge, message },
            said if said.contains("submitted too quickly") => ForgeError::Limited { forge, retry_after: Some(Duration::from_secs(60)), message },
            _ => ForgeError::Refused { forge, message },
        }
    }

    /// The pull request that was asked for before, if there is one.
    async fn asked_for(&self, spec: &PullSpec) -> Result<Option<Held>, ForgeError> {
        Ok(self.pulls_of(&spec.head).await?.into_iter().find(|held| held.pull.is_of(spec)))
    }

    /// Brings an open pull request to what `spec` says.
    async fn bring_up(&self, mut held: Held, spec: &PullSpec) -> Result<Pull, ForgeError> {
        let pull = &held.pull;
        if pull.state != PullState::Open {
            return Ok(held.pull);
        }
        let (title, body) = (cut(&spec.title, TITLE_LIMIT), cut(&spec.body, BODY_LIMIT));
        if pull.title != title || !same_text(&pull.body, &body) || pull.base != spec.base.as_str() {
            let mut change = json!({ "title": title, "body": body });
            if pull.base != spec.base.as_str() {
                change["base"] = json!(spec.base);
            }
            held = self.change(pull.number, &change).await?;
        }
        self.dress(held, spec, false).await
    }

    /// Everything beside title, body and base. What is refused for good becomes a note.
    async fn dress(&self, held: Held, spec: &PullSpec, is_new: bool) -> Result<Pull, ForgeError> {
        let Held { mut pull, node, milestone } = held;
        self.mark(&mut pull, milestone, spec).await?;
        if !spec.held && pull.labels.iter().any(|label| label.eq_ignore_ascii_case(HELD_LABEL)) {
            self.unlabel(&mut pull, HELD_LABEL).await?;
        }
        let missing: Vec<&Reviewer> = spec.reviewers.iter().filter(|reviewer| !holds(&pull.reviewers, reviewer)).collect();
        // Who has reviewed is no longer listed as asked, and must not be asked again for that.
        if !missing.is_empty() && (is_new || self.reviews_of(pull.number).await?.is_empty()) {
            self.ask(&mut pull, &missing).await?;
        }
        if let Some(node) = &node {
            self.readiness(&mut pull, node, spec).await?;
        }
        Ok(pull)
    }

    /// Labels, assignees and milestone: in one call, and with the call that only adds where there is only one of them.
    async fn mark(&self, pull: &mut Pull, milestone: Option<u64>, spec: &PullSpec) -> Result<(), ForgeError> {
        let labels = absent(&spec.all_labels(), &pull.labels);
        let assignees = absent(&spec.assignees, &pull.assignees);
        let milestone = self.milestone(pull, milestone, spec).await?;
        let kinds = usize::from(!labels.is_empty()) + usize::from(!assignees.is_empty()) + usize::from(milestone.is_some());
        if kinds > 1 {
            let mut change = Map::new();
            if !labels.is_empty() {
                change.insert("labels".to_owned(), pull.labels.iter().chain(&labels).cloned().collect());
            }
            if !assignees.is_empty() {
                change.insert("assignees".to_owned(), pull.assignees.iter().chain(&assignees).cloned().collect());
            }
            if let Some(number) = milestone {
                change.insert("milestone".to_owned(), number.into());
            }
            match self.change_issue(pull, change.into()).await {
                Ok(()) => {
                    unassigned(pull, &assignees);
                    return Ok(());
                }
                // One of them is refused: each by itself, so that the others are there.
                Err(ForgeError::Refused { .. }) => {}
                Err(error) => return note(&mut pull.notes, "labels, assignees and milestone were not set", error),
            }
        }
        if !labels.is_empty() {
            self.label(pull, &labels).await?;
        }
        if !assignees.is_empty() {
            self.assign(pull, &assignees).await?;
        }
        if let Some(number) = milestone
            && let Err(error) = self.change_issue(pull, json!({ "milestone": number })).await
        {
            // A title may stand for another number by now.
            self.client.repository.milestones.lock().unwrap_or_else(PoisonError::into_inner).clear();
            note(&mut pull.notes, "the milestone was not set", error)?;
        }
        Ok(())
    }

    async fn change_issue(&self, pull: &mut Pull, change: Value) -> Result<(), ForgeError> {
        let number = pull.number;
        let route = |at: &Place| format!("/repos/{at}/issues/{number}");
        let issue: WireIssue = self.client.write(Method::PATCH, Kind::Write, &route, &change).await?;
        issue.onto(pull);
        Ok(())
    }

    /// Adds labels. GitHub makes a label it does not know.
    async fn label(&self, pull: &mut Pull, labels: &[String]) -> Result<(), ForgeError> {
        let number = pull.number;
        let route = |at: &Place| format!("/repos/{at}/issues/{number}/labels");
        match self.client.write::<Vec<WireLabel>>(Method::POST, Kind::Write, &route, &json!({ "labels": labels })).await {
            Ok(all) => pull.labels = all.into_iter().filter_map(WireLabel::name).collect(),
            Err(error) => note(&mut pull.notes, "the labels were not set", error)?,
        }
        Ok(())
    }

    /// Takes a label away, and no other. One that is not there any more is as good as taken.
    async fn unlabel(&self, pull: &mut Pull, label: &str) -> Result<(), ForgeError> {
        let number = pull.number;
        let route = |at: &Place| format!("/repos/{at}/issues/{number}/labels/{}", label.replace('/', "%2F"));
        match self.client.send(Call { method: Method::DELETE, kind: Kind::Write, route: &route, body: None, known: None }).await {
            Ok(_) => pull.labels.retain(|there| !there.eq_ignore_ascii_case(label)),
            Err(ForgeError::NotFound { .. }) => pull.labels.retain(|there| !there.eq_ignore_ascii_case(label)),
            Err(error) => note(&mut pull.notes, "the label was not taken off", error)?,
        }
        Ok(())
    }

    /// Adds assignees. GitHub silently leaves out who cannot be one.
    async fn assign(&self, pull: &mut Pull, assignees: &[String]) -> Result<(), ForgeError> {
        let number = pull.number;
        let route = |at: &Place| format!("/repos/{at}/issues/{number}/assignees");
        match self.client.write::<WireIssue>(Method::POST, Kind::Write, &route, &json!({ "assignees": assignees })).await {
            Ok(issue) => {
                issue.onto(pull);
                unassigned(pull, assignees);
            }
            Err(error) => note(&mut pull.notes, "nobody was assigned", error)?,
        }
        Ok(())
    }

    /// The number of the milestone that is wanted and not there yet.
    async fn milestone(&self, pull: &mut Pull, there: Option<u64>, spec: &PullSpec) -> Result<Option<u64>, ForgeError> {
        let title = match &spec.milestone {
            None => return Ok(None),
            Some(Milestone::Number(number)) => return Ok((there != Some(*number)).then_some(*number)),
            Some(Milestone::Title(title)) => title,
        };
        if pull.milestone.as_deref() == Some(title) {
            return Ok(None);
        }
        let known = self.client.repository.milestones.lock().unwrap_or_else(PoisonError::into_inner).get(title).copied();
        if known.is_some() {
            return Ok(known);
        }
        for page in 1..=MILESTONE_PAGES {
            let route = |at: &Place| format!("/repos/{at}/milestones?state=open&per_page=100&page={page}");
            let found: Vec<WireMilestone> = match self.client.get(&route).await {
                Ok(found) => found,
                Err(error) => return note(&mut pull.notes, "the milestones could not be read", error).map(|()| None),
            };
            let last = found.len() < 100;
            let mut milestones = self.client.repository.milestones.lock().unwrap_or_else(PoisonError::into_inner);
            milestones.extend(found.into_iter().map(|milestone| (milestone.title, milestone.number)));
            if let Some(number) = milestones.get(title) {
                return Ok(Some(*number));
            }
            if last {
                break;
            }
        }
        pull.notes.push(format!("there is no open milestone {title:?}"));
        Ok(None)
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
        let (number, body) = (pull.number, json!({ "reviewers": users, "team_reviewers": teams }));
        let route = |at: &Place| format!("/repos/{at}/pulls/{number}/requested_reviewers");
        match self.client.write::<WirePull>(Method::POST, Kind::Content, &route, &body).await {
            Ok(wire) => pull.reviewers = self.held(wire).pull.reviewers,
            Err(error) => note(&mut pull.notes, "nobody was asked to review", error)?,
        }
        Ok(())
    }
}

/// Those of `wanted` that are not among `there`, in any case.
fn absent(wanted: &[String], there: &[String]) -> Vec<String> {
    wanted.iter().filter(|one| !there.iter().any(|other| other.eq_ignore_ascii_case(one))).cloned().collect()
}

/// Notes who was left out without a word.
fn unassigned(pull: &mut Pull, wanted: &[String]) {
    let left_out = absent(wanted, &pull.assignees);
    if !left_out.is_empty() {
        pull.notes.push(format!("GitHub does not assign {}: it takes only who may write here", left_out.join(", ")));
    }
}

/// Whether two bodies are the same text: GitHub's editor writes CRLF and trims the end.
pub(super) fn same_text(one: &str, other: &str) -> bool {
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
