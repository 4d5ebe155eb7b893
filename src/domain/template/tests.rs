//! What templates make, what is wrong with others, and their limits.

use super::*;
use crate::domain::request::{BuildParams, Source, SourceParams, Variable};
use crate::domain::zone::Change;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// Berlin in the year 2025, without the rest of its history.
fn berlin() -> Zone {
    let change = |when: &str, offset| Change {
        at: at(when).timestamp(),
        offset,
    };
    let changes = vec![
        change("2025-03-30T01:00:00Z", 7200),
        change("2025-10-26T01:00:00Z", 3600),
    ];
    Zone::new("Europe/Berlin", 3600, changes)
}

struct World {
    labels: BTreeSet<String>,
    zones: Arc<Zones>,
    due: DateTime<Utc>,
    last_success: Option<LastSuccess>,
    previous: Option<DateTime<Utc>>,
}

impl World {
    fn of(due: &str) -> Self {
        let tokyo = Arc::new(Zone::new("Asia/Tokyo", 9 * 3600, Vec::new()));
        let named = BTreeMap::from([
            ("Asia/Tokyo".to_owned(), tokyo),
            ("UTC".to_owned(), Arc::new(Zone::utc())),
        ]);
        Self {
            labels: BTreeSet::from(["nightly".to_owned(), "web".to_owned()]),
            zones: Arc::new(Zones {
                own: Arc::new(berlin()),
                named,
            }),
            due: at(due),
            last_success: Some(LastSuccess {
                due: at("2025-03-29T00:30:00Z"),
                run_id: "r1".to_owned(),
                number: Some(41),
            }),
            previous: Some(at("2025-03-29T00:30:00Z")),
        }
    }

    fn without_history(self) -> Self {
        Self {
            last_success: None,
            previous: None,
            ..self
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            entry: "nightly-Web",
            labels: &self.labels,
            zones: &self.zones,
            tick: "nightly-Web@2025-03-30T00:30:00Z",
            origin: "scheduled",
            due: self.due,
            previous: self.previous,
            last_success: self.last_success.as_ref(),
        }
    }

    /// What may be absent is looked at beside: here it is there, or not.
    fn render(&self, text: &str) -> Result<String, Wrong> {
        check(text)
            .map(|_| ())
            .or_else(|wrong| match wrong.message.contains("may be absent") {
                true => Ok(()),
                false => Err(wrong),
            })?;
        render(text, &self.facts())
    }
}

