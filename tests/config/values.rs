//! What good files mean: scalars that keep their text, defaults that fill, the values of every key.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use pipecron::config::{Credentials, Kind, Severity, Text};
use pipecron::domain::request::{SecretRef, Variable, VariableValue};
use pipecron::domain::retry::Jitter;
use pipecron::domain::{CatchUp, Entry, Overlap, Retry};

use super::world::{ACCOUNT, IDS, check, check_files, good};

/// The entry that has these lines, beside an account and its ids.
fn entry(lines: &str) -> Entry {
    let lines: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    let config = good(&format!("{ACCOUNT}schedules:\n  e:\n{IDS}{lines}"));
    config.entries.values().next().unwrap().as_ref().clone()
}

/// The value that the variable has which is written so.
fn variable(written: &str) -> String {
    let entry = entry(&format!("cron: '@daily'\nvariables:\n  V: {written}"));
    match &entry.request.variables.unwrap()[0].value {
        VariableValue::Value(text) => text.clone(),
        VariableValue::Secret(secret) => panic!("{written}: {secret:?}"),
    }
}

#[test]
fn scalars_keep_their_text() {
    for text in [
        "1.10",
        "yes",
        "no",
        "on",
        "off",
        "012",
        "0o14",
        "0x1F",
        "1e3",
        "1_000",
        "+1",
        "-0",
        ".5",
        "5.",
        ".inf",
        "-.inf",
        ".nan",
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "12:30:45",
        "190:20:30",
        "true",
        "False",
        "TRUE",
        "y",
        "N",
        "01",
        "007",
        "1.0",
        "1.",
        "0.1e-5",
        "123456789012345678901234567890",
        "3.141592653589793238462643383279",
        "=",
        "a: b".trim_end_matches(": b"),
        "http://x/y?a=b#c",
        "C:\\work",
        "a#b",
        "{not a map",
        "-x",
        "-1",
        "?x",
        ":x",
        "x:y",
        "100%",
        "$HOME",
        "a${HOME}",
        "$(date)",
        "a'b",
        "a\"b",
        "it''s",
        "null_",
        "nulL",
        "~x",
        "~~",
        "日本語",
        "🚀",
        "é",
        "a  b",
        "\\n",
        "<<",
        "=<>",
        "!",
    ] {
        if text.starts_with(['{', '!']) {
            assert_eq!(variable(&format!("'{text}'")), text);
        } else {
            assert_eq!(variable(text), text);
            assert_eq!(variable(&format!("{text} # comment")), text);
        }
        assert_eq!(variable(&format!("'{}'", text.replace('\'', "''"))), text);
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        assert_eq!(variable(&format!("\"{escaped}\"")), text);
        assert_eq!(variable(&format!("|-\n      {text}")), text);
        assert_eq!(variable(&format!(">-\n      {text}")), text);
        assert_eq!(
            variable(&format!("!!str '{}'", text.replace('\'', "''"))),
            text
        );
    }
    for (written, text) in [
        ("\"\"", ""),
        ("''", ""),
        ("'null'", "null"),
        ("\"~\"", "~"),
        ("!!str null", "null"),
        ("!!str", ""),
        ("! ~", "~"),
        ("'  spaces  '", "  spaces  "),
        ("\"a\\tb\\nc\\x41\\u00e9\\U0001F680\\/\"", "a\tb\ncAé🚀/"),
        ("one\n    two\n\n    three", "one two\nthree"),
        ("\"one\n    two \\\n    three\"", "one two three"),
        ("|\n      one\n       two\n", "one\n two\n"),
        (">\n      one\n      two\n", "one two\n"),
        ("|+\n      one\n\n", "one\n\n"),
        ("&anchor text", "text"),
    ] {
        assert_eq!(variable(written), text, "{written:?}");
    }
}

#[test]
fn a_variable_without_a_value_is_refused_rather_than_guessed() {
    for written in [
        "",
        "~",
        "null",
        "Null",
        "NULL",
        "# comment",
        "!!null",
        "!!null x",
    ] {
        let text = format!(
            "{ACCOUNT}schedules:\n  e:\n{IDS}    cron: '@daily'\n    variables:\n      V: {written}\n"
        );
        let loaded = check(&text);
        assert!(
            loaded.config.is_none() && loaded.problems.len() == 1,
            "{written:?} {:?}",
            loaded.problems
        );
    }
}

