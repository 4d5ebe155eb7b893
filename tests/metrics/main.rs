//! The metrics as others meet them: the README's table, the rules and the dashboard in `contrib`, and, where `promtool` is,
//! what Prometheus itself says of the page and the rules.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Once;
use std::time::Duration;

use chrono::TimeDelta;
use pipecron::config::{Config, SourceFile, World, parse};
use pipecron::domain::{AccountName, AnswerKind, EntryName, Origin, Reason, Timestamp};
use pipecron::os::zones::Zones;
use pipecron::telemetry::metrics::{
    FAMILIES, Form, Kind, Metrics, Outside, Process, Source, Stands,
};
use serde_json::Value;

fn now() -> Timestamp {
    "2026-11-25T00:00:00Z".parse().unwrap()
}

fn config() -> (Config, SourceFile) {
    let text = "accounts:\n  main: { region: cn-north-4, max_running: 3 }\nschedules:\n  nightly:\n    cron: '0 2 * * *'\n    \
                project_id: 54f90b75fc1447b1b65e8d3a9f77923d\n    pipeline_id: e5460d1d403146a1935c2d4b68ef506c\n";
    let zones = Zones::built_in();
    let names = zones.names();
    let world = World {
        zone: &|name| zones.get(name),
        zone_names: &names,
        now: now(),
    };
    let file = SourceFile {
        path: "a.yaml".to_owned(),
        text: text.to_owned(),
    };
    let loaded = parse(std::slice::from_ref(&file), &world);
    (loaded.config.unwrap(), file)
}

/// Everything there is, each with a number.
fn full() -> Metrics {
    let (config, file) = config();
    let metrics = Metrics::default();
    metrics.use_config(&config);
    metrics.loaded(now(), &[file], Source::Files);
    let main = AccountName::parse("main").unwrap();
    metrics.woke(now());
    metrics.opened(Origin::Scheduled);
    metrics.left(TimeDelta::milliseconds(12));
    metrics.left(TimeDelta::days(2));
    metrics.left(TimeDelta::seconds(-3));
    metrics.attempted(&main, &AnswerKind::Busy);
    let queued = AnswerKind::Started {
        run_id: "8ab1".to_owned(),
        queue_id: Some("7".to_owned()),
    };
    metrics.attempted(&main, &queued);
    metrics.asked(&main, "RunPipeline", Duration::from_millis(80));
    metrics.token(&main, Some(now()));
    metrics.skew(&main, TimeDelta::milliseconds(-1500));
    metrics.throttled(&main);
    let stands = Stands {
        is_broken: true,
        is_refused: false,
        rests_until: Some(now() + TimeDelta::seconds(1)),
    };
    metrics.stands(&main, stands);
    metrics.stored(Duration::from_millis(3));
    metrics.reload_refused();
    let nightly = EntryName::parse("nightly").unwrap();
    metrics.remembered(&nightly, Some(now()), [Reason::Skipped, Reason::Failed]);
    metrics
}

/// A text that would break a page in three ways.
const HOSTILE: &str = "a\"b\\c\nd";

fn outside() -> Outside {
    Outside {
        now: now(),
        version: "0.1.0".to_owned(),
        tzdata: HOSTILE.to_owned(),
        pauses: Vec::new(),
        lines_lost: 4,
        process: Process {
            started_at: Some(now()),
            cpu_seconds: Some(1.5),
            resident_bytes: Some(5_000_000),
            open_fds: Some(12),
            max_fds: Some(1024),
        },
    }
}

fn page(form: Form) -> String {
    full().page(form, outside())
}

#[test]
fn every_metric_of_the_list_is_on_the_page_and_no_other() {
    let page = page(Form::Prometheus);
    let typed = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let found: Vec<(&str, &str)> = typed.map(|line| line.split_once(' ').unwrap()).collect();
    let listed = FAMILIES
        .iter()
        .map(|family| (family.name, family.kind.name()));
    assert_eq!(found, listed.collect::<Vec<_>>());
    for family in FAMILIES {
        let series = page.lines().find(|line| {
            let rest = line.strip_prefix(family.name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
        });
        let series = series.unwrap_or_else(|| panic_for(family.name, &page));
        for label in family.labels {
            assert!(series.contains(&format!("{label}=\"")), "{series}");
        }
        let ends_well = match family.kind {
            Kind::Counter => family.name.ends_with("_total"),
            Kind::Gauge => !family.name.ends_with("_total"),
            Kind::Histogram => family.name.ends_with("_seconds"),
        };
        assert!(ends_well, "{}", family.name);
        assert!(family.help.ends_with('.'), "{}", family.help);
    }
}

#[expect(clippy::panic, reason = "a test says what is wrong by failing")]
fn panic_for(name: &str, page: &str) -> &'static str {
    panic!("{name} has no series in\n{page}")
}

