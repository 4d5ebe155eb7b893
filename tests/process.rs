//! The built binary, as people run it: signals, restarts, broken files, a second daemon.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what is wrong by failing"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

#[path = "process/calendars.rs"]
mod calendars;

#[path = "process/control.rs"]
mod control;

#[path = "process/disk.rs"]
mod disk;

#[path = "process/kills.rs"]
mod kills;

#[path = "process/ledger.rs"]
mod ledger;

#[path = "process/page.rs"]
mod page;

#[path = "process/runs.rs"]
mod runs;

#[path = "process/time.rs"]
mod time;

/// Longest wait for something that should come at once, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with a configuration and a ledger.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap())
    }

    fn of(directory: tempfile::TempDir) -> Self {
        let place = Self(directory);
        place.write(&schedules("tick", "first"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, yaml: &str) {
        std::fs::write(self.path("pipecron.yaml"), yaml).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pipecron"));
        // Nothing of the tester's own settings may reach it.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PIPECRON_"))
        {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .env("PIPECRON_CONFIG", self.path("pipecron.yaml"))
            .env("PIPECRON_CONTROL", self.path("c.sock"))
            .env("PIPECRON_LISTEN", "off");
        command.env(
            "PIPECRON_LEDGER",
            format!("sqlite://{}", self.path("ledger.db").display()),
        );
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn daemon(&self, arguments: &[&str]) -> Daemon {
        let mut all = vec!["daemon"];
        all.extend(arguments);
        Daemon::spawn(self.command(&all))
    }

    fn history(&self) -> Vec<Value> {
        let output = self.run(&["history", "--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// An entry that is due every second, and one that is not due for a year or more.
fn schedules(name: &str, description: &str) -> String {
    format!(
        r#"accounts:
  main: {{ region: cn-north-4, credentials: {{ ak: {{ env: PIPECRON_TEST_NOT_SET }}, sk: {{ env: PIPECRON_TEST_NOT_SET }} }} }}
schedules:
  {name}:
    cron: "* * * * * *"
    allow_subminute: true
    project_id: 54f90b75fc1447b1b65e8d3a9f77923d
    pipeline_id: e5460d1d403146a1935c2d4b68ef506c
    description: {description}
  by-hand:
    cron: "@manually"
    project_id: 54f90b75fc1447b1b65e8d3a9f77923d
    pipeline_id: e5460d1d403146a1935c2d4b68ef506c
"#
    )
}

/// A running program and its log. Killed when it is dropped.
struct Daemon {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Daemon {
    fn spawn(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Hears what it says for so long.
    fn hears(&mut self, time: Duration) {
        let end = std::time::Instant::now() + time;
        while let Some(rest) = end.checked_duration_since(std::time::Instant::now())
            && let Ok(line) = self.lines.recv_timeout(rest)
        {
            self.seen.push(line);
        }
    }

    /// The next line that contains all of `words`.
    fn says(&mut self, words: &[&str]) -> String {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let rest = end.saturating_duration_since(std::time::Instant::now());
            let Ok(line) = self.lines.recv_timeout(rest) else {
                panic!("never said {words:?}; said:\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end and gives everything that was said.
    fn ends(mut self) -> (ExitStatus, String) {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let rest = end.saturating_duration_since(std::time::Instant::now());
            match self.lines.recv_timeout(rest) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("did not end; said:\n{}", self.seen.join("\n"))
                }
            }
        }
        (self.child.wait().unwrap(), self.seen.join("\n"))
    }

    fn stop(self) -> (ExitStatus, String) {
        self.signal(Signal::TERM);
        self.ends()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = line
        .find(&format!("{name}=\""))
        .map(|at| at + name.len() + 2)
        .unwrap();
    line[start..].split('"').next().unwrap()
}

#[test]
fn a_run_starts_and_its_id_is_in_the_log_and_in_the_history() {
    let place = Place::new();
    let mut daemon = place.daemon(&["--sandbox"]);
    let line = daemon.says(&["run_id="]);
    for name in ["entry", "tick", "run_id", "pipeline_id", "request_id"] {
        assert!(!field(&line, name).is_empty(), "{line}");
    }
    assert!(line.contains("attempt=1"), "{line}");
    let row = place
        .history()
        .into_iter()
        .find(|row| row["run_id"] == field(&line, "run_id"))
        .unwrap();
    assert_eq!(
        (&row["tick"], &row["entry"]),
        (&field(&line, "tick").into(), &"tick".into())
    );
    assert_eq!(
        (&row["state"], &row["reason"], &row["attempts"]),
        (&"running".into(), &Value::Null, &1.into())
    );
    assert!(row["outcome"].is_null() && row["due"].as_str().unwrap().ends_with('Z'));
    let (status, log) = daemon.stop();
    assert!(
        status.success() && log.contains("SIGTERM from process") && log.contains("stopped"),
        "{log}"
    );
}

#[test]
fn good_reload_bad_reload_stop_and_restart() {
    let place = Place::new();
    let mut daemon = place.daemon(&["--sandbox"]);
    daemon.says(&["run_id="]);
    place.write(&schedules("tock", "second"));
    daemon.signal(Signal::HUP);
    daemon.says(&["entry removed", "entry=\"tick\""]);
    daemon.says(&["entry added", "entry=\"tock\""]);
    daemon.says(&["run_id=", "entry=\"tock\""]);

    place.write(&schedules("tock", "second").replace("allow_subminute", "alow_subminute"));
    daemon.signal(Signal::HUP);
    let problem = daemon.says(&["alow_subminute"]);
    assert!(
        problem.contains("pipecron.yaml:6:5") && problem.contains("allow_subminute"),
        "{problem}"
    );
    daemon.says(&["reload refused"]);
    daemon.says(&["run_id=", "entry=\"tock\""]);

    let (status, _) = daemon.stop();
    assert!(status.success());
    let before = place.history();
    // The files are still broken: the last good set is used, loudly.
    let mut daemon = place.daemon(&["--sandbox"]);
    daemon.says(&["ERROR", "alow_subminute"]);
    daemon.says(&["ERROR", "last good configuration"]);
    daemon.says(&["run_id=", "entry=\"tock\""]);
    daemon.stop();
    let after = place.history();
    assert!(after.len() > before.len());
    let ticks: std::collections::BTreeSet<&str> = after
        .iter()
        .map(|row| row["tick"].as_str().unwrap())
        .collect();
    assert_eq!(ticks.len(), after.len(), "no tick twice");

    let (status, log) = place.daemon(&["--sandbox", "--strict"]).ends();
    assert_eq!(status.code(), Some(1), "{log}");
}

#[test]
fn broken_files_at_the_first_start_are_refused_with_their_places() {
    let place = Place::new();
    place.write("schedules:\n  x:\n    cron: '61 * * * *'\n    timezon: UTC\n");
    let (status, log) = place.daemon(&["--sandbox"]).ends();
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains("pipecron.yaml:3")
            && log.contains("pipecron.yaml:4")
            && log.contains("timezone"),
        "{log}"
    );
    assert!(
        !place.path("ledger.db").exists(),
        "nothing is made before there is something to do"
    );
    let check = place.run(&["check"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(
        text(&check.stderr).contains("61"),
        "{}",
        text(&check.stderr)
    );
}

#[test]
fn a_second_daemon_on_a_ledger_exits_and_names_the_first() {
    let place = Place::new();
    let mut first = place.daemon(&["--sandbox"]);
    first.says(&["run_id="]);
    let (status, log) = place.daemon(&["--sandbox"]).ends();
    assert_eq!(status.code(), Some(1));
    assert!(
        log.contains(&format!("process {}", first.child.id())),
        "{log}"
    );
    // The first keeps its socket, and a command that cannot reach it names it.
    assert!(place.path("c.sock").exists());
    let mut trigger = place.command(&["trigger", "by-hand", "--sandbox"]);
    let trigger = trigger.env("PIPECRON_CONTROL", "off").output().unwrap();
    assert_eq!(trigger.status.code(), Some(1));
    let said = text(&trigger.stderr);
    assert!(
        said.contains(&first.child.id().to_string()) && said.contains("--control"),
        "{said}"
    );
}

#[test]
fn a_rehearsal_never_stands_in_the_real_ledger() {
    let place = Place::new();
    assert!(
        place
            .run(&["trigger", "by-hand", "--sandbox"])
            .status
            .success()
    );
    let (status, log) = place.daemon(&[]).ends();
    assert_eq!(status.code(), Some(1));
    assert!(log.contains("this ledger is the sandbox's"), "{log}");
}

#[test]
fn a_trigger_without_a_daemon_prints_the_run_id_and_writes_it_down() {
    let place = Place::new();
    let output = place.run(&["trigger", "by-hand", "--sandbox", "-v", "MODE=full"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let run_id = text(&output.stdout).trim().to_owned();
    assert_eq!(run_id.len(), 32, "{run_id}");
    let rows = place.history();
    assert_eq!(
        (rows.len(), &rows[0]["run_id"], &rows[0]["origin"]),
        (1, &run_id.as_str().into(), &"manual".into())
    );
    let show = place.run(&["show", rows[0]["tick"].as_str().unwrap()]);
    let story = text(&show.stdout);
    assert!(
        story.contains(&run_id) && story.contains("triggered by hand"),
        "{story}"
    );
    let unknown = place.run(&["trigger", "by-hnd", "--sandbox"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        text(&unknown.stderr).contains("did you mean \"by-hand\""),
        "{}",
        text(&unknown.stderr)
    );
}

#[test]
fn a_dry_run_shows_the_exact_request_and_no_secret() {
    let place = Place::new();
    let output = place.run(&["trigger", "tick", "--dry-run", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let request: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(request["method"], "POST");
    assert_eq!(
        request["url"],
        "https://cloudpipeline-ext.cn-north-4.myhuaweicloud.com/v5/54f90b75fc1447b1b65e8d3a9f77923d/api/pipelines/e5460d1d403146a1935c2d4b68ef506c/run"
    );
    let description = request["body"]["description"].as_str().unwrap();
    assert!(
        description.starts_with("first [pipecron ") && description.ends_with(']'),
        "{description}"
    );
    assert!(request["headers"].is_object());
    assert!(
        !place.path("ledger.db").exists(),
        "a dry run leaves nothing behind"
    );
}

/// A sandbox of its own, an account that leads to it, and entries that are due every second.
fn beside_a_sandbox(place: &Place, arguments: &[&str]) -> (Daemon, String) {
    let mut all = vec!["sandbox", "--listen", "127.0.0.1:0", "--run-duration", "1s"];
    all.extend(arguments);
    let mut sandbox = Daemon::spawn(place.command(&all));
    let line = sandbox.says(&["answers on http://127.0.0.1:"]);
    let url = line
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .unwrap()
        .to_owned();
    std::fs::write(place.path("sk"), "sandbox-secret-key\n").unwrap();
    let mut yaml = format!(
        "accounts:\n  main: {{ endpoint: '{url}', settle: 2s, requests_per_second: 1000, credentials: {{ ak: SANDBOXACCESSKEY0001, sk: {{ file: '{}' }} }} }}\nschedules:\n",
        place.path("sk").display()
    );
    for number in 0..4 {
        yaml.push_str(&format!(
            "  e{number}:\n    cron: '* * * * * *'\n    allow_subminute: true\n    catch_up: all\n    \
             project_id: 54f90b75fc1447b1b65e8d3a9f77923d\n    pipeline_id: e5460d1d403146a1935c2d4b68ef506{number}\n"
        ));
    }
    place.write(&yaml);
    (sandbox, url)
}

/// Every tick that was sent has exactly one run, and every run is in the ledger. Waits until nothing is in doubt.
fn one_run_each(place: &Place, url: &str, daemon: &mut Daemon) {
    // Nothing more is due from here on; what is open comes to its end.
    let yaml = std::fs::read_to_string(place.path("pipecron.yaml")).unwrap();
    place.write(&yaml.replace("'* * * * * *'", "'@yearly'"));
    daemon.signal(Signal::HUP);
    daemon.says(&["configuration reloaded"]);
    let open = |row: &Value| row["state"] != "ended";
    let mut rows = place.history();
    let end = std::time::Instant::now() + 2 * PATIENCE;
    while rows.iter().any(open) {
        assert!(std::time::Instant::now() < end, "still open: {rows:?}");
        // Each change of a tick is a line; when all are at their ends there are none to wait for.
        daemon.says(&["tick="]);
        rows = place.history();
    }
    let answer: Value = serde_json::from_str(&get(&format!("{url}/sandbox/runs"))).unwrap();
    let runs = answer
        .as_array()
        .or_else(|| answer["runs"].as_array())
        .unwrap();
    let mut started: Vec<&str> = runs
        .iter()
        .map(|run| run["description"].as_str().unwrap())
        .collect();
    started.sort_unstable();
    let count = started.len();
    started.dedup();
    assert_eq!(started.len(), count, "no tick has two runs");
    let of_rows = rows.iter().filter_map(|row| row["run_id"].as_str());
    let mut known: Vec<&str> = of_rows.collect();
    known.sort_unstable();
    let mut there: Vec<&str> = runs.iter().map(|run| run["id"].as_str().unwrap()).collect();
    there.sort_unstable();
    assert_eq!(known, there, "every run is in the ledger, and nothing else");
    // One may have a run that was not sent by this life of the ledger.
    let sent = rows.iter().filter(|row| row["attempts"] != 0);
    for row in sent {
        assert!(row["run_id"].is_string(), "sent, and without a run: {row}");
    }
    let good = ["succeeded", "started", "missed"];
    for row in &rows {
        assert!(good.iter().any(|reason| row["reason"] == *reason), "{row}");
    }
}

#[test]
fn lost_answers_and_refusals_leave_one_run_each() {
    let place = Place::new();
    let faults = [
        "lost=reset,on=run,chance=0.3",
        "status=503,on=run,chance=0.1",
        "status=429,on=run,chance=0.1",
    ];
    let arguments: Vec<&str> = faults.iter().flat_map(|fault| ["--fault", fault]).collect();
    let (_sandbox, url) = beside_a_sandbox(&place, &arguments);
    let mut daemon = place.daemon(&[]);
    for _ in 0..20 {
        daemon.says(&["run_id="]);
    }
    one_run_each(&place, &url, &mut daemon);
}

/// What a GET on loopback answers.
fn get(url: &str) -> String {
    request("GET", url)
}

fn request(method: &str, url: &str) -> String {
    try_request(method, url).unwrap()
}

fn try_request(method: &str, url: &str) -> std::io::Result<String> {
    use std::io::{Read, Write};
    let (host, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut stream = std::net::TcpStream::connect(host)?;
    write!(stream, "{method} /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[test]
fn json_lines_and_daily_files_hold_the_same_and_are_whole_at_exit() {
    let place = Place::new();
    let logs = place.path("logs");
    let mut daemon = place.daemon(&[
        "--sandbox",
        "--log-format",
        "json",
        "--log-dir",
        logs.to_str().unwrap(),
    ]);
    let line = daemon.says(&["run_id"]);
    let parsed: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&parsed["entry"], &parsed["attempt"]),
        (&"tick".into(), &1.into())
    );
    let (_, log) = daemon.stop();
    // Each of the two stamps a line itself.
    let told = |text: &str| -> Vec<Value> {
        let without_stamp = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("timestamp").unwrap();
            line
        };
        text.lines().map(without_stamp).collect()
    };
    let file = std::fs::read_to_string(only_file(&logs)).unwrap();
    assert_eq!(told(&file), told(&log));
    assert_eq!(told(&log).last().unwrap()["message"], "stopped");
}

fn only_file(directory: &Path) -> PathBuf {
    let files: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|item| item.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let mut daemon = place.daemon(&["--sandbox"]);
    for _ in 0..3 {
        daemon.says(&["run_id="]);
    }
    daemon.stop();
    let mut history = place
        .command(&["history", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(history.stdout.take());
    let output = history.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn next_of_a_pattern_prints_what_scripts_expect() {
    let place = Place::new();
    let next = |arguments: &[&str]| {
        let mut all = vec!["next", "--json", "--at", "2027-03-27T12:00:00Z"];
        all.extend(arguments);
        let output = place.run(&all);
        (
            output.status.code(),
            serde_json::from_slice::<Value>(&output.stdout).unwrap(),
        )
    };
    let (code, answer) = next(&[
        "--cron",
        "30 2 * * *",
        "--timezone",
        "Europe/Berlin",
        "-n",
        "2",
    ]);
    assert_eq!(code, Some(0));
    assert_eq!(
        answer,
        serde_json::json!({ "next": ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"] })
    );
    let (code, answer) = next(&["--cron", "-1 * * * *"]);
    assert_eq!(
        (code, &answer["error"]["field"]),
        (Some(1), &"minute".into())
    );
    assert!(
        answer["error"]["message"].is_string() && answer["error"]["span"].is_array(),
        "{answer}"
    );
    let (code, answer) = next(&["--cron", "* * * * *", "--timezone", "Europe/Berln"]);
    assert_eq!(code, Some(1));
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Europe/Berlin"),
        "{answer}"
    );
}

/// The daily log files in a directory, each with its text.
fn log_files(directory: &Path) -> Vec<(PathBuf, String)> {
    let files = std::fs::read_dir(directory).unwrap();
    files
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn log_files_are_for_the_user_and_the_group_alone() {
    use std::os::unix::fs::PermissionsExt;
    for (umask, mode) in [("000", 0o640), ("077", 0o600)] {
        let place = Place::new();
        let mut command = place.command(&[]);
        let run = place.command(&["trigger", "by-hand", "--sandbox", "--log-dir", "logs"]);
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &script])
            .arg(command.get_program())
            .args(run.get_args())
            .current_dir(place.path("."));
        for (name, value) in command.arg("").get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let files = log_files(&place.path("logs"));
        let [(path, log)] = files.as_slice() else {
            panic!("{files:?}");
        };
        assert!(log.contains("run_id="), "{log}");
        let permissions = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(permissions(path), mode, "umask {umask}");
        assert_eq!(permissions(&place.path("logs")) & 0o027, 0, "umask {umask}");
    }
}

#[test]
fn old_log_files_go_unless_all_are_to_be_kept() {
    for (keep, left) in [("0", 4), ("2", 2)] {
        let place = Place::new();
        let logs = place.path("logs");
        std::fs::create_dir(&logs).unwrap();
        for day in 1..=3 {
            std::fs::write(logs.join(format!("pipecron.2026-01-0{day}.log")), "old\n").unwrap();
        }
        let arguments = [
            "trigger",
            "by-hand",
            "--sandbox",
            "--keep-logs",
            keep,
            "--log-dir",
        ];
        let output = place.command(&arguments).arg(&logs).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(log_files(&logs).len(), left, "--keep-logs {keep}");
    }
}

#[test]
fn a_file_that_ends_in_the_middle_of_a_line_is_gone_on_with_on_a_new_one() {
    let place = Place::new();
    let logs = place.path("logs");
    let once = || {
        let mut command = place.command(&["trigger", "by-hand", "--sandbox", "--log-dir"]);
        let output = command.arg(&logs).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    once();
    let (path, mut log) = log_files(&logs).swap_remove(0);
    log.truncate(log.len() - 5);
    std::fs::write(&path, &log).unwrap();
    once();
    let files = log_files(&logs);
    // At midnight the second run has a file of its own.
    let whole = files
        .iter()
        .map(|(_, text)| text.as_str())
        .collect::<String>();
    assert!(whole.starts_with(&format!("{log}\n")), "{whole}");
}

/// The log directory on a small disk of its own, which the daemon mounts for itself: it goes away with it.
fn on_a_small_disk(place: &Place) -> Option<Command> {
    let logs = place.path("logs");
    std::fs::create_dir(&logs).unwrap();
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command.arg("--mount");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        let mount = format!("mount -t tmpfs -o size=64k none \"$1\" && {script}");
        command.args(["sh", "-c", &mount, "sh"]).arg(&logs);
        command
    };
    let tried = unshare("true").output();
    if !tried.as_ref().is_ok_and(|tried| tried.status.success()) {
        // Seen only with --nocapture, so the reason stands there whole.
        eprintln!("NOT TRIED: a full log disk, as no small one can be mounted here: {tried:?}");
        return None;
    }
    let inner = place.command(&["daemon", "--sandbox", "--log-dir"]);
    let mut command = unshare("shift && exec \"$@\"");
    command
        .arg(inner.get_program())
        .args(inner.get_args())
        .arg(&logs);
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(command)
}

#[test]
fn a_full_log_disk_costs_lines_that_are_counted_and_nothing_else() {
    let place = Place::new();
    let Some(command) = on_a_small_disk(&place) else {
        return;
    };
    let mut daemon = Daemon::spawn(command);
    daemon.says(&["run_id="]);
    // The disk is the daemon's own, and its root shows it.
    let root = format!("/proc/{}/root", daemon.child.id());
    let logs = Path::new(&root).join(place.path("logs").strip_prefix("/").unwrap());
    let filler = logs.join("filler");
    let mut fill = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut fill, &[0; 512]).is_ok() {}
    daemon.says(&["ERROR", "cannot write to the log files in", "No space left"]);
    daemon.says(&["run_id="]);
    daemon.says(&["run_id="]);
    std::fs::remove_file(&filler).unwrap();
    drop(fill);
    let again = daemon.says(&["WARN", "can be written to again", "lost since 20"]);
    let lost: usize = again
        .split("lines=")
        .nth(1)
        .and_then(|rest| rest.trim().parse().ok())
        .unwrap();
    daemon.says(&["run_id="]);
    std::fs::remove_file(filler).unwrap_err();
    let files = log_files(&logs);
    let [(_, log)] = files.as_slice() else {
        panic!("{files:?}");
    };
    for line in log.lines() {
        let levels = [" INFO ", " WARN ", "ERROR "].map(|level| line.matches(level).count());
        assert!(
            line.starts_with("20") && levels.iter().sum::<usize>() <= 1,
            "one line is one line: {line:?}"
        );
    }
    // What stderr has and the file has not is what was counted; one torn line may stand in both.
    let written = log.lines().count();
    let (status, said) = daemon.stop();
    assert!(status.success(), "{said}");
    assert!(lost >= 2, "{again}");
    let said_then = said.lines().position(|line| *line == again).unwrap();
    let in_file = log
        .lines()
        .position(|line| line.contains("can be written to again"));
    let missing = said_then - in_file.unwrap_or(written).min(said_then);
    assert!(
        lost == missing || lost == missing + 1,
        "{lost} counted, {missing} missing\n{said}\nin the file\n{log}"
    );
    assert!(
        said.contains(&format!("{lost} lines were lost since the start")),
        "{said}"
    );
}

#[test]
fn the_past_is_shown_in_the_zone_of_its_entry_beside_utc() {
    let place = Place::new();
    let zoned = schedules("tick", "first").replace(
        "    project_id",
        "    timezone: Asia/Shanghai\n    project_id",
    );
    place.write(&zoned);
    let mut daemon = place.daemon(&["--sandbox"]);
    let line = daemon.says(&["run_id="]);
    daemon.stop();
    let tick = field(&line, "tick");
    let due: chrono::DateTime<chrono::Utc> = tick.split_once('@').unwrap().1.parse().unwrap();
    let local = (due + chrono::TimeDelta::hours(8)).format("%a %Y-%m-%d %H:%M:%S");
    // The ledger keeps the configuration, so its files may be gone.
    std::fs::remove_file(place.path("pipecron.yaml")).unwrap();
    let table = text(&place.run(&["history", "tick"]).stdout);
    let row = table.lines().find(|row| row.starts_with(tick)).unwrap();
    assert!(
        row.contains(&format!("  {local} Asia/Shanghai  ")),
        "{table}"
    );
    assert!(
        table.starts_with("TICK ") && table.contains(" LOCAL TIME "),
        "{table}"
    );
    let story = text(&place.run(&["show", tick]).stdout);
    let shown = format!(
        "due       {}  {local} Asia/Shanghai\n",
        due.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    );
    assert!(story.contains(&shown), "{story}\nhas not\n{shown}");
    let json = text(&place.run(&["show", tick, "--json"]).stdout);
    assert!(!json.contains("Shanghai"), "{json}");
    // Somebody who asks for one zone gets it for all.
    let berlin = text(
        &place
            .run(&["history", "--timezone", "Europe/Berlin"])
            .stdout,
    );
    assert!(
        berlin.contains("Europe/Berlin") && !berlin.contains("Shanghai"),
        "{berlin}"
    );
}

#[test]
fn a_name_that_nobody_knows_is_an_error_and_one_without_ticks_is_not() {
    let place = Place::new();
    let mut daemon = place.daemon(&["--sandbox"]);
    let line = daemon.says(&["run_id="]);
    daemon.stop();
    let fails = |arguments: &[&str], words: &[&str]| {
        let output = place.run(arguments);
        let said = text(&output.stderr);
        let told = words.iter().all(|word| said.contains(word));
        assert!(
            output.status.code() == Some(1) && told,
            "{arguments:?}: {said}"
        );
    };
    fails(
        &["history", "tikc"],
        &["there is no entry \"tikc\"", "did you mean tick?"],
    );
    fails(
        &["history", "nope"],
        &["there is no entry \"nope\"", "neither the ledger nor"],
    );
    fails(&["history", "no such name!"], &["there is no entry"]);
    let none = place.run(&["history", "by-hand"]);
    assert!(none.status.success() && none.stdout.is_empty());
    assert!(text(&none.stderr).ends_with("this is what the ledger knows\nno ticks\n"));
    fails(
        &["show", "nope"],
        &["there is no tick \"nope\"", "`pipecron history`"],
    );
    fails(
        &["show", "tick"],
        &["did you mean tick@20", "`pipecron history tick`"],
    );
    let tick = field(&line, "tick");
    fails(
        &["show", &tick[..tick.len() - 1]],
        &["did you mean tick@20"],
    );
    fails(
        &["history", "--since", "1d", "--until", "2d"],
        &["is not before"],
    );
    let since = place.run(&["history", "--since", "1h", "--json"]);
    assert!(since.status.success() && !since.stdout.is_empty());
    let before = place.run(&["history", "--until", "1h", "--json"]);
    assert!(before.status.success() && before.stdout.is_empty());
}
