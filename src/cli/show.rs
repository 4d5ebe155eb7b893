//! `show`: everything that is known about one tick.

use std::io::Write;
use std::process::ExitCode;

use anyhow::bail;
use serde_json::json;

use super::load::EntryZones;
use super::moment::weekday_local;
use super::{Common, afar, ask, form, load, stdout};
use crate::config::shown;
use crate::control::tick_json;
use crate::domain::zone::Zone;
use crate::domain::{Attempt, EntryName, TickId, TickState, Timestamp, rfc3339};
use crate::ledger::{HistoryQuery, Ledger, SqliteLedger, Story};

/// Arguments of `show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 the tick is shown; 1 the ledger has no such tick.")]
pub(super) struct Options {
    /// The tick's id, as `history` and the log write it: nightly-web@2026-11-24T18:00:00Z
    #[arg(value_name = "TICK")]
    tick: String,
    /// Print one JSON object; its times are UTC
    #[arg(long)]
    json: bool,
}

pub(super) fn run(common: &Common, options: &Options) -> anyhow::Result<ExitCode> {
    let ledger = match load::ledger_to_read(common) {
        Ok(ledger) => ledger,
        Err(unread) => return afar::show(common, &options.tick, options.json, unread),
    };
    let runtime = load::runtime()?;
    runtime.block_on(ask::note_if_alone(common, options.json))?;
    let Some(story) = runtime.block_on(ledger.story(TickId::from_text(&options.tick)))? else {
        bail!(runtime.block_on(no_such_tick(&ledger, &options.tick))?);
    };
    let mut out = stdout(form(options.json));
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
        let zones = runtime.block_on(EntryZones::find(common, &ledger));
        let times = Times(zones.of(&story.tick.entry));
        tell(&mut out, &story, &times)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Ticks among which the one that was meant is looked for.
const NEAREST_FROM_MAX: u32 = 500;

async fn no_such_tick(ledger: &SqliteLedger, text: &str) -> anyhow::Result<String> {
    // Somebody who names an entry wants to see its newest tick, most likely.
    let entry = EntryName::parse(text.split('@').next().unwrap_or_default());
    if let Ok(entry) = entry {
        let query = HistoryQuery {
            entries: vec![entry.clone()],
            limit: Some(NEAREST_FROM_MAX),
            ..HistoryQuery::default()
        };
        let ticks = ledger.history(query).await?;
        let near = match text.contains('@') {
            true => crate::config::nearest(text, ticks.iter().map(|tick| tick.id.as_str())),
            false => ticks.first().map(|tick| tick.id.as_str()),
        };
        if let Some(near) = near {
            return Ok(format!(
                "there is no tick {text:?} in the ledger; did you mean {near}? `pipecron history {entry}` lists those of the entry"
            ));
        }
    }
    let query = HistoryQuery {
        limit: Some(NEAREST_FROM_MAX),
        ..HistoryQuery::default()
    };
    let latest = ledger.history(query).await?;
    let near = crate::config::nearest(text, latest.iter().map(|tick| tick.id.as_str()));
    let near = near.map_or_else(
        || "`pipecron history` lists them".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    Ok(format!("there is no tick {text:?} in the ledger; {near}"))
}

/// How times are shown: in UTC, and beside it as the clock of the entry's zone shows them.
pub(super) struct Times<'z>(Option<&'z Zone>);

impl<'z> Times<'z> {
    /// In this zone; in UTC there is nothing to show beside it.
    pub(super) fn of(zone: &'z Zone) -> Self {
        Self((zone.name() != "UTC").then_some(zone))
    }

    /// With the day and the zone: `2026-11-24T18:00:00Z  Wed 2026-11-25 02:00:00 Asia/Shanghai`.
    pub(super) fn whole(&self, instant: Timestamp) -> String {
        match self.0 {
            None => rfc3339(instant),
            Some(zone) => format!(
                "{}  {} {}",
                rfc3339(instant),
                weekday_local(zone, instant),
                zone.name()
            ),
        }
    }

    /// Within a sentence.
    pub(super) fn within(&self, instant: Timestamp) -> String {
        match self.0 {
            None => rfc3339(instant),
            Some(zone) => format!("{} ({})", rfc3339(instant), weekday_local(zone, instant)),
        }
    }

    /// At the head of a line of a list, whose widths are the same.
    pub(super) fn head(&self, instant: Timestamp) -> String {
        let utc = format!("{:24}", rfc3339(instant));
        match self.0 {
            None => utc,
            Some(zone) => format!("{utc}  {}", zone.local(instant).format("%H:%M:%S")),
        }
    }
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

fn tell(out: &mut impl Write, story: &Story, times: &Times<'_>) -> std::io::Result<()> {
    let tick = &story.tick;
    let state = match tick.state {
        TickState::Waiting { not_before } => {
            format!("waiting, not before {}", times.within(not_before))
        }
        TickState::Sent { at } => format!("sent at {}, not answered yet", times.within(at)),
        TickState::Doubtful { look_at } => {
            format!(
                "doubtful: its run is looked for, next at {}",
                times.within(look_at)
            )
        }
        TickState::Running { since } => format!("running since {}", times.within(since)),
        TickState::Ended { reason, at } => {
            format!("ended at {}: {}", times.within(at), reason.name())
        }
    };
    writeln!(out, "tick      {}", shown(tick.id.as_str()))?;
    writeln!(out, "entry     {}", tick.entry)?;
    writeln!(out, "due       {}", times.whole(tick.due))?;
    writeln!(out, "deadline  {}", times.whole(tick.deadline))?;
    writeln!(out, "state     {state}")?;
    writeln!(out, "account   {}", tick.account)?;
    writeln!(out, "project   {}", shown(&tick.request.project_id))?;
    writeln!(out, "pipeline  {}", shown(&tick.request.pipeline_id))?;
    if let Some(run) = &tick.run {
        writeln!(out, "run       {}", shown(&run.id))?;
        if let Some(queue) = &run.queue_id {
            writeln!(out, "queue     {}", shown(queue))?;
        }
        if let Some(outcome) = &run.outcome {
            writeln!(out, "outcome   {}", shown(outcome))?;
        }
    }
    if !story.attempts.is_empty() {
        writeln!(out, "\nattempts")?;
    }
    for attempt in &story.attempts {
        let (number, sent_at) = (attempt.number, times.head(attempt.sent_at));
        let answer = shown(&attempt.words());
        writeln!(out, "  {number}  {sent_at}  {answer}")?;
    }
    writeln!(out, "\nstory")?;
    for (at, note) in &story.notes {
        writeln!(out, "  {}  {}", times.head(*at), shown(note))?;
    }
    Ok(())
}
