//! What the inbox writes: the deliveries of a commit as one row, so that a commit touches no page but the last ones of a table.
//! Filing them (a row for each, under its id and its deduplication key) is left to whoever dispatches them, many at once.
//! Until then a delivery's key is known in memory only; nothing is acknowledged whose key was not looked for in both places.

use super::connection::Database;
use crate::store::sql::batch::{Batched, CHUNK};
use crate::store::sql::deliveries::{self, READ_AT_ONCE};
use crate::store::sql::query::{Connection, Row, Statement, statement};
use crate::store::sql::rows::{Columns, Key, broken, digest, to_json};
use crate::store::{Appended, Delivery, DeliveryState, NewDelivery, StoreError};
use crate::types::{DeliveryId, SourceName, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use tokio::sync::Mutex;

/// Bytes of bodies in one arrival, unless a single body is larger: whoever reads one of its deliveries reads all of it.
const ARRIVAL_BYTES: usize = 1024 * 1024;
/// How often an append looks again at what another process wrote meanwhile.
const ATTEMPTS: u32 = 8;
/// Deliveries filed by one statement, unless a single arrival has more: the inbox waits as long.
const FILED_AT_ONCE: i64 = 512;

/// One delivery of an arrival, as `arrivals.heads` has it.
#[derive(Serialize, Deserialize)]
struct Head<I, S, A> {
    id: I,
    source: S,
    received_at: i64,
    handled: u8,
    attributes: A,
    start: usize,
    length: usize,
}

type StoredHead = Head<DeliveryId, SourceName, serde_json::Value>;

impl StoredHead {
    /// The delivery, of the bodies of its arrival.
    fn delivery(self, bodies: &[u8]) -> Result<Delivery, StoreError> {
        let body = bodies.get(self.start..).and_then(|rest| rest.get(..self.length)).ok_or_else(|| broken("bodies"))?;
        Ok(Delivery {
            id: self.id,
            source: self.source,
            received_at: Timestamp::from_unix_millis(self.received_at),
            attributes: self.attributes,
            body: body.to_vec(),
            body_bytes: self.length as u64,
            state: DeliveryState::Pending,
            error: None,
        })
    }
}

/// The deliveries that were written but not filed yet, by key. What another process wrote is missing, and what a caller wrote
/// that never learned so: the statement that writes finds that out, and then all is read again.
#[derive(Default)]
pub(super) struct Unfiled(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The last arrival when this was up to date; none before it was ever read.
    last: Option<i64>,
    /// The arrival each stands in.
    arrivals: HashMap<Key, i64>,
}

/// How many deliveries wait to be dispatched, filed or not, and since when.
pub(in crate::store) const PENDING: &str = "WITH unfiled AS (SELECT seq, waiting, received_at FROM arrivals WHERE seq > (SELECT upto FROM arrivals_filed) AND waiting > 0) \
     SELECT (SELECT count(*) FROM deliveries_pending) + (SELECT coalesce(sum(waiting), 0) FROM unfiled) AS pending, \
     coalesce((SELECT received_at FROM deliveries WHERE seq = (SELECT min(seq) FROM deliveries_pending)), \
              (SELECT received_at FROM unfiled ORDER BY seq LIMIT 1)) AS oldest";

/// The number of the last arrival there was. Those that are filed may be gone.
const LAST: &str = "SELECT max((SELECT coalesce(max(seq), 0) FROM arrivals), (SELECT upto FROM arrivals_filed))";

/// The statement that writes an arrival, but only behind the arrival that is known as the last, and when none of its
/// deliveries is filed already.
pub(super) fn insert_statement() -> Batched {
    Batched::new(1, |rows| {
        format!(
            "INSERT INTO arrivals (seq, count, waiting, received_at, keys, heads, bodies) SELECT ? + 1, ?, ?, ?, ?, ?, ? \
             WHERE ({LAST}) = ? \
             AND NOT EXISTS (SELECT 1 FROM (VALUES {rows}) k CROSS JOIN deliveries d ON d.dedup = k.column1)"
        )
    })
}

/// See [`crate::store::Store::append`].
pub(super) async fn append(database: &Database, unfiled: &Unfiled, statement: &Batched, batch: &[NewDelivery]) -> Result<Vec<Appended>, StoreError> {
    let keys: Vec<Key> = batch.iter().map(|delivery| digest(delivery.source.as_str(), &delivery.dedup_key)).collect();
    let mut known = unfiled.0.lock().await;
    // Keys of which only the database knew.
    let mut filed = HashMap::new();
    for _ in 0..ATTEMPTS {
        let Some(last) = known.last else {
            known.read(&mut database.view().await?).await?;
            continue;
        };
        let mut in_batch = HashMap::with_capacity(keys.len());
        let mut is_new = |key: &Key, index: usize| {
            !known.arrivals.contains_key(key) && !filed.contains_key(key) && *in_batch.entry(*key).or_insert(index) == index
        };
        let new: Vec<usize> = keys.iter().enumerate().filter(|(index, key)| is_new(key, *index)).map(|(index, _)| index).collect();
        if write(database, statement, batch, &keys, &new, last).await? {
            known.note(last, &new, batch, &keys);
            if new.len() == batch.len() {
                return Ok(vec![Appended::New; batch.len()]);
            }
            let outcomes = outcomes(&mut database.read().await?, batch, &keys, &known.arrivals).await;
            if outcomes.is_err() {
                known.last = None;
            }
            return outcomes;
        }
        filed = ids_of(&mut database.read().await?, &keys).await?;
        if !new.iter().any(|index| filed.contains_key(&keys[*index])) {
            // Nothing of it is filed: somebody wrote meanwhile, or we did and never learned it.
            known.last = None;
        }
    }
    Err(StoreError::Unavailable("other processes are writing to the store without a pause".to_owned()))
}

impl Unfiled {
    /// Forgets what is filed now.
    pub(super) async fn forget(&self, keys: &[Key]) {
        if !keys.is_empty() {
            let mut known = self.0.lock().await;
            for key in keys {
                known.arrivals.remove(key);
            }
        }
    }
}

impl Known {
    /// Reads what is not filed, in one view of the database.
    async fn read(&mut self, view: &mut Connection) -> Result<(), StoreError> {
        self.arrivals.clear();
        let last = statement(format!("{LAST} AS last")).fetch_one(view).await?.number("last")?;
        let rows = statement("SELECT seq, keys FROM arrivals WHERE seq > (SELECT upto FROM arrivals_filed)").fetch_all(view).await?;
        for row in &rows {
            let arrival = row.number("seq")?;
            self.arrivals.extend(each_key(row.bytes("keys")?).map(|key| (key, arrival)));
        }
        self.last = Some(last);
        Ok(())
    }

    /// Notes what was written behind `last`.
    fn note(&mut self, last: i64, new: &[usize], batch: &[NewDelivery], keys: &[Key]) {
        let mut arrival = last;
        for part in parts(new, batch) {
            arrival += 1;
            self.arrivals.extend(new[part].iter().map(|index| (keys[*index], arrival)));
        }
        self.last = Some(arrival);
    }
}

/// The keys in `arrivals.keys`.
fn each_key(keys: &[u8]) -> impl Iterator<Item = Key> {
    keys.as_chunks().0.iter().copied()
}

/// How the deliveries `new` of a batch are divided into arrivals.
fn parts(new: &[usize], batch: &[NewDelivery]) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::with_capacity(1);
    let mut bytes = 0;
    for (at, index) in new.iter().enumerate() {
        let more = batch[*index].body.len();
        match parts.last_mut() {
            Some(part) if part.len() < CHUNK && bytes + more <= ARRIVAL_BYTES => {
                part.end = at + 1;
                bytes += more;
            }
            _ => {
                parts.push(at..at + 1);
                bytes = more;
            }
        }
    }
    parts
}

