//! `pause` and `resume`: hold entries still, and let them go on. Kept in the ledger, so that it survives restarts and reloads.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use hyper::Method;
use serde_json::{Value, json};

use super::ask::{self, Asked, reason};
use super::moment::{Meant, Moment, Towards, moment};
use super::{Common, form, load, stderr, stdout};
use crate::config::shown;
use crate::daemon::hand;
use crate::domain::{EntryName, Scope, rfc3339};
use crate::os::{self, Clock};

/// What is meant.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// The entry
    #[arg(value_name = "ENTRY")]
    entry: Option<String>,
    /// All entries with this label
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// All entries
    #[arg(long)]
    all: bool,
}

impl Which {
    fn scope(&self) -> anyhow::Result<Scope> {
        Ok(match (&self.entry, &self.label) {
            (Some(name), _) => Scope::Entry(EntryName::parse(name)?),
            (None, Some(label)) => Scope::Label(label.clone()),
            (None, None) => Scope::All,
        })
    }
}

/// Arguments of `pause`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is due during a pause ends as paused, and a resume owes nothing. Ticks that are open already go on, and \
                  `trigger` starts runs all the same.\nExit codes: 0 the pause holds; 1 it does not, and a message says why."
)]
pub(super) struct PauseOptions {
    #[command(flatten)]
    which: Which,
    /// When it ends by itself: an instant (2026-11-24T18:00:00Z), a day (its start) or a date and time in UTC or --timezone, or a
    /// duration from now (24h) [default: when it is resumed]
    #[arg(long, value_name = "T", value_parser = moment, allow_hyphen_values = true)]
    until: Option<Moment>,
    /// The IANA time zone of a day or time in --until [default: UTC]
    #[arg(long, value_name = "TZ", allow_hyphen_values = true)]
    timezone: Option<String>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Arguments of `resume`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Name what was paused: a pause of a label or of all is lifted as a whole.\nExit codes: 0 the pause is lifted; 1 there is none, \
                  or it could not be lifted."
)]
pub(super) struct ResumeOptions {
    #[command(flatten)]
    which: Which,
    /// Why, for the history
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn pause(common: &Common, options: &PauseOptions) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let scope = options.which.scope()?;
    let meant = Meant::new(options.timezone.as_deref())?;
    let until = match options.until {
        None => None,
        Some(until) => Some(meant.read("--until", until, clock.now(), Towards::Future)?),
    };
    let reason = options.reason.clone().unwrap_or_default();
    let body = json!({
        "scope": scope.key(),
        "until": until.map(rfc3339),
        "reason": reason,
    });
    let answer = load::runtime()?.block_on(async {
        match ask::daemon(common, Method::POST, "/v1/pause", Some(body)).await? {
            Asked::Answer(answer) => Ok(answer),
            Asked::NoDaemon(why) => {
                let config = load::config_or_problems(common, &clock)?;
                let now = clock.now();
                let ledger = ask::ledger_instead(common, clock, &why).await?;
                let paused = hand::pause(&ledger, &config, now, os::who(), scope, until, reason);
                ask::done(paused.await)
            }
        }
    })?;
    let replaced = answer["replaced"]["text"].as_str();
    if let Some(replaced) = replaced {
        writeln!(stderr(), "in place of: {}", shown(replaced))?;
    }
    print(&answer, options.json)
}

pub(super) fn resume(common: &Common, options: &ResumeOptions) -> anyhow::Result<ExitCode> {
    let scope = options.which.scope()?;
    let reason = options.reason.clone().unwrap_or_default();
    let body = json!({ "scope": scope.key(), "reason": reason });
    let answer = load::runtime()?.block_on(async {
        match ask::daemon(common, Method::POST, "/v1/resume", Some(body)).await? {
            Asked::Answer(answer) => Ok(answer),
            Asked::NoDaemon(why) => {
                let clock = Clock::system();
                let now = clock.now();
                if !load::ledger_path(common)?.exists() {
                    bail!("nothing was resumed: {why}, and there is no ledger");
                }
                let ledger = ask::ledger_instead(common, clock, &why).await?;
                ask::done(hand::resume(&ledger, now, os::who(), scope, reason).await)
            }
        }
    })?;
    for pause in answer["still_paused"].as_array().into_iter().flatten() {
        let text = pause["text"].as_str().unwrap_or_default();
        writeln!(stderr(), "still holds: {}", shown(text))?;
    }
    print(&answer, options.json)
}

fn print(answer: &Value, json: bool) -> anyhow::Result<ExitCode> {
    let mut out = stdout(form(json));
    match json {
        true => writeln!(out, "{answer}")?,
        false => {
            let text = answer["pause"]["text"].as_str().unwrap_or_default();
            writeln!(out, "{}", shown(text))?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
