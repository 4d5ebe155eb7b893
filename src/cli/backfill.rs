//! `backfill` and `replay`: runs for due times that have passed. The daemon opens the ticks, one after another; here it is
//! decided which, and a person is asked first.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use chrono::SecondsFormat;
use serde_json::Value;

use super::ask::{self, Asked, reason};
use super::daemon::events;
use super::moment::{Meant, Moment, Towards, fixed_moment, moment};
use super::trigger::follow;
use super::{Common, count, form, load, stderr, stdout};
use crate::config::shown;
use crate::control::TriggerBody;
use crate::daemon::Event;
use crate::domain::{
    Entry, EntryName, Overlap, Reason, Tick, TickId, TickState, Timestamp, rfc3339,
};
use crate::ledger::{HistoryQuery, Ledger, SqliteLedger};
use crate::os::Clock;

/// Most runs that one command starts.
const RUNS_MAX: usize = 1_000;
/// Most ticks that are looked through for what went wrong.
const ROWS_MAX: u32 = 10_000;
/// Somebody pressed Ctrl-C.
const STOPPED: u8 = 130;

const CODES: &str = "Exit codes: 0 all were started, and those that were waited for ended well, or there was nothing to do; 1 something is \
                     wrong, or somebody said no; 130 stopped in between: what was started goes on in the daemon.";

/// How it is done.
#[derive(Debug, clap::Args)]
struct How {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Also those for which a run was started already, which are left out otherwise
    #[arg(long)]
    again: bool,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Print one JSON object a line: each tick as it stands when it is gone on from
    #[arg(long)]
    json: bool,
}

/// Arguments of `backfill`.
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(super) struct BackfillOptions {
    /// The entry
    #[arg(value_name = "ENTRY")]
    entry: String,
    /// The first due time, or before it: an instant (2026-11-24T18:00:00Z), or a day (its start) or a date and time in the entry's zone
    #[arg(long, value_name = "T", value_parser = fixed_moment, allow_hyphen_values = true)]
    from: Moment,
    /// The last due time, or after it: a time as for --from
    #[arg(long, value_name = "T", value_parser = fixed_moment, allow_hyphen_values = true)]
    to: Moment,
    #[command(flatten)]
    how: How,
}

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("which").required(true),
    after_help = CODES
)]
pub(super) struct ReplayOptions {
    /// These ticks, by their ids
    #[arg(value_name = "TICK", group = "which")]
    ticks: Vec<String>,
    /// All that were due since then and ended as gave_up, too_late, missed or refused: a time in UTC or --timezone, or a duration back from
    /// now (24h)
    #[arg(long, value_name = "T", value_parser = moment, allow_hyphen_values = true, group = "which")]
    since: Option<Moment>,
    /// Of --since only the ticks of this entry
    #[arg(long, value_name = "ENTRY", requires = "since")]
    entry: Option<String>,
    /// The IANA time zone of a day or time in --since [default: UTC]
    #[arg(long, value_name = "TZ", allow_hyphen_values = true)]
    timezone: Option<String>,
    #[command(flatten)]
    how: How,
}

/// A run that is to be started.
struct Run {
    entry: EntryName,
    due: Timestamp,
    /// Whether the next one waits until it is over.
    alone: bool,
    /// Which run there is for it already.
    there: Option<String>,
}

pub(super) fn backfill(common: &Common, options: &BackfillOptions) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let config = load::config_or_problems(common, &clock)?;
    let entry = load::entry(&config, &options.entry)?;
    let Some(schedule) = &entry.schedule else {
        bail!(
            "the entry {} starts by hand alone (@manually), so nothing was ever due",
            entry.name
        );
    };
    let now = clock.now();
    let at = |moment: Moment| moment.instant(schedule.zone(), now, Towards::Past);
    let (from, to) = (at(options.from), at(options.to));
    if from > to {
        bail!(
            "--from ({}) is not before --to ({})",
            rfc3339(from),
            rfc3339(to)
        );
    }
    let until = to.min(now);
    let before = from - chrono::TimeDelta::microseconds(1);
    let dues: Vec<Timestamp> = schedule.between(before, until).take(RUNS_MAX + 1).collect();
    let runtime = load::runtime()?;
    runtime.block_on(async {
        let ledger = load::ledger_to_read(common)?;
        let runs = runs(&ledger, &entry, dues).await?;
        start(common, runs, &options.how).await
    })
}