#[test]
fn an_entry_without_more_has_the_defaults_of_the_table() {
    let entry = entry("cron: 0 2 * * *");
    assert_eq!(entry.account.as_str(), "main");
    assert_eq!(
        entry
            .schedule
            .as_ref()
            .map(|schedule| schedule.zone().name()),
        Some("UTC")
    );
    assert_eq!(entry.spread, Duration::ZERO);
    assert_eq!(entry.catch_up, CatchUp::Latest);
    assert_eq!(entry.catch_up_max, 100);
    assert_eq!(entry.deadline, Duration::from_secs(6 * 3600));
    let retry = Retry {
        max_attempts: 8,
        initial_backoff: Duration::from_secs(2),
        max_backoff: Duration::from_secs(300),
        multiplier: 2.0,
        jitter: Jitter::Full,
    };
    assert_eq!(entry.policy.retry, retry);
    assert_eq!(
        (entry.policy.overlap, entry.policy.priority),
        (Overlap::Allow, 0)
    );
    assert!(entry.enabled);
    assert_eq!((entry.not_before, entry.not_after), (None, None));
    assert_eq!(*entry.labels, BTreeSet::new());
    let request = &entry.request;
    assert_eq!(request.project_id, "54f90b75fc1447b1b65e8d3a9f77923d");
    assert_eq!(request.pipeline_id, "e5460d1d403146a1935c2d4b68ef506c");
    assert_eq!(
        serde_json::to_value(request)
            .unwrap()
            .as_object()
            .unwrap()
            .len(),
        2,
        "what is absent is not sent"
    );
}

#[test]
fn every_key_says_what_it_says() {
    let entry = entry(
        "cron: ['0 2 * * *', '30 3 * * *']
timezone: Asia/Shanghai
account: main
spread: 1h30m
catch_up: all
catch_up_max: 7
deadline: 2d
retry: { max_attempts: 1, initial_backoff: 250ms, max_backoff: 1h, multiplier: 1.5, jitter: none }
overlap: skip
priority: -7
enabled: false
not_before: 2026-12-01
not_after: 2027-03-31
labels: [web, 夜间, web]
description: ''
choose_stages: [STAGE]
choose_jobs: [JOB_1, 2]
sub_hook: true
execution_plan_id: 012
variables: { A: 1, B: { env: SECRET }, C: { file: /run/c }, D: { credential: d } }
sources: [{ git_type: gitee, git_url: 'https://x/a.git', tag: 1.10, event_type: Manual, alias: A, codehub_id: 0123, endpoint_id: e, default_branch: yes, change_request_ids: [1] }]",
    );
    let schedule = entry.schedule.as_ref().unwrap();
    assert_eq!(
        (schedule.texts().len(), schedule.zone().name()),
        (2, "Asia/Shanghai")
    );
    assert_eq!(
        (entry.spread, entry.deadline),
        (Duration::from_secs(5400), Duration::from_secs(172_800))
    );
    assert_eq!(
        (entry.catch_up, entry.catch_up_max, entry.enabled),
        (CatchUp::All, 7, false)
    );
    assert_eq!(
        entry.policy.retry.initial_backoff,
        Duration::from_millis(250)
    );
    assert_eq!(
        (
            entry.policy.retry.max_attempts,
            entry.policy.retry.multiplier,
            entry.policy.retry.jitter
        ),
        (1, 1.5, Jitter::None)
    );
    assert_eq!(
        (entry.policy.overlap, entry.policy.priority),
        (Overlap::Skip, -7)
    );
    // Days are those of the entry's zone, and the last one is in the window to its end.
    assert_eq!(
        entry.not_before,
        Some("2026-11-30T16:00:00Z".parse().unwrap())
    );
    assert_eq!(
        entry.not_after,
        Some("2027-03-31T15:59:59Z".parse().unwrap())
    );
    assert_eq!(entry.labels.len(), 2);
    let request = serde_json::to_value(&entry.request).unwrap();
    let expected = serde_json::json!({
        "project_id": "54f90b75fc1447b1b65e8d3a9f77923d",
        "pipeline_id": "e5460d1d403146a1935c2d4b68ef506c",
        "sources": [{ "type": "code", "params": {
            "git_type": "gitee", "git_url": "https://x/a.git", "alias": "A", "codehub_id": "0123", "default_branch": "yes",
            "endpoint_id": "e", "change_request_ids": ["1"],
            "build_params": { "build_type": "tag", "event_type": "Manual", "tag": "1.10" },
        }}],
        "description": "",
        "variables": [
            { "name": "A", "value": "1" },
            { "name": "B", "secret": { "env": "SECRET" } },
            { "name": "C", "secret": { "file": "/run/c" } },
            { "name": "D", "secret": { "credential": "d" } },
        ],
        "choose_jobs": ["JOB_1", "2"],
        "choose_stages": ["STAGE"],
        "sub_hook": true,
        "execution_plan_id": "012",
    });
    assert_eq!(request, expected);
}

