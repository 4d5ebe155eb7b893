//! One item under `schedules:`, and the defaults that fill it.
//!
//! The same keys may stand in an entry, in the `defaults` of its file and in `global_defaults`. Each is checked where it
//! stands, once; the entry's own wins over its file's, that over the global one. A key replaces a default as a whole,
//! lists and variables too; only `retry` is taken setting by setting.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::calendars;
use super::check::{Check, Given, KeySet, Labels};
use super::excerpt::quoted;
use super::notices::read;
use super::online;
use super::problem::{At, Finding, Kind};
use super::request;
use super::text::{self, Bound};
use super::tree::{Pair, Shape, Value};
use crate::domain::CatchUp;
use crate::domain::cron::{CronPattern, PatternError, PatternErrorKind, has_hash};
use crate::domain::notice::{Alarm, Ping};
use crate::domain::request::{Source, Variable};
use crate::domain::retry::Jitter;
use crate::domain::schedule::{OnExcluded, PATTERNS_MAX};
use crate::domain::zone::Zone;
use crate::domain::{OnDoubt, Overlap};

/// How many missed ticks may run at most.
pub(super) const CATCH_UP_MAX: u32 = 10_000;
pub(super) const ATTEMPTS_MAX: u32 = 1_000;
/// The highest priority, and the lowest with a minus: enough ranks for anybody, and a typing error is noticed.
pub(super) const PRIORITY_MAX: i32 = 1_000;
pub(super) const LABELS_MAX: usize = 64;
pub(super) const LABEL_CHARS_MAX: usize = 64;
const SECOND: Duration = Duration::from_secs(1);

pub(super) static KEYS: KeySet = KeySet {
    what: "an entry",
    known: &[
        "cron",
        "timezone",
        "account",
        "project_id",
        "pipeline_id",
        "sources",
        "variables",
        "choose_stages",
        "choose_jobs",
        "description",
        "sub_hook",
        "execution_plan_id",
        "spread",
        "catch_up",
        "catch_up_max",
        "deadline",
        "retry",
        "on_doubt",
        "follow",
        "run_timeout",
        "overlap",
        "priority",
        "enabled",
        "not_before",
        "not_after",
        "labels",
        "allow_subminute",
        "matrix",
        "only_on",
        "skip_on",
        "on_excluded",
        "alarm",
        "ping",
    ],
    advice: &[
        ("settle", "it belongs to an account"),
        (
            "notices",
            "channels stand at the left edge of a file; `labels` say which entries one is told of",
        ),
        (
            "notify",
            "channels stand under `notices:` at the left edge of a file; `labels` say which entries one is told of",
        ),
        ("alarms", "did you mean `alarm`?"),
        ("healthcheck", "did you mean `ping`?"),
        ("exclude", "it belongs into `matrix`"),
        ("include", "it belongs into `matrix`"),
        ("max_running", "it belongs to an account"),
        ("requests_per_second", "it belongs to an account"),
        ("concurrency", "did you mean `overlap`?"),
        ("concurrency_policy", "did you mean `overlap`?"),
        ("concurrencyPolicy", "did you mean `overlap`?"),
        ("schedule", "when it is due is `cron`"),
        ("when", "when it is due is `cron`"),
        ("tz", "did you mean `timezone`?"),
        ("zone", "did you mean `timezone`?"),
        ("parameters", "did you mean `variables`?"),
        ("params", "did you mean `variables`?"),
        ("env", "did you mean `variables`?"),
        ("project", "did you mean `project_id`?"),
        ("pipeline", "did you mean `pipeline_id`?"),
        ("stages", "did you mean `choose_stages`?"),
        ("jobs", "did you mean `choose_jobs`?"),
        ("source", "did you mean `sources`? it is a list"),
        (
            "branch",
            "it belongs to a source: sources: [{ git_type: ..., git_url: ..., branch: ... }]",
        ),
        ("name", "an entry's name is the key above it"),
        (
            "jitter",
            "how starts are spread is `spread`; how retries are is `retry: { jitter: ... }`",
        ),
        (
            "timeout",
            "how long a start is tried is `deadline`; how long a run may take is `run_timeout`",
        ),
        ("suspend", "did you mean `enabled: false`?"),
        ("paused", "did you mean `enabled: false`?"),
        ("disabled", "did you mean `enabled: false`?"),
        ("retries", "did you mean `retry: { max_attempts: ... }`?"),
        ("tags", "did you mean `labels`?"),
        (
            "calendars",
            "they stand at the left edge of a file; which of them an entry keeps to is `only_on` or `skip_on`",
        ),
        ("calendar", "did you mean `only_on`?"),
        (
            "exclude",
            "did you mean `skip_on`? days to exclude are a calendar",
        ),
        (
            "holidays",
            "they belong to a calendar, which `skip_on` names",
        ),
        ("freezes", "they stand at the left edge of a file"),
        ("region", "it belongs to an account"),
        ("credentials", "they belong to an account"),
    ],
};

