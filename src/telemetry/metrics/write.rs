//! What is counted as a page that Prometheus reads. Names and forms are ours, escaping and numbers the library's.

use std::fmt::Error;

use chrono::TimeDelta;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::names::*;
use super::{Counts, ENTRIES_MAX, Histogram, OfAccount, Source};
use crate::domain::pause::Pause;
use crate::domain::{AccountName, Entry, Timestamp};

/// How the page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Prometheus' own text format, 0.0.4.
    Prometheus,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

impl Form {
    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What a reader likes best of the two, by its `Accept`.
    pub fn wanted(accept: &str) -> Self {
        let weight = |wanted: &str| {
            let mut best: f64 = 0.0;
            for part in accept.split(',') {
                let mut words = part.split(';').map(str::trim);
                if !words
                    .next()
                    .unwrap_or_default()
                    .eq_ignore_ascii_case(wanted)
                {
                    continue;
                }
                let given = words.find_map(|word| word.strip_prefix("q="));
                let given = given.map_or(Some(1.0), |given| given.trim().parse::<f64>().ok());
                best = best.max(given.unwrap_or_default());
            }
            best
        };
        let open = weight("application/openmetrics-text");
        if open > 0.0 && open >= weight("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }
}

/// What is not counted, but looked at when somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Outside {
    /// The moment.
    pub now: Timestamp,
    /// Our version.
    pub version: String,
    /// The zone data's.
    pub tzdata: String,
    /// What holds entries still.
    pub pauses: Vec<Pause>,
    /// Log lines that were lost.
    pub lines_lost: u64,
    /// What the process takes.
    pub process: Process,
}

/// What the process takes of the machine; what is not known is left out.
#[derive(Debug, Clone, Default)]
pub struct Process {
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// CPU time.
    pub cpu_seconds: Option<f64>,
    /// Memory in RAM.
    pub resident_bytes: Option<u64>,
    /// Open files and sockets.
    pub open_fds: Option<u64>,
    /// How many may be.
    pub max_fds: Option<u64>,
}

pub(super) fn page(counts: Counts, form: Form, outside: Outside) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Written { counts, outside }));
    let mut page = String::new();
    let written = match form {
        Form::Prometheus => prometheus_text::encode(&mut page, &registry),
        Form::OpenMetrics => text::encode(&mut page, &registry),
    };
    // Writing into a text does not fail, and half a page would be taken for a whole one.
    match written {
        Ok(()) => page,
        Err(Error) => String::new(),
    }
}

#[derive(Debug)]
struct Written {
    counts: Counts,
    outside: Outside,
}

/// A number: counted, or measured.
#[derive(Debug, Clone, Copy)]
enum Value {
    Count(u64),
    Real(f64),
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Self::Count(is.into())
    }
}

impl From<f64> for Value {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

impl From<Timestamp> for Value {
    fn from(at: Timestamp) -> Self {
        // Exact to the microsecond for three hundred years.
        Self::Real(at.timestamp_micros() as f64 / 1e6)
    }
}

/// The labels of a series, and its number.
type Row<'r> = (Vec<&'r str>, Value);

/// What is there or not, as a series without labels.
fn lone<'r>(value: Option<impl Into<Value>>) -> Option<Row<'r>> {
    Some((Vec::new(), value?.into()))
}

fn by_word<'r>(
    words: impl IntoIterator<Item = (&'r &'static str, &'r u64)>,
) -> impl Iterator<Item = Row<'r>> {
    let words = words.into_iter();
    words.map(|(word, count)| (vec![*word], (*count).into()))
}

struct Out<'o>(DescriptorEncoder<'o>);

