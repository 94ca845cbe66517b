//! Calendars, written out and held against a model that walks the clock minute by minute and knows no more than what it shows.

use super::*;
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use serde_json::{Value, json};

fn calendar(spec: Value) -> Calendar {
    let spec = serde_json::from_value(spec).expect("a spec");
    Calendar::compile("office".parse().expect("a name"), spec).expect("a calendar")
}

fn wrong(spec: Value) -> Vec<(String, String)> {
    let spec = serde_json::from_value(spec).expect("a spec");
    let errors = Calendar::compile("office".parse().expect("a name"), spec).expect_err("an error");
    errors.into_iter().map(|error| (error.pointer, error.message)).collect()
}

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// How it stands, and until when, in its own time.
fn told(calendar: &Calendar, moment: &str) -> String {
    let shown = |until: Option<Timestamp>| until.map_or("for good".to_owned(), |until| calendar.shown(until));
    match calendar.standing(at(moment)) {
        Standing::Open { until } => format!("open until {}", shown(until)),
        Standing::Closed { reason, until, .. } => format!("{reason}, until {}", shown(until)),
    }
}

fn office() -> Value {
    json!({ "timeZone": "Europe/Berlin", "windows": [{ "days": ["mon", "tue", "wed", "thu"], "from": "09:00", "to": "16:00" }] })
}

#[test]
fn office_hours_are_open_on_their_days_between_their_times() {
    let office = calendar(office());
    for (moment, expected) in [
        ("2026-11-23T08:59:59.999+01:00", "calendar office: outside its windows, until Mon 2026-11-23 09:00 Europe/Berlin"),
        ("2026-11-23T09:00:00+01:00", "open until Mon 2026-11-23 16:00 Europe/Berlin"),
        ("2026-11-23T15:59:59.999+01:00", "open until Mon 2026-11-23 16:00 Europe/Berlin"),
        ("2026-11-23T16:00:00+01:00", "calendar office: outside its windows, until Tue 2026-11-24 09:00 Europe/Berlin"),
        ("2026-11-26T16:00:00+01:00", "calendar office: outside its windows, until Mon 2026-11-30 09:00 Europe/Berlin"),
        // By the clock on the wall, in summer too.
        ("2026-07-06T07:00:00Z", "open until Mon 2026-07-06 16:00 Europe/Berlin"),
    ] {
        assert_eq!(told(&office, moment), expected, "{moment}");
    }
}

#[test]
fn a_window_past_midnight_belongs_to_the_day_it_begins_on() {
    let night = calendar(json!({ "timeZone": "UTC", "windows": [{ "days": ["sat"], "from": "22:00", "to": "06:00" }] }));
    assert_eq!(told(&night, "2026-11-22T05:59:00Z"), "open until Sun 2026-11-22 06:00 UTC");
    assert_eq!(told(&night, "2026-11-22T22:30:00Z"), "calendar office: outside its windows, until Sat 2026-11-28 22:00 UTC");
}

#[test]
fn windows_that_touch_or_overlap_are_one_and_all_of_them_together_may_be_always() {
    let touching = calendar(json!({ "timeZone": "UTC", "windows": [
        { "days": ["mon"], "from": "09:00", "to": "12:00" }, { "days": ["mon"], "from": "12:00", "to": "24:00" },
        { "days": ["tue"], "from": "00:00", "to": "01:00" }, { "cron": "30 0 * * tue", "duration": "2h" },
    ] }));
    assert_eq!(told(&touching, "2026-11-23T10:00:00Z"), "open until Tue 2026-11-24 02:30 UTC");
    let always = calendar(json!({ "timeZone": "Europe/Berlin", "windows": [{ "from": "00:00", "to": "24:00" }] }));
    assert_eq!(told(&always, "2026-11-23T10:00:00Z"), "open until for good");
    let dense = calendar(json!({ "timeZone": "Europe/Berlin", "windows": [{ "cron": "* * * * *", "duration": "1m" }] }));
    assert_eq!(told(&dense, "2026-11-23T10:00:00Z"), "open until for good");
    assert_eq!(told(&calendar(json!({ "timeZone": "UTC" })), "2026-11-23T10:00:00Z"), "open until for good");
}

