//! Tells outside what became of a request: words, moves and links at an issue, notices elsewhere. What is owed follows from the
//! timeline alone, and each act is noted before and after it is done: so a crash costs a look, and never a second comment.

use super::{InForce, Pipeline, StepError, outcome, wording};
use crate::automation::{Automation, FeedbackSpec, News, NewsSpec, TransitionSpec, scope_of};
use crate::failpoint;
use crate::feedback::{Act, Done, Notice, Outlet};
use crate::plan::{About, Inputs};
use crate::request::{Reminded, Request, State, TimelineEntry};
use crate::store::{self, ActKey, ActState, ClaimedTask, NewTask, Settlement, TaskKind, ToldSoFar, lane};
use crate::types::{ErrorClass, LinkIcon, Timestamp};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// One coming of a request to a state that is told of.
struct Item<'t> {
    news: News,
    /// What tells it from other comings.
    key: String,
    entry: Cow<'t, TimelineEntry>,
}

/// What is told on one channel.
struct Teller<'a> {
    request: &'a Request,
    automation: &'a Automation,
    entry: usize,
    spec: &'a FeedbackSpec,
    so_far: &'a ToldSoFar,
    /// Whether the channel has issues; one that has none is told, and nothing else.
    has_issues: bool,
}

/// The act of saying something; each other one brings the issue to how the request stands.
const COMMENT: &str = "comment";

impl Pipeline {
    /// Tells what was not told yet. What cannot be told on one channel now does not keep the others from it.
    pub(super) async fn tell(&self, held: &ClaimedTask) -> Result<Settlement, StepError> {
        let request = &held.request;
        let rules = self.rules.current();
        let Some(automation) = rules.set.automations.get(&request.key.automation) else { return self.nobody_is_told(request).await };
        let so_far = self.store.told_so_far(&request.id).await?;
        // It may have gone on since it was claimed: what is told of its newest state is told with what belongs to it.
        let request = &self.store.request(&request.id).await?;
        let items = items(request, &so_far);
        let mut first_error = None;
        for (entry, spec) in automation.spec.feedback.iter().enumerate() {
            let teller = Teller { request, automation, entry, spec, so_far: &so_far, has_issues: has_issues(&rules, spec) };
            if let Err(error) = self.tell_on(held, &teller, &items).await {
                first_error = first_error.or(Some(error));
            }
        }
        first_error.map_or_else(|| Ok(outcome::nothing()), Err)
    }

    /// What is told stands in the automation, and that is gone: said once, because whoever waits hears nothing.
    async fn nobody_is_told(&self, request: &Request) -> Result<Settlement, StepError> {
        let message = format!(
            "nobody is told what becomes of it: the automation {} is not there any more; once it is back, what is owed is told with the next news, \
             or after `kubeops requests retry {}`",
            request.key.automation, request.id
        );
        let said = self.store.timeline(&request.id).await?.iter().any(|entry| entry.message == message);
        Ok(if said { outcome::nothing() } else { outcome::noted(request, message, self.clock.as_ref()) })
    }

    /// Has everything told once more that the other side refused, and whatever else is owed; none where nothing is.
    ///
    /// A move, a label or a field that was refused is left alone where a later one of its kind was done: the issue stands further on.
    pub(super) async fn tell_again(&self, request: &Request) -> Result<Option<NewTask>, StepError> {
        let rules = self.rules.current();
        let automation = rules.set.automations.get(&request.key.automation).filter(|_| request.tells);
        let Some(automation) = automation else { return Ok(None) };
        let mut so_far = self.store.told_so_far(&request.id).await?;
        let overtaken = |act: &store::Act| {
            let later = |other: &&store::Act| other.key.channel == act.key.channel && other.key.act == act.key.act && other.at > act.at;
            act.key.act != COMMENT && so_far.acts.iter().filter(later).any(|other| other.state == ActState::Done)
        };
        let refused: BTreeSet<usize> =
            (0..so_far.acts.len()).filter(|at| so_far.acts[*at].state == ActState::Refused && !overtaken(&so_far.acts[*at])).collect();
        if !refused.is_empty() {
            let again: Vec<ActKey> = refused.iter().map(|at| so_far.acts[*at].key.clone()).collect();
            self.store.begin_again_unfenced(&again, self.clock.now()).await?;
        }
        for at in refused {
            so_far.acts[at].state = ActState::Begun;
        }
        let items = items(request, &so_far);
        let owed = automation.spec.feedback.iter().enumerate().any(|(entry, spec)| {
            let teller = Teller { request, automation, entry, spec, so_far: &so_far, has_issues: has_issues(&rules, spec) };
            items.iter().any(|item| !teller.acts(item).is_empty())
        });
        let lane = lane::feedback(&request.key.automation);
        Ok(owed.then(|| outcome::follow_up(request, TaskKind::Tell, &lane, self.clock.as_ref())))
    }

