//! Ten million deliveries and events that are kept, against ten thousand: what senders and listings notice of them, on both databases. The
//! stores are filled by statements of their own, without the indexes, which are made afterwards as the schema has them.

use crate::Setting;
use crate::database::Postgres;
use crate::ingest::{CONNECTIONS, Counted, MOST_A_SECOND, SOURCE, Sender};
use crate::load::Outcome;
use crate::report::{Reference, Report, Sorted};
use crate::server::{self, Running, Scratch};
use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kubeops::clock::{Clock as _, SystemClock};
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

/// Deliveries, and as many events, of the large store and of the small one.
const MANY: usize = 10_000_000;
const FEW: usize = 10_000;
/// Deliveries whose bodies share a row, as those of a commit do in SQLite.
const TOGETHER: usize = 100;
/// Bytes of a body: what is kept, not what it says, is what counts here, and it must fit on the disk.
const BODY: usize = 128;
/// Deliveries that are sent before the measurement begins: the index of their keys is met at random places, and so many of them meet nearly each of
/// its pages, which is then in memory, and whole in the log, as in a store that has been at work for a while.
const WARM_UP: usize = 150_000;
/// What PostgreSQL's own manual advises for a machine that is a database's: about a quarter of the memory. With its default, 128 MiB, ten million
/// keys do not stay in memory.
const BUFFERS: &str = "shared_buffers=4GB";
/// Times that each listing is asked for.
const ASKED: usize = 200;

/// What people and programs ask for; `{delivery}`, `{event}` and `{deep}` are filled in.
const LISTINGS: &[(&str, &str)] = &[
    ("deliveries", "/api/v1/deliveries"),
    ("deliveries of a source", "/api/v1/deliveries?source=service-desk"),
    ("failed deliveries", "/api/v1/deliveries?state=failed"),
    ("dispatched deliveries", "/api/v1/deliveries?state=dispatched"),
    ("waiting deliveries", "/api/v1/deliveries?state=pending"),
    ("ignored deliveries", "/api/v1/deliveries?state=ignored"),
    ("a delivery", "/api/v1/deliveries/{delivery}"),
    ("events", "/api/v1/events"),
    ("events of a source", "/api/v1/events?source=alertmanager"),
    ("events of a type", "/api/v1/events?type=alert.resolved"),
    ("events of a subject", "/api/v1/events?subject=OPS-1000042"),
    ("events of a delivery", "/api/v1/events?delivery={delivery}"),
    ("an event", "/api/v1/events/{event}"),
    ("500 events", "/api/v1/events?limit=500"),
    ("events from the middle on", "/api/v1/events?after={deep}"),
    ("requests", "/api/v1/requests"),
    ("the status", "/api/v1/status"),
    ("why", "/api/v1/trace/{delivery}"),
];

/// One store that was filled, and the server on it.
struct Filled {
    place: Scratch,
    database: Option<Postgres>,
    kubeops: Running,
    token: String,
    count: usize,
}

/// Measures `history.*`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    for on_postgres in [false, true] {
        let store = if on_postgres { "postgres" } else { "sqlite" };
        let few = Filled::start(setting, report, on_postgres, setting.effort.pick(FEW, 1_000))?;
        let many = Filled::start(setting, report, on_postgres, setting.effort.pick(MANY, 20_000))?;
        listings(setting, report, store, &few, &many)?;
        ingest(setting, report, store, &few, &many)?;
        few.end()?;
        many.end()?;
    }
    Ok(())
}

fn reference(value: f64) -> Reference<'static> {
    Reference { value, what: "with 10 thousand events" }
}

/// Asks both stores in turns for every listing.
fn listings(setting: &Setting, report: &mut Report, store: &str, few: &Filled, many: &Filled) -> anyhow::Result<()> {
    let mut slowest = (0.0, 1.0);
    for (name, path) in LISTINGS {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..setting.effort.pick(ASKED, 3) {
            for (times, store) in times.iter_mut().zip([few, many]) {
                let middle = store.count / 2;
                let path = path.replace("{delivery}", &id("dlv", middle)).replace("{event}", &id("evt", middle)).replace("{deep}", &store.cursor());
                let begun = Instant::now();
                store.get(&path)?;
                times.push(begun.elapsed());
            }
        }
        let [few, many] = times.map(|times| Sorted::new(times).millis(50.0));
        report.note(&format!("{name:<28} {many:>8.2} ms, {few:>8.2} ms: {:.2}", many / few));
        if many / few > slowest.0 / slowest.1 {
            slowest = (many, few);
        }
    }
    report.figure(&format!("history.{store}_slowest_listing_ms"), slowest.0, "ms", reference(slowest.1))
}

