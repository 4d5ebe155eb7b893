//! Configuration files. An input is the texts of one or several, with form feeds between them.

use pipecron::codearts::{Secrets, Start, request, secret_variables};
use pipecron::config::{
    Colour, Config, Loaded, PROBLEMS_MAX, Severity, SourceFile, World, parse, render, render_one,
};
use pipecron::domain::request::DESCRIPTION_CHARS_MAX;
use pipecron::domain::{Entry, TickId, marker};

use super::{Target, ZONES, is_plain, now};

/// The target.
pub const TARGET: Target = Target {
    name: "config",
    run: config,
    words: &[
        "accounts:\n",
        "defaults:\n",
        "global_defaults:\n",
        "schedules:\n",
        "  main: { region: cn-north-4 }\n",
        "  e:\n",
        "    cron: ",
        "'30 2 * * 1-5'",
        "[\"@daily\", '0 0 13 * 5']",
        "@manually",
        "    timezone: Asia/Shanghai\n",
        "    project_id: 54f90b75fc1447b1b65e8d3a9f77923d\n",
        "    pipeline_id: e5460d1d403146a1935c2d4b68ef506c\n",
        "credentials: ",
        "{ ak: { env: A }, sk: { file: /b } }",
        "{ token: hunter2 }",
        "{ metadata: true }",
        "sk: ",
        "password: ",
        "endpoint: http://127.0.0.1:1",
        "proxy: http://u:p@h",
        "settle: ",
        "variables: ",
        "sources: ",
        "{ A: b, C: 1.10, D: { env: E } }",
        "[{ name: A, value: b }]",
        "[{ type: code, params: { git_type: codehub } }]",
        "build_params: ",
        "choose_stages: ",
        "choose_jobs: ",
        "description: ",
        "spread: ",
        "catch_up: ",
        "deadline: ",
        "retry: ",
        "{ max_attempts: 0, multiplier: 1e309, jitter: full }",
        "not_before: ",
        "2026-12-01",
        "2027-02-30",
        "2026-12-01T02:30:00+08:00",
        "labels: ",
        "priority: ",
        "overlap: queue",
        "on_doubt: resend",
        "enabled: ",
        "90s",
        "1h30m",
        "367d",
        "99999999999999999999ms",
        "-1",
        "0x10",
        "1_000",
        ".inf",
        ".nan",
        "yes",
        "null",
        "~",
        "- ",
        "? ",
        ": ",
        ", ",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "<<: ",
        "<<: *a",
        "<<: [*a, *a]",
        "!!str ",
        "!!binary ",
        "!x ",
        "|\n",
        ">-\n",
        "|2+\n",
        "\"",
        "'",
        "\\",
        "\\u0000",
        "\\x1b",
        "\\ud800",
        "#",
        " # ",
        "\n",
        "\r\n",
        "\r",
        "\t",
        "  ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "%TAG ! tag:x,2000:\n",
        "{{ x }}",
        "\u{c}",
        "\0",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        "\u{feff}",
        "\u{fffd}",
        "e\u{301}",
        "日本",
        "🚀",
        "👩‍🚀",
    ],
    bytes_max: 16 * 1_024,
};

/// The files' names; what is shown of a name is cleaned too.
const NAMES: [&str; 3] = ["a.yaml", "b \u{1b}[31m\u{202e}\n.yaml", "日本.yml"];
/// Texts up to this are read a second time.
const TWICE_BYTES_MAX: usize = 1_024;

/// Reads files. Whatever is wrong with them has a place in them and is shown without steering the terminal; what is right
/// can be sent.
fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let files: Vec<SourceFile> = text
        .splitn(NAMES.len(), '\u{c}')
        .zip(NAMES)
        .map(|(text, path)| SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        })
        .collect();
    let loaded = load(&files);
    if text.len() <= TWICE_BYTES_MAX {
        assert!(
            loaded == load(&files),
            "the same files were read differently"
        );
    }
    problems_are_shown(&loaded, &files);
    if let Some(config) = &loaded.config {
        every_entry_can_be_sent(config);
    }
}

fn load(files: &[SourceFile]) -> Loaded {
    let world = World {
        zone: &|name| ZONES.get(name),
        zone_names: &ZONE_NAMES,
        now: now(),
    };
    parse(files, &world)
}

static ZONE_NAMES: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| ZONES.names());

fn problems_are_shown(loaded: &Loaded, files: &[SourceFile]) {
    let errors = loaded
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count();
    assert_eq!(
        loaded.config.is_none(),
        errors + loaded.unlisted > 0,
        "{:?}",
        loaded.problems
    );
    assert!(loaded.problems.len() <= PROBLEMS_MAX);
    for problem in &loaded.problems {
        let own = problem.place.iter().map(|place| (&problem.file, place));
        let other = problem
            .related
            .iter()
            .map(|related| (&related.file, &related.place));
        for (file, place) in own.chain(other) {
            let file = files
                .iter()
                .find(|known| known.path == *file)
                .expect("a problem is in one of the files");
            assert!(
                file.text.get(place.span.clone()).is_some(),
                "{place:?} is not in the file"
            );
            assert!(
                place.text.get(place.marked.clone()).is_some(),
                "{place:?} is not on its line"
            );
            assert!(!place.text.contains(['\n', '\r']), "{place:?} is no line");
        }
        let line = problem.to_string();
        assert!(is_plain(&line), "{line:?} steers the terminal");
        for shown in render_one(problem, Colour::Never).lines() {
            assert!(is_plain(shown), "{shown:?} steers the terminal");
        }
    }
    for colour in [Colour::Never, Colour::Always] {
        let shown = render(&loaded.problems, loaded.unlisted, colour);
        assert_eq!(shown.is_empty(), loaded.problems.is_empty());
    }
}

fn every_entry_can_be_sent(config: &Config) {
    for (name, entry) in &config.entries {
        assert!(
            config.accounts.contains_key(&entry.account),
            "{name} has no account"
        );
        let due = entry
            .schedule
            .as_ref()
            .and_then(|schedule| schedule.next_after(now()));
        can_be_sent(
            entry,
            &marker(
                "abcdefgh",
                &TickId::scheduled(name, due.unwrap_or_else(now)),
            ),
        );
    }
}

fn can_be_sent(entry: &Entry, marker: &str) {
    let secrets: Secrets = secret_variables(&entry.request)
        .map(|(_, secret)| (secret.clone(), "s".into()))
        .collect();
    let start = Start {
        account: entry.account.clone(),
        request: entry.request.clone(),
        marker: marker.to_owned(),
        leave_within: std::time::Duration::from_secs(3600),
    };
    let request = request(&start, "https://example.com", None, &secrets)
        .expect("an accepted entry can be sent");
    let body: serde_json::Value = serde_json::from_slice(&request.body).expect("the body is JSON");
    let description = body["description"].as_str().expect("a description");
    assert!(
        description.ends_with(marker),
        "{description:?} does not end with the marker"
    );
    assert_eq!(
        description,
        entry.request.described(marker),
        "the person's text was cut"
    );
    assert!(description.chars().count() <= DESCRIPTION_CHARS_MAX);
}