#[test]
fn a_blackout_closes_what_the_windows_open_and_says_why() {
    let mut spec = office();
    spec["blackouts"] = json!([{ "from": "2026-12-20", "to": "2027-01-06", "reason": "year end freeze" }, { "from": "05-01", "to": "05-01" }]);
    let office = calendar(spec);
    assert_eq!(told(&office, "2026-12-17T12:00:00+01:00"), "open until Thu 2026-12-17 16:00 Europe/Berlin");
    assert_eq!(
        told(&office, "2026-12-21T12:00:00+01:00"),
        "calendar office: blackout 2026-12-20 to 2027-01-06: year end freeze, until Thu 2027-01-07 09:00 Europe/Berlin"
    );
    for year in [2028, 2029, 2035] {
        let day = format!("{year}-05-01T10:00:00+02:00");
        assert!(told(&office, &day).contains("blackout 05-01 to 05-01"), "{year}: {}", told(&office, &day));
    }
    // Over the turn of the year, and on a day that not every year has.
    let yearly = calendar(json!({ "timeZone": "UTC", "blackouts": [{ "from": "12-24", "to": "01-02" }, { "from": "02-29", "to": "02-29" }] }));
    assert_eq!(told(&yearly, "2027-01-02T23:59:00Z"), "calendar office: blackout 12-24 to 01-02, until Sun 2027-01-03 00:00 UTC");
    assert_eq!(told(&yearly, "2027-01-03T00:00:00Z"), "open until Fri 2027-12-24 00:00 UTC");
    assert_eq!(told(&yearly, "2028-02-29T12:00:00Z"), "calendar office: blackout 02-29 to 02-29, until Wed 2028-03-01 00:00 UTC");
}

#[test]
fn what_the_clock_skips_begins_after_it_and_what_it_shows_twice_begins_the_first_time() {
    let early = |from: &str, to: &str| calendar(json!({ "timeZone": "Europe/Berlin", "windows": [{ "from": from, "to": to }] }));
    // On 2026-03-29 the clock goes from 02:00 to 03:00, on 2026-10-25 from 03:00 to 02:00.
    let skipped = early("02:30", "05:00");
    assert_eq!(told(&skipped, "2026-03-29T00:59:00Z"), "calendar office: outside its windows, until Sun 2026-03-29 03:00 Europe/Berlin");
    assert_eq!(skipped.standing(at("2026-03-29T01:00:00Z")), Standing::Open { until: Some(at("2026-03-29T03:00:00Z")) });
    let within = early("02:10", "02:50");
    assert_eq!(within.standing(at("2026-03-29T01:00:00Z")).until(), Some(at("2026-03-30T00:10:00Z")), "there is none that day");
    let twice = early("02:30", "03:30");
    assert_eq!(twice.standing(at("2026-10-25T00:29:00Z")).until(), Some(at("2026-10-25T00:30:00Z")));
    assert_eq!(twice.standing(at("2026-10-25T01:05:00Z")), Standing::Open { until: Some(at("2026-10-25T02:30:00Z")) }, "in the second pass");
    let cron = calendar(json!({ "timeZone": "Europe/Berlin", "windows": [{ "cron": "30 2 * * *", "duration": "2h" }] }));
    assert_eq!(cron.standing(at("2026-03-29T01:00:00Z")), Standing::Open { until: Some(at("2026-03-29T03:00:00Z")) }, "two hours all the same");
    assert_eq!(cron.standing(at("2026-10-25T00:30:00Z")), Standing::Open { until: Some(at("2026-10-25T02:30:00Z")) }, "once, not twice");
    assert!(!cron.standing(at("2026-10-25T02:30:00Z")).is_open());
    // A day that begins at one o'clock.
    let santiago = calendar(json!({ "timeZone": "America/Santiago", "blackouts": [{ "from": "2026-09-06", "to": "2026-09-06" }] }));
    assert_eq!(santiago.standing(at("2026-09-06T03:59:00Z")).until(), Some(at("2026-09-06T04:00:00Z")));
    assert_eq!(santiago.standing(at("2026-09-06T04:00:00Z")).until(), Some(at("2026-09-07T03:00:00Z")));
}

