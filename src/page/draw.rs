//! Small drawings as paths of SVG: one path for each class, so that thousands of them stay small.
//!
//! Colours are the style sheet's; nothing here needs a style of its own, which the pages' security policy would refuse.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::STRIP_TICKS;
use super::figures::{Load, STRETCHES, usual};
use crate::daemon::night::{Class, duration};
use crate::domain::Timestamp;
use crate::ledger::Glance;

/// What the paths of one class draw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// For the style sheet.
    pub(super) class: &'static str,
    /// The path.
    pub(super) d: String,
}

/// A drawing and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Drawing {
    /// What it says, for those who do not see it.
    pub(super) words: String,
    /// What is drawn.
    pub(super) paths: Vec<Path>,
}

/// Width of one tick in a strip, its gap included.
const SLOT: usize = 7;
/// Height of a strip.
const STRIP_HEIGHT: usize = 20;
/// Width of a strip.
pub(super) const STRIP_WIDTH: usize = SLOT * STRIP_TICKS as usize;

/// The last ticks of an entry, the newest at the right.
pub(super) fn strip(glances: &[Glance]) -> Drawing {
    let shown = &glances[..glances.len().min(STRIP_TICKS as usize)];
    let mut paths: BTreeMap<Class, String> = BTreeMap::new();
    let mut counts: BTreeMap<Class, usize> = BTreeMap::new();
    for (place, glance) in shown.iter().enumerate() {
        let class = Class::of(glance);
        *counts.entry(class).or_default() += 1;
        let x = STRIP_WIDTH - SLOT * (place + 1);
        bar(
            paths.entry(class).or_default(),
            x,
            height(class),
            STRIP_HEIGHT,
            SLOT - 2,
        );
    }
    let counts = Class::ALL.into_iter().filter_map(|class| {
        let count = counts.get(&class)?;
        Some(format!("{count} {}", class.words()))
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    let words = match shown.len() {
        0 => "no ticks yet".to_owned(),
        1 => format!("the last tick: {counts}"),
        many => format!("the last {many} ticks: {counts}"),
    };
    Drawing {
        words,
        paths: by_class(paths),
    }
}

/// Trouble stands out by its height as well.
fn height(class: Class) -> usize {
    match class {
        Class::Failed | Class::NotStarted => STRIP_HEIGHT,
        Class::Canceled | Class::Doubtful => 16,
        Class::Good => 11,
        Class::Running | Class::Waiting => 7,
        Class::LeftOut => 3,
    }
}

fn bar(path: &mut String, x: usize, height: usize, of: usize, width: usize) {
    let y = of - height;
    // A text takes whatever is written to it.
    let _ = write!(path, "M{x} {y}h{width}v{height}h-{width}z");
}

fn by_class(paths: BTreeMap<Class, String>) -> Vec<Path> {
    let path = |(class, d): (Class, String)| Path {
        class: class.name(),
        d,
    };
    paths.into_iter().map(path).collect()
}

/// Width of one run in a chart of lengths.
const RUN: usize = 3;
/// Height of that chart.
const RUN_HEIGHT: usize = 20;
/// Its width.
pub(super) const RUNS_WIDTH: usize = RUN * STRIP_TICKS as usize;

/// How long the last runs took, against the longest of them; the newest at the right. None if nothing is known of any.
pub(super) fn lengths(glances: &[Glance], now: Timestamp) -> Option<Drawing> {
    let shown = &glances[..glances.len().min(STRIP_TICKS as usize)];
    let lengths: Vec<Option<i64>> = shown
        .iter()
        .map(|glance| duration(glance, now).map(|length| length.num_seconds()))
        .collect();
    let longest = lengths
        .iter()
        .flatten()
        .copied()
        .max()?
        .max(usual(shown)?.num_seconds());
    let mut paths: BTreeMap<Class, String> = BTreeMap::new();
    for (place, (length, glance)) in lengths.iter().zip(shown).enumerate() {
        let Some(length) = length else { continue };
        let height = scaled(*length, longest, RUN_HEIGHT).max(1);
        let x = RUNS_WIDTH - RUN * (place + 1);
        let path = paths.entry(Class::of(glance)).or_default();
        bar(path, x, height, RUN_HEIGHT, RUN - 1);
    }
    Some(Drawing {
        words: "how long the last runs took".to_owned(),
        paths: by_class(paths),
    })
}

fn scaled(value: i64, of: i64, height: usize) -> usize {
    let height = i64::try_from(height).unwrap_or_default();
    usize::try_from(value.max(0) * height / of.max(1)).unwrap_or_default()
}

/// Width of one stretch of the coming day.
const STRETCH: usize = 10;
/// Height of the coming day.
pub(super) const DAY_HEIGHT: usize = 80;
/// Its width.
pub(super) const DAY_WIDTH: usize = STRETCH * STRETCHES;

/// The coming day of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Day {
    /// What is drawn.
    pub(super) drawing: Drawing,
    /// How high the limit stands, if there is one.
    pub(super) limit_y: Option<usize>,
    /// Hours, with their place.
    pub(super) hours: Vec<(usize, String)>,
}

/// Draws it.
pub(super) fn day(load: &Load) -> Day {
    let (peak_at, peak) = load.peak();
    let top = peak.max(load.max_running.unwrap_or_default()).max(1);
    let (mut within, mut over) = (String::new(), String::new());
    for (place, runs) in load.runs.iter().enumerate() {
        let height = scaled(i64::from(*runs), i64::from(top), DAY_HEIGHT - 4);
        let is_over = load.max_running.is_some_and(|max| *runs > max);
        if height > 0 {
            let path = if is_over { &mut over } else { &mut within };
            bar(path, STRETCH * place, height, DAY_HEIGHT, STRETCH - 1);
        }
    }
    let clock = |at: Timestamp| at.format("%H:%M").to_string();
    let mut words = match peak {
        0 => "nothing is to be expected in the coming day".to_owned(),
        peak => format!(
            "most at once: {peak} run{}, about {} UTC",
            if peak == 1 { "" } else { "s" },
            clock(peak_at)
        ),
    };
    match load.max_running {
        Some(max) if peak > max => {
            let _ = write!(words, "; more than max_running, {max}: some wait");
        }
        Some(max) => {
            let _ = write!(words, "; max_running is {max}");
        }
        None => {}
    }
    let hours = (0..STRETCHES)
        .step_by(STRETCHES / 8)
        .map(|place| (STRETCH * place, clock(load.begin(place))));
    let paths = [("expected", within), ("over", over)];
    Day {
        limit_y: load
            .max_running
            .map(|max| DAY_HEIGHT - scaled(i64::from(max), i64::from(top), DAY_HEIGHT - 4)),
        hours: hours.collect(),
        drawing: Drawing {
            words,
            paths: paths
                .into_iter()
                .filter(|(_, d)| !d.is_empty())
                .map(|(class, d)| Path { class, d })
                .collect(),
        },
    }
}
