//! `kubeops calendar`: what its author wrote, as moments.

use super::world::World;

const CALENDAR: &str = r#"apiVersion: kubeops.dev/v1alpha1
kind: Calendar
metadata: { name: office }
spec:
  timeZone: Europe/Berlin
  windows:
    - { days: [mon, tue, wed, thu], from: "09:00", to: "16:00" }
    - { cron: "0 22 * * 6", duration: 4h }
  blackouts:
    - { from: 2026-12-20, to: 2027-01-06, reason: year end freeze }
"#;

#[test]
fn the_next_windows_are_shown_in_the_calendars_own_time() {
    let world = World::new();
    world.write("resources/calendar.yaml", CALENDAR);
    let told = world.run(&["calendar", "office", "--at", "2026-12-18T12:00:00Z", "--days", "25"]).ok();
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "closed  Fri 2026-12-18 13:00 Europe/Berlin - Sat 2026-12-19 22:00 Europe/Berlin  calendar office: outside its windows",
            "open    Sat 2026-12-19 22:00 Europe/Berlin - Sun 2026-12-20 00:00 Europe/Berlin",
            "closed  Sun 2026-12-20 00:00 Europe/Berlin - Thu 2027-01-07 09:00 Europe/Berlin  calendar office: blackout 2026-12-20 to 2027-01-06: year end freeze",
            "open    Thu 2027-01-07 09:00 Europe/Berlin - Thu 2027-01-07 16:00 Europe/Berlin",
        ],
        "{told}"
    );
    let report = world.run(&["calendar", "office", "--at", "2026-12-19T23:30:00+01:00", "--days", "1", "-o", "json"]).json();
    assert_eq!(report["stretches"][0]["open"], true);
    assert_eq!(report["stretches"][0]["until"], "2026-12-19T23:00:00.000Z");
    let every = world.run(&["calendar", "--at", "2026-12-24T12:00:00Z"]).ok();
    assert!(every.contains("office") && every.contains("closed") && every.contains("year end freeze"), "{every}");
    let unknown = world.run(&["calendar", "ofice"]).fails(1);
    assert!(unknown.contains("there is no calendar ofice") && unknown.contains("did you mean office?"), "{unknown}");
    world.write("resources/calendar.yaml", &CALENDAR.replace("Europe/Berlin", "Europe/Berln"));
    assert!(world.run(&["calendar"]).fails(3).contains("did you mean Europe/Berlin?"));
}
