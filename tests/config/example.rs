//! The example is valid, and shows every key.

use pipecron::config::KeysOf;

use super::world::good;

const EXAMPLE: &str = include_str!("../../schedules.example.yaml");

#[test]
fn the_example_has_no_problem_and_something_due_every_minute() {
    let config = good(EXAMPLE);
    let now = "2026-11-24T12:00:30Z".parse().unwrap();
    let due_in_a_minute = config.entries.values().any(|entry| {
        entry.enabled
            && entry.schedule.as_ref().is_some_and(|schedule| {
                schedule.next_after(now) == Some("2026-11-24T12:01:00Z".parse().unwrap())
            })
    });
    assert!(due_in_a_minute);
    let zones: std::collections::BTreeSet<_> = config
        .entries
        .values()
        .filter_map(|entry| Some(entry.schedule.as_ref()?.zone().name().to_owned()))
        .collect();
    assert!(zones.len() > 2, "{zones:?}");
}

#[test]
fn the_example_shows_every_key() {
    let text = EXAMPLE;
    for set in KeysOf::ALL {
        for key in set.known() {
            let shown = text.match_indices(key).any(|(at, _)| {
                let before = text[..at].chars().next_back();
                let after = text[at + key.len()..].trim_start_matches('"');
                before.is_none_or(|c| !c.is_alphanumeric() && c != '_') && after.starts_with(':')
            });
            assert!(shown, "{key} of {set:?}");
        }
    }
}
