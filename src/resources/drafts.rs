//! What of an automation's `draft` comes to nothing: models there are not, budgets without room, globs, kinds and fields that fit nothing.
//! But for a cost that nobody can reckon it only warns, and where something may fit it says nothing.

use super::document::Document;
use super::set::{ResourceSet, diagnostic};
use super::{Diagnostic, Level};
use crate::automation::{AllowSpec, AutomationSpec, DraftSpec, KnownModels, TargetSpec};
use crate::plan::{FieldPattern, KindName, PatternStep, idle_globs};
use crate::types::{DirectoryPath, SpecError, nearest_within};
use crate::validate::{NoField, SchemaSet, kinds_of, no_field};
use std::collections::BTreeMap;

/// Kinds of Kubernetes' own whose names are those of other people's kinds too (of Knative, Calico, OpenKruise, Volcano and others). Where
/// `allow` names one without a group, a field that it does not have may be the others'.
const SHARED: [&str; 14] = [
    "CronJob",
    "DaemonSet",
    "Event",
    "Gateway",
    "Ingress",
    "Job",
    "NetworkPolicy",
    "Node",
    "PodGroup",
    "Role",
    "Secret",
    "Service",
    "StatefulSet",
    "Workload",
];
/// The length of a kind's name from which two letters may differ: `CronTab` is no slip of `CronJob`.
const LONG_NAME: usize = 8;

impl ResourceSet {
    /// What is wrong with an automation's `draft` beside these models. What it warns of goes to `found`; what only the schemas of other
    /// kinds tell is kept for [`ResourceSet::with_schemas`].
    pub(super) fn check_draft(
        &mut self,
        document: &Document<'_>,
        spec: &AutomationSpec,
        models: &KnownModels,
        found: &mut Vec<Diagnostic>,
    ) -> Option<SpecError> {
        let mut warn = |warning: SpecError| found.push(diagnostic(document, Level::Warning, warning));
        models.warnings(spec).into_iter().for_each(&mut warn);
        let draft = spec.draft.as_ref()?;
        idle_globs(draft, &self.possible_targets(&spec.target)).into_iter().for_each(&mut warn);
        days_below_requests(document, draft).into_iter().for_each(&mut warn);
        self.named_limits.push(NamedLimits::of(document, draft));
        let unpriced = models.unpriced(draft)?;
        if models.given {
            return Some(unpriced);
        }
        warn(unpriced);
        None
    }

    /// The directories that a target may be, as far as they are known. Of a target that follows from parameters it is every cluster's, but
    /// for paths so short that what one repository calls a cluster's may be another's directory of something else.
    fn possible_targets(&self, target: &TargetSpec) -> Vec<(String, DirectoryPath)> {
        let clusters = || self.inventory.clusters.iter().map(|(name, spec)| (format!("the cluster {name}"), spec.path.clone()));
        match (&target.cluster, &target.path) {
            (Some(name), _) if name.contains("{{") => clusters().filter(|(_, path)| path.as_str().contains('/')).collect(),
            (Some(name), _) => clusters().filter(|(cluster, _)| *cluster == format!("the cluster {name}")).collect(),
            (None, Some(path)) => path.parse().map(|path| ("the target".to_owned(), path)).into_iter().collect(),
            (None, None) => Vec::new(),
        }
    }
}

/// Budgets of a day that are smaller than those of one request, where both are said.
fn days_below_requests(document: &Document<'_>, draft: &DraftSpec) -> Vec<SpecError> {
    let Some(day) = &draft.budget.per_day else { return Vec::new() };
    let tokens = document.spec.pointer("/draft/budget/tokens").and(day.tokens).is_some_and(|tokens| tokens < draft.budget.tokens);
    let cost = day.cost.zip(draft.budget.cost).is_some_and(|(day, request)| day < request);
    let below = [("tokens", tokens), ("cost", cost)].into_iter().filter(|(_, below)| *below);
    let warning = |(what, _)| {
        let message = format!("less than one request may use (`budget.{what}`), which can then never use all of it");
        SpecError::new(format!("/draft/budget/perDay/{what}"), message).hint(format!("raise it, or lower `budget.{what}`"))
    };
    below.map(warning).collect()
}

/// The kinds and fields that a `draft` allows, and where each stands: whether there are such kinds is known when the definitions of other
/// kinds are.
pub(super) struct NamedLimits {
    allow: Vec<AllowSpec>,
    /// A diagnostic for each place at which a kind or a field stands.
    places: BTreeMap<String, Diagnostic>,
}

