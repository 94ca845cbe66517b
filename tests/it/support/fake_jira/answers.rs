//! How the fake answers: held against the shapes, then a fault, then who asks, then what is asked.

use super::issues::{FakeComment, FakeIssue, user};
use super::jql::Query;
use super::{EMAIL, Fault, NAME, Seen, State, TOKEN, shape};
use crate::support::loopback::{Answer, Delivery, Request};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

impl State {
    pub(super) fn answer(&mut self, request: &Request) -> Answer {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        self.ledger.push(Seen { method: request.method.clone(), path: request.path.clone(), body: body.clone() });
        let below = request.path.split_once("/rest/api/").and_then(|(_, rest)| rest.split_once('/'));
        let Some((version, below)) = below.filter(|(version, _)| *version == "2" || self.cloud && *version == "3") else {
            self.violations.push(format!("{} is no address of the API", request.path));
            return error(404, "dead link");
        };
        let below = format!("/{below}");
        let mut wrong = shape::violations(&request.method, &below, &request.query, version, self.cloud, &body);
        if !request.headers.get("user-agent").is_some_and(|agent| agent.starts_with("kubeops/")) {
            wrong.push("no User-Agent of ours".to_owned());
        }
        if !wrong.is_empty() {
            let answer = error(400, &wrong.join("; "));
            self.violations.extend(wrong);
            return answer;
        }
        let fault = if self.away { Some(Fault::BadGateway) } else { self.faults.pop_front().flatten() };
        let mut answer = match fault.as_ref().and_then(Fault::refusal) {
            Some(answer) => answer,
            None if !self.knows(request) => error(401, "Client must be authenticated to access this resource."),
            None => self.act(&request.method, &below, &request.query, &body),
        };
        if let Some(late) = fault.as_ref().and_then(Fault::delivery) {
            answer.delivery = late;
        } else if request.method != "GET" && !below.starts_with("/search") && self.dropped_writes > 0 && answer.status < 300 {
            self.dropped_writes -= 1;
            answer.delivery = Delivery::Dropped;
        }
        answer
    }

    fn knows(&self, request: &Request) -> bool {
        let shown = request.headers.get("authorization").map(String::as_str).unwrap_or_default();
        let name = if self.cloud { EMAIL } else { NAME };
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{TOKEN}"));
        shown == format!("Bearer {TOKEN}") || shown == format!("Basic {basic}")
    }

