//! Tera, fitted so that every value is written as data: strings as safe scalars, lists and maps in flow style.
//! It gets translated sources only and knows no file, environment, clock or random source.

use super::RenderError;
use crate::manifest::write_scalar;
use std::collections::BTreeSet;
use std::io::Write;
use tera::{Context, ErrorKind, Kwargs, State, Tera, TeraResult, Value};

/// The largest output of one template, in bytes.
pub const MAX_OUTPUT_BYTES: usize = 1024 * 1024;
/// The longest list `range` gives.
const MAX_RANGE: i64 = 1000;
/// YAML keys are read with a lookahead of 1,024 characters.
const MAX_KEY: usize = 1000;

/// The compiled templates of a catalogue.
pub(crate) struct Engine {
    tera: Tera,
}

impl Engine {
    /// Compiles translated sources, given as name and text.
    ///
    /// # Errors
    /// The engine's own, with the place where it has one.
    pub(crate) fn new<'s>(sources: impl IntoIterator<Item = (&'s str, &'s str)>) -> TeraResult<Self> {
        let mut tera = Tera::new();
        tera.autoescape_on([".tera"]);
        tera.set_escape_fn(|text, out| out.write_all(write_scalar(text).as_bytes()));
        tera.register_filter("__value", value_filter);
        tera.register_filter("__joined", joined_filter);
        tera.register_filter("__block", block_filter);
        tera.register_function("range", range);
        tera.add_raw_templates(sources)?;
        Ok(Self { tera })
    }

    /// The top-level variables a template may read.
    pub(crate) fn variables(&self, file: &str) -> BTreeSet<String> {
        self.tera.get_template_variables(file).map(|names| names.into_iter().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// Renders `file` in this process: bounded in output, not in time or memory.
    ///
    /// # Errors
    /// [`RenderError::Template`], [`RenderError::OutputTooLarge`].
    pub(crate) fn render(&self, template: &str, file: &str, context: &serde_json::Value) -> Result<Vec<u8>, RenderError> {
        let fail = |error: &tera::Error| template_error(template, file, error);
        let context = Context::from_serialize(context).map_err(|error| fail(&error))?;
        let mut out = Limited { bytes: Vec::with_capacity(4096), limit: MAX_OUTPUT_BYTES, exceeded: false };
        match self.tera.render_to(file, &context, &mut out) {
            Ok(()) => Ok(out.bytes),
            Err(_) if out.exceeded => Err(RenderError::OutputTooLarge { template: template.to_owned(), limit: MAX_OUTPUT_BYTES }),
            Err(error) => Err(fail(&error)),
        }
    }
}

/// The engine's error in our words: where it has a place, that place.
fn template_error(template: &str, file: &str, error: &tera::Error) -> RenderError {
    let (file, line, message) = match error.kind() {
        ErrorKind::RenderingError(report) | ErrorKind::SyntaxError(report) => {
            (report.filename().to_owned(), u32::try_from(report.span().start_line).unwrap_or(0), report.message().to_owned())
        }
        other => (file.to_owned(), 0, other.to_string()),
    };
    RenderError::Template { template: template.to_owned(), file, line, message: message.chars().take(500).collect() }
}

/// A writer that stops at its limit, so that the engine stops too.
pub(super) struct Limited {
    pub bytes: Vec<u8>,
    pub limit: usize,
    pub exceeded: bool,
}

impl Write for Limited {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + buffer.len() > self.limit {
            self.exceeded = true;
            return Err(std::io::Error::other("the output is too large"));
        }
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes any value as YAML on one line; every expression of a manifest ends in it.
fn value_filter(value: Value, arguments: Kwargs, _: &State) -> TeraResult<Value> {
    let mut out = String::new();
    if value.is_undefined() {
        return Err(tera::Error::message(format!("`{}` is not defined", arguments.must_get::<&str>("of")?)));
    }
    if arguments.must_get::<bool>("key")? {
        if value.is_array() || value.is_map() || value.is_none() {
            return Err(tera::Error::message(format!("`{}` is a {} and cannot be a key", arguments.must_get::<&str>("of")?, value.name())));
        }
        write_key(&value.to_string(), &mut out)?;
    } else {
        write_value(&value, &mut out)?;
    }
    Ok(Value::safe_string(&out))
}

/// Lets through what `~` may join to a text; the engine itself would take a missing value for an empty one.
pub(super) fn joined_filter(value: Value, arguments: Kwargs, _: &State) -> TeraResult<Value> {
    if value.is_string() || value.is_number() || value.is_bool() {
        return Ok(value);
    }
    let of = arguments.must_get::<&str>("of")?;
    Err(tera::Error::message(if value.is_undefined() {
        format!("`{of}` is not defined")
    } else {
        format!("`{of}` is a {} and cannot be joined to a text", value.name())
    }))
}

fn write_key(key: &str, out: &mut String) -> TeraResult<()> {
    let scalar = write_scalar(key);
    if scalar.chars().count() > MAX_KEY {
        return Err(tera::Error::message(format!("a key of more than {MAX_KEY} characters")));
    }
    out.push_str(&scalar);
    Ok(())
}

fn write_value(value: &Value, out: &mut String) -> TeraResult<()> {
    if let Some(text) = value.as_str() {
        out.push_str(&write_scalar(text));
    } else if let Some(items) = value.as_array() {
        out.push('[');
        for (at, item) in items.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { ", " });
            write_value(item, out)?;
        }
        out.push(']');
    } else if let Some(fields) = value.as_map() {
        out.push('{');
        for (at, (key, field)) in fields.iter().enumerate() {
            out.push_str(if at == 0 { "" } else { ", " });
            write_key(&key.to_string(), out)?;
            out.push_str(": ");
            write_value(field, out)?;
        }
        out.push('}');
    } else if value.is_none() {
        out.push_str("null");
    } else if value.is_f64() {
        out.push_str(&float(value.as_f64().unwrap_or(f64::NAN))?);
    } else if value.is_bool() || value.is_number() {
        out.push_str(&value.to_string());
    } else {
        return Err(tera::Error::message(format!("a value of type {} has no YAML", value.name())));
    }
    Ok(())
}

