//! What a request changes, as data: files, objects and fields, what they were held against, and what was asked for first.
//! Bounded, so that a row of the store stays small; the values of Secrets are masked before they come here.

use super::{Drafted, Place};
use crate::manifest::{Action, FieldChange, ObjectChange};
use crate::plan::{Inverse, Lifetime};
use crate::types::{ClusterName, ManifestPath, SpecDuration, Timestamp};
use crate::validate::{Evidence, ValidatedChange};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Objects that are kept, at most.
const MAX_OBJECTS: usize = 200;
/// Fields that are kept, at most, of all objects together.
const MAX_FIELDS: usize = 400;
/// The longest value that is kept whole, in bytes of JSON.
const MAX_VALUE: usize = 512;
/// Characters that are kept of a longer one.
const SHORTENED: usize = 200;

/// What a request changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changes {
    /// Every file that differs from the base, in order; never cut.
    pub files: Vec<ManifestPath>,
    /// What happens to which object and field, file by file.
    pub objects: Vec<ObjectChange>,
    /// Whether objects or fields were left out, or values shortened, because there are too many.
    pub cut: bool,
    /// What the change was held against.
    pub evidence: Evidence,
    /// The first plan of the request, since it was asked for.
    pub first: Option<FirstPlan>,
    /// How long it is wanted; none when that is for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Expiry>,
    /// SHA-256 over the automation as it was in force when this was planned, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// How soon after its merge it should be in force; none where nobody waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_within: Option<SpecDuration>,
    /// Where in its repository it goes; none of a group, whose members may each go elsewhere, and of what was planned long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Where it comes from, when a language model drafted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drafted: Option<Box<Drafted>>,
    /// The clusters it goes to, where they were named.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub clusters: BTreeSet<ClusterName>,
}

/// How long a change is wanted, and what takes it back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expiry {
    /// The time to live.
    #[serde(flatten)]
    pub lifetime: Lifetime,
    /// What takes it back.
    pub inverse: Inverse,
}

/// What a request came to when it was first planned: what it was asked against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirstPlan {
    /// When that was.
    pub at: Timestamp,
    /// What it changed then; none when that is what it changes now.
    pub objects: Option<Vec<ObjectChange>>,
}

impl Changes {
    /// What a validated change changes.
    pub fn of(change: &ValidatedChange) -> Self {
        let (mut objects, mut fields, mut cut) = (Vec::new(), 0, change.summary().len() > MAX_OBJECTS);
        for object in change.summary().iter().take(MAX_OBJECTS) {
            let kept: Vec<FieldChange> = object.fields.iter().take(MAX_FIELDS - fields).map(|field| bounded(field, &mut cut)).collect();
            cut |= kept.len() < object.fields.len();
            fields += kept.len();
            objects.push(ObjectChange { fields: kept, ..object.clone() });
        }
        Self {
            files: change.files().keys().cloned().collect(),
            objects,
            cut,
            evidence: change.evidence().clone(),
            first: None,
            expiry: None,
            rule: None,
            applied_within: None,
            place: None,
            drafted: None,
            clusters: BTreeSet::new(),
        }
    }

    /// The same with what a further change does after it: from the values before the first to those after the last.
    pub fn join(&mut self, more: Self) {
        self.files.extend(more.files);
        self.files.sort_unstable();
        self.files.dedup();
        self.cut |= more.cut;
        self.clusters.extend(more.clusters);
        self.evidence.kubernetes = more.evidence.kubernetes;
        self.evidence.schemas.extend(more.evidence.schemas);
        self.evidence.unchecked.extend(more.evidence.unchecked);
        self.evidence.templates.extend(more.evidence.templates);
        self.evidence.policies.extend(more.evidence.policies);
        self.evidence.audit.extend(more.evidence.audit);
        let mut fields: usize = self.objects.iter().map(|object| object.fields.len()).sum();
        for object in more.objects {
            match self.objects.iter().position(|known| known.is_about_the_same(&object)) {
                Some(place) => after(&mut self.objects, place, object),
                None if self.objects.len() < MAX_OBJECTS && fields + object.fields.len() <= MAX_FIELDS => {
                    fields += object.fields.len();
                    self.objects.push(object);
                }
                None => self.cut = true,
            }
        }
    }

    /// Takes over what the request was first planned as; `before` is its plan up to `now`, and without one this is the first.
    pub fn follow(&mut self, before: Option<&Self>, now: Timestamp) {
        self.first = Some(match before {
            None => FirstPlan { at: now, objects: None },
            Some(before) => {
                let first = before.first.clone().unwrap_or(FirstPlan { at: now, objects: None });
                let objects = first.objects.unwrap_or_else(|| before.objects.clone());
                FirstPlan { at: first.at, objects: (objects != self.objects).then_some(objects) }
            }
        });
    }

    /// Whether `other` leaves everything that this changes as this does. Of what is left out, or holds a secret, nobody can say so.
    pub fn is_done_by(&self, other: &Self) -> bool {
        let is_done = |mine: &ObjectChange| other.objects.iter().any(|theirs| mine.is_done_by(theirs));
        !self.cut && !other.cut && !self.objects.is_empty() && self.objects.iter().all(is_done)
    }

    /// What the request changed when it was first planned.
    pub fn at_first(&self) -> &[ObjectChange] {
        self.first.as_ref().and_then(|first| first.objects.as_deref()).unwrap_or(&self.objects)
    }
}

/// What becomes of the object at a place when `next` happens to it as well.
fn after(objects: &mut Vec<ObjectChange>, place: usize, next: ObjectChange) {
    let known = &mut objects[place];
    match (known.action, next.action) {
        (Action::Added, Action::Removed) => drop(objects.remove(place)),
        (Action::Changed, Action::Changed) => {
            for field in next.fields {
                match known.fields.iter_mut().find(|known| known.path == field.path) {
                    Some(known) => known.new = field.new,
                    None => known.fields.push(field),
                }
            }
            known.fields.retain(|field| field.old != field.new || field.is_masked());
        }
        // New, and then changed: it is new, with another content.
        (Action::Added, _) => known.content = next.content.filter(|_| next.action == Action::Added),
        _ => *known = next,
    }
}

fn bounded(field: &FieldChange, cut: &mut bool) -> FieldChange {
    let mut value = |value: &Value| {
        let text = value.to_string();
        if text.len() <= MAX_VALUE {
            return value.clone();
        }
        *cut = true;
        let begin: String = value.as_str().unwrap_or(&text).chars().take(SHORTENED).collect();
        // The digest keeps what differs different.
        Value::from(format!("{begin}… ({} bytes, sha256 {})", text.len(), hex::encode(&Sha256::digest(&text)[..8])))
    };
    FieldChange { path: field.path.clone(), old: field.old.as_ref().map(&mut value), new: field.new.as_ref().map(&mut value) }
}
