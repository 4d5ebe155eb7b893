//! What the built binary asks CodeArts for people: `check --online` and `discover`, against the sandbox.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::path::PathBuf;
use std::process::{Command, Output};

use pipecron::sandbox::settings::PipelineSettings;
use pipecron::sandbox::{Call, FaultRule, SANDBOX_AK, SANDBOX_SK, Sandbox, Settings};
use serde_json::Value;

const PROJECT: &str = "54f90b75fc1447b1b65e8d3a9f77923d";
const WEB: &str = "e5460d1d403146a1935c2d4b68ef506c";

const PIPELINES: &str = r#"
pipelines:
  - project_id: 54f90b75fc1447b1b65e8d3a9f77923d
    pipeline_id: e5460d1d403146a1935c2d4b68ef506c
    name: nightly-web
    stages:
      - { identifier: build, name: Build, jobs: [{ identifier: JOB_abc, name: Compile all }, { identifier: JOB_def }] }
      - { identifier: deploy, name: 部署 }
    variables:
      - { name: MODE, value: full, runtime: true, description: how much, limits: [full, quick] }
      - { name: TAG, runtime: true }
      - { name: KEY, value: hunter2, secret: true, runtime: true }
      - { name: FIXED, value: "012" }
    sources: [{ git_type: codehub, codehub_id: "2111699716", git_url: "https://example.com/a/b.git", default_branch: master }]
    concurrency: { runs: 5, exceed: abort }
  - { project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: f5460d1d403146a1935c2d4b68ef506c, name: old, banned: true }
  - { project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: a5460d1d403146a1935c2d4b68ef506c, name: twin }
  - { project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: b5460d1d403146a1935c2d4b68ef506c, name: twin }
"#;

const ACCOUNT: &str = "accounts: { main: { region: cn-north-4, credentials: { ak: { env: NO_SUCH_AK }, sk: { env: NO_SUCH_SK } } } }\n";

/// A directory in which the program runs without anything of the tester's own.
struct Place(tempfile::TempDir);

impl Place {
    fn new(yaml: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("a.yaml", yaml);
        place.write("pipelines.yaml", PIPELINES);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Said {
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
            .env("TEST_SK", SANDBOX_SK)
            .env("NO_PROXY", "*");
        Said::from(command.output().unwrap())
    }

    /// The same with the sandbox inside, which has the pipelines above.
    fn rehearse(&self, arguments: &[&str]) -> Said {
        self.run(&[arguments, &["--sandbox", "--pipelines", "pipelines.yaml"]].concat())
    }
}

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
    fn all(&self) -> String {
        format!("exit {}\n{}{}", self.code, self.out, self.err)
    }

    /// How many errors are shown.
    fn errors(&self) -> usize {
        let is_error = |line: &&str| line.starts_with("error:");
        self.err.lines().filter(is_error).count()
    }

    #[track_caller]
    fn ends(&self, code: i32, words: &[&str]) {
        let all = self.all();
        assert!(
            self.code == code && words.iter().all(|word| all.contains(word)),
            "{all}\nnot {code} {words:?}"
        );
    }
}

fn entry(name: &str, keys: &str) -> String {
    format!(
        "{ACCOUNT}schedules:\n  {name}: {{ cron: \"0 2 * * *\", project_id: {PROJECT}, {keys} }}\n"
    )
}

#[test]
fn an_entry_is_checked_against_its_pipeline() {
    let fits = format!(
        "pipeline_id: {WEB}, choose_stages: [build], choose_jobs: [JOB_abc], variables: {{ TAG: v1 }}"
    );
    let place = Place::new(&entry("web", &fits));
    place
        .rehearse(&["check", "--online"])
        .ends(0, &["no errors, no warnings"]);
    place.write(
        "a.yaml",
        &entry(
            "web",
            &format!("pipeline_id: {WEB}, choose_stages: [biuld]"),
        ),
    );
    place.rehearse(&["check", "--online"]).ends(
        1,
        &[
            "1 error and 1 warning",
            "has no stage `biuld`",
            "did you mean `build` (Build)?",
            "asks for the variable `TAG`",
        ],
    );
    place.write(
        "a.yaml",
        &entry("web", "pipeline_id: c5460d1d403146a1935c2d4b68ef506c"),
    );
    place.rehearse(&["check", "--online"]).ends(
        1,
        &[
            "knows no pipeline `c5460d1d403146a1935c2d4b68ef506c`",
            "discover --project",
        ],
    );
    place.write(
        "a.yaml",
        &entry("web", "pipeline_id: f5460d1d403146a1935c2d4b68ef506c"),
    );
    place
        .rehearse(&["check", "--online"])
        .ends(1, &["is disabled in CodeArts"]);
}

#[test]
fn nothing_is_asked_while_the_files_are_wrong_themselves() {
    let place = Place::new(&entry(
        "web",
        &format!("pipeline_id: {WEB}, choose_stage: [x]"),
    ));
    place
        .rehearse(&["check", "--online"])
        .ends(1, &["CodeArts was not asked", "has no key `choose_stage`"]);
}

