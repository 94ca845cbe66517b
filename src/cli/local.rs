//! What commands without a server share: a resources directory, a payload file, the events it tells.

use super::output;
use crate::app::resources_dir;
use crate::automation::KnownModels;
use crate::clock::{Clock, SystemClock};
use crate::event::Event;
use crate::ingress::SUBJECT;
use crate::inventory::McpPrograms;
use crate::pipeline::{InForce, Rules, events_of};
use crate::plan::Placeholders;
use crate::render::Catalogue;
use crate::resources::{Defaults, Diagnostic, ResourceSet};
use crate::store::{Delivery, DeliveryState};
use crate::types::{AutomationName, DeliveryId, KubernetesVersion, SourceName, Withheld, nearest};
use crate::validate::SchemaSet;
use crate::validate::policy::{Policies, shipped};
use anyhow::{Context, bail};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where resources are when nobody says where.
const RESOURCES: &str = "config/resources";

/// Where resources and templates are.
#[derive(Debug, clap::Args)]
pub struct Resources {
    /// Directory of resource files.
    #[arg(long, short, env = "RESOURCES_DIR", default_value = RESOURCES, value_name = "DIR", help_heading = "Resources")]
    pub resources: PathBuf,
    #[command(flatten)]
    pub templates: Templates,
    #[command(flatten)]
    pub known: Schemas,
    /// Whether the policies that are shipped are in force.
    #[arg(long, env = "POLICY_BASELINE", value_name = "SWITCH", value_enum, default_value_t = Switch::On, help_heading = "Resources")]
    pub policy_baseline: Switch,
    /// Programs that an McpServer may name, by their exact paths, separated by commas.
    #[arg(long, env = "MCP_PROGRAMS", value_name = "PATHS", default_value = "", hide_default_value = true, help_heading = "Resources")]
    pub mcp_programs: McpPrograms,
}

/// Which schemas manifests are held against.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Schemas {
    /// Directory of CustomResourceDefinitions and JSON Schemas of kinds that are not Kubernetes' own.
    #[arg(long, env = "SCHEMAS_DIR", value_name = "DIR", help_heading = "Resources")]
    pub schemas: Option<PathBuf>,
    /// Kubernetes version of clusters that do not say theirs.
    #[arg(long, env = "KUBERNETES_VERSION", value_name = "VERSION", default_value_t, help_heading = "Resources")]
    pub kubernetes: KubernetesVersion,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// It is in force.
    On,
    /// It is not.
    Off,
}

impl Switch {
    /// The policies that are shipped, unless they are off.
    ///
    /// # Errors
    /// When one of them is broken.
    pub fn policies(self) -> anyhow::Result<Policies> {
        if self == Self::Off {
            return Ok(Policies::default());
        }
        let shipped = shipped().map_err(|error| anyhow::anyhow!("the shipped policies cannot be read: {error}"))?;
        Ok(Policies::new(shipped.policies, shipped.bindings, &[]))
    }
}

impl Schemas {
    /// The schemas of kinds that are not Kubernetes' own.
    ///
    /// # Errors
    /// Everything wrong with their files.
    pub fn load(&self) -> anyhow::Result<Arc<SchemaSet>> {
        let told = |diagnostics: Vec<Diagnostic>| anyhow::anyhow!("{}", diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        resources_dir::schemas(self.schemas.as_deref()).map(Arc::new).map_err(told)
    }
}

/// Where templates are.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Templates {
    /// Directory of templates of one's own; they come before the shipped ones.
    #[arg(long, env = "TEMPLATES_DIR", value_name = "DIR", help_heading = "Resources")]
    templates: Option<PathBuf>,
}

impl Templates {
    /// The directory of one's own.
    pub fn directory(&self) -> Option<&Path> {
        self.templates.as_deref()
    }

    /// The shipped templates and those of one's own.
    ///
    /// # Errors
    /// When a directory cannot be read or a template is broken.
    pub fn catalogue(&self) -> anyhow::Result<Catalogue> {
        resources_dir::catalogue(self.directory()).map_err(|error| anyhow::anyhow!("{error}"))
    }
}

impl Resources {
    /// Whether nobody said where resources are, and none are where they usually are.
    pub fn are_none(&self) -> bool {
        self.resources == Path::new(RESOURCES) && !self.resources.exists()
    }

    /// The set, or every diagnostic; what a server's settings say of language models is not asked for.
    ///
    /// # Errors
    /// When a directory cannot be read or a template of one's own is broken.
    pub fn load(&self) -> anyhow::Result<Result<ResourceSet, Vec<Diagnostic>>> {
        self.load_beside(KnownModels::default())
    }

    /// The same beside these language models.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_beside(&self, models: KnownModels) -> anyhow::Result<Result<ResourceSet, Vec<Diagnostic>>> {
        let catalogue = Arc::new(self.catalogue()?);
        if self.resources.is_file() {
            let file = self.resources.display();
            bail!(
                "{file} is a file, and a directory of resources is wanted: its files are one set and checked together\n  hint: give the directory that {file} lies in"
            );
        }
        let files = resources_dir::read(&self.resources).with_context(|| format!("the resources in {} cannot be read", self.resources.display()))?;
        if files.is_empty() {
            bail!("there are no .yaml or .yml files in {}\n  hint: `--resources DIR` names another directory", self.resources.display());
        }
        let schemas = match resources_dir::schemas(self.known.schemas.as_deref()) {
            Ok(schemas) => Arc::new(schemas),
            Err(diagnostics) => return Ok(Err(diagnostics)),
        };
        let (kubernetes, baseline) = (self.known.kubernetes, self.policy_baseline == Switch::On);
        let defaults = Defaults { kubernetes, baseline, models, programs: self.mcp_programs.clone(), withheld: Withheld::default() };
        Ok(ResourceSet::load(&files, catalogue, defaults).map(|set| set.with_schemas(schemas)))
    }

    /// The templates.
    ///
    /// # Errors
    /// When a directory cannot be read or a template is broken.
    pub fn catalogue(&self) -> anyhow::Result<Catalogue> {
        self.templates.catalogue()
    }

    /// The set in force, rendering in this process: nobody else is harmed when a template runs away.
    ///
    /// # Errors
    /// When there is no valid set; the diagnostics are printed.
    pub fn in_force(&self) -> anyhow::Result<Rules> {
        match self.load()? {
            Ok(set) => Ok(in_force(set)),
            Err(diagnostics) => {
                for diagnostic in &diagnostics {
                    output::error(&diagnostic.to_string());
                }
                bail!("the resources in {} are not valid", self.resources.display())
            }
        }
    }
}