/// Sends to both stores in turns; who is not measured is stopped meanwhile, and what was taken is dispatched before: else the second round would be
/// measured with the first one's rest.
fn ingest(setting: &Setting, report: &mut Report, store: &str, few: &Filled, many: &Filled) -> anyhow::Result<()> {
    let (rounds, time) = setting.effort.pick((4, Duration::from_secs(5)), (1, Duration::from_millis(500)));
    let mut outcomes = [Vec::new(), Vec::new()];
    let senders = [few, many].map(|store| {
        let warm_up = setting.effort.pick(WARM_UP.min(store.count), 100);
        Sender::new(SOURCE, warm_up + MOST_A_SECOND / 2 * usize::try_from((time * (rounds + 1)).as_secs() + 1)?, false)
            .map(|sender| (warm_up, sender))
    });
    let [one, other] = senders;
    let senders = [one?, other?];
    for ((store, other), (warm_up, sender)) in [(few, many), (many, few)].into_iter().zip(&senders) {
        let _paused = other.kubeops.paused();
        let mut sent = 0;
        while sent < *warm_up {
            sent += sender.send(store.kubeops.address, CONNECTIONS, time / 2)?.answered;
            store.comes_to_rest()?;
        }
    }
    for _ in 0..rounds {
        for (((store, other), (_, sender)), outcomes) in [(few, many), (many, few)].into_iter().zip(&senders).zip(&mut outcomes) {
            let _paused = other.kubeops.paused();
            outcomes.push(sender.send(store.kubeops.address, CONNECTIONS, time)?);
            store.comes_to_rest()?;
        }
    }
    let [(few, few_times), (many, many_times)] = outcomes.map(Outcome::joined);
    // The time of a delivery, so that more is worse here as well.
    report.figure(&format!("history.{store}_ingest_us"), 1e6 / many, "µs", reference(1e6 / few))?;
    report.note(&format!("10 million: {many:.0}/s, {}; 10 thousand: {few:.0}/s, {}", many_times.told(), few_times.told()));
    Ok(())
}

/// The id of a number.
fn id(prefix: &str, number: usize) -> String {
    format!("{prefix}_01k{number:023}")
}

impl Filled {
    fn start(setting: &Setting, report: &Report, on_postgres: bool, count: usize) -> anyhow::Result<Self> {
        let place = Scratch::new(setting, &format!("history-{count}"))?;
        server::write_resources(&place)?;
        let database = if on_postgres { Some(Postgres::start(&place, &[BUFFERS])?) } else { None };
        std::fs::create_dir_all(place.join("data"))?;
        let url = match &database {
            Some(database) => database.url(),
            None => format!("sqlite:{}", place.join("data/kubeops.db").display()),
        };
        let run = |arguments: &[&str]| -> anyhow::Result<String> {
            let mut command = Command::new(&setting.kubeops);
            let told = command.args(arguments).env_clear().env("STORE_URL", &url).env("DATA_DIR", place.join("data")).output()?;
            ensure!(told.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&told.stderr));
            Ok(String::from_utf8(told.stdout)?)
        };
        run(&["store", "migrate"])?;
        let token = run(&["token", "create", "--role", "admin", "--name", "bench"])?;
        let token = token.split_whitespace().find(|word| word.starts_with("kops_")).context("no token")?.to_owned();
        let begun = Instant::now();
        match &database {
            Some(database) => fill_postgres(database, count)?,
            None => fill_sqlite(&place.join("data/kubeops.db").to_string_lossy(), count)?,
        }
        if count >= MANY {
            report.note(&format!("filled in {:.0} s", begun.elapsed().as_secs_f64()));
        }
        let settings = [("STORE_URL", url.as_str()), ("ENABLE_METRICS", "true"), ("API_CALLS_PER_MINUTE", "1000000")];
        let kubeops = server::kubeops_with(setting, &place, &settings)?;
        Ok(Self { place, database, kubeops, token, count })
    }

    /// Ends its server and its database, and removes both.
    fn end(self) -> anyhow::Result<()> {
        self.kubeops.end()?;
        self.database.map_or(Ok(()), Postgres::end)?;
        drop(self.place);
        Ok(())
    }

    /// Waits until all that was taken is dispatched.
    fn comes_to_rest(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while Counted::read(&self.kubeops)?.pending > 0.0 {
            ensure!(begun.elapsed() < Duration::from_secs(120), "it does not come to rest");
        }
        Ok(())
    }

    /// The body of an answer.
    fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(self.kubeops.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let (address, token) = (self.kubeops.address, &self.token);
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "{path} was answered: {answer}");
        Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    /// Where a listing of events goes on in the middle: what `next` would be there, had somebody gone through half of them.
    fn cursor(&self) -> String {
        let cursor = URL_SAFE_NO_PAD.encode(format!("events:{}", self.count / 2));
        let check = &Sha256::digest(&cursor)[..4];
        URL_SAFE_NO_PAD.encode([check, cursor.as_bytes()].concat())
    }
}

