//! The few things GraphQL is asked for.

use super::pulls::Repository;
use super::{Call, Merging, State, json_answer};
use crate::support::github_graphql::{Argument, Field, read, select};
use crate::support::loopback::Answer;
use serde_json::{Value, json};

impl State {
    pub(super) fn graphql(&mut self, call: &Call<'_>) -> Answer {
        let operation = read(call.body["query"].as_str().unwrap_or_default()).expect("it was read before");
        let variables = &call.body["variables"];
        let field = operation.fields.first().expect("a field").name.clone();
        let updated = self.change();
        if field == "repository" {
            let slug = format!("{}/{}", variables["owner"].as_str().unwrap_or_default(), variables["name"].as_str().unwrap_or_default());
            let slug = self.former.get(&slug).cloned().unwrap_or(slug);
            let Some(repository) = self.repositories.get(&slug) else { return refused("NOT_FOUND", &field, "Could not resolve to a Repository") };
            if operation.fields[0].fields.iter().any(|field| field.alias.is_some()) {
                return repository.many(&operation.fields[0].fields, variables);
            }
            let pull = repository.pulls.iter().find(|pull| json!(pull.number) == variables["number"]);
            let Some(pull) = pull else { return refused("NOT_FOUND", &field, "Could not resolve to a PullRequest") };
            return answered(json!({ "repository": { "pullRequest": { "isInMergeQueue": pull.queued } } }));
        }
        if field == "node" {
            let remarks = self.repositories.values().flat_map(|repository| repository.remarks.iter().map(|remark| (repository.tells_edits, remark)));
            return match remarks.into_iter().find(|(_, remark)| variables["node"] == remark.node()) {
                Some((false, _)) => refused("FORBIDDEN", &field, "Resource not accessible by personal access token"),
                Some((true, remark)) => answered(json!({ "node": select(&operation.fields[0].fields, &remark.graph_view()) })),
                None => refused("NOT_FOUND", &field, "Could not resolve to a node with the global id"),
            };
        }
        let node = variables["pull"].as_str().unwrap_or_default();
        let found = self.repositories.values_mut().find_map(|repository| {
            let merging = repository.merging;
            let id = repository.id;
            repository.pulls.iter_mut().find(|pull| format!("PR_{id}_{}", pull.number) == node).map(|pull| (pull, merging))
        });
        let Some((pull, merging)) = found else { return refused("NOT_FOUND", &field, "Could not resolve to a node with the global id") };
        pull.updated = updated;
        match field.as_str() {
            "markPullRequestReadyForReview" => {
                pull.draft = false;
                answered(json!({ &field: { "pullRequest": { "isDraft": false } } }))
            }
            "enablePullRequestAutoMerge" => match merging {
                Merging::Waits => {
                    pull.auto_merge = variables["method"].as_str().map(str::to_owned);
                    answered(json!({ &field: { "pullRequest": { "autoMergeRequest": { "enabledAt": "2026-11-20T12:00:00Z" } } } }))
                }
                Merging::Clean | Merging::CleanQueue => refused("UNPROCESSABLE", &field, "Pull request Pull request is in clean status"),
                Merging::NotAllowed => refused("UNPROCESSABLE", &field, "Pull request Auto merge is not allowed for this repository"),
            },
            "disablePullRequestAutoMerge" => match pull.auto_merge.take() {
                Some(_) => answered(json!({ &field: { "pullRequest": { "autoMergeRequest": null } } })),
                None => refused("UNPROCESSABLE", &field, "Can't disable auto-merge for this pull request"),
            },
            "dequeuePullRequest" if pull.queued => {
                pull.queued = false;
                answered(json!({ &field: { "mergeQueueEntry": { "position": 1 } } }))
            }
            "dequeuePullRequest" => refused("UNPROCESSABLE", &field, "Pull request is not in the merge queue"),
            "enqueuePullRequest" => match merging {
                Merging::CleanQueue => {
                    pull.queued = true;
                    answered(json!({ &field: { "mergeQueueEntry": { "position": 1 } } }))
                }
                _ => refused("UNPROCESSABLE", &field, "The merge queue is not enabled for this branch"),
            },
            other => panic!("the fake does not know {other}"),
        }
    }
}

impl Repository {
    /// Many pull requests by their aliases, each as it is asked for; what is not there is null, and told.
    fn many(&self, fields: &[Field], variables: &Value) -> Answer {
        if !self.has_many {
            let error =
                json!({ "message": "Field 'isInMergeQueue' doesn't exist on type 'PullRequest'", "extensions": { "code": "undefinedField" } });
            return json_answer(200, &json!({ "errors": [error] }));
        }
        let (mut found, mut missing) = (serde_json::Map::new(), Vec::new());
        for field in fields {
            let alias = field.alias.clone().expect("an alias");
            let Some((_, Argument::Variable(number))) = field.arguments.first() else { panic!("a number is wanted") };
            let pull = self.pulls.iter().find(|pull| json!(pull.number) == variables[number]);
            if pull.is_none() {
                let message = "Could not resolve to a PullRequest";
                missing.push(json!({ "type": "NOT_FOUND", "path": ["repository", alias], "message": message }));
            }
            found.insert(alias, pull.map_or(Value::Null, |pull| select(&field.fields, &self.graph_view(pull))));
        }
        let mut answer = json!({ "data": { "repository": found } });
        if !missing.is_empty() {
            answer["errors"] = Value::Array(missing);
        }
        json_answer(200, &answer)
    }
}

fn answered(data: Value) -> Answer {
    json_answer(200, &json!({ "data": data }))
}

fn refused(kind: &str, field: &str, message: &str) -> Answer {
    json_answer(200, &json!({ "data": { field: null }, "errors": [{ "type": kind, "path": [field], "message": message }] }))
}