const MADE: &[(&str, &str)] = &[
    ("plain", "plain"),
    ("{{ entry.name }}", "nightly-Web"),
    ("{{entry.name|lower}}!", "nightly-web!"),
    ("{{ entry.labels | join(',') }}", "nightly,web"),
    ("{{ entry.timezone }}", "Europe/Berlin"),
    ("{{ 'web' in entry.labels }}", "true"),
    ("{{ tick.due }}", "2025-03-30T00:30:00Z"),
    ("{{ tick.local }}", "2025-03-30T01:30:00+01:00"),
    ("{{ tick.id }}", "nightly-Web@2025-03-30T00:30:00Z"),
    ("{{ tick.origin }}", "scheduled"),
    (
        "{{ tick.previous | local | date('%F %R') }}",
        "2025-03-29 01:30",
    ),
    (
        "{{ last_success.due }} {{ last_success.run_id }} {{ last_success.number }}",
        "2025-03-29T00:30:00Z r1 41",
    ),
    (
        "build {{ tick.local | date('%Y%m%d') }} of {{ entry.name }}",
        "build 20250330 of nightly-Web",
    ),
    ("{{ tick.local | date(\"%G-W%V\") }}", "2025-W13"),
    ("{{ tick.due | unix }}", "1743294600"),
    (
        "{{ (tick.due | unix) - (last_success.due | unix) }}",
        "86400",
    ),
    (
        "{{ tick.due | in_zone('Asia/Tokyo') }}",
        "2025-03-30T09:30:00+09:00",
    ),
    (
        "{{ tick.local | in_zone('UTC') | date('%R %z') }}",
        "00:30 +0000",
    ),
    (
        "{{ tick.due | in_zone(entry.timezone) | date('%R') }}",
        "01:30",
    ),
    (
        "{{ tick.local | minus('1d') }}",
        "2025-03-29T01:30:00+01:00",
    ),
    ("{{ tick.local | plus('1d') }}", "2025-03-31T01:30:00+02:00"),
    (
        "{{ tick.local | plus('24h') }}",
        "2025-03-31T02:30:00+02:00",
    ),
    // 02:30 does not exist on that day: the first instant after it.
    ("{{ tick.local | plus('1h') }}", "2025-03-30T03:30:00+02:00"),
    (
        "{{ tick.local | minus('1mo') }}",
        "2025-02-28T01:30:00+01:00",
    ),
    (
        "{{ tick.local | minus('1y1d') | date('%F') }}",
        "2024-03-29",
    ),
    (
        "{{ tick.local | start_of('hour') }}",
        "2025-03-30T01:00:00+01:00",
    ),
    (
        "{{ tick.local | plus('1d') | start_of('day') }}",
        "2025-03-31T00:00:00+02:00",
    ),
    (
        "{{ tick.local | start_of('week') | date('%a %F') }}",
        "Mon 2025-03-24",
    ),
    (
        "{{ tick.local | start_of('month') | date('%F') }}",
        "2025-03-01",
    ),
    (
        "{{ tick.local | plus('1mo') | start_of('quarter') | date('%F') }}",
        "2025-04-01",
    ),
    (
        "{{ tick.local | start_of('year') | date('%F') }}",
        "2025-01-01",
    ),
    (
        "{{ 'a/b/c' | replace('/', '-') | upper | truncate(3) }}",
        "A-B",
    ),
    ("{{ '  x ' | trim }}", "x"),
    (
        "{{ 'full' if tick.local | date('%u') == '7' else 'quick' }}",
        "full",
    ),
    (
        "{{ 'yes' if tick.due > last_success.due else 'no' }}",
        "yes",
    ),
    ("{{ entry.name ~ '-' ~ (7 + 1) }}", "nightly-Web-8"),
    (
        "{{ 'new' if last_success.due is defined else 'first' }}",
        "new",
    ),
    // Marks as texts.
    ("{{ '{{' }}x{{ '}}' }} {{ '{%' }} }} %}", "{{x}} {% }} %}"),
];

#[test]
fn every_name_and_filter_says_what_it_should() {
    // 01:30 in Berlin, half an hour before the clock goes forward.
    let world = World::of("2025-03-30T00:30:00Z");
    for (template, expected) in MADE {
        assert_eq!(
            world.render(template).as_deref(),
            Ok(*expected),
            "{template}"
        );
    }
}

#[test]
fn a_day_is_a_day_of_the_calendar_on_both_sides_of_a_clock_change() {
    // Each is "yesterday at this time", and the day before by its date, in spring and in autumn.
    for (due, yesterday) in [
        ("2025-03-31T00:30:00Z", "2025-03-30T03:00:00+02:00"), // 02:30 was skipped
        ("2025-03-30T22:30:00Z", "2025-03-30T00:30:00+01:00"),
        ("2025-10-26T23:30:00Z", "2025-10-26T00:30:00+02:00"),
        ("2025-10-27T01:30:00Z", "2025-10-26T02:30:00+02:00"), // occurred twice: the first
    ] {
        let made = World::of(due).render("{{ tick.local | minus('1d') }}");
        assert_eq!(made.as_deref(), Ok(yesterday), "{due}");
    }
    let day = |due: &str| {
        World::of(due).render("{{ tick.local | start_of('day') | minus('1d') | unix }}")
    };
    // 23 and 25 hours long.
    assert_eq!(
        day("2025-03-30T23:00:00Z").unwrap(),
        at("2025-03-29T23:00:00Z").timestamp().to_string()
    );
    assert_eq!(
        day("2025-10-26T23:30:00Z").unwrap(),
        at("2025-10-25T22:00:00Z").timestamp().to_string()
    );
}

