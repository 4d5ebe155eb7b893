//! `calendars` and `freezes`: which days are off, and when nothing starts.
//!
//! A calendar file is named by `ics` and handed in as a text, like every other file; its path is taken from the directory
//! of the file that names it. What is wrong in it is shown at its line, with the place of the key that names it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use chrono::{NaiveDate, TimeDelta};

use super::check::{Check, KeySet, listed};
use super::excerpt::quoted;
use super::problem::{At, Finding, Findings, Kind};
use super::text::{self, Bound, Wrong};
use super::tree::{Pair, Shape, Tree, Value};
use super::{SourceFile, ics, yaml};
use crate::domain::calendar::{Calendar, CalendarParts, Span};
use crate::domain::cron::CronPattern;
use crate::domain::schedule::Freeze;
use crate::domain::zone::Zone;
use crate::domain::{AccountName, Entry, EntryName};

/// A list of days has at most so many texts.
pub(super) const DAYS_MAX: usize = 10_000;
pub(super) const PATTERNS_MAX: usize = 64;
pub(super) const CALENDAR_FILES_MAX: usize = 16;
/// A list of words has at most so many.
pub(super) const WORDS_MAX: usize = 64;
const FREEZES_MAX: usize = 1_000;
/// So long ahead a calendar that has run out is still no surprise.
const YEAR: TimeDelta = TimeDelta::days(365);

pub(super) static KEYS: KeySet = KeySet {
    what: "a calendar",
    known: &["weekend", "holidays", "workdays", "ics", "patterns"],
    advice: &[
        ("dates", "did you mean `holidays`?"),
        ("days_off", "did you mean `holidays`?"),
        ("exclude", "did you mean `patterns`?"),
        ("working_days", "did you mean `workdays`?"),
        ("file", "did you mean `ics`?"),
        (
            "timezone",
            "it has none: a date is that of the zone of the entry which asks",
        ),
        (
            "url",
            "it is not fetched; let something else do that, and name the file in `ics`",
        ),
    ],
};

pub(super) static FREEZE: KeySet = KeySet {
    what: "a freeze",
    known: &["from", "until", "labels", "except", "reason"],
    advice: &[
        ("to", "did you mean `until`?"),
        ("end", "did you mean `until`?"),
        ("start", "did you mean `from`?"),
        ("label", "did you mean `labels`?"),
        (
            "entries",
            "it holds for `labels`, and not for what `except` names",
        ),
        ("exceptions", "did you mean `except`?"),
        ("name", "did you mean `reason`?"),
    ],
};

pub(super) const WEEKDAYS: [(&str, &str); 7] = [
    ("sun", "sunday"),
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
];

/// The calendars as far as they could be read, and the freezes.
#[derive(Debug, Default)]
pub(super) struct Calendars<'t> {
    /// Every name that is given, and where; also of a calendar with a mistake.
    pub(super) names: BTreeMap<&'t str, At>,
    /// The calendars without a mistake.
    pub(super) read: BTreeMap<&'t str, Arc<Calendar>>,
    /// Those that an entry names.
    pub(super) used: BTreeSet<String>,
    /// Whether there may be more.
    pub(super) incomplete: bool,
    freezes: Vec<FreezeRule<'t>>,
}

/// A freeze as it is written.
#[derive(Debug)]
struct FreezeRule<'t> {
    at: At,
    from: Bound,
    until: Bound,
    labels: Option<Vec<(&'t str, At)>>,
    except: Vec<(&'t str, At)>,
    why: String,
}

impl FreezeRule<'_> {
    /// Whether it holds the entry of that name and these labels.
    fn holds(&self, name: &EntryName, labels: &BTreeSet<String>) -> bool {
        let is_one = |(word, _): &(&str, At)| labels.contains(*word) || *word == name.as_str();
        let meant = self.labels.as_ref();
        meant.is_none_or(|words| words.iter().any(|(word, _)| labels.contains(*word)))
            && !self.except.iter().any(is_one)
    }
}

/// The texts that a configuration is made of beside its YAML.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sources<'s> {
    pub(super) files: &'s [SourceFile],
    /// Calendar files that could not be read: path and why.
    pub(super) unread: &'s [(String, String)],
}

/// Whether a file is a calendar file: its name says so.
pub(super) fn is_calendar_file(path: &str) -> bool {
    let extension = Path::new(path).extension();
    extension.is_some_and(|extension| extension.eq_ignore_ascii_case("ics"))
}

