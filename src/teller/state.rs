//! What the teller remembers, in the ledger, across a restart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::EntryName;
use crate::domain::notice::{Herald, Outbox, Signal};

/// What the teller remembers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// The number of the last change that was looked at; none if none ever was.
    pub(super) cursor: Option<u64>,
    #[serde(flatten)]
    pub(super) kept: Kept,
}

/// What has to be written down as soon as it changes. The cursor alone does not: looking again at changes of which there was
/// nothing to tell does no harm.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What was told.
    pub(super) herald: Herald,
    /// What waits for each channel.
    pub(super) outboxes: BTreeMap<String, Outbox>,
    /// What each dead man's switch is still to be told: the newest counts.
    pub(super) pings: BTreeMap<EntryName, (Signal, String)>,
}