pub(super) fn replay(common: &Common, options: &ReplayOptions) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let config = load::config_or_problems(common, &clock)?;
    let meant = Meant::new(options.timezone.as_deref())?;
    let since = match options.since {
        None => None,
        Some(since) => Some(meant.read("--since", since, clock.now(), Towards::Past)?),
    };
    load::runtime()?.block_on(async {
        let ledger = load::ledger_to_read(common)?;
        let mut ticks = Vec::new();
        for id in &options.ticks {
            let story = ledger.story(TickId::from_text(id)).await?;
            let tick = story.map(|story| story.tick).with_context(|| {
                format!("there is no tick {id:?} in the ledger; `pipecron history` lists them")
            })?;
            if !is_lost(&tick) {
                bail!(
                    "{id} is {}; replay is for ticks that ended as gave_up, too_late, missed or refused, `backfill` for any due time",
                    tick.state.word()
                );
            }
            ticks.push(tick);
        }
        if let Some(since) = since {
            let entries = match &options.entry {
                Some(name) => vec![load::entry(&config, name)?.name.clone()],
                None => Vec::new(),
            };
            let query = HistoryQuery {
                entries,
                state: Some("ended".to_owned()),
                since: Some(since),
                limit: Some(ROWS_MAX),
                ..HistoryQuery::default()
            };
            ticks.extend(ledger.history(query).await?.into_iter().filter(is_lost));
        }
        let mut dues: BTreeMap<EntryName, BTreeSet<Timestamp>> = BTreeMap::new();
        for tick in ticks {
            let entry = load::entry(&config, tick.entry.as_str())?;
            let of_entry = dues.entry(tick.entry.clone()).or_default();
            match (tick.missed, &entry.schedule) {
                // One row stands for several.
                (Some(missed), Some(schedule)) => {
                    let before = missed.from - chrono::TimeDelta::microseconds(1);
                    of_entry.extend(schedule.between(before, missed.to).take(RUNS_MAX + 1));
                }
                (Some(_), None) | (None, _) => {
                    of_entry.insert(tick.due);
                }
            }
        }
        let mut all = Vec::new();
        for (name, dues) in dues {
            let entry = load::entry(&config, name.as_str())?;
            all.extend(runs(&ledger, &entry, dues.into_iter().collect()).await?);
        }
        all.sort_by_key(|run| run.due);
        start(common, all, &options.how).await
    })
}

/// Whether nothing was started for it, and somebody may want to.
fn is_lost(tick: &Tick) -> bool {
    let reasons = [
        Reason::GaveUp,
        Reason::TooLate,
        Reason::Missed,
        Reason::Refused,
    ];
    matches!(tick.state, TickState::Ended { reason, .. } if reasons.contains(&reason))
}

/// The runs for these due times, with what the ledger knows of each.
async fn runs(
    ledger: &SqliteLedger,
    entry: &Entry,
    dues: Vec<Timestamp>,
) -> anyhow::Result<Vec<Run>> {
    if dues.len() > RUNS_MAX {
        bail!(
            "more than {RUNS_MAX} runs of {} would be started; name a shorter time",
            entry.name
        );
    }
    let (Some(first), Some(last)) = (dues.iter().min(), dues.iter().max()) else {
        return Ok(Vec::new());
    };
    let query = HistoryQuery {
        entries: vec![entry.name.clone()],
        since: Some(*first),
        until: Some(*last + chrono::TimeDelta::seconds(1)),
        ..HistoryQuery::default()
    };
    let rows = ledger.history(query).await?;
    let run = |due: Timestamp| {
        let of_due = rows.iter().filter(|tick| tick.due == due);
        let mut ran = of_due.filter(|tick| tick.run.is_some() || !tick.state.is_ended());
        Run {
            entry: entry.name.clone(),
            due,
            alone: entry.policy.overlap != Overlap::Allow,
            there: ran
                .next()
                .map(|tick| format!("{} is {} already", tick.id, tick.state.word())),
        }
    };
    Ok(dues.into_iter().map(run).collect())
}

