//! Calendars: what is taken, what is wrong and where, the names that stand for them.

use super::*;

fn calendar(name: &str, rules: &str) -> String {
    format!("apiVersion: kubeops.dev/v1alpha1\nkind: Calendar\nmetadata: {{ name: {name} }}\nspec:\n  timeZone: Europe/Berlin\n{rules}\n")
}

const WINDOW: &str = "  windows:\n    - { days: [mon], from: \"09:00\", to: \"16:00\" }";

fn cluster(calendar: &str) -> String {
    let repository = "apiVersion: kubeops.dev/v1alpha1\nkind: Repository\nmetadata: { name: gitops }\nspec: { url: file:///srv/gitops.git, forge: { kind: local } }\n";
    format!(
        "{repository}---\napiVersion: kubeops.dev/v1alpha1\nkind: Cluster\nmetadata: {{ name: prod }}\nspec:\n  repository: gitops\n  calendar: {calendar}\n"
    )
}

#[test]
fn a_calendar_is_taken_in_any_order_of_files_and_named_by_a_cluster() {
    let set = load(&[("a.yaml", &cluster("office")), ("b.yaml", &calendar("office", WINDOW))]).unwrap_or_else(|found| panic!("{found:?}"));
    assert!(set.warnings.is_empty(), "{:?}", set.warnings);
    assert_eq!(set.inventory.calendars.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["office"]);
    assert_eq!(set.inventory.clusters["prod"].calendar.as_ref().map(|name| name.as_str()), Some("office"));
}

#[test]
fn what_is_wrong_with_a_calendar_is_told_at_its_place_with_a_hint() {
    for (rules, place, message, hint) in [
        (WINDOW.replace("mon]", "mo]"), "a.yaml:7:16", "is none of", "mon"),
        (WINDOW.replace("09:00", "9:00"), "a.yaml:7:28", "does not have the form", "a time of day is written like"),
        (WINDOW.replace("09:00", "17:61"), "a.yaml:7:28", "does not have the form", "a time of day is written like"),
        (WINDOW.replace(", to: \"16:00\"", ""), "a.yaml:7:7", "has no `to`", "write { days:"),
        (WINDOW.replace("windows:", "window:"), "a.yaml:6:3", "there is no field `window` here", "did you mean `windows`?"),
        ("  blackouts: [{ from: 2026-13-01, to: 2026-12-31 }]".to_owned(), "a.yaml:6:17", "2026-13-01", ""),
        ("  blackouts: [{ from: christmas, to: 2026-12-31 }]".to_owned(), "a.yaml:6:23", "does not have the form", "like 12-20 for every year"),
        ("  blackouts: [{ from: 01-01, to: 12-31 }]".to_owned(), "a.yaml:4:1", "never opens", "held for ever"),
        ("  windows: [{ cron: \"0 0 30 2 *\", duration: 1h }]".to_owned(), "a.yaml:6:15", "never comes", "such a day"),
    ] {
        let found = errors(&[("a.yaml", &calendar("office", &rules))]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(place) && found[0].contains(message) && found[0].contains(hint), "{rules}: {}", found[0]);
    }
    let zone = errors(&[("a.yaml", &calendar("office", WINDOW).replace("Europe/Berlin", "Europe/Berln"))]);
    assert!(zone[0].starts_with("a.yaml:5:3") && zone[0].contains("did you mean Europe/Berlin?"), "{}", zone[0]);
    let none = errors(&[("a.yaml", &calendar("none", WINDOW))]);
    assert!(none[0].contains("stands for no calendar"), "{}", none[0]);
}

#[test]
fn a_name_that_stands_for_no_calendar_is_told_with_the_nearest_and_not_where_the_calendar_itself_is_broken() {
    let found = errors(&[("a.yaml", &cluster("ofice")), ("b.yaml", &calendar("office", WINDOW))]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("a.yaml:11:3") && found[0].contains("there is no calendar \"ofice\"") && found[0].contains("did you mean \"office\"?"),
        "{}",
        found[0]
    );
    let broken = errors(&[("a.yaml", &cluster("office")), ("b.yaml", &calendar("office", &WINDOW.replace("09:00", "16:00")))]);
    assert!(broken.len() == 1 && broken[0].contains("ends when it begins"), "{broken:?}");
}
