//! What may happen to which objects, in which fields, with which images: the same limits for what stands in files and for what overlays
//! build of it.

use super::compare::{Difference, differences, shown};
use super::fields::FieldPattern;
use super::images;
use super::kinds::KindName;
use super::objects::{Identity, Objects};
use super::violation::Violation;
use crate::automation::AllowSpec;
use crate::types::{SpecError, listed};
use serde_json::Value;
use std::collections::BTreeSet;

/// Fields that a message names.
const NAMED: usize = 10;

/// The limits of an automation.
#[derive(Debug)]
pub(super) struct Limits {
    allows: Vec<Allow>,
    images: Vec<String>,
}

/// One entry of `allow`.
#[derive(Debug)]
struct Allow {
    kinds: Vec<KindName>,
    fields: Vec<FieldPattern>,
    add: bool,
    remove: bool,
}

/// Where objects stand, for a message.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) path: &'p str,
    /// The overlay that builds them, where they are built.
    pub(super) overlay: Option<&'p str>,
}

impl Limits {
    pub(super) fn compile(allow: &[AllowSpec], images: &[String], errors: &mut Vec<SpecError>) -> Self {
        let mut compiled = Vec::new();
        for (number, spec) in allow.iter().enumerate() {
            let at = format!("/draft/allow/{number}");
            if spec.kinds.is_empty() {
                errors.push(SpecError::new(format!("{at}/kinds"), "what is allowed is allowed for kinds: name one").hint("kinds: [Deployment]"));
            }
            if spec.fields.is_empty() && !spec.add && !spec.remove {
                let message = "an entry allows something: `fields` that may change, `add`, or `remove`";
                errors.push(SpecError::new(&at, message).hint("fields: [spec.replicas]"));
            }
            compiled.push(Allow {
                kinds: each(&spec.kinds, &format!("{at}/kinds"), KindName::compile, errors),
                fields: each(&spec.fields, &format!("{at}/fields"), FieldPattern::compile, errors),
                add: spec.add,
                remove: spec.remove,
            });
        }
        for (number, pattern) in images.iter().enumerate() {
            if pattern.is_empty() || pattern.contains(char::is_whitespace) {
                let message = format!("`{pattern}` is no pattern of images: `ghcr.io/example/*`");
                errors.push(SpecError::new(format!("/draft/images/{number}"), message));
            }
        }
        Self { allows: compiled, images: images.to_vec() }
    }

    /// Notes what may not happen of that which turns `before` into `after`.
    pub(super) fn judge(&self, before: &Objects<'_>, after: &Objects<'_>, place: Place<'_>, into: &mut Vec<Violation>) {
        let identities: BTreeSet<&Identity> = before.keys().chain(after.keys()).collect();
        for identity in identities {
            let mut old: Vec<&Value> = before.get(identity).cloned().unwrap_or_default();
            let mut new: Vec<&Value> = after.get(identity).cloned().unwrap_or_default();
            // What stands there as it did is not touched, however often it stands there.
            new.retain(|value| match old.iter().position(|other| other == value) {
                Some(at) => {
                    old.remove(at);
                    false
                }
                None => true,
            });
            let pairs = old.len().min(new.len());
            for (old, new) in old.iter().zip(&new) {
                self.changed(identity, old, new, place, into);
            }
            for _ in &old[pairs..] {
                if !self.of(identity).any(|allow| allow.remove) {
                    into.push(place.grave("draft.kind", format!("it takes {identity} away, which may not be removed here")));
                }
            }
            for value in &new[pairs..] {
                self.added(identity, value, place, into);
            }
        }
    }

    /// The entries that are for an object.
    fn of<'l>(&'l self, identity: &'l Identity) -> impl Iterator<Item = &'l Allow> {
        self.allows.iter().filter(|allow| allow.kinds.iter().any(|kind| kind.names(identity)))
    }

    fn added(&self, identity: &Identity, value: &Value, place: Place<'_>, into: &mut Vec<Violation>) {
        if !self.of(identity).any(|allow| allow.add) {
            into.push(place.grave("draft.kind", format!("it adds {identity}, which may not be added here")));
        }
        self.images(identity, &Difference { path: Vec::new(), old: None, new: Some(value) }, place, into);
    }

    fn changed(&self, identity: &Identity, old: &Value, new: &Value, place: Place<'_>, into: &mut Vec<Violation>) {
        if self.of(identity).next().is_none() || matches!(identity, Identity::Unclear(_)) {
            into.push(place.grave("draft.kind", format!("it changes {identity}, a kind that may not be changed here")));
            return;
        }
        let differences = differences(old, new);
        let may = |difference: &&Difference<'_>| !self.of(identity).flat_map(|allow| &allow.fields).any(|field| field.covers(&difference.path));
        let beyond: BTreeSet<String> = differences.iter().filter(may).map(|difference| shown(&difference.path)).collect();
        if !beyond.is_empty() {
            let allowed: BTreeSet<String> = self.of(identity).flat_map(|allow| &allow.fields).map(ToString::to_string).collect();
            let allowed = if allowed.is_empty() { "none may change".to_owned() } else { format!("allowed are {}", listed(&allowed, NAMED)) };
            into.push(place.plain("draft.field", format!("it changes {} of {identity}; {allowed}", listed(&beyond, NAMED))));
        }
        for difference in &differences {
            self.images(identity, difference, place, into);
        }
    }

    fn images(&self, identity: &Identity, difference: &Difference<'_>, place: Place<'_>, into: &mut Vec<Violation>) {
        let Some(new) = difference.new else { return };
        for brought in images::brought(&difference.path, difference.old, new) {
            if !images::fits(&self.images, brought.image) {
                let image: String = brought.image.to_string().chars().take(120).collect();
                let allowed =
                    if self.images.is_empty() { "no other repository is".to_owned() } else { format!("allowed are {}", listed(&self.images, NAMED)) };
                into.push(place.grave("draft.image", format!("`{}` of {identity} would be {image}; {allowed}", shown(&brought.path))));
            }
        }
    }
}

impl Place<'_> {
    fn grave(self, rule: &'static str, message: String) -> Violation {
        Violation { security: true, ..self.plain(rule, message) }
    }

    fn plain(self, rule: &'static str, message: String) -> Violation {
        match self.overlay {
            Some(overlay) => Violation::of(rule, Some(self.path), format!("in what the overlay {overlay} builds, {message}")),
            None => Violation::of(rule, Some(self.path), message),
        }
    }
}

fn each<T>(texts: &[String], at: &str, compile: impl Fn(&str) -> Result<T, String>, errors: &mut Vec<SpecError>) -> Vec<T> {
    let one = |(number, text): (usize, &String)| compile(text).map_err(|message| errors.push(SpecError::new(format!("{at}/{number}"), message))).ok();
    texts.iter().enumerate().filter_map(one).collect()
}
