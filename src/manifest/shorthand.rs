//! What a document says in YAML's own short ways: anchors, aliases, merge keys and tags, which hide from a reader what is meant.

use super::Document;
use super::positions::Form;

impl Document {
    /// Each anchor (`&`), alias (`*name`), merge key (`<<`) and tag (`!`) of the document, in the order of `text`, which it was read from.
    pub(crate) fn shorthands(&self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for node in self.positions.subtree(0) {
            if node.written.anchored {
                found.push("&".to_owned());
            }
            if node.written.tagged {
                found.push("!".to_owned());
            }
            if node.key.is_some_and(|(key, _)| key == "<<") {
                found.push("<<".to_owned());
            }
            if node.written.form == Form::Alias {
                found.push(node.value.of(text).unwrap_or("*").trim().to_owned());
            }
        }
        found
    }
}
