//! PostgreSQL as the store: deliveries that are on disk there before they are answered, against what `pgbench` inserts of the same size in the
//! same batches; then two processes on one database against one, and what each stage costs in processor time.

use crate::Setting;
use crate::database::{Postgres, each};
use crate::deliveries::body_of;
use crate::feedback::tell_tickets;
use crate::ingest::{CONNECTIONS, Counted, MOST_A_SECOND, SOURCE, Sender};
use crate::load::Outcome;
use crate::push::World;
use crate::remote::LEDGER;
use crate::report::{Reference, Report, Sorted};
use crate::server::{self, Running, Scratch};
use anyhow::{Context, bail, ensure};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Clients of `pgbench` beside the one that inserts as the inbox does, batch after batch.
const CLIENTS: usize = 4;
/// Tickets that are worked on from end to end.
const TICKETS: usize = 300;
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures `postgres.*` and `replicas.*`.
pub fn measure(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let place = Scratch::new(setting, "postgres")?;
    server::write_resources(&place)?;
    let database = Postgres::start(&place, &[])?;
    deliveries(setting, &place, &database, report)?;
    two(setting, &place, &database, report)?;
    database.end()?;
    drop(place);
    work(setting, report)
}

fn deliveries(setting: &Setting, place: &Scratch, database: &Postgres, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, time) = setting.effort.pick((4, Duration::from_secs(4)), (1, Duration::from_secs(1)));
    let sender = Sender::new(SOURCE, MOST_A_SECOND / 2 * usize::try_from((time * (rounds + 1)).as_secs() + 1)?, false)?;
    let url = database.url();
    let kubeops = server::kubeops_with(setting, place, &[("STORE_URL", &url), ("ENABLE_METRICS", "true")])?;
    // How many deliveries a commit has here is what the reference does as well.
    let before = Counted::read(&kubeops)?;
    sender.send(kubeops.address, CONNECTIONS, time)?;
    let after = Counted::read(&kubeops)?;
    let batch = ((after.deliveries - before.deliveries) / (after.commits - before.commits)).round().max(1.0) as usize;
    let plain = script(place, database, "plain", batch)?;
    let dressed = script(place, database, "dressed", batch)?;
    let (mut ours, mut bare, mut many, mut same) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut spent, mut spent_there) = (Duration::ZERO, Duration::ZERO);
    for round in 1..=rounds {
        {
            let _paused = kubeops.paused();
            bare.push(database.pgbench(&plain, 1, time)? * batch as f64);
            many.push(database.pgbench(&plain, CLIENTS, time)? * batch as f64);
            same.push(database.pgbench(&dressed, 1, time)? * batch as f64);
        }
        let (own, there) = (kubeops.processor_time()?, database.processor_time()?);
        ours.push(sender.send(kubeops.address, CONNECTIONS, time)?);
        spent += kubeops.processor_time()?.saturating_sub(own);
        spent_there += database.processor_time()?.saturating_sub(there);
        let (Some(ours), Some(bare)) = (ours.last(), bare.last()) else { bail!("nothing was measured") };
        report.note(&format!("round {round} of {rounds}: pgbench {bare:.0}/s, kubeops {:.0}/s", ours.rate()));
    }
    let (rate, times) = Outcome::joined(ours);
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let reference = Reference { value: mean(&bare), what: "pgbench, same size and batches" };
    report.figure("postgres.durable_vs_pgbench", rate, "deliveries/s", reference)?;
    report.note(&format!(
        "batches of {batch}; pgbench with {CLIENTS} clients {:.0}/s; with the indexes and triggers of ours, one client {:.0}/s; {}",
        mean(&many),
        mean(&same),
        times.told()
    ));
    let taken = rate * (time * rounds).as_secs_f64();
    report.note(&format!("processor time a delivery: {} of kubeops, {} of PostgreSQL", each(spent, taken), each(spent_there, taken)));
    kubeops.end()
}

