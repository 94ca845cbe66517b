//! How an author names an object: `kind/namespace/name`, the namespace empty where the object has none.

use super::ObjectRef;
use std::str::FromStr;

/// An object as an author names it: `Deployment/web/api`, `Namespace//web`. Where two groups have the kind, the group is
/// written behind it: `Ingress.networking.k8s.io/web/api`, and `core` for the group without a name: `Service.core/web/api`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectAddress {
    kind: String,
    group: Option<String>,
    namespace: Option<String>,
    name: String,
}

/// How the group that has no name of its own is written. No other group is called so: the name of one has a dot in it, or is
/// Kubernetes' own (`apps`, `batch`, ...).
const CORE: &str = "core";

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

    /// The address of an object, with its group: no other object has it.
    pub fn exactly(object: &ObjectRef) -> Self {
        Self { group: Some(object.group().to_owned()), ..Self::of(object) }
    }

    /// The same address with the group of an object that it names.
    pub fn in_group_of(&self, object: &ObjectRef) -> Self {
        Self { group: Some(object.group().to_owned()), ..self.clone() }
    }

    /// As it is said where the group is known from what stands around it.
    pub fn without_group(&self) -> Self {
        Self { group: None, ..self.clone() }
    }

    /// The address of an object as it is said: without its group.
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
            group: group.map(|group| if group == CORE { String::new() } else { group.to_owned() }),
            namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
            name: name.to_owned(),
        })
    }
}

impl std::fmt::Display for ObjectAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(group) = &self.group {
            write!(f, ".{}", if group.is_empty() { CORE } else { group })?;
        }
        write!(f, "/{}/{}", self.namespace.as_deref().unwrap_or_default(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(api_version: &str) -> ObjectRef {
        ObjectRef::of(&json!({"apiVersion": api_version, "kind": "Service", "metadata": {"name": "api", "namespace": "web"}})).expect("an object")
    }

    #[test]
    fn an_address_names_every_group_and_the_one_without_a_name() {
        let (core, knative) = (object("v1"), object("serving.knative.dev/v1"));
        for (text, names) in [
            ("Service/web/api", [true, true]),
            ("Service.core/web/api", [true, false]),
            ("Service.serving.knative.dev/web/api", [false, true]),
            ("Service.core/web/other", [false, false]),
        ] {
            let address: ObjectAddress = text.parse().expect("an address");
            assert_eq!([address.names(&core), address.names(&knative)], names, "{text}");
            assert_eq!(address.to_string(), text);
        }
        assert_eq!(ObjectAddress::exactly(&core).to_string(), "Service.core/web/api");
        assert_eq!(ObjectAddress::exactly(&knative).without_group(), ObjectAddress::of(&core));
        assert!("Service./web/api".parse::<ObjectAddress>().is_err());
    }
}
