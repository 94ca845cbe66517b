//! Policies and their parameters among the resources: Kubernetes' own documents, and whatever objects the policies take parameters from.

use super::document::Foreign;
use super::schema::check_spec;
use super::{API_VERSION, Diagnostic, Level};
use crate::types::{ClusterName, SpecError, nearest};
use crate::validate::SchemaSet;
use crate::validate::policy::{
    Binding, BindingSpec, CLUSTERS_ANNOTATION, MatchResources, PARAMETERS_KIND, ParamKind, Parameter, Policies, Policy, PolicySpec, fits,
    is_policy_version, shipped,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Kinds of the group that are read here.
const POLICY: &str = "ValidatingAdmissionPolicy";
const BINDING: &str = "ValidatingAdmissionPolicyBinding";

/// Everything that is no document of KubeOps' own: policies, bindings, parameters. What is none of them is an error.
pub(super) fn load<'c>(
    documents: &[Foreign<'_>],
    baseline: bool,
    clusters: impl Iterator<Item = &'c ClusterName>,
    found: &mut Vec<Diagnostic>,
) -> (Policies, Vec<NamedResources>) {
    let clusters: Vec<&ClusterName> = clusters.collect();
    let mut loader = Loader { found, policies: BTreeMap::new(), bindings: BTreeMap::new(), broken: BTreeSet::new(), broken_kinds: BTreeSet::new() };
    documents.iter().filter(|document| is_of(document, POLICY)).for_each(|document| loader.policy(document));
    documents.iter().filter(|document| is_of(document, BINDING)).for_each(|document| loader.binding(document, &clusters));
    let shipped = match baseline.then(shipped) {
        Some(Err(error)) => unreachable!("the shipped policies are tested: {error}"),
        Some(Ok(shipped)) => shipped,
        None => Default::default(),
    };
    // Of a shipped policy that is bound here, the shipped binding is out of force; one of the same name takes the policy's place.
    let own: BTreeSet<&str> = loader.bindings.values().map(|(binding, _)| binding.spec.policy_name.as_str()).collect();
    let defaults: Vec<Binding> = shipped
        .bindings
        .into_iter()
        .filter(|binding| !own.contains(binding.spec.policy_name.as_str()) && !loader.policies.contains_key(&binding.spec.policy_name))
        .collect();
    let others: Vec<Arc<Policy>> = shipped.policies.into_iter().filter(|policy| !loader.policies.contains_key(&policy.name)).collect();
    loader.check_references(&others);
    let kinds: BTreeSet<ParamKind> = others
        .iter()
        .chain(loader.policies.values().map(|(policy, _)| policy))
        .filter_map(|policy| policy.spec.param_kind.clone())
        .chain(loader.broken_kinds.clone())
        .collect();
    let parameters = loader.parameters(documents, &kinds);
    let named = loader.named_resources();
    let Loader { policies, bindings, .. } = loader;
    let policies = others.into_iter().chain(policies.into_values().map(|(policy, _)| policy));
    (Policies::new(policies, defaults.into_iter().chain(bindings.into_values().map(|(binding, _)| binding)), &parameters), named)
}

/// The resources that a policy or a binding is about, and where each stands: whether there are such resources is known when the
/// definitions of other kinds are.
pub(super) struct NamedResources {
    about: MatchResources,
    /// Where the rules stand, below the document.
    pointer: &'static str,
    /// A diagnostic for each place at which a resource stands.
    places: BTreeMap<String, Diagnostic>,
}

impl NamedResources {
    fn of(document: &Foreign<'_>, pointer: &'static str, about: &MatchResources) -> Self {
        let lists = [("resourceRules", &about.resource_rules), ("excludeResourceRules", &about.exclude_resource_rules)];
        let rules = lists.into_iter().flat_map(|(list, rules)| rules.iter().enumerate().map(move |(index, rule)| (list, index, rule)));
        let pointers =
            rules.flat_map(|(list, index, rule)| (0..rule.resources.len()).map(move |at| format!("{pointer}/{list}/{index}/resources/{at}")));
        let place = |pointer: String| {
            let place = document.diagnostic(Level::Warning, &pointer, String::new(), None, None);
            (pointer, place)
        };
        Self { about: about.clone(), pointer, places: pointers.map(place).collect() }
    }

    /// A warning for each resource that no kind has.
    pub(super) fn unknown(&self, schemas: &SchemaSet) -> Vec<Diagnostic> {
        let unknown = self.about.unknown_resources(self.pointer, schemas);
        let told = |error: SpecError| Some(Diagnostic { message: error.message, hint: error.hint, ..self.places.get(&error.pointer)?.clone() });
        unknown.into_iter().filter_map(told).collect()
    }
}

fn is_of(document: &Foreign<'_>, kind: &str) -> bool {
    document.kind() == kind && is_policy_version(document.api_version())
}

struct Loader<'l, 'd, 'f> {
    found: &'l mut Vec<Diagnostic>,
    policies: BTreeMap<String, (Arc<Policy>, &'d Foreign<'f>)>,
    bindings: BTreeMap<String, (Binding, &'d Foreign<'f>)>,
    /// Policies that are there and refused: that they are not in force is no finding of its own.
    broken: BTreeSet<String>,
    /// The kinds that those would take parameters from.
    broken_kinds: BTreeSet<ParamKind>,
}

