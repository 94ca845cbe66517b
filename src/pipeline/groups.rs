//! A request that stands for a group of events: one commit for each member that changes something, one on the other, in order
//! of arrival, each computed and validated on what those before it left. A function of members, base and rules alone: planned
//! again, it gives the same commits. A member that is refused is left out; it never stops the others.

use super::gate::is_by_a_person;
use super::planning::{self, Stop};
use super::plans::{Base, Bases, Replanned, wanted};
use super::step::Planned;
use super::{InForce, Pipeline, StepError, commit_meta};
use crate::automation::MOST_MEMBERS;
use crate::failpoint;
use crate::git::Stack;
use crate::inventory::{Repository, Target};
use crate::plan::{GroupText, PlanError, PullText};
use crate::request::{Footprint, Member, MemberOutcome, MemberState, Request, State, footprint};
use crate::types::CommitSha;
use crate::validate::{Finding, Severity};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Findings of members that are kept with the request itself; all are kept with their members.
const MOST_FINDINGS: usize = 50;

/// What planning a group came to: of the whole, and of each member that was looked at.
pub(super) struct Grouped {
    pub(super) planned: Planned,
    pub(super) members: Vec<MemberOutcome>,
}

/// A member with the values it asks with and where it asks for them, or why it may not.
type Resolved = Result<(Map<String, Value>, Target), Refusal>;

/// Why a member is left out.
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
    footprint: Footprint,
}

impl Stacked {
    fn tip(&self) -> &CommitSha {
        self.commits.last().unwrap_or(&self.base.tip)
    }
}

impl Pipeline {
    /// Plans a group, for the first time or again. Called where one may block.
    pub(super) fn plan_group(&self, rules: &InForce, bases: &mut Bases, request: &Request) -> Result<Replanned<Grouped>, StepError> {
        let is_open = request.pull.is_some();
        let Some(automation) = rules.set.automations.get(&request.key.automation) else {
            let gone = || Stop::refused(format!("the automation {} is not configured any more", request.key.automation));
            return if is_open { Ok(Replanned::Elsewhere) } else { gone().into_planned().map(|planned| Replanned::differs(alone(planned))) };
        };
        if let Some(repository) =
            request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name)).filter(|_| request.taken_over)
        {
            return Ok(Replanned::Same(self.base(bases, repository)?.tip.clone()));
        }
        let most = automation.spec.group.as_ref().map_or(MOST_MEMBERS, |group| group.most);
        let members = Handle::current().block_on(self.store.members(&request.id, true, most))?;
        let resolved = members.iter().map(|member| resolve(rules, &as_member(request, member))).collect::<Result<Vec<_>, _>>()?;
        // Its automation or target is gone or another one: what a person reviews is not taken away for that.
        if members.iter().zip(&resolved).any(|(member, resolved)| is_elsewhere(request, member, resolved)) {
            return Ok(Replanned::Elsewhere);
        }
        let Some(home) = home(rules, request, &resolved) else {
            if is_open {
                return Ok(Replanned::Elsewhere);
            }
            let members: Vec<MemberOutcome> =
                members.iter().zip(resolved).filter_map(|(member, resolved)| Some(refused(member, resolved.err()?))).collect();
            return Ok(Replanned::differs(Grouped { planned: none_left(&members), members }));
        };
        let base = self.base(bases, &home)?;
        let mut stacked = self.stack(rules, request, &members, &resolved, &home, base)?;
        // An end is final, so it is not said on hearsay.
        if stacked.commits.is_empty() && !stacked.base.fetched {
            bases.remove(&home.name);
            let base = self.look(&home, Duration::ZERO, bases)?;
            stacked = self.stack(rules, request, &members, &resolved, &home, base)?;
        }
        if self.is_as_proposed(request, &members, &stacked)? {
            return Ok(Replanned::Same(stacked.base.tip.clone()));
        }
        self.grouped(rules, request, &home, stacked).map(Replanned::differs)
    }

    /// Commits what each member asks for on what the one before it left.
    fn stack(
        &self,
        rules: &InForce,
        request: &Request,
        members: &[Member],
        resolved: &[Resolved],
        home: &Arc<Repository>,
        base: Arc<Base>,
    ) -> Result<Stacked, StepError> {
        let mut stacked = Stacked { target: None, base, commits: Vec::new(), members: Vec::new(), texts: None, footprint: Footprint::new() };
        for (member, resolved) in members.iter().zip(resolved) {
            let outcome = match resolved {
                Err(refusal) => refused(member, Refusal { findings: refusal.findings.clone(), message: refusal.message.clone() }),
                Ok((_, target)) if target.repository.name != home.name => refused(member, elsewhere(&target.repository, home)),
                Ok((parameters, target)) => self.add_member(rules, request, member, (parameters, target), &mut stacked)?,
            };
            stacked.members.push(outcome);
        }
        Ok(stacked)
    }

    fn add_member(
        &self,
        rules: &InForce,
        request: &Request,
        member: &Member,
        (parameters, target): (&Map<String, Value>, &Target),
        stacked: &mut Stacked,
    ) -> Result<MemberOutcome, StepError> {
        let asked = as_member(request, member);
        let below = stacked.base.mirror.snapshot(stacked.tip())?;
        let made = match planning::make(rules, wanted(&asked), parameters, target, &below) {
            Ok(made) => made,
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Refused { findings, message }) => return Ok(refused(member, Refusal { findings, message })),
        };
        let considered = MemberOutcome { parameters: Some(parameters.clone()), ..outcome(member) };
        if made.change.is_empty() {
            let message = Some("the base, or a member before it, holds all of it already".to_owned());
            return Ok(MemberOutcome { message, ..considered });
        }
        let writes = footprint(&made.change, &below).map_err(PlanError::from)?;
        if let Some(refusal) = self.loops_again(rules, &asked, member, target, &writes)? {
            return Ok(refused(member, refusal));
        }
        let meta = commit_meta(&asked, target, &made.text.title, &made.summary)?;
        let commit = stacked.base.mirror.commit(stacked.tip(), &made.change, &meta)?;
        failpoint::hit("plan.committed");
        join_footprints(&mut stacked.footprint, writes);
        stacked.commits.push(commit.clone());
        stacked.target.get_or_insert_with(|| target.clone());
        stacked.texts.get_or_insert_with(|| made.text.clone());
        let findings = made.change.warnings().to_vec();
        Ok(MemberOutcome { commit: Some(commit), title: Some(made.text.title), summary: made.summary, findings, ..considered })
    }

    /// Whether the member's change would take a value back and forth once too often. What is proposed already is not asked again.
    fn loops_again(
        &self,
        rules: &InForce,
        asked: &Request,
        member: &Member,
        target: &Target,
        writes: &Footprint,
    ) -> Result<Option<Refusal>, StepError> {
        if member.proposed || is_by_a_person(asked) {
            return Ok(None);
        }
        let hint = format!("ask for it in person: `kubeops requests ask {}`", asked.key.automation);
        let found = self.breaks_a_loop(rules, asked, &target.repository.name, writes, &hint)?;
        Ok(found.map(|(findings, message)| Refusal { findings, message }))
    }

    /// Whether the stack does what the one before it did, and every member stands where it stood. Then what was committed to find
    /// that out is dropped again.
    fn is_as_proposed(&self, request: &Request, members: &[Member], stacked: &Stacked) -> Result<bool, StepError> {
        let (Some(base), Some(tip)) = (&request.base, &request.commit) else { return Ok(false) };
        let settled = request.state != State::Accepted && members.iter().zip(&stacked.members).all(|(member, outcome)| outcome.is_where(member));
        if !settled || stacked.commits.is_empty() || warnings(&stacked.members) != request.findings {
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

    fn grouped(&self, rules: &InForce, request: &Request, home: &Repository, stacked: Stacked) -> Result<Grouped, StepError> {
        let (Some(target), Some(texts)) = (&stacked.target, &stacked.texts) else {
            let refused = stacked.members.iter().any(|member| member.refused);
            let unchanged = || Planned::Unchanged { parameters: Map::new(), repository: home.name.clone(), base: stacked.base.tip.clone() };
            let planned = if refused { none_left(&stacked.members) } else { unchanged() };
            return Ok(Grouped { planned, members: stacked.members });
        };
        if let Some(postponed) = self.room(rules, request, target)? {
            return Ok(alone(Planned::Postponed(postponed)));
        }
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
            repository: home.name.clone(),
            branch,
            base: stacked.base.tip.clone(),
            commit: stacked.tip().clone(),
            summary: stacked.members.iter().flat_map(|member| member.summary.iter().cloned()).collect(),
            text,
            warnings: warnings(&stacked.members),
            footprint: stacked.footprint,
        };
        Ok(Grouped { planned, members: stacked.members })
    }
}

