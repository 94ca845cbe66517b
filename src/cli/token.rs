//! `kubeops token`: API tokens, made beside the store, for the first one nobody has a token yet.

use super::output::{self, Colour, OutputFormat, cell, paint, table};
use super::runtime;
use crate::api::token_name;
use crate::app::{issue_token, open_existing_store, open_store, store_file};
use crate::clock::{Clock, SystemClock};
use crate::config::Settings;
use crate::store::{Role, TokenRecord};
use crate::types::TokenId;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It opens the store that STORE_URL and DATA_DIR name, so it runs where the server runs; the server\nmay be up. Only create makes a store that is not there.\n\nExamples:\n  export KUBEOPS_TOKEN=$(kubeops token create --name me --role operator)\n  kubeops token list\n  kubeops token revoke tok_01k..."
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a token; it is printed once and kept only as a hash
    #[command(
        after_help = "Examples:\n  export KUBEOPS_TOKEN=$(kubeops token create --name me --role operator)\n  kubeops token create --name ci --role viewer --expires 30 --output json"
    )]
    Create {
        /// What to call it; appears in timelines as who did something.
        #[arg(long, value_parser = token_name)]
        name: String,
        /// What it may do: viewer reads, operator also asks and merges, admin also makes tokens.
        #[arg(long, value_parser = parse_role)]
        role: Role,
        /// Days until it stops working.
        #[arg(long, value_name = "DAYS")]
        expires: Option<u32>,
    },
    /// List tokens
    #[command(after_help = "Example:\n  kubeops token list --output json")]
    List,
    /// Revoke a token
    #[command(after_help = "Example:\n  kubeops token revoke tok_01k...")]
    Revoke {
        /// The token's id, not the token.
        id: TokenId,
    },
}

fn parse_role(text: &str) -> Result<Role, String> {
    match text {
        "viewer" => Ok(Role::Viewer),
        "operator" => Ok(Role::Operator),
        "admin" => Ok(Role::Admin),
        _ => Err("one of viewer, operator, admin".to_owned()),
    }
}

pub fn run(arguments: Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let settings = Settings::from_env(&|name| std::env::var(name).ok())?;
    runtime()?.block_on(async {
        let (file, creates) = (store_file(&settings), matches!(arguments.command, Command::Create { .. }));
        let is_new = file.as_ref().is_some_and(|file| !file.exists());
        let place = file.map_or_else(|| settings.store_url.to_string(), |file| file.display().to_string());
        let store = if creates { open_store(&settings).await? } else { open_existing_store(&settings).await? };
        let now = SystemClock.now();
        match arguments.command {
            Command::Create { name, role, expires } => {
                let expires_at = expires.map(|days| now.plus(Duration::from_secs(u64::from(days) * 86_400)));
                let (record, token) = issue_token(store.as_ref(), &SystemClock, &name, role, expires_at).await?;
                let shown = json!({ "id": record.id, "name": record.name, "role": record.role, "expires_at": record.expires_at, "token": token });
                output::value(format, &shown, || token.clone())?;
                output::error(&written_to(&place, is_new));
            }
            Command::List => {
                let tokens: Vec<Value> = store.tokens().await?.iter().map(view).collect();
                output::value(format, &tokens, || {
                    let rows: Vec<Vec<String>> = tokens
                        .iter()
                        .map(|t| {
                            vec![
                                cell(t, "/id"),
                                cell(t, "/name"),
                                cell(t, "/role"),
                                cell(t, "/created_at"),
                                cell(t, "/expires_at"),
                                cell(t, "/revoked_at"),
                            ]
                        })
                        .collect();
                    table(&["id", "name", "role", "created", "expires", "revoked"], &rows)
                })?;
            }
            Command::Revoke { id } => {
                store.revoke_token(&id, now).await?;
                output::value(format, &json!({ "id": id, "revoked_at": now }), || paint(Colour::Green, &format!("{id} is revoked")))?;
            }
        }
        store.close().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Which store knows the token. Only a server of the same store takes it, so a new store is told plainly.
fn written_to(place: &str, is_new: bool) -> String {
    if is_new {
        format!(
            "there was no store at {place}, so a new one was made for this token\n  hint: a server with another store does not know it; set DATA_DIR or STORE_URL to the server's"
        )
    } else {
        format!("the token is in the store {place}")
    }
}

fn view(token: &TokenRecord) -> Value {
    json!({ "id": token.id, "name": token.name, "role": token.role, "created_at": token.created_at, "expires_at": token.expires_at, "revoked_at": token.revoked_at })
}
