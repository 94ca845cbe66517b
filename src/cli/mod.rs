//! The command line: every job of the program as a subcommand, with help that teaches.
//! It parses, calls the library, prints, and chooses the exit code: 0 done, 1 a failure, 2 a wrong call, 3 something was refused.

mod calendar;
mod check;
mod client;
mod copilot;
mod demo;
mod diff;
mod drafts;
mod edit;
mod explain;
mod folder;
mod forges;
mod health;
mod jobs;
mod local;
mod naming;
mod output;
mod policy;
mod pulls;
mod render;
mod replay;
mod requests;
mod schema;
mod serve;
mod store;
mod templates;
mod test;
mod token;
mod trace;

use clap::{CommandFactory, Parser, Subcommand};
use output::OutputFormat;
use std::process::ExitCode;

/// A refused input: what was asked for is not allowed, or a check found errors.
pub const EXIT_REFUSED: u8 = 3;

#[derive(Debug, Parser)]
#[command(
    name = "kubeops",
    version,
    about = "Tickets and alerts in, reviewed pull requests that change Kubernetes manifests out.",
    after_help = "Examples:\n  kubeops demo                      see the whole job on this machine\n  kubeops check config/resources    lint sources, repositories, clusters, channels and automations\n  kubeops serve                     run the server; settings come from the environment",
    disable_help_subcommand = true,
    max_term_width = 100
)]
struct Cli {
    /// How to print results.
    #[arg(long, short, global = true, value_enum, default_value_t = OutputFormat::Table, value_name = "FORMAT")]
    output: OutputFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server: webhooks, worker and API in one process
    Serve(serve::Arguments),
    /// Show the main job on this machine: a ticket and an alert become pull requests
    Demo(demo::Arguments),
    /// Check a directory of resources: files, references, expressions, templates
    Check(check::Arguments),
    /// Show when calendars let changes take effect: their next windows
    Calendar(calendar::Arguments),
    /// Show the manifests an automation or a template makes, without a server
    Render(render::Arguments),
    /// List, show, render and test templates
    Templates(templates::Arguments),
    /// Show why a payload matches, or does not: every condition with its values
    Explain(explain::Arguments),
    /// Look at a stored or recorded delivery again; dry unless told otherwise
    Replay(replay::Arguments),
    /// Hold what automations make of payloads against what is expected
    Test(test::Arguments),
    /// Change fields of manifests on this machine, and nothing else in them
    Edit(edit::Arguments),
    /// Show what differs between two states of manifests, object by object
    Diff(diff::Arguments),
    /// List, show, ask for, retry, hold, release and cancel requests
    Requests(requests::Arguments),
    /// Have a language model draft what you ask for: start, follow and cancel jobs
    Jobs(jobs::Arguments),
    /// Say in a sentence what you want: a language model fills the request, and you file it
    Copilot(copilot::Arguments),
    /// Show what language models drafted for a request, and what was said in it
    Drafts(drafts::Arguments),
    /// Show everything kept about a ticket, alert, commit, branch or pull request
    Trace(trace::Arguments),
    /// Test policies and list those in force
    Policy(policy::Arguments),
    /// List, show, approve, merge and close pull requests of the local forge
    Pulls(pulls::Arguments),
    /// Show the rate budgets at forges and what waits for them
    Forges(forges::Arguments),
    /// Look at the store, bring it up to date, copy it, back it up and restore it
    Store(store::Arguments),
    /// Make, list and revoke API tokens
    Token(token::Arguments),
    /// Ask the server on this machine whether it is ready
    Health(health::Arguments),
    /// Print the JSON Schema of a kind of resource, for editors
    Schema(schema::Arguments),
    /// Print a completion script for a shell
    #[command(
        after_help = "Examples:\n  source <(kubeops completions bash)\n  kubeops completions zsh > \"${fpath[1]}/_kubeops\"\n  kubeops completions fish > ~/.config/fish/completions/kubeops.fish"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the program with this process's arguments.
pub fn main() -> ExitCode {
    // The child that renders templates takes no arguments and must stay small: nothing else is set up for it.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == crate::sandbox::WORKER_ARGUMENT) {
        return crate::sandbox::worker_main();
    }
    // So is the one that becomes the program which builds kustomizations.
    if std::env::args_os().nth(1).is_some_and(|argument| argument == crate::sandbox::BUILD_ARGUMENT) {
        return crate::sandbox::build_worker_main(std::env::args_os().skip(2));
    }
    // So is the child that git runs to ask for a token.
    if crate::git::is_askpass() {
        return crate::git::askpass_main();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            output::error(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let format = cli.output;
    match cli.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Check(arguments) => check::run(&arguments, format),
        Command::Calendar(arguments) => calendar::run(&arguments, format),
        Command::Render(arguments) => render::run(&arguments, format),
        Command::Templates(arguments) => templates::run(&arguments, format),
        Command::Explain(arguments) => explain::run(&arguments, format),
        Command::Replay(arguments) => replay::run(&arguments, format),
        Command::Test(arguments) => test::run(&arguments, format),
        Command::Edit(arguments) => edit::run(&arguments, format),
        Command::Diff(arguments) => diff::run(&arguments, format),
        Command::Requests(arguments) => requests::run(arguments, format),
        Command::Jobs(arguments) => jobs::run(arguments, format),
        Command::Copilot(arguments) => copilot::run(arguments, format),
        Command::Drafts(arguments) => drafts::run(arguments, format),
        Command::Trace(arguments) => trace::run(&arguments, format),
        Command::Policy(arguments) => policy::run(&arguments, format),
        Command::Pulls(arguments) => pulls::run(arguments, format),
        Command::Forges(arguments) => forges::run(&arguments, format),
        Command::Store(arguments) => store::run(arguments, format),
        Command::Token(arguments) => token::run(arguments, format),
        Command::Health(arguments) => health::run(&arguments, format),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions { shell } => {
            // Written whole first: the generator panics when a pipe is closed.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "kubeops", &mut script);
            output::text(&String::from_utf8_lossy(&script));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A runtime for commands that talk to a server or a database: one thread is enough.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