/// Without a word about members: none of them was decided on.
fn alone(planned: Planned) -> Grouped {
    Grouped { planned, members: Vec::new() }
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

/// Adds what a further member writes: from the value before the first of them to the value after the last.
fn join_footprints(all: &mut Footprint, more: Footprint) {
    for (file, writes) in more {
        let known = all.entry(file).or_default();
        for write in writes {
            match known.iter_mut().find(|known| known.object == write.object && known.field == write.field) {
                Some(known) => known.new = write.new,
                None => known.push(write),
            }
        }
    }
}

/// Members told of in a body.
const MEMBERS_TOLD: usize = 100;
/// Members looked at for a body.
pub(super) const MEMBERS_LISTED: u32 = 500;

/// The list of members, for the body of the pull request; every text of a sender's is a code span.
pub(super) fn told(request: &Request, members: &[Member], people_at: &str) -> String {
    let taking_part = members.iter().filter(|member| member.state != MemberState::Withdrawn);
    let lines: Vec<String> = taking_part.map(|member| line(request, member, people_at)).collect();
    let mut text = String::from("### What is in it\n\n");
    for line in lines.iter().take(MEMBERS_TOLD) {
        text.push_str(line);
        text.push('\n');
    }
    if lines.len() > MEMBERS_TOLD {
        text.push_str(&format!("- and {} more\n", lines.len() - MEMBERS_TOLD));
    }
    text
}

fn line(request: &Request, member: &Member, people_at: &str) -> String {
    use super::body::code;
    let asked = format!("[{}]({people_at}/requests/{}#member-{})", code(member.event.kind.as_str()), request.id, member.number);
    let about = code(&member.correlation);
    match (&member.commit, &member.title, member.state) {
        (_, _, MemberState::Refused) => {
            format!("- {asked} about {about} is left out: {}", code(member.message.as_deref().unwrap_or("it was refused")))
        }
        (Some(commit), Some(title), _) => format!("- {}: {} (asked for by {asked} about {about})", commit.short(), code(title)),
        _ if member.planned => format!("- {asked} about {about} changes nothing: the base, or another member, holds it already"),
        _ => format!("- {asked} about {about} waits for the next plan"),
    }
}
