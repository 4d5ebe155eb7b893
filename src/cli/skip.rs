//! `skip`: mark ticks that are to come, so that they end as excluded. Kept in the ledger, so that it survives a restart and
//! a reload.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use chrono::TimeDelta;
use hyper::Method;
use serde_json::{Value, json};

use super::ask::{self, Asked, reason};
use super::moment::{Moment, Towards, fixed_moment, local, weekday_local};
use super::{Common, form, load, stderr, stdout};
use crate::config::{Config, shown};
use crate::control::SkipBody;
use crate::daemon::hand;
use crate::domain::schedule::Schedule;
use crate::domain::{Entry, RECENT_DAYS, SKIPS_MAX, Skip, Timestamp, rfc3339};
use crate::ledger::Ledger;
use crate::os::{self, Clock};

/// Arguments of `skip`.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("which").required(true),
    after_help = "Exit codes: 0 the marks are kept, or taken back; 1 nothing was changed."
)]
pub(super) struct Options {
    /// The entry
    #[arg(value_name = "ENTRY")]
    entry: String,
    /// Skip the coming tick
    #[arg(long, group = "which")]
    next: bool,
    /// How many of the coming ticks that are not marked yet [default: 1, and none if the coming one is marked]
    #[arg(short = 'n', long = "count", value_name = "N", requires = "next", value_parser = clap::value_parser!(u32).range(1..=100))]
    count: Option<u32>,
    /// Skip the tick that is due then: an instant (2026-11-24T18:00:00Z), or a date and time (2026-11-25T02:00) in the
    /// entry's zone
    #[arg(long, value_name = "T", value_parser = fixed_moment, allow_hyphen_values = true, group = "which")]
    at: Option<Moment>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", conflicts_with = "undo", value_parser = reason)]
    reason: Option<String>,
    /// Take the marks back: the tick runs after all. With --next those of the ticks that come first
    #[arg(long)]
    undo: bool,
    /// Print JSON: one object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let config = load::config_or_problems(common, &clock)?;
    let entry = load::entry(&config, &options.entry)?;
    let Some(schedule) = entry.schedule.as_ref().filter(|_| entry.enabled) else {
        let why = match entry.enabled {
            true => "starts by hand alone (@manually)",
            false => "is not enabled",
        };
        bail!(
            "the entry {} {why}, so there is no tick to come",
            entry.name
        );
    };
    let now = clock.now();
    load::runtime()?.block_on(async {
        // Beside a daemon the marks can be read; without one they may be the first thing in a new ledger.
        let all = match load::ledger_to_read(common) {
            Ok(ledger) => ledger.skips(now - RECENT_DAYS).await?,
            Err(_) => Vec::new(),
        };
        // A calendar may have moved to a day to come what a pattern names on one that has passed.
        let marks: BTreeMap<Timestamp, Skip> = all
            .into_iter()
            .filter(|(of, _)| *of == entry.name)
            .map(|(_, skip)| (skip.due, skip))
            .collect();
        let marked = marked(schedule, &marks, now);
        if options.undo {
            return undo(common, &config, &entry, schedule, &marked, now, options).await;
        }
        if let Some(marked) = already(&entry, schedule, &marked, now, options) {
            writeln!(
                stderr(),
                "the coming tick of {} is marked already; -n 1 marks the one after it as well",
                entry.name
            )?;
            return print(&entry, schedule, &[marked], "will be skipped", options);
        }
        let dues = dues(&entry, schedule, &marked, now, options)?;
        if marked.len() + dues.len() > SKIPS_MAX {
            bail!(
                "{} ticks of {} are marked already, and {SKIPS_MAX} are possible; `enabled: false` switches an entry off",
                marked.len(),
                entry.name
            );
        }
        let answer = change(common, &config, &entry, dues.clone(), options).await?;
        let by = answer["by"].as_str().unwrap_or_default();
        let skip = |due| Skip {
            due,
            by: by.to_owned(),
            asked_at: now,
            reason: options.reason.clone().unwrap_or_default(),
        };
        let skips: Vec<Skip> = dues.into_iter().map(skip).collect();
        print(&entry, schedule, &skips, "will be skipped", options)
    })
}

/// The mark of the coming tick, if somebody who does not say how many asks for one that is there already: to skip another one
/// instead is not what was asked for.
fn already(
    entry: &Entry,
    schedule: &Schedule,
    marked: &[Skip],
    now: Timestamp,
    options: &Options,
) -> Option<Skip> {
    if !options.next || options.count.is_some() {
        return None;
    }
    let begin = entry
        .not_before
        .map_or(now, |begin| now.max(begin - TimeDelta::seconds(1)));
    let coming = schedule.next_after(begin)?;
    marked.iter().find(|skip| skip.due == coming).cloned()
}

/// Sets the marks or takes them back: the daemon does, or without one the ledger is opened.
async fn change(
    common: &Common,
    config: &Config,
    entry: &Entry,
    dues: Vec<Timestamp>,
    options: &Options,
) -> anyhow::Result<Value> {
    let reason = options.reason.clone().unwrap_or_default();
    let body = SkipBody {
        entry: entry.name.to_string(),
        dues: dues.iter().copied().map(rfc3339).collect(),
        reason: reason.clone(),
        undo: options.undo,
    };
    match ask::daemon(common, Method::POST, "/v1/skip", Some(json!(body))).await? {
        Asked::Answer(answer) => Ok(answer),
        Asked::NoDaemon(why) => {
            let clock = Clock::system();
            let (now, by, name) = (clock.now(), os::who(), entry.name.as_str());
            let ledger = ask::ledger_instead(common, clock, &why).await?;
            let undo = options.undo;
            ask::done(hand::skip(&ledger, config, now, by, name, dues, reason, undo).await)
        }
    }
}

