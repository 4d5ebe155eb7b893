//! May a run start while the pipeline has others under way?

use serde::{Deserialize, Serialize};

/// What an entry does while the pipeline has another run under way, whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It starts all the same.
    #[default]
    Allow,
    /// The tick is skipped.
    Skip,
    /// The tick waits until the pipeline is free. Of an entry's scheduled ticks only the newest waits.
    Queue,
    /// The other runs are stopped, and when they are over it starts.
    Replace,
}
