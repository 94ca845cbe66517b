//! Resources read, checked and put in force: at the start, on `SIGHUP`, and when the files change.

use super::resources_dir::{self, whole};
use super::sealing::SecretsInForce;
use crate::clock::Clock;
use crate::feedback::wrong_form;
use crate::git::Signing;
use crate::ingress::{SecretFinding, SecretLookup, SecretProblem};
use crate::pipeline::{InForce, Rules};
use crate::plan::Builder;
use crate::render::{Catalogue, Renderer};
use crate::resources::{Defaults, Diagnostic, Level, ResourceSet};
use crate::sandbox::{KustomizeProgram, ProcessRenderer};
use crate::secrets::SecretProvider;
use crate::telemetry::Metrics;
use crate::types::{RepositoryName, SecretName, SourceName};
use crate::validate::ReadSchemas;
use secrecy::SecretString;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Where the files are that make a set.
#[derive(Debug, Clone)]
pub struct Places {
    /// The resources.
    pub resources: PathBuf,
    /// Templates of one's own.
    pub templates: Option<PathBuf>,
    /// Schemas of kinds that are not Kubernetes' own.
    pub schemas: Option<PathBuf>,
    /// The program that builds kustomizations.
    pub kustomize: Option<PathBuf>,
    /// Secrets in files: a change there means that one was rotated.
    pub secrets: Option<PathBuf>,
}

/// Reads resources and puts them in force.
pub struct Reloader {
    places: Places,
    defaults: Defaults,
    executable: PathBuf,
    secrets: Arc<dyn SecretProvider>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    seen: Mutex<[u8; 32]>,
    /// Stays when the resources change.
    read_schemas: Arc<ReadSchemas>,
}

impl Reloader {
    /// Reads what is at `places`; templates are rendered by children of `executable`.
    pub fn new(
        places: Places,
        defaults: Defaults,
        executable: PathBuf,
        secrets: Arc<dyn SecretProvider>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { places, defaults, executable, secrets, clock, metrics, seen: Mutex::new([0; 32]), read_schemas: Arc::default() }
    }

    /// A new set from the files, checked.
    ///
    /// # Errors
    /// Every diagnostic; a file that cannot be read is one of them.
    pub fn load(&self) -> Result<InForce, Vec<Diagnostic>> {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = self.fingerprint();
        let catalogue = resources_dir::catalogue(self.places.templates.as_deref())
            .map_err(|message| vec![whole(self.places.templates.as_deref().unwrap_or(Path::new("templates")), message)])?;
        let files = resources_dir::read(&self.places.resources).map_err(|error| vec![whole(&self.places.resources, error.to_string())])?;
        let catalogue = Arc::new(catalogue);
        let schemas = resources_dir::schemas(self.places.schemas.as_deref())?;
        let mut set = ResourceSet::load(&files, Arc::clone(&catalogue), self.defaults.clone())?.with_schemas(Arc::new(schemas));
        let secrets = self.secrets_of(&set)?;
        let keys = self.key_problems(&set, &secrets);
        let since = self.clock.now();
        set.warnings.extend(keys.into_iter().chain(set.ended_certificates(since)));
        let sealer = Arc::new(SecretsInForce::of(&set, &secrets)?);
        let read_schemas = Arc::clone(&self.read_schemas);
        Ok(InForce { set, secrets, renderer: self.renderer(catalogue), sealer, builder: self.builder(), read_schemas, since })
    }

    /// The first set; without one the start is refused.
    ///
    /// # Errors
    /// Every diagnostic, a line each.
    pub fn first(&self) -> anyhow::Result<InForce> {
        match self.load() {
            Ok(set) => {
                report(&set.set.warnings);
                self.metrics.resources_reloaded(true);
                self.tell_names(&set.set);
                Ok(set)
            }
            Err(diagnostics) => {
                let lines: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
                anyhow::bail!("the resources in {} are not valid:\n{}", self.places.resources.display(), lines.join("\n"))
            }
        }
    }

    /// Every secret the set names; those of sources are kept, because deliveries are checked thousands of times a second.
    fn secrets_of(&self, set: &ResourceSet) -> Result<HashMap<SecretName, SecretString>, Vec<Diagnostic>> {
        let mut found = HashMap::new();
        let mut problems = Vec::new();
        for name in set.secret_names() {
            match self.secrets.secret(name) {
                Ok(secret) => drop(found.insert(name.clone(), secret)),
                Err(error) => problems.extend(set.secret_problem(name, &error.to_string())),
            }
        }
        for source in set.sources.values() {
            for SecretFinding { name, problem, .. } in source.check_secrets(&Lookup(&found)) {
                match problem {
                    // Told above, with where it was looked for.
                    SecretProblem::Missing => {}
                    SecretProblem::TooShort { bytes, least } => {
                        let message = format!("the secret {name} of source {} has {bytes} bytes; it must have at least {least}", source.name());
                        let resource = Some(format!("Source/{}", source.name()));
                        problems.extend(set.secret_problem(&name, &message).into_iter().filter(|problem| problem.resource == resource));
                    }
                    SecretProblem::Weak { bytes, advised } => {
                        tracing::warn!(
                            "the secret {name} of source {} has {bytes} bytes and could be guessed; give it at least {advised}",
                            source.name()
                        );
                    }
                }
            }
        }
        for channel in set.inventory.channels.values() {
            let name = channel.spec.secret();
            let Some(form) = found.get(name).and_then(|secret| wrong_form(&channel.spec, secret)) else { continue };
            let message = format!("the secret {name} of channel {} does not have the form wanted: {form}", channel.name);
            let resource = Some(format!("Channel/{}", channel.name));
            problems.extend(set.secret_problem(name, &message).into_iter().filter(|problem| problem.resource == resource));
        }
        if problems.is_empty() { Ok(found) } else { Err(problems) }
    }