/// What the rows of `n`, which counts from 1 to `COUNT`, say in words that both databases know. A hundredth is nobody's, and as many could not be read;
/// twenty events are about one subject, however many there are.
const DELIVERIES: &str = "INSERT INTO deliveries (seq, id, source, received_at, handled, dedup, attributes, length, BODY_COLUMNS) \
    SELECT n, ID('dlv', n), CASE WHEN n % 10 < 7 THEN 'service-desk' ELSE 'alertmanager' END, NOW - (COUNT - n) * SPREAD / COUNT, \
    CASE WHEN n % 100 = 0 THEN 0 ELSE 1 END, DEDUP, '{\"content-type\":\"application/json\",\"user-agent\":\"Atlassian Webhook HTTP Client\"}', BODY_BYTES, BODY_VALUES FROM NUMBERS";
const EVENTS: &str = "INSERT INTO events (seq, id, delivery, source, kind, subject, time, recorded_at, dedup, repeats, decisions) \
    SELECT n, ID('evt', n), ID('dlv', n), CASE WHEN n % 10 < 7 THEN 'service-desk' ELSE 'alertmanager' END, \
    CASE n % 10 WHEN 9 THEN 'alert.resolved' WHEN 8 THEN 'alert.firing' WHEN 7 THEN 'alert.firing' ELSE 'jira.issue.transitioned' END, \
    'OPS-' || (1000000 + n / 20), NOW - (COUNT - n) * SPREAD / COUNT, NOW - (COUNT - n) * SPREAD / COUNT, DEDUP, NULL, \
    '[{\"automation\":\"namespace-request\",\"matched\":false,\"explanation\":null,\"message\":\"another kind of ticket\"}]' FROM NUMBERS";
const FAILED: &str = "INSERT INTO deliveries_failed (seq, error) SELECT seq, 'no JSON' FROM deliveries WHERE seq % 100 = 1";
/// The tables whose indexes and triggers are put aside meanwhile.
const TABLES: &str = "('deliveries', 'events', 'arrivals', 'deliveries_failed')";

/// A statement with its words filled in; the last month, up to this moment, has all that is kept.
fn told(statement: &str, count: usize, words: &[(&str, &str)]) -> String {
    let month = Duration::from_secs(30 * 86_400).as_millis();
    let now = SystemClock.now().unix_millis().to_string();
    let common = [("BODY_BYTES", BODY.to_string()), ("COUNT", count.to_string()), ("SPREAD", month.to_string()), ("NOW", now)];
    let statement = words.iter().fold(statement.to_owned(), |text, (word, value)| text.replace(word, value));
    common.iter().fold(statement, |text, (word, value)| text.replace(word, value))
}

