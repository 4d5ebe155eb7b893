//! A place that log lines are written to, and that may fail: a full disk, a torn network mount, a closed terminal.
//!
//! A failing place loses lines, and nothing else happens: the program goes on. What is lost is counted and told through
//! the log itself, which has another place to go to: at the first line that is lost, every [`TELL_EVERY`] while it
//! lasts, and when the place works again. A line that was half written is ended before the next one begins.
//!
//! It runs in the thread that writes, never in the loop.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use tracing::{error, warn};

use super::plain::{Form, plain};
use crate::domain::{Timestamp, rfc3339};
use crate::os::Clock;

/// How often a trouble that lasts, or that comes and goes, is told.
const TELL_EVERY: TimeDelta = TimeDelta::minutes(5);

/// Where the lines of a log go.
pub(super) struct Sink<W> {
    to: W,
    /// What people call it: `stderr`, `the log files in /var/log/pipecron`.
    name: String,
    form: Form,
    clock: Clock,
    /// All lines that were lost here, for somebody else to look at.
    lost: Arc<AtomicUsize>,
    /// Whether what was written last is not the end of a line.
    torn: bool,
    trouble: Option<Trouble>,
    told_at: Option<Timestamp>,
}

/// Lines are being lost, or were, and not everything about it is told.
#[derive(Debug)]
struct Trouble {
    since: Timestamp,
    lines: usize,
    told: bool,
}

/// What is to be told.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Fails {
        why: String,
        lines: usize,
        since: Timestamp,
    },
    WorksAgain {
        lines: usize,
        since: Timestamp,
    },
}

impl<W: Write> Sink<W> {
    pub(super) fn new(to: W, name: String, form: Form, clock: Clock) -> Self {
        Self {
            to,
            name,
            form,
            clock,
            lost: Arc::default(),
            torn: false,
            trouble: None,
            told_at: None,
        }
    }

    /// The same, where the last line that stands there already has no end.
    pub(super) fn torn(self, torn: bool) -> Self {
        Self { torn, ..self }
    }

    /// Counts the lines that are lost here.
    pub(super) fn lost(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.lost)
    }

    /// Writes a line; says what is to be told about it.
    fn line(&mut self, line: &[u8], now: Timestamp) -> Option<News> {
        let text = String::from_utf8_lossy(line);
        // An end of a line within it would make two of it, and the second could look like anything.
        let text = text
            .strip_suffix('\n')
            .unwrap_or(&text)
            .replace('\n', "\\n");
        let text = plain(&text, self.form);
        let whole = format!("{}{text}\n", if self.torn { "\n" } else { "" });
        match self.write_whole(whole.as_bytes()) {
            Ok(()) => self.works(now),
            Err(error) => self.fails(&error, now),
        }
    }

    fn write_whole(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.to.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    let (done, rest) = bytes.split_at(written.min(bytes.len()));
                    self.torn = !done.ends_with(b"\n");
                    bytes = rest;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn fails(&mut self, error: &io::Error, now: Timestamp) -> Option<News> {
        self.lost.fetch_add(1, Ordering::Relaxed);
        let is_due = self.is_due(now);
        let trouble = self.trouble.get_or_insert(Trouble {
            since: now,
            lines: 0,
            told: false,
        });
        trouble.lines += 1;
        if !is_due {
            return None;
        }
        trouble.told = true;
        self.told_at = Some(now);
        Some(News::Fails {
            why: error.to_string(),
            lines: trouble.lines,
            since: trouble.since,
        })
    }

    /// A place that fails with every second line must not fill the log with news of it: recovery is told at once only
    /// if the failure was.
    fn works(&mut self, now: Timestamp) -> Option<News> {
        let is_due = self.is_due(now);
        let trouble = self.trouble.take_if(|trouble| trouble.told || is_due)?;
        self.told_at = Some(now);
        Some(News::WorksAgain {
            lines: trouble.lines,
            since: trouble.since,
        })
    }

    /// A clock that was set back must not silence us, so the distance counts.
    fn is_due(&self, now: Timestamp) -> bool {
        self.told_at
            .is_none_or(|told_at| (now - told_at).abs() >= TELL_EVERY)
    }

    /// Tells through the log, whose queues never block. What of it comes back here is lost like any other line.
    fn tell(&self, news: News) {
        let name = &self.name;
        match news {
            News::Fails { why, lines: 1, .. } => error!(
                "cannot write to {name}: {why}; lines are lost there from now on, and counted; the ledger has everything"
            ),
            News::Fails { why, lines, since } => error!(
                lines,
                "still cannot write to {name}: {why}; {lines} lines were lost since {}",
                rfc3339(since)
            ),
            News::WorksAgain { lines, since } => warn!(
                lines,
                "{name} can be written to again; {} lost since {}",
                lines_were(lines),
                rfc3339(since)
            ),
        }
    }
}