/// A float as YAML 1.1 and 1.2 both read one: with a dot, and a sign in the exponent.
fn float(number: f64) -> TeraResult<String> {
    if !number.is_finite() {
        return Err(tera::Error::message("a number that is not finite"));
    }
    let text = format!("{number:?}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return Ok(text) };
    let dot = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    Ok(format!("{mantissa}{dot}e{sign}{exponent}"))
}

/// Sets a component's or a partial's lines at the indentation of the line that calls it.
fn block_filter(value: Value, arguments: Kwargs, _: &State) -> TeraResult<Value> {
    let width = arguments.must_get::<usize>("width")?;
    let text = value.as_str().unwrap_or_default();
    let lines = || text.lines().filter(|line| !line.trim_start_matches(' ').is_empty());
    let common = lines().map(|line| line.len() - line.trim_start_matches(' ').len()).min().unwrap_or(0);
    let mut out = String::with_capacity(text.len() * 2);
    for line in lines() {
        out.extend(std::iter::repeat_n(' ', width));
        out.push_str(&line[common..]);
        out.push('\n');
    }
    Ok(Value::safe_string(&out))
}

fn range(arguments: Kwargs, _: &State) -> TeraResult<Vec<i64>> {
    let start = arguments.get::<i64>("start")?.unwrap_or_default();
    let end = arguments.must_get::<i64>("end")?;
    let step = arguments.get::<i64>("step_by")?.unwrap_or(1);
    if step < 1 {
        return Err(tera::Error::message("`range` takes a `step_by` of at least 1"));
    }
    let length = i128::from(end) - i128::from(start);
    if length / i128::from(step) > i128::from(MAX_RANGE) {
        return Err(tera::Error::message(format!("`range` gives at most {MAX_RANGE} numbers")));
    }
    Ok((start..end).step_by(usize::try_from(step).unwrap_or(usize::MAX)).collect())
}