/// Whether it is no path but the address of something elsewhere (`https://`, `webcal://`).
fn is_address(name: &str) -> bool {
    name.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|c| c.is_ascii_alphanumeric())
    })
}

/// Lines of a service that fetches an address, for its timer; what comes half or not at all leaves the old file.
fn fetching(address: &str) -> String {
    let address = address.replace("webcal://", "https://");
    // What a unit file would read otherwise.
    let address = address.replace('%', "%%").replace('$', "$$");
    let address = address.replace('\'', "%%27").replace('\\', "%%5C");
    format!(
        "Type=oneshot\n\
         WorkingDirectory=/etc/pipecron\n\
         ExecStart=curl --fail --silent --show-error --location --output calendar.ics.new '{address}'\n\
         ExecStart=mv calendar.ics.new calendar.ics\n\
         ExecStart=pipecron reload"
    )
}

/// The path of a calendar file that the file at `of` names.
fn path_of(of: &str, name: &str) -> String {
    let directory = Path::new(of).parent().unwrap_or_else(|| Path::new(""));
    directory.join(name).display().to_string()
}

/// The paths of all calendar files that these files name; what is wrong with these is found when they are checked.
pub(super) fn named_files(files: &[SourceFile]) -> Vec<String> {
    let mut paths = BTreeSet::new();
    let mut room = yaml::VALUES_MAX;
    let mut nobody = Findings::default();
    for file in files {
        if is_calendar_file(&file.path) || !file.text.contains("ics") {
            continue;
        }
        let tree = yaml::read(0, &file.text, &mut room, &mut nobody);
        let mut values = Vec::new();
        for pair in pairs(&tree, &mut nobody) {
            if let Shape::Mapping(calendar) = pair.value.shape() {
                let keys = calendar.pairs(&mut nobody).into_iter();
                values.extend(keys.filter(|pair| pair.key == "ics").map(|pair| pair.value));
            }
        }
        let mut names = Vec::new();
        for value in values {
            match value.shape() {
                Shape::Text(text) => names.push(text),
                Shape::List(list) => names.extend(list.items().filter_map(Value::text)),
                Shape::Null | Shape::Mapping(_) | Shape::Refused => {}
            }
        }
        let names = names.into_iter().filter(|name| !is_address(name));
        paths.extend(names.map(|name| path_of(&file.path, name)));
    }
    // Whatever has another name is refused, and need not be opened.
    paths.retain(|path| is_calendar_file(path));
    paths.into_iter().collect()
}

/// The pairs of `calendars` in a tree.
fn pairs<'t>(tree: &'t Tree<'t>, nobody: &mut Findings) -> Vec<Pair<'t>> {
    let Some(Shape::Mapping(root)) = tree.root().map(Value::shape) else {
        return Vec::new();
    };
    let top = root.pairs(nobody);
    let calendars = top.into_iter().filter(|pair| pair.key == "calendars");
    calendars
        .filter_map(|pair| match pair.value.shape() {
            Shape::Mapping(mapping) => Some(mapping.pairs(nobody)),
            Shape::Null | Shape::Text(_) | Shape::List(_) | Shape::Refused => None,
        })
        .flatten()
        .collect()
}

impl<'t> Calendars<'t> {
    /// Reads one calendar, whose name is new.
    pub(super) fn take(
        &mut self,
        check: &mut Check<'_>,
        pair: Pair<'t>,
        sources: Sources<'_>,
    ) -> Option<()> {
        // The same alphabet as other names: it stands in lists on the command line.
        if let Err(error) = AccountName::parse(pair.key) {
            check.report(super::bad_name(
                pair.key,
                pair.key_at,
                "a calendar",
                &error.reason,
            ));
            return None;
        }
        let calendar = calendar(check, pair, sources)?;
        self.read.insert(pair.key, Arc::new(calendar));
        Some(())
    }

    /// Reads `freezes` of a file.
    pub(super) fn take_freezes(&mut self, check: &mut Check<'_>, pair: Pair<'t>) {
        let help = "write each freeze after a `- `, with `from` and `until`";
        let Shape::List(list) = pair.value.shape() else {
            return check.wrong_form(pair.value, "freezes", "a list", help);
        };
        for item in list.items() {
            let read = freeze(check, item, help);
            self.freezes.extend(read);
        }
        if self.freezes.len() > FREEZES_MAX {
            let message = format!("there are more than {FREEZES_MAX} freezes");
            check.report(
                Finding::error(Kind::Limit, pair.key_at, message)
                    .help("remove those that are over"),
            );
        }
    }

