//! What to say of a field that cannot be changed below the target: who decides it, and the patch that would.
//! It only words; it changes nothing.

use super::{Aim, Found, Staged};
use crate::manifest::{FieldPath, Step};
use crate::plan::PlanError;
use serde_json::Value;

impl Staged<'_> {
    /// Why the field cannot be changed: it stands in a base outside of the target, or nobody sets it.
    pub(super) fn outside(&mut self, aim: &Aim, found: &Found, field: &FieldPath) -> Result<PlanError, PlanError> {
        let overlay = found.chain.first().map_or_else(|| "a kustomization".to_owned(), ToString::to_string);
        let set = matches!(self.get(aim), Ok(Some(value)) if !value.is_null());
        let decided = if set {
            format!("is decided in {}, which lies outside of {}", aim.path(), self.within)
        } else {
            format!("is set by nobody, and {}, which the object stands in, lies outside of {}", aim.path(), self.within)
        };
        let unknown = if set { "" } else { " (nothing says that there is such a field)" };
        Ok(PlanError::Object(format!(
            "`{field}` of {} {decided}{unknown}; add a patch for it to {overlay}, and the patch is what is edited:\n{}",
            found.asked,
            patch(found, field)
        )))
    }
}

/// The lines of a patch that gives the field a value.
fn patch(found: &Found, field: &FieldPath) -> String {
    let object = &found.object;
    let mut lines = vec!["patches:".to_owned(), format!("- target: {{kind: {}, name: {}}}", object.kind, object.name), "  patch: |-".to_owned()];
    let head =
        [format!("apiVersion: {}", object.api_version), format!("kind: {}", object.kind), "metadata:".to_owned(), format!("  name: {}", object.name)];
    lines.extend(head.map(|line| format!("    {line}")));
    let mut indent = 4;
    let quoted = |text: &str| {
        if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) { text.to_owned() } else { Value::from(text).to_string() }
    };
    for (number, step) in field.steps().iter().enumerate() {
        let last = number + 1 == field.steps().len();
        match step {
            Step::Key(key) => {
                lines.push(format!("{:indent$}{}:{}", "", quoted(key), if last { " ..." } else { "" }));
                indent += 2;
            }
            Step::Element { key, value } if key.is_empty() => {
                lines.push(format!("{:indent$}- {}", "", quoted(value)));
            }
            Step::Element { key, value } => {
                // A list begins in the column of its key.
                indent -= 2;
                lines.push(format!("{:indent$}- {}: {}", "", quoted(key), quoted(value)));
                indent += 2;
            }
            // No author can write it.
            Step::Place(_) => {}
        }
    }
    lines.join("\n")
}