/// What is marked and still to come: starts that are skipped, each under its own due time, and marks by which none is
/// skipped as the calendars are now.
fn marked(schedule: &Schedule, marks: &BTreeMap<Timestamp, Skip>, now: Timestamp) -> Vec<Skip> {
    let mut marked = BTreeMap::new();
    for (instant, skip) in marks {
        let starts = schedule.starts_for(*instant).into_iter();
        let is_skipped = |start: &Timestamp| Skip::of_start(marks, schedule, *start).is_some();
        let mut skipped = starts.filter(is_skipped).peekable();
        let own = skipped.peek().is_none().then_some(*instant);
        for due in skipped.chain(own).filter(|due| *due > now) {
            marked.entry(due).or_insert_with(|| Skip {
                due,
                ..skip.clone()
            });
        }
    }
    marked.into_values().collect()
}

/// The due times to mark.
fn dues(
    entry: &Entry,
    schedule: &Schedule,
    marked: &[Skip],
    now: Timestamp,
    options: &Options,
) -> anyhow::Result<Vec<Timestamp>> {
    let end = entry.not_after.unwrap_or(Timestamp::MAX_UTC);
    let begin = entry
        .not_before
        .map_or(now, |begin| now.max(begin - TimeDelta::seconds(1)));
    if let Some(at) = options.at {
        let at = at.instant(schedule.zone(), now, Towards::Future);
        let next = schedule.next_after(begin.max(at - TimeDelta::seconds(1)));
        if next == Some(at) && at > now && at <= end {
            return Ok(vec![at]);
        }
        let hint = match next.filter(|next| *next <= end) {
            Some(next) => format!("the next one is due {}", rfc3339(next)),
            None => "there is none after it".to_owned(),
        };
        let just_before = at - TimeDelta::seconds(1);
        let without = schedule.exclusions(just_before, at);
        if let Some(excluded) = without.iter().find(|without| without.first == at) {
            bail!(
                "the tick of {} at {} does not run anyway: {}; {hint}",
                entry.name,
                rfc3339(at),
                excluded.why
            );
        }
        bail!(
            "no tick of {} is to come at {}; {hint}",
            entry.name,
            rfc3339(at)
        );
    }
    let is_marked = |due: &Timestamp| marked.iter().any(|skip| skip.due == *due);
    let count = usize::try_from(options.count.unwrap_or(1)).unwrap_or(1);
    let dues: Vec<Timestamp> = schedule
        .between(begin, end)
        .filter(|due| !is_marked(due))
        .take(count)
        .collect();
    if dues.len() < count {
        bail!(
            "{} has {} more to come, and {count} were to be skipped",
            entry.name,
            super::count(dues.len(), "tick")
        );
    }
    Ok(dues)
}

async fn undo(
    common: &Common,
    config: &Config,
    entry: &Entry,
    schedule: &Schedule,
    marked: &[Skip],
    now: Timestamp,
    options: &Options,
) -> anyhow::Result<ExitCode> {
    let back: Vec<Skip> = match options.at {
        Some(at) => {
            let at = at.instant(schedule.zone(), now, Towards::Future);
            let of = marked.iter().filter(|skip| skip.due == at);
            of.cloned().collect()
        }
        None => {
            let count = usize::try_from(options.count.unwrap_or(1)).unwrap_or(1);
            marked.iter().take(count).cloned().collect()
        }
    };
    if back.is_empty() {
        bail!(
            "no such tick of {} is marked to be skipped; marked are {}",
            entry.name,
            match marked {
                [] => "none".to_owned(),
                some => some
                    .iter()
                    .map(|skip| rfc3339(skip.due))
                    .collect::<Vec<_>>()
                    .join(", "),
            }
        );
    }
    let dues = back.iter().map(|skip| skip.due).collect();
    change(common, config, entry, dues, options).await?;
    print(entry, schedule, &back, "runs after all", options)
}

fn print(
    entry: &Entry,
    schedule: &Schedule,
    skips: &[Skip],
    what: &str,
    options: &Options,
) -> anyhow::Result<ExitCode> {
    let mut out = stdout(form(options.json));
    let zone = schedule.zone();
    for skip in skips {
        if options.json {
            let object = json!({
                "entry": entry.name,
                "due": rfc3339(skip.due),
                "local": local(zone, skip.due),
                "timezone": zone.name(),
                "skipped": !options.undo,
                "by": skip.by,
                "asked_at": rfc3339(skip.asked_at),
                "reason": skip.reason,
            });
            writeln!(out, "{object}")?;
        } else {
            writeln!(
                out,
                "{}  {} {}  {}  {what}: {}",
                entry.name,
                weekday_local(zone, skip.due),
                zone.name(),
                rfc3339(skip.due),
                shown(&skip.to_string())
            )?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
