//! What a language model answered, to a change: read strictly, applied to the base, and held against what its automation allows.
//! Pure, and without trust: whatever the answer is, the change touches what `draft` allows or there is none. The gate of every other
//! change (`validate`) comes after this one.

mod answer;
mod apply;
mod built;
mod comments;
mod compare;
mod elided;
mod fields;
mod guard;
mod hidden;
mod idle;
mod images;
mod judge;
mod kinds;
mod limits;
mod objects;
mod reach;
mod replace;
mod steering;
mod texts;
mod twice;
mod violation;

pub use answer::{Answer, AnswerError, Operation};
pub(crate) use fields::{FieldPattern, PatternStep};
pub use guard::Guard;
pub use hidden::{holds_placeholder, value_holds_placeholder};
pub(crate) use idle::idle_globs;
pub(crate) use kinds::KindName;
pub use violation::Violation;