pub(super) static RETRY: KeySet = KeySet {
    what: "`retry`",
    known: &[
        "max_attempts",
        "initial_backoff",
        "max_backoff",
        "multiplier",
        "jitter",
    ],
    advice: &[
        ("attempts", "did you mean `max_attempts`?"),
        ("backoff", "did you mean `initial_backoff`?"),
    ],
};

/// When an entry is due, as it is written.
#[derive(Debug, Clone)]
pub(super) enum Cron<'t> {
    /// `@manually`: never by itself.
    Manually,
    /// These patterns.
    Patterns(Vec<(&'t str, CronPattern, At)>),
}

/// The keys of an entry, or of defaults, as they are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys<'t> {
    pub(super) cron: Option<Given<Cron<'t>>>,
    pub(super) timezone: Option<Given<Arc<Zone>>>,
    pub(super) account: Option<Given<&'t str>>,
    pub(super) project_id: Option<Given<&'t str>>,
    pub(super) pipeline_id: Option<Given<&'t str>>,
    pub(super) sources: Option<Given<Arc<[Source]>>>,
    pub(super) variables: Option<Given<Arc<[Variable]>>>,
    pub(super) choose_stages: Option<Given<Arc<[String]>>>,
    pub(super) choose_jobs: Option<Given<Arc<[String]>>>,
    pub(super) description: Option<Given<&'t str>>,
    pub(super) sub_hook: Option<Given<bool>>,
    pub(super) execution_plan_id: Option<Given<&'t str>>,
    pub(super) spread: Option<Given<Duration>>,
    pub(super) catch_up: Option<Given<CatchUp>>,
    pub(super) catch_up_max: Option<Given<u32>>,
    pub(super) deadline: Option<Given<Duration>>,
    pub(super) retry: RetryKeys,
    pub(super) on_doubt: Option<Given<OnDoubt>>,
    pub(super) follow: Option<Given<bool>>,
    pub(super) run_timeout: Option<Given<Duration>>,
    pub(super) overlap: Option<Given<Overlap>>,
    pub(super) priority: Option<Given<i32>>,
    pub(super) enabled: Option<Given<bool>>,
    pub(super) not_before: Option<Given<Bound>>,
    pub(super) not_after: Option<Given<Bound>>,
    pub(super) labels: Option<Given<Labels>>,
    pub(super) allow_subminute: Option<Given<bool>>,
    /// Where `matrix` stands, which is worked out before.
    pub(super) matrix: Option<At>,
    pub(super) only_on: Option<Given<Vec<(&'t str, At)>>>,
    pub(super) skip_on: Option<Given<Vec<(&'t str, At)>>>,
    pub(super) on_excluded: Option<Given<OnExcluded>>,
    pub(super) alarm: Option<Given<Alarm>>,
    pub(super) ping: Option<Given<Arc<Ping>>>,
    /// What stands at the keys of the request, for whoever looks at single stages, jobs and variables.
    pub(super) sent: Vec<(&'t str, Value<'t>)>,
    /// Keys that seem to be meant by unknown ones.
    pub(super) meant: Vec<&'static str>,
    /// Whether there may be more keys, in something that was refused.
    pub(super) lacks: bool,
    /// Keys that are there and have no value.
    pub(super) empty: Vec<(&'static str, At)>,
}

/// The keys of `retry` as they are read.
#[derive(Debug, Clone, Default)]
pub(super) struct RetryKeys {
    pub(super) max_attempts: Option<Given<u32>>,
    pub(super) initial_backoff: Option<Given<Duration>>,
    pub(super) max_backoff: Option<Given<Duration>>,
    pub(super) multiplier: Option<Given<f64>>,
    pub(super) jitter: Option<Given<Jitter>>,
}

impl<'t> Keys<'t> {
    /// The keys of what could not be read, which is reported.
    pub(super) fn of_something_refused() -> Self {
        Self {
            lacks: true,
            ..Self::default()
        }
    }

    /// Reads a mapping; `what` is its key, for messages.
    pub(super) fn read(check: &mut Check<'_>, value: Value<'t>, what: &str) -> Option<Self> {
        let mut keys = Self::default();
        check.kept_bytes = 0;
        match value.shape() {
            Shape::Mapping(mapping) => {
                let pairs = check.keys(mapping, &KEYS);
                keys.meant = std::mem::take(&mut check.meant);
                keys.lacks = check.lacks;
                keys.empty = std::mem::take(&mut check.empty);
                for pair in pairs {
                    keys.take(check, pair);
                }
                Some(keys)
            }
            Shape::Null => Some(keys),
            Shape::Text(_) | Shape::List(_) => {
                check.wrong_form(
                    value,
                    what,
                    "a mapping",
                    "write its keys below it, such as `cron: \"0 2 * * *\"`",
                );
                None
            }
            Shape::Refused => None,
        }
    }

    fn take(&mut self, check: &mut Check<'_>, pair: Pair<'t>) {
        let Pair { key, value, .. } = pair;
        if online::COMPARED.contains(&key) {
            self.sent.push((key, value));
        }
        match key {
            "cron" => self.cron = given(value, cron(check, value)),
            "timezone" => self.timezone = given(value, check.zone(value, key)),
            "account" => self.account = given(value, check.some_text(value, key)),
            "project_id" => self.project_id = given(value, check.id32(value, key)),
            "pipeline_id" => self.pipeline_id = given(value, check.id32(value, key)),
            "sources" => self.sources = given(value, sources(check, value)),
            "variables" => self.variables = given(value, variables(check, value)),
            "choose_stages" => self.choose_stages = given(value, texts(check, value, key)),
            "choose_jobs" => self.choose_jobs = given(value, texts(check, value, key)),
            "description" => self.description = given(value, request::description(check, value)),
            "sub_hook" => self.sub_hook = given(value, check.flag(value, key)),
            "execution_plan_id" => {
                self.execution_plan_id = given(value, request::text(check, value, key))
            }
            "spread" => self.spread = given(value, check.duration(value, key, Duration::ZERO)),
            "catch_up" => self.catch_up = given(value, check.word(value, key, &CATCH_UPS)),
            "catch_up_max" => {
                self.catch_up_max = given(value, check.count(value, key, CATCH_UP_MAX))
            }
            "deadline" => self.deadline = given(value, check.duration(value, key, SECOND)),
            "retry" => self.retry = RetryKeys::read(check, value),
            "on_doubt" => self.on_doubt = given(value, check.word(value, key, &ON_DOUBTS)),
            "follow" => self.follow = given(value, check.flag(value, key)),
            "run_timeout" => {
                self.run_timeout = given(value, check.duration(value, key, SECOND));
            }
            "overlap" => self.overlap = given(value, check.word(value, key, &OVERLAPS)),
            "priority" => {
                self.priority = given(
                    value,
                    check.number(value, key, -PRIORITY_MAX..=PRIORITY_MAX),
                )
            }
            "enabled" => self.enabled = given(value, check.flag(value, key)),
            "not_before" => self.not_before = given(value, check.bound(value, key)),
            "not_after" => self.not_after = given(value, check.bound(value, key)),
            "labels" => self.labels = given(value, labels(check, value)),
            "matrix" => self.matrix = Some(pair.key_at),
            "only_on" => self.only_on = given(value, calendars::words(check, value, key)),
            "skip_on" => self.skip_on = given(value, calendars::words(check, value, key)),
            "on_excluded" => self.on_excluded = given(value, check.word(value, key, &ON_EXCLUDEDS)),
            "alarm" => self.alarm = given(value, read::alarm(check, value)),
            "ping" => self.ping = given(value, read::ping(check, value)),
            "allow_subminute" => self.allow_subminute = given(value, check.flag(value, key)),
            _ => {}
        }
    }
}

pub(super) const CATCH_UPS: [(&str, CatchUp); 3] = [
    ("none", CatchUp::None),
    ("latest", CatchUp::Latest),
    ("all", CatchUp::All),
];
pub(super) const ON_DOUBTS: [(&str, OnDoubt); 2] =
    [("resend", OnDoubt::Resend), ("give_up", OnDoubt::GiveUp)];
pub(super) const ON_EXCLUDEDS: [(&str, OnExcluded); 3] = [
    ("skip", OnExcluded::Skip),
    ("next", OnExcluded::Next),
    ("previous", OnExcluded::Previous),
];
pub(super) const OVERLAPS: [(&str, Overlap); 4] = [
    ("allow", Overlap::Allow),
    ("skip", Overlap::Skip),
    ("queue", Overlap::Queue),
    ("replace", Overlap::Replace),
];

/// How an `overlap` is written.
pub(super) fn overlap_word(overlap: Overlap) -> &'static str {
    word(&OVERLAPS, overlap)
}

/// How a meaning is written.
pub(super) fn word<T: Copy + PartialEq>(words: &[(&'static str, T)], meaning: T) -> &'static str {
    words
        .iter()
        .find(|(_, other)| *other == meaning)
        .map_or("", |(word, _)| word)
}

pub(super) const JITTERS: [(&str, Jitter); 2] = [("full", Jitter::Full), ("none", Jitter::None)];

impl RetryKeys {
    fn read(check: &mut Check<'_>, value: Value<'_>) -> Self {
        let mut keys = Self::default();
        let Shape::Mapping(mapping) = value.shape() else {
            let help = "write settings, such as retry: { max_attempts: 5 }; a single attempt is { max_attempts: 1 }";
            check.wrong_form(value, "retry", "a mapping", help);
            return keys;
        };
        for Pair { key, value, .. } in check.keys(mapping, &RETRY) {
            let millisecond = Duration::from_millis(1);
            match key {
                "max_attempts" => {
                    keys.max_attempts = given(value, check.count(value, key, ATTEMPTS_MAX))
                }
                "initial_backoff" => {
                    keys.initial_backoff = given(value, check.duration(value, key, millisecond))
                }
                "max_backoff" => {
                    keys.max_backoff = given(value, check.duration(value, key, millisecond))
                }
                "multiplier" => keys.multiplier = given(value, check.factor(value, key)),
                "jitter" => keys.jitter = given(value, check.word(value, key, &JITTERS)),
                _ => {}
            }
        }
        keys
    }
}

fn given<T>(value: Value<'_>, read: Option<T>) -> Option<Given<T>> {
    Some(Given {
        at: value.at(),
        value: read,
    })
}

/// A pattern, or a list of them, or `@manually`.
fn cron<'t>(check: &mut Check<'_>, value: Value<'t>) -> Option<Cron<'t>> {
    let texts: Vec<(&str, Value<'_>)> = match value.shape() {
        Shape::Text(text) => vec![(text, value)],
        Shape::List(_) => check.texts(value, "cron")?,
        Shape::Null | Shape::Mapping(_) | Shape::Refused => {
            let help = "write a pattern, such as \"0 2 * * 1-5\", or a list of patterns";
            check.wrong_form(value, "cron", "a pattern or a list of patterns", help);
            return None;
        }
    };
    if texts.is_empty() || texts.len() > PATTERNS_MAX {
        let message = format!(
            "`cron` has {} patterns; an entry has 1 to {PATTERNS_MAX}",
            texts.len()
        );
        let help = "write `cron: \"@manually\"` for an entry that is started by hand alone; more patterns need more entries";
        check.report(Finding::error(Kind::Pattern, value.at(), message).help(help));
        return None;
    }
    let manually = texts
        .iter()
        .find(|(text, _)| text.trim().eq_ignore_ascii_case("@manually"));
    if let Some((_, manually)) = manually {
        if texts.len() == 1 {
            return Some(Cron::Manually);
        }
        let message = "`@manually` stands alone: an entry is due by itself, or by hand alone";
        check.report(
            Finding::error(Kind::Conflict, manually.at(), message)
                .help("remove it, or the patterns beside it"),
        );
        return None;
    }
    let patterns: Vec<Option<_>> = texts
        .into_iter()
        .map(|(text, item)| {
            // In defaults the name is not known; whether the days that `H` draws ever come is asked when it is.
            pattern(check, text, Some("entry"), item)
                .map(|pattern| (text, pattern, item.text_at().unwrap_or_else(|| item.at())))
        })
        .collect();
    patterns
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .map(Cron::Patterns)
}

/// Reads a pattern. `name` is what `H` is fixed by; none where there is no entry, and so no `H`.
pub(super) fn pattern(
    check: &mut Check<'_>,
    text: &str,
    name: Option<&str>,
    value: Value<'_>,
) -> Option<CronPattern> {
    let read = match name {
        Some(name) => CronPattern::parse_named(text, name),
        None => CronPattern::parse(text),
    };
    let error = match read {
        Ok(pattern) => return Some(pattern),
        Err(error) if error.kind == PatternErrorKind::Never && has_hash(text) => {
            let any = CronPattern::parse("* * * * *");
            return any.ok();
        }
        Err(error) => error,
    };
    if let Some(ZonePrefix { zone, piece, rest }) = zone_prefix(text) {
        let at = value
            .text_at()
            .map_or_else(|| value.at(), |at| at.part(piece));
        let message = "the time zone stands beside the pattern, not in it";
        let help = format!(
            "write `timezone: {zone}` in the entry, and {} in `cron`",
            match rest {
                "" => "the pattern alone".to_owned(),
                rest => quoted(rest),
            }
        );
        check.report(Finding::error(Kind::Pattern, at, message).help(help));
        return None;
    }
    if let Some(finding) = no_pattern_at_all(text, value) {
        check.report(finding);
        return None;
    }
    report_pattern(check, &error, value.text_at(), value.at());
    None
}

/// Reports a pattern that is wrong. `text_at` is where its text stands letter by letter, if it does.
pub(super) fn report_pattern(
    check: &mut Check<'_>,
    error: &PatternError,
    text_at: Option<At>,
    whole: At,
) {
    let field = error
        .field
        .map_or_else(String::new, |field| format!(" in the {}", field.name()));
    let message = if error.piece.trim().is_empty() {
        "the cron pattern is empty".to_owned()
    } else {
        format!("the cron pattern is wrong: {}{field}", quoted(&error.piece))
    };
    let at = text_at.map_or(whole, |at| at.part(error.span.clone()));
    check.report(Finding::error(Kind::Pattern, at, message).help(pattern_help(error)));
    for later in &error.later {
        report_pattern(check, later, text_at, whole);
    }
}

/// What people write in place of a pattern, or beside it.
fn no_pattern_at_all(text: &str, value: Value<'_>) -> Option<Finding> {
    let at = value.text_at().unwrap_or_else(|| value.at());
    let part = |piece: Range<usize>| value.text_at().map_or(at, |at| at.part(piece));
    if let Some(meant) = text::clock_time(text) {
        let message = format!("{} is a time of day, and no cron pattern", quoted(text));
        let weekdays = meant.trim_end_matches('*').to_owned() + "1-5";
        let help =
            format!("every day at that time is \"{meant}\", Monday to Friday \"{weekdays}\"");
        return Some(Finding::error(Kind::Pattern, at, message).help(help));
    }
    let quotes = ['"', '\'', '“', '”', '„', '‘', '’', '`'];
    let inner = text.trim().trim_matches(quotes);
    if inner.len() < text.trim().len() && CronPattern::parse(inner).is_ok() {
        let message = match text.trim().starts_with(['"', '\'', '`']) {
            true => "there are quotes within the quotes, and a pattern has none",
            false => "these quotes are not YAML's, so they are part of the pattern",
        };
        let help = format!("write \"{inner}\", between one pair of plain quotes");
        return Some(Finding::error(Kind::Pattern, at, message).help(help));
    }
    let is_good = |end: usize| {
        text.get(..end)
            .is_some_and(|text| CronPattern::parse(text).is_ok())
    };
    if let Some(comment) = text.find(" #").filter(|end| is_good(*end)) {
        let message = "a comment stands within the quotes, where it is part of the pattern";
        let at = part(comment + 1..text.len());
        return Some(
            Finding::error(Kind::Pattern, at, message).help("move it behind the closing quote"),
        );
    }
    // A line of a crontab.
    let command = [" /", " ./", " ~/"]
        .iter()
        .filter_map(|begin| text.find(begin))
        .min();
    let command = command.filter(|end| is_good(*end))?;
    let message =
        "a command stands behind the pattern, and pipecron runs none: it starts pipelines";
    let help = "remove it from the pattern; what is started is said by `pipeline_id`";
    let at = part(command + 1..text.trim_end().len());
    Some(Finding::error(Kind::Pattern, at, message).help(help))
}

/// What to write instead of a pattern that is none. The ground floor knows nothing of entries that have no pattern at all.
pub fn pattern_help(error: &PatternError) -> String {
    let is_unknown = error.kind == PatternErrorKind::Nickname && !error.piece.contains(' ');
    let manually = match is_unknown {
        true => ", for an entry that starts by hand alone",
        false => "",
    };
    format!("{}{manually}", error.message)
}

/// The time zone that some other schedulers take before a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZonePrefix<'t> {
    /// Its name.
    pub zone: &'t str,
    /// The bytes of `TZ=NAME`.
    pub piece: Range<usize>,
    /// The pattern without it.
    pub rest: &'t str,
}

/// Reads `TZ=Asia/Shanghai 0 2 * * *` and `CRON_TZ=...`.
pub fn zone_prefix(text: &str) -> Option<ZonePrefix<'_>> {
    let start = text.len() - text.trim_start().len();
    let (name, after) = text.get(start..)?.split_once('=')?;
    if !["TZ", "CRON_TZ"].contains(&name.to_ascii_uppercase().as_str()) {
        return None;
    }
    let (zone, rest) = after.split_once(char::is_whitespace).unwrap_or((after, ""));
    Some(ZonePrefix {
        zone,
        piece: start..start + name.len() + 1 + zone.len(),
        rest: rest.trim(),
    })
}

fn sources(check: &mut Check<'_>, value: Value<'_>) -> Option<Arc<[Source]>> {
    let sources = request::sources(check, value)?;
    Some(check.same.sources.shared(sources))
}

fn variables(check: &mut Check<'_>, value: Value<'_>) -> Option<Arc<[Variable]>> {
    let variables = request::variables(check, value)?;
    Some(check.same.variables.shared(variables))
}

fn texts(check: &mut Check<'_>, value: Value<'_>, key: &str) -> Option<Arc<[String]>> {
    let texts = request::texts(check, value, key)?;
    Some(check.same.texts.shared(texts))
}

pub(super) fn labels(check: &mut Check<'_>, value: Value<'_>) -> Option<Labels> {
    let texts = check.texts(value, "labels")?;
    if texts.len() > LABELS_MAX {
        let message = format!(
            "there are {} labels, and {LABELS_MAX} are possible",
            texts.len()
        );
        check.report(Finding::error(Kind::Limit, value.at(), message).help("remove some"));
        return None;
    }
    let errors = check.findings.errors();
    for (text, item) in &texts {
        let odd = text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == ',');
        if text.is_empty() || odd || text.chars().count() > LABEL_CHARS_MAX {
            let message = format!("{} is not a label", quoted(text));
            let help = format!(
                "a label is a word of 1 to {LABEL_CHARS_MAX} characters without spaces and commas"
            );
            check.report(Finding::error(Kind::Value, item.at(), message).help(help));
        }
    }
    if errors != check.findings.errors() {
        return None;
    }
    let labels: BTreeSet<String> = texts.iter().map(|(text, _)| (*text).to_owned()).collect();
    Some(check.same.labels.shared(labels))
}
