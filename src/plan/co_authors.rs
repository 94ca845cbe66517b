//! Who is named as co-author of a commit: people whom the event names, such as a ticket's reporter.
//! Whatever the event says, a name stays one line and an address an address; who cannot be named is left out, never invented.

use super::recipe::WITH_VARIABLES;
use crate::automation::{CommitSpec, compile_at};
use crate::expression::{EvaluationError, Expression, Scope};
use crate::types::{Identity, SpecError};
use serde_json::Value;

/// The most co-authors of an automation.
const MOST: usize = 10;

/// An automation's co-authors, compiled.
pub(super) struct CoAuthors(Vec<CoAuthor>);

struct CoAuthor {
    name: Expression,
    email: Expression,
}

impl CoAuthors {
    pub(super) fn compile(spec: &CommitSpec, errors: &mut Vec<SpecError>) -> Self {
        if spec.co_authors.len() > MOST {
            errors.push(SpecError::new(
                "/commit/coAuthors",
                format!("a commit has at most {MOST} co-authors, and these are {}", spec.co_authors.len()),
            ));
        }
        let mut compiled = Vec::new();
        for (at, spec) in spec.co_authors.iter().take(MOST).enumerate() {
            let name = compile_at(&spec.name, &format!("/commit/coAuthors/{at}/name"), WITH_VARIABLES, errors);
            let email = compile_at(&spec.email, &format!("/commit/coAuthors/{at}/email"), WITH_VARIABLES, errors);
            compiled.extend(name.zip(email).map(|(name, email)| CoAuthor { name, email }));
        }
        Self(compiled)
    }

    /// Those who can be named, each address once, and a sentence about each who cannot. No sentence shows what the event holds.
    pub(super) fn of(&self, scope: &Scope<'_>) -> (Vec<Identity>, Vec<String>) {
        let (mut people, mut said): (Vec<Identity>, Vec<String>) = (Vec::new(), Vec::new());
        for one in &self.0 {
            match one.read(scope) {
                Ok(Some(person)) if !people.iter().any(|known| known.email().eq_ignore_ascii_case(person.email())) => people.push(person),
                Ok(_) => {}
                Err(why) => said.push(why),
            }
        }
        (people, said)
    }
}

impl CoAuthor {
    fn read(&self, scope: &Scope<'_>) -> Result<Option<Identity>, String> {
        let (Some(name), Some(email)) = (text(&self.name, scope)?, text(&self.email, scope)?) else { return Ok(None) };
        match Identity::of_person(&name, &email) {
            Ok(person) => Ok(Some(person)),
            Err(error) if error.what == "e-mail address" => {
                Err(format!("`{}` is no e-mail address, so nobody is named as co-author for it", self.email.source()))
            }
            Err(_) => Err(format!("`{}` is no name that git can write, so nobody is named as co-author for it", self.name.source())),
        }
    }
}

/// What an expression says; none where the event says nothing.
fn text(expression: &Expression, scope: &Scope<'_>) -> Result<Option<String>, String> {
    match expression.evaluate(scope) {
        Ok(Value::Null) | Err(EvaluationError::Missing(_)) => Ok(None),
        Ok(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Ok(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Ok(_) => Err(format!("`{}` gives no text, so nobody is named as co-author for it", expression.source())),
        Err(error) => Err(format!("`{}` has no value, so nobody is named as co-author for it: {error}", expression.source())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::automation::CoAuthorSpec;
    use crate::expression::{Variable, Variables};
    use serde_json::json;

    fn co_authors(of: &[(&str, &str)]) -> CoAuthors {
        let spec = |(name, email): &(&str, &str)| CoAuthorSpec { name: (*name).to_owned(), email: (*email).to_owned() };
        let mut errors = Vec::new();
        let compiled = CoAuthors::compile(&CommitSpec { co_authors: of.iter().map(spec).collect() }, &mut errors);
        assert_eq!(errors, []);
        compiled
    }

    fn told(event: &Value, of: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let scope = Scope::lending(Variables::new([("event", Variable::Value(event)), ("parameters", Variable::Value(&Value::Null))]));
        let (people, said) = co_authors(of).of(&scope);
        (people.iter().map(ToString::to_string).collect(), said)
    }

    const REPORTER: (&str, &str) = ("event.data.reporter.name", "event.data.reporter.email");

    #[test]
    fn a_reporter_is_named_once_and_only_with_name_and_address() {
        let event = json!({"data": {"reporter": {"name": " Ada  Lovelace\n", "email": "ada@example.com"}}});
        assert_eq!(told(&event, &[REPORTER, REPORTER]), (vec!["Ada Lovelace <ada@example.com>".to_owned()], vec![]));
        for silent in [
            json!({"data": {}}),
            json!({"data": {"reporter": {"name": "Ada", "email": null}}}),
            json!({"data": {"reporter": {"name": "", "email": "a@b"}}}),
        ] {
            assert_eq!(told(&silent, &[REPORTER]), (vec![], vec![]), "{silent}");
        }
    }

    #[test]
    fn what_is_no_address_is_left_out_and_said_without_showing_it() {
        for email in [json!("ada at example"), json!("ada@example.com>\nSigned-off-by: x <y@z"), json!(7)] {
            let event = json!({"data": {"reporter": {"name": "Ada", "email": email}}});
            let (people, said) = told(&event, &[REPORTER]);
            assert!(people.is_empty() && said.len() == 1 && said[0].contains("event.data.reporter.email"), "{said:?}");
            assert!(!said[0].contains("ada at") && !said[0].contains("Signed-off"), "{said:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_co_author_has_its_place() {
        let mut errors = Vec::new();
        let spec = CommitSpec { co_authors: vec![CoAuthorSpec { name: "evnt.x".to_owned(), email: "event.data.x +".to_owned() }] };
        CoAuthors::compile(&spec, &mut errors);
        let places: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(places, ["/commit/coAuthors/0/name", "/commit/coAuthors/0/email"]);
    }
}