impl NamedLimits {
    fn of(document: &Document<'_>, draft: &DraftSpec) -> Self {
        let entries = draft.allow.iter().enumerate();
        let lists = entries.flat_map(|(entry, allow)| [(entry, "kinds", allow.kinds.len()), (entry, "fields", allow.fields.len())]);
        let pointers = lists.flat_map(|(entry, list, length)| (0..length).map(move |at| format!("/draft/allow/{entry}/{list}/{at}")));
        let place = |pointer: String| {
            let place = diagnostic(document, Level::Warning, SpecError::new(&pointer, ""));
            (pointer, place)
        };
        Self { allow: draft.allow.clone(), places: pointers.map(place).collect() }
    }

    /// A warning for each kind that is a slip of one of Kubernetes' own, and each field that no kind of its entry has.
    pub(super) fn unknown(&self, schemas: &SchemaSet) -> Vec<Diagnostic> {
        let unknown = self.allow.iter().enumerate().flat_map(|(entry, allow)| unknown(&format!("/draft/allow/{entry}"), allow, schemas));
        let told =
            |warning: SpecError| Some(Diagnostic { message: warning.message, hint: warning.hint, ..self.places.get(&warning.pointer)?.clone() });
        unknown.filter_map(told).collect()
    }
}

fn unknown(at: &str, allow: &AllowSpec, schemas: &SchemaSet) -> Vec<SpecError> {
    let kinds: Vec<KindName> = allow.kinds.iter().filter_map(|kind| KindName::compile(kind).ok()).collect();
    if kinds.len() < allow.kinds.len() {
        return Vec::new();
    }
    let mut warnings = Vec::new();
    let mut own = true;
    for (number, kind) in kinds.iter().enumerate() {
        let KindName::One { kind, group } = kind else {
            own = false;
            continue;
        };
        let searched = group.as_deref().unwrap_or("*");
        let known = kinds_of(searched);
        if known.as_ref().is_some_and(|known| known.contains(&kind.as_str())) {
            own &= group.is_some() || !schemas.kinds_of("*").any(|other| other == kind.to_lowercase());
            continue;
        }
        own = false;
        let Some(known) = known.filter(|_| !schemas.kinds_of(searched).any(|other| other == kind.to_lowercase())) else { continue };
        let letters = if kind.len() < LONG_NAME { 1 } else { 2 };
        if let Some(near) = nearest_within(letters, kind, known.into_iter()) {
            let message = format!("Kubernetes has no kind `{kind}`, and no definition of one is known here: no object of Kubernetes' own fits");
            warnings.push(SpecError::new(format!("{at}/kinds/{number}"), message).hint(format!("did you mean `{near}`?")));
        }
    }
    if own {
        warnings.extend(unknown_fields(at, allow, &kinds));
    }
    warnings
}

/// The fields that none of these kinds has, which are all Kubernetes' own.
fn unknown_fields(at: &str, allow: &AllowSpec, kinds: &[KindName]) -> Vec<SpecError> {
    let one = |(number, field): (usize, &String)| {
        let pattern = FieldPattern::compile(field).ok()?;
        let mut nearest: Option<NoField> = None;
        for kind in kinds {
            let KindName::One { kind, group } = kind else { return None };
            let missing = no_field(group.as_deref(), kind, pattern.steps())?;
            let slip = missing.near.is_some() || missing.list;
            if group.is_none() && SHARED.contains(&kind.as_str()) && !slip {
                return None;
            }
            if nearest.as_ref().is_none_or(|best| (missing.known, missing.near.is_some()) > (best.known, best.near.is_some())) {
                nearest = Some(missing);
            }
        }
        let NoField { known, near, list } = nearest?;
        let before = known.checked_sub(1).and_then(|before| pattern.steps().get(before));
        let hint = match (near, before) {
            (Some(near), _) => Some(format!("did you mean `{near}`?")),
            (None, Some(PatternStep::Key(name))) if list => Some(format!("`{name}` is a list: its elements are written `{name}[*]`")),
            _ => None,
        };
        let message = format!("no {} has the field `{field}`", allow.kinds.join(" and no "));
        Some(SpecError { hint, ..SpecError::new(format!("{at}/fields/{number}"), message) })
    };
    allow.fields.iter().enumerate().filter_map(one).collect()
}