#[test]
fn what_is_wrong_is_said_at_its_place() {
    let with = |window: Value| json!({ "timeZone": "UTC", "windows": [{ "from": "09:00", "to": "10:00" }, window] });
    for (spec, pointer, message) in [
        (json!({ "timeZone": "Europe/Berln" }), "/timeZone", "there is no time zone"),
        (with(json!({ "from": "09:00" })), "/windows/1", "has no `to`"),
        (with(json!({ "from": "09:00", "to": "09:00" })), "/windows/1/to", "ends when it begins"),
        (with(json!({ "from": "24:00", "to": "09:00" })), "/windows/1/from", "does not begin at 24:00"),
        (with(json!({ "cron": "0 22 * * 6" })), "/windows/1", "how long it is open"),
        (with(json!({ "cron": "0 22 * * 8", "duration": "1h" })), "/windows/1/cron", "no cron pattern"),
        (with(json!({ "cron": "0 0 22 * * 6", "duration": "1h" })), "/windows/1/cron", "no cron pattern"),
        (with(json!({ "cron": "0 0 31 2 *", "duration": "1h" })), "/windows/1/cron", "never comes"),
        (with(json!({ "cron": "0 22 * * 6", "duration": "32d" })), "/windows/1/duration", "between 1m and 31d"),
        (with(json!({ "cron": "0 22 * * 6", "duration": "1h", "days": ["mon"] })), "/windows/1", "nothing of the other"),
        (json!({ "timeZone": "UTC", "blackouts": [{ "from": "2027-01-02", "to": "2027-01-01" }] }), "/blackouts/0/to", "before the first"),
        (json!({ "timeZone": "UTC", "blackouts": [{ "from": "2027-01-02", "to": "01-03" }] }), "/blackouts/0/to", "of every year"),
        (json!({ "timeZone": "UTC", "blackouts": [{ "from": "01-01", "to": "12-31" }] }), "", "never opens"),
        (
            json!({ "timeZone": "UTC", "windows": [{ "cron": "0 9 1 5 *", "duration": "8h" }], "blackouts": [{ "from": "05-01", "to": "05-01" }] }),
            "",
            "never opens",
        ),
    ] {
        let found = wrong(spec.clone());
        assert!(found.len() == 1 && found[0].0 == pointer && found[0].1.contains(message), "{spec}: {found:?}");
    }
    for text in ["9:00", "24:01", "09:60", "0900", "09:0", "-1:00", ""] {
        assert!(text.parse::<TimeOfDay>().is_err(), "{text}");
    }
    for text in ["2026-02-29", "13-01", "1-1", "26-01-01", "2026/01/01", "2026-01-01T00:00", ""] {
        assert!(text.parse::<BlackoutDay>().is_err(), "{text}");
    }
}

#[test]
fn several_are_open_where_each_of_them_is() {
    let morning = calendar(json!({ "timeZone": "UTC", "windows": [{ "from": "06:00", "to": "12:00" }] }));
    let monday = calendar(json!({ "timeZone": "UTC", "windows": [{ "days": ["mon"], "from": "09:00", "to": "17:00" }] }));
    let evening = calendar(json!({ "timeZone": "UTC", "windows": [{ "from": "18:00", "to": "19:00" }] }));
    assert_eq!(together(&[&morning, &monday], at("2026-11-23T10:00:00Z")), Standing::Open { until: Some(at("2026-11-23T12:00:00Z")) });
    assert_eq!(together(&[&morning, &monday], at("2026-11-23T12:00:00Z")).until(), Some(at("2026-11-30T09:00:00Z")));
    let never = together(&[&morning, &evening], at("2026-11-23T10:00:00Z"));
    assert!(!never.is_open() && never.until().is_none(), "{never:?}");
    assert_eq!(together(&[], at("2026-11-23T10:00:00Z")), Standing::Open { until: None });
}

/// Minutes that the model walks before it is asked, and in all.
const BEFORE: i64 = 3 * 1440;
const WALKED: i64 = BEFORE + 9 * 1440;

