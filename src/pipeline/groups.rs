//! A request that stands for a group of events: one commit for each member that changes something, one on the other, in order
//! of arrival, each computed and validated on what those before it left. A function of members, base and rules alone: planned
//! again, it gives the same commits. A member that is refused is left out; it never stops the others.

use super::gate::insists;
use super::planned::{Grouped, Planned};
use super::planning::{self, Stop};
use super::plans::{Base, Bases, Looked, target_key, wanted};
use super::{InForce, Pipeline, StepError};
use crate::automation::{Automation, MOST_MEMBERS};
use crate::failpoint;
use crate::git::Stack;
use crate::inventory::{Repository, Target};
use crate::plan::{GroupText, PullText};
use crate::request::{CONFLICT, Changes, Member, MemberOutcome, Request, State};
use crate::types::CommitSha;
use crate::validate::{Finding, Severity};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Findings of members that are kept with the request itself; all are kept with their members.
const MOST_FINDINGS: usize = 50;

/// A member with the values it asks with and where it asks for them, or why it may not.
type Resolved = Result<(Map<String, Value>, Target), Refusal>;

/// A group that is being planned.
struct Asked<'a> {
    rules: &'a InForce,
    automation: &'a Automation,
    request: &'a Request,
    members: &'a [Member],
    resolved: &'a [Resolved],
    /// The repository its pull request is in.
    home: &'a Arc<Repository>,
}

/// Why a member is left out.
#[derive(Clone)]
struct Refusal {
    findings: Vec<Finding>,
    message: String,
}

/// The commits of a group, one on the other.
struct Stacked {
    /// Of the first member that has a commit.
    target: Option<Target>,
    base: Arc<Base>,
    commits: Vec<CommitSha>,
    members: Vec<MemberOutcome>,
    texts: Option<PullText>,
    changes: Option<Changes>,
}

impl Stacked {
    fn tip(&self) -> &CommitSha {
        self.commits.last().unwrap_or(&self.base.tip)
    }
}