#[test]
fn an_hour_starts_where_the_clock_began_to_show_it() {
    let zone = |name: &str, first, changes: &[(&str, i32)]| {
        let change = |(when, offset): &(&str, i32)| Change {
            at: at(when).timestamp(),
            offset: *offset,
        };
        Arc::new(Zone::new(name, first, changes.iter().map(change).collect()))
    };
    let lord_howe = zone(
        "Australia/Lord_Howe",
        39_600,
        &[
            ("2025-04-05T15:00:00Z", 37_800),
            ("2025-10-04T15:30:00Z", 39_600),
        ],
    );
    let berlin = Arc::new(berlin());
    let kathmandu = zone("Asia/Kathmandu", 20_700, &[]);
    // Back by an hour in the middle of one: what is shown again is broken off from what was shown before.
    let odd = zone("Odd", 3600, &[("2025-01-01T11:10:00Z", 0)]);
    for (zone, due, start) in [
        // From 02:00 back to 01:30: the hour is 90 minutes long.
        (
            &lord_howe,
            "2025-04-05T14:45:00Z",
            "2025-04-06T01:00:00+11:00",
        ),
        (
            &lord_howe,
            "2025-04-05T15:15:00Z",
            "2025-04-06T01:00:00+11:00",
        ),
        (
            &lord_howe,
            "2025-04-05T15:30:00Z",
            "2025-04-06T02:00:00+10:30",
        ),
        // From 02:00 on to 02:30.
        (
            &lord_howe,
            "2025-10-04T15:29:59Z",
            "2025-10-05T01:00:00+10:30",
        ),
        (
            &lord_howe,
            "2025-10-04T15:30:00Z",
            "2025-10-05T02:30:00+11:00",
        ),
        (
            &lord_howe,
            "2025-10-04T15:59:59Z",
            "2025-10-05T02:30:00+11:00",
        ),
        (
            &lord_howe,
            "2025-10-04T16:00:00Z",
            "2025-10-05T03:00:00+11:00",
        ),
        // 02:30, and an hour later 02:30 again.
        (&berlin, "2025-10-26T00:30:00Z", "2025-10-26T02:00:00+02:00"),
        (&berlin, "2025-10-26T01:30:00Z", "2025-10-26T02:00:00+01:00"),
        (&berlin, "2025-03-30T01:10:00Z", "2025-03-30T03:00:00+02:00"),
        (
            &kathmandu,
            "2025-03-30T01:10:00Z",
            "2025-03-30T06:00:00+05:45",
        ),
        (&odd, "2025-01-01T11:20:00Z", "2025-01-01T11:10:00+00:00"),
        (&odd, "2025-01-01T12:20:00Z", "2025-01-01T12:00:00+00:00"),
    ] {
        let mut world = World::of(due);
        let named = world.zones.named.clone();
        world.zones = Arc::new(Zones {
            own: Arc::clone(zone),
            named,
        });
        let made = world.render("{{ tick.local | start_of('hour') }}");
        assert_eq!(made.as_deref(), Ok(start), "{due} in {}", zone.name());
    }
    let made = World::of("2025-10-26T01:30:00Z").render("{{ tick.due | start_of('hour') }}");
    assert_eq!(made.as_deref(), Ok("2025-10-26T01:00:00Z"));
}

