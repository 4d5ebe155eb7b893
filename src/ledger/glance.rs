//! Ticks in short, for whoever looks at very many of them.

use crate::domain::{EntryName, Origin, PipelineAt, Run, Tick, TickId, TickState, Timestamp};

/// A tick in short: without what was sent, which makes up most of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// Its id.
    pub id: TickId,
    /// Whose tick it is.
    pub entry: EntryName,
    /// When it was due.
    pub due: Timestamp,
    /// Where its run is started.
    pub at: PipelineAt,
    /// How it came to be.
    pub origin: Origin,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Where it stands.
    pub state: TickState,
    /// The run that was started.
    pub run: Option<Run>,
    /// The last thing that was decided about it, in a sentence.
    pub note: String,
}

impl From<Tick> for Glance {
    fn from(tick: Tick) -> Self {
        Self {
            at: tick.pipeline_at(),
            id: tick.id,
            entry: tick.entry,
            due: tick.due,
            origin: tick.origin,
            opened_at: tick.opened_at,
            state: tick.state,
            run: tick.run,
            note: tick.note,
        }
    }
}