/// Writes the deliveries `new` behind the arrival `last`, all or none; tells whether it did: it does not when another process
/// wrote meanwhile, or when one of them is filed.
async fn write(database: &Database, statement: &Batched, batch: &[NewDelivery], keys: &[Key], new: &[usize], last: i64) -> Result<bool, StoreError> {
    let parts = parts(new, batch);
    let mut inserts = Vec::with_capacity(parts.len());
    for (part, last) in parts.iter().zip(last..) {
        inserts.push(insert(statement, batch, keys, &new[part.clone()], last)?);
    }
    if inserts.len() <= 1 {
        let Some(insert) = inserts.pop() else { return Ok(true) };
        return Ok(database.write_one(insert).await?.rows_affected() == 1);
    }
    let mut write = database.write().await?;
    let mut written = Ok(true);
    for insert in inserts {
        match insert.execute(write.connection()).await {
            Ok(done) if done.rows_affected() == 1 => {}
            Ok(_) => written = Ok(false),
            Err(error) => written = Err(error),
        }
        if !matches!(written, Ok(true)) {
            break;
        }
    }
    match written {
        // Dropped, the transaction is undone.
        Ok(false) => Ok(false),
        written => write.finish(written).await,
    }
}

/// The statement that writes one arrival.
fn insert(texts: &Batched, batch: &[NewDelivery], keys: &[Key], new: &[usize], last: i64) -> Result<Statement, StoreError> {
    let mut bodies = Vec::with_capacity(new.iter().map(|index| batch[*index].body.len()).sum());
    let mut heads = Vec::with_capacity(new.len());
    for delivery in new.iter().map(|index| &batch[*index]) {
        heads.push(Head {
            id: delivery.id.as_str(),
            source: delivery.source.as_str(),
            received_at: delivery.received_at.unix_millis(),
            handled: u8::from(delivery.handled),
            attributes: &delivery.attributes,
            start: bodies.len(),
            length: delivery.body.len(),
        });
        bodies.extend_from_slice(&delivery.body);
    }
    let first = heads.first().map_or(0, |head| head.received_at);
    let waiting: i64 = heads.iter().map(|head| i64::from(head.handled)).sum();
    let mut query = statement(texts.for_rows(new.len()))
        .bind(last)
        .bind(i64::try_from(new.len()).unwrap_or(i64::MAX))
        .bind(waiting)
        .bind(first)
        .bind(new.iter().flat_map(|index| keys[*index]).collect::<Vec<u8>>())
        .bind(to_json(&heads)?)
        .bind(bodies)
        .bind(last);
    for index in new {
        query = query.bind(keys[*index].to_vec());
    }
    Ok(query)
}

