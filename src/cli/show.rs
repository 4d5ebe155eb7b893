//! `show`: everything that is known about one tick.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::json;

use super::history::tick_json;
use super::{Common, load, stdout};
use crate::domain::{Attempt, TickId, TickState, rfc3339};
use crate::ledger::{HistoryQuery, Ledger, Story};

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The tick's id, as `history` and the log write it: nightly-web@2026-11-24T18:00:00Z
    #[arg(value_name = "TICK")]
    tick: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let ledger = load::ledger_to_read(common)?;
    let runtime = load::runtime()?;
    let Some(story) = runtime.block_on(ledger.story(TickId::from_text(&options.tick)))? else {
        let latest = runtime.block_on(ledger.history(HistoryQuery {
            limit: Some(500),
            ..HistoryQuery::default()
        }))?;
        let near =
            crate::config::nearest(&options.tick, latest.iter().map(|tick| tick.id.as_str()));
        match near {
            Some(near) => bail!(
                "there is no tick {:?} in the ledger; did you mean {near}?",
                options.tick
            ),
            None => bail!(
                "there is no tick {:?} in the ledger; `pipecron history` lists them",
                options.tick
            ),
        }
    };
    let mut out = stdout();
    if options.json {
        let mut object = tick_json(&story.tick);
        object["request"] = json!(story.tick.request);
        object["attempt_list"] = story.attempts.iter().map(attempt_json).collect();
        object["story"] = story
            .notes
            .iter()
            .map(|(at, note)| json!({ "at": rfc3339(*at), "note": note }))
            .collect();
        writeln!(out, "{object}")?;
    } else {
        tell(&mut out, &story)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn attempt_json(attempt: &Attempt) -> serde_json::Value {
    let answer = attempt.answer.as_ref();
    json!({
        "number": attempt.number,
        "sent_at": rfc3339(attempt.sent_at),
        "answered_at": attempt.answered_at.map(rfc3339),
        "answer": answer.map(|answer| answer.kind.name()),
        "status": answer.and_then(|answer| answer.status),
        "code": answer.and_then(|answer| answer.code.as_deref()),
        "message": answer.map(|answer| answer.message.as_str()),
        "request_id": answer.and_then(|answer| answer.request_id.as_deref()),
    })
}

fn tell(out: &mut impl Write, story: &Story) -> std::io::Result<()> {
    let tick = &story.tick;
    let state = match tick.state {
        TickState::Waiting { not_before } => format!("waiting, not before {}", rfc3339(not_before)),
        TickState::Sent { at } => format!("sent at {}, not answered yet", rfc3339(at)),
        TickState::Ended { reason, at } => format!("ended at {}: {}", rfc3339(at), reason.name()),
    };
    writeln!(out, "tick      {}", tick.id)?;
    writeln!(out, "entry     {}", tick.entry)?;
    writeln!(out, "due       {}", rfc3339(tick.due))?;
    writeln!(out, "deadline  {}", rfc3339(tick.deadline))?;
    writeln!(out, "state     {state}")?;
    writeln!(out, "account   {}", tick.account)?;
    writeln!(out, "project   {}", tick.request.project_id)?;
    writeln!(out, "pipeline  {}", tick.request.pipeline_id)?;
    if let Some(run) = &tick.run {
        writeln!(out, "run       {}", run.id)?;
        if let Some(queue) = &run.queue_id {
            writeln!(out, "queue     {queue}")?;
        }
    }
    if !story.attempts.is_empty() {
        writeln!(out, "\nattempts")?;
    }
    for attempt in &story.attempts {
        writeln!(
            out,
            "  {}  {}  {}",
            attempt.number,
            rfc3339(attempt.sent_at),
            answer_words(attempt)
        )?;
    }
    writeln!(out, "\nstory")?;
    for (at, note) in &story.notes {
        writeln!(out, "  {}  {note}", rfc3339(*at))?;
    }
    Ok(())
}

fn answer_words(attempt: &Attempt) -> String {
    let Some(answer) = &attempt.answer else {
        return "no answer recorded".to_owned();
    };
    let status = answer.status.map(|status| format!("HTTP {status}"));
    let request = answer
        .request_id
        .as_ref()
        .map(|id| format!("(request {id})"));
    let words = [
        Some(answer.kind.name()),
        status.as_deref(),
        answer.code.as_deref(),
        Some(&answer.message),
        request.as_deref(),
    ];
    words
        .into_iter()
        .flatten()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
