//! Limits on pull requests: who may open one now, and when those may who wait. Counted from what was really opened within
//! the last hour and from what is about to be, in one write, so that several processes never give the same room twice.
//! Triggers keep the rest: a row counts from the moment its pull request is open, and is gone when none came of it.

use super::fence;
use super::query::{Connection, Row, statement};
use super::requests::seq_of;
use super::rows::Columns;
use crate::store::{Admission, Admitted, ClaimedTask, Lack, StoreError};
use crate::types::Timestamp;

/// The stretch of time limits are about.
const HOUR: i64 = 3_600_000;

/// See [`crate::store::Store::admit`].
pub(super) async fn admit(connection: &mut Connection, held: &ClaimedTask, wanted: &Admission, now: Timestamp) -> Result<Admitted, StoreError> {
    fence::hold(connection, held).await?;
    let request = seq_of(connection, &wanted.request).await?;
    let own = statement("SELECT seq, standing FROM admissions WHERE request = ? AND standing <> 'opened'");
    let own = own.bind(request).fetch_optional(&mut *connection).await?;
    if own.as_ref().map(|row| row.text("standing")).transpose()?.as_deref() == Some("held") {
        return Ok(Admitted::Given);
    }
    let own = own.as_ref().map(|row| row.number("seq")).transpose()?;
    let mut shortest: Option<Short> = None;
    for (lack, limit) in [(Lack::Automation, wanted.per_hour), (Lack::Target, wanted.per_target)] {
        let Some(limit) = limit.filter(|_| !wanted.insists) else { continue };
        let short = short(connection, wanted, lack, limit, own, now.unix_millis()).await?;
        // Of two limits the one that lasts longer decides.
        shortest = shortest.into_iter().chain(short).max_by_key(|short| short.until);
    }
    let Some(short) = shortest else {
        write(connection, wanted, request, own, Standing::Held(now.unix_millis())).await?;
        return Ok(Admitted::Given);
    };
    write(connection, wanted, request, own, Standing::Waiting(short.lack, now.unix_millis())).await?;
    let until = Timestamp::from_unix_millis(short.until);
    Ok(Admitted::Waits { until, lacks: short.lack, limit: short.limit, ahead: short.ahead, since_now: own.is_none() })
}

/// A limit that is reached.
struct Short {
    lack: Lack,
    limit: u32,
    ahead: u64,
    until: i64,
}

/// Whether a limit is reached, and when there will be room for this one, if those before it take theirs as it comes.
async fn short(
    connection: &mut Connection,
    wanted: &Admission,
    lack: Lack,
    limit: u32,
    own: Option<i64>,
    now: i64,
) -> Result<Option<Short>, StoreError> {
    let (index, scope) = match lack {
        Lack::Automation => ("admissions_automation", "automation = ?"),
        Lack::Target => ("admissions_target", "automation = ? AND target = ?"),
    };
    let select = |what: &str, rest: &str| format!("SELECT {what} FROM admissions INDEXED BY {index} WHERE {scope} AND {rest}");
    let scoped = |sql: String| {
        let query = statement(sql).bind(wanted.automation.as_str());
        if lack == Lack::Target { query.bind(wanted.target.as_str()) } else { query }
    };
    let opened = scoped(select("at", "standing = 'opened' AND at > ? ORDER BY at")).bind(now - HOUR).fetch_all(&mut *connection).await?;
    let mut times = opened.iter().map(|row: &Row| row.number("at")).collect::<Result<Vec<_>, _>>()?;
    let held = scoped(select("count(*) AS held", "standing = 'held'")).fetch_one(&mut *connection).await?.count("held")?;
    // They are opened in a moment.
    times.extend((0..held).map(|_| now));
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let room = most.saturating_sub(times.len());
    let before = scoped(select("count(*) AS ahead", "standing = 'waiting' AND lacks = ? AND seq < ?"));
    let before = before.bind(lack.as_str()).bind(own.unwrap_or(i64::MAX)).fetch_one(connection).await?;
    let ahead = before.count("ahead")?;
    let waiting = usize::try_from(ahead).unwrap_or(usize::MAX);
    if waiting < room {
        return Ok(None);
    }
    // Who waits longer takes the room there is, as soon as it looks again.
    times.extend((0..room).map(|_| now));
    let place = waiting.saturating_sub(room).saturating_add(times.len() - most);
    Ok(Some(Short { lack, limit, ahead, until: room_at(&times, most, place) }))
}

/// When the room of the `place`-th (from 0) of `times`, which are in order and at least `limit`, is free for good: each is
/// given again an hour after it was taken.
fn room_at(times: &[i64], limit: usize, place: usize) -> i64 {
    if let Some(taken) = times.get(place) {
        return taken.saturating_add(HOUR);
    }
    let beyond = place - times.len();
    let rounds = i64::try_from(beyond / limit).unwrap_or(i64::MAX).saturating_add(2);
    times[times.len() - limit + beyond % limit].saturating_add(HOUR.saturating_mul(rounds))
}

enum Standing {
    Waiting(Lack, i64),
    Held(i64),
}

async fn write(connection: &mut Connection, wanted: &Admission, request: i64, own: Option<i64>, standing: Standing) -> Result<(), StoreError> {
    let (standing, lacks, at) = match standing {
        Standing::Waiting(lack, now) => ("waiting", Some(lack.as_str()), now),
        Standing::Held(now) => ("held", None, now),
    };
    let query = match own {
        // Who waits keeps its place.
        Some(_) => statement("UPDATE admissions SET automation = ?, target = ?, standing = ?, lacks = ?, at = ? WHERE seq = ?"),
        None => statement("INSERT INTO admissions (automation, target, standing, lacks, at, request) VALUES (?, ?, ?, ?, ?, ?)"),
    };
    let query = query.bind(wanted.automation.as_str()).bind(wanted.target.as_str()).bind(standing).bind(lacks).bind(at);
    query.bind(own.unwrap_or(request)).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{HOUR, room_at};

    #[test]
    fn room_comes_back_in_the_order_it_was_taken_hour_after_hour() {
        let times = [10, 20, 30];
        let due: Vec<i64> = (0..8).map(|place| room_at(&times, 3, place)).collect();
        let hours = |hours: i64, taken: i64| taken + hours * HOUR;
        assert_eq!(due, [hours(1, 10), hours(1, 20), hours(1, 30), hours(2, 10), hours(2, 20), hours(2, 30), hours(3, 10), hours(3, 20)]);
        // More than the limit were opened, by people who insisted: the first of them free nothing. From the second round on only
        // the last two count.
        assert_eq!((room_at(&times, 2, 1), room_at(&times, 2, 3)), (hours(1, 20), hours(2, 20)));
    }
}