/// Which delivery stands under each key, after the batch was written.
async fn outcomes(
    connection: &mut Connection,
    batch: &[NewDelivery],
    keys: &[Key],
    unfiled: &HashMap<Key, i64>,
) -> Result<Vec<Appended>, StoreError> {
    let mut standing = ids_of(connection, keys).await?;
    let arrivals: BTreeSet<i64> = keys.iter().filter(|key| !standing.contains_key(*key)).filter_map(|key| unfiled.get(key)).copied().collect();
    for arrival in arrivals {
        let row = statement("SELECT keys, heads FROM arrivals WHERE seq = ?").bind(arrival).fetch_optional(&mut *connection).await?;
        let Some(row) = row else { continue };
        let heads: Vec<StoredHead> = row.json("heads")?;
        standing.extend(each_key(row.bytes("keys")?).zip(heads.into_iter().map(|head| head.id)));
    }
    deliveries::outcomes(batch, keys, &standing)
}

/// The filed deliveries under some of the keys.
async fn ids_of(connection: &mut Connection, keys: &[Key]) -> Result<HashMap<Key, DeliveryId>, StoreError> {
    let list = to_json(&keys.iter().map(hex::encode).collect::<Vec<_>>())?;
    let filed = statement("SELECT d.dedup, d.id FROM json_each(?) k CROSS JOIN deliveries d ON d.dedup = unhex(k.value)");
    let rows = filed.bind(list).fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.bytes("dedup")?.try_into().map_err(|_| broken("dedup"))?, row.parsed("id")?))).collect()
}

/// Whether there is an arrival that is not filed.
pub(super) async fn any_unfiled(connection: &mut Connection) -> Result<bool, StoreError> {
    let more =
        statement("SELECT EXISTS (SELECT 1 FROM arrivals WHERE seq > (SELECT upto FROM arrivals_filed)) AS more").fetch_one(connection).await?;
    Ok(more.number("more")? == 1)
}