#[test]
fn the_example_passes_with_a_sandbox_that_has_every_pipeline() {
    let example = std::fs::read_to_string("schedules.example.yaml").unwrap();
    let place = Place::new(&example);
    place
        .run(&["check", "--online", "--sandbox"])
        .ends(0, &["no errors"]);
    place
        .run(&["check", "--online", "--sandbox", "--strict"])
        .ends(1, &["could not be compared"]);
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    let place = Place::new(&entry("web", &format!("pipeline_id: {WEB}")));
    place
        .run(&["check", "--pipelines", "pipelines.yaml"])
        .ends(2, &["it needs both --online and --sandbox"]);
    place
        .run(&["check", "--online", "--pipelines", "pipelines.yaml"])
        .ends(1, &["it needs --sandbox"]);
    for (text, words) in [
        (
            "pipelines: [{ project_id: x, pipeline_id: y }]",
            "project_id \"x\" has not 32 letters and digits",
        ),
        ("pipelines: [{ nmae: x }]", "nmae"),
        (
            "pipelines: {",
            "cannot read the pipelines in pipelines.yaml",
        ),
        (
            &format!("{PIPELINES}  - {{ project_id: {PROJECT}, pipeline_id: {WEB} }}\n"),
            "is declared twice",
        ),
    ] {
        place.write("pipelines.yaml", text);
        place.rehearse(&["check", "--online"]).ends(1, &[words]);
    }
}

