//! `url("https://example.com:80/path?q=1")` and its parts. An address without a scheme is none, but a path alone is, as in Kubernetes.

use super::{Args, Call, Entry, Kube, Outcome, boolean, kube, mismatch, string, text};
use cel::ExecutionError;
use cel::common::types::{CelList, CelMap, CelMapKey, CelString};
use cel::common::value::{CowVal, Val};
use std::collections::HashMap;
use url::Url;

/// What stands in for the scheme and host of a path alone.
const NOWHERE: &str = "kubeops-nowhere://nowhere";

pub(super) const ENTRIES: &[Entry] = &[
    ("url", Call::Global, 1, make),
    ("isURL", Call::Global, 1, |args| Ok(boolean(parse(text("isURL", &args, 0)?).is_some()))),
    ("getScheme", Call::Member, 0, |args| part("getScheme", &args, |url| url.scheme().to_owned())),
    ("getHost", Call::Member, 0, |args| {
        part("getHost", &args, |url| {
            let host = url.host_str().unwrap_or_default();
            port(url).map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
        })
    }),
    ("getHostname", Call::Member, 0, |args| part("getHostname", &args, |url| url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned())),
    ("getPort", Call::Member, 0, |args| part("getPort", &args, |url| port(url).map(|port| port.to_string()).unwrap_or_default())),
    ("getEscapedPath", Call::Member, 0, |args| part("getEscapedPath", &args, |url| url.path().to_owned())),
    ("getQuery", Call::Member, 0, query),
];

fn parse(text: &str) -> Option<Url> {
    if text.starts_with('/') && !text.starts_with("//") {
        return Url::parse(&format!("{NOWHERE}{text}")).ok();
    }
    // `host:80` has the form of a scheme with a path and is none here.
    Url::parse(text).ok().filter(|url| url.has_host() || text.contains("://"))
}

fn port(url: &Url) -> Option<u16> {
    url.port()
}

fn make<'b, 'v>(args: Args<'b, 'v>) -> Outcome<'b, 'v> {
    let url = parse(text("url", &args, 0)?).ok_or_else(|| ExecutionError::function_error("url", "this is no URL"))?;
    Ok(CowVal::owned(Kube::Url(Box::new(url))))
}

fn own<'a>(function: &str, args: &'a [CowVal<'_, '_>]) -> Result<&'a Url, ExecutionError> {
    match kube(function, args, 0)? {
        Kube::Url(url) => Ok(url),
        _ => Err(mismatch(function, args)),
    }
}

fn part<'b, 'v>(function: &str, args: &[CowVal<'_, '_>], read: fn(&Url) -> String) -> Outcome<'b, 'v> {
    let url = own(function, args)?;
    let nowhere = url.as_str().starts_with(NOWHERE) && function != "getEscapedPath";
    Ok(string(if nowhere { String::new() } else { read(url) }))
}

fn query<'b, 'v>(args: Args<'b, 'v>) -> Outcome<'b, 'v> {
    let mut fields: HashMap<String, Vec<Box<dyn Val + 'v>>> = HashMap::new();
    for (name, value) in own("getQuery", &args)?.query_pairs() {
        fields.entry(name.into_owned()).or_default().push(Box::new(CelString::from(value.into_owned())));
    }
    let fields = fields
        .into_iter()
        .map(|(name, values)| -> (CelMapKey<'v>, Box<dyn Val + 'v>) { (CelMapKey::String(CelString::from(name)), Box::new(CelList::from(values))) });
    Ok(CowVal::owned(CelMap::from(fields.collect::<HashMap<_, _>>())))
}