    /// The calendars of these names, each reported that does not exist.
    pub(super) fn find(
        &mut self,
        check: &mut Check<'_>,
        names: &[(&str, At)],
    ) -> Option<Box<[Arc<Calendar>]>> {
        let mut found = Vec::new();
        let mut all = true;
        for (name, at) in names {
            self.used.insert((*name).to_owned());
            if let Some(calendar) = self.read.get(name) {
                found.push(Arc::clone(calendar));
                continue;
            }
            all = false;
            if self.incomplete || self.names.contains_key(name) {
                continue;
            }
            let known: Vec<&str> = self.names.keys().copied().collect();
            let message = format!("there is no calendar {}", quoted(name));
            let help = match text::nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => {
                    "write it under `calendars:` at the left edge of any of the files".to_owned()
                }
                None => format!("configured are {}", listed(&known)),
            };
            check.report(Finding::error(Kind::Reference, *at, message).help(help));
        }
        all.then(|| found.into())
    }

    /// The freezes of an entry in its zone.
    pub(super) fn freezes(
        &self,
        name: &EntryName,
        labels: &BTreeSet<String>,
        zone: &Zone,
    ) -> Vec<Freeze> {
        let holds = |rule: &&FreezeRule<'_>| rule.holds(name, labels);
        let freeze = |rule: &FreezeRule<'_>| Freeze {
            from: text::first_instant(rule.from, zone),
            until: text::last_instant(rule.until, zone),
            why: rule.why.clone(),
        };
        let mut freezes: Vec<Freeze> = self.freezes.iter().filter(holds).map(freeze).collect();
        // As a schedule keeps them: it would copy what entries share to put it in order.
        freezes.sort_by_key(|freeze| freeze.from);
        freezes
    }

    /// Warns of calendars that nobody uses or that have run out, and of freezes that freeze nothing.
    pub(super) fn warn(&self, check: &mut Check<'_>, entries: &BTreeMap<EntryName, Arc<Entry>>) {
        if check.findings.errors() > 0 {
            return;
        }
        let today = check.world.now.date_naive();
        for (name, calendar) in &self.read {
            let Some(at) = self.names.get(name) else {
                continue;
            };
            if !self.used.contains(*name) {
                let message = format!("no entry names the calendar {}", quoted(name));
                let help = "write `only_on` or `skip_on` in an entry or under `defaults`, or remove the calendar";
                check.report(Finding::warning(Kind::Idle, *at, message).help(help));
            } else if let Some(last) = calendar.last_date().filter(|last| *last < today) {
                let message = format!(
                    "the calendar {} has run out: the last day that it lists is {last}",
                    quoted(name)
                );
                let help = "add the days of the coming year, or fetch its file again";
                check.report(Finding::warning(Kind::Idle, *at, message).help(help));
            }
        }
        let words: BTreeSet<&str> = entries
            .values()
            .flat_map(|entry| entry.labels.iter().map(String::as_str))
            .collect();
        let names: BTreeSet<&str> = entries.keys().map(EntryName::as_str).collect();
        for rule in &self.freezes {
            if text::last_instant(rule.until, &Zone::utc()) < check.world.now - TimeDelta::days(2) {
                let message = "this freeze is over";
                check.report(
                    Finding::warning(Kind::Idle, rule.at, message).help("remove it, or move it"),
                );
            }
            let labels = rule.labels.iter().flatten();
            for (word, at) in labels.filter(|(word, _)| !words.contains(word)) {
                unknown_word(check, word, *at, "label", &words);
            }
            let either = |word: &str| words.contains(word) || names.contains(word);
            for (word, at) in rule.except.iter().filter(|(word, _)| !either(word)) {
                let known = words.union(&names).copied().collect();
                unknown_word(check, word, *at, "label or name", &known);
            }
            let mut labels = rule.labels.iter().flatten();
            let is_told = labels.any(|(word, _)| !words.contains(word));
            let holds = |entry: &Arc<Entry>| rule.holds(&entry.name, &entry.labels);
            if !is_told && !entries.is_empty() && !entries.values().any(holds) {
                let message = "this freeze holds no entry";
                let help = "write under `labels` whom it is for, or leave the key out for all; `except` may name too many";
                check.report(Finding::warning(Kind::Idle, rule.at, message).help(help));
            }
        }
    }
}