    /// A warning for each signing key that would not serve now. No more than that: a key that runs out one day must not keep the
    /// server from starting, or what else changed from being in force.
    fn key_problems(&self, set: &ResourceSet, secrets: &HashMap<SecretName, SecretString>) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        for repository in set.inventory.repositories.values() {
            let Some(spec) = repository.spec.signing.clone() else { continue };
            let known: HashMap<SecretName, SecretString> =
                std::iter::once(&spec.key).chain(&spec.passphrase).filter_map(|name| Some((name.clone(), secrets.get(name)?.clone()))).collect();
            let missing = |name: &SecretName| format!("the secret {name} is not there");
            let signing = Signing::new(spec, Arc::clone(&self.clock), move |name| known.get(name).cloned().ok_or_else(|| missing(name)));
            if let Err(problem) = signing.check() {
                let message = format!("commits to {} cannot be signed with the secret {}: {problem}", repository.name, problem.secret);
                let resource = Some(format!("Repository/{}", repository.name));
                let places = set.secret_problem(&problem.secret, &message).into_iter().filter(|place| place.resource == resource);
                problems.extend(places.map(|place| Diagnostic { level: Level::Warning, ..place }));
            }
        }
        problems
    }

    fn builder(&self) -> Option<Arc<dyn Builder>> {
        let program = self.places.kustomize.clone()?;
        let scratch = std::env::temp_dir();
        Some(Arc::new(KustomizeProgram { executable: self.executable.clone(), program, scratch, time: KustomizeProgram::TIME }))
    }

    fn renderer(&self, catalogue: Arc<Catalogue>) -> Arc<dyn Renderer> {
        Arc::new(ProcessRenderer::new(self.executable.clone(), catalogue, crate::sandbox::Limits::default()))
    }

    /// What is counted by source or repository is there before the first is counted.
    fn tell_names(&self, set: &ResourceSet) {
        self.metrics.know_sources(set.sources.keys().map(SourceName::as_str));
        self.metrics.know_repositories(set.inventory.repositories.keys().map(RepositoryName::as_str));
    }

    /// Reads the files again; a broken set is refused and the old one stays in force.
    pub fn reload(&self, rules: &Rules) {
        match self.load() {
            Ok(set) => {
                report(&set.set.warnings);
                tracing::info!(digest = %set.set.digest, automations = set.set.automations.iter().len(), "the resources were read again and are in force");
                self.tell_names(&set.set);
                rules.replace(set);
                self.metrics.resources_reloaded(true);
            }
            Err(diagnostics) => {
                report(&diagnostics);
                tracing::error!(errors = diagnostics.len(), "the changed resources are refused; those before stay in force");
                rules.refuse(diagnostics);
                self.metrics.resources_reloaded(false);
            }
        }
    }

    /// Reloads when the files change or `SIGHUP` arrives, until `stop` says true.
    pub async fn watch(self: Arc<Self>, rules: Arc<Rules>, every: Option<Duration>, mut stop: watch::Receiver<bool>) {
        let Ok(mut hangup) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) else {
            return tracing::error!("SIGHUP cannot be listened to: resources are not reloaded");
        };
        while !*stop.borrow() {
            let forced = tokio::select! {
                _ = hangup.recv() => true,
                () = tokio::time::sleep(every.unwrap_or(Duration::from_secs(3600))), if every.is_some() => false,
                _ = stop.changed() => continue,
            };
            let (this, rules) = (Arc::clone(&self), Arc::clone(&rules));
            let work = move || {
                if forced || this.fingerprint() != *this.seen.lock().unwrap_or_else(PoisonError::into_inner) {
                    this.reload(&rules);
                }
            };
            if let Err(error) = tokio::task::spawn_blocking(work).await {
                tracing::error!(%error, "reading the resources again broke off");
            }
        }
    }

    fn fingerprint(&self) -> [u8; 32] {
        let mut directories = vec![self.places.resources.as_path()];
        directories.extend(self.places.templates.as_deref());
        directories.extend(self.places.schemas.as_deref());
        directories.extend(self.places.secrets.as_deref());
        resources_dir::fingerprint(&directories)
    }
}

/// Every diagnostic to the log.
fn report(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        match diagnostic.level {
            Level::Error => tracing::error!("{diagnostic}"),
            Level::Warning => tracing::warn!("{diagnostic}"),
        }
    }
}

/// Secrets by name.
struct Lookup<'a>(&'a HashMap<SecretName, SecretString>);

impl SecretLookup for Lookup<'_> {
    fn get(&self, name: &SecretName) -> Option<&SecretString> {
        self.0.get(name)
    }
}
