//! What is wrong with the files: each problem with its place, its line and what to write instead.
//!
//! A [`Problem`] carries all that is needed to show it, so it can go to a terminal, a log line, the status page or a
//! script long after the files have changed. It never carries a secret: what must not be shown is cut out of the source
//! line before the problem is made.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

use super::SourceFile;
use super::excerpt;
use super::hidden::Hidden;

/// So many problems are kept; of more, only the number. Nobody reads them, and a broken 60 MB file must not fill the memory.
pub const PROBLEMS_MAX: usize = 10_000;

/// Of these, so many may be warnings: an error never gives way to them.
const WARNINGS_MAX: usize = PROBLEMS_MAX / 2;

/// To so many errors a suggestion is looked for.
const ADVISED_MAX: usize = 1_000;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but it may not do what was meant.
    Warning,
}

impl Severity {
    /// The word that stands before the message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// What kind of problem it is, for programs: a person reads the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file or directory cannot be read, or is too large.
    File,
    /// The file is not YAML, or a YAML that we refuse (tags, several documents).
    Syntax,
    /// There is too much of something: nesting, values, characters.
    Limit,
    /// A key that nobody knows.
    UnknownKey,
    /// A key, name or variable that is given twice.
    Duplicate,
    /// Something that is needed is not there.
    Missing,
    /// A list where a text should be, or the like.
    Type,
    /// A value that is not one of the possible ones.
    Value,
    /// A cron pattern that is none, never fires, or fires too often.
    Pattern,
    /// A template that cannot work.
    Template,
    /// A time zone that does not exist.
    Zone,
    /// The name of something that is not configured.
    Reference,
    /// A secret that stands in the file.
    Secret,
    /// Keys that exclude each other.
    Conflict,
    /// An entry that will not do anything, or not what it seems to.
    Idle,
    /// An entry that does not fit its pipeline as the service shows it, or of which that could not be found out.
    Online,
    /// A pattern that restricts both day fields.
    DayFields,
    /// An entry that is due while the clock changes.
    ClockChange,
    /// More starts at one time than an account lets run.
    Crowd,
    /// A secret that cannot be read on this machine.
    SecretUnread,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::File,
        Self::Syntax,
        Self::Limit,
        Self::UnknownKey,
        Self::Duplicate,
        Self::Missing,
        Self::Type,
        Self::Value,
        Self::Pattern,
        Self::Zone,
        Self::Reference,
        Self::Secret,
        Self::Conflict,
        Self::Template,
        Self::Idle,
        Self::Online,
        Self::DayFields,
        Self::ClockChange,
        Self::Crowd,
        Self::SecretUnread,
    ];

    /// The code by which scripts know it. It never changes.
    pub fn code(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Syntax => "syntax",
            Self::Limit => "limit",
            Self::UnknownKey => "unknown-key",
            Self::Duplicate => "duplicate",
            Self::Missing => "missing",
            Self::Type => "type",
            Self::Value => "value",
            Self::Pattern => "pattern",
            Self::Zone => "zone",
            Self::Reference => "reference",
            Self::Secret => "secret",
            Self::Conflict => "conflict",
            Self::Template => "template",
            Self::Idle => "idle",
            Self::Online => "online",
            Self::DayFields => "day-fields",
            Self::ClockChange => "clock-change",
            Self::Crowd => "crowd",
            Self::SecretUnread => "secret-unread",
        }
    }
}

/// A stretch of one of the files, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct At {
    /// Which file, by its place in the list of files.
    pub(super) file: u32,
    /// The first byte.
    pub(super) start: u32,
    /// The byte after the last one.
    pub(super) end: u32,
}

impl At {
    /// The stretch `piece` of this one.
    pub(super) fn part(self, piece: Range<usize>) -> Self {
        let offset = |bytes: usize| {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.start.saturating_add(bytes).min(self.end)
        };
        Self {
            start: offset(piece.start),
            end: offset(piece.end),
            ..self
        }
    }