#[test]
fn overlaps_and_priorities() {
    for (written, overlap) in [
        ("allow", Overlap::Allow),
        ("skip", Overlap::Skip),
        ("queue", Overlap::Queue),
        ("'replace'", Overlap::Replace),
    ] {
        let entry = entry(&format!("cron: '@daily'\noverlap: {written}"));
        assert_eq!(entry.policy.overlap, overlap, "{written}");
    }
    for (written, priority) in [
        ("1000", 1000),
        ("-1000", -1000),
        ("0", 0),
        ("-0", 0),
        ("+5", 5),
        ("'7'", 7),
    ] {
        let entry = entry(&format!("cron: '@daily'\npriority: {written}"));
        assert_eq!(entry.policy.priority, priority, "{written}");
    }
}

#[test]
fn manually_means_no_schedule() {
    for written in ["'@manually'", "\"@Manually\"", "['@manually']"] {
        assert_eq!(entry(&format!("cron: {written}")).schedule, None);
    }
}

#[test]
fn an_instant_bounds_a_window_to_the_second() {
    let entry = entry(
        "cron: 0 2 * * *\nnot_before: 2026-12-01T08:00:00+08:00\nnot_after: 2026-12-31T23:59:59Z",
    );
    assert_eq!(
        entry.not_before,
        Some("2026-12-01T00:00:00Z".parse().unwrap())
    );
    assert_eq!(
        entry.not_after,
        Some("2026-12-31T23:59:59Z".parse().unwrap())
    );
}

#[test]
fn what_is_nearer_wins_and_only_retry_and_variables_are_merged() {
    let first = format!(
        "{ACCOUNT}global_defaults:
  timezone: Europe/Berlin
  deadline: 1h
  labels: [everywhere]
  variables: {{ A: global }}
  retry: {{ max_attempts: 3, max_backoff: 1m }}
defaults: {{ spread: 1m, timezone: Asia/Tokyo, retry: {{ jitter: none, max_attempts: 4 }} }}
schedules:
  here:
{IDS}    cron: 0 2 * * *
    retry: {{ max_attempts: 5 }}
    variables: {{ B: own }}
"
    );
    let second = format!(
        "schedules:\n  there:\n{IDS}    cron: 0 5 * * *\n    labels: ~\n    deadline: 2h\n"
    );
    // The global defaults hold whatever the order of the files.
    for files in [
        [("1", &first), ("2", &second)],
        [("2", &second), ("1", &first)],
    ] {
        let files = files.map(|(path, text)| (path, text.as_str()));
        let loaded = check_files(&files);
        assert_eq!(loaded.problems, []);
        let config = loaded.config.unwrap();
        let [here, there] = [0, 1].map(|n| config.entries.values().nth(n).unwrap().as_ref());
        let zone = |entry: &Entry| {
            entry
                .schedule
                .as_ref()
                .map(|schedule| schedule.zone().name().to_owned())
        };
        assert_eq!(
            (zone(here).as_deref(), zone(there).as_deref()),
            (Some("Asia/Tokyo"), Some("Europe/Berlin"))
        );
        assert_eq!((here.spread.as_secs(), there.spread.as_secs()), (60, 0));
        assert_eq!(
            (here.deadline.as_secs(), there.deadline.as_secs()),
            (3600, 7200)
        );
        assert_eq!(
            (
                here.policy.retry.max_attempts,
                here.policy.retry.max_backoff.as_secs(),
                here.policy.retry.jitter
            ),
            (5, 60, Jitter::None)
        );
        assert_eq!(
            (there.policy.retry.max_attempts, there.policy.retry.jitter),
            (3, Jitter::Full)
        );
        // `~` is as if the key were not there.
        assert!(there.labels.contains("everywhere"));
        let names = |entry: &Entry| -> Vec<String> {
            entry
                .request
                .variables
                .iter()
                .flat_map(|list| list.iter())
                .map(|variable| variable.name.clone())
                .collect()
        };
        assert_eq!(
            (names(here), names(there)),
            (vec!["B".to_owned(), "A".to_owned()], vec!["A".to_owned()])
        );
    }
}