impl Pipeline {
    /// Plans a group, for the first time or again. Called where one may block.
    pub(super) fn plan_group(&self, rules: &InForce, bases: &mut Bases, request: &Request) -> Result<Looked, StepError> {
        let is_open = request.pull.is_some();
        let Some(automation) = rules.set.automations.get(&request.key.automation) else {
            let gone = || Stop::refused(format!("the automation {} is not configured any more", request.key.automation));
            return if is_open { Ok(Looked::Elsewhere) } else { gone().into_planned().map(Looked::from) };
        };
        if let Some(repository) =
            request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name)).filter(|_| request.taken_over)
        {
            return Ok(Looked::Same(self.base(bases, repository)?.tip.clone()));
        }
        let most = automation.spec.group.as_ref().map_or(MOST_MEMBERS, |group| group.most);
        let members = Handle::current().block_on(self.store.members(&request.id, true, 0, most))?;
        let resolved = members.iter().map(|member| resolve(rules, &as_member(request, member))).collect::<Result<Vec<_>, _>>()?;
        // Its automation or target is gone or another one: what a person reviews is not taken away for that.
        if members.iter().zip(&resolved).any(|(member, resolved)| is_elsewhere(request, member, resolved)) {
            return Ok(Looked::Elsewhere);
        }
        let Some(home) = home(rules, request, &resolved) else {
            if is_open {
                return Ok(Looked::Elsewhere);
            }
            let members: Vec<MemberOutcome> =
                members.iter().zip(resolved).filter_map(|(member, resolved)| Some(refused(member, resolved.err()?))).collect();
            return Ok(Grouped { planned: none_left(&members), members }.into());
        };
        let base = self.base(bases, &home)?;
        let asked = Asked { rules, automation, request, members: &members, resolved: &resolved, home: &home };
        let mut stacked = self.stack(&asked, base)?;
        // An end is final, so it is not said on hearsay.
        if stacked.commits.is_empty() && !stacked.base.fetched {
            bases.remove(&home.name);
            let base = self.look(&home, Duration::ZERO, bases)?;
            stacked = self.stack(&asked, base)?;
        }
        if self.is_as_proposed(request, &members, &stacked)? {
            return Ok(Looked::Same(stacked.base.tip.clone()));
        }
        grouped(&asked, stacked).map(Looked::from)
    }

    /// Commits what each member asks for on what the one before it left.
    fn stack(&self, asked: &Asked<'_>, base: Arc<Base>) -> Result<Stacked, StepError> {
        let mut stacked = Stacked { target: None, base, commits: Vec::new(), members: Vec::new(), texts: None, changes: None };
        for (member, resolved) in asked.members.iter().zip(asked.resolved) {
            let outcome = match resolved {
                Err(refusal) => refused(member, refusal.clone()),
                Ok((_, target)) if target.repository.name != asked.home.name => refused(member, elsewhere(&target.repository, asked.home)),
                Ok((parameters, target)) => match self.add_member(asked, member, (parameters, target), &mut stacked) {
                    Ok(outcome) => outcome,
                    Err(Stop::Refused { findings, message }) => refused(member, Refusal { findings, message }),
                    Err(Stop::Failed(error)) => return Err(error),
                },
            };
            stacked.members.push(outcome);
        }
        Ok(stacked)
    }

    fn add_member(
        &self,
        asked: &Asked<'_>,
        member: &Member,
        (parameters, target): (&Map<String, Value>, &Target),
        stacked: &mut Stacked,
    ) -> Result<MemberOutcome, Stop> {
        let alone = as_member(asked.request, member);
        let below = stacked.base.mirror.snapshot(stacked.tip())?;
        let made = planning::make(asked.rules, wanted(&alone), parameters, target, &below)?;
        let considered = MemberOutcome { parameters: Some(parameters.clone()), ..outcome(member) };
        if made.change.is_empty() {
            let message = Some("the base, or a member before it, holds all of it already".to_owned());
            return Ok(MemberOutcome { message, ..considered });
        }
        let changes = Changes { clusters: target.cluster.iter().cloned().collect(), ..Changes::of(&made.change) };
        // What is proposed already is not asked again.
        if !member.proposed && !insists(&alone) {
            let hint = format!("ask for it in person: `kubeops requests ask {}`", asked.automation.name);
            let looked = Handle::current().block_on(self.breaks_a_loop(asked.automation, &alone, &asked.home.name, &changes, &hint))?;
            if let Some((findings, message)) = looked {
                return Err(Stop::Refused { findings, message });
            }
        }
        let on = (&*stacked.base.mirror, stacked.tip());
        let (commit, said) = self.commit_on(asked.rules, wanted(&alone), target, on, (&made, &alone.id, parameters))?;
        failpoint::hit("plan.committed");
        stacked.commits.push(commit.clone());
        stacked.target.get_or_insert_with(|| target.clone());
        stacked.texts.get_or_insert_with(|| made.text.clone());
        match &mut stacked.changes {
            Some(all) => all.join(changes),
            none => *none = Some(changes),
        }
        let findings = made.change.warnings().iter().cloned().chain(said).collect();
        Ok(MemberOutcome { commit: Some(commit), title: Some(made.text.title), summary: made.summary, findings, ..considered })
    }

    /// Whether the stack does what the one before it did, and every member stands where it stood. Then what was committed to find
    /// that out is dropped again.
    fn is_as_proposed(&self, request: &Request, members: &[Member], stacked: &Stacked) -> Result<bool, StepError> {
        let (Some(base), Some(tip)) = (&request.base, &request.commit) else { return Ok(false) };
        let settled = request.state != State::Accepted && members.iter().zip(&stacked.members).all(|(member, outcome)| outcome.is_where(member));
        // Whether it conflicts with others is looked at whenever it is proposed anew.
        let own = request.findings.iter().filter(|finding| finding.rule != CONFLICT);
        let findings_stay = own.eq(warnings(&stacked.members).iter());
        if !settled || stacked.commits.is_empty() || !findings_stay {
            return Ok(false);
        }
        let (before, now) = (Stack { base, tip }, Stack { base: &stacked.base.tip, tip: stacked.tip() });
        if !stacked.base.mirror.same_stack(&before, &now)? {
            return Ok(false);
        }
        let known: Vec<&CommitSha> = members.iter().filter_map(|member| member.commit.as_ref()).collect();
        let unneeded: Vec<&CommitSha> = stacked.commits.iter().filter(|commit| !known.contains(commit)).collect();
        if !unneeded.is_empty() {
            stacked.base.mirror.forget_all(unneeded);
        }
        Ok(true)
    }
}

fn grouped(asked: &Asked<'_>, stacked: Stacked) -> Result<Grouped, StepError> {
    let Asked { rules, request, home, .. } = asked;
    let repository = home.name.clone();
    let tip = stacked.tip().clone();
    let (Some(target), Some(texts), Some(changes)) = (&stacked.target, &stacked.texts, stacked.changes) else {
        let refused = stacked.members.iter().any(|member| member.refused);
        let unchanged = || Planned::Unchanged { parameters: Map::new(), repository, base: stacked.base.tip.clone(), warnings: Vec::new() };
        let planned = if refused { none_left(&stacked.members) } else { unchanged() };
        return Ok(Grouped { planned, members: stacked.members });
    };
    let text = match group_text(rules, request, stacked.commits.len(), texts) {
        Ok(text) => text,
        Err(stop) => return stop.into_planned().map(|planned| Grouped { planned, members: stacked.members }),
    };
    let branch = match &request.branch {
        Some(branch) => branch.clone(),
        None => request.key.branch(&request.id, home.spec.branch_prefix.as_str()).map_err(|error| StepError::Bug(error.to_string()))?,
    };
    let planned = Planned::Committed {
        parameters: Map::new(),
        repository,
        target: target_key(target),
        branch,
        base: stacked.base.tip.clone(),
        commit: tip,
        summary: stacked.members.iter().flat_map(|member| member.summary.iter().cloned()).collect(),
        changes: Box::new(changes),
        text: Box::new(text),
        warnings: warnings(&stacked.members),
    };
    Ok(Grouped { planned, members: stacked.members })
}