/// Whether each minute from a moment on is open, by the latest that the clock has shown so far: what it shows again changes nothing.
fn walk(spec: &Value, from: i64) -> Vec<bool> {
    let zone: Tz = spec["timeZone"].as_str().expect("a zone").parse().expect("a zone");
    let wall = |minute: i64| DateTime::<Utc>::from_timestamp(minute * 60, 0).expect("a moment").with_timezone(&zone).naive_local();
    let mut latest = wall(from - 1);
    let mut begun: Vec<Option<i64>> = vec![None; spec["windows"].as_array().map_or(0, Vec::len)];
    (from..from + WALKED)
        .map(|minute| {
            let before = latest;
            latest = latest.max(wall(minute));
            let windows = spec["windows"].as_array().map(Vec::as_slice).unwrap_or_default();
            let open = windows.iter().zip(&mut begun).fold(windows.is_empty(), |open, (window, begun)| {
                open | match window["cron"].as_str() {
                    Some(cron) => {
                        // The minutes the clock came to, also by a jump.
                        let mut shown = before;
                        while shown < latest {
                            shown += chrono::TimeDelta::minutes(1);
                            if fires(cron, shown) {
                                *begun = Some(minute);
                            }
                        }
                        let long: i64 =
                            window["duration"].as_str().and_then(|text| text.strip_suffix('m')).expect("minutes").parse().expect("minutes");
                        begun.is_some_and(|begun| minute - begun < long)
                    }
                    None => days_open(window, latest),
                }
            });
            let black = spec["blackouts"].as_array().into_iter().flatten().any(|blackout| is_black(blackout, latest.date()));
            open && !black
        })
        .collect()
}

/// `M H * * D`, with numbers alone.
fn fires(cron: &str, shown: NaiveDateTime) -> bool {
    let fields: Vec<&str> = cron.split(' ').collect();
    let fits = |field: &str, value: u32| field == "*" || field.parse() == Ok(value);
    fits(fields[0], shown.minute()) && fits(fields[1], shown.hour()) && fits(fields[4], shown.weekday().num_days_from_sunday())
}

fn days_open(window: &Value, shown: NaiveDateTime) -> bool {
    let minutes = |text: &Value| {
        let (hours, minutes) = text.as_str().and_then(|text| text.split_once(':')).expect("a time");
        hours.parse::<u32>().expect("hours") * 60 + minutes.parse::<u32>().expect("minutes")
    };
    let (from, to) = (minutes(&window["from"]), minutes(&window["to"]));
    let on = |date: NaiveDate| {
        let name = date.weekday().to_string().to_lowercase();
        window["days"].as_array().is_none_or(|days| days.iter().any(|day| *day == name.as_str()))
    };
    let minute = shown.hour() * 60 + shown.minute();
    let (today, yesterday) = (shown.date(), shown.date() - Days::new(1));
    match from < to {
        true => on(today) && from <= minute && minute < to,
        false => (on(today) && from <= minute) || (on(yesterday) && minute < to),
    }
}

fn is_black(blackout: &Value, date: NaiveDate) -> bool {
    let (from, to) = (blackout["from"].as_str().expect("a day"), blackout["to"].as_str().expect("a day"));
    if from.len() == 10 {
        return (from..=to).contains(&date.to_string().as_str());
    }
    let day = date.format("%m-%d").to_string();
    let day = day.as_str();
    if from <= to { from <= day && day <= to } else { day >= from || day <= to }
}

fn time_of_day() -> impl Strategy<Value = String> {
    prop_oneof![3 => (0..24u32, 0..12u32).prop_map(|(hour, minute)| format!("{hour:02}:{:02}", minute * 5)), 1 => Just("00:00".to_owned())]
}

fn window() -> impl Strategy<Value = Value> {
    let days = proptest::sample::subsequence(vec!["mon", "tue", "wed", "thu", "fri", "sat", "sun"], 1..=7);
    let by_days = (days, time_of_day(), time_of_day()).prop_filter("from is not to", |(_, from, to)| from != to);
    let by_days = by_days.prop_map(|(days, from, to)| {
        let to = if to == "00:00" { "24:00".to_owned() } else { to };
        json!({ "days": days, "from": from, "to": to })
    });
    let field = |most: u32| prop_oneof![1 => Just("*".to_owned()), 3 => (0..most).prop_map(|value| value.to_string())];
    let by_cron = (0..60u32, field(24), field(7), 1..2000u32);
    let by_cron =
        by_cron.prop_map(|(minute, hour, day, long)| json!({ "cron": format!("{minute} {hour} * * {day}"), "duration": format!("{long}m") }));
    prop_oneof![by_days, by_cron]
}

