//! The GitOps repository of the demo: a believable layout in a bare repository, written with libgit2 alone.

use crate::git::open_isolated;
use anyhow::Context;
use git2::{Repository, RepositoryInitOptions, Signature, Time};
use std::path::Path;

/// The files of the first commit.
const FILES: &[(&str, &str)] = &[
    ("README.md", "# GitOps repository\n\nWhat runs in our clusters. Argo CD watches `clusters/`; nobody applies by hand.\n"),
    ("clusters/prod-eu/namespaces/web.yaml", include_str!("tree/namespace-web.yaml")),
    ("clusters/prod-eu/apps/web/storefront.yaml", include_str!("tree/storefront.yaml")),
    ("clusters/prod-eu/apps/web/storefront-hpa.yaml", include_str!("tree/storefront-hpa.yaml")),
    ("clusters/staging-eu/namespaces/web.yaml", include_str!("tree/namespace-web.yaml")),
];

/// Makes a bare repository at `path` whose branch `main` holds the layout.
///
/// # Errors
/// When the directory cannot be written.
pub fn repository(path: &Path, seconds: i64) -> anyhow::Result<()> {
    let mut options = RepositoryInitOptions::new();
    options.bare(true).initial_head("main").external_template(false);
    Repository::init_opts(path, &options).with_context(|| format!("the repository {} cannot be made", path.display()))?;
    let repository = open_isolated(path)?;
    let mut index = git2::Index::new()?;
    for (name, text) in FILES {
        let blob = repository.blob(text.as_bytes())?;
        index.add(&git2::IndexEntry {
            ctime: git2::IndexTime::new(0, 0),
            mtime: git2::IndexTime::new(0, 0),
            dev: 0,
            ino: 0,
            mode: 0o100_644,
            uid: 0,
            gid: 0,
            file_size: u32::try_from(text.len())?,
            id: blob,
            flags: 0,
            flags_extended: 0,
            path: name.as_bytes().to_vec(),
        })?;
    }
    let tree = repository.find_tree(index.write_tree_to(&repository)?)?;
    let author = Signature::new("Platform team", "platform@acme.example", &Time::new(seconds, 0))?;
    repository.commit(Some("refs/heads/main"), &author, &author, "Clusters as they are\n", &tree, &[])?;
    Ok(())
}