/// A table that has what a delivery has, and a script that inserts a batch into it: `plain` with nothing but its key, `dressed` with the indexes
/// and triggers that deliveries have.
fn script(place: &Scratch, database: &Postgres, table: &str, batch: usize) -> anyhow::Result<PathBuf> {
    if table == "plain" {
        database.psql("CREATE TABLE plain (seq BIGSERIAL PRIMARY KEY, id TEXT, source TEXT, received_at BIGINT, handled BIGINT, dedup BYTEA, attributes TEXT, length BIGINT, body BYTEA)")?;
    } else {
        database.psql(
            "CREATE TABLE dressed (LIKE deliveries INCLUDING ALL); CREATE TABLE dressed_pending (seq BIGINT PRIMARY KEY);
             CREATE FUNCTION dressed_wait() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN INSERT INTO dressed_pending (seq) SELECT seq FROM added WHERE handled = 1; RETURN NULL; END $$;
             CREATE TRIGGER dressed_wait AFTER INSERT ON dressed REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION dressed_wait();",
        )?;
    }
    let body = body_of(1).replace('\'', "''");
    let attributes = r#"{"content-type": "application/json; charset=UTF-8", "user-agent": "Atlassian Webhook HTTP Client", "path": "/api/v1/webhooks/service-desk"}"#;
    let row = format!(
        "(md5(random()::text), 'service-desk', 1795262400250, 1, decode(md5(random()::text), 'hex'), '{attributes}', {}, convert_to('{body}', 'UTF8'))",
        body.len()
    );
    let rows = vec![row; batch].join(",\n");
    let file = place.join(&format!("{table}.sql"));
    std::fs::write(&file, format!("INSERT INTO {table} (id, source, received_at, handled, dedup, attributes, length, body) VALUES\n{rows};\n"))?;
    Ok(file)
}

