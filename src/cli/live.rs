//! What is waited for, in one line at the bottom of a terminal: it is written over each second, and goes away when there is
//! something to say. Where nobody looks there is none.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::config::shown;
use crate::os;

/// How often it is written.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// Widest line, in characters: one that wraps cannot be written over.
const WIDTH_MAX: usize = 78;
/// Back to the beginning of the line, and all of it is cleared.
const CLEAR: &str = "\r\x1b[2K";

/// The line.
#[derive(Debug)]
pub(super) struct Live {
    is_on: bool,
    is_drawn: bool,
    begun: Instant,
}

impl Live {
    pub(super) fn new() -> Self {
        let is_dumb = os::variable("TERM").is_none_or(|terminal| terminal == "dumb");
        Self {
            is_on: io::stderr().is_terminal() && !is_dumb,
            is_drawn: false,
            begun: Instant::now(),
        }
    }

    /// Whether anybody looks.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Writes it.
    pub(super) fn draw(&mut self, tick: &Value) -> io::Result<()> {
        if !self.is_on {
            return Ok(());
        }
        self.is_drawn = true;
        // What moves the cursor is ours; everything else is as it may be shown.
        let line = line(tick, self.begun.elapsed());
        let mut err = io::stderr().lock();
        write!(err, "{CLEAR}{line}")?;
        err.flush()
    }

    /// Takes it away, before something else is printed.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_drawn) {
            let mut err = io::stderr().lock();
            write!(err, "{CLEAR}")?;
            err.flush()?;
        }
        Ok(())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.clear();
    }
}

fn line(tick: &Value, waited: Duration) -> String {
    let seconds = waited.as_secs();
    let clock = format!("{}:{:02}", seconds / 60, seconds % 60);
    let text = |key: &str| tick[key].as_str().map(shown);
    let state = text("state").unwrap_or_else(|| "waiting".to_owned());
    let what = match (text("run_id"), text("note")) {
        (Some(run), _) => format!("run {run}"),
        (None, Some(note)) => note,
        (None, None) => String::new(),
    };
    let line = format!("{clock}  {state}  {what}");
    match line.chars().count() > WIDTH_MAX {
        true => line.chars().take(WIDTH_MAX - 1).chain(['…']).collect(),
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_how_long_and_for_what_and_never_wraps() {
        let waited = Duration::from_secs(125);
        let tick = json!({ "state": "running", "run_id": "5f3a", "note": "started" });
        assert_eq!(line(&tick, waited), "2:05  running  run 5f3a");
        let tick = json!({ "state": "waiting", "run_id": null, "note": "all 2 places are taken" });
        let said = line(&tick, Duration::ZERO);
        assert_eq!(said, "0:00  waiting  all 2 places are taken");
        let tick = json!({ "state": "doubtful", "note": "\u{1b}[2J".repeat(60) });
        let said = line(&tick, waited);
        assert_eq!(said.chars().count(), WIDTH_MAX);
        assert!(!said.contains('\u{1b}') && said.ends_with('…'), "{said}");
    }
}