#[test]
fn what_is_absent_stays_so_until_default() {
    let world = World::of("2025-03-30T00:30:00Z").without_history();
    for (template, expected) in [
        ("{{ tick.previous | default('none') }}", "none"),
        (
            "{{ last_success.due | local | minus('1d') | date('%F') | default('never') }}",
            "never",
        ),
        ("{{ last_success.run_id | upper | default('-') }}", "-"),
        (
            "{{ (last_success.due | default(tick.due)) | date('%F') }}",
            "2025-03-30",
        ),
        (
            "{{ 'again' if last_success.due is defined else 'first' }}",
            "first",
        ),
        (
            "{{ 'first' if last_success.due is undefined else last_success.number }}",
            "first",
        ),
        (
            "{{ 'first' if last_success.due is not defined else 'x' }}",
            "first",
        ),
    ] {
        assert_eq!(
            world.render(template).as_deref(),
            Ok(expected),
            "{template}"
        );
    }
    for (template, name, piece) in [
        (
            "since {{ last_success.due }}",
            "last_success.due",
            "last_success.due",
        ),
        (
            "{{ tick.previous | local | date('%F') }}",
            "tick.previous",
            "tick.previous | local | date('%F')",
        ),
        (
            "{{ 'n' ~ last_success.number }}",
            "last_success.number",
            "'n' ~ last_success.number",
        ),
    ] {
        let wrong = world.render(template).unwrap_err();
        assert_eq!(
            wrong.message,
            format!("`{name}` is absent, and nothing is said for that case")
        );
        assert_eq!(&template[wrong.span], piece);
        assert!(wrong.help.contains("| default("), "{}", wrong.help);
    }
}

const WRONG: &[(&str, &str, &str)] = &[
    (
        "a {{ tick.du }}",
        "tick.du",
        "a template knows no `tick.du`",
    ),
    ("{{ tick }}", "tick", "`tick` is several values"),
    (
        "{{ tick.due.year }}",
        "tick.due.year",
        "`tick.due` has nothing in it that could be named",
    ),
    (
        "{{ tick.due | dat('%F') }}",
        "dat",
        "there is no filter `dat`",
    ),
    ("{{ now() }}", "now", "there is no function `now`"),
    (
        "{{ env.PATH }}",
        "env.PATH",
        "a template knows no `env.PATH`",
    ),
    (
        "{{ matrix.branch }}",
        "matrix.branch",
        "`matrix` is known only in an entry that has a `matrix`",
    ),
    ("{{ tick.due is fine }}", "fine", "there is no test `fine`"),
    (
        "{{ tick.due | date('%Q') }}",
        "'%Q'",
        "\"%Q\" is not the form of a date",
    ),
    (
        "{{ tick.due | minus('1 day') }}",
        "'1 day'",
        "\"1 day\" is not a step in time",
    ),
    (
        "{{ tick.due | start_of('decade') }}",
        "'decade'",
        "nothing starts that is called \"decade\"",
    ),
    (
        "{{ tick.due | in_zone(entry.name) }}",
        "in_zone",
        "`in_zone` needs the name of a zone in quotes",
    ),
    (
        "{{ tick.due | in_zone }}",
        "in_zone",
        "`in_zone` needs the name of a zone in quotes",
    ),
    ("{{ tick.due", "{{", "`{{` is not closed by `}}`"),
    ("{{ 'a }}", "{{", "`{{` is not closed by `}}`"),
    ("{{ }}", "{{ }}", "there is nothing between `{{` and `}}`"),
    (
        "{% if x %}{{ tick.due }}",
        "{%",
        "statements are not possible in a template",
    ),
    (
        "{{ tick.due }} {# x #}",
        "{#",
        "comments are not possible in a template",
    ),
    (
        "{{- tick.due }}",
        "-",
        "space around an expression is not taken away by a sign at its braces",
    ),
    (
        "{{ tick.due -}}",
        "-",
        "space around an expression is not taken away by a sign at its braces",
    ),
    (
        "{{ 'x' * 100000000 }}",
        "*",
        "a template cannot have '*' here",
    ),
    (
        "{{ entry.labels[0] }}",
        "[",
        "a template cannot have '[' here",
    ),
    ("{{ entry.labels }}", "entry.labels", "this is a list"),
    (
        "{{ entry.name | date('%F') }}",
        "entry.name | date('%F')",
        "`date` is for instants, such as tick.local, and this is a text",
    ),
    (
        "{{ tick.due | upper }}",
        "tick.due | upper",
        "`upper` is for texts, and this is an instant",
    ),
    (
        "{{ tick.due | plus('1000y') }}",
        "tick.due | plus('1000y')",
        "this leads more than 70 years away",
    ),
    (
        "{{ 'x' if false }}",
        "'x' if false",
        "it has no value where the condition does not hold",
    ),
    ("{{ none }}", "none", "it has no value"),
];

