//! The past as the daemon tells of it: for those who may look at it through the control socket, and whom the ledger's file does
//! not let in.

use std::io::Write;
use std::process::ExitCode;

use anyhow::anyhow;
use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::ask::{self, Asked};
use super::{Common, form, load, stderr, stdout};
use crate::config::shown;
use crate::domain::{Reason, rfc3339};
use crate::ledger::HistoryQuery;

/// Rows that are asked for when nobody says how many: as many as the daemon gives.
const ROWS_MAX: u32 = 1_000;

/// Asks the daemon, because the ledger could not be read here; if none answers that is what stands in the way.
fn asked(common: &Common, target: &str, unread: anyhow::Error) -> anyhow::Result<Value> {
    let asked = ask::daemon(common, Method::GET, target, None);
    match load::runtime()?.block_on(asked) {
        Ok(Asked::Answer(answer)) => Ok(answer),
        Ok(Asked::NoDaemon(why)) => Err(anyhow!("{unread:#}; and {why}")),
        Err(failure) => Err(failure),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map(shown).unwrap_or_default()
}

/// Rows of the history, newest first.
pub(super) fn history(
    common: &Common,
    query: &HistoryQuery,
    json: bool,
    unread: anyhow::Error,
) -> anyhow::Result<ExitCode> {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    let entries = query.entries.iter();
    pairs.extend(entries.map(|entry| ("entry", entry.to_string())));
    pairs.extend(query.state.clone().map(|state| ("state", state)));
    let reason = query.reason.map(Reason::name);
    pairs.extend(reason.map(|reason| ("reason", reason.to_owned())));
    pairs.extend(query.since.map(|since| ("since", rfc3339(since))));
    pairs.extend(query.until.map(|until| ("until", rfc3339(until))));
    pairs.push(("limit", query.limit.unwrap_or(ROWS_MAX).to_string()));
    let pairs = pairs.iter().map(|(key, value)| {
        let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
        format!("{key}={value}")
    });
    let target = format!("/v1/history?{}", pairs.collect::<Vec<_>>().join("&"));
    let rows = asked(common, &target, unread)?;
    let mut out = stdout(form(json));
    for row in rows.as_array().into_iter().flatten() {
        if json {
            writeln!(out, "{row}")?;
            continue;
        }
        let state = match row["reason"].as_str() {
            Some(reason) => shown(reason),
            None => text(&row["state"]),
        };
        let (tick, run, note) = (text(&row["tick"]), text(&row["run_id"]), text(&row["note"]));
        writeln!(
            out,
            "{}",
            format!("{tick}  {state}  {run}  {note}").trim_end()
        )?;
    }
    if rows.as_array().is_none_or(Vec::is_empty) && !json {
        writeln!(stderr(), "no ticks")?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// What people did, newest first.
pub(super) fn acts(common: &Common, unread: anyhow::Error) -> anyhow::Result<Vec<Value>> {
    let acts = asked(common, "/v1/acts", unread)?;
    Ok(acts.as_array().cloned().unwrap_or_default())
}

/// One tick with its story.
pub(super) fn show(
    common: &Common,
    tick: &str,
    json: bool,
    unread: anyhow::Error,
) -> anyhow::Result<ExitCode> {
    let id = utf8_percent_encode(tick, NON_ALPHANUMERIC);
    let tick = asked(common, &format!("/v1/ticks/{id}"), unread)?;
    let mut out = stdout(form(json));
    if json {
        writeln!(out, "{tick}")?;
    } else {
        for key in [
            "tick",
            "entry",
            "due",
            "deadline",
            "state",
            "reason",
            "run_id",
            "outcome",
            "account",
            "project_id",
            "pipeline_id",
        ] {
            let value = text(&tick[key]);
            if !value.is_empty() {
                writeln!(out, "{key:12}{value}")?;
            }
        }
        writeln!(out, "\nstory")?;
        for line in tick["story"].as_array().into_iter().flatten() {
            writeln!(out, "  {}  {}", text(&line["at"]), text(&line["note"]))?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
