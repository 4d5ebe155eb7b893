//! What is told of the coming year and week: clock changes, and more starts at once than an account lets run.

use std::fmt::Write as _;
use std::time::Instant;

use pipecron::config::{Kind, Problem};

use super::world::{ACCOUNT, IDS, check};

/// An account that runs two at once.
const TWO: &str = "accounts: { main: { region: cn-north-4, max_running: 2 } }\n";

fn entry(name: &str, keys: &str) -> String {
    format!("  {name}:\n{IDS}    {}\n", keys.replace("; ", "\n    "))
}

/// The problems of entries, all of which are warnings of this kind.
fn warned(accounts: &str, entries: &str, kind: Kind) -> Vec<Problem> {
    let text = format!("{accounts}schedules:\n{entries}");
    let loaded = check(&text);
    assert!(loaded.config.is_some(), "{:#?}", loaded.problems);
    assert!(
        loaded.problems.iter().all(|problem| problem.kind == kind),
        "{:#?}",
        loaded.problems
    );
    loaded.problems
}

fn clock(entries: &str) -> Vec<String> {
    let warned = warned(ACCOUNT, entries, Kind::ClockChange);
    warned.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn a_nightly_inside_a_clock_change_is_told_what_will_happen_and_when() {
    for (keys, told) in [
        (
            "cron: 30 2 * * *; timezone: Europe/Berlin",
            Some(
                "`e` is due when the clock of Europe/Berlin changes: on Sun 2027-03-28 the clock skips 02:30, and it starts once, at \
             03:00, right after the gap; on Sun 2027-10-31 the clock shows 02:30 twice, and it starts once, in the first pass",
            ),
        ),
        // What `H` stands for hangs on the entry's name.
        (
            "cron: H 2 * * *; timezone: Europe/Berlin",
            Some(
                "`e` is due when the clock of Europe/Berlin changes: on Sun 2027-03-28 the clock skips 02:59, and it starts once, at \
             03:00, right after the gap; on Sun 2027-10-31 the clock shows 02:59 twice, and it starts once, in the first pass",
            ),
        ),
        // A start that is there anyway stands for the one that is skipped.
        (
            "cron: 0 2,3 28 3 *; timezone: Europe/Berlin",
            Some(
                "`e` is due when the clock of Europe/Berlin changes: on Sun 2027-03-28 the clock skips 02:00, and it starts once, at \
             03:00, right after the gap",
            ),
        ),
        (
            "cron: 0,30 2 28 3 *; timezone: Europe/Berlin",
            Some(
                "`e` is due when the clock of Europe/Berlin changes: on Sun 2027-03-28 the clock skips 02:00 to 03:00, and it starts \
             once, at 03:00, right after the gap",
            ),
        ),
        // Half an hour, on the other side of the world.
        (
            "cron: \"15 2 * * SUN\"; timezone: Australia/Lord_Howe",
            Some(
                "`e` is due when the clock of Australia/Lord_Howe changes: on Sun 2027-10-03 the clock skips 02:15, and it starts \
             once, at 02:30, right after the gap",
            ),
        ),
        (
            "cron: \"@daily\"; timezone: Africa/Cairo",
            Some(
                "`e` is due when the clock of Africa/Cairo changes: on Fri 2027-04-30 the clock skips 00:00, and it starts once, at \
             01:00, right after the gap",
            ),
        ),
        // Not on a Sunday, not at that hour, not in that zone, not by the wall clock, not within the window, not at all.
        ("cron: 30 2 * * 1-5; timezone: Europe/Berlin", None),
        ("cron: 0 3 * * *; timezone: Europe/Berlin", None),
        ("cron: 59 1 * * *; timezone: Europe/Berlin", None),
        ("cron: 30 2 * * *; timezone: Asia/Shanghai", None),
        ("cron: 30 2 * * *", None),
        ("cron: \"*/15 * * * *\"; timezone: Europe/Berlin", None),
        ("cron: \"30 * * * *\"; timezone: Europe/Berlin", None),
        (
            "cron: 30 2 * * *; timezone: Europe/Berlin; not_after: 2027-03-01",
            None,
        ),
        (
            "cron: 30 2 * * *; timezone: Europe/Berlin; enabled: false",
            None,
        ),
        // The change of 2026 is over.
        ("cron: 30 2 25 10 *; timezone: Europe/Berlin", None),
    ] {
        let told: Vec<String> = told.iter().map(|told| (*told).to_owned()).collect();
        assert_eq!(clock(&entry("e", keys)), told, "{keys}");
    }
}

#[test]
fn three_hundred_nightlies_are_told_of_once_for_a_zone() {
    let mut text = String::new();
    for n in 0..300 {
        let zone = ["Europe/Berlin", "America/New_York", "Asia/Shanghai"][n % 3];
        text += &entry(
            &format!("e{n:03}"),
            &format!("cron: {} 2 * * *; timezone: {zone}", n / 3 % 60),
        );
    }
    let told = clock(&text);
    assert_eq!(
        told,
        [
            "`e000`, `e003`, `e006` and 97 more entries are due when the clock of Europe/Berlin changes: on Sun 2027-03-28 the \
             clock skips 02:00 to 03:00, and each starts once, at 03:00, right after the gap; on Sun 2027-10-31 the clock shows \
             02:00 to 03:00 twice, and each starts once, in the first pass",
            // There the second pass is that from one to two, so 02:00 comes once.
            "`e001`, `e004`, `e007` and 97 more entries are due when the clock of America/New_York changes: on Sun 2027-03-14 \
             the clock skips 02:00 to 03:00, and each starts once, at 03:00, right after the gap",
        ]
    );
}

#[test]
fn the_warning_points_at_the_pattern_that_is_due_then() {
    let text = entry(
        "e",
        "cron: [\"0 5 * * *\", \"30 2 * * *\"]; timezone: Europe/Berlin",
    );
    let problems = warned(ACCOUNT, &text, Kind::ClockChange);
    let place = problems[0].place.as_ref().unwrap();
    assert_eq!(&place.text[place.marked.clone()], "30 2 * * *");
    assert_eq!(
        problems[0].help.as_deref(),
        Some(
            "if another time is as good, choose one that is not from 02:00 to 03:00; `pipecron next e --at 2027-03-28` shows \
             what happens"
        )
    );
}

fn crowd(accounts: &str, entries: &str) -> Vec<String> {
    let warned = warned(accounts, entries, Kind::Crowd);
    warned.into_iter().map(|problem| problem.message).collect()
}

#[test]
fn more_starts_at_one_instant_than_the_account_runs_are_told_of_once() {
    let mut text = String::new();
    for (name, cron) in [
        ("a", "0 2 * * *"),
        ("b", "0 2 * * 1-5"),
        ("c", "@daily"),
        ("d", "0 2 * * SAT"),
    ] {
        text += &entry(name, &format!("cron: \"{cron}\""));
    }
    // Two at a time are what it runs.
    assert_eq!(crowd(TWO, &text), [""; 0]);
    // Another zone, the same instant.
    text += &entry(
        "e",
        "cron: 0 10 * * *; timezone: Asia/Shanghai; deadline: 2h",
    );
    assert_eq!(
        crowd(TWO, &text),
        [
            "3 entries start at the same instant, Wed 2026-11-25 02:00 UTC, and the account `main` runs 2 at once \
             (`max_running`), so 1 waits until others have ended: `a`, `b` and `e`; likewise at 5 other instants of the coming \
             week"
        ]
    );
    let problem = &warned(TWO, &text, Kind::Crowd)[0];
    assert_eq!(problem.place.as_ref().map(|place| place.line), Some(1));
    assert_eq!(
        problem.related.as_ref().map(|related| related.place.line),
        Some(3)
    );
    assert!(
        problem
            .help
            .as_ref()
            .unwrap()
            .contains("and after its `deadline` a tick that still waits is given up")
    );
    // No limit, nothing to say.
    assert_eq!(crowd(ACCOUNT, &text), [""; 0]);
}

#[test]
fn the_crowd_of_a_months_end_is_told_however_far_it_is() {
    for pattern in ["0 2 1 * *", "0 2 L * *", "0 2 24 6 *"] {
        let entry = |name: u32| format!("  e{name}:\n{IDS}    cron: '{pattern}'\n");
        let text: String = (0..3).map(entry).collect();
        let told = crowd(TWO, &text);
        assert!(
            told.len() == 1 && told[0].contains("3 entries start at the same instant"),
            "{pattern}: {told:?}"
        );
    }
    // Two each night, and one more in the middle of a month.
    let text = format!(
        "  a:\n{IDS}    cron: '0 2 * * *'\n  b:\n{IDS}    cron: '0 2 * * *'\n  c:\n{IDS}    cron: '0 2 15 * *'\n"
    );
    let told = crowd(TWO, &text);
    assert!(
        told.len() == 1 && told[0].contains("11 other instants of the coming year"),
        "{told:?}"
    );
}

#[test]
fn what_is_spread_switched_off_over_or_kept_to_one_run_is_no_crowd() {
    for keys in [
        "spread: 2h",
        "enabled: false",
        "not_before: 2028-06-01",
        "overlap: queue",
        "cron: \"@manually\"",
    ] {
        let mut text = String::new();
        for n in 0..12 {
            let cron = if keys.starts_with("cron") {
                ""
            } else {
                "cron: 0 2 * * *; "
            };
            text += &entry(&format!("e{n}"), &format!("{cron}{keys}"));
        }
        assert_eq!(crowd(TWO, &text), [""; 0], "{keys}");
    }
}

#[test]
fn entries_that_keep_a_pipeline_to_one_run_are_one_start_at_each_instant_of_theirs() {
    let of = |id: &str, name: &str, keys: &str| {
        let text = entry(name, keys);
        let other = text.replace("e5460d1d403146a1935c2d4b68ef506c", &id.repeat(32));
        assert_ne!(text, other);
        other
    };
    let queue =
        |id: &str, name: &str, cron: &str| of(id, name, &format!("overlap: queue; cron: {cron}"));
    let mut text = queue("1", "a", "0 1 * * *");
    for (name, cron) in [("b", "0 2 * * *"), ("c", "0 2 * * 1-5"), ("d", "0 2 * * *")] {
        text += &queue("1", name, cron);
    }
    text += &queue("2", "e", "0 2 * * *");
    assert_eq!(crowd(TWO, &text), [""; 0]);
    // A third start, though the first of the pipeline's entries starts at another hour.
    text += &of("3", "f", "cron: 0 2 * * *");
    let told = crowd(TWO, &text);
    let [told] = told.as_slice() else {
        panic!("{told:#?}");
    };
    assert!(
        told.starts_with("3 entries start at the same instant, Wed 2026-11-25 02:00 UTC"),
        "{told}"
    );
    let named = ": `b`, `e` and `f`; likewise at 6 other instants of the coming week";
    assert!(told.ends_with(named), "{told}");
}

#[test]
fn a_hundred_thousand_entries_are_looked_at_in_good_time() {
    let mut text = format!("{TWO}defaults:\n  timezone: Europe/Berlin\n{IDS}schedules:\n")
        .replace("    p", "  p");
    for n in 0..100_000 {
        writeln!(
            text,
            "  e{n}: {{ cron: '{} {} {} * *' }}",
            n % 60,
            n / 60 % 24,
            n / 1440 % 28 + 1
        )
        .unwrap();
    }
    let started = Instant::now();
    let loaded = check(&text);
    assert!(loaded.config.is_some(), "{:#?}", loaded.problems);
    assert!(loaded.problems.len() <= 4, "{:#?}", loaded.problems);
    // Generous: it guards against looking at all pairs of them.
    assert!(
        started.elapsed() < std::time::Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn jobs_of_stages_that_are_not_chosen_are_told_of_where_nobody_can_have_meant_it() {
    let told = |defaults: &str, keys: &str| {
        let text = format!(
            "{ACCOUNT}defaults: {{ {defaults} }}\nschedules:\n{}",
            entry("e", &format!("cron: '@daily'; {keys}"))
        );
        let loaded = check(&text);
        assert!(loaded.config.is_some(), "{:#?}", loaded.problems);
        loaded
            .problems
            .into_iter()
            .map(|problem| problem.message)
            .collect::<Vec<_>>()
    };
    assert_eq!(told("", "choose_jobs: [J]; choose_stages: [S]"), [""; 0]);
    assert_eq!(told("", "choose_jobs: []; choose_stages: []"), [""; 0]);
    assert_eq!(
        told("choose_jobs: [J], choose_stages: [S]", "follow: true"),
        [""; 0]
    );
    assert_eq!(told("choose_jobs: [J]", "choose_stages: [S]"), [""; 0]);
    let none = told("", "choose_jobs: [J]; choose_stages: []");
    assert!(
        matches!(none.as_slice(), [one] if one.contains("`choose_stages` no stage")),
        "{none:?}"
    );
    let others = told("choose_stages: [S]", "choose_jobs: [J]");
    assert!(
        matches!(others.as_slice(), [one] if one.contains("hold for this entry too")),
        "{others:?}"
    );
}

#[test]
fn an_error_is_shown_and_kept_among_any_number_of_warnings() {
    let mut text = format!("{ACCOUNT}defaults:\n{IDS}schedules:\n").replace("    p", "  p");
    for n in 0..12_000 {
        writeln!(text, "  e{n}: {{ cron: '0 2 13 * 5' }}").unwrap();
    }
    let warnings = check(&text);
    assert!(warnings.config.is_some());
    assert_eq!(warnings.problems.len() + warnings.unlisted, 12_000);
    text += "  last: { corn: '@daily' }\n";
    let loaded = check(&text);
    assert!(loaded.problems.len() < pipecron::config::PROBLEMS_MAX);
    let is_error = |problem: &&Problem| problem.severity == pipecron::config::Severity::Error;
    let errors: Vec<&Problem> = loaded.problems.iter().filter(is_error).collect();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    let shown = pipecron::config::render(
        &loaded.problems,
        loaded.unlisted,
        pipecron::config::Colour::Never,
    );
    assert_eq!(
        shown.matches("error: an entry has no key `corn`").count(),
        1
    );
    assert_eq!(
        shown.matches("warning: ").count(),
        pipecron::config::SHOWN_MAX - 1
    );
    assert!(shown.ends_with(&format!(
        "... and {} more\n\n",
        12_001 - pipecron::config::SHOWN_MAX
    )));
}

const CALENDARS: &str =
    "calendars: { week: { weekend: [sat, sun] }, ends: { weekend: [mon, tue, wed, thu, fri] } }\n";

#[test]
fn what_a_calendar_takes_is_not_told_of() {
    let told_of = |accounts: &str, entries: &str, kind: Kind| {
        let loaded = check(&format!("{accounts}{CALENDARS}schedules:\n{entries}"));
        assert!(loaded.config.is_some(), "{:#?}", loaded.problems);
        let of_kind = loaded
            .problems
            .into_iter()
            .filter(|problem| problem.kind == kind);
        of_kind.map(|problem| problem.message).collect::<Vec<_>>()
    };
    // Both changes of the clock are on Sundays.
    let nightly = |calendar: &str| {
        let keys = format!("cron: 30 2 * * *; timezone: Europe/Berlin; only_on: {calendar}");
        told_of(ACCOUNT, &entry("e", &keys), Kind::ClockChange).len()
    };
    assert_eq!((nightly("week"), nightly("ends")), (0, 1));

    let crowd = |calendars: &[&str]| {
        let keys = |calendar| format!("cron: 0 2 * * *; only_on: {calendar}");
        let names = ["a", "b", "c", "d"];
        let entries = names.iter().zip(calendars);
        let entries: String = entries.map(|(name, of)| entry(name, &keys(of))).collect();
        told_of(TWO, &entries, Kind::Crowd)
    };
    assert_eq!(crowd(&["week", "ends", "week"]), [""; 0]);
    // The last one must not hide that the others start together.
    let told = crowd(&["week", "week", "week", "ends"]);
    assert!(told[0].starts_with("3 entries start"), "{told:?}");
    assert_eq!(told.len(), 1);
}
