//! A SQLite file's deliveries as PostgreSQL has them: a row each, with its body. Those that are not filed yet are numbered as they
//! will be when they are. Written into a file, a page of them is an arrival that is filed already.

use super::read::Sink;
use super::schema::Table;
use crate::store::StoreError;
use crate::store::sql::query::{Connection, Row, Value, statement};
use crate::store::sql::rows::{Columns, broken};
use futures_util::StreamExt;

/// Filed ones read at once; their bodies are read arrival by arrival.
const PAGE: usize = 256;

const FILED: &str =
    "SELECT seq, id, source, received_at, handled, dedup, attributes, arrival, start, length FROM deliveries WHERE seq > ? ORDER BY seq LIMIT ?";
const UNFILED: &str = "SELECT a.seq AS arrival, h.value ->> 'id' AS id, h.value ->> 'source' AS source, h.value ->> 'received_at' AS received_at, \
    h.value ->> 'handled' AS handled, substr(a.keys, 16 * h.key + 1, 16) AS dedup, h.value -> 'attributes' AS attributes, \
    h.value ->> 'start' AS start, h.value ->> 'length' AS length FROM arrivals a CROSS JOIN json_each(a.heads) h WHERE a.seq = ? ORDER BY h.key";

/// The bodies of the arrival that was read last.
#[derive(Default)]
struct Bodies {
    arrival: i64,
    bodies: Vec<u8>,
}

impl Bodies {
    /// The values of a delivery with its body.
    async fn values(&mut self, connection: &mut Connection, table: &Table, seq: i64, row: &Row) -> Result<Vec<Value>, StoreError> {
        let arrival = row.number("arrival")?;
        if self.arrival != arrival {
            let read = statement("SELECT bodies FROM arrivals WHERE seq = ?").bind(arrival).fetch_one(connection).await?;
            *self = Self { arrival, bodies: read.bytes("bodies")?.to_vec() };
        }
        let (start, length) = (row.count("start")?, row.count("length")?);
        let place = usize::try_from(start).ok().zip(usize::try_from(start + length).ok());
        let body = place.and_then(|(start, end)| self.bodies.get(start..end)).ok_or_else(|| broken("bodies"))?;
        let value = |name: &str| {
            Ok(match name {
                "seq" => Value::from(seq),
                "received_at" | "handled" | "length" => Value::from(row.number(name)?),
                "id" | "source" | "attributes" => Value::from(row.text(name)?),
                "dedup" => Value::from(row.bytes(name)?),
                "body" => Value::from(body),
                other => return Err(StoreError::Broken(format!("nobody copies column {other} of deliveries"))),
            })
        };
        table.columns.iter().map(|(name, _)| value(name)).collect()
    }
}

/// Hands every delivery on.
pub(super) async fn each(connection: &mut Connection, table: &Table, sink: &mut impl Sink) -> Result<(), StoreError> {
    let (mut last, mut bodies) = (0, Bodies::default());
    loop {
        let page = statement(FILED).bind(last).bind(i64::try_from(PAGE).unwrap_or(i64::MAX)).fetch_all(connection).await?;
        for row in &page {
            last = row.number("seq")?;
            sink.take(bodies.values(connection, table, last, row).await?).await?;
        }
        if page.len() < PAGE {
            break;
        }
    }
    let arrivals = statement("SELECT seq FROM arrivals WHERE seq > (SELECT upto FROM arrivals_filed) ORDER BY seq").fetch_all(connection).await?;
    for arrival in arrivals {
        for row in &statement(UNFILED).bind(arrival.number("seq")?).fetch_all(connection).await? {
            last += 1;
            sink.take(bodies.values(connection, table, last, row).await?).await?;
        }
    }
    Ok(())
}

/// Hands the number of every delivery on that nobody has dispatched.
pub(super) async fn each_pending(connection: &mut Connection, table: &Table, sink: &mut impl Sink) -> Result<(), StoreError> {
    if table.columns.len() != 1 {
        return Err(StoreError::Broken("nobody copies the further columns of deliveries_pending".to_owned()));
    }
    let pending = statement(
        "SELECT seq FROM deliveries_pending UNION ALL SELECT u.seq FROM \
         (SELECT (SELECT coalesce(max(seq), 0) FROM deliveries) + row_number() OVER (ORDER BY a.seq, h.key) AS seq, h.value ->> 'handled' AS handled \
          FROM arrivals a CROSS JOIN json_each(a.heads) h WHERE a.seq > (SELECT upto FROM arrivals_filed)) u WHERE u.handled = 1",
    );
    let mut rows = pending.fetch_each(connection)?;
    while let Some(row) = rows.next().await {
        sink.take(vec![Value::from(row?.number("seq")?)]).await?;
    }
    Ok(())
}

/// Writes a page of deliveries as the arrival `arrival`. Nobody reads the heads of one whose deliveries are filed, so it has none.
pub(super) async fn write(connection: &mut Connection, table: &Table, arrival: i64, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
    let at = |name: &str| table.columns.iter().position(|(column, _)| column == name).ok_or_else(|| broken(name));
    let (body, dedup, handled, received) = (at("body")?, at("dedup")?, at("handled")?, at("received_at")?);
    let number = |value: &Value| if let Value::Number(Some(number)) = value { *number } else { 0 };
    let (count, waiting) = (rows.len(), rows.iter().map(|row| number(&row[handled])).sum::<i64>());
    let first = rows.first().map_or(0, |row| number(&row[received]));
    let (mut keys, mut bodies) = (Vec::new(), Vec::new());
    let names: Vec<String> = table.columns.iter().filter(|(name, _)| name != "body").map(|(name, _)| format!("\"{name}\"")).collect();
    let places = vec!["?"; names.len() + 2].join(",");
    let text = format!("INSERT INTO deliveries ({}, arrival, start) VALUES {}", names.join(", "), vec![format!("({places})"); count].join(","));
    let mut insert = statement(text);
    for row in rows {
        let start = bodies.len();
        for (place, value) in row.into_iter().enumerate() {
            match value {
                Value::Bytes(Some(bytes)) if place == body => bodies.extend_from_slice(&bytes),
                value => {
                    if let (true, Value::Bytes(Some(key))) = (place == dedup, &value) {
                        keys.extend_from_slice(key);
                    }
                    insert = insert.bind(value);
                }
            }
        }
        insert = insert.bind(arrival).bind(i64::try_from(start).unwrap_or(i64::MAX));
    }
    let bodies = statement("INSERT INTO arrivals (seq, count, waiting, received_at, keys, heads, bodies) VALUES (?, ?, ?, ?, ?, '[]', ?)")
        .bind(arrival)
        .bind(i64::try_from(count).unwrap_or(i64::MAX))
        .bind(waiting)
        .bind(first)
        .bind(keys)
        .bind(bodies);
    bodies.execute(connection).await?;
    insert.execute(connection).await?;
    statement("UPDATE arrivals_filed SET upto = ?").bind(arrival).execute(connection).await?;
    Ok(())
}