/// Files the oldest arrivals that are not, in the caller's transaction, and tells the keys of their deliveries.
pub(super) async fn file(connection: &mut Connection) -> Result<Vec<Key>, StoreError> {
    let rows = statement(
        "SELECT seq, keys FROM (SELECT seq, keys, sum(count) OVER (ORDER BY seq) - count AS before FROM \
         (SELECT seq, keys, count FROM arrivals WHERE seq > (SELECT upto FROM arrivals_filed) ORDER BY seq LIMIT ?1)) WHERE before < ?1",
    )
    .bind(FILED_AT_ONCE)
    .fetch_all(&mut *connection)
    .await?;
    let Some(last) = rows.last() else { return Ok(Vec::new()) };
    let upto = last.number("seq")?;
    let filed = statement(
        "INSERT INTO deliveries (id, source, received_at, handled, dedup, attributes, arrival, start, length) \
         SELECT h.value ->> 'id', h.value ->> 'source', h.value ->> 'received_at', h.value ->> 'handled', substr(a.keys, 16 * h.key + 1, 16), \
                h.value -> 'attributes', a.seq, h.value ->> 'start', h.value ->> 'length' \
         FROM arrivals a CROSS JOIN json_each(a.heads) h WHERE a.seq > (SELECT upto FROM arrivals_filed) AND a.seq <= ? ORDER BY a.seq, h.key \
         ON CONFLICT DO NOTHING",
    )
    .bind(upto)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    statement("UPDATE arrivals_filed SET upto = ?").bind(upto).execute(connection).await?;
    let mut keys = Vec::new();
    for row in &rows {
        keys.extend(each_key(row.bytes("keys")?));
    }
    if filed != keys.len() as u64 {
        tracing::error!(filed, arrived = keys.len(), "a delivery had the id or the key of another, which is a fault of KubeOps; please report it");
    }
    Ok(keys)
}

/// The arrivals that deliveries came with, of a JSON list of their numbers.
pub(in crate::store) async fn of(connection: &mut Connection, deliveries: &str) -> Result<Vec<i64>, StoreError> {
    let arrivals = statement("SELECT DISTINCT arrival FROM deliveries WHERE seq IN (SELECT value FROM json_each(?))");
    arrivals.bind(deliveries).fetch_all(connection).await?.iter().map(|row| row.number("arrival")).collect()
}

/// Removes those of the arrivals of which no delivery is kept.
pub(in crate::store) async fn remove(connection: &mut Connection, arrivals: &[i64]) -> Result<(), StoreError> {
    let remove = statement(
        "DELETE FROM arrivals WHERE seq IN (SELECT j.value FROM json_each(?) j WHERE NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.arrival = j.value))",
    );
    remove.bind(to_json(&arrivals)?).execute(connection).await?;
    Ok(())
}

/// The oldest deliveries that wait among the arrivals that are not filed, without those that are passed by; fewer than `limit` when their bodies
/// are large.
pub(super) async fn waiting(connection: &mut Connection, passed_by: &[DeliveryId], limit: usize) -> Result<Vec<Delivery>, StoreError> {
    let passed_by: BTreeSet<&DeliveryId> = passed_by.iter().collect();
    let (mut waiting, mut bytes, mut behind) = (Vec::new(), 0, 0);
    loop {
        let rows = read_behind(connection, behind, limit).await?;
        let mut left_out = false;
        for row in &rows {
            behind = row.number("seq")?;
            let bodies = row.bytes("bodies")?;
            for head in row.json::<Vec<StoredHead>>("heads")?.into_iter().filter(|head| head.handled == 1) {
                if passed_by.contains(&head.id) {
                    left_out = true;
                } else if waiting.len() < limit {
                    bytes += head.length;
                    waiting.push(head.delivery(bodies)?);
                }
            }
        }
        // What is passed by is nearly always filed. Where that could not be done, the next ones take its place.
        if !left_out || waiting.len() >= limit || i64::try_from(bytes).unwrap_or(i64::MAX) >= READ_AT_ONCE {
            return Ok(waiting);
        }
    }
}

/// Arrivals behind this one that are not filed and have `limit` deliveries that wait, or as many as are read at once.
async fn read_behind(connection: &mut Connection, arrival: i64, limit: usize) -> Result<Vec<Row>, StoreError> {
    // Looking at the length of a body does not read it.
    let rows = statement(
        "SELECT seq, heads, bodies FROM arrivals WHERE seq IN (SELECT seq FROM \
         (SELECT seq, sum(waiting) OVER (ORDER BY seq) - waiting AS before, sum(size) OVER (ORDER BY seq) - size AS bytes FROM \
          (SELECT seq, waiting, length(bodies) AS size FROM arrivals \
           WHERE seq > (SELECT upto FROM arrivals_filed) AND seq > ?3 AND waiting > 0 ORDER BY seq LIMIT ?1)) WHERE before < ?1 AND bytes < ?2) \
         ORDER BY seq",
    );
    rows.bind(i64::try_from(limit).unwrap_or(i64::MAX)).bind(READ_AT_ONCE).bind(arrival).fetch_all(connection).await
}