    fn act(&mut self, method: &str, below: &str, query: &str, body: &Value) -> Answer {
        let query: BTreeMap<String, String> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let parts: Vec<&str> = below.trim_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["myself"]) => json_answer(200, &user(self.cloud, self.ourselves(), "KubeOps")),
            ("POST", ["search", ..]) => self.search(body),
            ("GET", ["comment", id, "properties", key]) => self.property(id, key),
            (_, ["issue", key, rest @ ..]) => {
                let key = self.moved.get(*key).cloned().unwrap_or_else(|| (*key).to_owned());
                if !self.issues.contains_key(&key) {
                    return error(404, "Issue does not exist or you do not have permission to see it.");
                }
                self.at_issue(method, &key, rest, &query, body)
            }
            _ => error(404, "not found"),
        }
    }

    fn at_issue(&mut self, method: &str, key: &str, rest: &[&str], query: &BTreeMap<String, String>, body: &Value) -> Answer {
        match (method, rest) {
            ("GET", []) => {
                let wanted: Vec<&str> = query.get("fields").map_or_else(|| vec!["*all"], |fields| fields.split(',').collect());
                json_answer(200, &self.issues[key].view(self.cloud, &wanted))
            }
            ("PUT", []) => self.edit(key, body),
            ("GET", ["comment"]) => self.comments(key, query),
            ("POST", ["comment"]) => self.add_comment(key, body),
            ("GET", ["transitions"]) => {
                let expand = query.get("expand").is_some_and(|expand| expand == "transitions.fields");
                let steps = self.workflow.iter().filter(|step| step.from.contains(&self.issues[key].status));
                let shown = steps.map(|step| {
                    let mut shown = json!({ "id": step.id, "name": step.name, "to": { "name": step.to, "id": "1" } });
                    if expand {
                        shown["fields"] = step.fields.clone().into();
                    }
                    shown
                });
                json_answer(200, &json!({ "expand": "transitions", "transitions": shown.collect::<Vec<_>>() }))
            }
            ("POST", ["transitions"]) => self.transition(key, body),
            ("POST", ["remotelink"]) => self.link(key, body),
            ("PUT", ["assignee"]) => {
                let wanted = body[if self.cloud { "accountId" } else { "name" }].as_str().map(str::to_owned);
                if wanted.as_deref() == Some("nobody-knows") {
                    return errors(400, &[("assignee", "User 'nobody-knows' does not exist.")]);
                }
                let before = std::mem::replace(&mut self.issues.get_mut(key).expect("an issue").assignee, wanted.clone());
                self.changed(key, "assignee", json!(before), json!(wanted));
                empty()
            }
            _ => error(405, "method not allowed"),
        }
    }

    fn edit(&mut self, key: &str, body: &Value) -> Answer {
        let issue = self.issues.get_mut(key).expect("an issue");
        let before = issue.clone();
        for change in body["update"]["labels"].as_array().into_iter().flatten() {
            if let Some(label) = change["add"].as_str() {
                if label.contains(' ') {
                    *issue = before;
                    return errors(400, &[("labels", &format!("The label '{label}' contains spaces which is invalid."))]);
                }
                if !issue.labels.iter().any(|present| present == label) {
                    issue.labels.push(label.to_owned());
                }
            }
            if let Some(label) = change["remove"].as_str() {
                issue.labels.retain(|present| present != label);
            }
        }
        let fields = body["fields"].as_object().cloned().unwrap_or_default();
        if let Some(strange) = fields.keys().find(|id| !id.starts_with("customfield_") && *id != "summary" && *id != "priority") {
            *issue = before;
            let message = "Field cannot be set. It is not on the appropriate screen, or unknown.";
            return errors(400, &[(strange.as_str(), message)]);
        }
        issue.fields.extend(fields.clone());
        let labels = issue.labels.clone();
        self.changed(key, "labels", json!(before.labels), json!(labels));
        for (id, value) in fields {
            self.changed(key, &id, before.fields.get(&id).cloned().unwrap_or_default(), value);
        }
        empty()
    }

    fn add_comment(&mut self, key: &str, body: &Value) -> Answer {
        let (id, at) = (self.id(), self.tick());
        let properties = body["properties"].as_array().into_iter().flatten();
        let properties: Map<String, Value> =
            properties.filter_map(|property| Some((property["key"].as_str()?.to_owned(), property["value"].clone()))).collect();
        let comment = FakeComment { id, body: body["body"].clone(), properties, by_us: true, created: at };
        let shown = self.comment_view(&comment, false);
        self.issues.get_mut(key).expect("an issue").comments.push(comment);
        self.changed(key, "comment", Value::Null, body["body"].clone());
        json_answer(201, &shown)
    }

    fn comment_view(&self, comment: &FakeComment, expand: bool) -> Value {
        let author = if comment.by_us { user(self.cloud, self.ourselves(), "KubeOps") } else { user(self.cloud, "ada", "Ada") };
        let mut shown =
            json!({ "id": comment.id.to_string(), "author": author, "body": comment.body, "created": super::issues::date(comment.created) });
        if expand && !self.hides_properties {
            shown["properties"] = comment.properties.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        }
        shown
    }

    fn comments(&self, key: &str, query: &BTreeMap<String, String>) -> Answer {
        let number = |name: &str, default: usize| query.get(name).map_or(default, |text| text.parse().expect("a number"));
        let (start, most) = (number("startAt", 0), number("maxResults", 50).min(self.page));
        let mut comments: Vec<&FakeComment> = self.issues[key].comments.iter().collect();
        if query.get("orderBy").is_some_and(|order| order == "-created") {
            comments.reverse();
        }
        let expand = query.get("expand").is_some_and(|expand| expand.split(',').any(|part| part == "properties"));
        let shown: Vec<Value> = comments.iter().skip(start).take(most).map(|comment| self.comment_view(comment, expand)).collect();
        json_answer(200, &json!({ "startAt": start, "maxResults": most, "total": comments.len(), "comments": shown }))
    }

    fn property(&self, id: &str, key: &str) -> Answer {
        let comment = self.issues.values().flat_map(|issue| &issue.comments).find(|comment| comment.id.to_string() == id);
        match comment.and_then(|comment| comment.properties.get(key)) {
            Some(value) => json_answer(200, &json!({ "key": key, "value": value })),
            None => error(404, &format!("The property with key {key} does not exist.")),
        }
    }

    fn transition(&mut self, key: &str, body: &Value) -> Answer {
        let issue = &self.issues[key];
        let id = body["transition"]["id"].as_str().unwrap_or_default();
        let step = self.workflow.iter().find(|step| step.id == id && step.from.contains(&issue.status)).cloned();
        let Some(step) = step else {
            return error(400, "It seems that you have tried to perform an illegal workflow operation.");
        };
        let given = body["fields"].as_object().cloned().unwrap_or_default();
        if let Some(strange) = given.keys().find(|id| !step.fields.contains_key(*id)) {
            return errors(400, &[(strange.as_str(), "Field cannot be set. It is not on the appropriate screen, or unknown.")]);
        }
        let lacks = |(id, field): (&String, &Value)| (field["required"] == true && !given.contains_key(id)).then(|| id.clone());
        if let Some(missing) = step.fields.iter().find_map(lacks) {
            return errors(400, &[(missing.as_str(), "It is required.")]);
        }
        let issue = self.issues.get_mut(key).expect("an issue");
        let before = std::mem::replace(&mut issue.status, step.to.clone());
        let was = issue.resolution.clone();
        let mut given = given;
        if let Some(resolution) = given.remove("resolution") {
            issue.resolution = resolution["name"].as_str().map(str::to_owned);
        }
        let now = issue.resolution.clone();
        issue.fields.extend(given);
        self.changed(key, "status", json!(before), json!(step.to));
        self.changed(key, "resolution", json!(was), json!(now));
        empty()
    }

    fn link(&mut self, key: &str, body: &Value) -> Answer {
        let id = body["globalId"].as_str().unwrap_or_default().to_owned();
        if id.len() > 255 {
            return errors(400, &[("globalId", "too long")]);
        }
        let links = &mut self.issues.get_mut(key).expect("an issue").links;
        let (status, before) = match links.iter_mut().find(|(known, _)| *known == id) {
            Some((_, link)) => (200, std::mem::replace(link, body.clone())),
            None => {
                links.push((id, body.clone()));
                (201, Value::Null)
            }
        };
        self.changed(key, "link", before, body.clone());
        json_answer(status, &json!({ "id": 1, "self": "https://jira.example/rest/api/2/issue/x/remotelink/1" }))
    }

    fn search(&mut self, body: &Value) -> Answer {
        let refuse = |message: String| error(400, &format!("Error in the JQL Query: {message}"));
        let query = match Query::read(body["jql"].as_str().unwrap_or_default()) {
            Ok(query) => query,
            Err(message) => return refuse(message),
        };
        if let Some(gone) = query.keys().find(|key| !self.issues.contains_key(*key)) {
            return refuse(format!("An issue with key '{gone}' does not exist for field 'key'."));
        }
        let mut found = Vec::new();
        for issue in self.issues.values() {
            match query.holds(issue, self.seconds) {
                Ok(true) => found.push(issue),
                Ok(false) => {}
                Err(message) => return refuse(message),
            }
        }
        query.sort(&mut found);
        let token = body["nextPageToken"].as_str().map(|token| token.trim_start_matches("page-").parse::<u64>().expect("a token of ours"));
        let start = usize::try_from(token.or(body["startAt"].as_u64()).unwrap_or(0)).expect("a number");
        let most = usize::try_from(body["maxResults"].as_u64().unwrap_or(50)).expect("a number").min(self.page);
        let wanted: Vec<&str> = body["fields"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let expand = &body["expand"];
        let history = *expand == "changelog" || expand.as_array().is_some_and(|parts| parts.contains(&json!("changelog")));
        let view = |issue: &&FakeIssue| if history { issue.view_with_history(self.cloud, &wanted) } else { issue.view(self.cloud, &wanted) };
        let page: Vec<Value> = found.iter().skip(start).take(most).map(view).collect();
        let end = start + page.len();
        let mut answer = json!({ "issues": page });
        match self.cloud {
            true if end < found.len() => answer["nextPageToken"] = format!("page-{end}").into(),
            true => answer["isLast"] = true.into(),
            false => {
                answer["startAt"] = start.into();
                answer["maxResults"] = most.into();
                answer["total"] = found.len().into();
            }
        }
        json_answer(200, &answer)
    }
}

pub(super) fn json_answer(status: u16, body: &Value) -> Answer {
    Answer::new(status, "application/json;charset=UTF-8", body.to_string())
}

fn empty() -> Answer {
    Answer::new(204, "application/json", "")
}

pub(super) fn error(status: u16, message: &str) -> Answer {
    json_answer(status, &json!({ "errorMessages": [message], "errors": {} }))
}

fn errors(status: u16, errors: &[(&str, &str)]) -> Answer {
    let errors: Map<String, Value> = errors.iter().map(|(field, text)| ((*field).to_owned(), json!(text))).collect();
    json_answer(status, &json!({ "errorMessages": [], "errors": errors }))
}