#[test]
fn a_mistake_in_a_default_is_one_problem_however_many_entries_it_fills() {
    let mut text = format!(
        "{ACCOUNT}defaults: {{ timezone: Mars/Base, retry: {{ max_backoff: 1s }}, account: other }}\nschedules:\n"
    );
    for n in 0..50 {
        text.push_str(&format!("  e{n}:\n{IDS}    cron: 0 2 * * *\n"));
    }
    let loaded = check(&text);
    assert_eq!(loaded.problems.len(), 3, "{:#?}", loaded.problems);
}

#[test]
fn anchors_aliases_and_merge_keys_work() {
    let text = format!(
        "{ACCOUNT}schedules:
  a: &base
{IDS}    cron: &cron 0 2 * * *
    variables: &variables {{ A: 1, B: &b two }}
    labels: [&label web, nightly]
  b:
    <<: *base
    variables: {{ <<: *variables, B: *b, *label : 3 }}
  c:
    cron: *cron
    <<: [{{ description: first, labels: [x] }}, *base, {{ description: second }}]
  d: *base
"
    );
    let config = good(&text);
    assert_eq!(config.entries.len(), 4);
    let entries: Vec<&Entry> = config.entries.values().map(AsRef::as_ref).collect();
    let [a, b, c, d] = entries.as_slice() else {
        panic!()
    };
    assert_eq!(a.schedule, b.schedule);
    assert_eq!(a.request, d.request);
    let variables = |entry: &Entry| -> Vec<(String, VariableValue)> {
        entry
            .request
            .variables
            .iter()
            .flat_map(|list| list.iter())
            .map(|variable| (variable.name.clone(), variable.value.clone()))
            .collect()
    };
    let value = |text: &str| VariableValue::Value(text.to_owned());
    assert_eq!(
        variables(b),
        [
            ("B".to_owned(), value("two")),
            ("web".to_owned(), value("3")),
            ("A".to_owned(), value("1"))
        ]
    );
    // The first of several wins, and the entry's own over all.
    assert_eq!(c.request.description.as_deref(), Some("first"));
    assert_eq!(*c.labels, BTreeSet::from(["x".to_owned()]));
    assert_eq!(a.request.description, None);
}

#[test]
fn a_name_given_in_two_files_is_an_error_that_shows_both() {
    let a = format!("{ACCOUNT}global_defaults: {{}}\nschedules:\n  e:\n{IDS}    cron: 0 2 * * *\n");
    let b = format!(
        "\n\n{ACCOUNT}global_defaults: {{}}\nschedules:\n  other: {{}}\n  e:\n{IDS}    cron: 0 99 * * *\n"
    );
    let loaded = check_files(&[("a.yaml", &a), ("dir/b.yaml", &b)]);
    let lines: Vec<String> = loaded
        .problems
        .iter()
        .filter(|problem| problem.kind == Kind::Duplicate)
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        lines,
        [
            "dir/b.yaml:3:13: the name `main` of an account is given twice (first given here at a.yaml:1:13); all files \
             make one configuration: rename one of them, or remove it",
            "dir/b.yaml:4:1: `global_defaults` is given in two files (first given here at a.yaml:2:1); it holds for \
             every file, so it stands in one; `defaults` holds for its own file",
            "dir/b.yaml:7:3: the name `e` of an entry is given twice (first given here at a.yaml:4:3); all files make \
             one configuration: rename one of them, or remove it",
        ]
    );
    // What stands under the second name is checked all the same.
    assert!(
        loaded
            .problems
            .iter()
            .any(|problem| problem.kind == Kind::Pattern)
    );
    // Problems come in the order of the files and their places.
    let places: Vec<_> = loaded
        .problems
        .iter()
        .map(|problem| {
            (
                problem.file.clone(),
                problem.place.as_ref().map(|place| place.span.start),
            )
        })
        .collect();
    let mut sorted = places.clone();
    sorted.sort();
    assert_eq!(places, sorted);
}