    /// The stretch as a range.
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A place in a file, with the line that stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The bytes of the file that are meant.
    pub span: Range<usize>,
    /// The line of the first one, from 1.
    pub line: usize,
    /// The column of the first one in characters, from 1.
    pub column: usize,
    /// That line, or the part around the place if it is long; secrets are cut out.
    pub text: String,
    /// The bytes of `text` that are meant.
    pub marked: Range<usize>,
}

impl Place {
    /// The column after the last character that is marked on the line.
    pub fn end_column(&self) -> usize {
        let marked = self.text.get(self.marked.clone()).unwrap_or_default();
        self.column + marked.chars().count()
    }
}

/// A second place that has to do with a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    /// The file's path, as it is to be shown.
    pub file: String,
    /// Where.
    pub place: Place,
    /// What is there.
    pub label: String,
}

/// Something that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What kind it is.
    pub kind: Kind,
    /// The file's path, as it is to be shown; empty if it is about all of them.
    pub file: String,
    /// Where in the file; none if it is about the whole file.
    pub place: Option<Place>,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// What to do about it, in one line.
    pub help: Option<String>,
    /// What could be written, in several lines; the help goes on with it.
    pub example: Option<String>,
    /// A second place, if two are involved.
    pub related: Option<Related>,
}

impl Problem {
    /// A problem of a whole file, or of all of them if `file` is empty.
    pub fn of_file(severity: Severity, kind: Kind, file: &str, message: String) -> Self {
        Self {
            severity,
            kind,
            file: file.to_owned(),
            place: None,
            message,
            help: None,
            example: None,
            related: None,
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

/// The problem as one line of a log, which has its own word for how bad it is:
/// `FILE:LINE:COLUMN: MESSAGE (LABEL at FILE:LINE:COLUMN); HELP`. There is no room for an example.
impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(out, "{}:", excerpt::shown(&self.file))?;
            if let Some(place) = &self.place {
                write!(out, "{}:{}:", place.line, place.column)?;
            }
            out.write_str(" ")?;
        }
        out.write_str(&excerpt::shown(&self.message))?;
        if let Some(related) = &self.related {
            let (file, place) = (excerpt::shown(&related.file), &related.place);
            write!(
                out,
                " ({} at {file}:{}:{})",
                related.label, place.line, place.column
            )?;
        }
        match &self.help {
            Some(help) => write!(out, "; {}", excerpt::shown(help)),
            None => Ok(()),
        }
    }
}

/// A problem as it is found: places are still bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    severity: Severity,
    kind: Kind,
    at: Option<At>,
    message: String,
    help: Option<String>,
    example: Option<String>,
    related: Option<(At, String)>,
}

impl Finding {
    /// An error at a place.
    pub(super) fn error(kind: Kind, at: At, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            kind,
            at: Some(at),
            message: message.into(),
            help: None,
            example: None,
            related: None,
        }
    }

    /// A warning at a place.
    pub(super) fn warning(kind: Kind, at: At, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(kind, at, message)
        }
    }

    /// An error of all files together.
    pub(super) fn overall(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            kind,
            at: None,
            message: message.into(),
            help: None,
            example: None,
            related: None,
        }
    }

    /// The same with advice.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    /// The same with more at the end of its message.
    pub(super) fn more(mut self, text: &str) -> Self {
        self.message.push_str(text);
        self
    }

    /// The same with something that could be written, which the advice goes on with.
    pub(super) fn example(self, example: impl Into<String>) -> Self {
        Self {
            example: Some(example.into()),
            ..self
        }
    }

    /// The same with a second place.
    pub(super) fn related(self, at: At, label: impl Into<String>) -> Self {
        Self {
            related: Some((at, label.into())),
            ..self
        }
    }
}