/// Lists the runs, asks, and starts them one after another.
async fn start(common: &Common, mut runs: Vec<Run>, how: &How) -> anyhow::Result<ExitCode> {
    for Run {
        entry, due, there, ..
    } in &runs
    {
        let note = match (there, how.again) {
            (None, _) => String::new(),
            (Some(there), true) => format!("again: {there}"),
            (Some(there), false) => format!("left out: {there}; --again starts another run"),
        };
        let line = format!("{entry}  due {}  {}", rfc3339(*due), shown(&note));
        writeln!(stderr(), "{}", line.trim_end())?;
    }
    runs.retain(|run| how.again || run.there.is_none());
    if runs.len() > RUNS_MAX {
        bail!("more than {RUNS_MAX} runs would be started; name fewer");
    }
    if runs.is_empty() {
        writeln!(stderr(), "nothing to start")?;
        return Ok(ExitCode::SUCCESS);
    }
    if !how.yes && !agreed(runs.len())? {
        bail!("nothing was started");
    }
    let (_tell, mut events) = events()?;
    let stopped = async {
        while let Some(event) = events.recv().await {
            if let Event::Stop { .. } = event {
                break;
            }
        }
    };
    tokio::select! {
        biased;
        all = start_all(common, &runs, how) => all,
        () = stopped => {
            writeln!(stderr(), "stopped: nothing more is started; what was started goes on in the daemon")?;
            Ok(ExitCode::from(STOPPED))
        }
    }
}

/// Whether somebody at the terminal says yes.
fn agreed(runs: usize) -> anyhow::Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("nothing was started: there is nobody to ask; --yes starts them");
    }
    write!(stderr(), "start {}? [y/N] ", count(runs, "run"))?;
    stderr().flush()?;
    let mut said = String::new();
    input.lock().read_line(&mut said)?;
    Ok(matches!(said.trim(), "y" | "Y" | "yes"))
}

async fn start_all(common: &Common, runs: &[Run], how: &How) -> anyhow::Result<ExitCode> {
    let mut well = 0;
    for (index, run) in runs.iter().enumerate() {
        let body = TriggerBody {
            entry: run.entry.to_string(),
            // That of a tick by hand is finer than what people are shown.
            due: Some(run.due.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
            reason: how.reason.clone().unwrap_or_default(),
            again: how.again,
            ..TriggerBody::default()
        };
        let what = format!("[{}/{}]", index + 1, runs.len());
        let asked = ask::trigger(common, body).await;
        let answer = match asked.with_context(|| what.clone())? {
            Asked::Answer(answer) => answer,
            Asked::NoDaemon(why) => {
                bail!("{what} nothing more was started: {why}; a backfill needs the daemon")
            }
        };
        let id = answer["tick"].as_str().unwrap_or_default();
        let mut say = |line: &str| writeln!(stderr(), "{what} {id}  {line}");
        let tick = follow(common, id, run.alone, &mut say).await?;
        well += usize::from(is_started(&tick, run.alone));
        let mut out = stdout(form(how.json));
        match how.json {
            true => writeln!(out, "{tick}")?,
            false => {
                let run_id = tick["run_id"]
                    .as_str()
                    .map_or_else(|| "-".to_owned(), shown);
                writeln!(out, "{}  {run_id}", shown(id))?;
            }
        }
        out.flush()?;
    }
    let (all, bad) = (count(runs.len(), "run"), runs.len() - well);
    writeln!(stderr(), "{all}: {well} went well, {bad} did not")?;
    Ok(match bad {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn is_started(tick: &Value, to_the_end: bool) -> bool {
    match to_the_end {
        true => matches!(tick["reason"].as_str(), Some("succeeded" | "started")),
        false => !tick["run_id"].is_null(),
    }
}