#[test]
fn a_broken_file_does_not_make_the_others_look_wrong() {
    let broken = "accounts: { main: { region: cn-north-4 }\n";
    let other = format!(
        "schedules:\n  e:\n{IDS}    cron: 0 99 * * *\n    account: main\n  f:\n{IDS}    cron: 0 2 * * *\n"
    );
    let loaded = check_files(&[("a.yaml", broken), ("b.yaml", &other)]);
    let kinds: Vec<Kind> = loaded.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!(kinds, [Kind::Syntax, Kind::Pattern]);
}

#[test]
fn warnings_alone_leave_a_configuration() {
    let loaded = check(&format!(
        "{ACCOUNT}schedules:\n  e:\n{IDS}    cron: 0 2 13 * 5\n    not_after: 2020-01-01\n"
    ));
    assert!(loaded.config.is_some());
    let severities: Vec<Severity> = loaded
        .problems
        .iter()
        .map(|problem| problem.severity)
        .collect();
    assert_eq!(severities, [Severity::Warning, Severity::Warning]);
}

/// Every form of credentials, and every key.
const ACCOUNTS: &str = "accounts:
  chain: { region: cn-north-4 }
  keys: { region: af-north-1, credentials: { ak: AKID, sk: { env: SK } } }
  temporary: { region: tr-west-1, credentials: { ak: { env: AK }, sk: { credential: sk }, security_token: { file: /t } } }
  user: { region: cn-north-4, credentials: { domain: d, user: { env: U }, password: { file: /p } } }
  scoped: { endpoint: 'https://x.example.com', credentials: { domain: d, user: u, password: { env: P }, project: cn-north-4 } }
  token: { region: cn-north-4, credentials: { token: { env: T } } }
  agency: { region: cn-north-4, credentials: { metadata: true } }
  profile: { region: cn-north-4, credentials: { profile: basic } }
  full:
    region: mars-1
    endpoint: http://127.0.0.1:8080/base/
    iam_endpoint: http://[::1]/
    metadata_endpoint: http://metadata.internal/
    iam_project_id: 0123456789abcdef0123456789abcdef
    credentials: { profile: p, file: /f }
    proxy: http://proxy:3128/
    ca_file: /ca.pem
    connect_timeout: 1s
    request_timeout: 2m
    max_running: 10000
    requests_per_second: 1000
schedules:
  e: { cron: '@manually', account: keys, project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: e5460d1d403146a1935c2d4b68ef506c }
";

#[test]
fn accounts_in_every_form() {
    let config = good(ACCOUNTS);
    let account = |name: &str| {
        config
            .accounts
            .values()
            .find(|account| account.name.as_str() == name)
            .unwrap()
            .as_ref()
            .clone()
    };
    let env = |name: &str| SecretRef::Env(name.to_owned());
    let plain = |text: &str| Text::Plain(text.to_owned());
    let chain = account("chain");
    assert_eq!(chain.credentials, Credentials::Chain);
    assert_eq!(
        chain.endpoint,
        "https://cloudpipeline-ext.cn-north-4.myhuaweicloud.com"
    );
    assert_eq!(
        chain.iam_endpoint,
        "https://iam.cn-north-4.myhuaweicloud.com"
    );
    assert_eq!(chain.metadata_endpoint, "http://169.254.169.254");
    assert_eq!(
        (
            chain.connect_timeout.as_secs(),
            chain.request_timeout.as_secs()
        ),
        (10, 60)
    );
    assert_eq!((chain.max_running, chain.requests_per_second), (None, 10));
    assert_eq!(
        (chain.proxy, chain.ca_file, chain.iam_project_id),
        (None, None, None)
    );
    let keys = account("keys");
    assert_eq!(
        keys.endpoint,
        "https://pipeline.af-north-1.myhuaweicloud.com"
    );
    assert_eq!(keys.iam_endpoint, "https://iam.myhuaweicloud.com");
    assert_eq!(
        keys.credentials,
        Credentials::Keys {
            ak: plain("AKID"),
            sk: env("SK"),
            security_token: None
        }
    );
    let temporary = Credentials::Keys {
        ak: Text::Secret(env("AK")),
        sk: SecretRef::Credential("sk".to_owned()),
        security_token: Some(SecretRef::File(PathBuf::from("/t"))),
    };
    assert_eq!(account("temporary").credentials, temporary);
    let user = Credentials::Password {
        domain: plain("d"),
        user: Text::Secret(env("U")),
        password: SecretRef::File(PathBuf::from("/p")),
        project: None,
    };
    assert_eq!(account("user").credentials, user);
    assert!(
        matches!(account("scoped").credentials, Credentials::Password { project: Some(project), .. } if project == "cn-north-4")
    );
    assert_eq!(account("token").credentials, Credentials::Token(env("T")));
    assert_eq!(account("agency").credentials, Credentials::Metadata);
    assert_eq!(
        account("profile").credentials,
        Credentials::Profile {
            profile: "basic".to_owned(),
            file: None
        }
    );
    let full = account("full");
    assert_eq!(full.region.as_deref(), Some("mars-1"));
    assert_eq!(full.endpoint, "http://127.0.0.1:8080/base");
    assert_eq!(
        (full.iam_endpoint.as_str(), full.metadata_endpoint.as_str()),
        ("http://[::1]", "http://metadata.internal")
    );
    assert_eq!(full.proxy.as_deref(), Some("http://proxy:3128"));
    assert_eq!(
        (
            full.connect_timeout.as_secs(),
            full.request_timeout.as_secs()
        ),
        (1, 120)
    );
    assert_eq!(
        (full.max_running, full.requests_per_second),
        (Some(10_000), 1_000)
    );
}