fn unknown_word(check: &mut Check<'_>, word: &str, at: At, what: &str, known: &BTreeSet<&str>) {
    let message = format!("no entry has the {what} {}", quoted(word));
    let help = match text::nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "remove it, or write it in an entry".to_owned(),
    };
    check.report(Finding::warning(Kind::Reference, at, message).help(help));
}

fn calendar<'t>(check: &mut Check<'_>, pair: Pair<'t>, sources: Sources<'_>) -> Option<Calendar> {
    let Shape::Mapping(mapping) = pair.value.shape() else {
        let help = "write what it lists, such as { weekend: [sat, sun], holidays: [2027-01-01] }";
        check.wrong_form(pair.value, pair.key, "a mapping", help);
        return None;
    };
    let before = check.findings.errors();
    let mut parts = CalendarParts::default();
    let (mut holidays, mut workdays) = (Vec::new(), Vec::new());
    let keys = check.keys(mapping, &KEYS);
    let has_keys = !keys.is_empty() || check.lacks;
    for Pair { key, value, .. } in keys {
        parts.has_days_off |= key != "workdays";
        match key {
            "weekend" => parts.weekend = weekend(check, value),
            "holidays" => holidays = spans(check, value, key),
            "workdays" => workdays = spans(check, value, key),
            "patterns" => parts.patterns = patterns(check, value),
            _ => parts.events = events(check, value, sources),
        }
    }
    warn_of_both(check, &holidays, &workdays);
    parts.holidays = holidays.into_iter().map(|(span, _)| span).collect();
    parts.workdays = workdays.into_iter().map(|(span, _)| span).collect();
    if !has_keys && check.findings.errors() == before {
        let message = format!("the calendar {} lists nothing", quoted(pair.key));
        let help = "write at least one of weekend, holidays, workdays, ics and patterns";
        check.report(Finding::error(Kind::Missing, pair.key_at, message).help(help));
    }
    (check.findings.errors() == before).then(|| Calendar::new(pair.key, parts))
}

/// Warns of what stands letter for letter in both lists. A working day within a longer holiday is another thing: that is how
/// shifted days are written.
fn warn_of_both(check: &mut Check<'_>, holidays: &[(Span, At)], workdays: &[(Span, At)]) {
    let off: HashMap<(NaiveDate, NaiveDate), At> = holidays
        .iter()
        .map(|(span, at)| ((span.first, span.last), *at))
        .collect();
    for (span, at) in workdays {
        let Some(holiday) = off.get(&(span.first, span.last)) else {
            continue;
        };
        let days = match span.first == span.last {
            true => format!("{} stands", span.first),
            false => format!("{} to {} stand", span.first, span.last),
        };
        let message = format!("{days} under `holidays` and `workdays`, and `workdays` win");
        check.report(
            Finding::warning(Kind::Conflict, *at, message)
                .help("remove it from one of them")
                .related(*holiday, "a day off here"),
        );
    }
}

/// One text, or a list of them.
fn texts<'t>(
    check: &mut Check<'_>,
    value: Value<'t>,
    key: &str,
    most: usize,
) -> Vec<(&'t str, Value<'t>)> {
    let texts = match value.shape() {
        Shape::Text(text) => vec![(text, value)],
        Shape::Null | Shape::List(_) | Shape::Mapping(_) | Shape::Refused => {
            check.texts(value, key).unwrap_or_default()
        }
    };
    if texts.len() > most {
        let message = format!("`{key}` has {} texts, and {most} are possible", texts.len());
        check.report(Finding::error(Kind::Limit, value.at(), message).help("remove some"));
        return Vec::new();
    }
    texts
}

/// One word or a list of them, each with its place.
pub(super) fn words<'t>(
    check: &mut Check<'_>,
    value: Value<'t>,
    key: &str,
) -> Option<Vec<(&'t str, At)>> {
    let before = check.findings.errors();
    let texts = texts(check, value, key, WORDS_MAX);
    for (text, item) in &texts {
        if text.trim().is_empty() {
            let message = format!("`{key}` has an empty text");
            check.report(Finding::error(Kind::Value, item.at(), message).help("remove it"));
        }
    }
    let words = texts.into_iter().map(|(text, item)| (text, item.at()));
    (check.findings.errors() == before).then(|| words.collect())
}