/// Calendars, and minutes since 1970 near a day on which the clock of their zone is changed.
fn any_calendar() -> impl Strategy<Value = (Value, i64)> {
    let zones = [
        ("Europe/Berlin", ["2026-03-29", "2026-10-25"]),
        ("America/New_York", ["2027-03-14", "2027-11-07"]),
        ("America/Santiago", ["2026-09-06", "2027-04-04"]),
        ("Australia/Lord_Howe", ["2026-10-04", "2027-04-04"]),
        ("Atlantic/Azores", ["2028-03-26", "2028-10-29"]),
        ("Asia/Kathmandu", ["2026-12-29", "2028-02-27"]),
        ("UTC", ["2027-01-01", "2026-12-24"]),
    ];
    let near = (0..zones.len(), 0..2usize, -5 * 1440..4 * 1440i64);
    (near, proptest::collection::vec(window(), 0..4), proptest::collection::vec((-6..6i64, 0..4u64, any::<bool>()), 0..3)).prop_filter_map(
        "never opens",
        move |((zone, day, off), windows, blackouts)| {
            let (zone, days) = zones[zone];
            let day: NaiveDate = days[day].parse().expect("a day");
            let blackouts: Vec<Value> = blackouts
                .into_iter()
                .map(|(begins, long, yearly)| {
                    let from = day + chrono::TimeDelta::days(begins);
                    let form = if yearly { "%m-%d" } else { "%Y-%m-%d" };
                    json!({ "from": from.format(form).to_string(), "to": (from + Days::new(long)).format(form).to_string() })
                })
                .filter(|blackout| blackout["from"] != "02-29" && blackout["to"] != "02-29")
                .collect();
            let minute = day.and_hms_opt(2, 0, 0).expect("a time").and_utc().timestamp() / 60 + off;
            let spec = json!({ "timeZone": zone, "windows": windows, "blackouts": blackouts });
            let typed = serde_json::from_value(spec.clone()).expect("a spec");
            Calendar::compile("office".parse().expect("a name"), typed).ok().map(|_| (spec, minute))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn until_is_the_first_moment_at_which_the_answer_is_another_one((spec, minute) in any_calendar()) {
        let calendar = calendar(spec.clone());
        let model = walk(&spec, minute - BEFORE);
        let moment = |index: i64| Timestamp::from_unix_millis((minute - BEFORE + index) * 60_000);
        let mut index = BEFORE;
        // From one change to the next, until the model has no more to say.
        while index < WALKED {
            let standing = calendar.standing(moment(index));
            prop_assert_eq!(standing.is_open(), model[index as usize], "at {} in {}", calendar.shown(moment(index)), spec);
            let rest = &model[index as usize..];
            let changes = rest.iter().position(|open| *open != rest[0]).map(|steps| index + steps as i64);
            match (standing.until(), changes) {
                (Some(until), Some(changes)) => prop_assert_eq!(until, moment(changes), "from {} in {}", calendar.shown(moment(index)), spec),
                (None, Some(changes)) => prop_assert!(false, "it changes at {} in {}", calendar.shown(moment(changes)), spec),
                (Some(until), None) => prop_assert!(until >= moment(WALKED), "it does not change at {} in {}", calendar.shown(until), spec),
                (None, None) => {}
            }
            index = changes.unwrap_or(WALKED);
        }
    }

    #[test]
    fn together_they_are_open_where_each_is_and_until_the_first_closes((one, minute) in any_calendar(), (other, _) in any_calendar()) {
        let (one, other) = (calendar(one), calendar(other));
        let both = [&one, &other];
        let now = Timestamp::from_unix_millis(minute * 60_000);
        let standing = together(&both, now);
        prop_assert_eq!(standing.is_open(), both.iter().all(|calendar| calendar.standing(now).is_open()));
        if let Some(until) = standing.until() {
            let before = Timestamp::from_unix_millis(until.unix_millis() - 1);
            prop_assert_ne!(together(&both, until).is_open(), standing.is_open());
            prop_assert_eq!(together(&both, before).is_open(), standing.is_open());
            prop_assert!(until > now);
        }
    }
}
