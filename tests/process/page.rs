//! The built binary's status page: where it is, who gets it, and that nothing depends on it.

use super::*;

/// Where a daemon says that its page is.
fn page_of(daemon: &mut Daemon) -> String {
    let line = daemon.says(&["the status page is at http://127.0.0.1:"]);
    let url = line.split_whitespace().last().unwrap();
    url.trim_end_matches('/').to_owned()
}

#[test]
fn what_ran_and_what_is_paused_stands_on_the_page() {
    let place = Place::new();
    place.write(&schedules("every-second", "nightly"));
    let mut daemon = place.daemon(&["--sandbox", "--listen", "127.0.0.1:0"]);
    let url = page_of(&mut daemon);
    daemon.says(&["run_id="]);
    let page = get(&format!("{url}/"));
    assert!(
        page.contains("<a href=\"/entry/every-second\">every-second</a>"),
        "{page}"
    );
    assert!(
        page.contains("1 nightly of the last 24 hours") || page.contains("one nightly"),
        "{page}"
    );
    assert!(page.contains("only by hand"), "{page}");
    assert!(get(&format!("{url}/entry/every-second")).contains("* * * * * *"));
    assert_eq!(get(&format!("{url}/readyz")), "ok\n");

    let paused = place.run(&[
        "pause",
        "every-second",
        "--sandbox",
        "--reason",
        "a <release>",
    ]);
    assert!(paused.status.success(), "{}", text(&paused.stderr));
    // What was seen a moment ago is shown again for a second.
    let start = std::time::Instant::now();
    loop {
        let page = get(&format!("{url}/"));
        if page.contains("a &#60;release&#62;") && page.contains("when it is resumed") {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "never paused: {page}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (status, log) = daemon.stop();
    assert!(status.success(), "{log}");
    let at = url.strip_prefix("http://").unwrap();
    assert!(
        std::net::TcpStream::connect(at).is_err(),
        "nobody listens any more"
    );
}

#[test]
fn a_port_that_is_taken_or_a_token_that_is_none_costs_the_page_and_no_nightly() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    place.write(&schedules("every-second", "nightly"));
    let mut daemon = place.daemon(&["--sandbox", "--listen", &address]);
    daemon.says(&["there is no status page: cannot listen on", "--listen off"]);
    daemon.says(&["run_id="]);
    // It gets the port when it is free.
    drop(taken);
    assert!(get(&format!("{}/", page_of(&mut daemon))).contains("every-second"));
    daemon.stop();

    std::fs::write(place.path("token"), "short\n").unwrap();
    let token = place.path("token").display().to_string();
    let with_token = [
        "--sandbox",
        "--listen",
        "127.0.0.1:0",
        "--listen-token-file",
        &token,
    ];
    let mut daemon = place.daemon(&with_token);
    daemon.says(&[
        "there is no status page",
        "it has 5 characters, and takes at least 20",
    ]);
    daemon.says(&["run_id="]);
    daemon.stop();

    std::fs::write(place.path("token"), "a-token-of-more-than-20-characters\n").unwrap();
    let mut daemon = place.daemon(&with_token);
    let url = page_of(&mut daemon);
    assert!(get(&format!("{url}/")).contains("the token is needed"));
    daemon.stop();
}

#[test]
fn other_machines_get_no_page_without_a_token() {
    let place = Place::new();
    place.write(&schedules("every-second", "nightly"));
    let output = place.run(&["daemon", "--sandbox", "--listen", "0.0.0.0:0"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--listen-token-file"), "{said}");
    let output = place.run(&["daemon", "--sandbox", "--listen", "nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("127.0.0.1:8717"),
        "{}",
        text(&output.stderr)
    );
}

/// A number on a page of metrics.
fn number(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series));
    line.and_then(|value| value.trim().parse().ok())
}

/// Scrapes until `is_there`.
fn scraped(url: &str, is_there: impl Fn(&str) -> bool) -> String {
    let start = std::time::Instant::now();
    loop {
        let page = get(&format!("{url}/metrics"));
        if is_there(&page) {
            return page;
        }
        assert!(start.elapsed() < PATIENCE, "never came: {page}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn prometheus_scrapes_what_ran_and_what_was_reloaded() {
    let place = Place::new();
    place.write(&schedules("every-second", "nightly"));
    let mut daemon = place.daemon(&["--sandbox", "--listen", "127.0.0.1:0"]);
    let url = page_of(&mut daemon);
    daemon.says(&["run_id="]);
    let started = "pipecron_attempts_total{account=\"main\",class=\"started\"}";
    let page = scraped(&url, |page| {
        number(page, started).is_some_and(|count| count >= 1.0)
    });
    let at_least_one = [
        "pipecron_ticks_opened_total{origin=\"scheduled\"}",
        "pipecron_start_lateness_seconds_count",
        "pipecron_ledger_commit_duration_seconds_count",
        "pipecron_api_request_duration_seconds_count{account=\"main\",call=\"RunPipeline\"}",
        "pipecron_wakes_total",
        "pipecron_config_last_reload_successful",
        "process_cpu_seconds_total",
    ];
    for series in at_least_one {
        assert!(
            number(&page, series).is_some_and(|count| count > 0.0),
            "{series}: {page}"
        );
    }
    assert_eq!(number(&page, "pipecron_config_from_ledger"), Some(0.0));
    assert_eq!(number(&page, "pipecron_log_lines_lost_total"), Some(0.0));
    assert!(
        page.contains("pipecron_build_info{version=\"0.1.0\",tzdata=\""),
        "{page}"
    );
    // The service's clock is this machine's, and its answers tell.
    let skew = number(
        &page,
        "pipecron_account_clock_skew_seconds{account=\"main\"}",
    );
    assert!(skew.is_some_and(|skew| skew.abs() < 60.0), "{page}");

    place.write("schedules: [broken");
    let reloaded = place.run(&["reload", "--sandbox"]);
    assert_eq!(reloaded.status.code(), Some(1));
    let refused = "pipecron_reloads_total{result=\"refused\"}";
    let page = scraped(&url, |page| number(page, refused) == Some(1.0));
    assert_eq!(
        number(&page, "pipecron_config_last_reload_successful"),
        Some(0.0)
    );
    daemon.stop();

    // A start with broken files runs on what the ledger kept, and says so.
    let mut daemon = place.daemon(&["--sandbox", "--listen", "127.0.0.1:0"]);
    let url = page_of(&mut daemon);
    let page = scraped(&url, |page| {
        number(page, "pipecron_wakes_total") > Some(0.0)
    });
    assert_eq!(
        number(&page, "pipecron_config_from_ledger"),
        Some(1.0),
        "{page}"
    );
    assert_eq!(
        number(&page, "pipecron_config_last_reload_successful"),
        Some(0.0)
    );
    daemon.stop();
}
