//! One repository, as its author writes it.

use super::{AuthorSpec, ForgeSpec, GitSpec, SealingSpec, SigningSpec, SshSpec};
use crate::types::{BranchName, DirectoryPath, RemoteUrl, SecretName, SpecDuration, SpecError, wildcard};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The `spec:` of a document of kind `Repository`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepositorySpec {
    /// Where it is fetched from and pushed to: `https://`, `ssh://`, `git@host:path`, `file://` or an absolute path.
    pub url: RemoteUrl,
    /// The base branch pull requests go to.
    #[serde(default = "main_branch")]
    pub branch: BranchName,
    /// What head branches start with.
    #[serde(default = "branch_prefix")]
    pub branch_prefix: BranchName,
    /// Who opens and keeps pull requests.
    #[serde(default)]
    pub forge: ForgeSpec,
    /// What fetching and pushing over HTTPS authenticates with; without it, the forge's token, or the token of its App.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsSpec>,
    /// What fetching and pushing over SSH authenticates with; without it, the SSH agent and the known hosts of whoever runs KubeOps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<SshSpec>,
    /// Which git fetches and pushes, and how much of the repository is kept here.
    #[serde(default)]
    pub git: GitSpec,
    /// Directories of the repository with CustomResourceDefinitions or JSON Schemas: what changes of kinds that are not Kubernetes' own
    /// are held against.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<DirectoryPath>,
    /// Whose name stands on commits.
    #[serde(default)]
    pub author: AuthorSpec,
    /// Who is named as committer; by default the author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committer: Option<AuthorSpec>,
    /// Whether commits end with the committer's `Signed-off-by`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed_off_by: bool,
    /// The commits' message: a text in which `{{ title }}`, `{{ summary }}`, `{{ event.x }}`, `{{ parameters.x }}` and
    /// `{{ request.id }}` may stand. Its first line is the subject; trailers are added by KubeOps. By default title and summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit_message: Option<String>,
    /// What commits are signed with; without it they are not signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<SigningSpec>,
    /// What at GitHub says that a merged change is in force, beside delivery tools, and which of their applications count.
    #[serde(default, skip_serializing_if = "AppliedBySpec::is_empty")]
    pub applied_by: AppliedBySpec,
    /// How soon after its merge a change should be in force, such as `30m`; later it is told that nobody has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_within: Option<SpecDuration>,
    /// How values are sealed for the cluster that applies it (`render[].seal` of an automation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<SealingSpec>")]
    pub sealing: Option<Arc<SealingSpec>>,
}

/// What says that a merged change is in force, by name; a `*` stands for any characters. A deployment at GitHub to an environment that has
/// the name of a cluster always does, for that cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppliedBySpec {
    /// Applications of delivery tools: where some are named, no other counts, and these do also where they say neither path nor cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub applications: Vec<String>,
    /// Environments of deployments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<String>,
    /// Contexts of commit statuses, such as `kustomization/*` of Flux.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<String>,
    /// Names of check runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
}

impl AppliedBySpec {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether one of these names is this one.
    pub fn names(&self, names: fn(&Self) -> &Vec<String>, name: &str) -> bool {
        names(self).iter().any(|pattern| wildcard::matches(pattern, name))
    }
}

/// A user name and the secret that goes with it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CredentialsSpec {
    /// The user name; GitHub takes any with a token.
    #[serde(default = "token_user")]
    pub username: String,
    /// Name of the secret that holds the token.
    pub secret: SecretName,
}

fn main_branch() -> BranchName {
    known("main")
}
fn branch_prefix() -> BranchName {
    known("kubeops")
}
fn known(name: &str) -> BranchName {
    name.parse().unwrap_or_else(|_| unreachable!("a literal branch name"))
}
fn token_user() -> String {
    "x-access-token".to_owned()
}

impl RepositorySpec {
    /// Who is named as committer.
    pub fn committer(&self) -> &AuthorSpec {
        self.committer.as_ref().unwrap_or(&self.author)
    }

    /// Every secret it names.
    pub fn secret_names(&self) -> impl Iterator<Item = SecretName> {
        let signing = self.signing.iter().flat_map(|signing| std::iter::once(&signing.key).chain(&signing.passphrase)).cloned();
        let own = self.credentials.as_ref().map(|credentials| credentials.secret.clone());
        let ssh: Vec<SecretName> = self.ssh.iter().flat_map(SshSpec::secret_names).cloned().collect();
        own.into_iter().chain(self.forge.secret_names()).chain(signing).chain(ssh)
    }

    /// Head branches stand below the prefix, and git has no branch beside others below its own name.
    fn check_prefix(&self) -> Option<SpecError> {
        let (base, prefix) = (self.branch.as_str(), self.branch_prefix.as_str());
        let below = |one: &str, other: &str| one == other || one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
        let clash = below(base, prefix) || below(prefix, base);
        clash.then(|| {
            SpecError::new("/branchPrefix", format!("branches below `{prefix}/` cannot stand beside the base branch `{base}`"))
                .hint("take a prefix that the base branch's name does not begin with, and the other way round: `branchPrefix: kubeops`")
        })
    }

    /// What is wrong beyond the types: pointers into the spec.
    pub fn check(&self) -> Vec<SpecError> {
        let mut errors = self.forge.check(&self.url);
        errors.extend(self.check_prefix());
        errors.extend(self.author.check("/author"));
        errors.extend(self.committer.iter().flat_map(|committer| committer.check("/committer")));
        errors.extend(self.signing.iter().flat_map(SigningSpec::check));
        errors.extend(self.git.check());
        errors.extend(self.ssh.iter().flat_map(|ssh| ssh.check(&self.url)));
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn head_branches_cannot_stand_in_the_way_of_the_base_branch() {
        let errors = |branch: &str, prefix: &str| {
            let spec = json!({ "url": "https://github.com/acme/gitops.git", "branch": branch, "branchPrefix": prefix, "forge": { "kind": "github", "token": "T" } });
            serde_json::from_value::<RepositorySpec>(spec).expect("a spec").check().len()
        };
        for (branch, prefix) in [("kubeops", "kubeops"), ("main", "main/bot"), ("kubeops/live", "kubeops")] {
            assert_eq!(errors(branch, prefix), 1, "{branch} and {prefix}");
        }
        for (branch, prefix) in [("main", "kubeops"), ("main", "mainly"), ("release/1", "release/2"), ("kubeops-live", "kubeops")] {
            assert_eq!(errors(branch, prefix), 0, "{branch} and {prefix}");
        }
    }
}
