//! `kubeops store`: the store as a whole, beside the servers that work with it.
//! It takes passwords from the secret provider only, and never writes over a file or a store that it was not told to.

use super::output::{self, Colour, OutputFormat, paint, table};
use super::{EXIT_REFUSED, runtime};
use crate::app::{Side, open_store_at};
use crate::clock::{Clock, SystemClock};
use crate::config::{Settings, StoreUrl};
use crate::store::{Backup, CopiedTable, Described, IfNotEmpty, SchemaOnOpen, SqlStore, Store, StoreError, StoreKind};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It works with the store that STORE_URL and DATA_DIR name, so it runs where the server runs.\nA password is never written into an address: it is the secret STORE_PASSWORD.\n\nExamples:\n  kubeops store status\n  kubeops store backup /backups/kubeops-monday.db\n  kubeops store copy --to postgres://kubeops@db.example/kubeops"
)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show what the store is: schema, size, what waits, whether it can be written
    #[command(
        after_help = "It counts the rows of every table, which takes seconds when there are millions. It ends with 3\nwhere the store cannot be worked with as it is, and with 1 where it cannot be reached.\n\nExamples:\n  kubeops store status\n  kubeops store status --output json"
    )]
    Status,
    /// Bring the schema up to date, or make the store
    #[command(
        after_help = "As a server does when it starts, it applies everything in one transaction: whatever stops it\nleaves the old schema, and it can be run again.\n\nExample:\n  kubeops store migrate"
    )]
    Migrate,
    /// Copy everything into an empty store of either kind, and verify the copy
    #[command(
        after_help = "What is copied is one moment of the store; what servers write to it afterwards is not. To move,\nstop them first. A copy that is broken off leaves nothing that a server would take for a store,\nand is begun again by the same command.\n\nPasswords are secrets: STORE_PASSWORD_FROM and STORE_PASSWORD_TO, or STORE_PASSWORD for both.\n\nExamples:\n  kubeops store copy --to postgres://kubeops@db.example/kubeops\n  kubeops store copy --from postgres://kubeops@db.example/kubeops --to sqlite:/data/kubeops.db"
    )]
    Copy {
        #[command(flatten)]
        stores: Stores,
        /// Replace what is there, if something is.
        #[arg(long)]
        replace: bool,
    },
    /// Show whether two stores hold the same, table by table
    #[command(after_help = "It ends with 3 where they do not.\n\nExample:\n  kubeops store compare --to postgres://kubeops@db.example/kubeops")]
    Compare(Stores),
    /// Write everything the store holds into a new file, while servers work with it
    #[command(
        after_help = "The file is a SQLite database, whichever the store is kept in, readable by its owner only. It\nholds everything that was acknowledged before it was begun, and the hashes of tokens, but no\nmirrors and no settings.\n\nExamples:\n  kubeops store backup /backups/kubeops-$(date +%F).db\n  kubeops store verify /backups/kubeops-2026-11-22.db"
    )]
    Backup {
        /// Where to; there must be no such file.
        file: PathBuf,
    },
    /// Hold a backup against what it says of itself
    #[command(after_help = "Example:\n  kubeops store verify /backups/kubeops-monday.db")]
    Verify {
        /// The backup.
        file: PathBuf,
    },
    /// Bring what a backup holds into the store, while no server works with it
    #[command(
        after_help = "With --replace everything that came since the backup is lost: deliveries, requests, tokens. Commits and\nbranches that were made since, and pull requests at GitHub, are outside of the store and stay: see\n\"After restoring\" in docs/store.md. Pull requests of the local forge are in it, and go.\n\nExamples:\n  kubeops store restore /backups/kubeops-monday.db\n  kubeops store restore /backups/kubeops-monday.db --replace"
    )]
    Restore {
        /// The backup.
        file: PathBuf,
        /// Replace what is there, if something is.
        #[arg(long)]
        replace: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Stores {
    /// What is copied, as STORE_URL is written; the store of the settings when it is left out.
    #[arg(long, value_name = "URL")]
    from: Option<StoreUrl>,
    /// Where to; the store of the settings when it is left out.
    #[arg(long, value_name = "URL")]
    to: Option<StoreUrl>,
}

pub fn run(arguments: Arguments, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let settings = Settings::from_env(&|name| std::env::var(name).ok())?;
    let outcome = runtime()?.block_on(async {
        match arguments.command {
            Command::Status => status(&settings, format).await,
            Command::Migrate => migrate(&settings, format).await,
            Command::Copy { stores, replace } => copy(&settings, &stores, replace, format).await,
            Command::Compare(stores) => compare(&settings, &stores, format).await,
            Command::Backup { file } => backup(&settings, &file, format).await,
            Command::Verify { file } => {
                let backup = Backup::verified(&file).await?;
                let facts = backup.facts();
                let shown = json!({ "file": file, "made_at": facts.made_at, "kubeops": facts.kubeops, "of": facts.of, "tables": facts.tables });
                output::value(format, &shown, || {
                    let made = cell_of(&shown, "/made_at");
                    format!("{}\n{} is whole: {} at {made}", tables(&facts.tables), file.display(), facts.of)
                })?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Restore { file, replace } => restored(&settings, &file, replace, format).await,
        }
    });
    match outcome {
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::Unusable(_))) => {
            // What is meant stands in it: there may be two stores, and a file.
            output::error(&format!("{error:#}").replace("the store cannot be used: ", ""));
            Ok(ExitCode::from(EXIT_REFUSED))
        }
        outcome => outcome,
    }
}