/// The request as if this member had asked for it alone.
fn as_member(request: &Request, member: &Member) -> Request {
    Request { event: member.event.clone(), parameters: member.parameters.clone(), ..request.clone() }
}

/// Whether a member that a person reviews already asks for something else by now, or for nothing that can be told.
fn is_elsewhere(request: &Request, member: &Member, resolved: &Resolved) -> bool {
    let there = |(_, target): &(Map<String, Value>, Target)| request.repository.as_ref() == Some(&target.repository.name);
    request.pull.is_some() && member.proposed && !resolved.as_ref().is_ok_and(there)
}

fn resolve(rules: &InForce, asked: &Request) -> Result<Resolved, StepError> {
    match planning::resolve(rules, wanted(asked)) {
        Ok(resolved) => Ok(Ok(resolved)),
        Err(Stop::Failed(error)) => Err(error),
        Err(Stop::Refused { findings, message }) => Ok(Err(Refusal { findings, message })),
    }
}

/// The repository the group's pull request is in: that of an open one, else the first member's.
fn home(rules: &InForce, request: &Request, resolved: &[Resolved]) -> Option<Arc<Repository>> {
    let mut targets = resolved.iter().flatten().map(|(_, target)| &target.repository);
    match &request.repository {
        Some(name) if request.pull.is_some() => rules.set.inventory.repositories.get(name).cloned(),
        _ => targets.next().cloned(),
    }
}

fn elsewhere(repository: &Repository, home: &Repository) -> Refusal {
    let message = format!(
        "its change goes to the repository {}, and the pull request of its group to {}: let `group.by` tell them apart",
        repository.name, home.name
    );
    Refusal { findings: Vec::new(), message }
}

fn outcome(member: &Member) -> MemberOutcome {
    MemberOutcome {
        number: member.number,
        event: member.event.id.clone(),
        refused: false,
        parameters: None,
        commit: None,
        title: None,
        summary: Vec::new(),
        findings: Vec::new(),
        message: None,
    }
}

fn refused(member: &Member, refusal: Refusal) -> MemberOutcome {
    MemberOutcome { refused: true, findings: refusal.findings, message: Some(refusal.message), ..outcome(member) }
}

/// Every member is refused, or changes nothing.
fn none_left(members: &[MemberOutcome]) -> Planned {
    let refused: Vec<&MemberOutcome> = members.iter().filter(|member| member.refused).collect();
    let first = refused.first().and_then(|member| member.message.as_deref()).unwrap_or("no member is left");
    let message = match refused.len() {
        0 | 1 => first.to_owned(),
        more => format!("{more} members are refused; the first: {first}"),
    };
    let findings = refused.iter().flat_map(|member| member.findings.iter().cloned()).take(MOST_FINDINGS).collect();
    Planned::Rejected { findings, message }
}

/// What a reviewer is warned of: of every member's change, and of members that are left out.
fn warnings(members: &[MemberOutcome]) -> Vec<Finding> {
    let each = members.iter().flat_map(|member| {
        let left_out = member.refused.then(|| Finding {
            severity: Severity::Warning,
            rule: "group.left-out".to_owned(),
            path: format!("member {}", member.number),
            document: None,
            pointer: None,
            line: None,
            message: format!("is left out: {}", member.message.as_deref().unwrap_or("it was refused")),
            hint: None,
        });
        let own = member.findings.iter().filter(|finding| finding.severity == Severity::Warning && !member.refused);
        left_out.into_iter().chain(own.cloned())
    });
    each.take(MOST_FINDINGS).collect()
}

/// How the group's pull request looks: its own title and body, labels and reviewers as each member would have them.
fn group_text(rules: &InForce, request: &Request, count: usize, of_member: &PullText) -> Result<PullText, Stop> {
    let (automation, key) = (&request.key.automation, &request.key.correlation);
    let text = rules.set.rules.get(automation).and_then(|rule| rule.group.as_ref());
    let (title, body) = match text {
        Some(text) => text.say(automation, key, count)?,
        None => (GroupText::usual_title(automation, key, count), None),
    };
    Ok(PullText { title, body, ..of_member.clone() })
}