fn weekend(check: &mut Check<'_>, value: Value<'_>) -> u8 {
    let mut bits = 0;
    for (text, item) in texts(check, value, "weekend", 7) {
        let is = |(short, long): &(&str, &str)| {
            text.eq_ignore_ascii_case(short) || text.eq_ignore_ascii_case(long)
        };
        match WEEKDAYS.iter().position(is) {
            Some(day) => bits |= 1 << day,
            None => {
                let names = match text.len() {
                    0..=3 => WEEKDAYS.map(|(short, _)| short),
                    _ => WEEKDAYS.map(|(_, long)| long),
                };
                check.not_one_of(item, "weekend", text, &names);
            }
        }
    }
    bits
}

fn spans(check: &mut Check<'_>, value: Value<'_>, key: &str) -> Vec<(Span, At)> {
    let texts = texts(check, value, key, DAYS_MAX);
    let read = texts.into_iter().filter_map(|(text, item)| {
        span(text)
            .map(|span| (span, item.at()))
            .map_err(|wrong| check.wrong(item, Kind::Value, wrong))
            .ok()
    });
    read.collect()
}

/// `2027-05-01`, or `2027-02-05..2027-02-11`.
fn span(text: &str) -> Result<Span, Wrong> {
    let help = "write a day, such as 2027-05-01, or the first and the last day, such as 2027-02-05..2027-02-11";
    let day = |text: &str, start: usize| match text::bound(text) {
        Ok(Bound::Day(day)) => Ok(day),
        Ok(Bound::Instant(_)) => Err(Wrong::new(
            format!(
                "{} is an instant, and a calendar is about days",
                quoted(text)
            ),
            help,
        )),
        Err(wrong) => Err(Wrong {
            message: match wrong.message.contains("an instant") {
                true => format!("{} is not a day", quoted(text)),
                false => wrong.message,
            },
            help: help.to_owned(),
            piece: (!text.is_empty()).then(|| start..start + text.len()),
        }),
    };
    let (first, last): (NaiveDate, NaiveDate) = match text.split_once("..") {
        None => {
            let day = day(text, 0)?;
            (day, day)
        }
        Some((first, last)) => {
            let (first, last) = (first.trim_end(), last.trim_start());
            (day(first, 0)?, day(last, text.len() - last.len())?)
        }
    };
    if last < first {
        let message = format!("the range {} ends before it begins", quoted(text));
        return Err(Wrong::new(message, format!("write {last}..{first}")));
    }
    Ok(Span {
        first,
        last,
        label: String::new(),
    })
}

fn patterns(check: &mut Check<'_>, value: Value<'_>) -> Vec<(String, CronPattern)> {
    let mut patterns = Vec::new();
    for (text, item) in texts(check, value, "patterns", PATTERNS_MAX) {
        let Some(pattern) = super::entry::pattern(check, text, None, item) else {
            continue;
        };
        if !pattern.names_whole_days() {
            let message = format!(
                "the pattern {} names times, and a calendar is about days",
                quoted(text)
            );
            let help = "write `*` for the minute and the hour, such as \"* * 24-31 DEC *\"";
            check.report(Finding::error(Kind::Pattern, item.at(), message).help(help));
            continue;
        }
        patterns.push((text.to_owned(), pattern));
    }
    patterns
}