fn cell_of(value: &Value, pointer: &str) -> String {
    output::cell(value, pointer)
}

async fn status(settings: &Settings, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let store = open_store_at(settings, &settings.store_url, Side::Only, SchemaOnOpen::AsItIs).await?;
    let described = store.describe().await?;
    let problem = match (described.unfinished, described.missing.is_empty()) {
        _ if described.copying => Some("a copy into it is under way".to_owned()),
        (true, _) => Some("a copy into it was begun and has not come to its end: begin it again".to_owned()),
        (_, false) => Some("its schema is old: run `kubeops store migrate`, or start the server".to_owned()),
        _ => store.check().await.err().map(|error| error.to_string()),
    };
    // What waits is asked of a schema that is known only.
    let waiting = if described.missing.is_empty() && !described.copying { Some(store.stats(SystemClock.now()).await?) } else { None };
    let (pending, oldest) = waiting.map_or((None, None), |stats| (Some(stats.pending_deliveries), stats.oldest_pending));
    let missing: Vec<Value> = described.missing.iter().map(|(version, what)| json!({ "version": version, "what": what })).collect();
    let rows: serde_json::Map<String, Value> = described.tables.iter().map(|(name, rows)| (name.clone(), json!(rows))).collect();
    let shown = json!({
        "store": settings.store_url.to_string(), "kind": described.kind, "software": described.software, "schema": described.version,
        "missing": missing, "unfinished": described.unfinished, "copying": described.copying, "in_use": described.in_use, "bytes": described.bytes,
        "pending_deliveries": pending, "oldest_pending": oldest, "writable": problem.is_none(), "problem": problem, "rows": rows,
    });
    output::value(format, &shown, || shown_status(settings, &described, &shown))?;
    store.close().await;
    Ok(if problem.is_none() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REFUSED) })
}

fn shown_status(settings: &Settings, described: &Described, shown: &Value) -> String {
    let database = match described.kind {
        StoreKind::Sqlite => "SQLite",
        StoreKind::Postgres => "PostgreSQL",
    };
    let missing: Vec<String> = described.missing.iter().map(|(version, what)| format!("{version} ({what})")).collect();
    let missing = if missing.is_empty() { "nothing is missing".to_owned() } else { format!("missing: {}", missing.join(", ")) };
    let writable = match shown["problem"].as_str() {
        None => paint(Colour::Green, "yes"),
        Some(problem) => format!("{}: {problem}", paint(Colour::Red, "no")),
    };
    let rows: Vec<Vec<String>> = described.tables.iter().map(|(name, rows)| vec![name.clone(), rows.to_string()]).collect();
    [
        format!("store:     {}", settings.store_url),
        format!("database:  {database} {}", described.software),
        format!("schema:    {}, {missing}", described.version),
        format!("size:      {:.1} MiB", described.bytes as f64 / (1024.0 * 1024.0)),
        format!(
            "in use:    {}",
            match (described.copying, described.in_use) {
                (true, _) => "a copy into it is under way",
                (_, true) => "a process works with it",
                _ => "no",
            }
        ),
        format!("pending:   {} deliveries, the oldest of {}", cell_of(shown, "/pending_deliveries"), cell_of(shown, "/oldest_pending")),
        format!("writable:  {writable}"),
        String::new(),
        table(&["table", "rows"], &rows),
    ]
    .join("\n")
}