/// A set in force, rendering in this process.
pub fn in_force(set: ResourceSet) -> Rules {
    let renderer = Arc::clone(&set.catalogue);
    Rules::new(InForce {
        set,
        secrets: HashMap::new(),
        renderer,
        sealer: Arc::new(Placeholders),
        builder: None,
        read_schemas: Arc::default(),
        since: SystemClock.now(),
    })
}

/// A payload as a source would send it.
#[derive(Debug, clap::Args)]
pub struct Payload {
    /// File with the payload as the sender sends it; `-` for standard input.
    #[arg(long, short, value_name = "FILE")]
    pub payload: PathBuf,
    /// The source that is taken to have sent it; may be left out when there is only one.
    #[arg(long, short)]
    pub source: Option<SourceName>,
    /// A header it came with, where the source reads it: `X-GitHub-Event: push`. May be given again.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub headers: Vec<Header>,
}

/// A header's name, in lower case, and its value.
pub type Header = (String, String);

/// A header as an author writes it.
///
/// # Errors
/// A sentence, when there is no colon.
pub fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once(':').ok_or("a header is written `NAME: VALUE`")?;
    Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

impl Payload {
    /// The events the payload tells, as the source reads it; its signature is not asked for.
    ///
    /// # Errors
    /// When the file or the source is not there, or the payload cannot be read.
    pub fn events(&self, rules: &Rules) -> anyhow::Result<Vec<Event>> {
        let body = read(&self.payload)?;
        let source = source_of(rules, self.source.as_ref())?;
        let hint = self.untold_subject(rules, &source);
        events_of(rules, &recorded(source, body, &self.headers)).map_err(|error| anyhow::anyhow!("{}: {error}{hint}", name(&self.payload)))
    }

    /// What to give along with a message whose source fetches it, where the subject it was published to is not said.
    fn untold_subject(&self, rules: &Rules, source: &SourceName) -> &'static str {
        let is_fetched = rules.current().set.sources.get(source).is_some_and(|source| source.subscription().is_some());
        match is_fetched && !self.headers.iter().any(|(name, _)| name == SUBJECT) {
            true => "\n  hint: say which subject it was published to: --header 'Nats-Subject: orders.created'",
            false => "",
        }
    }
}

/// The source a payload is taken to come from: the one given, or the only one there is.
///
/// # Errors
/// When none is given and there are several, with their names.
pub fn source_of(rules: &Rules, given: Option<&SourceName>) -> anyhow::Result<SourceName> {
    let current = rules.current();
    let mut known = current.set.sources.keys();
    match (given, known.next(), known.next()) {
        (Some(source), ..) => Ok(source.clone()),
        (None, Some(only), None) => Ok(only.clone()),
        (None, ..) => {
            let known: Vec<&str> = current.set.sources.keys().map(SourceName::as_str).collect();
            bail!("which source sent it? --source is one of: {}", known.join(", "))
        }
    }
}

/// A delivery as if it had just arrived.
pub fn recorded(source: SourceName, body: Vec<u8>, headers: &[Header]) -> Delivery {
    let received_at = SystemClock.now();
    Delivery {
        id: DeliveryId::from_parts(received_at, SystemClock.random()),
        source,
        received_at,
        attributes: headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect::<serde_json::Map<_, _>>().into(),
        body_bytes: body.len() as u64,
        body,
        state: DeliveryState::Pending,
        error: None,
    }
}

/// The files named, and in the directories named those that hold a document of `kind`.
///
/// # Errors
/// When a directory cannot be read, or holds no such file.
pub fn files_in(paths: &[PathBuf], kind: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))? {
            let entry = entry?.path();
            let is_yaml = entry.is_file() && entry.extension().is_some_and(|end| end == "yaml" || end == "yml");
            // Objects that cases name lie beside them.
            if is_yaml && std::fs::read_to_string(&entry).is_ok_and(|text| text.contains(kind)) {
                inside.push(entry);
            }
        }
        if inside.is_empty() {
            bail!("there is no file with a document of kind {kind} in {}", path.display());
        }
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// The automation of that name, or an error with the name that was probably meant.
///
/// # Errors
/// When there is none.
pub fn known_automation(rules: &Rules, name: &AutomationName) -> anyhow::Result<()> {
    let current = rules.current();
    let known: Vec<&str> = current.set.automations.iter().map(|automation| automation.name.as_str()).collect();
    match nearest(name.as_str(), known.iter().copied()) {
        _ if current.set.automations.get(name).is_some() => Ok(()),
        Some(near) => bail!("there is no automation {name}; did you mean {near}?"),
        None if known.is_empty() => bail!("there is no automation {name}, and none at all"),
        None => bail!("there is no automation {name}; there are: {}", known.join(", ")),
    }
}

/// What a file is called in messages.
fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

/// A file, or standard input for `-`.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body).context("standard input cannot be read")?;
        return Ok(body);
    }
    std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}
