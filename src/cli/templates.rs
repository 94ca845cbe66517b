//! `kubeops templates`: what the catalogue holds, what a template takes and gives, and whether the examples still hold.
//! It needs neither server nor resources: the shipped templates, and those of a directory of one's own.

mod examples;
pub(super) mod gate;
mod show;

use super::local::Templates;
use super::output::{self, OutputFormat};
use super::render;
use crate::render::{Catalogue, Origin, Template};
use crate::types::{TemplateName, nearest};
use anyhow::bail;
use clap::Subcommand;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kubeops templates list\n  kubeops templates show deployment\n  kubeops templates test --templates templates")]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the templates: what each is for, what it makes, where it comes from
    List(List),
    /// Show one template: what it is for, its parameters, its examples
    Show(show::Arguments),
    /// The same as `kubeops render`
    Render(Box<render::Arguments>),
    /// Render every example and compare it with what is expected
    Test(examples::Arguments),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  kubeops templates list\n  kubeops templates list --templates templates --output json")]
struct List {
    #[command(flatten)]
    templates: Templates,
}

pub fn run(arguments: &Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    match &arguments.command {
        Command::List(arguments) => list(&arguments.templates.catalogue()?, format),
        Command::Show(arguments) => show::run(arguments, format),
        Command::Render(arguments) => render::run(arguments, format),
        Command::Test(arguments) => examples::run(arguments, format),
    }
}

fn list(catalogue: &Catalogue, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let all: Vec<Value> = catalogue.templates().map(summary).collect();
    output::value(format, &all, || {
        let row = |template: &Template| {
            let kinds = template.kinds().join(", ");
            vec![template.name().to_string(), origin(template.origin()).to_owned(), output::printable(template.purpose()), kinds]
        };
        output::table(&["name", "catalogue", "what it is for", "makes"], &catalogue.templates().map(row).collect::<Vec<_>>())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What programs are told of a template in a list.
fn summary(template: &Template) -> Value {
    json!({
        "name": template.name(),
        "purpose": template.purpose(),
        "kinds": template.kinds(),
        "catalogue": template.origin(),
        "digest": template.digest(),
    })
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::BuiltIn => "built in",
        Origin::Affected => "built in, with shared files of your own",
        Origin::Own => "own",
        Origin::Replaced => "own, in place of the built-in one",
    }
}

/// The template of that name, or an error with the name that was probably meant.
///
/// # Errors
/// When there is none.
pub(super) fn known<'c>(catalogue: &'c Catalogue, name: &TemplateName) -> anyhow::Result<&'c Template> {
    if let Some(template) = catalogue.get(name) {
        return Ok(template);
    }
    match nearest(name.as_str(), catalogue.templates().map(|template| template.name().as_str())) {
        Some(near) => bail!("there is no template {name}; did you mean {near}?"),
        None => bail!("there is no template {name}; `kubeops templates list` shows them all"),
    }
}
