//! The runs that there are, against what was written down and said of them.

use serde_json::Value;

use super::{Daemon, Place, get, one_run_each};

/// A run in the sandbox.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: String,
    /// What its marker says: the ledger and the tick.
    pub(crate) ledger: String,
    pub(crate) tick: String,
}

/// The runs that there are.
pub(crate) fn runs(url: &str) -> Vec<Run> {
    let answer: Value = serde_json::from_str(&get(&format!("{url}/sandbox/runs"))).unwrap();
    let run = |run: &Value| {
        let description = run["description"].as_str().unwrap();
        let marker = description.rsplit_once("[pipecron ").unwrap().1;
        let (ledger, tick) = marker.trim_end_matches(']').split_once(' ').unwrap();
        Run {
            id: run["id"].as_str().unwrap().to_owned(),
            ledger: ledger.to_owned(),
            tick: tick.to_owned(),
        }
    };
    answer.as_array().unwrap().iter().map(run).collect()
}

/// No tick has two runs, whichever ledger it is of.
#[track_caller]
pub(crate) fn assert_no_tick_twice(runs: &[Run]) {
    let mut ticks: Vec<&str> = runs.iter().map(|run| run.tick.as_str()).collect();
    ticks.sort_unstable();
    let twice: Vec<_> = ticks.windows(2).filter(|two| two[0] == two[1]).collect();
    assert_eq!(twice, Vec::<&[&str]>::new(), "no tick has two runs");
}

/// Every run that there is was written down, at least that it was sent: nothing leaves that is not recorded (P3).
#[track_caller]
pub(crate) fn assert_all_recorded(place: &Place, url: &str) {
    // Asked first: what is sent after it is not looked at.
    let runs = runs(url);
    let rows = place.history();
    for run in runs {
        let row = rows.iter().find(|row| row["tick"] == run.tick.as_str());
        assert!(
            row.is_some_and(|row| row["attempts"] != 0),
            "{run:?} is not recorded: {row:?}"
        );
    }
}

/// As `one_run_each`, and every run is in the log as well, of which `log` is what earlier lives said (P10). Gives how many
/// rows and how many runs there are.
#[track_caller]
pub(crate) fn one_run_each_and_in_the_log(
    place: &Place,
    url: &str,
    mut daemon: Daemon,
    log: &str,
) -> (usize, usize) {
    one_run_each(place, url, &mut daemon);
    let runs = runs(url);
    assert_no_tick_twice(&runs);
    let (status, last) = daemon.stop();
    assert!(status.success(), "{last}");
    for Run { id, tick, .. } in &runs {
        let is_said = |log: &str| {
            log.lines()
                .any(|line| line.contains(id) && line.contains(tick))
        };
        assert!(
            is_said(log) || is_said(&last),
            "run {id} of {tick} is not in the log:\n{log}\n{last}"
        );
    }
    (place.history().len(), runs.len())
}
