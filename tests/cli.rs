//! What the program says at a terminal: the help of every command, held as text that a person has read, times, errors, and
//! nothing that steers the terminal.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::process::{Command, Output};

/// A directory with a configuration, in which the program runs without anything of the tester's own.
struct Place(tempfile::TempDir);

impl Place {
    fn new(yaml: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        std::fs::write(place.0.path().join("a.yaml"), yaml).unwrap();
        place
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipecron"));
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("PIPECRON_") || name.starts_with("HUAWEICLOUD_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env("PIPECRON_CONFIG", "a.yaml")
            .env("PIPECRON_LEDGER", "sqlite://ledger.db")
            .env("PIPECRON_CONTROL", "off")
            .env("PIPECRON_LISTEN", "off");
        command
    }

    fn run(&self, arguments: &[&str]) -> Said {
        Said::from(self.command(arguments).output().unwrap())
    }
}

/// What a command printed, and how it ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Said {
    /// Both, and the code: for a person who reads a failure.
    fn all(&self) -> String {
        format!("exit {}\n{}{}", self.code, self.out, self.err)
    }

    /// Ended well and said nothing but this.
    fn is(&self, out: &str) {
        assert!(
            self.code == 0 && self.out == out,
            "{}\nnot\n{out}",
            self.all()
        );
    }

    /// Ended with this code and told all of these.
    fn fails(&self, code: i32, words: &[&str]) {
        let told = words.iter().all(|word| self.err.contains(word));
        assert!(
            self.code == code && told,
            "{}\nnot {code} {words:?}",
            self.all()
        );
    }
}

const TWO_ZONES: &str = r#"
accounts: { main: { region: cn-north-4, credentials: { ak: { env: NO_SUCH_AK }, sk: { env: NO_SUCH_SK } } } }
defaults: { project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: e5460d1d403146a1935c2d4b68ef506c }
schedules:
  nightly-web: { cron: "0 2 * * *", timezone: Asia/Shanghai }
  nightly-utc: { cron: "0 2 * * *" }
  release: { cron: "@manually" }
"#;

fn help(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pipecron"))
        .args(arguments)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_help_of_every_command_reads_well() {
    insta::assert_snapshot!("help", help(&[]));
    for command in [
        "daemon", "check", "discover", "diff", "next", "trigger", "backfill", "replay", "pause",
        "resume", "skip", "reload", "status", "history", "show", "why", "schema", "sandbox",
    ] {
        insta::assert_snapshot!(format!("help-{command}"), help(&[command]));
    }
}

#[test]
fn every_flag_that_a_service_needs_has_a_variable_and_the_readme_names_the_commands() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let daemon = help(&["daemon"]);
    for name in [
        "CONFIG",
        "LEDGER",
        "CONTROL",
        "LOG_FORMAT",
        "LOG_DIR",
        "KEEP_LOGS",
        "LOG",
        "SANDBOX",
        "STRICT",
        "KEEP_HISTORY",
        "GRACE",
        "CONTROL_MODE",
    ] {
        assert!(
            daemon.contains(&format!("PIPECRON_{name}")),
            "PIPECRON_{name} is not in the help of daemon"
        );
    }
    for command in [
        "daemon", "check", "discover", "diff", "next", "trigger", "backfill", "replay", "pause",
        "resume", "skip", "reload", "status", "history", "show", "why", "schema", "sandbox",
    ] {
        assert!(
            readme.contains(command),
            "the README does not mention {command}"
        );
    }
    assert!(
        readme.contains("cargo run --release -- daemon --sandbox --config schedules.example.yaml")
    );
}