fn fill_sqlite(file: &str, count: usize) -> anyhow::Result<()> {
    let bodies = format!("(n - 1) / {TOGETHER} + 1, (n - 1) % {TOGETHER} * {BODY}");
    let numbers = "(WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < COUNT) SELECT n FROM numbers)";
    let words = [
        ("BODY_COLUMNS", "arrival, start"),
        ("BODY_VALUES", bodies.as_str()),
        ("ID('dlv', n)", "printf('dlv_01k%023d', n)"),
        ("ID('evt', n)", "printf('evt_01k%023d', n)"),
        ("DEDUP", "randomblob(16)"),
        ("NUMBERS", numbers),
    ];
    let arrivals = format!(
        "INSERT INTO arrivals (seq, count, waiting, received_at, keys, heads, bodies) \
         SELECT n, {TOGETHER}, 0, NOW, x'', '[]', randomblob({TOGETHER} * BODY_BYTES) FROM NUMBERS WHERE n <= COUNT / {TOGETHER}"
    );
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut connection = SqliteConnection::connect(file).await?;
        let mut run = async |statement: &str| {
            sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.with_context(|| statement.to_owned())
        };
        // Nobody reads it meanwhile, and when this breaks off it is thrown away.
        run("PRAGMA foreign_keys = OFF").await?;
        run("PRAGMA journal_mode = OFF").await?;
        run("PRAGMA synchronous = OFF").await?;
        run("PRAGMA cache_size = -1000000").await?;
        let aside = sqlx::raw_sql(AssertSqlSafe(format!(
            "SELECT type, name, sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL AND tbl_name IN {TABLES}"
        )));
        let aside = aside.fetch_all(&mut connection).await?;
        let mut run = async |statement: &str| {
            sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.with_context(|| statement.to_owned())
        };
        for one in &aside {
            run(&format!("DROP {} {}", one.get::<String, _>(0), one.get::<String, _>(1))).await?;
        }
        for statement in [arrivals.as_str(), DELIVERIES, EVENTS, FAILED, "UPDATE arrivals_filed SET upto = (SELECT max(seq) FROM arrivals)"] {
            run(&told(statement, count, &words)).await?;
        }
        for one in &aside {
            run(&one.get::<String, _>(2)).await?;
        }
        Ok(connection.close().await?)
    })
}

fn fill_postgres(database: &Postgres, count: usize) -> anyhow::Result<()> {
    let body = format!("decode(repeat(md5(n::text), {BODY} / 16), 'hex')");
    let words = [
        ("BODY_COLUMNS", "body"),
        ("BODY_VALUES", body.as_str()),
        ("ID('dlv', n)", "'dlv_01k' || lpad(n::text, 23, '0')"),
        ("ID('evt', n)", "'evt_01k' || lpad(n::text, 23, '0')"),
        ("DEDUP", "decode(md5(random()::text || n), 'hex')"),
        ("NUMBERS", "generate_series(1::bigint, COUNT) AS numbers (n)"),
    ];
    let indexes = format!("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename IN {TABLES} AND indexname NOT LIKE '%_pkey'");
    let indexes = database.psql(&indexes)?;
    let names = indexes.lines().filter_map(|line| line.split(" INDEX ").nth(1)?.split(' ').next());
    database.psql(&names.map(|name| format!("DROP INDEX {name};")).collect::<String>())?;
    database.psql("ALTER TABLE deliveries DISABLE TRIGGER USER; ALTER TABLE events DISABLE TRIGGER USER")?;
    for statement in [DELIVERIES, EVENTS, FAILED] {
        database.psql(&told(statement, count, &words))?;
    }
    for (table, next) in [("deliveries", count), ("events", count)] {
        database.psql(&format!("SELECT setval(pg_get_serial_sequence('{table}', 'seq'), {next})"))?;
    }
    for index in indexes.lines() {
        database.psql(&format!("SET maintenance_work_mem = '1GB'; {index}"))?;
    }
    database.psql("ALTER TABLE deliveries ENABLE TRIGGER USER; ALTER TABLE events ENABLE TRIGGER USER")?;
    database.psql("VACUUM ANALYZE")?;
    // What was written for it is on disk before something is measured.
    database.psql("CHECKPOINT").map(|_| ())
}
