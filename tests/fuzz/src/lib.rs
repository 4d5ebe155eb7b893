//! What is thrown at the parts that read what others wrote: each target takes any bytes, and panics when a promise does
//! not hold.
//!
//! Two drivers use them: `cargo fuzz` (this package) looks for new ways through the code, and `tests/fuzzed` of the main
//! package includes this file, replays what is kept, and throws mutations of it, in the ordinary `cargo test`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a target says what is wrong by failing"
)]

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use pipecron::os::zones::Zones;

pub mod answer;
pub mod config;
pub mod pattern;
pub mod search;
pub mod template;
pub mod words;

/// Something that reads bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its folders.
    pub name: &'static str,
    /// Reads the bytes; panics when a promise does not hold.
    pub run: fn(&[u8]),
    /// What its inputs are made of.
    pub words: &'static [&'static str],
    /// Longer inputs are not tried.
    pub bytes_max: usize,
}

/// All of them.
pub const ALL: [Target; 6] = [
    pattern::TARGET,
    config::TARGET,
    answer::TARGET,
    search::TARGET,
    template::TARGET,
    words::TARGET,
];

/// Zone data that is the same everywhere.
static ZONES: LazyLock<Zones> = LazyLock::new(Zones::built_in);

/// The present.
fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_543_200, 0).expect("an instant: 2026-11-24T18:00:00Z")
}

/// Whether a line can be printed without steering the terminal.
fn is_plain(line: &str) -> bool {
    !line.contains(|letter: char| {
        letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}
