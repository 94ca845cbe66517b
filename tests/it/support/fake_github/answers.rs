//! How the fake answers: held against what GitHub publishes, then a fault, then who asks, then what is asked.

use super::{Effect, FakePull, Fault, OURSELVES, Seen, State, TOKEN, Time};
use crate::support::loopback::{Answer, Delivery, Request};
use crate::support::{github_graphql, github_openapi};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A call, read.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    /// The path below the API's address.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a Value,
}

impl State {
    pub(super) fn now(&self) -> i64 {
        match self.time {
            Time::Still(seconds) => seconds,
            Time::Running(skew) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
                i64::try_from(now).expect("seconds") + skew
            }
        }
    }

    /// The time of one more change: later than the one before, so that the order can be seen.
    pub(super) fn change(&mut self) -> i64 {
        self.changes = self.now().max(self.changes + 1);
        self.changes
    }

    pub(super) fn answer(&mut self, request: &Request) -> Answer {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let (method, path, query, headers) = (request.method.clone(), request.path.clone(), request.query.clone(), request.headers.clone());
        self.ledger.push(Seen { method, path, query, headers, body: body.clone() });
        let below = request.path.strip_prefix("/api/v3").unwrap_or(&request.path);
        let below = if below == "/api/graphql" { "/graphql" } else { below };
        let wrong = self.violations_of(request, below, &body);
        if !wrong.is_empty() {
            let answer = error(400, &wrong.join("; "), json!([]));
            self.violations.extend(wrong);
            return answer;
        }
        let fault = if self.away { Some(Fault::BadGateway) } else { self.faults.pop_front().flatten() };
        let mut answer = match fault.as_ref().and_then(Fault::refusal) {
            Some(answer) => answer,
            None => {
                let call = Call { method: &request.method, path: below, query: &request.query, body: &body };
                self.authorised(request, &call)
            }
        };
        answer.headers.push(("date".to_owned(), date(self.now())));
        if request.method != "GET" {
            let overlaps = self.busy_until.is_some_and(|until| Instant::now() < until);
            self.most_at_once = self.most_at_once.max(1 + u32::from(overlaps));
            self.busy_until = match fault {
                Some(Fault::Slow(millis)) => Some(Instant::now() + Duration::from_millis(millis)),
                _ => None,
            };
        }
        if let Some(late) = fault.as_ref().and_then(Fault::delivery) {
            answer.delivery = late;
        } else if request.method != "GET" && self.dropped_writes > 0 && answer.status < 300 {
            self.dropped_writes -= 1;
            answer.delivery = Delivery::Dropped;
        }
        answer
    }

    fn violations_of(&self, request: &Request, below: &str, body: &Value) -> Vec<String> {
        if below == "/graphql" {
            let document = body["query"].as_str().unwrap_or_default();
            let wrong = github_graphql::violations(document, &body["variables"]).into_iter().map(|wrong| format!("{document}: {wrong}"));
            return github_openapi::header_violations(request).into_iter().chain(wrong).collect();
        }
        github_openapi::violations(request, &self.described(below))
    }

    /// The path as the description knows it: where GitHub led us, there are numbers instead of names.
    fn described(&self, below: &str) -> String {
        let Some(rest) = below.strip_prefix("/repositories/") else { return below.to_owned() };
        let (id, rest) = rest.split_once('/').map_or((rest, String::new()), |(id, rest)| (id, format!("/{rest}")));
        let repository = self.repositories.values().find(|repository| repository.id.to_string() == id);
        repository.map_or_else(|| below.to_owned(), |repository| format!("/repos/{}{rest}", repository.slug))
    }

    /// Whose token this is.
    pub(super) fn who(&self, token: &str) -> Option<String> {
        if token == TOKEN {
            return Some("token".to_owned());
        }
        self.app.as_ref()?.installation_of(token, self.now()).map(|installation| installation.to_string())
    }

    fn authorised(&mut self, request: &Request, call: &Call<'_>) -> Answer {
        let shown = request.headers.get("authorization").and_then(|shown| shown.strip_prefix("Bearer ")).unwrap_or_default();
        let now = self.now();
        if call.path == "/app" || call.path.starts_with("/app/") || call.path.ends_with("/installation") {
            let described = self.described(call.path);
            let Some(app) = &mut self.app else { return error(401, "A JSON web token could not be decoded", json!([])) };
            if let Err(refused) = app.admits(shown, now) {
                return error(401, &refused, json!([]));
            }
            return match self.led_on(call) {
                Some(answer) => answer,
                None => self.app.as_mut().expect("an App").act(call.method, &described, call.query, now),
            };
        }
        let Some(account) = self.who(shown) else { return error(401, "Bad credentials", json!([])) };
        let resource = if call.path == "/graphql" { "graphql" } else { "core" };
        let left = *self.remaining.get(&account).unwrap_or(&self.limit);
        // Windows of an hour, counted from the beginning: none ends while a test runs.
        let begun = *self.begun.get_or_insert(now);
        let reset = now - (now - begun).rem_euclid(3600) + 3600;
        let mut answer = match () {
            () if left == 0 => error(403, "API rate limit exceeded for user ID 1.", json!([])),
            () if resource == "graphql" => self.graphql(call),
            () if call.path == "/user" && self.hides_the_user => error(403, "Resource not accessible by integration", json!([])),
            () if call.path == "/user" => {
                let name = "private-user-response-with-public-and-private-profile-information";
                json_answer(200, &github_openapi::example_with(name, json!({ "login": OURSELVES, "id": 77 })))
            }
            () => self.led_on(call).unwrap_or_else(|| self.act(call)),
        };
        if let Some(known) = request.headers.get("if-none-match") {
            let same = answer.headers.iter().any(|(name, value)| name == "etag" && value == known);
            if same {
                answer = Answer { status: 304, body: Vec::new(), ..answer };
            }
        }
        // An answer that nothing changed is not counted.
        let left = if answer.status == 304 { left } else { left.saturating_sub(1) };
        self.remaining.insert(account, left);
        let numbers = [("x-ratelimit-limit", self.limit), ("x-ratelimit-remaining", left), ("x-ratelimit-reset", reset.unsigned_abs())];
        answer.headers.extend(numbers.map(|(name, value)| (name.to_owned(), value.to_string())));
        answer.headers.push(("x-ratelimit-resource".to_owned(), resource.to_owned()));
        answer
    }

    /// Leads on from a name that a repository had before: reading for good, all else for now, as GitHub does.
    fn led_on(&self, call: &Call<'_>) -> Option<Answer> {
        let (from, to) = self.former.iter().find(|(from, _)| call.path.starts_with(&format!("/repos/{from}")))?;
        let rest = call.path.strip_prefix(&format!("/repos/{from}"))?;
        if !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        let query = if call.query.is_empty() { String::new() } else { format!("?{}", call.query) };
        let prefix = if self.ledger.last().is_some_and(|seen| seen.path.starts_with("/api/v3")) { "/api/v3" } else { "" };
        let location = format!("{}{prefix}/repositories/{}{rest}{query}", self.url, self.repositories[to].id);
        let mut answer = error(if call.method == "GET" { 301 } else { 307 }, "Moved Permanently", json!([]));
        answer.headers.push(("location".to_owned(), location));
        Some(answer)
    }

    fn act(&mut self, call: &Call<'_>) -> Answer {
        let described = self.described(call.path);
        let updated = self.change();
        let found = self.repositories.iter_mut().find_map(|(slug, repository)| {
            let rest = described.strip_prefix(&format!("/repos/{slug}"))?;
            (rest.is_empty() || rest.starts_with('/')).then(|| (repository, rest.to_owned()))
        });
        let Some((repository, rest)) = found else { return error(404, "Not Found", json!([])) };
        repository.look_at_branches(updated);
        let before = if call.method == "GET" { Vec::new() } else { repository.pulls.clone() };
        let mut answer = repository.act(call, &rest, updated);
        if call.method != "GET" {
            self.effects.extend(effect(call, &before, &repository.pulls));
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let wrong = github_openapi::answer_violations(call.method, &described, answer.status, &body);
        self.violations.extend(wrong.into_iter().map(|wrong| format!("the fake answers what GitHub would not: {wrong}")));
        if call.method == "GET" {
            use sha2::Digest as _;
            let etag = format!("W/\"{}\"", hex::encode(&sha2::Sha256::digest(&answer.body)[..16]));
            answer.headers.push(("etag".to_owned(), etag));
        }
        answer
    }
}

/// What a call changed of pull requests; that one was looked at again is no change.
fn effect(call: &Call<'_>, before: &[FakePull], after: &[FakePull]) -> Option<Effect> {
    let is_other = |pull: &&FakePull| {
        let known = before.iter().find(|known| known.number == pull.number);
        known.is_none_or(|known| FakePull { updated: pull.updated, ..known.clone() } != **pull)
    };
    let changed = after.iter().find(is_other)?;
    let at = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let (at, call_made) = (u64::try_from(at).expect("milliseconds"), format!("{} {}", call.method, call.path));
    Some(Effect { at, call: call_made, pull: changed.number, after: changed.clone() })
}

fn date(seconds: i64) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp(seconds).expect("a time");
    moment.format(&time::format_description::well_known::Rfc2822).expect("a date").replace("+0000", "GMT")
}

pub(super) fn json_answer(status: u16, body: &Value) -> Answer {
    Answer::new(status, "application/json; charset=utf-8", body.to_string())
}

pub(super) fn error(status: u16, message: &str, errors: Value) -> Answer {
    json_answer(status, &json!({ "message": message, "errors": errors, "documentation_url": "https://docs.github.com/rest" }))
}
