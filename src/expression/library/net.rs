//! `ip("10.0.0.1")` and `cidr("10.0.0.0/8")`. Addresses with a zone and IPv4 written as IPv6 are refused, as Kubernetes does.

use super::{Args, Call, Entry, Kube, Outcome, boolean, kube, mismatch, number, string, text};
use cel::ExecutionError;
use cel::common::types::CelString;
use cel::common::value::CowVal;
use ipnet::IpNet;
use std::net::IpAddr;

/// An address with the length of its network's prefix, as written.
pub(in crate::expression) type Network = IpNet;

pub(super) const ENTRIES: &[Entry] = &[
    ("ip", Call::Global, 1, |args| make_ip("ip", &args)),
    ("isIP", Call::Global, 1, |args| Ok(boolean(parse_ip(text("isIP", &args, 0)?).is_some()))),
    ("ip.isCanonical", Call::Global, 1, |args| {
        let written = text("ip.isCanonical", &args, 0)?;
        let parsed = parse_ip(written).ok_or_else(|| ExecutionError::function_error("ip.isCanonical", "this is no IP address"))?;
        Ok(boolean(parsed.to_string() == written))
    }),
    ("family", Call::Member, 0, |args| Ok(number(if own_ip("family", &args)?.is_ipv4() { 4 } else { 6 }))),
    ("isUnspecified", Call::Member, 0, |args| Ok(boolean(own_ip("isUnspecified", &args)?.is_unspecified()))),
    ("isLoopback", Call::Member, 0, |args| Ok(boolean(own_ip("isLoopback", &args)?.is_loopback()))),
    ("isLinkLocalMulticast", Call::Member, 0, |args| {
        Ok(boolean(match own_ip("isLinkLocalMulticast", &args)? {
            IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
            IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
        }))
    }),
    ("isLinkLocalUnicast", Call::Member, 0, |args| Ok(boolean(link_local(&own_ip("isLinkLocalUnicast", &args)?)))),
    ("isGlobalUnicast", Call::Member, 0, |args| {
        let ip = own_ip("isGlobalUnicast", &args)?;
        let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        Ok(boolean(!(broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local(&ip))))
    }),
    ("cidr", Call::Global, 1, |args| {
        let network = parse_cidr(text("cidr", &args, 0)?).ok_or_else(|| ExecutionError::function_error("cidr", "this is no CIDR block"))?;
        Ok(CowVal::owned(Kube::Cidr(network)))
    }),
    ("isCIDR", Call::Global, 1, |args| Ok(boolean(parse_cidr(text("isCIDR", &args, 0)?).is_some()))),
    ("containsIP", Call::Member, 1, |args| {
        let network = own_cidr("containsIP", &args, 0)?;
        let ip = match args.get(1).and_then(|value| value.downcast_ref::<CelString<'_>>()) {
            Some(text) => parse_ip(text.inner()).ok_or_else(|| ExecutionError::function_error("containsIP", "this is no IP address"))?,
            None => own_ip("containsIP", &args[1..])?,
        };
        Ok(boolean(network.contains(&ip)))
    }),
    ("containsCIDR", Call::Member, 1, |args| {
        let network = own_cidr("containsCIDR", &args, 0)?;
        let other = match args.get(1).and_then(|value| value.downcast_ref::<CelString<'_>>()) {
            Some(text) => parse_cidr(text.inner()).ok_or_else(|| ExecutionError::function_error("containsCIDR", "this is no CIDR block"))?,
            None => own_cidr("containsCIDR", &args, 1)?,
        };
        Ok(boolean(network.contains(&other.trunc())))
    }),
    ("ip", Call::Member, 0, |args| Ok(CowVal::owned(Kube::Ip(own_cidr("ip", &args, 0)?.addr())))),
    ("masked", Call::Member, 0, |args| Ok(CowVal::owned(Kube::Cidr(own_cidr("masked", &args, 0)?.trunc())))),
    ("prefixLength", Call::Member, 0, |args| Ok(number(i64::from(own_cidr("prefixLength", &args, 0)?.prefix_len())))),
    ("string", Call::Global, 1, as_text),
];

fn link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().filter(|ip| !matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()))
}

fn parse_cidr(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().filter(|network| parse_ip(&network.addr().to_string()).is_some())
}

fn make_ip<'b, 'v>(function: &str, args: &[CowVal<'_, '_>]) -> Outcome<'b, 'v> {
    let ip = parse_ip(text(function, args, 0)?).ok_or_else(|| ExecutionError::function_error(function, "this is no IP address"))?;
    Ok(CowVal::owned(Kube::Ip(ip)))
}

fn own_ip(function: &str, args: &[CowVal<'_, '_>]) -> Result<IpAddr, ExecutionError> {
    match kube(function, args, 0)? {
        Kube::Ip(ip) => Ok(*ip),
        _ => Err(mismatch(function, args)),
    }
}

fn own_cidr(function: &str, args: &[CowVal<'_, '_>], at: usize) -> Result<IpNet, ExecutionError> {
    match kube(function, args, at)? {
        Kube::Cidr(network) => Ok(*network),
        _ => Err(mismatch(function, args)),
    }
}

/// `string(ip)` and `string(cidr)`; what the standard library takes never comes here.
fn as_text<'b, 'v>(args: Args<'b, 'v>) -> Outcome<'b, 'v> {
    match kube("string", &args, 0)? {
        Kube::Ip(ip) => Ok(string(ip.to_string())),
        Kube::Cidr(network) => Ok(string(network.to_string())),
        Kube::Url(url) => Ok(string(url.as_str())),
        _ => Err(mismatch("string", &args)),
    }
}
