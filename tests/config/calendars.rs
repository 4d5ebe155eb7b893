//! Calendars and freezes: what they say of an entry, and how what is wrong with them reads.

use pipecron::config::{Colour, Kind, Loaded, SourceFile, calendar_files, render};
use pipecron::domain::schedule::Schedule;

use super::world::{ACCOUNT, IDS, check, check_files, good};

/// A file with these calendars, and an entry with these keys.
fn file(top: &str, entry: &str) -> String {
    let entry: String = entry.lines().map(|line| format!("    {line}\n")).collect();
    format!("{ACCOUNT}{top}schedules:\n  nightly:\n{IDS}{entry}")
}

fn schedule(loaded: &Loaded) -> Schedule {
    let shown = render(&loaded.problems, loaded.unlisted, Colour::Never);
    let config = loaded.config.clone().unwrap_or_else(|| panic!("{shown}"));
    let entry = config.entries.values().next().cloned().unwrap();
    entry.schedule.clone().unwrap()
}

/// The starts of a month, by the day of the schedule's zone.
fn days(schedule: &Schedule, month: &str) -> Vec<String> {
    let first: chrono::NaiveDate = format!("{month}-01").parse().unwrap();
    let zone = schedule.zone();
    let end = zone.start_of_day(first + chrono::Months::new(1));
    schedule
        .between(
            zone.start_of_day(first) - chrono::TimeDelta::seconds(1),
            end - chrono::TimeDelta::seconds(1),
        )
        .map(|start| zone.local(start).format("%d").to_string())
        .collect()
}

const CN: &str = "calendars:\n  cn: { weekend: [sat, sun], holidays: [2027-02-05..2027-02-11], workdays: [2027-02-14] }\n";

#[test]
fn an_entry_keeps_to_the_working_days_of_its_calendar() {
    let expected = [
        "01", "02", "03", "04", "12", "14", "15", "16", "17", "18", "19", "22", "23", "24", "25",
        "26",
    ];
    for key in ["only_on: cn", "skip_on: cn", "only_on: [cn]\nskip_on: [cn]"] {
        let text = file(
            CN,
            &format!("cron: 0 2 * * *\ntimezone: Asia/Shanghai\n{key}"),
        );
        let config = good(&text);
        let entry = config.entries.values().next().unwrap();
        let schedule = entry.schedule.as_ref().unwrap();
        assert_eq!(days(schedule, "2027-02"), expected, "{key}");
    }
}

#[test]
fn several_calendars_hold_together_and_an_entry_may_keep_to_none() {
    let top = "calendars:\n  week: { weekend: [Saturday, SUN] }\n  freeze: { holidays: 2027-03-01..2027-03-12 }\n  \
               ends: { patterns: '* * L * *' }\ndefaults: { only_on: week, skip_on: [freeze, ends] }\n";
    let with = check(&file(top, "cron: 0 2 * * *"));
    let expected = [
        "15", "16", "17", "18", "19", "22", "23", "24", "25", "26", "29", "30",
    ];
    assert_eq!(days(&schedule(&with), "2027-03"), expected);
    let without = check(&file(top, "cron: 0 2 * * *\nonly_on: []\nskip_on: []"));
    assert_eq!(days(&schedule(&without), "2027-03").len(), 31);
}

#[test]
fn ticks_are_moved_where_the_entry_says_so() {
    for (on_excluded, expected) in [("skip", vec![]), ("next", vec!["01"]), ("previous", vec![])] {
        // The 30th and 31st of January 2027 are a weekend.
        let text = file(
            CN,
            &format!(
                "cron: 0 2 L 1 *\ntimezone: Asia/Shanghai\nonly_on: cn\non_excluded: {on_excluded}"
            ),
        );
        assert_eq!(days(&schedule(&check(&text)), "2027-02"), expected);
    }
}

const ICS: &str = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Spring Festival\r\nDTSTART;VALUE=DATE:20270205\r\n\
                   DTEND;VALUE=DATE:20270212\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20270301\r\n\
                   RRULE:FREQ=YEARLY\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

