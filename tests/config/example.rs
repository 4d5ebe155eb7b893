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

/// Whether a line shows a key, also in a comment.
fn shows(line: &str, key: &str) -> bool {
    line.match_indices(key).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + key.len()..].trim_start_matches('"');
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_') && after.starts_with(':')
    })
}

/// What the example says that holds when a key is left out.
fn default_of(key: &str) -> Option<&'static str> {
    EXAMPLE
        .lines()
        .filter(|line| shows(line, key))
        .find_map(|line| line.split("default: ").nth(1))
        .map(str::trim)
}

#[test]
fn the_example_says_what_holds_when_a_key_is_left_out() {
    let required = ["cron", "project_id", "pipeline_id"];
    for set in [KeysOf::Account, KeysOf::Entry, KeysOf::Retry] {
        for key in set.known().iter().filter(|key| !required.contains(key)) {
            assert!(default_of(key).is_some(), "{key} of {set:?}");
        }
    }
}

#[test]
fn the_defaults_of_the_example_are_those_of_the_program() {
    let ids = super::world::IDS;
    let whole = |account: &str, entry: &str| {
        let text = format!(
            "accounts: {{ main: {{ region: cn-north-4{account} }} }}\nschedules:\n  a:\n    cron: '0 2 * * *'\n{ids}{entry}"
        );
        let loaded = super::world::check(&text);
        loaded
            .config
            .unwrap_or_else(|| panic!("{:?}\nin\n{text}", loaded.problems))
    };
    let bare = whole("", "");
    for key in [
        "metadata_endpoint",
        "connect_timeout",
        "request_timeout",
        "settle",
    ] {
        let said = default_of(key).unwrap();
        assert_eq!(
            whole(&format!(", {key}: {said}"), ""),
            bare,
            "{key}: {said}"
        );
    }
    for key in [
        "timezone",
        "spread",
        "catch_up",
        "catch_up_max",
        "deadline",
        "on_doubt",
        "follow",
        "enabled",
        "allow_subminute",
    ] {
        let said = default_of(key).unwrap();
        let entry = format!("    {key}: {said}\n");
        assert_eq!(whole("", &entry), bare, "{key}: {said}");
    }
    for key in KeysOf::Retry.known() {
        let said = default_of(key).unwrap();
        let entry = format!("    retry: {{ {key}: {said} }}\n");
        assert_eq!(whole("", &entry), bare, "{key}: {said}");
    }
}