#[test]
fn the_description_may_fill_all_the_room_beside_the_marker() {
    // `[pipecron LLLLLLLL NAME@2026-11-24T18:00:00Z+xxxx]` and a space.
    for name in ["e", "nightly-web", &"n".repeat(100)] {
        let left = 1024 - 47 - name.len();
        for (length, fits) in [(left, true), (left + 1, false)] {
            let text = format!(
                "{ACCOUNT}schedules:\n  {name}:\n{IDS}    cron: '@daily'\n    description: {}\n",
                "日".repeat(length)
            );
            assert_eq!(check(&text).config.is_some(), fits, "{name} {length}");
        }
    }
}

#[test]
fn two_loads_of_one_text_are_equal_and_a_change_is_seen() {
    let example = include_str!("../../schedules.example.yaml");
    let (one, two) = (good(example), good(example));
    assert_eq!(one, two);
    let changed = good(&example.replace("spread: 20m", "spread: 21m"));
    let differ: Vec<&str> = one
        .entries
        .iter()
        .filter(|(name, entry)| changed.entries[*name] != **entry)
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(differ, ["nightly-web"]);
}

#[test]
fn a_hundred_thousand_entries_load_in_good_time() {
    let mut text = format!("{ACCOUNT}schedules:\n");
    for n in 0..100_000 {
        text.push_str(&format!(
            "  nightly-{n}:\n{IDS}    cron: \"{} {} * * *\"\n    timezone: Asia/Shanghai\n    variables: {{ MODE: full, N: {n} }}\n",
            n % 60,
            n / 60 % 24
        ));
    }
    let started = std::time::Instant::now();
    assert_eq!(good(&text).entries.len(), 100_000);
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn hash_is_fixed_by_the_name_of_each_entry_that_shares_a_pattern() {
    let text = format!(
        "accounts: {{ main: {{ region: cn-north-4 }} }}\ndefaults: {{ cron: [H 2 * * 1-5, \"@daily\"] }}\nschedules:\n  \
         nightly-web:\n{IDS}  nightly-api:\n{IDS}"
    );
    let config = check(&text).config.unwrap();
    let texts: Vec<&[String]> = (config.entries.values())
        .map(|entry| entry.schedule.as_ref().unwrap().texts())
        .collect();
    assert_eq!(
        texts,
        [["42 2 * * 1-5", "@daily"], ["53 2 * * 1-5", "@daily"]]
    );
    let web = config.entries.values().last().unwrap();
    let schedule = web.schedule.as_ref().unwrap();
    assert_eq!(
        schedule.hashed(),
        [("H 2 * * 1-5".to_owned(), "53 2 * * 1-5".to_owned())]
    );
    assert_eq!(schedule.fingerprint(), "53 2 * * 1-5 | @DAILY | in UTC");
}

#[test]
fn a_matrix_makes_an_entry_of_every_combination() {
    let text = r#"
accounts: { main: { region: cn-north-4 } }
schedules:
  nightly:
    matrix:
      target:
        - { name: web, project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: e5460d1d403146a1935c2d4b68ef506c }
        - { name: api, project_id: 7c9d2e4f6a8b4c1d9e3f5a7b1c2d4e6f, pipeline_id: 3e5f7a9b1c2d4e6f8a0b2c4d6e8f0a1b }
      branch: [main, release/1.2]
      exclude: [{ target: { name: api }, branch: main }]
      include: [{ target: { name: api, project_id: 7c9d2e4f6a8b4c1d9e3f5a7b1c2d4e6f, pipeline_id: 0f1e2d3c4b5a69788796a5b4c3d2e1f0 }, branch: dev }]
    cron: "H 2 * * *"
    project_id: "{{ matrix.target.project_id }}"
    pipeline_id: "{{ matrix.target.pipeline_id }}"
    sources:
      - &source { git_type: github, git_url: "https://example.com/{{ matrix.target.name }}.git", branch: "{{ matrix.branch }}" }
    variables: { NAME: "{{ matrix.target.name | upper }} of {{ tick.local | date('%F') }}" }
    enabled: "{{ 'false' if matrix.branch == 'dev' else 'true' }}"
  "{{ matrix.zone | lower | replace('/', '_') }}":
    <<: { project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: e5460d1d403146a1935c2d4b68ef506c }
    matrix: { zone: [Europe/Berlin, Asia/Tokyo] }
    timezone: "{{ matrix.zone }}"
    cron: "0 2 * * *"
"#;
    let loaded = check(text);
    let config = loaded
        .config
        .unwrap_or_else(|| panic!("{:#?}", loaded.problems));
    let names: Vec<&str> = config.entries.keys().map(|name| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "asia_tokyo",
            "europe_berlin",
            "nightly-api-dev",
            "nightly-api-release-1.2",
            "nightly-web-main",
            "nightly-web-release-1.2"
        ]
    );
    let entry = |name: &str| {
        let found = config
            .entries
            .values()
            .find(|entry| entry.name.as_str() == name);
        found.unwrap_or_else(|| panic!("{name}"))
    };
    let zone = |name: &str| {
        entry(name)
            .schedule
            .as_ref()
            .unwrap()
            .zone()
            .name()
            .to_owned()
    };
    assert_eq!(
        [zone("asia_tokyo"), zone("europe_berlin")],
        ["Asia/Tokyo", "Europe/Berlin"]
    );
    let api = entry("nightly-api-release-1.2");
    assert_eq!(api.request.pipeline_id, "3e5f7a9b1c2d4e6f8a0b2c4d6e8f0a1b");
    let source = api.request.sources.as_ref().unwrap()[0]
        .params
        .as_ref()
        .unwrap();
    assert_eq!(source.git_url, "https://example.com/api.git");
    let build = source.build_params.as_ref().unwrap();
    assert_eq!(build.target_branch.as_deref(), Some("release/1.2"));
    let VariableValue::Value(value) = &api.request.variables.as_ref().unwrap()[0].value else {
        panic!("it is no secret");
    };
    assert_eq!(value, "API of {{ tick.local | date('%F') }}");
    assert!(api.enabled && !entry("nightly-api-dev").enabled);
    // What the name fixes is that of the built name.
    let minute = |name: &str| entry(name).schedule.as_ref().unwrap().texts()[0].clone();
    let expected = pipecron::domain::cron::resolved("H 2 * * *", "nightly-web-main");
    assert_eq!(Some(minute("nightly-web-main")), expected);
    assert_ne!(
        minute("nightly-web-main"),
        minute("nightly-web-release-1.2")
    );
}

