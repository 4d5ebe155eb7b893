//! The pages, each from what is known at one moment; here what they have in common.

use askama::Template;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Sight;
use super::figures::usual;
use super::words::{self, When};
use crate::config::{self, is_unseen, shown};
use crate::daemon::night::{Class, duration};
use crate::domain::zone::Zone;
use crate::domain::{AccountName, Entry, EntryName, Run, Timestamp, rfc3339};
use crate::ledger::Glance;

mod entry;
mod index;
mod tick;

pub use entry::entry;
pub use index::index;
pub use tick::tick;

/// A page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The status of the answer.
    pub status: u16,
    /// The text.
    pub html: String,
}

/// What somebody looks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    words: String,
}

/// Longest text that is looked for, in characters.
const QUERY_CHARS_MAX: usize = 200;

impl Query {
    /// Of these words; what is too long is cut.
    pub fn new(words: &str) -> Self {
        Self {
            // It is shown again in its field, where nothing that cannot be seen belongs.
            words: words
                .chars()
                .filter(|c| !is_unseen(*c))
                .take(QUERY_CHARS_MAX)
                .collect(),
        }
    }

    fn wants(&self, text: &str) -> bool {
        let mut words = self.words.split_whitespace();
        words.all(|word| text.contains(&word.to_lowercase()))
    }
}

/// What every page has around it.
struct Frame {
    node: String,
    mood: &'static str,
    now: When,
    version: &'static str,
    ledger_id: String,
    started: Option<When>,
}

impl Frame {
    fn of(sight: &Sight) -> Self {
        let answer = sight.answer();
        let is_bad = answer.is_trouble() || !alarms(sight).is_empty();
        let mood = match (is_bad, answer.is_open()) {
            (true, _) => "bad",
            (false, true) => "open",
            (false, false) => "fine",
        };
        Self {
            node: shown(&sight.node),
            mood,
            now: When::new(sight.now, None),
            version: env!("CARGO_PKG_VERSION"),
            ledger_id: sight.ledger_id.clone(),
            started: sight.started_at.map(|at| When::new(at, None)),
        }
    }
}

/// What stays as it is within a segment of a path.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn entry_url(name: &str) -> String {
    format!("/entry/{}", utf8_percent_encode(name, &SEGMENT))
}

fn tick_url(id: &str) -> String {
    format!("/tick/{}", utf8_percent_encode(id, &SEGMENT))
}

fn zone_of<'s>(sight: &'s Sight, entry: &EntryName) -> Option<&'s Zone> {
    let schedule = sight.entries.get(entry)?.schedule.as_ref()?;
    Some(schedule.zone())
}

/// A link to a run.
struct RunLink {
    words: String,
    url: Option<String>,
}

impl RunLink {
    fn of(sight: &Sight, account: &AccountName, project: &str, pipeline: &str, run: &Run) -> Self {
        let words = match (&run.number, run.id.is_empty()) {
            (Some(number), _) => format!("number {number}"),
            (None, false) => shown(&run.id),
            (None, true) => "in the pipeline's queue".to_owned(),
        };
        let account = sight.accounts.get(account);
        Self {
            words,
            url: account.and_then(|account| account.run_page(project, pipeline, &run.id)),
        }
    }
}

/// A tick in a table.
struct TickRow {
    entry: String,
    entry_url: String,
    url: String,
    due: When,
    class: &'static str,
    state: String,
    note: String,
    run: Option<RunLink>,
}

impl TickRow {
    fn of(sight: &Sight, glance: &Glance) -> Self {
        let at = &glance.at;
        let run = glance
            .run
            .as_ref()
            .map(|run| RunLink::of(sight, &at.account, &at.project_id, &at.pipeline_id, run));
        Self {
            entry: glance.entry.to_string(),
            entry_url: entry_url(glance.entry.as_str()),
            url: tick_url(glance.id.as_str()),
            due: When::new(glance.due, zone_of(sight, &glance.entry)),
            class: Class::of(glance).name(),
            state: words::state(glance),
            note: shown(&glance.note),
            run,
        }
    }
}

/// Something that needs somebody.
struct Alarm {
    text: String,
    details: Vec<String>,
}

/// Problems of a reload that are shown.
const PROBLEMS_MAX: usize = 20;

