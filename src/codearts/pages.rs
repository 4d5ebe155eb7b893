//! A list that is read page by page, and may change while it is read. Pure.
//!
//! A run that starts between two pages moves every row down by one: a row comes twice. One that is deleted moves them
//! up: a row is never shown. So a page is asked for from a little before the end of the last one; if no row of it was
//! seen, rows may have slipped by, and the list is read again from the top. What is promised: either every row that was
//! in the list when its first page was read, and stayed, was seen (as many as are wanted), or [`Pages::cut`] says why not.

use std::collections::HashSet;

use super::calls::{Page, QueueRecord};
use crate::domain::sighting::SeenRun;

/// The most pages of a list that are read.
pub(super) const PAGES_MAX: u32 = 50;
/// How often a list is read again from the top because it changed.
const AGAIN_MAX: u32 = 2;
/// A page overlaps the one before it by this part of that one's rows.
const OVERLAP_PART: u64 = 10;

/// What is in a list of runs.
pub(super) trait Row {
    /// Which run it is of.
    fn run_id(&self) -> &str;
}

impl Row for SeenRun {
    fn run_id(&self) -> &str {
        &self.run_id
    }
}

impl Row for QueueRecord {
    fn run_id(&self) -> &str {
        &self.run_id
    }
}

/// A list as far as it was read: each run once.
#[derive(Debug)]
pub(super) struct Pages<R> {
    /// The rows, in the order they were first seen.
    pub(super) rows: Vec<R>,
    known: HashSet<String>,
    rows_wanted: usize,
    pages: u32,
    again: u32,
    reading: Reading,
    state: State,
}

/// One reading of the list, from its top.
#[derive(Debug, Default)]
struct Reading {
    offset: u64,
    /// How many rows of the next page should be known.
    overlap: u64,
    seen: HashSet<String>,
    /// How many rows were of a run that the same page has twice.
    twice: u64,
    /// How many rows the list had at first.
    total: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Reading,
    Whole,
    /// As many rows were read as were wanted.
    Enough,
    Cut(String),
}

impl<R: Row> Pages<R> {
    /// A list of which no more than the first `rows_wanted` rows are wanted; a page may bring more.
    pub(super) fn new(rows_wanted: usize) -> Self {
        Self {
            rows: Vec::new(),
            known: HashSet::new(),
            rows_wanted,
            pages: 0,
            again: 0,
            reading: Reading::default(),
            state: State::Reading,
        }
    }

    /// Where the page begins that is to be read next; none if no more is read.
    pub(super) fn next(&self) -> Option<u64> {
        (self.state == State::Reading).then_some(self.reading.offset)
    }

    /// Why rows may have been missed, if so.
    pub(super) fn cut(&self) -> Option<&str> {
        match &self.state {
            State::Reading => Some("it was not read to its end"),
            State::Whole | State::Enough => None,
            State::Cut(why) => Some(why),
        }
    }

    /// Takes the page that begins at [`Pages::next`].
    pub(super) fn take(&mut self, page: Page<R>) {
        self.pages += 1;
        let count = page.rows.len() as u64;
        let reading = &mut self.reading;
        // An empty page is apart too: the list has become shorter than what we have read of it.
        let is_apart = reading.overlap > 0
            && !page
                .rows
                .iter()
                .any(|row| reading.seen.contains(row.run_id()));
        let seen_before = reading.seen.len();
        let ids: HashSet<&str> = page.rows.iter().map(Row::run_id).collect();
        reading.twice += (page.rows.len() - ids.len()) as u64;
        for row in page.rows {
            reading.seen.insert(row.run_id().to_owned());
            if self.known.insert(row.run_id().to_owned()) {
                self.rows.push(row);
            }
        }
        let nothing_new = reading.seen.len() == seen_before;
        let end = reading.offset.saturating_add(count);
        let first_total = *reading
            .total
            .get_or_insert_with(|| page.total.unwrap_or(u64::MAX));
        let has_ended = match page.total {
            Some(total) => count == 0 || end >= total,
            // Whoever does not say how many there are shows no more when there are no more.
            None => nothing_new,
        };
        let is_short = page.total.is_some_and(|total| {
            reading.seen.len() as u64 + reading.twice < total.min(first_total)
        });
        if is_apart || (has_ended && is_short) {
            self.begin_again();
        } else if has_ended {
            self.state = State::Whole;
        } else if self.rows.len() >= self.rows_wanted {
            self.state = State::Enough;
        } else {
            reading.overlap = if count > 1 {
                count.div_ceil(OVERLAP_PART)
            } else {
                0
            };
            reading.offset = end - reading.overlap;
        }
        if self.state == State::Reading && self.pages >= PAGES_MAX {
            self.state = State::Cut(format!("only {PAGES_MAX} pages of it were read"));
        }
    }

    fn begin_again(&mut self) {
        self.again += 1;
        self.reading = Reading::default();
        if self.again > AGAIN_MAX {
            self.state = State::Cut("it kept changing while it was read".to_owned());
        }
    }
}