/// `1 line was`, `7 lines were`.
pub(super) fn lines_were(lines: usize) -> String {
    match lines {
        1 => "1 line was".to_owned(),
        _ => format!("{lines} lines were"),
    }
}

/// A line comes in one piece. It never fails: nobody could do anything about it.
impl<W: Write> Write for Sink<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let now = self.clock.now();
        if let Some(news) = self.line(line, now) {
            self.tell(news);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What a file keeps back in its own buffer is not lost line by line; ours keep nothing back.
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            // A disk takes what fits, and says so.
            let fits = bytes.len().min(self.room);
            self.room -= fits;
            self.written.extend_from_slice(&bytes[..fits]);
            Ok(fits)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn sink(room: usize) -> Sink<Disk> {
        let disk = Disk {
            written: Vec::new(),
            room,
        };
        Sink::new(disk, "the disk".to_owned(), Form::Text, Clock::system())
    }

    fn written(sink: &Sink<Disk>) -> &str {
        std::str::from_utf8(&sink.to.written).unwrap()
    }

    fn at(secs: i64) -> Timestamp {
        chrono::DateTime::from_timestamp(1_800_000_000 + secs, 0).unwrap()
    }

    fn fails(lines: usize, since: i64) -> Option<News> {
        let why = io::Error::from(ErrorKind::StorageFull).to_string();
        let since = at(since);
        Some(News::Fails { why, lines, since })
    }

    fn works(lines: usize, since: i64) -> Option<News> {
        let since = at(since);
        Some(News::WorksAgain { lines, since })
    }

    #[test]
    fn lost_lines_are_counted_and_told_at_once_now_and_then_and_at_the_end() {
        let mut sink = sink(0);
        assert_eq!(sink.line(b"1\n", at(0)), fails(1, 0), "at once");
        assert_eq!(sink.line(b"2\n", at(1)), None);
        assert_eq!(sink.line(b"3\n", at(299)), None, "not with every line");
        assert_eq!(sink.line(b"4\n", at(300)), fails(4, 0), "now and then");
        assert_eq!(sink.line(b"5\n", at(301)), None);
        sink.to.room = 100;
        assert_eq!(sink.line(b"6\n", at(302)), works(5, 0), "at the end");
        assert_eq!(sink.line(b"7\n", at(303)), None);
        assert_eq!(written(&sink), "6\n7\n");
        assert_eq!(sink.lost().load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_torn_line_is_ended_before_the_next_one_begins() {
        let mut sink = sink(14);
        for (line, news) in [
            ("whole line\n", None),
            ("torn line\n", fails(1, 0)),
            ("lost line\n", None),
        ] {
            assert_eq!(sink.line(line.as_bytes(), at(0)), news, "{line}");
        }
        assert_eq!(written(&sink), "whole line\ntor");
        // Room for the line end alone: it is not written twice.
        sink.to.room = 1;
        assert_eq!(sink.line(b"lost too\n", at(1)), None);
        sink.to.room = 100;
        assert_eq!(sink.line(b"next\n", at(2)), works(3, 0));
        assert_eq!(sink.line(b"after\n", at(3)), None);
        assert_eq!(written(&sink), "whole line\ntor\nnext\nafter\n");
    }

    #[test]
    fn a_file_that_ends_in_the_middle_of_a_line_is_gone_on_with_on_a_new_one() {
        let mut sink = sink(100).torn(true);
        assert_eq!(sink.line(b"next\n", at(0)), None);
        assert_eq!(written(&sink), "\nnext\n");
    }

    #[test]
    fn a_place_that_fails_with_every_second_line_is_told_of_now_and_then() {
        let mut sink = sink(0);
        let mut told = Vec::new();
        for second in 0..1_000 {
            sink.to.room = if second % 2 == 0 { 0 } else { 100 };
            let news = sink.line(b"x\n", at(second));
            told.extend(news.map(|news| (second, news)));
        }
        let (seconds, news): (Vec<i64>, Vec<News>) = told.into_iter().unzip();
        assert_eq!(seconds, [0, 1, 301, 601, 901]);
        let counted: usize = news
            .iter()
            .map(|news| match news {
                News::WorksAgain { lines, .. } => *lines,
                News::Fails { .. } => 0,
            })
            .sum();
        assert_eq!(counted, 451, "none is left out up to the last news");
        assert_eq!(sink.lost().load(Ordering::Relaxed), 500);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_it() {
        let mut sink = sink(0);
        assert!(sink.line(b"x\n", at(0)).is_some());
        assert_eq!(sink.line(b"x\n", at(-3_600)), fails(2, 0));
    }

    #[test]
    fn a_line_is_one_line_and_steers_nothing() {
        let mut sink = sink(1_000);
        sink.line("a\nINFO forged\u{1b}[2J\u{202e}\n".as_bytes(), at(0));
        assert_eq!(written(&sink), "a\\nINFO forged\\u{1b}[2J\\u{202e}\n");
    }
}
