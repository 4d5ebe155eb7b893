//! The schema and the reader know the same keys, and an independent validator says of files what `check` says of them, as far
//! as a schema can.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use jsonschema::Validator;
use pipecron::config::{KeysOf, Kind, schema};
use pipecron::os::zones::Zones;
use serde_json::{Map, Value, json};

#[path = "config/world.rs"]
#[expect(dead_code, reason = "some of it is for other tests")]
mod world;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schema(&Zones::built_in().names()));
static VALIDATOR: LazyLock<Validator> =
    LazyLock::new(|| jsonschema::draft7::new(&SCHEMA).expect("a schema of draft-07"));

/// Where in the schema a kind of mapping is.
fn place(set: KeysOf) -> &'static str {
    match set {
        KeysOf::File => "",
        KeysOf::Account => "/definitions/Account",
        KeysOf::Credentials => "/definitions/Credentials",
        KeysOf::Secret => "/definitions/Secret",
        KeysOf::Entry => "/definitions/Entry",
        KeysOf::Retry => "/definitions/Retry",
        KeysOf::Source => "/definitions/Source",
        KeysOf::Params => "/definitions/Params",
        KeysOf::BuildParams => "/definitions/BuildParams",
        KeysOf::Variable => "/definitions/Variable",
        KeysOf::Calendar => "/definitions/Calendar",
        KeysOf::Freeze => "/definitions/Freeze",
        KeysOf::Channel => "/definitions/Channel",
        KeysOf::Digest => "/definitions/Digest",
        KeysOf::Heartbeat => "/definitions/Heartbeat",
        KeysOf::Alarm => "/definitions/Alarm",
    }
}

fn properties(set: KeysOf) -> &'static Map<String, Value> {
    let of = SCHEMA
        .pointer(place(set))
        .unwrap_or_else(|| panic!("{set:?} is not in the schema"));
    of["properties"].as_object().unwrap()
}

#[test]
fn the_schema_and_the_reader_know_the_same_keys() {
    for set in KeysOf::ALL {
        let said: BTreeSet<&str> = properties(set).keys().map(String::as_str).collect();
        let mut known: BTreeSet<&str> = set.known().iter().copied().collect();
        known.insert("<<");
        assert_eq!(said, known, "{set:?}: the schema, and the reader");
        let others = SCHEMA.pointer(&format!("{}/additionalProperties", place(set)));
        assert_eq!(others, Some(&Value::Bool(false)), "{set:?}");
    }
    // Nothing that is described stands beside the kinds of mappings that the reader has.
    let definitions: BTreeSet<&str> = SCHEMA["definitions"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, definition)| definition.get("properties").is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    let placed: BTreeSet<&str> = KeysOf::ALL
        .iter()
        .filter_map(|set| place(*set).strip_prefix("/definitions/"))
        .collect();
    assert_eq!(definitions, placed);
}

#[test]
fn every_key_is_described_and_says_what_holds_without_it() {
    for set in KeysOf::ALL {
        for (key, property) in properties(set) {
            let about = property["description"]
                .as_str()
                .unwrap_or_else(|| panic!("{key} of {set:?}: {property}"));
            assert!(
                about.len() > 10 && about.ends_with(['.', ':', '`']),
                "{key} of {set:?}: {about}"
            );
            let needed = ["cron", "project_id", "pipeline_id", "region"].contains(&key.as_str());
            let says = property.get("default").is_some() || about.contains("Default: ");
            if matches!(set, KeysOf::Account | KeysOf::Entry | KeysOf::Retry)
                && !needed
                && key != "<<"
                && key != "retry"
            {
                assert!(says, "{key} of {set:?} says no default: {about}");
            }
        }
    }
}

