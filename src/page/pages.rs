//! The pages, each from what is known at one moment.

use std::collections::BTreeMap;

use askama::Template;
use chrono::TimeDelta;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::draw::{self, Day, Drawing, RUNS_WIDTH, STRIP_WIDTH};
use super::figures::{self, Answer, Class, Load, loads, newest_of_night, usual};
use super::words::{self, When};
use super::{LISTED_TICKS, STRIP_TICKS, Sight};
use crate::config::{self, is_unseen, show_duration, shown};
use crate::domain::plan::spread_offset;
use crate::domain::zone::Zone;
use crate::domain::{AccountName, Entry, EntryName, Run, Tick, TickState, Timestamp, rfc3339};
use crate::ledger::{Glance, Story};

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
/// Ticks that the first page lists in one table.
const ROWS_MAX: usize = 100;
/// Entries that it lists.
const ENTRIES_MAX: usize = 3_000;
/// Starts that an entry's page lists.
const NEXT_MAX: usize = 10;

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
        let answer = Answer::of(sight);
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

/// The start that comes next.
struct NextStart {
    entry: String,
    url: String,
    due: When,
    wait: String,
}

/// An entry in the list of all.
struct EntryRow {
    entry: String,
    url: String,
    labels: Vec<String>,
    next: Option<When>,
    silent: &'static str,
    paused: String,
    last: Option<LastTick>,
    strip: Drawing,
    lengths: Option<Drawing>,
    length: String,
    find: String,
}