#[test]
fn numbers_and_labels_are_written_as_they_should_be() {
    let page = page(Form::Prometheus);
    for line in [
        "pipecron_build_info{version=\"0.1.0\",tzdata=\"a\\\"b\\\\c\\nd\"} 1",
        "pipecron_start_lateness_seconds_bucket{le=\"0.005\"} 1",
        "pipecron_start_lateness_seconds_bucket{le=\"0.025\"} 2",
        "pipecron_start_lateness_seconds_bucket{le=\"21600\"} 2",
        "pipecron_start_lateness_seconds_bucket{le=\"+Inf\"} 3",
        "pipecron_start_lateness_seconds_count 3",
        "pipecron_start_lateness_seconds_sum 172800.012",
        "pipecron_attempts_total{account=\"main\",class=\"queued\"} 1",
        "pipecron_attempts_total{account=\"main\",class=\"started\"} 0",
        "pipecron_account_clock_skew_seconds{account=\"main\"} -1.5",
        "pipecron_account_resting{account=\"main\"} 1",
        "pipecron_entry_last_end_success{entry=\"nightly\"} 0",
        "pipecron_entry_next_due_timestamp_seconds{entry=\"nightly\"} 1795572000.0",
        "pipecron_log_lines_lost_total 4",
        "pipecron_reloads_total{result=\"refused\"} 1",
        "process_cpu_seconds_total 1.5",
    ] {
        assert!(
            page.lines().any(|is| is == line),
            "{line} is not in\n{page}"
        );
    }
    // The rest is over.
    let later = Outside {
        now: now() + TimeDelta::seconds(1),
        ..outside()
    };
    let page = full().page(Form::Prometheus, later);
    assert!(page.contains("pipecron_account_resting{account=\"main\"} 0\n"));
}

#[test]
fn a_hash_tells_configurations_apart_and_shows_nothing_of_them() {
    let hash = |text: &str, path: &str| {
        let metrics = Metrics::default();
        let file = SourceFile {
            path: path.to_owned(),
            text: text.to_owned(),
        };
        metrics.loaded(now(), &[file], Source::Ledger);
        let page = metrics.page(Form::Prometheus, outside());
        assert!(page.contains("pipecron_config_from_ledger 1\n"));
        assert!(page.contains("pipecron_config_last_reload_successful 0\n"));
        let line = page
            .lines()
            .find(|line| line.starts_with("pipecron_config_info{"));
        line.unwrap().to_owned()
    };
    assert_eq!(hash("a: 1", "x.yaml"), hash("a: 1", "y.yaml"));
    assert_ne!(hash("a: 1", "x.yaml"), hash("a: 2", "x.yaml"));
    assert_eq!(
        hash("a: 1", "x.yaml").len(),
        "pipecron_config_info{hash=\"0123456789abcdef\"} 1".len()
    );
}

#[test]
fn the_form_is_the_one_that_the_reader_likes_best() {
    for (accept, form) in [
        ("", Form::Prometheus),
        ("*/*", Form::Prometheus),
        ("text/plain", Form::Prometheus),
        (
            "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
            Form::Prometheus,
        ),
        (
            "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            Form::OpenMetrics,
        ),
        (
            "application/openmetrics-text; version=1.0.0; q=0.1, text/plain; q=0.5",
            Form::Prometheus,
        ),
        ("application/openmetrics-text;q=0", Form::Prometheus),
        ("application/openmetrics-text;q=x", Form::Prometheus),
    ] {
        assert_eq!(Form::wanted(accept), form, "{accept}");
    }
}

#[test]
fn open_metrics_ends_as_it_has_to() {
    let page = page(Form::OpenMetrics);
    assert!(page.ends_with("\n# EOF\n"), "{page}");
    assert!(page.contains("# TYPE pipecron_ticks_ended counter\n"));
    assert!(page.contains("pipecron_ticks_ended_total{reason=\"failed\"} 0\n"));
    assert!(page.contains("tzdata=\"a\\\"b\\\\c\\nd\""), "{page}");
}

