//! The settings of traces, in the names OpenTelemetry gives them. The headers of a collector are a secret and stand in none of them.
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>

use super::Reader;
use super::values::{self, HttpUrl, Parsed, choice, number, optional, text};
use crate::telemetry::{TraceOptions, TraceSampler};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::time::Duration;

/// Where traces go, whole.
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// What the specification has behind a base URL, for traces.
const PATH: &str = "/v1/traces";
/// The longest name or value of what is said of the process.
const LONGEST: usize = 255;

impl Reader<'_> {
    /// Where traces go; all of it is read also where they go nowhere, so that a mistake is told.
    pub(super) fn traces(&mut self) -> Option<TraceOptions> {
        let base = self.get("OTEL_EXPORTER_OTLP_ENDPOINT", optional(base_url));
        // That of traces alone goes before, and stays as it is written.
        let whole = self.get(TRACES_ENDPOINT, optional(values::url));
        let endpoint = whole.map(|_| self.raw(TRACES_ENDPOINT)).or_else(|| base.map(|url| format!("{url}{PATH}")));
        self.get("OTEL_EXPORTER_OTLP_PROTOCOL", choice(&[("http/protobuf", ())]));
        let disabled = self.get("OTEL_SDK_DISABLED", values::flag);
        let millis = |most: u64| move |raw: &str| number(1, most)(raw).map(Duration::from_millis);
        let options = TraceOptions {
            endpoint: endpoint.clone().unwrap_or_default(),
            service: self.get("OTEL_SERVICE_NAME", service),
            attributes: self.get("OTEL_RESOURCE_ATTRIBUTES", attributes),
            sampler: self.sampler(),
            queue: self.get("OTEL_BSP_MAX_QUEUE_SIZE", number(1, 1_000_000)),
            delay: self.get("OTEL_BSP_SCHEDULE_DELAY", millis(60_000)),
            timeout: self.get("OTEL_EXPORTER_OTLP_TIMEOUT", millis(60_000)),
        };
        (endpoint.is_some() && !disabled).then_some(options)
    }

    fn sampler(&mut self) -> TraceSampler {
        let part = self.get("OTEL_TRACES_SAMPLER_ARG", optional(part)).unwrap_or(1.0);
        let known = [
            ("always_on", TraceSampler::AlwaysOn),
            ("always_off", TraceSampler::AlwaysOff),
            ("traceidratio", TraceSampler::Ratio(part)),
            ("parentbased_always_on", TraceSampler::ParentOrOn),
            ("parentbased_always_off", TraceSampler::ParentOrOff),
            ("parentbased_traceidratio", TraceSampler::ParentOrRatio(part)),
        ];
        self.get("OTEL_TRACES_SAMPLER", choice(&known))
    }
}

/// The URL of a collector, behind which stands what it is of each signal.
fn base_url(raw: &str) -> Parsed<HttpUrl> {
    let url = values::url(raw)?;
    match url.as_str().strip_suffix(PATH) {
        None => Ok(url),
        Some(base) => {
            let allowed = format!("{base}, or {TRACES_ENDPOINT}={url}, which is used as it is written");
            Err((format!("{PATH} is added to it"), allowed))
        }
    }
}

fn service(raw: &str) -> Parsed<String> {
    match raw.chars().count() <= LONGEST && !raw.contains(char::is_control) {
        true => text(raw),
        false => Err(("it is no name of a service".to_owned(), format!("1 to {LONGEST} characters"))),
    }
}

fn part(raw: &str) -> Parsed<f64> {
    let allowed = || "a number from 0 to 1, such as 0.1".to_owned();
    let part = raw.parse::<f64>().map_err(|_| ("it is no number".to_owned(), allowed()))?;
    if (0.0..=1.0).contains(&part) { Ok(part) } else { Err(("it is no part of 1".to_owned(), allowed())) }
}

/// `name=value,name=value`, values percent-encoded. What tells processes apart is said by the program.
fn attributes(raw: &str) -> Parsed<Vec<(String, String)>> {
    let refuse = |problem: String| {
        Err((problem, "a list `name=value,...`, values percent-encoded, such as deployment.environment.name=production".to_owned()))
    };
    let mut read: Vec<(String, String)> = Vec::new();
    for entry in raw.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let Some((name, value)) = entry.split_once('=').map(|(name, value)| (name.trim(), value.trim())) else {
            return refuse(format!("`{entry}` has no `=`"));
        };
        let Ok(value) = percent_decode_str(value).decode_utf8().map(Cow::into_owned) else {
            return refuse(format!("the value of `{name}` is no UTF-8"));
        };
        let well_named = !name.is_empty() && name.len() <= LONGEST && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
        if !well_named || value.chars().count() > LONGEST || value.contains(char::is_control) {
            return refuse(format!("`{name}` is no such name, or its value is none"));
        }
        if read.iter().any(|(known, _)| known == name) {
            return refuse(format!("`{name}` stands in it twice"));
        }
        read.push((name.to_owned(), value));
    }
    Ok(read)
}