impl Out<'_> {
    /// A counter or a gauge. Without a series its name and help are written all the same.
    fn put<'r>(
        &mut self,
        family: &Family,
        rows: impl IntoIterator<Item = Row<'r>>,
    ) -> Result<(), Error> {
        let (name, kind) = match family.kind {
            // The library adds it again.
            Kind::Counter => (family.name.trim_end_matches("_total"), MetricType::Counter),
            Kind::Gauge | Kind::Histogram => (family.name, MetricType::Gauge),
        };
        let mut out = self.0.encode_descriptor(name, family.help, None, kind)?;
        for (values, value) in rows {
            let labels: Vec<_> = family.labels.iter().copied().zip(values).collect();
            let mut series = out.encode_family(&labels)?;
            match (family.kind, value) {
                (Kind::Counter, Value::Count(count)) => {
                    series.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
                }
                (Kind::Counter, Value::Real(real)) => {
                    series.encode_counter::<NoLabelSet, _, f64>(&real, None)?;
                }
                (Kind::Gauge | Kind::Histogram, Value::Count(count)) => {
                    series.encode_gauge(&count)?;
                }
                (Kind::Gauge | Kind::Histogram, Value::Real(real)) => series.encode_gauge(&real)?,
            }
        }
        Ok(())
    }

    fn histograms<'r>(
        &mut self,
        family: &Family,
        rows: impl IntoIterator<Item = (Vec<&'r str>, &'r Histogram)>,
    ) -> Result<(), Error> {
        let kind = MetricType::Histogram;
        let mut out = self
            .0
            .encode_descriptor(family.name, family.help, None, kind)?;
        for (values, histogram) in rows {
            let labels: Vec<_> = family.labels.iter().copied().zip(values).collect();
            let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(histogram.buckets.iter().copied()).collect();
            let count = histogram.buckets.iter().sum();
            out.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                histogram.sum,
                count,
                &buckets,
                None,
            )?;
        }
        Ok(())
    }
}

impl Collector for Written {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut out = Out(encoder);
        let Outside {
            version, tzdata, ..
        } = &self.outside;
        out.put(
            &BUILD,
            [(vec![version.as_str(), tzdata.as_str()], true.into())],
        )?;
        self.ticks(&mut out)?;
        self.accounts(&mut out)?;
        self.entries(&mut out)?;
        self.config(&mut out)?;
        self.daemon(&mut out)?;
        self.process(&mut out)
    }
}

impl Written {
    fn ticks(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let counts = &self.counts;
        out.put(&TICKS_OPENED, by_word(&counts.opened))?;
        out.put(&TICKS_ENDED, by_word(&counts.ended))?;
        out.put(&TICKS_OPEN, by_word(&counts.open))?;
        out.histograms(&LATENESS, [(Vec::new(), &counts.lateness)])
    }

    fn accounts(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let (accounts, now) = (&self.counts.accounts, self.outside.now);
        let each = |value: &dyn Fn(&AccountName, &OfAccount) -> Option<Value>| {
            let rows = accounts
                .iter()
                .filter_map(|(name, account)| Some((vec![name.as_str()], value(name, account)?)));
            rows.collect::<Vec<Row<'_>>>()
        };
        let attempts = accounts.iter().flat_map(|(name, account)| {
            let classes = account.attempts.iter();
            classes.map(|(class, count)| (vec![name.as_str(), class], (*count).into()))
        });
        out.put(&ATTEMPTS, attempts)?;
        let requests = accounts.iter().flat_map(|(name, account)| {
            let calls = account.requests.iter();
            calls.map(|(call, took)| (vec![name.as_str(), *call], took))
        });
        out.histograms(&REQUESTS, requests)?;
        let max_running = |name: &AccountName| {
            let account = self.counts.setup.accounts.get(name)?;
            Some(u64::from(account.max_running?).into())
        };
        let rests = |account: &OfAccount| account.stands.rests_until.is_some_and(|at| at > now);
        out.put(&RUNNING, each(&|_, account| Some(account.running.into())))?;
        out.put(&MAX_RUNNING, each(&|name, _| max_running(name)))?;
        out.put(
            &BREAKER,
            each(&|_, account| Some(account.stands.is_broken.into())),
        )?;
        out.put(&RESTING, each(&|_, account| Some(rests(account).into())))?;
        out.put(
            &REFUSED,
            each(&|_, account| Some(account.stands.is_refused.into())),
        )?;
        out.put(
            &THROTTLED,
            each(&|_, account| Some(account.throttled.into())),
        )?;
        out.put(
            &TOKEN,
            each(&|_, account| account.token_ends.map(Into::into)),
        )?;
        let skew =
            |account: &OfAccount| Some((account.skew?.num_milliseconds() as f64 / 1e3).into());
        out.put(&SKEW, each(&|_, account| skew(account)))
    }