/// The rows of the README's table.
fn table() -> String {
    let rows = FAMILIES.iter().map(|family| {
        let labels: Vec<String> = family
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        format!(
            "| `{}` | {} | {} | {} |\n",
            family.name,
            family.kind.name(),
            labels.join(", "),
            family.help.trim_end_matches('.'),
        )
    });
    rows.collect()
}

#[test]
fn the_table_in_the_readme_is_the_list_in_the_code() {
    let readme = fs::read_to_string("README.md").unwrap();
    let (_, section) = readme.split_once("\n## Metrics\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rows: String = rows.map(|row| format!("{row}\n")).collect();
    assert_eq!(rows, table(), "the README's table should be\n{}", table());
}

/// The words in a text that look like metrics.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("pipecron_") || word.starts_with("process_"))
        .map(|word| {
            let parts = ["_bucket", "_sum", "_count"];
            let base = parts.iter().find_map(|part| word.strip_suffix(part));
            base.unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn what_contrib_asks_for_exists() {
    let known: BTreeSet<String> = FAMILIES
        .iter()
        .map(|family| family.name.to_owned())
        .collect();
    let mut used = BTreeSet::new();
    for file in [
        "contrib/prometheus/alerts.yml",
        "contrib/prometheus/alerts.test.yml",
        "contrib/grafana/pipecron.json",
    ] {
        let found = metrics_in(&fs::read_to_string(file).unwrap());
        assert!(found.len() > 10, "{file}: {found:?}");
        let unknown: Vec<_> = found.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
        used.extend(found);
    }
    let unused: Vec<_> = known.difference(&used).collect();
    assert!(unused.is_empty(), "nobody looks at {unused:?}");
}

#[test]
fn the_dashboard_is_one_that_grafana_can_import() {
    let text = fs::read_to_string("contrib/grafana/pipecron.json").unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let rows = panels.iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<&str> = rows.map(|row| row["title"].as_str().unwrap()).collect();
    assert_eq!(rows, ["Last night", "Starts", "API", "Accounts", "Daemon"]);
    let ids: BTreeSet<u64> = panels
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), panels.len(), "each has an id of its own");
    let mut places: BTreeSet<(u64, u64)> = BTreeSet::new();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{target}");
        }
        let at = &panel["gridPos"];
        let number = |key: &str| at[key].as_u64().unwrap();
        assert!(number("x") + number("w") <= 24, "{panel}");
        for x in number("x")..number("x") + number("w") {
            for y in number("y")..number("y") + number("h") {
                assert!(places.insert((x, y)), "{} lies on another", panel["title"]);
            }
        }
    }
    let variable = &dashboard["templating"]["list"][0];
    assert_eq!(
        (&variable["name"], &variable["type"]),
        (&"datasource".into(), &"datasource".into())
    );
}

/// `promtool`, if this machine has it; else that is said on the last lines of the run.
fn promtool() -> Option<PathBuf> {
    static SAID: Once = Once::new();
    let path = pipecron::os::variable("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("promtool"))
        .find(|file| file.is_file());
    if found.is_none() {
        // Past the capture of what tests print: whoever reads the end of the run has to see it.
        SAID.call_once(|| {
            let line = b"NOT TESTED: the metrics and alert rules with Prometheus' own eyes, for there is no promtool here (Debian: apt-get \
                         install prometheus)\n";
            std::io::stderr().write_all(line).unwrap();
        });
    }
    found
}

fn ran(mut command: Command, input: &str) -> Output {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn assert_content(output: &Output) {
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
}

#[test]
fn prometheus_reads_the_page() {
    let Some(promtool) = promtool() else {
        return;
    };
    let check = |page: &str| {
        let mut command = Command::new(&promtool);
        command.args(["check", "metrics"]);
        ran(command, page)
    };
    assert_content(&check(&page(Form::Prometheus)));
    assert!(!check("pipecron_x{a=\"b\" 1\n").status.success());
}

#[test]
fn prometheus_takes_the_rules_and_they_fire_when_they_should() {
    let Some(promtool) = promtool() else {
        return;
    };
    for (verb, file) in [("check", "alerts.yml"), ("test", "alerts.test.yml")] {
        let mut command = Command::new(&promtool);
        command
            .args([verb, "rules", file])
            .current_dir("contrib/prometheus");
        assert_content(&ran(command, ""));
    }
}