struct LastTick {
    class: &'static str,
    url: String,
    state: String,
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
        let length = figures::duration(glance, now)?;
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

fn next_start(sight: &Sight, name: &EntryName, entry: &Entry) -> Option<Timestamp> {
    figures::starts(entry, sight.free_from(name)?).next()
}

/// Who holds it still, if anybody does.
fn paused(sight: &Sight, name: &EntryName) -> String {
    let held = sight.paused.get(name);
    held.map(|held| shown(&held.words)).unwrap_or_default()
}

fn entry_row(sight: &Sight, name: &EntryName, entry: &Entry, next: Option<Timestamp>) -> EntryRow {
    let glances = sight.glances.get(name).map_or(&[][..], Vec::as_slice);
    let zone = zone_of(sight, name);
    let last = glances.first().map(|glance| LastTick {
        class: Class::of(glance).name(),
        url: tick_url(glance.id.as_str()),
        state: words::state(glance),
    });
    let paused = paused(sight, name);
    let labels: Vec<String> = entry.labels.iter().map(|label| shown(label)).collect();
    let silent = match paused.is_empty() {
        true => silent(entry, sight.now),
        false => "when it is resumed",
    };
    let mut find = vec![name.as_str(), entry.account.as_str()];
    find.extend(labels.iter().map(String::as_str));
    find.extend(zone.map(Zone::name));
    find.extend(last.as_ref().map(|last| last.state.as_str()));
    find.push(if paused.is_empty() { "" } else { "paused" });
    find.push(if next.is_some() { "" } else { silent });
    let find = find.join(" ").to_lowercase();
    EntryRow {
        entry: name.to_string(),
        url: entry_url(name.as_str()),
        next: next.map(|at| When::new(at, zone)),
        silent,
        paused,
        last,
        strip: draw::strip(glances),
        lengths: draw::lengths(glances, sight.now),
        length: length_words(glances, sight.now),
        labels,
        find,
    }
}

/// The coming day of one account.
struct AccountDay {
    account: String,
    starts: String,
    day: Day,
    unseen: String,
}

impl AccountDay {
    fn of(load: &Load) -> Self {
        Self {
            account: load.account.to_string(),
            starts: match load.starts {
                1 => "1 start".to_owned(),
                many => format!("{many} starts"),
            },
            day: draw::day(load),
            unseen: match load.unseen {
                0 => String::new(),
                1 => "; of one entry that starts very often the first are drawn".to_owned(),
                many => format!("; of {many} entries that start very often the first are drawn"),
            },
        }
    }
}

/// An account and how it fares.
struct AccountLine {
    name: String,
    class: &'static str,
    words: String,
}

fn account_lines(sight: &Sight) -> Vec<AccountLine> {
    let lines = sight.accounts.values().map(|account| {
        let health = sight.health.get(&account.name).cloned().unwrap_or_default();
        let rests = health
            .rests_until
            .filter(|until| *until > sight.now)
            .map_or_else(String::new, |until| {
                format!(", rests until {}", rfc3339(until))
            });
        let stands = match (health.is_refused, health.is_broken) {
            (true, _) => "its credentials are refused",
            (false, true) => "the service fails",
            (false, false) => "well",
        };
        let limit = account
            .max_running
            .map_or_else(String::new, |max| format!(", max_running {max}"));
        let region = account.region.as_deref().unwrap_or("no region");
        AccountLine {
            name: account.name.to_string(),
            class: if health.is_refused || health.is_broken {
                "trouble"
            } else {
                ""
            },
            words: format!("{stands}{rests} ({}{limit})", shown(region)),
        }
    });
    lines.collect()
}

fn reload_words(sight: &Sight) -> String {
    match &sight.reload {
        None => "The configuration is as it was read at the start.".to_owned(),
        Some(reload) => format!(
            "The last reload, at {} by {}, was {}.",
            rfc3339(reload.at),
            shown(&reload.by),
            if reload.problems.is_empty() {
                "taken"
            } else {
                "refused"
            }
        ),
    }
}

#[derive(Template)]
#[template(path = "index.html", config = "src/page/askama.toml")]
struct Index {
    frame: Frame,
    answer: Answer,
    next: Option<NextStart>,
    alarms: Vec<Alarm>,
    bad: Vec<TickRow>,
    bad_more: usize,
    open: Vec<TickRow>,
    open_more: usize,
    query: String,
    total: usize,
    found: usize,
    rows: Vec<EntryRow>,
    days: Vec<AccountDay>,
    day_width: usize,
    strip_ticks: u32,
    strip_width: usize,
    lengths_width: usize,
    accounts: Vec<AccountLine>,
    reload: String,
}

/// The first page: the answer, what needs somebody, and every entry.
pub fn index(sight: &Sight, query: &Query) -> Page {
    let bad: Vec<&Glance> = sight
        .glances
        .values()
        .filter_map(|glances| newest_of_night(glances, sight.now))
        .filter(|glance| Class::of(glance).is_trouble() && glance.state.is_ended())
        .collect();
    let nexts: BTreeMap<&EntryName, Timestamp> = sight
        .entries
        .iter()
        .filter_map(|(name, entry)| Some((name, next_start(sight, name, entry)?)))
        .collect();
    let next = nexts
        .iter()
        .min_by_key(|(_, at)| **at)
        .map(|(name, at)| NextStart {
            entry: name.to_string(),
            url: entry_url(name.as_str()),
            due: When::new(*at, zone_of(sight, name)),
            wait: words::length(*at - sight.now),
        });
    let all = sight
        .entries
        .iter()
        .map(|(name, entry)| entry_row(sight, name, entry, nexts.get(name).copied()))
        .filter(|row| query.wants(&row.find));
    let mut found = 0;
    let mut rows = Vec::new();
    for row in all {
        found += 1;
        if rows.len() < ENTRIES_MAX {
            rows.push(row);
        }
    }
    let table = |glances: &[&Glance]| {
        let rows = glances.iter().take(ROWS_MAX);
        rows.map(|glance| TickRow::of(sight, glance)).collect()
    };
    let open: Vec<&Glance> = sight.open.iter().collect();
    made(
        200,
        Index {
            frame: Frame::of(sight),
            answer: Answer::of(sight),
            next,
            alarms: alarms(sight),
            bad_more: bad.len().saturating_sub(ROWS_MAX),
            bad: table(&bad),
            open_more: open.len().saturating_sub(ROWS_MAX),
            open: table(&open),
            query: query.words.clone(),
            total: sight.entries.len(),
            found,
            rows,
            days: loads(sight).iter().map(AccountDay::of).collect(),
            day_width: draw::DAY_WIDTH,
            strip_ticks: STRIP_TICKS,
            strip_width: STRIP_WIDTH,
            lengths_width: RUNS_WIDTH,
            accounts: account_lines(sight),
            reload: reload_words(sight),
        },
    )
}

#[derive(Template)]
#[template(path = "entry.html", config = "src/page/askama.toml")]
struct EntryPage {
    frame: Frame,
    name: String,
    labels: Vec<String>,
    paused: String,
    facts: Vec<(&'static str, String)>,
    next: Vec<(When, String)>,
    silent: &'static str,
    ticks: Vec<TickRow>,
    more: bool,
    strip: Drawing,
    strip_width: usize,
    length: String,
}

/// The page of one entry, with its last ticks; none if there is no such entry. One that was removed has a page as long as
/// ticks of it are known.
pub fn entry(sight: &Sight, name: &EntryName, glances: &[Glance]) -> Option<Page> {
    let entry = sight.entries.get(name);
    if entry.is_none() && glances.is_empty() {
        return None;
    }
    let more = glances.len() > LISTED_TICKS as usize;
    let listed = &glances[..glances.len().min(LISTED_TICKS as usize)];
    let next = entry.map_or_else(Vec::new, |entry| {
        let zone = zone_of(sight, name);
        let free = sight.free_from(name).into_iter();
        free.flat_map(|from| figures::starts(entry, from))
            .take(NEXT_MAX)
            .map(|start| (When::new(start, zone), start_note(entry, start)))
            .collect()
    });
    let page = EntryPage {
        frame: Frame::of(sight),
        name: name.to_string(),
        labels: entry.map_or_else(Vec::new, |entry| {
            entry.labels.iter().map(|label| shown(label)).collect()
        }),
        paused: paused(sight, name),
        facts: entry.map_or_else(
            || {
                vec![(
                    "Configuration",
                    "it is not in the configuration any more".to_owned(),
                )]
            },
            |entry| facts(entry),
        ),
        next,
        silent: entry.map_or("never: it was removed", |entry| silent(entry, sight.now)),
        ticks: listed
            .iter()
            .map(|glance| TickRow::of(sight, glance))
            .collect(),
        more,
        strip: draw::strip(glances),
        strip_width: STRIP_WIDTH,
        length: length_words(glances, sight.now),
    };
    Some(made(200, page))
}

/// What there is to say of a coming start.
fn start_note(entry: &Entry, start: Timestamp) -> String {
    let Some(schedule) = &entry.schedule else {
        return String::new();
    };
    let offset = TimeDelta::from_std(spread_offset(entry)).unwrap_or_default();
    let due = start.checked_sub_signed(offset).unwrap_or(start);
    schedule
        .moved_from(due)
        .map(|moved| moved.to_string())
        .unwrap_or_default()
}

fn facts(entry: &Entry) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(schedule) = &entry.schedule {
        facts.push(("Pattern", shown(&schedule.texts().join(", "))));
        let hashed: Vec<String> = schedule
            .hashed()
            .iter()
            .map(|(text, is)| format!("{text} is {is}"))
            .collect();
        if !hashed.is_empty() {
            facts.push(("H", shown(&hashed.join(", "))));
        }
        facts.push(("Zone", schedule.zone().name().to_owned()));
    } else {
        facts.push(("Pattern", "only by hand".to_owned()));
    }
    if !entry.spread.is_zero() {
        facts.push((
            "Spread",
            format!(
                "{}; it starts {} after it is due",
                show_duration(entry.spread),
                show_duration(spread_offset(entry))
            ),
        ));
    }
    let window = [("from", entry.not_before), ("to", entry.not_after)]
        .into_iter()
        .filter_map(|(word, at)| Some(format!("{word} {}", rfc3339(at?))))
        .collect::<Vec<_>>();
    if !window.is_empty() {
        facts.push(("Window", window.join(" ")));
    }
    facts.push(("Deadline", show_duration(entry.deadline)));
    facts.push(("Account", entry.account.to_string()));
    facts.push(("Project", shown(&entry.request.project_id)));
    facts.push(("Pipeline", shown(&entry.request.pipeline_id)));
    facts
}

#[derive(Template)]
#[template(path = "tick.html", config = "src/page/askama.toml")]
struct TickPage {
    frame: Frame,
    id: String,
    class: &'static str,
    state: String,
    entry: String,
    entry_url: String,
    due: When,
    facts: Vec<(&'static str, String)>,
    run: Option<RunLink>,
    notes: Vec<(When, String)>,
    attempts: Vec<(u32, When, String)>,
}

/// The page of one tick: its whole story.
pub fn tick(sight: &Sight, story: &Story) -> Page {
    let tick = &story.tick;
    let zone = zone_of(sight, &tick.entry);
    let glance = Glance::from(tick.clone());
    let at = tick.pipeline_at();
    let run = tick
        .run
        .as_ref()
        .map(|run| RunLink::of(sight, &at.account, &at.project_id, &at.pipeline_id, run));
    made(
        200,
        TickPage {
            frame: Frame::of(sight),
            id: shown(tick.id.as_str()),
            class: Class::of(&glance).name(),
            state: words::state(&glance),
            entry: tick.entry.to_string(),
            entry_url: entry_url(tick.entry.as_str()),
            due: When::new(tick.due, zone),
            facts: tick_facts(tick, &glance, sight.now),
            run,
            notes: story
                .notes
                .iter()
                .map(|(at, note)| (When::new(*at, zone), shown(note)))
                .collect(),
            attempts: story
                .attempts
                .iter()
                .map(|attempt| {
                    (
                        attempt.number,
                        When::new(attempt.sent_at, zone),
                        shown(&attempt.words()),
                    )
                })
                .collect(),
        },
    )
}

fn tick_facts(tick: &Tick, glance: &Glance, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut facts = vec![("How it came", tick.origin.name().to_owned())];
    if let Some(missed) = tick.missed {
        let least = if missed.at_least { "at least " } else { "" };
        facts.push((
            "Stands for",
            format!(
                "{least}{} ticks, from {} to {}",
                missed.count,
                rfc3339(missed.from),
                rfc3339(missed.to)
            ),
        ));
    }
    match tick.state {
        TickState::Waiting { not_before } => {
            facts.push(("Not before", rfc3339(not_before)));
            facts.push(("Given up at", rfc3339(tick.deadline)));
        }
        TickState::Doubtful { look_at } => facts.push(("Next look", rfc3339(look_at))),
        TickState::Sent { at } => facts.push(("Sent", rfc3339(at))),
        TickState::Running { since } => facts.push(("Running since", rfc3339(since))),
        TickState::Ended { at, .. } => facts.push(("Ended", rfc3339(at))),
    }
    if let Some(length) = figures::duration(glance, now) {
        facts.push(("How long", words::length(length)));
    }
    if let Some(run) = &tick.run {
        for (key, value) in [
            ("Run id", Some(&run.id)),
            ("Queue id", run.queue_id.as_ref()),
            ("Outcome", run.outcome.as_ref()),
            ("First failed stage", run.failed_stage.as_ref()),
        ] {
            facts.extend(
                value
                    .filter(|value| !value.is_empty())
                    .map(|value| (key, shown(value))),
            );
        }
    }
    facts.push(("Account", tick.account.to_string()));
    facts.push(("Project", shown(&tick.request.project_id)));
    facts.push(("Pipeline", shown(&tick.request.pipeline_id)));
    facts
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
