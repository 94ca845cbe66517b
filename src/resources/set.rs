//! A set of resources that fit together.

use super::document::{Document, Kind, read};
use super::drafts::NamedLimits;
use super::policies::{self, NamedResources};
use super::schema::Schemas;
use super::sealing::{self, Sealings};
use super::{Diagnostic, Level, ResourceFile, Rule};
use crate::automation::{Automation, Automations, KnownModels};
use crate::ingress::{Asks, Reconcile, Source, SourceSpec};
use crate::inventory::{Channel, ChannelSpec, Inventory, McpPrograms, Repository};
use crate::plan::CommitText;
use crate::render::Catalogue;
use crate::types::{AutomationName, ChannelName, KubernetesVersion, RepositoryName, SecretName, SourceName, SpecError, Withheld, nearest};
use crate::validate::SchemaSet;
use crate::validate::policy::Policies;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

/// Everything in force at one time.
pub struct ResourceSet {
    /// Webhook senders by name.
    pub sources: BTreeMap<SourceName, Arc<Source>>,
    /// Repositories, clusters, channels, calendars and MCP servers.
    pub inventory: Inventory,
    /// Automations, indexed for matching.
    pub automations: Automations,
    /// What each repository's commits say.
    pub messages: BTreeMap<RepositoryName, Arc<CommitText>>,
    /// The policies changes are held against.
    pub policies: Policies,
    /// What each automation does.
    pub rules: BTreeMap<AutomationName, Arc<Rule>>,
    /// The templates it was checked against.
    pub catalogue: Arc<Catalogue>,
    /// Schemas of kinds that are not Kubernetes' own; whoever loads the set gives them with [`Self::with_schemas`].
    pub schemas: Arc<SchemaSet>,
    /// What is shown to no language model, whichever automation asks it.
    pub withheld: Withheld,
    /// SHA-256 over the files, hex: the version of the set.
    pub digest: String,
    /// What somebody should look at.
    pub warnings: Vec<Diagnostic>,
    /// Which resources policies are about, to be looked at when the schemas are there.
    named_resources: Vec<NamedResources>,
    /// What drafts may touch, to be looked at then too.
    pub(super) named_limits: Vec<NamedLimits>,
    /// Where each secret is named.
    secrets: BTreeMap<SecretName, Vec<Diagnostic>>,
    pub(super) sealings: Sealings,
}

/// What whoever runs the service decides, and what holds where no document says otherwise.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The version of clusters that do not say theirs.
    pub kubernetes: KubernetesVersion,
    /// Whether the shipped policies are in force.
    pub baseline: bool,
    /// Which language models are known, and whose price.
    pub models: KnownModels,
    /// Which programs MCP servers may be.
    pub programs: McpPrograms,
    /// What is shown to no language model.
    pub withheld: Withheld,
}

impl From<KubernetesVersion> for Defaults {
    fn from(kubernetes: KubernetesVersion) -> Self {
        Self { kubernetes, baseline: true, models: KnownModels::default(), programs: McpPrograms::default(), withheld: Withheld::default() }
    }
}