impl<'d, 'f> Loader<'_, 'd, 'f> {
    fn policy(&mut self, document: &'d Foreign<'f>) {
        let Some(name) = self.envelope(document, &["apiVersion", "kind", "metadata", "spec", "status"]) else { return };
        let compiled = self
            .spec::<PolicySpec>(document)
            .and_then(|spec| Policy::compile(&name, spec, document.place()).map_err(|errors| self.tell(document, Level::Error, errors)).ok());
        let Some(policy) = compiled else {
            self.broken.insert(name);
            let kind = document.value().pointer("/spec/paramKind").and_then(|kind| serde_json::from_value(kind.clone()).ok());
            self.broken_kinds.extend(kind);
            return;
        };
        if let Some((first, _)) = self.policies.get(&name) {
            return self.twice(document, POLICY, &first.place.clone());
        }
        self.policies.insert(name, (Arc::new(policy), document));
    }

    fn binding(&mut self, document: &'d Foreign<'f>, clusters: &[&ClusterName]) {
        let Some(name) = self.envelope(document, &["apiVersion", "kind", "metadata", "spec"]) else { return };
        let Some(spec) = self.spec::<BindingSpec>(document) else { return };
        let named = document.metadata("annotations").and_then(|annotations| annotations.get(CLUSTERS_ANNOTATION)?.as_str());
        let binding = Binding::new(&name, spec, named, document.place());
        // Of clusters that are refused nothing is known; a pattern may be meant for those to come.
        let refused = |found: &Diagnostic| found.level == Level::Error && found.resource.as_ref().is_none_or(|name| name.starts_with("Cluster/"));
        let unsure = self.found.iter().any(refused);
        let leads_nowhere = |pattern: &&String| !unsure && !clusters.iter().any(|cluster| fits(pattern, cluster.as_str()));
        for pattern in binding.clusters.iter().flatten().filter(leads_nowhere) {
            let level = if pattern.contains('*') { Level::Warning } else { Level::Error };
            let near = nearest(pattern, clusters.iter().map(|cluster| cluster.as_str())).map(|near| format!("did you mean {near:?}?"));
            let pointer = format!("/metadata/annotations/{}", CLUSTERS_ANNOTATION.replace('/', "~1"));
            self.found.push(document.diagnostic(level, &pointer, format!("there is no cluster {pattern:?}"), near, None));
        }
        let errors = binding.check();
        if let Some((first, _)) = self.bindings.get(&name) {
            return self.twice(document, BINDING, &first.place.clone());
        }
        self.tell(document, Level::Error, errors);
        self.bindings.insert(name, (binding, document));
    }

    /// What the policies and bindings are about.
    fn named_resources(&self) -> Vec<NamedResources> {
        let of_policies = self.policies.values().map(|(policy, document)| (*document, "/spec/matchConstraints", &policy.spec.match_constraints));
        let of_bindings = self.bindings.values().filter_map(|(binding, document)| {
            let about = binding.spec.match_resources.as_ref()?;
            Some((*document, "/spec/matchResources", about))
        });
        of_policies.chain(of_bindings).map(|(document, pointer, about)| NamedResources::of(document, pointer, about)).collect()
    }

    fn twice(&mut self, document: &Foreign<'_>, kind: &str, place: &str) {
        let message = format!("a {kind} of this name stands at {place} already");
        self.found.push(document.diagnostic(Level::Error, "/metadata/name", message, Some("give one of them another name".to_owned()), None));
    }

    /// What stands around the spec; the name.
    fn envelope(&mut self, document: &Foreign<'_>, fields: &[&str]) -> Option<String> {
        for field in document.fields().filter(|field| !fields.contains(field)) {
            let hint = nearest(field, fields.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let pointer = format!("/{}", crate::automation::escape_pointer(field));
            self.found.push(document.diagnostic(Level::Error, &pointer, format!("there is no field `{field}` here"), hint, None));
        }
        let name = document.metadata("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        if name.is_none() {
            self.found.push(document.diagnostic(Level::Error, "/metadata/name", "`metadata.name` is missing".to_owned(), None, None));
        }
        name.map(str::to_owned)
    }

    fn spec<S: DeserializeOwned + schemars::JsonSchema>(&mut self, document: &Foreign<'_>) -> Option<S> {
        let Some(spec) = document.value().get("spec") else {
            self.found.push(document.diagnostic(Level::Error, "", "the field `spec` is missing".to_owned(), None, None));
            return None;
        };
        let problems = check_spec::<S>(spec);
        if !problems.is_empty() {
            self.found.extend(problems.into_iter().map(|problem| document.problem(problem, "/spec")));
            return None;
        }
        let read = serde_json::from_value(spec.clone());
        read.map_err(|error| self.found.push(document.diagnostic(Level::Error, "/spec", error.to_string(), None, None))).ok()
    }

    fn tell(&mut self, document: &Foreign<'_>, level: Level, errors: impl IntoIterator<Item = SpecError>) {
        let told =
            errors.into_iter().map(|error| document.diagnostic(level, &format!("/spec{}", error.pointer), error.message, error.hint, error.within));
        self.found.extend(told);
    }

    /// Bindings that lead nowhere, and policies that nobody puts in force.
    fn check_references(&mut self, shipped: &[Arc<Policy>]) {
        let known: Vec<&str> = self.policies.keys().map(String::as_str).chain(shipped.iter().map(|policy| policy.name.as_str())).collect();
        let mut told = Vec::new();
        for (binding, document) in self.bindings.values() {
            let name = binding.spec.policy_name.as_str();
            if known.contains(&name) || self.broken.contains(name) {
                let policy = self.policies.get(name).map(|(policy, _)| policy).or_else(|| shipped.iter().find(|policy| policy.name == name));
                if policy.is_some_and(|policy| policy.spec.param_kind.is_none()) && binding.spec.param_ref.is_some() {
                    let message = format!("the policy {name:?} has no `paramKind`, so these parameters are never read");
                    told.push(document.diagnostic(Level::Warning, "/spec/paramRef", message, None, None));
                }
                continue;
            }
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known are: {}", known.join(", ")),
            };
            told.push(document.diagnostic(Level::Error, "/spec/policyName", format!("there is no policy {name:?}"), Some(hint), None));
        }
        for (name, (_, document)) in &self.policies {
            if !self.bindings.values().any(|(binding, _)| binding.spec.policy_name == *name) {
                let message = "no binding names this policy, so it is never evaluated".to_owned();
                let hint = Some(format!("add a {BINDING} with `policyName: {name}`"));
                told.push(document.diagnostic(Level::Warning, "/metadata/name", message, hint, None));
            }
        }
        self.found.extend(told);
    }

    /// The documents of the kinds that policies take parameters from; of what is left none belongs here.
    fn parameters(&mut self, documents: &[Foreign<'_>], kinds: &BTreeSet<ParamKind>) -> Vec<Arc<Parameter>> {
        let mut parameters = Vec::new();
        for document in documents.iter().filter(|document| !is_of(document, POLICY) && !is_of(document, BINDING)) {
            let (api_version, kind) = (document.api_version(), document.kind());
            let own = api_version == API_VERSION && kind == PARAMETERS_KIND;
            if own || kinds.contains(&ParamKind { api_version: api_version.to_owned(), kind: kind.to_owned() }) {
                if document.metadata("name").and_then(Value::as_str).is_none_or(str::is_empty) {
                    self.found.push(document.diagnostic(Level::Error, "/metadata/name", "`metadata.name` is missing".to_owned(), None, None));
                }
                parameters.push(Arc::new(Parameter::new(document.value().clone())));
                continue;
            }
            let message = match api_version {
                "" => "the document has no apiVersion".to_owned(),
                other => format!("apiVersion {other:?} is not known here"),
            };
            let hint = format!(
                "apiVersion: {API_VERSION}; Kubernetes manifests do not belong in the resources directory, save for {POLICY}, {BINDING} and what gives them parameters"
            );
            self.found.push(document.diagnostic(Level::Error, "/apiVersion", message, Some(hint), None));
        }
        parameters
    }
}
