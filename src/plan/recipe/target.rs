//! Where an automation's change goes.

use super::texts::{compile_text, text, variables};
use crate::automation::TargetSpec;
use crate::inventory::{Inventory, Target};
use crate::plan::{Inputs, PlanError};
use crate::render::{TextKind, TextTemplate};
use crate::types::{DirectoryPath, SpecError};

pub(super) enum TargetTexts {
    Cluster(TextTemplate),
    Repository { name: TextTemplate, path: Option<TextTemplate> },
}

impl TargetTexts {
    /// The target for these inputs.
    pub(super) fn find(&self, inputs: Inputs<'_>, inventory: &Inventory) -> Result<Target, PlanError> {
        let context = variables(inputs);
        match self {
            Self::Cluster(name) => {
                let name = text(name, &context, "target.cluster")?;
                inventory.by_cluster(&name).map_err(|unknown| PlanError::Target(unknown.to_string()))
            }
            Self::Repository { name, path } => {
                let name = text(name, &context, "target.repository")?;
                let path = match path {
                    Some(path) => text(path, &context, "target.path")?
                        .parse()
                        .map_err(|error: crate::types::ParseError| PlanError::Target(error.to_string()))?,
                    None => DirectoryPath::root(),
                };
                inventory.by_repository(&name, path).map_err(|unknown| PlanError::Target(unknown.to_string()))
            }
        }
    }
}

pub(super) fn compile(spec: &TargetSpec, names: &[&str], errors: &mut Vec<SpecError>) -> Option<TargetTexts> {
    match (&spec.cluster, &spec.repository) {
        (Some(cluster), None) => {
            if spec.path.is_some() {
                errors.push(
                    SpecError::new("/target/path", "a cluster brings its own path")
                        .hint("leave `path` out, or name `repository` instead of `cluster`"),
                );
            }
            compile_text(cluster, TextKind::Line, "/target/cluster", names, errors).map(TargetTexts::Cluster)
        }
        (None, Some(repository)) => {
            let path = spec.path.as_deref().map(|path| compile_text(path, TextKind::Path, "/target/path", names, errors));
            let name = compile_text(repository, TextKind::Line, "/target/repository", names, errors)?;
            Some(TargetTexts::Repository { name, path: path.flatten() })
        }
        _ => {
            errors.push(
                SpecError::new("/target", "a target names either a cluster or a repository")
                    .hint("target: { cluster: prod } or target: { repository: gitops, path: clusters/prod }"),
            );
            None
        }
    }
}