impl ResourceSet {
    /// Checks `files` as one set.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of files and lines; then there is no set.
    pub fn load(files: &[ResourceFile], catalogue: Arc<Catalogue>, defaults: impl Into<Defaults>) -> Result<Self, Vec<Diagnostic>> {
        let Defaults { kubernetes, baseline, models, programs, withheld } = defaults.into();
        let mut found = Vec::new();
        let mut foreign = Vec::new();
        let documents: Vec<Document<'_>> = {
            let schemas = Schemas::default();
            files.iter().flat_map(|file| read(file, &schemas, &mut foreign, &mut found)).collect()
        };
        let documents = unique(documents, &mut found);
        let mut set = Self {
            sources: BTreeMap::new(),
            inventory: Inventory { kubernetes, ..Inventory::default() },
            automations: Automations::default(),
            messages: BTreeMap::new(),
            policies: Policies::default(),
            rules: BTreeMap::new(),
            catalogue,
            schemas: Arc::default(),
            withheld,
            digest: digest(files),
            warnings: Vec::new(),
            named_resources: Vec::new(),
            named_limits: Vec::new(),
            secrets: BTreeMap::new(),
            sealings: Sealings::default(),
        };
        // What others refer to comes first.
        let of = |kind: Kind| documents.iter().filter(move |document| document.kind == kind);
        of(Kind::Source).for_each(|document| set.add_source(document, &mut found));
        of(Kind::Repository).for_each(|document| set.add_repository(document, &mut found));
        of(Kind::Calendar).for_each(|document| set.add_calendar(document, &mut found));
        of(Kind::Cluster).for_each(|document| set.add_cluster(document, &mut found));
        of(Kind::Cluster).for_each(|document| set.check_aliases(document, &mut found));
        of(Kind::Channel).for_each(|document| set.add_channel(document, &mut found));
        of(Kind::McpServer).for_each(|document| set.add_mcp_server(document, &programs, &mut found));
        of(Kind::Source).for_each(|document| set.check_reconciled(document, &mut found));
        of(Kind::Source).for_each(|document| set.check_spoken_of(document, &mut found));
        set.close_own_secrets();
        (set.policies, set.named_resources) = policies::load(&foreign, baseline, set.inventory.clusters.keys(), &mut found);
        let automations: Vec<Automation> = of(Kind::Automation).filter_map(|document| set.add_automation(document, &models, &mut found)).collect();
        set.automations = Automations::new(automations);
        found.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        if found.iter().any(|diagnostic| diagnostic.level == Level::Error) {
            return Err(found);
        }
        set.warnings = found;
        Ok(set)
    }

    /// The same set with schemas of kinds that are not Kubernetes' own. What only they tell is told now: policies about resources that no
    /// kind has are warned of, and what drafts may touch of kinds and fields that there are not.
    #[must_use]
    pub fn with_schemas(mut self, schemas: Arc<SchemaSet>) -> Self {
        self.warnings.extend(self.named_resources.iter().flat_map(|named| named.unknown(&schemas)));
        self.warnings.extend(self.named_limits.iter().flat_map(|named| named.unknown(&schemas)));
        self.warnings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        self.schemas = schemas;
        self
    }

    /// Every secret the set names.
    pub fn secret_names(&self) -> impl Iterator<Item = &SecretName> {
        self.secrets.keys()
    }

    /// The same problem with a secret, at every place that names it.
    pub fn secret_problem(&self, name: &SecretName, message: &str) -> Vec<Diagnostic> {
        let places = self.secrets.get(name).into_iter().flatten();
        places.map(|place| Diagnostic { message: message.to_owned(), ..place.clone() }).collect()
    }

    pub(super) fn add_secrets(&mut self, document: &Document<'_>, names: impl IntoIterator<Item = SecretName>) {
        for name in names.into_iter().collect::<BTreeSet<_>>() {
            self.add_secret_at(document, &document.pointer_to(name.as_str()), &name);
        }
    }

    pub(super) fn add_secret_at(&mut self, document: &Document<'_>, pointer: &str, name: &SecretName) {
        let place = document.diagnostic(Level::Error, pointer, String::new(), None, None);
        self.secrets.entry(name.clone()).or_default().push(place);
    }

    fn add_source(&mut self, document: &Document<'_>, found: &mut Vec<Diagnostic>) {
        let Some((name, spec)) = typed::<SourceName, SourceSpec>(document, found) else { return };
        match Source::compile(name.clone(), spec) {
            Ok(source) => {
                found.extend(source.warnings().iter().cloned().map(|warning| diagnostic(document, Level::Warning, warning)));
                self.add_secrets(
                    document,
                    source
                        .secret_names()
                        .iter()
                        .chain(source.reconcile_secret())
                        .chain(source.subscription().into_iter().flat_map(|from| from.secret_names()))
                        .cloned(),
                );
                self.sources.insert(name, Arc::new(source));
            }
            Err(errors) => found.extend(errors.into_iter().map(|error| diagnostic(document, Level::Error, error))),
        }
    }

    /// Whether the channel on which a source's sender is asked is that of a Jira.
    fn check_reconciled(&self, document: &Document<'_>, found: &mut Vec<Diagnostic>) {
        let source = self.sources.get(document.name.as_str());
        let Some(Reconcile { asks: Asks::Jira { channel, .. }, .. }) = source.and_then(|source| source.reconcile()) else { return };
        let known: Vec<&str> = self.inventory.channels.keys().map(|name| name.as_str()).collect();
        let error = match self.inventory.channels.get(channel) {
            None if is_broken(found, Kind::Channel, channel.as_str()) => return,
            None => no_such("/reconcile/channel", Kind::Channel, channel.as_str(), &known),
            Some(of) if of.spec.kind() != "jira" => {
                let message = format!("the channel {channel} is a {}, which has no issues", of.spec.kind());
                SpecError::new("/reconcile/channel", message).hint("name a channel of a Jira")
            }
            Some(_) => return,
        };
        found.push(diagnostic(document, Level::Error, error));
    }

    fn add_repository(&mut self, document: &Document<'_>, found: &mut Vec<Diagnostic>) {
        if !sealing::is_readable(document, found) {
            return;
        }
        let Some((name, spec)) = typed::<RepositoryName, crate::inventory::RepositorySpec>(document, found) else { return };
        found.extend(spec.check().into_iter().map(|error| diagnostic(document, Level::Error, error)));
        match CommitText::compile(&spec) {
            Ok(text) => drop(self.messages.insert(name.clone(), Arc::new(text))),
            Err(errors) => found.extend(errors.into_iter().map(|error| diagnostic(document, Level::Error, error))),
        }
        self.add_secrets(document, spec.secret_names());
        self.add_sealing(document, spec.sealing.as_deref());
        self.inventory.repositories.insert(name.clone(), Arc::new(Repository { name, spec }));
    }

    fn add_cluster(&mut self, document: &Document<'_>, found: &mut Vec<Diagnostic>) {
        if !sealing::is_readable(document, found) {
            return;
        }
        let Some((name, spec)) = typed::<_, crate::inventory::ClusterSpec>(document, found) else { return };
        if !is_broken(found, Kind::Repository, spec.repository.as_str()) {
            found.extend(self.inventory.check_cluster(&spec).into_iter().map(|error| diagnostic(document, Level::Error, error)));
        }
        found.extend(self.no_such_calendar(spec.calendar.as_ref(), found).map(|error| diagnostic(document, Level::Error, error)));
        self.add_sealing(document, spec.sealing.as_deref());
        self.inventory.clusters.insert(name, Arc::new(spec));
    }

    /// Whether each of a cluster's aliases means it alone.
    fn check_aliases(&self, document: &Document<'_>, found: &mut Vec<Diagnostic>) {
        let Some((name, spec)) = self.inventory.clusters.get_key_value(document.name.as_str()) else { return };
        found.extend(self.inventory.check_aliases(name, spec).into_iter().map(|error| diagnostic(document, Level::Error, error)));
    }

    /// Whether there are the repositories that a source may speak of.
    fn check_spoken_of(&self, document: &Document<'_>, found: &mut Vec<Diagnostic>) {
        let Some(source) = self.sources.get(document.name.as_str()) else { return };
        let known: Vec<&str> = self.inventory.repositories.keys().map(|name| name.as_str()).collect();
        let missing = |name: &RepositoryName| !self.inventory.repositories.contains_key(name) && !is_broken(found, Kind::Repository, name.as_str());
        let named = source.repositories().iter().enumerate().filter(|(_, name)| missing(name));
        let errors: Vec<SpecError> =
            named.map(|(index, name)| no_such(&format!("/repositories/{index}"), Kind::Repository, name.as_str(), &known)).collect();
        found.extend(errors.into_iter().map(|error| diagnostic(document, Level::Error, error)));
    }

    fn add_channel(&mut self, document: &Document<'_>, found: &mut Vec<Diagnostic>) {
        let Some((name, spec)) = typed::<ChannelName, ChannelSpec>(document, found) else { return };
        found.extend(spec.check().into_iter().map(|error| diagnostic(document, Level::Error, error)));
        self.add_secrets(document, [spec.secret().clone()]);
        self.inventory.channels.insert(name.clone(), Arc::new(Channel { name, spec }));
    }
}

