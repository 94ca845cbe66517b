//! Every file of manifests below a directory.

use super::{BaseTree, TreeError};
use crate::types::{DirectoryPath, ManifestPath, below};

/// The files of manifests below a directory, in no order; looks no further once there are more than `most`. Directories whose name begins
/// with a dot are left out: what a tool keeps beside the manifests is none of them.
pub(crate) fn manifests_below(base: &dyn BaseTree, root: &DirectoryPath, most: usize) -> Result<Vec<ManifestPath>, TreeError> {
    let root = if root.as_str() == "." { "" } else { root.as_str() };
    let (mut directories, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(directory) = directories.pop() {
        for name in base.names(&directory)? {
            let path = below(&directory, &name);
            match path.strip_suffix('/') {
                Some(_) if name.starts_with('.') => {}
                Some(below) => directories.push(below.to_owned()),
                None => files.extend(path.parse::<ManifestPath>()),
            }
        }
        if files.len() > most {
            break;
        }
    }
    Ok(files)
}