#[test]
fn calendar_files_are_named_by_the_yaml_and_looked_for_beside_it() {
    let top = "calendars:\n  cn: { weekend: [sat, sun], ics: [days/cn.ics, /srv/other.ics] }\n";
    let text = file(top, "cron: 0 2 * * *\nskip_on: cn");
    let source = |path: &str, text: &str| SourceFile {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let yaml = source("/etc/pipecron/a.yaml", &text);
    let named = ["/etc/pipecron/days/cn.ics", "/srv/other.ics"];
    assert_eq!(calendar_files(&[yaml]), named);
    let loaded = check_files(&[
        ("/etc/pipecron/a.yaml", &text),
        (named[0], ICS),
        (
            named[1],
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20270226\nEND:VEVENT\nEND:VCALENDAR",
        ),
    ]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let schedule = schedule(&loaded);
    assert_eq!(
        days(&schedule, "2027-02"),
        [
            "01", "02", "03", "04", "12", "15", "16", "17", "18", "19", "22", "23", "24", "25"
        ]
    );
    // The rule has no end; what is known reaches ten years ahead.
    assert_eq!(days(&schedule, "2033-03").first().unwrap(), "02");
    let why = schedule.exclusions(
        "2027-02-05T00:00:00Z".parse().unwrap(),
        "2027-02-05T23:00:00Z".parse().unwrap(),
    );
    assert_eq!(
        why[0].why,
        "cn: event \"Spring Festival\" 2027-02-05..2027-02-11"
    );
}

#[test]
fn a_freeze_holds_for_its_labels_and_not_for_its_exceptions() {
    let top = "freezes:\n  - { from: 2027-01-01, until: 2027-01-10, labels: [web], except: [canary, urgent], reason: year's end }\n  \
               - { from: 2027-01-20T12:00:00Z, until: 2027-01-21T12:00:00Z }\n";
    let entries =
        |labels: &str| format!("cron: 0 2 * * *\ntimezone: Asia/Shanghai\nlabels: [{labels}]");
    for (labels, count, first) in [
        ("web", 20, "11"),
        ("web, urgent", 30, "01"),
        ("other", 30, "01"),
    ] {
        let schedule = schedule(&check(&file(top, &entries(labels))));
        let days = days(&schedule, "2027-01");
        // The second one holds for all: the tick of the 21st at 02:00 in Shanghai lies within it.
        assert_eq!((days.len(), days[0].as_str()), (count, first), "{labels}");
        assert!(!days.contains(&"21".to_owned()));
    }
    let named = file(top, &entries("web")).replace("nightly:", "canary:");
    assert_eq!(days(&schedule(&check(&named)), "2027-01").len(), 30);
    let why = schedule(&check(&file(top, &entries("web")))).exclusions(
        "2027-01-05T00:00:00Z".parse().unwrap(),
        "2027-01-06T00:00:00Z".parse().unwrap(),
    );
    assert_eq!(why[0].why, "freeze 2027-01-01..2027-01-10: year's end");
}

/// The one problem of a text.
fn problem(text: &str) -> (Kind, String, String) {
    let loaded = check(text);
    let [problem] = loaded.problems.as_slice() else {
        panic!("{:#?}\nin\n{text}", loaded.problems);
    };
    let help = problem.help.clone().unwrap_or_default();
    (problem.kind, problem.message.clone(), help)
}

#[test]
fn what_is_wrong_with_a_calendar_is_said_with_what_to_write() {
    let of = |calendar: &str| {
        file(
            &format!("calendars: {{ cn: {calendar} }}\n"),
            "cron: 0 2 * * *\nonly_on: cn",
        )
    };
    for (calendar, message, help) in [
        (
            "{ holidays: [2027-02-30] }",
            "there is no day `2027-02-30`",
            "2027-05-01",
        ),
        (
            "{ holidays: [2027-2-3] }",
            "`2027-2-3` is not a day",
            "2027-05-01",
        ),
        (
            "{ holidays: [2027-02-05..2027-02-31] }",
            "there is no day `2027-02-31`",
            "2027-05-01",
        ),
        (
            "{ holidays: [2027-02-11..2027-02-05] }",
            "the range `2027-02-11..2027-02-05` ends before it begins",
            "write 2027-02-05..2027-02-11",
        ),
        (
            "{ workdays: [2027-02-14T00:00:00Z] }",
            "is an instant",
            "2027-05-01",
        ),
        (
            "{ weekend: [sat, sundy] }",
            "`weekend` cannot be `sundy`",
            "did you mean `sunday`?",
        ),
        (
            "{ patterns: ['0 2 24 12 *'] }",
            "names times",
            "* * 24-31 DEC *",
        ),
        (
            "{ patterns: ['* * 32 * *'] }",
            "the cron pattern is wrong",
            "",
        ),
        (
            "{ patterns: ['* * H * *'] }",
            "the cron pattern is wrong",
            "there is no name here",
        ),
        (
            "{ ics: cn.ical }",
            "is not the name of a calendar file",
            "ends in .ics",
        ),
        (
            "{ ics: cn.ics }",
            "cannot be used: it was not read",
            "beside this file",
        ),
        (
            "{ holiday: [2027-02-05] }",
            "a calendar has no key `holiday`",
            "did you mean `holidays`?",
        ),
        (
            "{ url: 'https://example.com/a.ics' }",
            "a calendar has no key",
            "it is not fetched",
        ),
        (
            "{ ics: 'https://example.com/a.ics' }",
            "pipecron does not fetch calendars, and `https://example.com/a.ics` is an address",
            "let a timer start a service that fetches it and reloads",
        ),
        (
            "{ ics: [webcal://example.com/feed] }",
            "does not fetch calendars",
            "name a file here",
        ),
        ("{}", "the calendar `cn` lists nothing", "at least one of"),
        (
            "{ weekend: [mon, tue, wed, thu, fri, sat, sun] }",
            "is never due: calendars leave it nothing (cn: weekend)",
            "fit each other",
        ),
    ] {
        let (_, said, advice) = problem(&of(calendar));
        assert!(said.contains(message), "{calendar}: {said}");
        assert!(advice.contains(help), "{calendar}: {advice}");
    }
}

#[test]
fn what_is_wrong_with_an_entrys_calendars_is_said_too() {
    let top = "calendars: { cn: { weekend: [sat] }, days: { workdays: [2027-01-04] } }\n";
    for (keys, message, help) in [
        (
            "only_on: cnn\nskip_on: cn",
            "there is no calendar `cnn`",
            "did you mean `cn`?",
        ),
        (
            "only_on: [cn, berlin]",
            "there is no calendar `berlin`",
            "configured are",
        ),
        (
            "only_on: cn\nskip_on: days",
            "lists working days alone",
            "write `only_on`",
        ),
        (
            "skip_on: cn\non_excluded: move",
            "`on_excluded` cannot be `move`",
            "`skip`, `next`",
        ),
        (
            "skip_on: cn\non_excluded: next",
            "more than 64 in 31 days",
            "on_excluded: skip",
        ),
    ] {
        let hourly = if keys.ends_with("next") {
            "0 * * * *"
        } else {
            "0 2 * * *"
        };
        let loaded = check(&file(top, &format!("cron: '{hourly}'\n{keys}")));
        let problem = loaded
            .problems
            .iter()
            .find(|problem| problem.message.contains(message))
            .unwrap_or_else(|| panic!("{keys}: {:#?}", loaded.problems));
        let advice = problem.help.clone().unwrap_or_default();
        assert!(advice.contains(help), "{keys}: {advice}");
        assert!(loaded.config.is_none());
    }
}

#[test]
fn what_will_not_do_what_it_seems_to_is_warned_of() {
    let entry = "cron: 0 2 * * *\nlabels: [web]\nskip_on: cn";
    for (top, entry, message) in [
        (
            "calendars: { cn: { weekend: [sat] }, de: { weekend: [sun] } }\n",
            entry,
            "no entry names the calendar `de`",
        ),
        (
            "calendars: { cn: { weekend: [sat], holidays: [2026-10-01..2026-10-08] } }\n",
            entry,
            "the calendar `cn` has run out: the last day that it lists is 2026-10-08",
        ),
        (
            "calendars: { cn: { patterns: ['* * 1 1-6,12 *'] } }\n",
            "cron: 0 2 1 * *\nskip_on: cn\nnot_after: 2027-06-01",
            "nothing within its window (cn: pattern `* * 1 1-6,12 *`)",
        ),
        (
            "calendars: { cn: { workdays: [2028-02-07] } }\n",
            "cron: 0 2 * * *\nonly_on: cn",
            "nothing in the coming year (cn: none of its working days); it is next due 2028-02-07",
        ),
        (
            "calendars: { cn: { weekend: [sat] } }\nfreezes: [{ from: 2026-01-01, until: 2026-01-05 }]\n",
            entry,
            "this freeze is over",
        ),
        (
            "calendars: { cn: { weekend: [sat] } }\nfreezes: [{ from: 2027-01-01, until: 2027-01-05, labels: [wep] }]\n",
            entry,
            "no entry has the label `wep`",
        ),
        (
            "calendars: { cn: { weekend: [sat] } }\nfreezes: [{ from: 2027-01-01, until: 2027-01-05, labels: [] }]\n",
            entry,
            "this freeze holds no entry",
        ),
        (
            "calendars: { cn: { weekend: [sat] } }\nfreezes: [{ from: 2027-01-01, until: 2027-01-05, labels: [web], except: [web] }]\n",
            entry,
            "this freeze holds no entry",
        ),
        (
            "",
            "cron: 0 2 * * *\non_excluded: next",
            "keeps to no calendar",
        ),
    ] {
        let loaded = check(&file(top, entry));
        assert!(loaded.config.is_some(), "{:#?}", loaded.problems);
        let found = loaded
            .problems
            .iter()
            .map(|problem| problem.message.as_str());
        let found: Vec<&str> = found.collect();
        assert!(
            found.len() == 1 && found[0].contains(message),
            "{message}: {found:#?}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_freeze_is_said() {
    for (freeze, message) in [
        ("{ from: 2027-01-05 }", "this freeze has no `until`"),
        ("{ until: 2027-01-05 }", "this freeze has no `from`"),
        (
            "{ from: 2027-01-05, until: 2027-01-04 }",
            "ends before it begins",
        ),
        (
            "{ from: soon, until: 2027-01-04 }",
            "neither a day nor an instant",
        ),
        (
            "{ from: 2027-01-05, to: 2027-01-06 }",
            "a freeze has no key `to`",
        ),
        ("2027-01-05", "must be a list of mappings"),
    ] {
        let text = file(&format!("freezes: [{freeze}]\n"), "cron: 0 2 * * *");
        let (_, said, _) = problem(&text);
        assert!(said.contains(message), "{freeze}: {said}");
    }
}

#[test]
fn a_calendar_given_twice_shows_both_places() {
    let two = check_files(&[
        ("a.yaml", &file(CN, "cron: 0 2 * * *\nonly_on: cn")),
        ("b.yaml", CN),
    ]);
    assert_eq!(two.problems.len(), 1, "{:#?}", two.problems);
    let problem = &two.problems[0];
    assert!(
        problem
            .message
            .contains("`cn` of a calendar is given twice")
    );
    assert_eq!(problem.related.as_ref().unwrap().file, "a.yaml");
}

#[test]
fn a_broken_calendar_file_is_shown_at_its_line_and_where_it_is_named() {
    let text = file(
        "calendars: { cn: { ics: cn.ics } }\n",
        "cron: 0 2 * * *\nonly_on: cn",
    );
    let broken = ICS.replace("DTEND;VALUE=DATE:20270212", "DTEND;VALUE=DATE:20270232");
    let loaded = check_files(&[("a.yaml", &text), ("cn.ics", &broken)]);
    assert!(loaded.config.is_none());
    insta::assert_snapshot!(
        render(&loaded.problems, loaded.unlisted, Colour::Never).replace('\r', ""),
        @r"
    error: there is no date `20270232`
     --> cn.ics:5:1
      |
    5 | DTEND;VALUE=DATE:20270232
      | ^^^^^^^^^^^^^^^^^^^^^^^^^
      |
     ::: a.yaml:2:25
      |
    2 | calendars: { cn: { ics: cn.ics } }
      |                         ------ the file is named here
      |
      = help: dates are written 20270205, times 20270205T180000, in UTC with a Z at the end
    "
    );
    // A page of a portal that wants a password, saved as a calendar.
    let loaded = check_files(&[("a.yaml", &text), ("cn.ics", "<!DOCTYPE html>\n<p>a: b\n")]);
    assert!(loaded.config.is_none());
    let timed =
        "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:20270205T180000Z\nEND:VEVENT\nEND:VCALENDAR";
    let loaded = check_files(&[("a.yaml", &text), ("cn.ics", timed)]);
    assert!(
        loaded.problems[0]
            .message
            .contains("1 event of the calendar file `cn.ics` has times")
    );
    let loaded = check_files(&[("a.yaml", &text), ("cn.ics", ICS), ("other.ics", ICS)]);
    assert!(loaded.problems[0].message.contains("no calendar names it"));
}

#[test]
fn how_to_have_a_calendar_fetched_is_shown() {
    let text = file(
        "calendars: { cn: { ics: 'webcal://example.com/a%40b/basic.ics' } }\n",
        "cron: 0 2 * * *\nonly_on: cn",
    );
    let source = SourceFile {
        path: "a.yaml".to_owned(),
        text: text.clone(),
    };
    let named = calendar_files(&[source]);
    assert_eq!(named, [""; 0], "an address is no file to look for");
    let loaded = check(&text);
    insta::assert_snapshot!(render(&loaded.problems, loaded.unlisted, Colour::Never), @r"
    error: pipecron does not fetch calendars, and `webcal://example.com/a%40b/basic.ics` is an address
     --> a.yaml:2:25
      |
    2 | calendars: { cn: { ics: 'webcal://example.com/a%40b/basic.ics' } }
      |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: name a file here, and let a timer start a service that fetches it and reloads, such as
              Type=oneshot
              WorkingDirectory=/etc/pipecron
              ExecStart=curl --fail --silent --show-error --location --output calendar.ics.new 'https://example.com/a%%40b/basic.ics'
              ExecStart=mv calendar.ics.new calendar.ics
              ExecStart=pipecron reload
    ");
}

#[test]
fn what_is_doubtful_in_a_calendar_file_is_warned_of_at_its_line() {
    let text = file(
        "calendars: { cn: { ics: cn.ics } }\n",
        "cron: 0 2 * * *\nonly_on: cn",
    );
    let events = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20270104\nRRULE:FREQ=WEEKLY;UNTIL=20271217T160000Z\n\
                  END:VEVENT\nEND:VCALENDAR";
    let loaded = check_files(&[("a.yaml", &text), ("cn.ics", events)]);
    assert!(loaded.config.is_some());
    insta::assert_snapshot!(render(&loaded.problems, loaded.unlisted, Colour::Never), @r"
    warning: this time is in UTC and its event has no zone, so its date is taken as written
     --> cn.ics:4:1
      |
    4 | RRULE:FREQ=WEEKLY;UNTIL=20271217T160000Z
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
     ::: a.yaml:2:25
      |
    2 | calendars: { cn: { ics: cn.ics } }
      |                         ------ the file is named here
      |
      = help: let the event have a TZID, or the calendar an X-WR-TIMEZONE; or write this as a date
    ");
}

#[test]
fn each_entry_of_a_matrix_keeps_to_the_calendar_that_its_value_names() {
    let top = "calendars:\n  cn: { holidays: 2027-02-05..2027-02-11 }\n  de: { holidays: 2027-02-08 }\n\
               freezes: [{ from: 2027-02-20, until: 2027-02-21, except: [nightly-de], reason: audit }]\n";
    let keys = "matrix: { calendar: [cn, de] }\ncron: H 2 * * *\nskip_on: '{{ matrix.calendar }}'";
    let config = good(&file(top, keys));
    let off: Vec<(&str, usize, bool)> = (config.entries.values())
        .map(|entry| {
            let days = days(entry.schedule.as_ref().unwrap(), "2027-02");
            let is_frozen = !days.contains(&"20".to_owned());
            (entry.name.as_str(), 28 - days.len(), is_frozen)
        })
        .collect();
    assert_eq!(off, [("nightly-cn", 9, true), ("nightly-de", 1, false)]);
    let (_, said, advice) = problem(&file(top, &keys.replace("[cn, de]", "[cn, fr]")));
    assert_eq!(said, "there is no calendar `fr`");
    assert!(advice.contains("configured are"), "{advice}");
}

#[test]
fn a_file_of_events_that_came_out_empty_does_not_turn_a_calendar_round() {
    for days_off in ["holidays: []", "weekend: []"] {
        let calendars = format!("calendars: {{ cn: {{ {days_off}, workdays: [2027-02-14] }} }}\n");
        let entry = "schedules:\n  a: { cron: '0 2 * * *', only_on: cn, \
                     project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: e5460d1d403146a1935c2d4b68ef506c }\n";
        let text = format!("accounts: {{ main: {{ region: cn-north-4 }} }}\n{calendars}{entry}");
        let loaded = check(&text);
        let config = loaded
            .config
            .unwrap_or_else(|| panic!("{:?}", loaded.problems));
        let entry = config.entries.values().next().unwrap();
        let schedule = entry.schedule.as_ref().unwrap();
        let monday = "2027-02-15T02:00:00Z".parse().unwrap();
        let before = "2027-02-14T12:00:00Z".parse().unwrap();
        assert_eq!(schedule.next_after(before), Some(monday), "{days_off}");
    }
}