    fn entries(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let (counts, setup) = (&self.counts, &self.counts.setup);
        let success = counts
            .entries
            .iter()
            .filter_map(|(name, entry)| Some((vec![name.as_str()], entry.last_success?.into())));
        out.put(&LAST_SUCCESS, success)?;
        let ended = counts
            .entries
            .iter()
            .filter_map(|(name, entry)| Some((vec![name.as_str()], entry.ended_well?.into())));
        out.put(&LAST_END, ended)?;
        let due = setup
            .shown()
            .filter_map(|(name, entry)| Some((vec![name.as_str()], self.next_due(entry)?.into())));
        out.put(&NEXT_DUE, due)?;
        let (mut active, mut paused, mut disabled) = (0_u64, 0_u64, 0_u64);
        for entry in setup.entries.values() {
            if !entry.enabled {
                disabled += 1;
            } else if self.held(entry).is_some() {
                paused += 1;
            } else {
                active += 1;
            }
        }
        let states = [
            ("active", active),
            ("paused", paused),
            ("disabled", disabled),
        ];
        out.put(
            &ENTRIES,
            states.map(|(state, count)| (vec![state], count.into())),
        )?;
        let left_out = setup.entries.len().saturating_sub(ENTRIES_MAX);
        out.put(&LEFT_OUT, lone(Some(left_out as u64)))
    }

    /// What holds an entry still, the pause that ends last.
    fn held(&self, entry: &Entry) -> Option<&Pause> {
        let holds = |pause: &&Pause| {
            pause.holds(self.outside.now) && pause.scope.includes(&entry.name, &entry.labels)
        };
        let pauses = self.outside.pauses.iter().filter(holds);
        pauses.max_by_key(|pause| (pause.until.is_none(), pause.until))
    }

    fn next_due(&self, entry: &Entry) -> Option<Timestamp> {
        let schedule = entry.schedule.as_ref().filter(|_| entry.enabled)?;
        let free_from = match self.held(entry) {
            None => self.outside.now,
            Some(pause) => pause.until?,
        };
        let after_begin = entry.not_before.map_or(free_from, |begin| {
            // What is due at the very beginning counts.
            free_from.max(begin - TimeDelta::nanoseconds(1))
        });
        let due = schedule.next_after(after_begin)?;
        entry.not_after.is_none_or(|end| due <= end).then_some(due)
    }

    fn config(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let counts = &self.counts;
        let loaded = counts.loaded.as_ref();
        let results = [("refused", counts.refused), ("taken", counts.taken)];
        out.put(
            &RELOADS,
            results.map(|(result, count)| (vec![result], count.into())),
        )?;
        out.put(&LAST_RELOAD, lone(Some(counts.last_read_well)))?;
        out.put(&LOADED_AT, lone(loaded.map(|loaded| loaded.at)))?;
        let is_kept = loaded.is_some_and(|loaded| loaded.source == Source::Ledger);
        out.put(&FROM_LEDGER, lone(Some(is_kept)))?;
        let hash = loaded.map(|loaded| (vec![loaded.hash.as_str()], true.into()));
        out.put(&CONFIG, hash)
    }

    fn daemon(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let counts = &self.counts;
        out.histograms(&COMMITS, [(Vec::new(), &counts.commits)])?;
        out.put(&LEDGER_ERRORS, lone(Some(counts.ledger_errors)))?;
        out.put(&LINES_LOST, lone(Some(self.outside.lines_lost)))?;
        out.put(&WAKES, lone(Some(counts.wakes)))?;
        out.put(&PROGRESS, lone(counts.progress))
    }

    fn process(&self, out: &mut Out<'_>) -> Result<(), Error> {
        let process = &self.outside.process;
        out.put(&STARTED, lone(process.started_at))?;
        out.put(&CPU, lone(process.cpu_seconds))?;
        out.put(&MEMORY, lone(process.resident_bytes))?;
        out.put(&FDS, lone(process.open_fds))?;
        out.put(&FDS_MAX, lone(process.max_fds))
    }
}
