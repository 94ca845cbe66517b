//! What people name on the command line: ids, and texts as a part of a path. What is no id is told before anything is sent.

use super::output::printable;
use crate::types::{EventId, RequestId};
use anyhow::bail;

/// A request's id.
///
/// # Errors
/// When it is none, with what finds the request.
pub(super) fn request_id(text: &str) -> anyhow::Result<RequestId> {
    if let Ok(id) = text.parse::<RequestId>() {
        return Ok(id);
    }
    let given = printable(text);
    let hint = if text.starts_with("req_") {
        "`kubeops requests list` shows them whole".to_owned()
    } else {
        format!(
            "`kubeops requests list --correlation {given}` finds those of a ticket or an alert, `kubeops trace {given}` those of a pull request, branch or commit"
        )
    };
    bail!("{given} is no request's id, which is req_ and 26 lower-case letters and digits\n  hint: {hint}")
}

/// An event's id.
///
/// # Errors
/// When it is none, with what lists events.
pub(super) fn event_id(text: &str) -> anyhow::Result<EventId> {
    if let Ok(id) = text.parse::<EventId>() {
        return Ok(id);
    }
    let given = printable(text);
    bail!(
        "{given} is no event's id, which is evt_ and 26 lower-case letters and digits\n  hint: `kubeops requests events` lists them, with `--subject` those of a ticket or an alert"
    )
}

/// A text as one part of a path (RFC 3986: unreserved characters alone stand as they are).
pub(super) fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_request_id_is_told_with_what_finds_it() {
        let id = "req_01kajz0000000000000000000a";
        assert_eq!(request_id(id).expect("an id").as_str(), id);
        let said = |text: &str| request_id(text).expect_err("no id").to_string();
        for other in ["gitops#1", "OPS-9", "01kajz0000000000000000000a", "evt_01kajz0000000000000000000a", ""] {
            let told = said(other);
            assert!(told.starts_with(&format!("{other} is no request's id")), "{told}");
            assert!(told.contains(&format!("--correlation {other}`")) && told.contains(&format!("kubeops trace {other}`")), "{told}");
        }
        let cut = said("req_01nothing");
        assert!(cut.contains("26 lower-case letters and digits") && cut.contains("kubeops requests list"), "{cut}");
        assert!(!cut.contains("--correlation"), "it is an id that was cut short, no ticket: {cut}");
        assert!(event_id(id).is_err() && event_id("evt_01kajz0000000000000000000a").is_ok());
    }

    #[test]
    fn a_part_of_a_path_holds_nothing_that_ends_it() {
        assert_eq!(segment("gitops#1"), "gitops%231");
        assert_eq!(segment("prod-eu/web?x=ü %"), "prod-eu%2Fweb%3Fx%3D%C3%BC%20%25");
        assert_eq!(segment("OPS-42_a.b~c"), "OPS-42_a.b~c");
    }
}