#[test]
fn what_cannot_work_is_pointed_at() {
    let world = World::of("2025-03-30T00:30:00Z");
    for (template, piece, message) in WRONG {
        let wrong = world.render(template).unwrap_err();
        assert_eq!(wrong.message, *message, "{template}");
        assert_eq!(
            &template[wrong.span.clone()],
            *piece,
            "{template}: {wrong:?}"
        );
    }
    let wrong = world.render("{{ tick.due | }}").unwrap_err();
    assert!(
        wrong.message.starts_with("the template is wrong here: "),
        "{wrong:?}"
    );
}

#[test]
fn what_leads_out_of_the_known_years_is_no_instant() {
    let world = World::of("2025-03-30T00:30:00Z");
    let wrong = render("{{ tick.due | plus('1000y') }}", &world.facts()).unwrap_err();
    assert_eq!(
        wrong.message,
        "this leads out of the years 1900 to 2199; write a shorter step"
    );
    let longest =
        world.render("{{ tick.due | plus('35y') | minus('34y') | plus('1y') | date('%F') }}");
    assert_eq!(longest.as_deref(), Ok("2027-03-30"));
}

/// What would be wrong on some ticks alone, the piece that is pointed at, and what is said of it.
const SOMETIMES_WRONG: &[(&str, &str, &str)] = &[
    (
        "{{ tick.due | in_zone('UTC' if tick.origin == 'manual' else 'Mars') }}",
        "in_zone",
        "`in_zone` needs the name of a zone in quotes, and nothing beside it",
    ),
    (
        "{{ tick.due | plus('1' ~ 'd') }}",
        "plus",
        "`plus` needs a step in time in quotes, and nothing beside it",
    ),
    (
        "{{ tick.due | minus('1d' '2h') }}",
        "minus",
        "`minus` needs a step in time in quotes, and nothing beside it",
    ),
    (
        "{{ tick.due | date('%Q' if tick.origin == 'manual' else '%F') }}",
        "date",
        "`date` needs the form of a date in quotes, and nothing beside it",
    ),
    (
        "{{ tick.due | date('\\u0025Q') }}",
        "date",
        "`date` needs the form of a date in quotes, without a backslash",
    ),
    (
        "{{ tick.due | start_of(entry.name) }}",
        "start_of",
        "`start_of` needs the name of a stretch of time in quotes",
    ),
    (
        "{{ tick.due | date }}",
        "date",
        "`date` needs the form of a date in quotes",
    ),
    (
        "{{ 'x' if (tick.local | date('%a')) != 'Tue' else (entry.name | date('%F')) }}",
        "entry.name | date('%F')",
        "`date` is for instants, such as tick.local, and this is a text",
    ),
    (
        "{{ 'x' if tick.origin == 'scheduled' or (entry.name | unix) else 'y' }}",
        "entry.name | unix",
        "`unix` is for instants, such as tick.local, and this is a text",
    ),
    (
        "{{ (tick.local if tick.origin == 'manual' else entry.name) | date('%F') }}",
        "(tick.local if tick.origin == 'manual' else entry.name) | date('%F')",
        "`date` is for instants, such as tick.local, and this is a text",
    ),
    (
        "{{ 'x' if (tick.local | date('%d')) != '13' else entry.labels }}",
        "'x' if (tick.local | date('%d')) != '13' else entry.labels",
        "this is a list",
    ),
    (
        "{{ 'x' if tick.origin == 'scheduled' else tick.due - 1 }}",
        "tick.due - 1",
        "`-` is for numbers, and this is an instant",
    ),
    (
        "{{ 'x' if tick.origin == 'scheduled' else entry.name | truncate('5') }}",
        "entry.name | truncate('5')",
        "`truncate` needs a number of characters",
    ),
    (
        "{{ 'x' if tick.origin == 'scheduled' else entry.name | replace('-') }}",
        "entry.name | replace('-')",
        "`replace` needs two values in brackets, and here are 1",
    ),
    (
        "{{ 'x' if tick.origin == 'scheduled' else entry.labels | join(1) }}",
        "entry.labels | join(1)",
        "`join` needs texts in brackets, and this is a number",
    ),
    (
        "{{ 'x' if tick.origin == 'scheduled' else tick.due | plus('71y') }}",
        "tick.due | plus('71y')",
        "this leads more than 70 years away",
    ),
    (
        "{{ tick.previous if tick.origin == 'scheduled' else 'x' }}",
        "tick.previous if tick.origin == 'scheduled' else 'x'",
        "`tick.previous` may be absent, and nothing is said for that case",
    ),
    (
        "{{ last_success.number if last_success.due is defined else 'x' }}",
        "last_success.number if last_success.due is defined else 'x'",
        "`last_success.number` may be absent, and nothing is said for that case",
    ),
    (
        "{{ 'x' if tick.origin == 'manual' }}",
        "'x' if tick.origin == 'manual'",
        "it has no value where the condition does not hold",
    ),
    (
        "{{ 'x' if last_success.due < tick.due else 'y' }}",
        "last_success.due",
        "`last_success.due` may be absent, and nothing is said for that case",
    ),
    (
        "{{ 'x' if tick.due < '2026-12-24' else 'y' }}",
        "tick.due < '2026-12-24'",
        "this compares an instant with a text",
    ),
    (
        "{{ 'x' if tick.due == none else 'y' }}",
        "tick.due == none",
        "this compares an instant with nothing",
    ),
    (
        "{{ 'x' if 'a' in tick.due else 'y' }}",
        "'a' in tick.due",
        "`in` looks for a text in a text or a list, and this is an instant",
    ),
    (
        "{{ 'x' if 1 < 2 < 3 else 'y' }}",
        "1 < 2",
        "two comparisons in a row",
    ),
    (
        "{{ ('a', 'b') | join(',') }}",
        ",",
        "the template cannot have this here",
    ),
    (
        "{{ 'x' if tick.previous is defined (1) else 'y' }}",
        "tick.previous is defined",
        "what follows a test belongs to it",
    ),
    (
        "{{ 'x' if 'a' == 'b' '\\u{41}' else 'y' }}",
        "'\\u{41}'",
        "two texts in a row",
    ),
    (
        "{{ 1000000000000000 }}",
        "1000000000000000",
        "this is not a number",
    ),
];

