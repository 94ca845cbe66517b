//! Closes the books of a run: what the senders, the people, GitHub, Jira and git hold, and what the program shows of deliveries.

use super::ledger::{Books, CommandSeen, CommentSeen, EffectSeen, IssueSeen, PullSeen};
use super::people::People;
use super::sender::Senders;
use super::world::{World, text_of};
use crate::support::server::Connection;
use serde_json::Value;
use std::collections::BTreeMap;

/// Everything as it is now. `begun` is when the run began, in milliseconds since the epoch.
pub fn close(world: &World, people: &People, senders: &Senders, at: &Connection, begun: u64) -> Books {
    let upstream = &world.server.upstream;
    let branches = upstream.git(&["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/kubeops"]);
    let deliveries = at.all("/deliveries").into_iter().map(|delivery| (text(&delivery["id"]), text(&delivery["state"])));
    Books {
        sent: senders.ledger(),
        notes: people.notes.clone(),
        pulls: pulls(world, people),
        commands: commands(world, people),
        effects: effects(world, begun),
        issues: people.stories.iter().filter(|story| story.is_ticket()).map(|story| (story.key.clone(), issue(world, &story.key))).collect(),
        base: base(world, people),
        branches: branches.lines().map(str::to_owned).collect(),
        deliveries: deliveries.collect(),
        given_up: given_up(at),
        deaths: Vec::new(),
    }
}

fn pulls(world: &World, people: &People) -> Vec<PullSeen> {
    let outside = world.outside();
    let seen = world.github.pulls().into_iter().map(|pull| {
        let is_open = pull.state == "open";
        let story = outside.story_of(&people.stories, &pull.head).filter(|_| is_open);
        let value = story.and_then(|story| outside.value_at(story, outside.upstream.tip(&pull.head)?.as_str()));
        PullSeen {
            number: pull.number,
            title: pull.title,
            is_open,
            is_merged: pull.merged,
            value,
            labels: pull.labels,
            reviewers: pull.reviewers,
            comments: pull.comments,
            head: pull.head,
        }
    });
    seen.collect()
}

fn commands(world: &World, people: &People) -> Vec<CommandSeen> {
    let pulls = world.github.pulls();
    let seen = people.commands.iter().map(|(key, id, number, word)| {
        let marker = format!("<!-- kubeops:command:{id} -->");
        let at = pulls.iter().find(|pull| pull.number == *number);
        let answers = at.map_or(0, |pull| pull.comments.iter().filter(|text| text.contains(&marker)).count());
        CommandSeen { key: key.clone(), id: *id, pull: *number, word: *word, signs: world.github.remark(*id).reactions, answers }
    });
    seen.collect()
}

fn effects(world: &World, begun: u64) -> Vec<EffectSeen> {
    let effects = world.github.effects().into_iter();
    let seen = |effect: crate::support::fake_github::Effect| EffectSeen {
        at: effect.at.saturating_sub(begun),
        call: effect.call,
        pull: effect.pull,
        head: effect.after.head,
    };
    effects.map(seen).collect()
}

fn issue(world: &World, key: &str) -> IssueSeen {
    let issue = world.jira.issue(key);
    let comments = issue.comments.iter().map(|comment| CommentSeen {
        marker: comment.properties.get("kubeops").map(Value::to_string).unwrap_or_default(),
        text: text_of(&comment.body),
    });
    IssueSeen {
        comments: comments.collect(),
        moves: issue.history.iter().map(|moved| moved.to.clone()).collect(),
        links: issue.links.iter().map(|(id, link)| (id.clone(), link["object"]["status"]["resolved"] == true)).collect(),
        status: issue.status,
    }
}

/// What the base branch holds of each key.
fn base(world: &World, people: &People) -> BTreeMap<String, u32> {
    let listed = world.server.upstream.git(&["ls-tree", "-r", "--name-only", "main"]);
    let files: std::collections::BTreeSet<&str> = listed.lines().collect();
    let there = people.stories.iter().filter(|story| files.contains(story.file.as_str()));
    there.filter_map(|story| Some((story.key.clone(), world.outside().value_at(story, "main")?))).collect()
}

/// Dead letters, and requests that came to an end that no story has.
fn given_up(at: &Connection) -> Vec<String> {
    let dead = at.get("/status")["dead_tasks"].as_u64().unwrap_or(1);
    let ended = at.all("/requests").into_iter().filter(|request| {
        let state = request["state"].as_str().unwrap_or_default();
        !["proposed", "approved", "merged", "withdrawn"].contains(&state)
    });
    let ended = ended.map(|request| format!("{} of {} is {}: {}", request["id"], request["correlation"], request["state"], request["message"]));
    (dead > 0).then(|| format!("{dead} dead letters")).into_iter().chain(ended).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