/// Everything that was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    kept: Vec<Finding>,
    /// Hashes of what was reported, so that a default or an aliased block with a mistake is one problem, not one for
    /// each entry that uses it.
    seen: HashSet<u64>,
    hasher: RandomState,
    errors: usize,
    warnings: usize,
    unlisted: usize,
    hidden: Hidden,
}

impl Findings {
    /// Adds a problem, unless the same was found at the same place before.
    pub(super) fn add(&mut self, finding: Finding) {
        let same = (finding.at, finding.kind, &finding.message);
        if !self.seen.insert(self.hasher.hash_one(same)) {
            return;
        }
        let is_error = finding.severity == Severity::Error;
        self.errors += usize::from(is_error);
        self.warnings += usize::from(!is_error);
        if self.kept.len() >= PROBLEMS_MAX || (!is_error && self.warnings > WARNINGS_MAX) {
            self.unlisted += 1;
        } else {
            self.kept.push(finding);
        }
    }

    /// Those of a part that is looked at by itself, which [`Self::append`] takes in.
    pub(super) fn beside(&self) -> Self {
        Self {
            hasher: self.hasher.clone(),
            ..Self::default()
        }
    }

    /// Adds what was found beside.
    pub(super) fn append(&mut self, other: Self) {
        let is_error = |finding: &&Finding| finding.severity == Severity::Error;
        let kept_errors = other.kept.iter().filter(is_error).count();
        let kept_warnings = other.kept.len() - kept_errors;
        other.kept.into_iter().for_each(|finding| self.add(finding));
        self.errors += other.errors - kept_errors;
        self.warnings += other.warnings - kept_warnings;
        self.unlisted += other.unlisted;
        self.seen.extend(other.seen);
        self.hidden.spans.extend(other.hidden.spans);
        self.hidden.by_key.extend(other.hidden.by_key);
    }

    /// Never shows what stands there.
    pub(super) fn hide(&mut self, at: At) {
        self.hidden.spans.insert(at);
    }

    /// Says that this file could not be read to its end, so that what is a secret in it is not known.
    pub(super) fn hide_by_key(&mut self, file: u32) {
        self.hidden.by_key.insert(file);
    }

    /// Whether there are so many problems that nobody will read what to do about the next one, which may take a while
    /// to find out.
    pub(super) fn are_many(&self) -> bool {
        self.errors >= ADVISED_MAX
    }

    /// Counts an error that is reported already and met again: what follows from it is no news.
    pub(super) fn count_again(&mut self) {
        self.errors += 1;
    }

    /// How many errors there are, those counted that were met again: a measure of whether there are more than before.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// The problems with their lines, in the order of the files and then of their places, and how many more there are.
    pub(super) fn finish(mut self, files: &[SourceFile]) -> (Vec<Problem>, usize) {
        self.kept
            .sort_by_key(|finding| (finding.at.is_none(), finding.at, finding.severity));
        let places: Vec<At> = (self.kept.iter())
            .flat_map(|finding| finding.at.into_iter().chain(finding.related_at()))
            .collect();
        let places = excerpt::places(files, &places, &self.hidden);
        let file = |at: At| {
            files
                .get(at.file as usize)
                .map_or_else(String::new, |file| file.path.clone())
        };
        let problems = self.kept.into_iter().map(|finding| Problem {
            severity: finding.severity,
            kind: finding.kind,
            file: finding.at.map(file).unwrap_or_default(),
            place: finding.at.and_then(|at| places.get(&at).cloned()),
            message: finding.message,
            help: finding.help,
            example: finding.example,
            related: finding.related.and_then(|(at, label)| {
                Some(Related {
                    file: file(at),
                    place: places.get(&at).cloned()?,
                    label,
                })
            }),
        });
        (problems.collect(), self.unlisted)
    }
}

impl Finding {
    fn related_at(&self) -> Option<At> {
        self.related.as_ref().map(|(at, _)| *at)
    }
}