    async fn tell_on(&self, held: &ClaimedTask, teller: &Teller<'_>, items: &[Item<'_>]) -> Result<(), StepError> {
        let owed: Vec<(&Item<'_>, Vec<&'static str>)> =
            items.iter().map(|item| (item, teller.acts(item))).filter(|(_, acts)| !acts.is_empty()).collect();
        if owed.is_empty() {
            return Ok(());
        }
        let outlet = self.channels.outlet(&teller.spec.channel)?;
        for (item, acts) in owed {
            for act in acts {
                let key = ActKey {
                    request: teller.request.id.clone(),
                    channel: teller.spec.channel.to_string(),
                    news: item.key.clone(),
                    act: act.to_owned(),
                };
                let begun = teller.so_far.acts.iter().any(|known| known.key == key);
                if !begun {
                    self.note_act(held, &key, ActState::Begun, None, &[]).await?;
                }
                failpoint::hit("tell.begun");
                let done = self.do_act(teller, item, act, &outlet, begun).await;
                failpoint::hit("tell.acted");
                match done {
                    Ok(Done::Did | Done::Already) => self.note_act(held, &key, ActState::Done, None, &[]).await?,
                    Ok(Done::DidBut(note)) => self.note_act(held, &key, ActState::Done, Some(note), &[]).await?,
                    Ok(Done::Cannot(why)) => self.note_refused(held, teller, item, &key, why).await?,
                    // Who is only notified has nothing else to tell: a dead letter says so, and can be asked for again.
                    Err(StepError::Feedback(error)) if error.class() == ErrorClass::User && teller.has_issues => {
                        self.note_refused(held, teller, item, &key, error.to_string()).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Keeps that the other side will not have it, and says so in the timeline, in one write: whatever another channel does to this step.
    async fn note_refused(&self, held: &ClaimedTask, teller: &Teller<'_>, item: &Item<'_>, key: &ActKey, why: String) -> Result<(), StepError> {
        let line = format!("{} was not told that it is {} ({}): {why}", teller.spec.channel, item.news.as_str(), key.act);
        let line = outcome::note(teller.request, line, self.clock.as_ref());
        self.note_act(held, key, ActState::Refused, Some(why), &[line]).await
    }

    async fn note_act(
        &self,
        held: &ClaimedTask,
        key: &ActKey,
        state: ActState,
        note: Option<String>,
        timeline: &[TimelineEntry],
    ) -> Result<(), StepError> {
        Ok(self.store.note_act(held, &store::Act { key: key.clone(), state, note, at: self.clock.now() }, timeline).await?)
    }

    async fn do_act(&self, teller: &Teller<'_>, item: &Item<'_>, act: &str, outlet: &Outlet, asked_before: bool) -> Result<Done, StepError> {
        match outlet {
            Outlet::Tracker(tracker) => {
                let issue = match teller.issue() {
                    Ok(issue) => issue,
                    Err(why) => return Ok(Done::Cannot(why)),
                };
                let act = match self.act(teller, item, act) {
                    Ok(act) => act,
                    Err(why) => return Ok(Done::Cannot(why)),
                };
                // What comes back of it as an event is known by who made it.
                tracker.myself().await?;
                Ok(tracker.act(&issue, &act, asked_before).await?)
            }
            Outlet::Notifier(notifier) => {
                let notice = match self.notice(teller, item) {
                    Ok(notice) => notice,
                    Err(why) => return Ok(Done::Cannot(why)),
                };
                notifier.notify(&notice).await?;
                Ok(Done::Did)
            }
        }
    }

    /// The words for a piece of news, with where to look.
    fn words(&self, teller: &Teller<'_>, item: &Item<'_>) -> Result<String, String> {
        let request = teller.request;
        let rules = self.rules.current();
        let rule = rules.set.rules.get(&request.key.automation).filter(|_| request.steering.reverts.is_none());
        let empty = Map::new();
        let inputs = Inputs { event: &request.event, parameters: request.parameters.as_ref().unwrap_or(&empty) };
        let own = rule.map(|rule| rule.words.say(teller.entry, item.news, inputs, &teller.about(item))).transpose();
        let own = own.map_err(|error| error.to_string())?.flatten();
        let repository = request.repository.as_ref().and_then(|name| rules.set.inventory.repositories.get(name));
        let commands = repository.is_some_and(|repository| repository.is_steered_by_comments());
        let words = own.unwrap_or_else(|| wording::usual(item.news, request, &item.entry, commands));
        Ok(wording::with_places(&words, request, &self.people_at))
    }

    fn act(&self, teller: &Teller<'_>, item: &Item<'_>, act: &str) -> Result<Act, String> {
        let nothing = NewsSpec::default();
        let on = teller.spec.on.get(&item.news).unwrap_or(&nothing);
        Ok(match act {
            "link" => teller.link(item.news),
            "transition" => {
                let (to, fields, resolution) = match on.transition.clone() {
                    Some(TransitionSpec::Status(to)) => (to, Map::new(), None),
                    Some(TransitionSpec::With(with)) => (with.to, with.fields, with.resolution),
                    None => return Err("no transition is configured any more".to_owned()),
                };
                Act::Transition { to, fields, resolution }
            }
            "labels" => {
                let labels = on.labels.clone().unwrap_or_default();
                Act::Labels { add: labels.add, remove: labels.remove }
            }
            "fields" => Act::Fields { fields: self.fields(teller, item, on)? },
            "assignee" => Act::Assignee { account: on.assignee.clone().filter(|account| !account.is_empty()) },
            _ => {
                let marker = format!("{}/{}", teller.request.id, item.key);
                Act::Comment { marker, text: self.words(teller, item)?, public: teller.spec.public }
            }
        })
    }

    fn fields(&self, teller: &Teller<'_>, item: &Item<'_>, on: &NewsSpec) -> Result<Map<String, Value>, String> {
        let request = teller.request;
        let rules = self.rules.current();
        let Some(rule) = rules.set.rules.get(&request.key.automation) else { return Ok(on.fields.clone()) };
        let empty = Map::new();
        let inputs = Inputs { event: &request.event, parameters: request.parameters.as_ref().unwrap_or(&empty) };
        rule.words.fields(teller.entry, item.news, &on.fields, inputs, &teller.about(item)).map_err(|error| error.to_string())
    }

    fn notice(&self, teller: &Teller<'_>, item: &Item<'_>) -> Result<Notice, String> {
        let request = teller.request;
        let title =
            request.text.as_ref().map_or_else(|| format!("{} for {}", request.key.automation, request.key.correlation), |text| text.title.clone());
        Ok(Notice {
            id: format!("{}/{}", request.id, item.key),
            kind: format!("request.{}", item.news.as_str()),
            at: item.entry.at,
            title: format!("{}: {title}", item.news.as_str()),
            text: self.words(teller, item)?,
            url: request.pull.as_ref().map_or_else(|| format!("{}/requests/{}", self.people_at, request.id), |pull| pull.url.clone()),
            data: json!({
                "request": request.id, "state": item.news.as_str(), "automation": request.key.automation, "correlation": request.key.correlation,
                "repository": request.repository, "branch": request.branch, "pull": request.pull, "message": item.entry.message,
                "actor": item.entry.actor, "changes": request.summary,
            }),
        })
    }
}

impl Teller<'_> {
    /// What is still owed of a piece of news, by name, in the order in which it is done.
    fn acts(&self, item: &Item<'_>) -> Vec<&'static str> {
        let on = self.spec.on.get(&item.news);
        // What an author wants done about a change is not what its end asks for: a ticket that is done stays so.
        let has = |what: fn(&NewsSpec) -> bool| self.request.steering.reverts.is_none() && on.is_some_and(what);
        let all = [
            ("link", self.has_issues && self.spec.link && self.request.pull.is_some()),
            (COMMENT, self.spec.tell.contains(&item.news)),
            ("labels", has(|on| on.labels.is_some())),
            ("fields", has(|on| !on.fields.is_empty())),
            ("assignee", has(|on| on.assignee.is_some())),
            ("transition", has(|on| on.transition.is_some())),
        ];
        let settled: BTreeSet<&str> = self
            .so_far
            .acts
            .iter()
            .filter(|act| act.state != ActState::Begun && act.key.channel == self.spec.channel.as_str() && act.key.news == item.key)
            .map(|act| act.key.act.as_str())
            .collect();
        all.into_iter().filter(|(name, wanted)| *wanted && !settled.contains(name)).map(|(name, _)| name).collect()
    }

    /// The issue's key.
    fn issue(&self) -> Result<String, String> {
        if self.request.event.source.is_none() {
            return Err("a person asked for it directly, so there is no issue to tell".to_owned());
        }
        self.automation.issue(self.entry, &scope_of(&self.request.event))
    }

    fn link(&self, news: News) -> Act {
        let request = self.request;
        let (icon, resolved) = match news {
            News::Merged | News::Applied | News::Expiring | News::Expired | News::Overdue => (LinkIcon::Merged, true),
            News::Declined | News::Withdrawn | News::Unchanged => (LinkIcon::Closed, true),
            News::Rejected | News::Failed | News::Degraded => (LinkIcon::Failed, true),
            News::Proposed | News::Approved => (LinkIcon::Open, false),
        };
        let (number, url) = request.pull.as_ref().map_or((0, String::new()), |pull| (pull.number, pull.url.clone()));
        let title = request.text.as_ref().map(|text| format!(": {}", text.title)).unwrap_or_default();
        Act::Link {
            global_id: format!("kubeops/{}/{number}", request.id),
            url,
            title: format!("Pull request #{number}{title}"),
            summary: Some(news.as_str().to_owned()),
            relationship: Some("is changed by".to_owned()),
            icon,
            resolved,
        }
    }

    fn about(&self, item: &Item<'_>) -> About {
        let request = self.request;
        let pull = request.pull.as_ref().map_or_else(|| json!({ "number": "", "url": "" }), |pull| json!({ "number": pull.number, "url": pull.url }));
        About {
            pull,
            request: json!({ "id": request.id, "state": item.news.as_str() }),
            message: item.entry.message.clone().into(),
            changes: request.summary.join("\n").into(),
        }
    }
}

/// Whether the channel is that of a Jira.
fn has_issues(rules: &InForce, spec: &FeedbackSpec) -> bool {
    rules.set.inventory.channels.get(&spec.channel).is_some_and(|channel| channel.spec.kind() == "jira")
}

/// What there is to tell, oldest first: the first coming to each state within each try.
fn items<'t>(request: &Request, so_far: &'t ToldSoFar) -> Vec<Item<'t>> {
    let mut tries = 0;
    let mut seen = BTreeSet::new();
    let mut items = Vec::new();
    for (_, entry) in &so_far.changes {
        if entry.to == State::Accepted && entry.from.is_some_and(State::is_ended) {
            tries += 1;
        }
        let Ok(news) = entry.to.as_str().parse::<News>() else { continue };
        if seen.insert((tries, news)) {
            items.push(Item { news, key: format!("{}/{tries}", news.as_str()), entry: Cow::Borrowed(entry) });
        }
    }
    items.extend(request.steering.overdue_since.map(|since| overdue(request, since, tries)));
    items.extend(request.steering.reminded.filter(|reminded| !reminded.silent).map(|reminded| expiring(request, reminded)));
    items
}

/// Nobody has said in time that it is in force.
fn overdue<'t>(request: &Request, at: Timestamp, tries: u32) -> Item<'t> {
    let message = "nobody has said in time that it is in force".to_owned();
    let entry = TimelineEntry { at, from: Some(request.state), to: request.state, message, actor: "kubeops".to_owned() };
    Item { news: News::Overdue, key: format!("{}/{tries}", News::Overdue.as_str()), entry: Cow::Owned(entry) }
}

/// Its time to live is nearly over; of each end once.
fn expiring<'t>(request: &Request, reminded: Reminded) -> Item<'t> {
    let message = format!("its time to live ends at {}", reminded.of);
    let entry = TimelineEntry { at: reminded.at, from: Some(request.state), to: request.state, message, actor: "kubeops".to_owned() };
    Item { news: News::Expiring, key: format!("{}/{}", News::Expiring.as_str(), reminded.of.unix_millis()), entry: Cow::Owned(entry) }
}