/// A default that is written out means what its absence means.
#[test]
fn the_defaults_of_the_schema_are_those_of_the_program() {
    let whole = |account: &str, entry: &str| {
        let (ids, account) = (
            world::IDS,
            format!("accounts: {{ main: {{ region: cn-north-4{account} }} }}"),
        );
        let text = format!("{account}\nschedules:\n  a:\n    cron: '0 2 * * *'\n{ids}{entry}");
        let loaded = world::check(&text);
        loaded
            .config
            .unwrap_or_else(|| panic!("{:?}\nin\n{text}", loaded.problems))
    };
    let bare = whole("", "");
    let mut count = 0;
    for set in [KeysOf::Account, KeysOf::Entry, KeysOf::Retry] {
        for (key, property) in properties(set) {
            let Some(default) = property.get("default") else {
                continue;
            };
            count += 1;
            let said = default
                .as_str()
                .map_or_else(|| default.to_string(), str::to_owned);
            let with = if set == KeysOf::Account {
                whole(&format!(", {key}: {said}"), "")
            } else if set == KeysOf::Retry {
                whole("", &format!("    retry: {{ {key}: {said} }}\n"))
            } else {
                whole("", &format!("    {key}: {said}\n"))
            };
            assert_eq!(with, bare, "{key}: {said}");
        }
    }
    assert!(count >= 18, "only {count}");
}

#[derive(serde::Deserialize)]
#[serde(transparent)]
struct AnyYaml(Value);

/// A YAML file as an editor sees it: merge keys followed.
fn seen(text: &str) -> Option<Value> {
    let text = text.trim_start_matches('\u{feff}');
    let mut options = serde_yaml::Options::default();
    options.merge_keys = serde_yaml::MergeKeyPolicy::AsOrdinary;
    let AnyYaml(value) = serde_yaml::from_str_with_options(text, options).ok()?;
    Some(merged(value))
}