#[test]
fn what_would_be_wrong_on_some_ticks_alone_is_found_without_one() {
    for (template, piece, message) in SOMETIMES_WRONG {
        let Err(wrong) = check(template) else {
            panic!("found good: {template}");
        };
        assert_eq!(wrong.message, *message, "{template}");
        assert_eq!(&template[wrong.span.clone()], *piece, "{template}");
    }
}

#[test]
fn what_a_condition_says_is_there_may_be_used() {
    let (with, without) = (
        World::of("2025-03-30T00:30:00Z"),
        World::of("2025-03-30T00:30:00Z").without_history(),
    );
    for (template, there, absent) in [
        (
            "{{ tick.previous | date('%F') if tick.previous is defined else '-' }}",
            "2025-03-29",
            "-",
        ),
        (
            "{{ '-' if last_success.due is undefined else last_success.run_id }}",
            "r1",
            "-",
        ),
        (
            "{{ last_success.number - 1 if last_success.number is defined and last_success.due < tick.due else 0 }}",
            "40",
            "0",
        ),
        (
            "{{ 'first' if last_success.due is not defined or tick.previous is not defined else last_success.due ~ tick.previous }}",
            "2025-03-29T00:30:00Z2025-03-29T00:30:00Z",
            "first",
        ),
        (
            "{{ ((last_success.due if last_success.due | local is defined else tick.due) | date('%F')) ~ '' }}",
            "2025-03-29",
            "2025-03-30",
        ),
        (
            "{{ ('again' if last_success.due is defined) | default('first') }}",
            "again",
            "first",
        ),
        ("{{ -1 + 2 - -3 }}{{ 'ab' + 'c' }}", "4abc", "4abc"),
    ] {
        assert_eq!(check(template).map(|_| ()), Ok(()), "{template}");
        assert_eq!(
            render(template, &with.facts()).as_deref(),
            Ok(there),
            "{template}"
        );
        assert_eq!(
            render(template, &without.facts()).as_deref(),
            Ok(absent),
            "{template}"
        );
    }
}

