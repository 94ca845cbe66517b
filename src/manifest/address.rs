//! How an author names an object: `kind/namespace/name`, the namespace empty where the object has none.

use super::ObjectRef;
use std::str::FromStr;

/// An object as an author names it: `Deployment/web/api`, `Namespace//web`. Where two groups have the kind, the group is
/// written behind it: `Ingress.networking.k8s.io/web/api`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectAddress {
    kind: String,
    group: Option<String>,
    namespace: Option<String>,
    name: String,
}

/// Why a text names no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} names no object: an object is named kind/namespace/name, such as Deployment/web/api, or Namespace//web where it has no namespace")]
pub struct AddressError {
    given: String,
}

impl ObjectAddress {
    /// Whether it names this object.
    pub fn names(&self, object: &ObjectRef) -> bool {
        self.kind == object.kind
            && self.group.as_deref().is_none_or(|group| group == object.group())
            && self.namespace == object.namespace
            && self.name == object.name
    }

    /// Whether the object is of the kind named.
    pub fn is_of_kind(&self, object: &ObjectRef) -> bool {
        self.kind == object.kind
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace, where it names one.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The address of an object, with its group where it has one.
    pub fn exactly(object: &ObjectRef) -> Self {
        let group = Some(object.group()).filter(|group| !group.is_empty()).map(str::to_owned);
        Self { group, ..Self::of(object) }
    }

    /// The address of an object.
    pub fn of(object: &ObjectRef) -> Self {
        Self { kind: object.kind.clone(), group: None, namespace: object.namespace.clone(), name: object.name.clone() }
    }
}

impl FromStr for ObjectAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = || AddressError { given: text.chars().take(80).collect() };
        let mut parts = text.split('/');
        let (Some(kind), Some(namespace), Some(name), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else { return Err(refuse()) };
        let (kind, group) = kind.split_once('.').map_or((kind, None), |(kind, group)| (kind, Some(group)));
        let whole = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
        if !whole(kind) || !whole(name) || group.is_some_and(|group| !whole(group)) || !(namespace.is_empty() || whole(namespace)) {
            return Err(refuse());
        }
        Ok(Self {
            kind: kind.to_owned(),
            group: group.map(str::to_owned),
            namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
            name: name.to_owned(),
        })
    }
}

impl std::fmt::Display for ObjectAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(group) = &self.group {
            write!(f, ".{group}")?;
        }
        write!(f, "/{}/{}", self.namespace.as_deref().unwrap_or_default(), self.name)
    }
}