#[test]
fn a_row_excludes_every_combination_that_has_its_values() {
    let made = |exclude: &str| {
        let loaded = check(&format!(
            "{ACCOUNT}schedules:\n  e:\n    matrix:\n      a: [x, y]\n      b: [{{ name: one, of: odd }}, {{ name: two, of: even }}, \
             {{ name: three, of: odd }}]\n      c: [p, q]\n      exclude: [{exclude}]\n    cron: 0 2 * * *\n{IDS}"
        ));
        let idle = loaded.problems.len();
        let names = loaded.config.map_or_else(Vec::new, |config| {
            let names = config.entries.into_keys();
            names.map(|name| name.as_str().to_owned()).collect()
        });
        (names.join(" "), idle)
    };
    let all = "e-x-one-p e-x-one-q e-x-three-p e-x-three-q e-x-two-p e-x-two-q e-y-one-p e-y-one-q e-y-three-p e-y-three-q \
               e-y-two-p e-y-two-q";
    let without = |gone: &dyn Fn(&str) -> bool| {
        let left: Vec<&str> = all.split(' ').filter(|name| !gone(name)).collect();
        left.join(" ")
    };
    assert_eq!(made(""), (all.to_owned(), 0));
    assert_eq!(
        made("{ a: y, b: { name: two }, c: q }"),
        (without(&|name| name == "e-y-two-q"), 0)
    );
    assert_eq!(
        made("{ b: { of: odd } }, { c: p, a: x }"),
        (
            without(&|name| !name.contains("two") || name == "e-x-two-p"),
            0
        )
    );
    // What is excluded already is not excluded again, and what there is not is not at all.
    assert_eq!(
        made("{ a: x }, { a: x, c: p }, { b: { name: two, of: odd } }, { c: one }"),
        (without(&|name| name.starts_with("e-x")), 3)
    );
    assert_eq!(made("{}"), (String::new(), 1));
}

