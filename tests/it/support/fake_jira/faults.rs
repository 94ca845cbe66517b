//! What goes wrong with one call.

use super::answers::{error, json_answer};
use crate::support::loopback::{Answer, Delivery};
use serde_json::json;

/// What goes wrong with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A status with Jira's words.
    Status(u16, &'static str),
    /// 429, with `Retry-After` when given.
    TooMany(Option<&'static str>),
    /// 429, with `X-RateLimit-Reset` alone.
    Reset(&'static str),
    /// 503, with `Retry-After`.
    Maintenance(&'static str),
    /// 502 with a proxy's page.
    BadGateway,
    /// 404 because Jira went on as nobody: it did not know the secret.
    Anonymous,
    /// 403 after failed logins.
    Captcha,
    /// Leads on to another host.
    Elsewhere,
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
        let with = |mut answer: Answer, name: &str, value: &str| {
            answer.headers.push((name.to_owned(), value.to_owned()));
            answer
        };
        Some(match self {
            Self::Status(status, words) => error(*status, words),
            Self::TooMany(None) => error(429, "Rate limit exceeded."),
            Self::TooMany(Some(wait)) | Self::Maintenance(wait) => {
                with(error(if matches!(self, Self::TooMany(_)) { 429 } else { 503 }, "Later."), "retry-after", wait)
            }
            Self::Reset(when) => with(error(429, "Rate limit exceeded."), "x-ratelimit-reset", when),
            Self::BadGateway => Answer::new(502, "text/html", "<html><body>Bad gateway</body></html>"),
            Self::Anonymous => {
                with(error(404, "Issue does not exist or you do not have permission to see it."), "x-seraph-loginreason", "AUTHENTICATED_FAILED")
            }
            Self::Captcha => {
                with(error(403, "Forbidden"), "x-authentication-denied-reason", "CAPTCHA_CHALLENGE; login-url=https://jira.example/login.jsp")
            }
            Self::Elsewhere => with(json_answer(302, &json!({})), "location", "https://elsewhere.example/login"),
            Self::DroppedBefore => Answer { delivery: Delivery::Dropped, ..error(500, "") },
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