/// Whether a document of this kind and name is there, but refused, so that its absence is no finding of its own. A file
/// that cannot be read at all may have held it.
pub(super) fn is_broken(found: &[Diagnostic], kind: Kind, name: &str) -> bool {
    let resource = format!("{}/{name}", kind.as_str());
    found.iter().any(|found| found.level == Level::Error && found.resource.as_ref().is_none_or(|broken| *broken == resource))
}

/// A reference that leads nowhere.
pub(super) fn no_such(pointer: &str, kind: Kind, name: &str, known: &[&str]) -> SpecError {
    let word = kind.word();
    let hint = match (nearest(name, known.iter().copied()), known) {
        (Some(near), _) => format!("did you mean {near:?}?"),
        (None, []) => format!("there is none at all: add a document of kind {}", kind.as_str()),
        (None, _) => format!("known are: {}", known.join(", ")),
    };
    SpecError::new(pointer, format!("there is no {word} {name:?}")).hint(hint)
}

/// Name and spec as their types; what the schema cannot say is said here.
pub(super) fn typed<N: FromStr<Err = crate::types::ParseError>, S: DeserializeOwned>(
    document: &Document<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<(N, S)> {
    let name = document.name.parse().map_err(|error: crate::types::ParseError| {
        found.push(document.diagnostic(Level::Error, "/metadata/name", error.to_string(), None, None));
    });
    let spec = serde_json::from_value(document.spec.clone()).map_err(|error| {
        let message = error.to_string();
        found.push(document.diagnostic(Level::Error, &refused_at(document, &message), message, None, None));
    });
    Some((name.ok()?, spec.ok()?))
}

/// Where the text stands that a type of ours refused: the error shows it first, in quotes, but for addresses that may hold a password.
fn refused_at(document: &Document<'_>, message: &str) -> String {
    if message.contains("is not a valid repository address") && document.spec.get("url").is_some() {
        return "/spec/url".to_owned();
    }
    match serde_json::Deserializer::from_str(message).into_iter::<String>().next() {
        Some(Ok(text)) => document.pointer_to(&text),
        _ => "/spec".to_owned(),
    }
}

pub(super) fn diagnostic(document: &Document<'_>, level: Level, error: SpecError) -> Diagnostic {
    document.diagnostic(level, &format!("/spec{}", error.pointer), error.message, error.hint, error.within)
}

/// Leaves out the later of two documents with one kind and name, saying where the first is.
fn unique<'f>(documents: Vec<Document<'f>>, found: &mut Vec<Diagnostic>) -> Vec<Document<'f>> {
    let mut kept: BTreeMap<(Kind, String), usize> = BTreeMap::new();
    let mut result: Vec<Document<'f>> = Vec::new();
    for document in documents {
        match kept.get(&(document.kind, document.name.clone())) {
            Some(first) => {
                let message = format!("a {} of this name stands at {} already", document.kind.as_str(), result[*first].place());
                found.push(document.diagnostic(Level::Error, "/metadata/name", message, Some("give one of them another name".to_owned()), None));
            }
            None => {
                kept.insert((document.kind, document.name.clone()), result.len());
                result.push(document);
            }
        }
    }
    result
}

fn digest(files: &[ResourceFile]) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        for part in [file.path.as_bytes(), file.text.as_bytes()] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
    }
    hex::encode(hasher.finalize())
}