fn merged(value: Value) -> Value {
    match value {
        Value::Object(mut object) => {
            let sources = match object.remove("<<") {
                Some(Value::Array(list)) => list,
                // No editor takes anything over from what is no mapping.
                Some(one) if !one.is_object() => {
                    object.insert("<<".to_owned(), one);
                    Vec::new()
                }
                Some(one) => vec![one],
                None => Vec::new(),
            };
            for source in sources {
                if let Value::Object(source) = merged(source) {
                    for (key, value) in source {
                        object.entry(key).or_insert(value);
                    }
                }
            }
            object
                .into_iter()
                .map(|(key, value)| (key, merged(value)))
                .collect()
        }
        Value::Array(list) => list.into_iter().map(merged).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

fn wrong(value: &Value) -> Vec<String> {
    VALIDATOR
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

fn files(of: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/gallery")
        .join(of);
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .filter_map(|path| {
            Some((
                path.file_stem()?.to_str()?.to_owned(),
                fs::read_to_string(&path).ok()?,
            ))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn what_is_good_the_schema_accepts() {
    let example = include_str!("../schedules.example.yaml").to_owned();
    let first = example.lines().next().unwrap().to_owned();
    assert!(
        first.starts_with("# yaml-language-server: $schema="),
        "{first}"
    );
    let mut good = files("good");
    good.push(("the example".to_owned(), example));
    assert!(good.len() > 10);
    for (name, text) in good {
        let value = seen(&text).unwrap_or_else(|| panic!("{name} cannot be read"));
        assert_eq!(wrong(&value), [""; 0], "{name}");
    }
}

/// The snapshot lists those of which a schema says nothing, with what `check` says: what several keys, several files or a clock
/// say together, what stands in the text and not in the tree, warnings.
#[test]
fn what_is_broken_the_schema_refuses_where_a_schema_can() {
    let (mut beyond, mut refused) = (String::new(), 0);
    for (name, text) in files("broken") {
        // What is no YAML every editor shows.
        let Some(value) = seen(&text) else {
            continue;
        };
        if wrong(&value).is_empty() {
            let problems = world::check(&text).problems;
            let lines = problems
                .iter()
                .map(|problem| format!("{name}: {}\n", problem.message));
            beyond.extend(lines);
        } else {
            refused += 1;
        }
    }
    assert!(refused > 80, "only {refused}");
    insta::assert_snapshot!("beyond-a-schema", beyond);
}

#[test]
fn the_schema_accepts_every_pattern_of_the_dialect_and_refuses_most_others() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/cron");
    let (mut good, mut missed, mut refused) = (0, BTreeSet::new(), 0);
    for file in fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if file.extension().is_none_or(|ending| ending != "json") {
            continue;
        }
        let cases: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        for case in cases.as_array().unwrap() {
            let pattern = &case["expr"];
            let wrong = wrong(&json!({ "schedules": { "e": { "cron": pattern } } }));
            if case.get("error").is_none() {
                good += 1;
                assert_eq!(wrong, [""; 0], "{pattern}");
            } else if wrong.is_empty() {
                missed.insert(pattern.to_string());
            } else {
                refused += 1;
            }
        }
    }
    assert!(
        good > 500 && refused > 3 * missed.len(),
        "{good} {refused} {missed:#?}"
    );
}

/// An id of an entry of these tests.
const ID: &str = "54f90b75fc1447b1b65e8d3a9f77923d";

/// What only a matrix may give.
const NO_TEMPLATES: [&str; 18] = [
    "cron",
    "timezone",
    "account",
    "enabled",
    "follow",
    "sub_hook",
    "allow_subminute",
    "spread",
    "deadline",
    "run_timeout",
    "catch_up",
    "catch_up_max",
    "on_doubt",
    "overlap",
    "priority",
    "on_excluded",
    "not_before",
    "not_after",
];

fn account(keys: &str) -> String {
    format!("accounts: {{ main: {{ region: cn-north-4{keys} }} }}\n")
}

/// An entry with these keys, and something above it.
fn with(top: &str, keys: &str) -> String {
    let cron = if keys.contains("cron") {
        ""
    } else {
        "    cron: 0 2 * * *\n"
    };
    let (account, ids) = (account(""), world::IDS);
    format!("{account}{top}schedules:\n  e:\n{ids}{cron}    {keys}\n")
}

fn entry(keys: &str) -> String {
    with("", keys)
}

fn top(top: &str) -> String {
    with(&format!("{top}\n"), "")
}

fn source(keys: &str) -> String {
    entry(&format!(
        "sources: [{{ git_type: codehub, git_url: 'https://x.example/a', {keys} }}]"
    ))
}

/// An account with these keys, and an entry.
fn with_account(keys: &str) -> String {
    let (account, ids) = (account(keys), world::IDS);
    format!("{account}schedules:\n  e:\n{ids}    cron: 0 2 * * *\n")
}

/// What is right, and what is wrong, of the keys of an entry.
fn of_entries() -> Vec<(bool, String)> {
    vec![
        (true, entry("timezone: UTC")),
        (false, entry("timezone: utc")),
        (false, entry("timezone: europe/berlin")),
        (false, entry("account: ''")),
        (false, entry("account: ' '")),
        (true, entry("deadline: 1s")),
        (true, entry("deadline: 1000ms")),
        (true, entry("deadline: 0h1m")),
        (false, entry("deadline: 0s")),
        (false, entry("deadline: 0d0h0m0s999ms")),
        (true, entry("run_timeout: 10m")),
        (false, entry("run_timeout: 0s")),
        (false, entry("run_timeout: 10ms")),
        (true, entry("spread: 0s")),
        (false, entry("retry: { initial_backoff: 0s }")),
        (true, entry("retry: { initial_backoff: 1ms }")),
        (false, with_account(", settle: 0s")),
        (true, with_account(", settle: 2m")),
        (true, source("branch: main")),
        (false, source("branch: ''")),
        (false, source("tag: ''")),
        (true, top("defaults: { spread: 1m }")),
        (false, top("defaults: { matrix: { a: [x] } }")),
        (false, top("global_defaults: { matrix: { a: [x] } }")),
        (true, top("defaults: { matrix: null }")),
        (
            true,
            entry("matrix: { a: [x, 1], b: [{ c: y }], exclude: [{ a: x }] }"),
        ),
        (
            true,
            entry("matrix: { a: [x], name: 'n-{{ matrix.a }}', include: [{ a: z }] }"),
        ),
        (true, entry("matrix: null")),
        (false, entry("matrix: {}")),
        (false, entry("matrix: { exclude: [] }")),
        (false, entry("matrix: { a: [] }")),
        (false, entry("matrix: { a: x }")),
        (false, entry("matrix: { a-b: [x] }")),
        (false, entry("matrix: { a: [x], exclude: { a: x } }")),
        (true, top("calendars: { c: { weekend: [Sat, sunday] } }")),
        (true, top("calendars: { c: { weekend: fri } }")),
        (false, top("calendars: { c: {} }")),
        (false, top("calendars: { c: { weekend: null } }")),
        (false, top("calendars: { c: { weekend: [6] } }")),
        (false, top("calendars: { c: { weekend: [samedi] } }")),
        // Absent: what the defaults say holds.
        (true, with("defaults: { cron: 0 3 * * * }\n", "cron: null")),
    ]
}

/// Of calendars and freezes.
fn of_calendars() -> Vec<(bool, String)> {
    vec![
        (true, top("calendars: { c: { holidays: 2027-01-01 } }")),
        (
            true,
            top(
                "calendars: { c: { holidays: [2027-02-05..2027-02-11, 2027-03-01 .. 2027-03-02] } }",
            ),
        ),
        (false, top("calendars: { c: { holidays: [banana] } }")),
        (false, top("calendars: { c: { holidays: '' } }")),
        (false, top("calendars: { c: { holidays: [true] } }")),
        (false, top("calendars: { c: { holidays: [2027-02-30] } }")),
        (false, top("calendars: { c: { workdays: [20270101] } }")),
        (
            false,
            top("calendars: { c: { workdays: [2027-01-01T00:00:00Z] } }"),
        ),
        (
            true,
            top("calendars: { c: { patterns: ['* * 24-31 DEC *', '* * L * *', '* * * * 1#2'] } }"),
        ),
        (
            true,
            top("calendars: { c: { patterns: '0-59 */1 1 1 *' } }"),
        ),
        (false, top("calendars: { c: { patterns: [not a cron] } }")),
        (false, top("calendars: { c: { patterns: '' } }")),
        (
            false,
            top("calendars: { c: { patterns: ['0 2 24 12 *'] } }"),
        ),
        (false, top("calendars: { c: { patterns: ['@daily'] } }")),
        (false, top("calendars: { c: { patterns: ['* * H * *'] } }")),
        (
            false,
            top(&format!(
                "calendars: {{ c: {{ patterns: [{}] }} }}",
                "'* * 1 1 *', ".repeat(65)
            )),
        ),
        (false, top("calendars: { c: { ics: x.txt } }")),
        (
            false,
            top("calendars: { c: { ics: 'https://example.com/x.ics' } }"),
        ),
        (
            false,
            top("calendars: ~\nfreezes: [{ from: 2027-02-31, until: 2027-03-01 }]"),
        ),
        (
            false,
            top("freezes: [{ from: 2027-02-01, until: 2027-04-31T00:00:00Z }]"),
        ),
        (
            true,
            top("freezes: [{ from: 2027-02-01, until: 2027-04-30T00:00:00Z }]"),
        ),
        (
            true,
            top(
                "freezes: [{ from: 2027-02-01, until: 2027-04-30, except: e }]\ndefaults: { labels: [x] }",
            ),
        ),
        (
            false,
            top("freezes: [{ from: 2027-02-01, until: 2027-04-30, labels: '' }]"),
        ),
        (
            false,
            top(&format!(
                "freezes: [{{ from: 2027-02-01, until: 2027-04-30, except: [{}] }}]",
                "e, ".repeat(65)
            )),
        ),
        (
            true,
            top(
                "freezes: [{ from: 2027-02-01, until: 2027-04-30, labels: [true] }]\ndefaults: { labels: ['true'] }",
            ),
        ),
        (
            true,
            top(
                "freezes: [{ from: 2027-02-01, until: 2027-04-30, except: true }]\ndefaults: { labels: [true] }",
            ),
        ),
    ]
}

/// Of what may be written in several forms, or be absent.
fn of_forms() -> Vec<(bool, String)> {
    vec![
        (false, entry("skip_on: ''")),
        (false, entry("only_on: [' ']")),
        (
            true,
            top("calendars: { c: { weekend: sat } }\ndefaults: { skip_on: [c] }"),
        ),
        (
            false,
            entry(&format!("cron: [{}]", "0 2 * * *, ".repeat(65))),
        ),
        (false, entry("<<: ~")),
        (
            true,
            entry("matrix: { on: [true] }\n    enabled: '{{ matrix.on }}'"),
        ),
        (true, top("defaults: { matrix: ~ }")),
        (true, source("branch: main, event_type: ~")),
        (true, source("event_type: ~")),
        (true, source("branch: main, tag: ~")),
        (false, source("event_type: Manual")),
        (false, source("branch: main, tag: x")),
        (
            true,
            with_account(", credentials: { ak: AK, sk: { env: SK } }"),
        ),
        (true, with_account(", credentials: ~")),
        (false, with_account(", credentials: { ak: AK, sk: SK }")),
        (false, with_account(", credentials: {}")),
        (
            false,
            with_account(", credentials: { token: { env: A, file: /b } }"),
        ),
        (false, with_account(", credentials: { token: {} }")),
        (
            false,
            with_account(", credentials: { token: { env: A }, profile: b }"),
        ),
        (true, entry("retry: ~")),
        (
            true,
            entry("").replacen(ID, "12345678901234567890123456789012", 1),
        ),
        (false, entry("").replacen(ID, "5", 1)),
        (false, entry("").replacen(ID, "'{{ entry.name }}'", 1)),
        (false, entry("variables: { A: ~ }")),
        (true, entry("variables: { A: { env: X } }")),
        (true, entry("variables: [{ name: A, value: 1 }]")),
        (false, entry("variables: [~]")),
        (false, entry("variables: x")),
        (false, entry("sources: [~]")),
        (true, entry("sources: ~")),
        (false, top("calendars: { c: ~ }")),
        (
            false,
            top("accounts: { second: ~ }").replacen("accounts: { main", "x-accounts: { main", 1),
        ),
    ]
}

/// What only a matrix may give.
fn of_templates() -> Vec<(bool, String)> {
    let template = |key| (false, entry(&format!("{key}: '{{{{ entry.name }}}}'")));
    NO_TEMPLATES.map(template).to_vec()
}

/// What the schema says of one key, the reader says as well, and the other way round.
fn of_channels() -> Vec<(bool, String)> {
    let channel = |(is_good, keys): (bool, &str)| {
        let text = format!("{}notices: {{ c: {{ {keys} }} }}\n", world::ACCOUNT);
        (
            is_good,
            format!(
                "{text}schedules:\n  e:\n    cron: 0 2 * * *\n{}",
                world::IDS
            ),
        )
    };
    let channels = [
        (true, "kind: slack, url: { env: X }"),
        (
            true,
            "kind: feishu, url: { file: /x }, secret: { credential: y }",
        ),
        (
            true,
            "kind: json, url: 'https://example.com/x?y=1', token: { env: X }, collect: 0s",
        ),
        (true, "kind: json, url: 'http://127.0.0.1:80/x'"),
        (
            true,
            "kind: mail, server: 'smtps://h.example:465', from: a@b.c, to: a@b.c",
        ),
        (
            true,
            "kind: mail, server: 'smtp://h.example', from: a@b.c, to: [a@b.c], user: x, password: { env: Y }",
        ),
        (
            true,
            "kind: wecom, url: { env: X }, events: [failed], labels: [x], messages_per_hour: 5",
        ),
        (
            true,
            "kind: wecom, url: { env: X }, digest: { cron: 0 8 * * 1-5, timezone: Asia/Shanghai }",
        ),
        (false, "url: { env: X }"),
        (false, "kind: slack"),
        (false, "kind: slac, url: { env: X }"),
        (false, "kind: slack, url: 'https://hooks.example.com/x'"),
        (false, "kind: slack, url: {}"),
        (false, "kind: slack, url: { env: X }, secret: { env: Y }"),
        (false, "kind: wecom, url: { env: X }, to: a@b.c"),
        (false, "kind: json, url: 'http://example.com'"),
        (false, "kind: json, url: example.com"),
        (false, "kind: json, url: 'https://u:p@example.com'"),
        (
            false,
            "kind: json, url: { env: X }, server: 'smtp://h.example'",
        ),
        (false, "kind: mail, server: 'smtp://h.example', from: a@b.c"),
        (
            false,
            "kind: mail, server: 'imap://h.example', from: a@b.c, to: a@b.c",
        ),
        (
            false,
            "kind: mail, server: 'smtp://u:p@h.example', from: a@b.c, to: a@b.c",
        ),
        (
            false,
            "kind: mail, server: 'smtp://h.example', from: a, to: a@b.c",
        ),
        (
            false,
            "kind: mail, server: 'smtp://h.example', from: a@b.c, to: []",
        ),
        (
            false,
            "kind: mail, server: 'smtp://h.example', from: a@b.c, to: a@b.c, user: x",
        ),
        (
            false,
            "kind: mail, server: 'smtp://h.example', from: a@b.c, to: a@b.c, proxy: none",
        ),
        (false, "kind: wecom, url: { env: X }, events: [fail]"),
        (false, "kind: wecom, url: { env: X }, messages_per_hour: 0"),
        (
            false,
            "kind: wecom, url: { env: X }, messages_per_hour: 3601",
        ),
        (false, "kind: wecom, url: { env: X }, collect: soon"),
        (
            false,
            "kind: wecom, url: { env: X }, digest: { timezone: UTC }",
        ),
        (false, "kind: wecom, url: { env: X }, digest: 0 8 * * *"),
        (
            false,
            "kind: wecom, url: { env: X }, digest: { cron: 0 8 * * }",
        ),
    ];
    channels.into_iter().map(channel).collect()
}

fn of_alarms() -> Vec<(bool, String)> {
    let others = [
        (true, "heartbeat: { url: { env: X } }", ""),
        (
            true,
            "heartbeat: { url: 'https://example.com/x', every: 1m }",
            "",
        ),
        (true, "", "    ping: 'https://example.com/x'\n"),
        (true, "", "    ping: { env: X }\n"),
        (
            true,
            "",
            "    alarm: { no_success_for: 26h, not_started_within: 30m }\n",
        ),
        (false, "heartbeat: {}", ""),
        (false, "heartbeat: 'https://example.com/x'", ""),
        (false, "heartbeat: { url: 'http://example.com/x' }", ""),
        (false, "", "    ping: 5\n"),
        (false, "", "    ping: 'http://example.com/x'\n"),
        (false, "", "    alarm: 26h\n"),
        (false, "", "    alarm: { no_success_for: long }\n"),
        (false, "", "    alarm: { no_success: 26h }\n"),
    ];
    let whole = |(is_good, top, keys): (bool, &str, &str)| {
        let (account, ids) = (world::ACCOUNT, world::IDS);
        let entry = format!("schedules:\n  e:\n    cron: 0 2 * * *\n{ids}{keys}");
        (is_good, format!("{account}{top}\n{entry}"))
    };
    others.into_iter().map(whole).collect()
}

#[test]
fn the_schema_and_the_reader_judge_single_values_alike() {
    let (mut counts, mut others) = ([0, 0], Vec::new());
    let cases = [
        of_entries(),
        of_calendars(),
        of_forms(),
        of_templates(),
        of_channels(),
        of_alarms(),
    ];
    for (is_good, text) in cases.into_iter().flatten() {
        let (schema, reader) = (wrong(&seen(&text).unwrap()), world::check(&text).problems);
        // Of calendars that nobody keeps to only the reader knows.
        let reader: Vec<_> = reader
            .iter()
            .filter(|problem| problem.kind != Kind::Idle)
            .collect();
        if schema.is_empty() != is_good {
            others.push(format!("{schema:?} of the schema\n{text}"));
        }
        if reader.is_empty() != is_good {
            others.push(format!("{reader:#?} of the reader\n{text}"));
        }
        counts[usize::from(is_good)] += 1;
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
}

/// What an editor says: which types, words or forms are expected, and never only that nothing fits.
#[test]
fn a_mistake_is_told_by_what_is_expected() {
    let entry = |keys: &str| format!("schedules: {{ e: {{ {keys} }} }}");
    let account = |keys: &str| format!("accounts: {{ a: {{ region: cn-north-4, {keys} }} }}");
    let mut told = String::new();
    for text in [
        entry("cron: 5"),
        entry("enabled: 'yes'"),
        entry("overlap: forbid"),
        entry("retry: { jitter: some }"),
        entry("retry: 3"),
        entry("variables: [{ name: A }]"),
        entry("variables: x"),
        entry("variables: { A: { envi: X } }"),
        entry("sources: [{ git_url: 'https://x.example/a' }]"),
        entry(
            "sources: [{ git_type: codehub, git_url: 'https://x.example/a', branch: a, tag: b }]",
        ),
        entry(
            "sources: [{ type: code, params: { git_type: codehub, git_url: 'https://x.example/a', build_params: { build_type: tag } } }]",
        ),
        entry("skip_on: { a: b }"),
        entry("catch_up_max: many"),
        entry("catch_up_max: 0"),
        account("credentials: secret"),
        account("credentials: { ak: AK }"),
        account("credentials: { ak: AK, sk: SK }"),
        account("credentials: { token: { env: A }, profile: b }"),
        account("credentials: { token: {} }"),
        account("max_running: x"),
        "accounts: { a: { region: cn-north-44 } }".to_owned(),
        "accounts: { a: ~ }".to_owned(),
        "defaults: 5".to_owned(),
        "calendars: { c: { weekend: 6, holidays: [5] } }".to_owned(),
        "freezes: { from: 2027-01-01 }".to_owned(),
    ] {
        let messages = wrong(&seen(&text).unwrap()).join("\n  ");
        assert!(!messages.is_empty(), "{text}");
        assert!(!messages.contains("under any of"), "{text}: {messages}");
        told += &format!("{text}\n  {messages}\n");
    }
    insta::assert_snapshot!("told-by-what-is-expected", told);
}

#[test]
fn single_mistakes_are_refused() {
    let entry = |key: &str, value: Value| json!({ "schedules": { "e": { key: value } } });
    let account = |key: &str, value: Value| json!({ "accounts": { "a": { "region": "cn-north-4", key: value } } });
    for good in [
        entry("cron", json!("0 2 * * *")),
        entry("cron", json!(["@Daily", "H H(0-3) * * 1#2"])),
        entry("priority", json!(-1000)),
        entry("spread", json!("1d2h3m4s5ms")),
        entry("not_before", json!("2026-12-01T08:00:00.5+08:00")),
        account("max_running", json!(1)),
        account("proxy", json!("none")),
        account("endpoint", json!("https://example.com")),
        json!({}),
        json!({ "schedules": { "e": null } }),
    ] {
        assert_eq!(wrong(&good), [""; 0], "{good}");
    }
    for bad in [
        entry("cron", json!("@reboot")),
        entry("cron", json!("02:30")),
        entry("cron", json!("0 2 * *")),
        entry("cron", json!("0 2 * * * 2027 *")),
        entry("cron", json!([])),
        entry("timezone", json!("CST")),
        entry("spread", json!(20)),
        entry("spread", json!("")),
        entry("spread", json!("1h1d")),
        entry("priority", json!(1001)),
        entry("catch_up_max", json!(10001)),
        entry("overlap", json!("forbid")),
        entry("enabled", json!("true")),
        entry("not_before", json!("tomorrow")),
        entry("labels", json!(["a b"])),
        entry("project_id", json!("54f90b75")),
        entry("variables", json!({ "A-B": 1 })),
        entry("variables", json!({ "A": { "env": "X", "file": "/y" } })),
        entry("sources", json!([{ "git_url": "https://x.example/a" }])),
        entry(
            "sources",
            json!([{ "git_type": "codehub", "git_url": "https://x.example/a", "branch": "a", "tag": "b" }]),
        ),
        entry("crone", json!("0 2 * * *")),
        account("credentials", json!({ "ak": "AKID", "sk": "plain" })),
        account("credentials", json!({ "ak": "AKID" })),
        account(
            "credentials",
            json!({ "token": { "env": "A" }, "profile": "b" }),
        ),
        account("endpoint", json!("example.com")),
        account("max_running", json!(0)),
        json!({ "accounts": { "a": { "region": "cn-north-44" } } }),
        json!({ "schedules": { "two words": {} } }),
        json!({ "schedule": {} }),
        json!([]),
    ] {
        assert!(!wrong(&bad).is_empty(), "{bad}");
    }
}
