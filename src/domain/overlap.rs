//! May a run start while its pipeline has others under way? One question, answered from what the service shows and what
//! the ledger knows, right before the start.

use std::time::Duration;

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
    /// The other runs are stopped, and when they are over it starts. Of an entry's scheduled ticks only the newest waits.
    Replace,
}

impl Overlap {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Allow, Self::Skip, Self::Queue, Self::Replace];

    /// Whether the pipeline has to be looked at before a start.
    pub fn looks_first(self) -> bool {
        self != Self::Allow
    }

    /// Whether a newer tick of the same entry takes the place of one that waits.
    pub fn keeps_one(self) -> bool {
        matches!(self, Self::Queue | Self::Replace)
    }
}

/// What else a pipeline has under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Other {
    /// A tick of ours of which nobody knows yet whether it started a run: its id.
    Perhaps(String),
    /// A run.
    Run(OtherRun),
}

/// A run that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherRun {
    /// `pipeline_run_id`.
    pub id: String,
    /// The id of its record in the pipeline's queue, while it waits there: it leaves the queue by it alone.
    pub queue_id: Option<String>,
    /// What is said of it in a note: number, status, whose.
    pub words: String,
    /// How long it has been under way, if that is known.
    pub taken: Option<Duration>,
    /// How long it may take before it counts as stuck; none: as long as it likes.
    pub run_timeout: Option<Duration>,
}

impl OtherRun {
    /// Whether it takes longer than it may: it is reported as overdue, and holds nobody back any more.
    fn is_stuck(&self) -> bool {
        matches!((self.taken, self.run_timeout), (Some(taken), Some(limit)) if taken > limit)
    }
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// Start now. If there are stuck runs beside which it starts: which.
    Start(Option<String>),
    /// Look again soon: this is not known yet.
    Hold(String),
    /// Look again later: this has to end first.
    Queue(String),
    /// Do not start at all, because of this.
    Skip(String),
    /// Stop these runs, and look again.
    Stop(Vec<OtherRun>, String),
}

/// Rules on a start beside `others`.
pub fn rule(overlap: Overlap, others: &[Other]) -> Ruling {
    let (mut perhaps, mut stuck, mut under_way) = (Vec::new(), Vec::new(), Vec::new());
    for other in others {
        match other {
            Other::Perhaps(tick) => perhaps.push(tick.as_str()),
            Other::Run(run) if run.is_stuck() => stuck.push(run),
            Other::Run(run) => under_way.push(run),
        }
    }
    let words = |runs: &[&OtherRun]| {
        let words: Vec<&str> = runs.iter().map(|run| run.words.as_str()).collect();
        some_of(&words)
    };
    match overlap {
        Overlap::Allow => Ruling::Start(None),
        Overlap::Skip | Overlap::Queue | Overlap::Replace if !perhaps.is_empty() => {
            let ticks = some_of(&perhaps);
            Ruling::Hold(format!("not known yet whether {ticks} started a run"))
        }
        Overlap::Skip if !under_way.is_empty() => Ruling::Skip(words(&under_way)),
        Overlap::Queue if !under_way.is_empty() => Ruling::Queue(words(&under_way)),
        Overlap::Replace if !under_way.is_empty() => {
            let said = words(&under_way);
            Ruling::Stop(under_way.into_iter().cloned().collect(), said)
        }
        Overlap::Skip | Overlap::Queue | Overlap::Replace => {
            Ruling::Start((!stuck.is_empty()).then(|| words(&stuck)))
        }
    }
}

/// The first few of them, and how many there are beside.
fn some_of(words: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = words.get(..SHOWN.min(words.len())).unwrap_or_default();
    let more = words.len() - shown.len();
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, minutes: u64, run_timeout: Option<u64>) -> Other {
        Other::Run(OtherRun {
            id: id.to_owned(),
            queue_id: None,
            words: format!("run {id}"),
            taken: Some(Duration::from_secs(minutes * 60)),
            run_timeout: run_timeout.map(|minutes| Duration::from_secs(minutes * 60)),
        })
    }

    #[test]
    fn each_policy_rules_in_its_own_way() {
        let free: &[Other] = &[];
        let busy = &[run("r1", 30, Some(60)), run("r2", 30, None)];
        let stuck = &[run("r1", 61, Some(60))];
        let perhaps = &[run("r1", 30, Some(60)), Other::Perhaps("a@x".to_owned())];
        for (overlap, others, expected) in [
            (Overlap::Allow, free, "Start(None)"),
            (Overlap::Allow, busy, "Start(None)"),
            (Overlap::Allow, perhaps, "Start(None)"),
            (Overlap::Skip, free, "Start(None)"),
            (Overlap::Queue, free, "Start(None)"),
            (Overlap::Replace, free, "Start(None)"),
            (Overlap::Skip, busy, "Skip(\"run r1, run r2\")"),
            (Overlap::Queue, busy, "Queue(\"run r1, run r2\")"),
            (Overlap::Replace, busy, "Stop(2, \"run r1, run r2\")"),
            (Overlap::Skip, stuck, "Start(Some(\"run r1\"))"),
            (Overlap::Queue, stuck, "Start(Some(\"run r1\"))"),
            (Overlap::Replace, stuck, "Start(Some(\"run r1\"))"),
            (
                Overlap::Skip,
                perhaps,
                "Hold(\"not known yet whether a@x started a run\")",
            ),
            (
                Overlap::Queue,
                perhaps,
                "Hold(\"not known yet whether a@x started a run\")",
            ),
            (
                Overlap::Replace,
                perhaps,
                "Hold(\"not known yet whether a@x started a run\")",
            ),
        ] {
            let ruling = rule(overlap, others);
            let said = if let Ruling::Stop(runs, words) = ruling {
                format!("Stop({}, {words:?})", runs.len())
            } else {
                format!("{ruling:?}")
            };
            assert_eq!(said, expected, "{overlap:?} {others:?}");
        }
    }

    #[test]
    fn a_run_of_unknown_age_is_never_called_stuck() {
        let Other::Run(mut waits) = run("r1", 0, Some(1)) else {
            return;
        };
        waits.taken = None;
        let ruling = rule(Overlap::Skip, &[Other::Run(waits)]);
        assert_eq!(ruling, Ruling::Skip("run r1".to_owned()));
    }

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(some_of(&["a", "b", "c"]), "a, b, c");
        assert_eq!(some_of(&["a", "b", "c", "d", "e"]), "a, b, c and 2 more");
        assert_eq!(some_of(&[]), "");
    }
}