fn alarms(sight: &Sight) -> Vec<Alarm> {
    let plain = |text: String| Alarm {
        text,
        details: Vec::new(),
    };
    let mut alarms = Vec::new();
    if sight.ledger_fails {
        alarms.push(plain(
            "The ledger fails: nothing is started until it works again. The log says why."
                .to_owned(),
        ));
    }
    for (name, health) in &sight.health {
        if health.is_refused {
            let when = health
                .rests_until
                .map_or_else(String::new, |at| format!(", next at {}", rfc3339(at)));
            alarms.push(plain(format!(
                "The service refuses the credentials of account {name}; they are tried again{when}."
            )));
        } else if health.is_broken {
            alarms.push(plain(format!(
                "The service fails for account {name}: its ticks wait within their deadlines, and one request at a time looks \
                 whether it is well again."
            )));
        }
    }
    if let Some(reload) = &sight.reload
        && !reload.problems.is_empty()
    {
        let all = reload.problems.len();
        let mut details: Vec<String> = reload
            .problems
            .iter()
            .take(PROBLEMS_MAX)
            .map(|text| lines(text))
            .collect();
        if all > PROBLEMS_MAX {
            details.push(format!("and {} more", all - PROBLEMS_MAX));
        }
        alarms.push(Alarm {
            text: format!(
                "The reload of {} was refused: the configuration from before stays.",
                rfc3339(reload.at)
            ),
            details,
        });
    }
    alarms
}

/// A text of several lines, each without anything that could not be seen.
fn lines(text: &str) -> String {
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

/// Why an entry has no next start.
fn silent(entry: &Entry, now: Timestamp) -> &'static str {
    match (entry.enabled, &entry.schedule, entry.not_after) {
        (false, _, _) => "not enabled",
        (true, None, _) => "only by hand",
        (true, Some(_), Some(end)) if end < now => "its time is over",
        (true, Some(_), _) => "never",
    }
}

/// How long the last run took, and what is usual.
fn length_words(glances: &[Glance], now: Timestamp) -> String {
    let last = glances.iter().find_map(|glance| {
        let length = duration(glance, now)?;
        let is_under_way = !glance.state.is_ended();
        Some((words::length(length), is_under_way))
    });
    let usual = usual(glances).map(words::length);
    match (last, usual) {
        (None, _) => String::new(),
        (Some((last, false)), None) => last,
        (Some((last, true)), None) => format!("{last} so far"),
        (Some((last, false)), Some(usual)) => format!("{last}, usually {usual}"),
        (Some((last, true)), Some(usual)) => format!("{last} so far, usually {usual}"),
    }
}

/// Who holds it still, if anybody does.
fn paused(sight: &Sight, name: &EntryName) -> String {
    let held = sight.paused.get(name);
    held.map(|held| shown(&held.words)).unwrap_or_default()
}

#[derive(Template)]
#[template(path = "missing.html", config = "src/page/askama.toml")]
struct Missing {
    frame: Frame,
    heading: String,
    text: String,
    near: Option<(String, String)>,
}

/// Longest name that is repeated to whoever asked for it, in characters.
const NAME_CHARS_MAX: usize = 150;

/// There is no such entry or tick; names the nearest. `known` are the ticks among which it is looked for.
pub fn missing(sight: &Sight, kind: &str, name: &str, known: &[Glance]) -> Page {
    let named: String = name.chars().take(NAME_CHARS_MAX).collect();
    let near = match kind {
        "tick" => config::nearest(&named, known.iter().map(|glance| glance.id.as_str()))
            .map(|near| (near.to_owned(), tick_url(near))),
        _ => config::nearest(&named, sight.entries.keys().map(EntryName::as_str))
            .map(|near| (near.to_owned(), entry_url(near))),
    };
    made(
        404,
        Missing {
            frame: Frame::of(sight),
            heading: format!("There is no {kind} {}", shown(&named)),
            text: match kind {
                "tick" => "Ticks are forgotten after some time (--keep-history).".to_owned(),
                "entry" => format!("{} entries are configured.", sight.entries.len()),
                _ => "The pages are /, /entry/NAME and /tick/ID.".to_owned(),
            },
            near,
        },
    )
}

/// What is shown when nothing can be said.
pub fn trouble(why: &str) -> Page {
    let why = lines(why);
    let why = askama::filters::escape(&why, askama::filters::Html)
        .map_or_else(|_| String::new(), |text| text.to_string());
    Page {
        status: 503,
        html: format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>pipecron</title><link rel=\"stylesheet\" \
             href=\"/style.css\"></head><body><main id=\"content\"><h1 class=\"bad\">pipecron cannot say how things stand</h1><p>{why}</p>\
             </main></body></html>\n"
        ),
    }
}

fn made(status: u16, template: impl Template) -> Page {
    match template.render() {
        Ok(html) => Page { status, html },
        Err(failure) => trouble(&failure.to_string()),
    }
}