fn events(check: &mut Check<'_>, value: Value<'_>, sources: Sources<'_>) -> Vec<Span> {
    let mut spans = Vec::new();
    for (name, item) in texts(check, value, "ics", CALENDAR_FILES_MAX) {
        let at = item.at();
        if is_address(name) {
            let message = format!(
                "pipecron does not fetch calendars, and {} is an address",
                quoted(name)
            );
            let help =
                "name a file here, and let a timer start a service that fetches it and reloads";
            let finding = Finding::error(Kind::Value, at, message).help(help);
            check.report(finding.example(fetching(name)));
            continue;
        }
        if !is_calendar_file(name) {
            let message = format!("{} is not the name of a calendar file", quoted(name));
            let help = "its name ends in .ics; a relative one is looked for beside this file";
            check.report(Finding::error(Kind::Value, at, message).help(help));
            continue;
        }
        let of = sources.files.get(at.file as usize);
        let path = path_of(of.map_or("", |of| of.path.as_str()), name);
        let found = (0_u32..)
            .zip(sources.files)
            .find(|(_, file)| file.path == path);
        let Some((index, file)) = found else {
            let why = sources.unread.iter().find(|(unread, _)| *unread == path);
            let why = why.map_or("it was not read", |(_, why)| why.as_str());
            let message = format!("the calendar file {} cannot be used: {why}", quoted(&path));
            let help = "a relative name is looked for beside this file; let the user that pipecron runs as read it";
            check.report(Finding::error(Kind::File, at, message).help(help));
            continue;
        };
        // A year more than any zone is ahead or behind does no harm.
        let today = check.world.now.date_naive();
        let place = |bytes: std::ops::Range<usize>| {
            let offset = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
            At {
                file: index,
                start: offset(bytes.start),
                end: offset(bytes.end),
            }
        };
        let named = "the file is named here";
        match ics::read(&file.text, today, check.world.zone) {
            Ok(events) => {
                for doubt in events.doubts {
                    let finding = Finding::warning(Kind::Value, place(doubt.at), doubt.message);
                    check.report(finding.help(doubt.help).related(at, named));
                }
                if events.spans.is_empty() {
                    let message = format!("the calendar file {} has no day off", quoted(&path));
                    let help = "look whether it is the right one; events that are cancelled or free do not count";
                    check.report(Finding::warning(Kind::Idle, at, message).help(help));
                }
                if events.timed > 0 {
                    let message = format!(
                        "{} of the calendar file {} {} times, and every day that {} is off",
                        match events.timed {
                            1 => "1 event".to_owned(),
                            many => format!("{many} events"),
                        },
                        quoted(&path),
                        if events.timed == 1 { "has" } else { "have" },
                        if events.timed == 1 {
                            "it touches"
                        } else {
                            "they touch"
                        },
                    );
                    let help = "make it an all-day event if the day is off, or show it as free (TRANSP:TRANSPARENT) if not";
                    check.report(Finding::warning(Kind::Value, at, message).help(help));
                }
                spans.extend(events.spans);
            }
            Err(wrong) => {
                let finding = Finding::error(Kind::Syntax, place(wrong.at), wrong.message);
                check.report(finding.help(wrong.help).related(at, named));
            }
        }
    }
    spans
}

fn freeze<'t>(check: &mut Check<'_>, item: Value<'t>, help: &str) -> Option<FreezeRule<'t>> {
    let Shape::Mapping(mapping) = item.shape() else {
        check.wrong_form(item, "freezes", "a list of mappings", help);
        return None;
    };
    let before = check.findings.errors();
    let (mut from, mut until, mut labels, mut except) = (None, None, None, Vec::new());
    let (mut reason, mut written) = ("", ["", ""]);
    let keys = check.keys(mapping, &FREEZE);
    let is_complete = !check.lacks && check.meant.is_empty();
    for Pair { key, value, .. } in keys {
        match key {
            "from" => {
                from = check.bound(value, key);
                written[0] = value.text().unwrap_or_default();
            }
            "until" => {
                until = check.bound(value, key).zip(Some(value.at()));
                written[1] = value.text().unwrap_or_default();
            }
            "labels" => labels = words(check, value, key),
            "except" => except = words(check, value, key).unwrap_or_default(),
            _ => reason = check.some_text(value, key).unwrap_or_default(),
        }
    }
    if check.findings.errors() > before {
        return None;
    }
    let (Some(from), Some((until, until_at))) = (from, until) else {
        if is_complete {
            let key = if from.is_none() { "from" } else { "until" };
            let message = format!("this freeze has no `{key}`");
            let help = "write a day, such as 2026-12-24, or an instant; both days of a freeze are part of it";
            check.report(Finding::error(Kind::Missing, item.at(), message).help(help));
        }
        return None;
    };
    let utc = Zone::utc();
    if text::first_instant(from, &utc) > text::last_instant(until, &utc) {
        let message = "this freeze ends before it begins";
        check.report(
            Finding::error(Kind::Conflict, until_at, message).help("exchange `from` and `until`"),
        );
        return None;
    }
    let [from_text, until_text] = written;
    let why = match reason {
        "" => format!("freeze {from_text}..{until_text}"),
        reason => format!("freeze {from_text}..{until_text}: {reason}"),
    };
    Some(FreezeRule {
        at: item.at(),
        from,
        until,
        labels,
        except,
        why,
    })
}

/// How far `check` looks ahead for an entry that its calendars leave nothing.
pub(super) fn coming_year(now: crate::domain::Timestamp) -> crate::domain::Timestamp {
    now.checked_add_signed(YEAR).unwrap_or(now)
}
