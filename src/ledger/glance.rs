//! Ticks in short, for whoever looks at very many of them.

use crate::domain::{
    Doubt, EntryName, Origin, PipelineAt, Run, Tick, TickId, TickState, Timestamp,
};

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
    /// Since when its run is in doubt; none where nothing is, or where it is looked for only as a precaution.
    pub doubt_since: Option<Timestamp>,
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
            doubt_since: doubt_since(tick.doubt),
            note: tick.note,
        }
    }
}

/// Since when somebody has to worry.
pub(super) fn doubt_since(doubt: Option<Doubt>) -> Option<Timestamp> {
    doubt
        .filter(|doubt| !doubt.precaution)
        .map(|doubt| doubt.since)
}

/// A tick that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The number of its last change: they grow, and none is given twice.
    pub number: u64,
    /// The tick as it stands now.
    pub glance: Glance,
    /// The code of the service's last answer about it, if it had one.
    pub code: Option<String>,
}