#[test]
fn an_account_that_cannot_be_asked_is_said_once_and_not_called_wrong() {
    let twenty: String = (0..20)
        .map(|n| {
            format!(
                "  e{n}: {{ cron: \"0 2 * * *\", project_id: {PROJECT}, pipeline_id: {n:032} }}\n"
            )
        })
        .collect();
    let place = Place::new(&format!("{ACCOUNT}schedules:\n{twenty}"));
    let said = place.run(&["check", "--online"]);
    said.ends(
        1,
        &[
            "could not ask CodeArts about any of its 20 pipelines",
            "NO_SUCH_AK",
            "is not known",
            "a.yaml:1:13",
        ],
    );
    assert_eq!(said.errors(), 1, "{}", said.all());
    let endpoint = "accounts: { main: { endpoint: \"http://127.0.0.1:1\", credentials: { ak: A, sk: { env: TEST_SK } } } }\n";
    place.write("a.yaml", &format!("{endpoint}schedules:\n{twenty}"));
    let said = place.run(&["check", "--online"]);
    said.ends(
        1,
        &[
            "could not ask CodeArts about any of its 20 pipelines",
            "127.0.0.1:1",
        ],
    );
    assert_eq!(said.errors(), 1, "{}", said.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_entries_cost_one_question_and_a_lacking_right_is_named() {
    let sandbox = Sandbox::start(Settings {
        pipelines: vec![PipelineSettings::new(PROJECT, WEB)],
        ..Settings::default()
    })
    .await
    .unwrap();
    let entries: String = (0..5)
        .map(|n| {
            format!(
                "  e{n}: {{ cron: \"0 2 * * *\", project_id: {PROJECT}, pipeline_id: {WEB} }}\n"
            )
        })
        .collect();
    let text = format!(
        "accounts: {{ main: {{ endpoint: \"{url}\", iam_endpoint: \"{url}\", credentials: {{ ak: {SANDBOX_AK}, sk: {{ env: TEST_SK }} }} }} }}\n\
         schedules:\n{entries}",
        url = sandbox.base_url()
    );
    let place = Place::new(&text);
    let (place, said) = tokio::task::spawn_blocking(move || {
        let said = place.run(&["check", "--online"]);
        (place, said)
    })
    .await
    .unwrap();
    said.ends(0, &["5 entries of 1 account in 1 file: no errors"]);
    let calls: Vec<Call> = sandbox
        .requests()
        .last
        .iter()
        .map(|request| request.call)
        .collect();
    assert_eq!(calls, [Call::Pipeline]);
    assert!(sandbox.runs().is_empty());
    let rule = "status=401:DEVCP.00021018,on=pipeline,message=no right";
    sandbox.set_faults(vec![FaultRule::parse(rule).unwrap()]);
    let said = tokio::task::spawn_blocking(move || place.run(&["check", "--online"]))
        .await
        .unwrap();
    said.ends(
        1,
        &[
            "the account `main` lacks the permission to view the pipeline",
            "no right",
            "DEVCP.00021018",
        ],
    );
    assert!(sandbox.runs().is_empty());
}

#[test]
fn the_pipelines_of_a_project_are_listed() {
    let place = Place::new(ACCOUNT);
    let said = place.rehearse(&["discover", "--project", PROJECT]);
    assert_eq!(said.code, 0, "{}", said.all());
    insta::assert_snapshot!("discover", said.out);
    let json = place.rehearse(&["discover", "--project", PROJECT, "--json"]);
    let rows: Vec<Value> = json
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 4, "{}", json.all());
    let web = rows.iter().find(|row| row["id"] == WEB).unwrap();
    assert_eq!(web["stages"][0]["jobs"][0]["title"], "Compile all");
    assert_eq!(web["variables"][0]["default"], "full");
    assert_eq!(web["variables"][2]["default"], Value::Null, "a secret");
    for text in [said.all(), json.all()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn an_entry_that_is_printed_is_one_that_the_checker_takes() {
    let place = Place::new(ACCOUNT);
    let by_id = place.rehearse(&["discover", "--project", PROJECT, "--entry", WEB]);
    assert_eq!(by_id.code, 0, "{}", by_id.all());
    insta::assert_snapshot!("discover-entry", by_id.out);
    let by_name = place.rehearse(&["discover", "--project", PROJECT, "--entry", "nightly-web"]);
    assert_eq!(by_name.out, by_id.out);
    place.write("b.yaml", &by_id.out);
    let checked = place.rehearse(&[
        "check", "--online", "--config", "a.yaml", "--config", "b.yaml",
    ]);
    checked.ends(
        0,
        &["1 entry of 1 account in 2 files: no errors, no warnings"],
    );
    let json = place.rehearse(&["discover", "--project", PROJECT, "--entry", WEB, "--json"]);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["entry"].as_str(), Some(by_id.out.as_str()));
    assert_eq!(json["pipeline"]["id"], WEB);
    for pipeline in ["old", "a5460d1d403146a1935c2d4b68ef506c"] {
        let said = place.rehearse(&["discover", "--project", PROJECT, "--entry", pipeline]);
        place.write("b.yaml", &said.out);
        place
            .run(&[
                "check",
                "--sandbox",
                "--config",
                "a.yaml",
                "--config",
                "b.yaml",
            ])
            .ends(0, &["no errors"]);
    }
}

#[test]
fn a_pipeline_or_account_that_is_not_there_is_answered_with_the_nearest() {
    let place = Place::new(ACCOUNT);
    let discover =
        |more: &[&str]| place.rehearse(&[&["discover", "--project", PROJECT], more].concat());
    discover(&["--entry", "nightly-wbe"]).ends(1, &["did you mean \"nightly-web\"?"]);
    discover(&["--entry", "twin"]).ends(
        1,
        &[
            "2 pipelines are called \"twin\"",
            "a5460d1d403146a1935c2d4b68ef506c",
        ],
    );
    discover(&["--entry", "0123456789abcdef0123456789abcdef"]).ends(1, &["DEVPIPE.00011401"]);
    discover(&["--account", "mian"]).ends(1, &["did you mean \"main\"?"]);
    let elsewhere = place.rehearse(&["discover", "--project", "64f90b75fc1447b1b65e8d3a9f77923d"]);
    elsewhere.ends(
        1,
        &[
            "the account main cannot list the pipelines",
            "DEVPIPE.00011412",
        ],
    );
    place
        .run(&["discover", "--project", PROJECT])
        .ends(1, &["NO_SUCH_AK"]);
    let second = ACCOUNT.replace("} }\n", "}, other: { region: cn-north-4 } }\n");
    place.write("a.yaml", &second);
    discover(&[]).ends(1, &["say which with --account (main, other)"]);
    discover(&["--account", "other"]).ends(0, &["nightly-web"]);
    place.write("a.yaml", "# nothing yet\n");
    place
        .run(&["discover", "--project", PROJECT])
        .ends(1, &["no account is configured"]);
    // A rehearsal needs no configuration.
    discover(&[]).ends(0, &["nightly-web"]);
    // Entries that are still wrong do not matter.
    place.write(
        "a.yaml",
        &format!("{ACCOUNT}schedules: {{ x: {{ cron: nonsense }} }}\n"),
    );
    discover(&[]).ends(0, &["nightly-web"]);
}

#[test]
fn a_large_project_is_listed_page_by_page() {
    let place = Place::new(ACCOUNT);
    let many: String = (0..230)
        .map(|n| format!("  - {{ project_id: {PROJECT}, pipeline_id: {n:032}, name: p{n} }}\n"))
        .collect();
    place.write("pipelines.yaml", &format!("pipelines:\n{many}"));
    let second = ACCOUNT.replace(
        "region: cn-north-4,",
        "region: cn-north-4, requests_per_second: 1000,",
    );
    place.write("a.yaml", &second);
    let said = place.rehearse(&["discover", "--project", PROJECT, "--json"]);
    assert_eq!(
        (said.code, said.out.lines().count()),
        (0, 230),
        "{}",
        said.all()
    );
}

#[test]
fn a_pipeline_is_found_by_its_name_however_long_the_list_is() {
    let account = ACCOUNT.replace("region:", "requests_per_second: 1000, region:");
    let place = Place::new(&account);
    let mut pipelines = String::from("pipelines:\n");
    for number in 0..10_101 {
        pipelines.push_str(&format!(
            "  - {{ project_id: {PROJECT}, pipeline_id: {number:032}, name: p{number:05} }}\n"
        ));
    }
    place.write("pipelines.yaml", &pipelines);
    place
        .rehearse(&["discover", "--project", PROJECT, "--entry", "p10100"])
        .ends(0, &["pipeline_id: \"00000000000000000000000000010100\""]);
}
