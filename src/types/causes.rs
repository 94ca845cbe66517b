//! An error with everything it comes from.

use std::error::Error;

/// What an error says and what its causes say, on one line, each word of theirs once: many libraries say in an error what its cause
/// says, and some add a backtrace below.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let first_line = |error: &dyn Error| error.to_string().lines().next().unwrap_or_default().to_owned();
    let mut text = first_line(error);
    let mut source = error.source();
    while let Some(cause) = source {
        let words = first_line(cause);
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Told>>);

    #[test]
    fn every_cause_is_told_once_and_no_backtrace() {
        let refused = Told("connection refused", None);
        let client = Told("client error (connection refused)\n  at a\n  at b", Some(Box::new(refused)));
        let sent = Told("it was not sent", Some(Box::new(client)));
        assert_eq!(with_causes(&sent), "it was not sent: client error (connection refused)");
    }
}
