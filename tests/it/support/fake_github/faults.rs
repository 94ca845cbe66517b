//! What goes wrong with one call.

use super::error;
use crate::support::loopback::{Answer, Delivery};
use serde_json::json;

/// What goes wrong with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 502 with a proxy's page.
    BadGateway,
    /// 500 with GitHub's own words.
    ServerError,
    /// 429, with `Retry-After` when given.
    TooMany(Option<u64>),
    /// 403 "secondary rate limit", with `Retry-After` when given.
    Secondary(Option<u64>),
    /// 403 with no calls left until `reset` (seconds since the epoch).
    Exhausted { reset: u64 },
    /// 403 for a lost permission.
    Forbidden,
    /// A status with what GitHub says, and a header of each name: a right is missing, and named.
    Lacks(u16, &'static str, &'static [(&'static str, &'static str)]),
    /// 403 because the repository is archived.
    Archived,
    /// 401, though the token is good.
    Unauthorised,
    /// 404 for a repository that is hidden.
    NotFound,
    /// 410.
    Gone,
    /// 451.
    Blocked,
    /// 422: the base holds all of the head.
    NoCommits,
    /// 422: the head branch is not there.
    NoHead,
    /// 422: the base branch is not there.
    NoBase,
    /// 422, with words of no meaning to us.
    Unprocessable,
    /// 422: GitHub feels hurried.
    TooQuick,
    /// Leads on to another host.
    Elsewhere,
    /// Leads on to itself.
    Circle,
    /// Done, but the answer never arrives.
    DroppedAfter,
    /// Not done, and no answer.
    DroppedBefore,
    /// Done, but the answer is cut in the middle.
    Truncated,
    /// Not done; 200 with a login page.
    Html,
    /// Done, but no answer comes for as long as one waits.
    Silent,
    /// Done, and answered so many milliseconds later.
    Slow(u64),
}

impl Fault {
    /// The answer of a fault that does nothing.
    pub(super) fn refusal(&self) -> Option<Answer> {
        let wait = |mut answer: Answer, seconds: &Option<u64>| {
            answer.headers.extend(seconds.map(|seconds| ("retry-after".to_owned(), seconds.to_string())));
            answer
        };
        let invalid = |field: &str| error(422, "Validation Failed", json!([{ "resource": "PullRequest", "field": field, "code": "invalid" }]));
        let custom = |message: &str| error(422, "Validation Failed", json!([{ "resource": "PullRequest", "code": "custom", "message": message }]));
        let led = |location: &str| {
            let mut answer = error(307, "Temporary Redirect", json!([]));
            answer.headers.push(("location".to_owned(), location.to_owned()));
            answer
        };
        Some(match self {
            Self::BadGateway => Answer::new(502, "text/html", "<html><body>Bad gateway</body></html>"),
            Self::ServerError => error(500, "Server Error", json!([])),
            Self::TooMany(seconds) => wait(error(429, "Too many requests", json!([])), seconds),
            Self::Secondary(seconds) => {
                wait(error(403, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.", json!([])), seconds)
            }
            Self::Exhausted { reset } => {
                let mut answer = error(403, "API rate limit exceeded for user ID 1.", json!([]));
                for (name, value) in [("x-ratelimit-limit", 5_000), ("x-ratelimit-remaining", 0), ("x-ratelimit-reset", *reset)] {
                    answer.headers.push((name.to_owned(), value.to_string()));
                }
                answer
            }
            Self::Forbidden => error(403, "Resource not accessible by personal access token", json!([])),
            Self::Lacks(status, said, headers) => {
                let mut answer = error(*status, said, json!([]));
                answer.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
                answer
            }
            Self::Archived => error(403, "Repository was archived so is read-only.", json!([])),
            Self::Unauthorised => error(401, "Bad credentials", json!([])),
            Self::NotFound => error(404, "Not Found", json!([])),
            Self::Gone => error(410, "This repository is gone", json!([])),
            Self::Blocked => error(451, "Repository access blocked", json!([])),
            Self::NoCommits => custom("No commits between main and x"),
            Self::NoHead => invalid("head"),
            Self::NoBase => invalid("base"),
            Self::Unprocessable => error(422, "Unprocessable Entity", json!([])),
            Self::TooQuick => custom("was submitted too quickly"),
            Self::Elsewhere => led("https://elsewhere.example/repositories/7/pulls"),
            Self::Circle => led("/repos/acme/gitops/pulls"),
            Self::DroppedBefore => Answer { delivery: Delivery::Dropped, ..error(500, "", json!([])) },
            Self::Html => Answer::new(200, "text/html", "<html>Sign in</html>"),
            Self::DroppedAfter | Self::Truncated | Self::Silent | Self::Slow(_) => return None,
        })
    }

    /// How an answer is delivered, where that is what goes wrong.
    pub(super) fn delivery(&self) -> Option<Delivery> {
        Some(match self {
            Self::DroppedAfter | Self::DroppedBefore => Delivery::Dropped,
            Self::Truncated => Delivery::Truncated,
            Self::Silent => Delivery::Silent,
            Self::Slow(millis) => Delivery::Late(*millis),
            _ => return None,
        })
    }
}