/// The same deliveries to one process and to two, which share the connections.
fn two(setting: &Setting, place: &Scratch, database: &Postgres, report: &mut Report) -> anyhow::Result<()> {
    let (rounds, time) = setting.effort.pick((4, Duration::from_secs(4)), (1, Duration::from_secs(1)));
    database.psql("DROP TABLE plain, dressed; TRUNCATE deliveries, deliveries_pending, events CASCADE")?;
    let sender = Sender::new(SOURCE, MOST_A_SECOND / 2 * usize::try_from((time * (2 * rounds + 1)).as_secs() + 1)?, false)?;
    let url = database.url();
    let start = |name: &str| server::replica(setting, place, name, &[("STORE_URL", &url)]);
    let (first, second) = (start("-1")?, start("-2")?);
    let both = |time: Duration| -> anyhow::Result<Vec<Outcome>> {
        std::thread::scope(|scope| {
            let sent: Vec<_> = [&first, &second].map(|one| scope.spawn(|| sender.send(one.address, CONNECTIONS / 2, time))).into_iter().collect();
            sent.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a sending thread broke"))).collect()
        })
    };
    both(time / 2)?;
    let (mut one, mut two, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let mut rests = Vec::new();
    for _ in 0..rounds {
        {
            // Who is stopped in the middle of a dispatch would stop the other one too.
            rests.push(comes_to_rest(database)?);
            let _paused = second.paused();
            one.push(sender.send(first.address, CONNECTIONS, time)?);
        }
        rests.push(comes_to_rest(database)?);
        let outcomes = both(time)?;
        two.push(outcomes.iter().map(Outcome::rate).sum::<f64>());
        times.extend(outcomes.into_iter().flat_map(|outcome| outcome.latencies));
    }
    let (rate, alone) = Outcome::joined(one);
    let reference = Reference { value: rate, what: "one process" };
    report.figure("replicas.ingest_2_vs_1", two.iter().sum::<f64>() / two.len() as f64, "deliveries/s", reference)?;
    report.note(&format!("one: {}; two: {}", alone.told(), Sorted::new(times).told()));
    let (waiting, took) = rests.iter().fold((0.0, 0.0), |(waiting, took), (count, time)| (waiting + count, took + time.as_secs_f64()));
    report.note(&format!("then, without load, {:.0} deliveries a second are dispatched", waiting / took));
    first.end()?;
    second.end()
}

/// Waits until all that was taken is dispatched: how many they were, and how long it took.
fn comes_to_rest(database: &Postgres) -> anyhow::Result<(f64, Duration)> {
    let waiting = || -> anyhow::Result<f64> { Ok(database.psql("SELECT count(*) FROM deliveries_pending")?.parse()?) };
    let (begun, count) = (Instant::now(), waiting()?);
    while waiting()? > 0.0 {
        ensure!(begun.elapsed() < PATIENCE, "it does not come to rest");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok((count, begun.elapsed()))
}

/// Tickets that all come at once, from the first webhook to the last comment, on one process and on two.
fn work(setting: &Setting, report: &mut Report) -> anyhow::Result<()> {
    let mut rates = [Vec::new(), Vec::new()];
    let mut costs = Vec::new();
    for _ in 0..setting.effort.pick(3, 1) {
        for (rates, replicas) in rates.iter_mut().zip(1..) {
            let (rate, cost) = worked(setting, replicas)?;
            rates.push(rate);
            costs.push(format!("{replicas}: {cost}"));
        }
    }
    let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
    let reference = Reference { value: mean(&rates[0]), what: "one process" };
    report.figure("replicas.work_2_vs_1", mean(&rates[1]), "tickets/s", reference)?;
    costs.iter().for_each(|cost| report.note(&format!("processor time a ticket, replicas {cost}")));
    Ok(())
}

/// How many tickets a second so many processes bring from their webhooks to their comments, and what one costs.
fn worked(setting: &Setting, replicas: usize) -> anyhow::Result<(f64, String)> {
    let tickets = setting.effort.pick(TICKETS, 10);
    let place = Scratch::new(setting, "postgres-work")?;
    let database = Postgres::start(&place, &[])?;
    let url = database.url();
    let settings = [("FORGE_WRITE_PAUSE_MS", "0"), ("STORE_URL", url.as_str())];
    let mut world = World::start(setting, 1_000, &settings, tell_tickets)?;
    let others: Vec<Running> =
        (1..replicas).map(|number| server::replica(setting, &world.place, &format!("-{number}"), &settings)).collect::<anyhow::Result<_>>()?;
    world.warm_up()?;
    let lines = |world: &World| {
        std::fs::read_to_string(world.place.join(LEDGER)).unwrap_or_default().lines().filter(|line| line.starts_with("comment")).count()
    };
    let wait_for = |world: &World, wanted: usize| -> anyhow::Result<()> {
        let begun = Instant::now();
        while lines(world) < wanted {
            let log = || std::fs::read_to_string(world.place.join("kubeops.log")).unwrap_or_default();
            (begun.elapsed() < PATIENCE)
                .then_some(())
                .with_context(|| format!("{} of {wanted} comments; the server said:\n{}", lines(world), log()))?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    };
    wait_for(&world, 3)?;
    let spent = |world: &World| -> anyhow::Result<Duration> {
        others.iter().try_fold(world.kubeops.processor_time()?, |sum, one| Ok(sum + one.processor_time()?))
    };
    let watch = database.watch_writer()?;
    let (own, there, begun) = (spent(&world)?, database.processor_time()?, Instant::now());
    for _ in 0..tickets {
        world.send()?;
    }
    wait_for(&world, 3 + tickets)?;
    let took = begun.elapsed();
    let held = watch.end()?;
    let cost = format!(
        "{} of kubeops, {} of PostgreSQL; the one writer was at work for {} of it, {:.0} % of the time",
        each(spent(&world)?.saturating_sub(own), tickets as f64),
        each(database.processor_time()?.saturating_sub(there), tickets as f64),
        each(took.mul_f64(held), tickets as f64),
        100.0 * held
    );
    others.into_iter().try_for_each(Running::end)?;
    world.end()?;
    database.end()?;
    Ok((tickets as f64 / took.as_secs_f64(), cost))
}
