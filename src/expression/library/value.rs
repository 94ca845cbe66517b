//! The values that Kubernetes' functions make: each belongs to expressions alone and is nothing that JSON could hold.

use super::format::Format;
use super::net::Network;
use super::quantity::Quantity;
use super::version::Version;
use cel::common::types::Type;
use cel::common::value::{StaticVal, Val};
use std::any::Any;
use std::net::IpAddr;

/// A value of a type of Kubernetes' own.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::expression) enum Kube {
    Quantity(Quantity),
    Url(Box<url::Url>),
    Ip(IpAddr),
    Cidr(Network),
    Format(Format),
    Version(Version),
}

static QUANTITY: Type = Type::new_unspecified_type("kubernetes.Quantity");
static URL: Type = Type::new_unspecified_type("kubernetes.URL");
static IP: Type = Type::new_unspecified_type("net.IP");
static CIDR: Type = Type::new_unspecified_type("net.CIDR");
static FORMAT: Type = Type::new_unspecified_type("kubernetes.NamedFormat");
static VERSION: Type = Type::new_unspecified_type("kubernetes.Semver");
static ANY: Type = Type::new_unspecified_type("kubernetes.Value");

impl Val for Kube {
    fn get_type(&self) -> &Type {
        match self {
            Kube::Quantity(_) => &QUANTITY,
            Kube::Url(_) => &URL,
            Kube::Ip(_) => &IP,
            Kube::Cidr(_) => &CIDR,
            Kube::Format(_) => &FORMAT,
            Kube::Version(_) => &VERSION,
        }
    }

    fn cel_type() -> &'static Type {
        &ANY
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<Kube>().is_some_and(|other| self == other)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Kube {}
