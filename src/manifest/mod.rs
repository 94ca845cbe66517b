//! YAML documents: a strict reader that knows where everything stands, scalars that cannot change structure, objects, what
//! differs between them, and fields set in place. It reads a text as `kubectl` does and refuses what two tools would read differently.
//! Pure. It never guesses: what it cannot read in one way only is an error with its line and column.

mod account;
mod address;
mod compose;
mod diff;
mod divergent;
mod edit;
mod field_path;
mod image;
mod keyed;
mod kustomization;
mod mentions;
mod object;
mod patch;
mod plain;
mod positions;
mod remarks;
mod scalar;
mod shorthand;
#[cfg(test)]
pub(crate) mod tests;

pub use address::{AddressError, ObjectAddress};
pub use compose::Disputed;
pub(crate) use diff::holds_secrets;
pub use diff::{Action, FieldChange, ObjectChange, diff};
pub use edit::{EditError, EditFault, Editor};
pub use field_path::{FieldPath, FieldPathError, Step};
pub use image::{image_pattern, split_image, transformed_image, whole_pattern};
pub(crate) use keyed::shown_path;
pub use kustomization::{KUSTOMIZATION_NAMES, Kustomization, Patch, PatchContent, is_kustomization, reference_from, resolve_reference};
pub use mentions::Mentions;
pub(crate) use object::CLUSTER_SCOPED;
pub use object::{IdentityError, ObjectRef, flatten};
pub use patch::{PatchError, Room, json_patch, strategic_merge};
pub use plain::Scalar;
pub(crate) use positions::push_step;
pub use positions::{Location, Place, Positions, Span};
pub use remarks::comments;
pub(crate) use scalar::is_shown;
pub use scalar::{write_scalar, write_value};

use crate::types::ErrorClass;

/// One document of a YAML text.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// What it says. Aliases and merge keys are expanded; keys keep their order.
    pub value: serde_json::Value,
    /// Where each part of it stands in the text.
    pub positions: Positions,
    /// Its place among the documents of the text, from 0; empty documents are not counted.
    pub index: usize,
    /// The line its content begins on, from 1.
    pub start_line: u32,
    /// The unquoted scalars that YAML 1.1 and YAML 1.2 readers disagree on.
    pub disputed: Vec<Disputed>,
}

impl Document {
    /// The same in a text that was moved.
    fn shifted(self, by: positions::Shift) -> Self {
        let Self { value, positions, index, start_line, mut disputed } = self;
        disputed.iter_mut().for_each(|disputed| disputed.place = by.place(disputed.place));
        Self { value, positions: positions.shifted(by), index, start_line: by.line(start_line), disputed }
    }
}

/// How much a text may hold. The defaults read any manifest a person would write and refuse a bomb within milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size of the text, in bytes.
    pub bytes: usize,
    /// Values and keys, aliases expanded.
    pub nodes: usize,
    /// Mappings and sequences within each other.
    pub depth: usize,
    /// Characters of all scalars, aliases expanded, in bytes of UTF-8.
    pub scalar_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 8 << 20, nodes: 140_000, depth: 64, scalar_bytes: 16 << 20 }
    }
}

/// Why a text is not read. `line` and `column` count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct SyntaxError {
    /// What is wrong, and the mend where there is one.
    pub message: String,
    /// Line in the text, from 1.
    pub line: u32,
    /// Column in the line, in characters, from 1.
    pub column: u32,
}

impl SyntaxError {
    /// Always the author's to mend.
    pub fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// Reads every document of `text`. Empty documents are left out, so a text of comments gives none.
///
/// Scalars are read as `kubectl` reads them (YAML 1.1 booleans, octal `0644`, `1_000`), keys as they are written.
/// <https://yaml.org/spec/1.2.2/>
///
/// # Errors
/// Besides what no YAML reader takes: duplicate keys, keys that are not scalars, tags other than `!!str`, `!!map` and
/// `!!seq`, directives, more than `limits` allow, and everything that Kubernetes tools split or read differently: text after
/// `---`, a document without `---` after another, line breaks of YAML 1.1 alone, control characters, infinities.
pub fn parse(text: &str, limits: Limits) -> Result<Vec<Document>, SyntaxError> {
    compose::compose(text, limits)
}