#[test]
fn everything_has_a_limit() {
    let world = World::of("2025-03-30T00:30:00Z");
    let many = "{{ 'aaaaaaaaaaaaaaaa' }}".repeat(1_000);
    assert!(
        world
            .render(&many)
            .unwrap_err()
            .message
            .starts_with("the template is longer than")
    );
    let grows = format!(
        "{{{{ 'aaaaaaaaaaaaaaaa'{} }}}}",
        " | replace('a', 'aaaaaaaaaaaaaaaa')".repeat(40)
    );
    assert_eq!(
        world.render(&grows).unwrap_err().message,
        "this makes more than 32768 bytes"
    );
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(200), ")".repeat(200));
    assert!(
        world
            .render(&deep)
            .unwrap_err()
            .message
            .contains("recursion")
    );
    let long = format!("{{{{ 1{} }}}}", " + 1".repeat(300));
    assert_eq!(
        world.render(&long).unwrap_err().message,
        "the expression has more than 500 words"
    );
    let large = format!("{{{{ {} }}}}", "9".repeat(60));
    assert!(world.render(&large).is_err());
}

#[test]
fn a_request_is_made_from_its_templates_and_nothing_else_of_it_is_touched() {
    let world = World::of("2025-03-30T00:30:00Z");
    let variable = |name: &str, value: VariableValue| Variable {
        name: name.to_owned(),
        value,
    };
    let secret = VariableValue::Secret(super::super::request::SecretRef::Env(
        "{{ tick.id }}".to_owned(),
    ));
    let request = RunRequest {
        project_id: "{{ tick.id }}".to_owned(),
        description: Some("of {{ tick.local | date('%F') }}".to_owned()),
        variables: Some(Arc::from([
            variable("A", VariableValue::Value("{{ entry.name }}".to_owned())),
            variable("B", secret.clone()),
            variable("C", VariableValue::Value("1.10".to_owned())),
        ])),
        sources: Some(Arc::from([Source {
            kind: "code".to_owned(),
            params: Some(SourceParams {
                build_params: Some(BuildParams {
                    target_branch: Some("rel/{{ tick.local | date('%y.%m') }}".to_owned()),
                    tag: Some("v".to_owned()),
                    ..BuildParams::default()
                }),
                ..SourceParams::default()
            }),
        }])),
        ..RunRequest::default()
    };
    assert_eq!(templates(&request).count(), 3);
    let made = render_request(&request, &world.facts(), 100).unwrap();
    assert_eq!(made.description.as_deref(), Some("of 2025-03-30"));
    let variables = made.variables.as_deref().unwrap();
    assert_eq!(
        variables[0].value,
        VariableValue::Value("nightly-Web".to_owned())
    );
    assert_eq!(variables[1].value, secret);
    assert_eq!(made.project_id, "{{ tick.id }}");
    let build = made.sources.as_ref().unwrap()[0]
        .params
        .as_ref()
        .unwrap()
        .build_params
        .as_ref()
        .unwrap();
    assert_eq!(build.target_branch.as_deref(), Some("rel/25.03"));
    assert_eq!(build.tag.as_deref(), Some("v"));
    assert_eq!(templates(&made).count(), 0);
    let unmade = render_request(&request, &world.facts(), 12).unwrap_err();
    assert_eq!(
        unmade.to_string(),
        "the template of `description`: it makes 13 characters, and 12 are possible"
    );
}