#[test]
fn what_is_wrong_in_a_matrix_entry_is_said_once_for_all_combinations() {
    let numbers: Vec<String> = (0..100).map(|number| format!("n{number}")).collect();
    let text = format!(
        "accounts: {{ main: {{ region: cn-north-4 }} }}\nschedules:\n  nightly:\n    matrix: {{ a: [{0}], b: [{0}] }}\n    \
         cron: 0 25 * * *\n    overlap: sometimes\n    variables: {{ A: \"{{{{ matrix.c }}}}\" }}\n",
        numbers.join(", ")
    );
    let loaded = check(&text);
    let messages: Vec<&str> = loaded
        .problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    let expected = [
        "the entry `nightly` has no `project_id`",
        "the entry `nightly` has no `pipeline_id`",
        "the cron pattern is wrong: `25` in the hour",
        "`overlap` cannot be `sometimes`",
        "the matrix has no text `matrix.c`",
    ];
    assert_eq!(messages, expected);
    let text = text.replace("matrix.c", "matrix.a");
    let loaded = check(&text);
    assert_eq!(loaded.problems.len(), 4, "{:#?}", loaded.problems);
    let good = format!(
        "accounts: {{ main: {{ region: cn-north-4 }} }}\nschedules:\n  nightly:\n    matrix: {{ a: [{0}], b: [{0}] }}\n    \
         cron: 0 2 * * *\n{IDS}",
        numbers.join(", ")
    );
    assert_eq!(check(&good).config.unwrap().entries.len(), 10_000);
}

#[test]
fn anchors_aliases_and_merge_keys_spare_repetition() {
    let text = format!(
        "accounts: {{ main: {{ region: cn-north-4 }} }}\nschedules:\n  base: &base\n    cron: [&two 0 2 * * *, 0 3 * * *]\n    spread: 5m\n\
         {IDS}  other:\n    <<: *base\n    cron: *two\n    spread: 10m\n"
    );
    let config = check(&text).config.unwrap();
    let seen: Vec<(usize, Duration)> = (config.entries.values())
        .map(|entry| (entry.schedule.as_ref().unwrap().texts().len(), entry.spread))
        .collect();
    assert_eq!(
        seen,
        [(2, Duration::from_secs(300)), (1, Duration::from_secs(600))]
    );
    let ids: Vec<&str> = (config.entries.values())
        .map(|entry| entry.request.pipeline_id.as_str())
        .collect();
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn variables_of_defaults_are_merged_by_name_and_an_empty_list_takes_none() {
    let sent = |own: &str| {
        let text = format!(
            "{ACCOUNT}global_defaults:\n  variables: {{ A: global, B: global, C: global }}\ndefaults:\n  variables: {{ B: file, D: file }}\n\
             schedules:\n  e:\n{IDS}    cron: '@daily'\n{own}"
        );
        let config = check(&text).config.expect("it is good");
        let entry = config.entries.values().next().unwrap();
        let variables = entry.request.variables.iter().flat_map(|list| list.iter());
        let text = |variable: &Variable| match &variable.value {
            VariableValue::Value(text) => format!("{}={text}", variable.name),
            VariableValue::Secret(_) => variable.name.clone(),
        };
        let mut texts: Vec<String> = variables.map(text).collect();
        texts.sort();
        texts.join(" ")
    };
    assert_eq!(sent(""), "A=global B=file C=global D=file");
    let own = "A=own B=file C=global D=file E=own";
    assert_eq!(sent("    variables: { A: own, E: own }\n"), own);
    let list = "    variables: [{ name: A, value: own }, { name: E, value: own }]\n";
    assert_eq!(sent(list), own);
    assert_eq!(sent("    variables: {}\n"), "");
    assert_eq!(sent("    variables: []\n"), "");
}
