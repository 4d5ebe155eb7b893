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

/// What the schema says of one key, the reader says as well, and the other way round.
#[test]
fn the_schema_and_the_reader_judge_single_values_alike() {
    let ids = world::IDS;
    let account = |keys: &str| format!("accounts: {{ main: {{ region: cn-north-4{keys} }} }}\n");
    let with = |top: &str, keys: &str| {
        let cron = if keys.contains("cron") {
            ""
        } else {
            "    cron: 0 2 * * *\n"
        };
        format!(
            "{}{top}schedules:\n  e:\n{ids}{cron}    {keys}\n",
            account("")
        )
    };
    let entry = |keys: &str| with("", keys);
    let top = |top: &str| with(&format!("{top}\n"), "");
    let source = |keys: &str| {
        entry(&format!(
            "sources: [{{ git_type: codehub, git_url: 'https://x.example/a', {keys} }}]"
        ))
    };
    let bare = format!("schedules:\n  e:\n{ids}    cron: 0 2 * * *\n");
    let mut counts = [0, 0];
    for (is_good, text) in [
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
        (false, account(", settle: 0s") + &bare),
        (true, account(", settle: 2m") + &bare),
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
    ] {
        let (schema, reader) = (wrong(&seen(&text).unwrap()), world::check(&text).problems);
        // Of calendars that nobody keeps to only the reader knows.
        let reader: Vec<_> = reader
            .iter()
            .filter(|problem| problem.kind != Kind::Idle)
            .collect();
        assert_eq!(
            schema.is_empty(),
            is_good,
            "{schema:?} of the schema\n{text}"
        );
        assert_eq!(
            reader.is_empty(),
            is_good,
            "{reader:#?} of the reader\n{text}"
        );
        counts[usize::from(is_good)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
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