async fn migrate(settings: &Settings, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let store = open_store_at(settings, &settings.store_url, Side::Only, SchemaOnOpen::Migrate).await?;
    let applied = store.migrated().to_vec();
    store.close().await;
    output::value(format, &json!({ "store": settings.store_url.to_string(), "applied": applied }), || match applied.as_slice() {
        [] => format!("{} was up to date", settings.store_url),
        applied => {
            let applied: Vec<String> = applied.iter().map(i64::to_string).collect();
            format!("{} is up to date now; applied: {}", settings.store_url, applied.join(", "))
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The two stores a command is about, the second opened as said.
async fn both(settings: &Settings, stores: &Stores, schema: SchemaOnOpen) -> anyhow::Result<(SqlStore, SqlStore)> {
    let from = stores.from.as_ref().unwrap_or(&settings.store_url);
    let to = stores.to.as_ref().unwrap_or(&settings.store_url);
    if from == to {
        anyhow::bail!("both are {from}: name another with --from or --to");
    }
    let from = open_store_at(settings, from, Side::From, SchemaOnOpen::AsItIs).await?;
    if schema == SchemaOnOpen::CopyInto {
        // Before the other is made.
        from.can_be_copied().await?;
    }
    Ok((from, open_store_at(settings, to, Side::To, schema).await?))
}

async fn copy(settings: &Settings, stores: &Stores, replace: bool, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let (from, to) = both(settings, stores, SchemaOnOpen::CopyInto).await?;
    if from.is_in_use().await? {
        output::error("a process works with what is copied: what it writes from now on is not in the copy");
    }
    let copied = from.copy_into(&to, there(replace), &mut progress()).await;
    from.close().await;
    to.close().await;
    let copied = copied?;
    output::value(format, &json!({ "tables": copied }), || format!("{}\nboth hold the same", tables(&copied)))?;
    Ok(ExitCode::SUCCESS)
}

async fn compare(settings: &Settings, stores: &Stores, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let (from, to) = both(settings, stores, SchemaOnOpen::AsItIs).await?;
    let compared = from.compare(&to).await?;
    from.close().await;
    to.close().await;
    let is_equal = compared.iter().all(crate::store::ComparedTable::is_equal);
    output::value(format, &json!({ "equal": is_equal, "tables": compared }), || {
        let rows = |side: &Option<CopiedTable>| side.as_ref().map_or_else(|| "-".to_owned(), |table| table.rows.to_string());
        let said = |equal: bool| if equal { paint(Colour::Green, "equal") } else { paint(Colour::Red, "different") };
        let lines: Vec<Vec<String>> =
            compared.iter().map(|table| vec![table.name.clone(), rows(&table.from), rows(&table.to), said(table.is_equal())]).collect();
        table(&["table", "from", "to", ""], &lines)
    })?;
    Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::from(EXIT_REFUSED) })
}

async fn backup(settings: &Settings, file: &Path, format: OutputFormat) -> anyhow::Result<ExitCode> {
    let store = open_store_at(settings, &settings.store_url, Side::Only, SchemaOnOpen::AsItIs).await?;
    let facts = store.back_up(file, SystemClock.now(), &mut progress()).await;
    store.close().await;
    let facts = facts?;
    let shown = json!({ "file": file, "made_at": facts.made_at, "of": facts.of, "tables": facts.tables });
    output::value(format, &shown, || format!("{}\n{} holds what the store held", tables(&facts.tables), file.display()))?;
    Ok(ExitCode::SUCCESS)
}

async fn restored(settings: &Settings, file: &Path, replace: bool, format: OutputFormat) -> anyhow::Result<ExitCode> {
    // Before the store is made.
    let backup = Backup::verified(file).await?;
    let store = open_store_at(settings, &settings.store_url, Side::Only, SchemaOnOpen::CopyInto).await?;
    let (mut progress, mut is_told) = (progress(), !replace);
    let mut told = |table: &str, rows: u64| {
        // Nothing stands in its way any more.
        if !std::mem::replace(&mut is_told, true) {
            output::error(&format!("what {} holds is replaced by the backup", settings.store_url));
        }
        progress(table, rows);
    };
    let facts = backup.restore(&store, there(replace), SystemClock.now(), &mut told).await;
    store.close().await;
    let facts = facts?;
    let shown = json!({ "store": settings.store_url.to_string(), "made_at": facts.made_at, "of": facts.of, "tables": facts.tables });
    output::value(format, &shown, || {
        format!("{}\n{} holds what the backup of {} holds", tables(&facts.tables), settings.store_url, cell_of(&shown, "/made_at"))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn there(replace: bool) -> IfNotEmpty {
    if replace { IfNotEmpty::Replace } else { IfNotEmpty::Refuse }
}

fn tables(copied: &[CopiedTable]) -> String {
    let rows: Vec<Vec<String>> =
        copied.iter().map(|table| vec![table.name.clone(), table.rows.to_string(), table.digest.chars().take(16).collect()]).collect();
    table(&["table", "rows", "digest"], &rows)
}

/// Tells how far long work has come, every few seconds.
fn progress() -> impl FnMut(&str, u64) {
    let mut told = Instant::now();
    move |table, rows| {
        if told.elapsed() > Duration::from_secs(2) {
            told = Instant::now();
            output::error(&format!("{table}: {rows} rows"));
        }
    }
}