#[test]
fn arguments_that_are_not_understood_exit_with_two() {
    for arguments in [
        &["nxt"][..],
        &["next", "--at", "tomorrow"],
        &["daemon", "--grace", "soon"],
        &["history", "--reason", "x"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_pipecron"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn the_ticks_of_several_entries_come_in_the_order_of_time() {
    let place = Place::new(TWO_ZONES);
    let said = place.run(&["next", "--at", "2026-11-24T00:00:00Z", "-n", "2"]);
    said.is("\
nightly-utc  Tue 2026-11-24 02:00:00 UTC            2026-11-24T02:00:00Z
nightly-web  Wed 2026-11-25 02:00:00 Asia/Shanghai  2026-11-24T18:00:00Z
nightly-utc  Wed 2026-11-25 02:00:00 UTC            2026-11-25T02:00:00Z
nightly-web  Thu 2026-11-26 02:00:00 Asia/Shanghai  2026-11-25T18:00:00Z
");
    assert_eq!(said.err, "release: starts only by hand (@manually)\n");
    // Named twice is asked once, in whatever order.
    let named = ["nightly-web", "nightly-utc", "nightly-web"];
    let again = place.run(
        &[
            &["next", "--at", "2026-11-24T00:00:00Z", "-n", "2"],
            &named[..],
        ]
        .concat(),
    );
    again.is(&said.out);
}

#[test]
fn until_a_time_all_ticks_are_shown() {
    let place = Place::new(TWO_ZONES);
    let at = ["next", "--at", "2026-11-24T00:00:00Z"];
    let lines = |arguments: &[&str]| {
        let said = place.run(&[&at[..], arguments].concat());
        assert_eq!(said.code, 0, "{}", said.all());
        said.out.lines().count()
    };
    assert_eq!(lines(&["--until", "10d"]), 20);
    assert_eq!(lines(&["--until", "10d", "-n", "3"]), 6);
    assert_eq!(lines(&["--until", "10d", "nightly-web"]), 10);
    assert_eq!(lines(&["--until", "10d", "--cron", "0 2 * * *"]), 10);
    assert_eq!(lines(&["--cron", "0 2 * * *"]), 5);
    assert_eq!(lines(&[]), 2);
    // What has no end for a person is cut, and said to be.
    let often = place.0.path().join("often.yaml");
    let entry = TWO_ZONES.replace(
        "nightly-utc: { cron: \"0 2 * * *\"",
        "often: { cron: \"* * * * * *\", allow_subminute: true",
    );
    std::fs::write(&often, entry).unwrap();
    let of_entry = ["--config", "often.yaml", "often", "--json"];
    let of_pattern = ["--cron", "* * * * * *"];
    for (arguments, name) in [(&of_entry[..], "often"), (&of_pattern, "--cron")] {
        let said = place.run(&[&at[..], &["--until", "2d"], arguments].concat());
        assert_eq!(said.out.lines().count(), 100_000, "{}", said.err);
        let more = format!(
            "{name}: these are the first 100000 ticks; for the others give --at 2026-11-25T03:46:40Z"
        );
        assert!(said.err.contains(&more), "{}", said.err);
        let said = place.run(&[&at[..], &["--until", "100000s"], arguments].concat());
        assert_eq!(said.out.lines().count(), 100_000, "{}", said.err);
        assert!(!said.err.contains("these are"), "{}", said.err);
    }
}

#[test]
fn a_stretch_of_time_is_written_as_people_write_it() {
    let place = Place::new(TWO_ZONES);
    let day = place.run(&["next", "--at", "2026-11-24", "--until", "1d", "-n", "9"]);
    day.is("\
nightly-utc  Tue 2026-11-24 02:00:00 UTC            2026-11-24T02:00:00Z
nightly-web  Wed 2026-11-25 02:00:00 Asia/Shanghai  2026-11-24T18:00:00Z
");
    assert!(
        day.err.contains("--at is 2026-11-24T00:00:00Z") && day.err.contains("UTC"),
        "it says in which zone the day was taken: {}",
        day.err
    );
    let zoned = place.run(&[
        "next",
        "--timezone",
        "Asia/Shanghai",
        "--at",
        "2026-11-25",
        "--until",
        "2026-11-25 02:00",
        "-n",
        "9",
    ]);
    zoned.is("nightly-web  Wed 2026-11-25 02:00:00 Asia/Shanghai  2026-11-24T18:00:00Z\n");
    assert!(!zoned.err.contains("--at is"), "{}", zoned.err);
    for (arguments, words) in [
        (&["next", "--at", "24h"][..], &["a day (2026-11-24"][..]),
        (&["next", "--until", "soon"], &["a day (2026-11-24", "24h"]),
        (
            &["history", "--since", "soon"],
            &["a day (2026-11-24", "24h"],
        ),
    ] {
        place.run(arguments).fails(2, words);
    }
    place
        .run(&["next", "--timezone", "Asia/Shanghai"])
        .fails(1, &["would do nothing"]);
    place
        .run(&["next", "--at", "2026-11-24", "--timezone", "Asia/Shangai"])
        .fails(1, &["did you mean Asia/Shanghai?"]);
}

#[test]
fn a_pattern_that_is_none_is_answered_with_what_to_write() {
    let place = Place::new(TWO_ZONES);
    let manually = place.run(&["next", "--cron", "@manually"]);
    manually.is("");
    assert!(manually.err.contains("by hand alone"), "{}", manually.err);
    place
        .run(&["next", "--cron", "@manually", "--json"])
        .is("{\"next\":[]}\n");
    place
        .run(&["next", "--cron", "@nope"])
        .fails(1, &["@daily", "and @manually, for an entry"]);
    for prefix in ["TZ", "CRON_TZ"] {
        let pattern = format!("{prefix}=Asia/Shanghai 0 2 * * *");
        let marked = format!(
            "\n  {}\n",
            "^".repeat(prefix.len() + "=Asia/Shanghai".len())
        );
        place
            .run(&["next", "--cron", &pattern])
            .fails(1, &["--timezone Asia/Shanghai --cron '0 2 * * *'", &marked]);
    }
}

/// What steers a terminal, turns text round or hides it, in every kind of place.
const EVIL: &str = "x\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{7}y";

#[test]
fn nothing_from_outside_steers_the_terminal() {
    let yaml = TWO_ZONES.to_owned()
        + "  odd: { cron: '0 2 * * *', timezone: \"x\\e\\u202e\", labels: [\"\\u200b\"] } # \u{202e} \u{7f}\n";
    let place = Place::new(&yaml);
    let good = Place::new(
        &(TWO_ZONES.to_owned()
            + "  described: { cron: '@daily', description: \"a\\e[2J\\u202e\" }\n"),
    );
    let line = format!("{EVIL}\nerror: forged");
    let said = [
        place.run(&["check"]),
        place.run(&["next"]),
        place.run(&[EVIL]),
        place.run(&["next", "--at", EVIL]),
        place.run(&["check", "--config", &line]),
        good.run(&["next", &line]),
        good.run(&["next", "--cron", EVIL]),
        good.run(&["next", "--cron", EVIL, "--json"]),
        good.run(&["next", "--cron", "0 2 * * *", "--timezone", &line]),
        good.run(&["trigger", "described", "--dry-run"]),
        good.run(&["trigger", "described", "--dry-run", "--json"]),
        good.run(&["trigger", &line]),
        good.run(&["trigger", "release", "-v", &line]),
        good.run(&["daemon", "--log-dir", &format!("/proc/{line}")]),
        good.run(&["daemon", "--log", &line]),
        Said::from(
            good.command(&["daemon"])
                .env("PIPECRON_LOG_FORMAT", EVIL)
                .output()
                .unwrap(),
        ),
        good.run(&["sandbox", "--fault", &line]),
    ];
    for (index, said) in said.iter().enumerate() {
        let all = said.all();
        let odd = |c: &char| (c.is_control() && *c != '\n') || "\u{202e}\u{200b}".contains(*c);
        assert_eq!(all.chars().find(odd), None, "{index}: {all:?}");
        assert!(!all.contains("\nerror: forged"), "{index}: {all}");
    }
    // What was taken away is there to be read.
    for index in [2, 3, 5, 8, 9] {
        let all = said[index].all();
        assert!(all.contains("202e"), "{index}: {all}");
    }
}

#[test]
fn credentials_that_are_not_there_are_a_warning_of_check_and_of_a_dry_run() {
    let place = Place::new(TWO_ZONES);
    for (arguments, code) in [
        (&["check"][..], 0),
        (&["check", "--strict"], 1),
        (&["trigger", "nightly-web", "--dry-run"], 0),
    ] {
        let said = place.run(arguments);
        said.fails(code, &["warning: ", "NO_SUCH_AK", "NO_SUCH_SK", "not set"]);
    }
    // What the daemon's own variable means is nothing to `check`.
    let mut check = place.command(&["check"]);
    let check = check.env("PIPECRON_STRICT", "1").output().unwrap();
    assert!(check.status.success());
    let mut there = place.command(&["trigger", "nightly-web", "--dry-run"]);
    let there = Said::from(
        there
            .env("NO_SUCH_AK", "a")
            .env("NO_SUCH_SK", "s")
            .output()
            .unwrap(),
    );
    assert_eq!((there.code, there.err.as_str()), (0, ""), "{}", there.all());
}

#[test]
fn numbers_and_their_nouns_agree() {
    let one = TWO_ZONES.replace("cron: \"@manually\"", "corn: \"@manually\"");
    let said = Place::new(&one).run(&["check"]);
    assert_eq!(
        said.out,
        "1 error and 0 warnings in 1 file\n",
        "{}",
        said.all()
    );
    let said = Place::new(&one).run(&["daemon"]);
    said.fails(1, &["not started: 1 error in the configuration"]);
    let said = Place::new(TWO_ZONES).run(&["check"]);
    let start =
        "3 entries of 1 account in 1 file: no errors, 2 warnings; the next start is nightly-";
    assert!(said.out.starts_with(start), "{}", said.all());
}

/// Two errors, one of them with two places, and a warning.
const BROKEN: &str = r#"
accounts: { main: { region: cn-north-4 } }
defaults: { project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: e5460d1d403146a1935c2d4b68ef506c }
schedules:
  夜間: { corn: "0 2 * * *" }
  a: { cron: "0 2 13 * 5", cron: "@daily" }
  b: { cron: "0 2 * * *", not_after: 2020-01-01 }
"#;

#[test]
fn problems_for_programs_are_one_document_and_nothing_else() {
    let place = Place::new(BROKEN);
    let said = place.run(&["check", "--format", "json"]);
    assert_eq!((said.code, said.err.as_str()), (1, ""), "{}", said.all());
    let document: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    insta::assert_snapshot!("check-json", said.out);
    // Each problem reads as it does at a terminal, and in the same order.
    let rendered: String = document["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| format!("{}\n\n", problem["rendered"].as_str().unwrap()))
        .collect();
    assert_eq!(rendered, place.run(&["check"]).err);
    let good = Place::new(TWO_ZONES).run(&["check", "--format", "json", "--strict"]);
    let document: serde_json::Value = serde_json::from_str(&good.out).unwrap();
    assert_eq!(good.code, 1, "{}", good.all());
    assert_eq!(document["entries"], 3);
    assert_eq!(document["warnings"], 2);
    assert_eq!(document["problems"][0]["code"], "secret-unread");
    assert_eq!(document["problems"][0]["file"], serde_json::Value::Null);
}

#[test]
fn problems_for_a_workflow_are_annotations_and_nothing_else() {
    let place = Place::new(BROKEN);
    let said = place.run(&["check", "--format", "github"]);
    assert_eq!((said.code, said.err.as_str()), (1, ""), "{}", said.all());
    assert!(
        said.out
            .lines()
            .all(|line| line.starts_with("::error ") || line.starts_with("::warning "))
    );
    insta::assert_snapshot!("check-github", said.out);
    let good = Place::new(TWO_ZONES).run(&["check", "--format", "github", "--sandbox"]);
    good.is("");
}

#[test]
fn the_codes_of_problems_are_in_the_readme() {
    let readme = std::fs::read_to_string("README.md").unwrap();
    let mut codes = std::collections::BTreeSet::new();
    for kind in pipecron::config::Kind::ALL {
        assert!(codes.insert(kind.code()), "{} twice", kind.code());
        assert!(
            readme.contains(&format!("| `{}` |", kind.code())),
            "{}",
            kind.code()
        );
    }
}

#[test]
fn a_configuration_without_problems_is_one_good_line() {
    let place = Place::new(TWO_ZONES);
    let said = place.run(&["check", "--sandbox"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.all());
    let start =
        "3 entries of 1 account in 1 file: no errors, no warnings; the next start is nightly-";
    assert!(
        said.out.starts_with(start) && said.out.lines().count() == 1,
        "{}",
        said.out
    );
    let by_hand = TWO_ZONES.replace("0 2 * * *", "@manually");
    let said = Place::new(&by_hand).run(&["check", "--sandbox"]);
    said.is("3 entries of 1 account in 1 file: no errors, no warnings; nothing starts by itself\n");
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_what_is_wrong_with_the_others() {
    let place =
        Place::new("schedules: { a: { corn: '@daily', account: elsewhere, project_id: x } }\n");
    let said = place.run(&["check", "--config", "a.yaml", "--config", "gone.yaml"]);
    // The account may stand in the file that is gone.
    said.fails(
        1,
        &[
            "gone.yaml",
            "cannot read it",
            "no key `corn`",
            "`project_id`: an id is 32",
        ],
    );
    assert!(!said.err.contains("elsewhere`"), "{}", said.all());
    assert_eq!(
        said.out,
        "3 errors and 0 warnings in 1 file\n",
        "{}",
        said.all()
    );
}

const TEMPLATES: &str = r#"
accounts: { main: { region: cn-north-4, credentials: { ak: { env: NO_SUCH_AK }, sk: { env: NO_SUCH_SK } } } }
schedules:
  nightly-web:
    cron: "H 2 * * *"
    timezone: Asia/Shanghai
    project_id: 54f90b75fc1447b1b65e8d3a9f77923d
    pipeline_id: e5460d1d403146a1935c2d4b68ef506c
    description: "{{ tick.origin }} {{ tick.local | date('%F') }}"
    variables:
      YESTERDAY: "{{ tick.local | minus('1d') | date('%Y%m%d') }}"
      SINCE: "{{ last_success.due | default('ever') }}"
      KEY: { env: NO_SUCH_KEY }
"#;

#[test]
fn what_templates_make_and_what_hash_stands_for_is_shown() {
    let place = Place::new(TEMPLATES);
    let said = place.run(&[
        "next",
        "nightly-web",
        "--json",
        "--at",
        "2026-11-24T00:00:00Z",
        "-n",
        "1",
    ]);
    assert_eq!(said.code, 0, "{}", said.all());
    let row: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let expected = serde_json::json!({
        "entry": "nightly-web",
        "due": "2026-11-24T18:53:00Z",
        "local": "2026-11-25T02:53:00+08:00",
        "timezone": "Asia/Shanghai",
        "start": "2026-11-24T18:53:00Z",
        "note": "H 2 * * * is 53 2 * * *",
        "excluded": null,
        "moved_from": null,
        "paused": null,
        "rendered": {
            "description": "scheduled 2026-11-25",
            "variables.YESTERDAY": "20261124",
            "variables.SINCE": "ever",
        },
    });
    assert_eq!(row, expected);
    let said = place.run(&["check"]);
    let expected = "nightly-web: H 2 * * * is 53 2 * * *\n1 entry of 1 account in 1 file: no errors, 3 warnings; the next start \
                    is nightly-web at ";
    assert!(said.out.starts_with(expected), "{}", said.out);
    // The request of a tick that was or will be, and of one by hand in which a value stands as it was given.
    let body = |arguments: &[&str]| {
        let said = place.run(
            &[
                &["trigger", "nightly-web", "--dry-run", "--json"],
                arguments,
            ]
            .concat(),
        );
        assert_eq!(said.code, 0, "{}", said.all());
        let request: serde_json::Value = serde_json::from_str(&said.out).unwrap();
        request["body"].clone()
    };
    let at = body(&["--at", "2026-03-01"]);
    assert_eq!(
        at["description"],
        "scheduled 2026-03-01 [pipecron xxxxxxxx nightly-web@2026-02-28T16:00:00Z]"
    );
    assert_eq!(at["variables"][0]["value"], "20260228");
    let by_hand = body(&["-v", "YESTERDAY={{ tick.id }}", "-v", "MORE={{"]);
    assert!(
        by_hand["description"]
            .as_str()
            .unwrap()
            .starts_with("manual 20")
    );
    assert_eq!(by_hand["variables"][0]["value"], "{{ tick.id }}");
    assert_eq!(by_hand["variables"][3]["value"], "{{");
    place
        .run(&["trigger", "nightly-web", "--at", "2026-03-01"])
        .fails(2, &["--dry-run"]);
}

#[test]
fn a_pattern_with_hash_needs_a_name() {
    let place = Place::new("");
    place.run(&["next", "--cron", "H 2 * * *"]).fails(
        1,
        &["`H` at character 1", "or give --name", "  H 2 * * *\n  ^"],
    );
    let arguments = [
        "next",
        "--cron",
        "H 2 * * *",
        "--name",
        "nightly-web",
        "-n",
        "1",
    ];
    let said = place.run(&[&arguments[..], &["--at", "2026-11-24T00:00:00Z"]].concat());
    said.is("Tue 2026-11-24 02:53:00  2026-11-24T02:53:00Z\n");
    assert_eq!(said.err, "H 2 * * * is 53 2 * * *\n");
    let said = place.run(&[&arguments[..], &["--at", "2026-11-24T00:00:00Z", "--json"]].concat());
    said.is("{\"next\":[\"2026-11-24T02:53:00+00:00\"],\"resolved\":\"53 2 * * *\"}\n");
}

const CALENDARS: &str = "\
accounts: { main: { region: cn-north-4 } }
calendars:
  cn: { weekend: [sat, sun], holidays: [2027-02-05..2027-02-11], workdays: [2027-02-14] }
defaults:
  project_id: 54f90b75fc1447b1b65e8d3a9f77923d
  pipeline_id: e5460d1d403146a1935c2d4b68ef506c
  timezone: Asia/Shanghai
schedules:
  nightly: { cron: 0 2 * * *, only_on: cn }
  monthly: { cron: 0 9 6 * *, only_on: cn, on_excluded: next }
";

#[test]
fn next_tells_what_a_calendar_excludes_and_moves() {
    let place = Place::new(CALENDARS);
    let at = "2027-02-03T12:00:00Z";
    place
        .run(&["next", "nightly", "--at", at, "-n", "3"])
        .is("\
nightly  Thu 2027-02-04 02:00:00 Asia/Shanghai  2027-02-03T18:00:00Z
nightly  Fri 2027-02-05 02:00:00 Asia/Shanghai  2027-02-04T18:00:00Z  excluded: cn: holiday 2027-02-05..2027-02-11 (7 ticks, the last Thu 2027-02-11 02:00:00)
nightly  Fri 2027-02-12 02:00:00 Asia/Shanghai  2027-02-11T18:00:00Z
nightly  Sat 2027-02-13 02:00:00 Asia/Shanghai  2027-02-12T18:00:00Z  excluded: cn: weekend
nightly  Sun 2027-02-14 02:00:00 Asia/Shanghai  2027-02-13T18:00:00Z
");
    place.run(&["next", "monthly", "--at", at, "-n", "1"]).is("\
monthly  Fri 2027-02-12 09:00:00 Asia/Shanghai  2027-02-12T01:00:00Z  moved from Sat 2027-02-06 (cn: holiday 2027-02-05..2027-02-11)
");
    let said = place.run(&[
        "next", "monthly", "nightly", "--at", at, "-n", "1", "--json",
    ]);
    let rows: Vec<serde_json::Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows[0]["excluded"], serde_json::Value::Null);
    assert_eq!(rows[1]["moved_from"][0], "2027-02-06");
    let said = place.run(&[
        "next",
        "nightly",
        "--at",
        "2027-02-11T19:00:00Z",
        "-n",
        "1",
        "--json",
    ]);
    let first: serde_json::Value = serde_json::from_str(said.out.lines().next().unwrap()).unwrap();
    assert_eq!(first["excluded"]["why"], "cn: weekend");
    assert_eq!(first["excluded"]["count"], 1);
    assert_eq!(first["start"], serde_json::Value::Null);
}

#[test]
fn a_calendar_file_that_is_gone_or_broken_is_an_error_of_check() {
    let place = Place::new(&CALENDARS.replace("weekend: [sat, sun],", "ics: cn.ics,"));
    let path = place.0.path().join("cn.ics");
    place
        .run(&["check"])
        .fails(1, &["cn.ics", "No such file", "a.yaml:3"]);
    let broken = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:nonsense\nEND:VEVENT\nEND:VCALENDAR\n";
    std::fs::write(&path, broken).unwrap();
    place.run(&["check"]).fails(
        1,
        &["cn.ics:3:1", "there is no date `nonsense`", "a.yaml:3"],
    );
    let event = "BEGIN:VEVENT\nSUMMARY:春节\nDTSTART:20270204\nEND:VEVENT";
    std::fs::write(&path, format!("BEGIN:VCALENDAR\n{event}\nEND:VCALENDAR\n")).unwrap();
    let said = place.run(&["check"]);
    assert!(
        said.code == 0 && said.out.contains("2 entries of 1 account in 2 files"),
        "{}",
        said.all()
    );
    let said = place.run(&["next", "nightly", "--at", "2027-02-03T12:00:00Z", "-n", "1"]);
    assert!(
        said.out.contains("excluded: cn: event \"春节\" 2027-02-04"),
        "{}",
        said.all()
    );
}

#[test]
fn a_coming_tick_is_marked_shown_and_given_back() {
    let place = Place::new(CALENDARS);
    let next = || place.run(&["next", "nightly", "-n", "1"]).out;
    let due = |line: &str| {
        let due = line.split_whitespace().find(|word| word.ends_with('Z'));
        due.unwrap().to_owned()
    };
    let is_start = |line: &&str| !line.contains("excluded");
    let before = next();
    let coming = due(before.lines().find(is_start).unwrap());
    let mut skip = place.command(&["skip", "nightly", "--next", "--reason", "the farm moves"]);
    let said = Said::from(
        skip.env("USER", "ada")
            .env_remove("SUDO_USER")
            .output()
            .unwrap(),
    );
    assert_eq!(
        (said.code, due(&said.out)),
        (0, coming.clone()),
        "{}",
        said.all()
    );
    assert!(
        said.out.contains("will be skipped: skip asked by ada at "),
        "{}",
        said.all()
    );
    let marked = next();
    let line = marked
        .lines()
        .find(|line| line.contains("the farm moves"))
        .unwrap();
    assert!(line.contains("excluded: skip asked by ada") && due(line) == coming);
    assert_ne!(due(marked.lines().find(is_start).unwrap()), coming);
    // Somebody who asks once more, without a number, does not lose another night.
    let again = place.run(&["skip", "nightly", "--next"]);
    assert_eq!((again.code, due(&again.out)), (0, coming.clone()));
    let told = "the coming tick of nightly is marked already";
    assert!(again.all().contains(told), "{}", again.all());
    assert_eq!(next(), marked);
    place
        .run(&["skip", "nightly", "--at", "2027-02-06T02:00"])
        .fails(
            1,
            &[
                "does not run anyway: cn: holiday",
                "the next one is due 2027-02-11T18:00:00Z",
            ],
        );
    place.run(&["skip", "nightly"]).fails(2, &["--next"]);
    place
        .run(&["skip", "nightly", "--undo", "--at", "2027-02-12T02:00"])
        .fails(1, &["no such tick of nightly is marked", &coming]);
    let said = place.run(&["skip", "nightly", "--undo", "--next", "--json"]);
    let row: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        (row["due"].as_str(), row["skipped"].as_bool()),
        (Some(coming.as_str()), Some(false))
    );
    assert_eq!(next(), before);
}

#[test]
fn a_mark_goes_along_with_a_moved_tick() {
    let weekly = |weekend: &str| {
        CALENDARS
            .replace("weekend: [sat, sun]", &format!("weekend: [{weekend}]"))
            .replace("0 9 6 * *", "0 9 * * 0")
    };
    let place = Place::new(&weekly("sun"));
    let first = |arguments: &[&str]| -> serde_json::Value {
        let said = place.run(&[arguments, &["--json"]].concat());
        let line = said.out.lines().next().map(str::to_owned);
        serde_json::from_str(&line.unwrap_or_else(|| said.all())).unwrap()
    };
    let next = || first(&["next", "monthly", "-n", "1"]);
    let monday = first(&["skip", "monthly", "--next"])["local"].clone();
    let shown = next();
    assert_eq!(shown["local"], monday);
    let why = shown["excluded"]["why"].clone();
    assert!(why.as_str().unwrap().starts_with("skip asked by "), "{why}");
    // Monday becomes a day off as well: Sunday is due on Tuesday now, and skipped there.
    let path = place.0.path().join("a.yaml");
    std::fs::write(path, weekly("sun, mon")).unwrap();
    let tuesday = next();
    assert_ne!(tuesday["local"], monday);
    assert_eq!(tuesday["excluded"]["why"], why);
    let undone = first(&["skip", "monthly", "--undo", "--next"]);
    assert_eq!(undone["due"], tuesday["due"]);
    assert_eq!(next()["excluded"], serde_json::Value::Null);
}

#[test]
fn the_schema_knows_the_zones_of_this_machine() {
    let said = Place::new(TWO_ZONES).run(&["schema"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.all());
    let schema: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let zones = schema["definitions"]["Timezone"]["else"]["enum"]
        .as_array()
        .unwrap();
    assert!(zones.contains(&"Asia/Shanghai".into()) && !zones.contains(&"CST".into()));
}

#[test]
fn history_is_kept_for_as_long_as_decisions_look_back() {
    let place = Place::new(TWO_ZONES);
    place
        .run(&["daemon", "--keep-history", "32d"])
        .fails(2, &["keep at least 33d"]);
}
