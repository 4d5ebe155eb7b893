//! Files made to hurt: each ends soon, in bounded memory, with a clear report or a configuration.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use pipecron::config::{
    Colour, FILE_BYTES_MAX, Kind, Loaded, PROBLEMS_MAX, SHOWN_MAX, Severity, render,
};
use proptest::prelude::*;

use super::world::{ACCOUNT, IDS, check, check_files};

/// Checks a text that must be refused, in good time, with at least one problem of this kind.
fn refused(text: &str, kind: Kind) -> Loaded {
    let started = Instant::now();
    let loaded = check(text);
    // Generous: it guards against hanging, not against a busy machine.
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "{:?}",
        started.elapsed()
    );
    assert!(loaded.config.is_none());
    let kinds: Vec<Kind> = loaded
        .problems
        .iter()
        .map(|problem| problem.kind)
        .take(20)
        .collect();
    assert!(kinds.contains(&kind), "{kinds:?}");
    loaded
}

#[test]
fn a_bomb_of_aliases_is_counted_not_blown_up() {
    let mut lists =
        String::from("defaults:\n  a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    let mut mappings = String::from("schedules:\n  e0: &e0 { cron: '@daily' }\n");
    for n in 1..30 {
        let list = format!("*a{}, ", n - 1).repeat(10);
        writeln!(lists, "  a{n}: &a{n} [{list}]").unwrap();
        let list = format!("*e{}, ", n - 1).repeat(10);
        writeln!(mappings, "  e{n}: &e{n} {{ <<: [{list}], k{n}: 1 }}").unwrap();
    }
    refused(&lists, Kind::Limit);
    refused(&mappings, Kind::Limit);
}

#[test]
fn one_large_block_used_many_times_is_counted_too() {
    let mut text = String::from("schedules:\n  e: &e\n    variables: &v\n");
    for n in 0..20_000 {
        writeln!(text, "      V{n}: x").unwrap();
    }
    for n in 0..20_000 {
        writeln!(text, "  e{n}: {{ variables: *v }}").unwrap();
    }
    refused(&text, Kind::Limit);
}

#[test]
fn a_long_text_used_many_times_is_not_kept_many_times() {
    let long = "x".repeat(8_000);
    // By aliases, in one entry ...
    let mut text = format!(
        "{ACCOUNT}schedules:\n  e:\n{IDS}    cron: '@daily'\n    variables:\n      V: &v {long}\n"
    );
    for n in 0..20_000 {
        writeln!(text, "      V{n}: *v").unwrap();
    }
    refused(&text, Kind::Limit);
    // ... and by defaults, in many.
    let values: String = (0..500).map(|n| format!("    V{n}: {long}\n")).collect();
    let mut text =
        format!("{ACCOUNT}defaults:\n  cron: '@daily'\n  variables:\n{values}schedules:\n");
    for n in 0..1_000 {
        writeln!(text, "  e{n}:\n{IDS}").unwrap();
    }
    let loaded = refused(&text, Kind::Limit);
    assert_eq!(loaded.problems.len(), 1);
}

#[test]
fn a_million_unknown_keys_are_counted_without_a_word_about_each() {
    let mut text = String::from("schedules:\n  e:\n");
    for n in 0..1_000_000 {
        writeln!(text, "    k{n}: x").unwrap();
    }
    refused(&text, Kind::UnknownKey);
}

#[test]
fn a_chain_of_merges_is_followed_only_so_far() {
    let mut text = String::from("schedules:\n  e0: &e0 { cron: '@daily' }\n");
    for n in 1..1000 {
        writeln!(text, "  e{n}: &e{n}\n    <<: *e{}", n - 1).unwrap();
    }
    let loaded = refused(&text, Kind::Limit);
    assert!(
        loaded
            .problems
            .iter()
            .any(|problem| problem.message.contains("merged over more than 32 steps"))
    );
}

#[test]
fn deep_nesting_is_refused_without_a_deep_stack() {
    for (open, close) in [
        ("[", "]"),
        ("{ a: ", "}"),
        ("- ", "\n"),
        ("? ", "\n"),
        ("&a [", "]"),
        ("!!seq [", "]"),
    ] {
        for depth in [100, 1_000, 100_000] {
            let text = format!(
                "schedules: \n  {}x{}",
                open.repeat(depth),
                close.repeat(depth)
            );
            let loaded = check(&text);
            assert!(
                loaded.config.is_none() && !loaded.problems.is_empty(),
                "{open} {depth}"
            );
            assert!(loaded.problems.len() < 5, "{open} {depth}");
        }
    }
    let mut text = String::from("schedules:\n");
    for depth in 1..1_000 {
        writeln!(text, "{}a:", " ".repeat(depth)).unwrap();
    }
    refused(&text, Kind::Limit);
    refused(&format!("schedules: {}", "[".repeat(1_000)), Kind::Limit);
}

#[test]
fn fifty_megabytes_of_anything_end_in_good_time() {
    let size = 50 * 1024 * 1024;
    let filled = |head: &str, piece: &str| format!("{head}{}", piece.repeat(size / piece.len()));
    refused(&filled("schedules: [", "[],"), Kind::Limit);
    refused(&filled("schedules: ", "x "), Kind::Type);
    refused(&filled("schedules: \"", "\\n"), Kind::Syntax);
    refused(&filled("", "\n"), Kind::Missing);
    refused(&filled("", "# comment\n"), Kind::Missing);
    refused(&filled("", "%"), Kind::Syntax);
    refused(&filled("a: '", "\u{7f}"), Kind::Syntax);
    refused(&filled("", "a"), Kind::Type);
    refused(&filled("", "*"), Kind::Syntax);
    refused(&filled("", "&a "), Kind::Syntax);
    refused(&filled("", "---\n"), Kind::Syntax);
}

#[test]
fn a_text_beyond_the_limit_is_refused_unread() {
    let text = "#".repeat(FILE_BYTES_MAX + 1);
    let loaded = refused(&text, Kind::Limit);
    assert_eq!(loaded.problems.len(), 1);
}

#[test]
fn ten_thousand_problems_are_kept_two_hundred_shown_and_the_rest_counted() {
    let mut text = format!("{ACCOUNT}schedules:\n");
    let entries = 2 * PROBLEMS_MAX;
    for n in 0..entries {
        writeln!(text, "  e{n}:\n{IDS}    cron: 0 99 * * *").unwrap();
    }
    let started = Instant::now();
    let loaded = check(&text);
    assert!(started.elapsed() < Duration::from_secs(30));
    assert_eq!(loaded.problems.len(), PROBLEMS_MAX);
    assert_eq!(loaded.unlisted, entries - PROBLEMS_MAX);
    let shown = render(&loaded.problems, loaded.unlisted, Colour::Never);
    assert_eq!(shown.matches("error: ").count(), SHOWN_MAX);
    assert!(
        shown
            .trim_end()
            .ends_with(&format!("... and {} more", entries - SHOWN_MAX))
    );
    assert_eq!(
        loaded.problems[0].place.as_ref().map(|place| place.line),
        Some(6)
    );
}

#[test]
fn all_on_one_line_costs_no_more_than_on_many() {
    let mut text = format!("{ACCOUNT}schedules: {{");
    for n in 0..PROBLEMS_MAX {
        write!(
            text,
            "e{n}: {{ cron: 0 99 * * *, timezone: nowhere, matrix: skip }}, "
        )
        .unwrap();
    }
    text.push('}');
    let started = Instant::now();
    let loaded = check(&text);
    render(&loaded.problems, loaded.unlisted, Colour::Always);
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(loaded.problems.len(), PROBLEMS_MAX);
    assert!(loaded.problems.iter().all(|problem| {
        problem
            .place
            .as_ref()
            .is_some_and(|place| place.text.len() < 3_000)
    }));
}

/// Entries `e0`, `e1` ... with a further line of keys each.
fn entries(count: usize, top: &str, line: impl Fn(usize) -> String) -> String {
    let mut text = format!("{ACCOUNT}{top}schedules:\n");
    for n in 0..count {
        writeln!(text, "  e{n}:\n{IDS}    cron: 0 2 * * *\n    {}", line(n)).unwrap();
    }
    text
}

/// So many problems and no more are kept, those left are counted, and what is shown is short.
fn bounded(text: &str, kind: Kind, problems: usize) {
    let loaded = refused(text, kind);
    assert_eq!(loaded.problems.len() + loaded.unlisted, problems);
    assert_eq!(loaded.problems.len(), problems.min(PROBLEMS_MAX));
    let shown = render(&loaded.problems, loaded.unlisted, Colour::Never);
    assert!(shown.len() < 1_000_000, "{}", shown.len());
}

#[test]
fn templates_by_the_thousand_end_in_good_time() {
    // None like another, so that nothing can be remembered of them.
    let text = entries(25_000, "", |n| {
        format!("description: \"{{{{ tick.local | plus('{n}s') | date('%F') }}}} {n}\"")
    });
    let started = Instant::now();
    let loaded = check(&text);
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(loaded.problems, []);
    assert_eq!(
        loaded.config.map(|config| config.entries.len()),
        Some(25_000)
    );
    let wrong = entries(2 * PROBLEMS_MAX, "", |n| {
        format!("description: \"{{{{ tick.lokal{n} }}}}\"")
    });
    bounded(&wrong, Kind::Template, 2 * PROBLEMS_MAX);
    // As long and as full of work as one may be.
    let longest = "{{ tick.local | date('%A %B') | upper }}".repeat(400);
    let long = entries(200, "", |n| format!("variables: {{ V: \"{longest}{n}\" }}"));
    let loaded = check(&long);
    assert!(started.elapsed() < Duration::from_secs(120));
    assert_eq!(loaded.problems, []);
}

#[test]
fn a_matrix_that_makes_too_much_is_refused_before_it_is_made() {
    let axis = |count: usize| (0..count).map(|n| format!("v{n}, ")).collect::<String>();
    let matrix = |axes: &[(&str, usize)]| {
        let axes = axes
            .iter()
            .map(|(key, count)| format!("{key}: [{}]", axis(*count)));
        format!("matrix: {{ {} }}", axes.collect::<Vec<_>>().join(", "))
    };
    let sixteen: Vec<String> = (0..16).map(|n| format!("k{n}")).collect();
    let sixteen: Vec<(&str, usize)> = sixteen.iter().map(|key| (key.as_str(), 1_000)).collect();
    bounded(&entries(1, "", |_| matrix(&sixteen)), Kind::Limit, 1);
    bounded(
        &entries(1, "", |_| matrix(&[("a", 101), ("b", 100)])),
        Kind::Limit,
        1,
    );
    // Each of them is small enough, and all together are not.
    let all = entries(12, "", |_| matrix(&[("a", 100), ("b", 100)]));
    let one = |text: &str, kind| {
        bounded(text, kind, 1);
        check(text).problems.remove(0).message
    };
    assert_eq!(
        one(&all, Kind::Limit),
        "the matrices make 120000 combinations together, before they exclude some, and 100000 are possible"
    );
    // A short file that names a long text in each of many entries.
    let long = "x".repeat(15_000);
    let texts: String = (0..10)
        .map(|n| format!("V{n}: \"{long}{{{{ matrix.a }}}}\", "))
        .collect();
    let large = entries(3, "", |_| {
        let matrix = matrix(&[("a", 100), ("b", 10)]);
        format!("{matrix}\n    variables: {{ {texts} }}")
    });
    assert_eq!(
        one(&large, Kind::Limit),
        "the matrices fill in more than 128 MiB of text; there is no room for the 1000 entries that this one makes, each with \
         texts in 10 places"
    );
    let rows = "{ a: v1 }, ".repeat(10_001);
    let rows = entries(1, "", |_| {
        matrix(&[("a", 9), ("b", 9)]).replace(" }", &format!(", exclude: [{rows}] }}"))
    });
    assert_eq!(
        one(&rows, Kind::Limit),
        "`exclude` has 10001 rows, and 10000 are possible"
    );
    let keys: String = (0..33).map(|n| format!("k{n}: x, ")).collect();
    let wide = entries(1, "", |_| format!("matrix: {{ a: [{{ {keys} }}] }}"));
    assert_eq!(
        one(&wide, Kind::Limit),
        "33 texts vary together here, and 32 are possible"
    );
    // Names that do not fit are one mistake for each matrix, whatever their lengths.
    let lengths = (0..100).map(|n| format!("{}, ", "y".repeat(200 + n)));
    let lengths = lengths.collect::<String>();
    let long = entries(1, "", |_| format!("matrix: {{ a: [{lengths}] }}"));
    assert_eq!(
        one(&long, Kind::Limit),
        "the name of an entry of the matrix has 203 characters, and 1 to 100 are possible; likewise with 99 other combinations"
    );
    let same = entries(1, "", |_| "matrix: { a: [x, y, x, y, x] }".to_owned());
    assert_eq!(
        one(&same, Kind::Duplicate),
        "two combinations of the matrix make the name `e0-x`: `a: x` and `a: x`; likewise with 2 other combinations"
    );
    let given: String = (0..100)
        .map(|n| format!("\n  e0-v{n}:\n{IDS}    cron: 0 2 * * *"))
        .collect();
    let taken = entries(1, "", |_| format!("{}{given}", matrix(&[("a", 100)])));
    assert_eq!(
        one(&taken, Kind::Duplicate),
        "the matrix makes an entry `e0-v0`, and there is one of that name; likewise with 99 other combinations"
    );
    // A mistake in what is repeated is one mistake.
    let wrong = entries(10, "", |_| {
        let matrix = matrix(&[("a", 100), ("b", 100)]);
        format!("{matrix}\n    description: \"{{{{ matrix.c }}}}\"\n    labels: [a b]")
    });
    bounded(&wrong, Kind::Template, 20);
}

#[test]
fn calendars_that_leave_nothing_to_ten_thousand_entries_end_in_good_time() {
    let past = "calendars: { past: { workdays: [2020-01-01] } }\n";
    let text = entries(2 * PROBLEMS_MAX, past, |_| "only_on: [past]".to_owned());
    bounded(&text, Kind::Idle, 2 * PROBLEMS_MAX);
    let days: String = (0..300_000)
        .map(|n| {
            format!(
                "{}-{:02}-{:02}, ",
                2000 + n / 336,
                n / 28 % 12 + 1,
                n % 28 + 1
            )
        })
        .collect();
    let many = format!("calendars: {{ c: {{ holidays: [{days}] }} }}\n");
    bounded(
        &entries(1, &many, |_| "skip_on: [c]".to_owned()),
        Kind::Limit,
        1,
    );
    let freezes = "{ from: 2027-01-01, until: 2027-01-02 }, ".repeat(100_000);
    let freezes = format!("freezes: [{freezes}]\n");
    bounded(
        &entries(1, &freezes, |_| "priority: 1".to_owned()),
        Kind::Limit,
        1,
    );
}

#[test]
fn marks_ends_and_emptiness() {
    let good = format!("{ACCOUNT}schedules:\n  e:\n{IDS}    cron: '@daily'\n    description: ü\n");
    for text in [
        good.clone(),
        format!("\u{feff}{good}"),
        good.replace('\n', "\r\n"),
        format!("\u{feff}{}", good.replace('\n', "\r\n")),
        good.replace('\n', "\r"),
        format!("---\n{good}...\n"),
        format!("%YAML 1.2\n---\n{good}"),
        format!("\n\n# comment\n{good}# comment"),
        good.trim_end().to_owned(),
    ] {
        let loaded = check(&text);
        assert_eq!(loaded.problems, [], "{text:?}");
        assert_eq!(loaded.config.map(|config| config.entries.len()), Some(1));
    }
    // The same mistake is at the same line and column whatever the line ends are.
    let bad = good.replace("@daily", "@dally");
    for text in [
        bad.clone(),
        format!("\u{feff}{bad}"),
        bad.replace('\n', "\r\n"),
        bad.replace('\n', "\r"),
    ] {
        let problem = &check(&text).problems[0];
        let place = problem
            .place
            .as_ref()
            .map(|place| (place.line, place.column, place.text.as_str()));
        assert_eq!(place, Some((6, 12, "    cron: '@dally'")), "{text:?}");
    }
    for text in [
        "",
        "\u{feff}",
        "\n",
        "# nothing\n",
        "---\n",
        "--- ~\n",
        "null",
        "...\n",
        "{}",
        "schedules:\n",
        "schedules: {}",
    ] {
        let loaded = check(text);
        let messages: Vec<&str> = loaded
            .problems
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        assert!(
            matches!(messages.as_slice(), [one] if one.starts_with("nothing to do")),
            "{text:?}: {messages:?}"
        );
    }
    for text in [
        "a: 1\0",
        "\0",
        "schedules: {}\n\0more: 1",
        "schedules: {} # \0",
    ] {
        refused(text, Kind::Syntax);
    }
}

#[test]
fn an_empty_file_beside_a_full_one_is_no_problem() {
    let good = format!("{ACCOUNT}schedules:\n  e:\n{IDS}    cron: '@daily'\n");
    let loaded = check_files(&[("a.yaml", ""), ("b.yaml", &good), ("c.yaml", "# later\n")]);
    assert_eq!(loaded.problems, []);
    assert!(check_files(&[]).config.is_none());
}

#[test]
fn controls_beyond_ascii_do_not_reach_the_terminal() {
    let text =
        format!("{ACCOUNT}schedules:\n  e: # \u{9b}31mred\n{IDS}    \u{9b}2J: 1 # \u{85}\u{9f}é\n");
    let loaded = check(&text);
    let shown = render(&loaded.problems, loaded.unlisted, Colour::Always);
    assert!(
        !shown.contains(|char| ('\u{80}'..='\u{9f}').contains(&char)),
        "{shown:?}"
    );
    let marked: Vec<&str> = (loaded.problems.iter())
        .filter_map(|problem| problem.place.as_ref())
        .map(|place| &place.text[place.marked.clone()])
        .collect();
    assert!(marked.contains(&"·2J"), "{shown}");
}

/// Pieces that configurations are made of, and that break them.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "schedules:\n",
        "accounts:\n",
        "defaults:\n",
        "global_defaults: ",
        "  e:\n",
        "    cron: ",
        "'0 2 * * *'",
        "*/5 * * * *",
        "@daily",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        ": ",
        "&a ",
        "*a",
        "<<: ",
        "!!str ",
        "!x ",
        "? ",
        "|\n",
        ">-\n",
        "\"",
        "'",
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
        "null",
        "~",
        "true",
        "12",
        "1.10",
        "{{ x }}",
        "{% x %}",
        "sources: ",
        "type: code",
        "params: ",
        "variables: ",
        "env: X",
        "sk: secret",
        "credentials: ",
        "timezone: UTC",
        "retry: ",
        "description: ",
        "\\",
        "\\u0000",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{0}",
        "\u{1b}",
        "é",
        "日本",
        "🚀",
        "not_after: 2026-01-01",
    ];
    prop_oneof![
        8 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
        1 => any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000,
        failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic_and_every_place_is_in_the_file(pieces in proptest::collection::vec(piece(), 0..60)) {
        let text = pieces.concat();
        let loaded = check(&text);
        prop_assert_eq!(loaded.config.is_some(), loaded.problems.iter().all(|problem| problem.severity == Severity::Warning));
        for problem in &loaded.problems {
            let places = problem.place.iter().chain(problem.related.iter().map(|related| &related.place));
            for place in places {
                prop_assert!(text.get(place.span.start..place.span.end.min(text.len())).is_some(), "{:?}", place);
                prop_assert!(place.text.get(place.marked.clone()).is_some(), "{:?}", place);
                prop_assert!(!place.text.contains(['\n', '\r']), "{:?}", place);
            }
            let line = problem.to_string();
            prop_assert!(!line.contains(['\n', '\u{1b}']), "{}", line);
        }
        let shown = render(&loaded.problems, loaded.unlisted, Colour::Never);
        prop_assert!(!shown.contains(['\u{1b}', '\0']), "{}", shown);
        render(&loaded.problems, loaded.unlisted, Colour::Always);
    }

    #[test]
    fn a_broken_byte_in_a_good_file_never_makes_it_panic(at in 0_usize..6_000, with in piece()) {
        let example = include_str!("../../schedules.example.yaml");
        let at = (0..=at % example.len()).rev().find(|at| example.is_char_boundary(*at)).unwrap();
        let loaded = check(&format!("{}{with}{}", &example[..at], &example[at..]));
        render(&loaded.problems, loaded.unlisted, Colour::Never);
    }

    #[test]
    fn a_secret_in_a_broken_file_is_never_shown(at in any::<proptest::sample::Index>(), with in piece(), cut in 0_usize..20) {
        // Secrets in every form. The keys stay whole: under another name nobody knows that it is one.
        let text = "accounts:
  a: { region: cn-north-4, credentials: { ak: AKID, sk: hunter2 } }
  b:
    region: cn-north-4
    credentials:
      ak: AKID
      sk: hunter2
      security_token: \"hunter2\"
  c:
    region: cn-north-4
    credentials:
      domain: d
      user: u
      password: |
        hunter2
        hunter2
  d: { region: cn-north-4, credentials: { token: 'hunter2' } }
  e: { region: cn-north-4, sk: hunter2, proxy: http://u:hunter2@proxy }
schedules:
  e:
    cron: '@daily'
    variables: { A: b }
";
        let inside = |at: usize| {
            let keys = ["sk", "security_token", "password", "token", "hunter2", "proxy: http://u:", "env: ", "\n        hunter2"];
            keys.iter().any(|key| text.match_indices(key).any(|(start, key)| (start.saturating_sub(1)..=start + key.len() + 1).contains(&at)))
        };
        let places: Vec<usize> = (0..=text.len()).filter(|&at| text.is_char_boundary(at) && !inside(at)).collect();
        let at = *at.get(&places);
        let rest = at + text[at..].char_indices().take_while(|&(n, _)| n < cut && !inside(at + n)).count();
        let broken = format!("{}{with}{}", &text[..at], &text[rest..]);
        let loaded = check(&broken);
        let shown = render(&loaded.problems, loaded.unlisted, Colour::Never);
        let lines: String = loaded.problems.iter().map(ToString::to_string).collect();
        prop_assert!(!shown.contains("hunter2") && !lines.contains("hunter2"), "{}\n{}", broken, shown);
    }
}

#[test]
fn files_that_are_too_much_together_are_refused_in_the_one_that_has_no_room() {
    let values = "x, ".repeat(1_000);
    let half = |name: &str| {
        let aliases = "*l, ".repeat(2_600);
        format!("schedules:\n  {name}:\n    labels: &l [{values}]\n    choose_jobs: [{aliases}]\n")
    };
    let (one, other) = (half("one"), half("other"));
    let limits = |files: &[(&str, &str)]| {
        let problems = check_files(files).problems.into_iter();
        let limits =
            problems.filter(|problem| problem.message.contains("more than 5000000 values"));
        limits.map(|problem| problem.file).collect::<Vec<_>>()
    };
    assert_eq!(limits(&[("a.yaml", &one)]), [""; 0]);
    assert_eq!(limits(&[("a.yaml", &one), ("b.yaml", &other)]), ["b.yaml"]);
    let files = [
        ("a.yaml", "{}"),
        ("b.yaml", one.as_str()),
        ("c.yaml", &other),
    ];
    assert_eq!(limits(&files), ["c.yaml"]);
}

#[test]
fn a_password_in_an_address_is_shown_nowhere_however_wrong_the_address_is() {
    for address in [
        "ssh://ci:hunter2@git.example.com/a.git",
        "https://oauth2:hunter2@git.example.com:99999/a.git",
        "https://oauth2:hunter2@git.example.com/a.git",
        "https://oauth2:hun/hunter2@git.example.com/a.git",
        "https://oauth2:hun#hunter2@git.example.com/a.git",
        "http://oauth2:hun?hunter2@git.example.com/a.git",
        "ftp://oauth2:hunter2@git.example.com",
        "oauth2:hunter2@git.example.com",
        "//oauth2:hunter2@git.example.com/a.git",
        "oauth2:my hunter2@git.example.com/a.git",
        "https://oauth2:my hunter2@git.example.com/a.git",
        "http://hunter2@git.example.com/a.git",
    ] {
        let git = format!(
            "{ACCOUNT}schedules:\n  e:\n{IDS}    cron: '@daily'\n    sources:\n      - {{ git_type: codehub, git_url: '{address}', branch: main }}\n"
        );
        let account = |key: &str| {
            format!("accounts: {{ main: {{ region: cn-north-4, {key}: '{address}' }} }}\n")
        };
        for text in [
            git,
            account("endpoint"),
            account("iam_endpoint"),
            account("proxy"),
        ] {
            let loaded = check(&text);
            assert!(!loaded.problems.is_empty(), "{text}");
            let shown = render(&loaded.problems, loaded.unlisted, Colour::Never);
            let lines: String = loaded.problems.iter().map(ToString::to_string).collect();
            let github: String = loaded
                .problems
                .iter()
                .map(pipecron::config::github)
                .collect();
            for told in [shown, lines, github] {
                assert!(!told.contains("hunter2"), "{told}\nof {text}");
            }
        }
    }
}
