//! A run: what was asked for, and how it goes.

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::domain::Timestamp;

/// The status of a run, in the service's words (and one of ours: a queued run has no status there).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunStatus {
    /// It waits in the pipeline's queue.
    Queued,
    /// It is under way.
    Running,
    /// It ended well.
    Completed,
    /// It ended badly.
    Failed,
    /// It was stopped.
    Canceled,
    /// It stands still until somebody decides.
    Paused,
    /// It stands still, and nobody says why.
    Suspend,
    /// It was passed over.
    Ignored,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::Paused,
        Self::Suspend,
        Self::Ignored,
    ];

    /// The service's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
            Self::Paused => "PAUSED",
            Self::Suspend => "SUSPEND",
            Self::Ignored => "IGNORED",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether the run is over.
    pub fn is_over(self) -> bool {
        match self {
            Self::Completed | Self::Failed | Self::Canceled | Self::Ignored => true,
            Self::Queued | Self::Running | Self::Paused | Self::Suspend => false,
        }
    }

    /// Whether the run counts among those under way.
    pub fn is_under_way(self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Suspend => true,
            Self::Queued | Self::Completed | Self::Failed | Self::Canceled | Self::Ignored => false,
        }
    }
}

impl Serialize for RunStatus {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.name())
    }
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Executor {
    /// The user's id.
    pub id: String,
    /// The user's name.
    pub name: String,
}

/// The text that ends a description of pipecron's: `[pipecron LEDGER TICK]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Marker {
    /// The ledger's id.
    pub ledger: String,
    /// The tick's id.
    pub tick: String,
}

impl Marker {
    /// The marker at the end of a description, if there is one.
    pub fn find(description: &str) -> Option<Self> {
        let inner = description.strip_suffix(']')?;
        let (_, inner) = inner.rsplit_once("[pipecron ")?;
        let (ledger, tick) = inner.split_once(' ')?;
        Some(Self {
            ledger: ledger.to_owned(),
            tick: tick.to_owned(),
        })
    }
}

/// A run and everything that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its id (`pipeline_run_id`).
    pub id: String,
    /// The CodeArts project.
    pub project_id: String,
    /// The pipeline.
    pub pipeline_id: String,
    /// Its number among the pipeline's runs, from 1.
    pub run_number: u32,
    /// Its status.
    pub status: RunStatus,
    /// The description it was started with.
    pub description: Option<String>,
    /// The marker in that description.
    pub marker: Option<Marker>,
    /// The variables it was started with, in their order.
    pub variables: Vec<(String, String)>,
    /// The sources it was started with, as they came.
    pub sources: Value,
    /// The jobs that were chosen.
    pub choose_jobs: Option<Vec<String>>,
    /// The stages that were chosen.
    pub choose_stages: Option<Vec<String>>,
    /// Who started it.
    pub executor: Executor,
    /// When the request was carried out.
    pub accepted_at: Timestamp,
    /// When it began; none while it waits in the queue.
    pub started_at: Option<Timestamp>,
    /// When it came to stand still.
    pub paused_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
    /// The id of its place in the queue, if it ever had one.
    pub queue_id: Option<String>,
    /// It is in no list before this.
    pub listed_from: Timestamp,
    /// From then on the service knows nothing of it.
    pub forgotten_from: Option<Timestamp>,
}

impl Run {
    /// Whether the service still knows of it.
    pub fn is_known(&self, now: Timestamp) -> bool {
        self.forgotten_from.is_none_or(|from| now < from)
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let texts = |list: &Option<Vec<String>>| {
            list.iter()
                .flatten()
                .map(|text| text.len() + 24)
                .sum::<usize>()
        };
        let variables: usize = self
            .variables
            .iter()
            .map(|(name, value)| name.len() + value.len() + 48)
            .sum();
        // A run has some five ids and four indices; what a source takes is measured by its text.
        1024 + self.description.as_deref().map_or(0, str::len) * 2
            + variables
            + texts(&self.choose_jobs)
            + texts(&self.choose_stages)
            + self.sources.to_string().len() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_is_what_ends_the_description() {
        let found =
            Marker::find("nightly [x] [pipecron abcdefgh web@2026-11-24T18:00:00Z]").unwrap();
        assert_eq!(found.ledger, "abcdefgh");
        assert_eq!(found.tick, "web@2026-11-24T18:00:00Z");
        assert_eq!(
            Marker::find("[pipecron abcdefgh web@2026-11-24T18:00:00Z] and more"),
            None
        );
        assert_eq!(Marker::find("by hand"), None);
    }

    #[test]
    fn a_status_is_known_by_its_name() {
        for status in RunStatus::ALL {
            assert_eq!(RunStatus::from_name(status.name()), Some(status));
            assert!(!(status.is_over() && status.is_under_way()));
        }
        assert_eq!(RunStatus::from_name("running"), None);
    }
}
