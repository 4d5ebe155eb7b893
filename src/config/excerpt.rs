//! From bytes to what a person sees: line, column and the line itself, without the secrets on it.
//!
//! All places of a file are found in one pass, as ten thousand problems in a file of one 60 MB line must not take ten
//! thousand passes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::SourceFile;
use super::problem::{At, Place};

/// So many characters of a line are shown at most.
const SHOWN_CHARS_MAX: usize = 500;
/// A place further to the right is shown with so many characters before it.
const BEFORE_CHARS: usize = 60;
/// A place up to this column is shown with its line from the beginning.
const WHOLE_UNTIL_COLUMN: usize = 400;
/// So many characters of a piece of text stand in a message.
const QUOTED_CHARS_MAX: usize = 60;
/// What stands where a secret was.
const MASK: &str = "***";
/// How far before a place a secret's key is looked for, in bytes.
const LOOK_BACK_BYTES: usize = 4096;
/// Keys whose value is a secret, wherever they stand.
const SECRET_KEYS: [&str; 16] = [
    "sk",
    "secret",
    "secret_key",
    "secret_access_key",
    "token",
    "security_token",
    "access_token",
    "auth_token",
    "x-auth-token",
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "private_key",
    "api_key",
    "apikey",
];

/// What must not be shown.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// These stretches.
    pub(super) spans: BTreeSet<At>,
    /// In these files, whatever follows a key that looks like a secret's: they could not be read to their end.
    pub(super) by_key: BTreeSet<u32>,
}

/// Line, column and text of each stretch.
pub(super) fn places(files: &[SourceFile], ats: &[At], hidden: &Hidden) -> BTreeMap<At, Place> {
    let ats: BTreeSet<At> = ats.iter().copied().collect();
    let mut found = BTreeMap::new();
    let mut cursor: Option<(u32, Cursor<'_>)> = None;
    for at in ats {
        let Some(file) = files.get(at.file as usize) else {
            continue;
        };
        let mut here = match cursor {
            Some((number, cursor)) if number == at.file => cursor,
            _ => Cursor::new(&file.text),
        };
        here.advance(at.start as usize);
        found.insert(at, place(&here, at, hidden));
        cursor = Some((at.file, here));
    }
    found
}

/// Walks through a text and knows on which line it is.
#[derive(Debug, Clone, Copy)]
struct Cursor<'s> {
    text: &'s str,
    offset: usize,
    line: usize,
    line_start: usize,
    /// Characters between the line's start and here.
    chars: usize,
}

impl<'s> Cursor<'s> {
    fn new(text: &'s str) -> Self {
        // A byte-order mark is no character of the first line.
        let start = text.len() - text.trim_start_matches('\u{feff}').len();
        Self {
            text,
            offset: start,
            line: 1,
            line_start: start,
            chars: 0,
        }
    }

    fn advance(&mut self, to: usize) {
        let bytes = self.text.as_bytes();
        let to = floor_char(self.text, to);
        while self.offset < to {
            let next = bytes.get(self.offset + 1);
            match bytes.get(self.offset) {
                Some(b'\n') => self.new_line(),
                Some(b'\r') if next != Some(&b'\n') => self.new_line(),
                Some(byte) if byte & 0xc0 != 0x80 => self.chars += 1,
                Some(_) | None => {}
            }
            self.offset += 1;
        }
    }

    fn new_line(&mut self) {
        self.line += 1;
        self.line_start = self.offset + 1;
        self.chars = 0;
    }
}

fn place(cursor: &Cursor<'_>, at: At, hidden: &Hidden) -> Place {
    let text = cursor.text;
    let start = cursor.offset;
    let window = window(cursor);
    let whole = start..ceil_char(text, at.end as usize).max(start);
    let end = whole.end.clamp(start, window.end.max(start));
    // A stretch of several lines is marked to the end of the first.
    let end = start
        + text
            .get(start..end)
            .map_or(0, |marked| marked.trim_end().len());
    let secrets = secrets(cursor, &window, at, hidden);
    let (shown, marked) = cut(text, &window, &secrets, start..end);
    let left_out = window.start > cursor.line_start;
    let more = text
        .get(window.end..)
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['\n', '\r']));
    let (before, after) = (
        if left_out { "..." } else { "" },
        if more { "..." } else { "" },
    );
    Place {
        span: whole,
        line: cursor.line,
        column: cursor.chars + 1,
        marked: marked.start + before.len()..marked.end + before.len(),
        text: format!("{before}{shown}{after}"),
    }
}

/// The part of the line that is shown.
fn window(cursor: &Cursor<'_>) -> Range<usize> {
    let text = cursor.text;
    let from = if cursor.chars < WHOLE_UNTIL_COLUMN {
        cursor.line_start
    } else {
        let before = text.get(..cursor.offset).unwrap_or_default();
        (before.char_indices().rev().nth(BEFORE_CHARS - 1)).map_or(0, |(index, _)| index)
    };
    let rest = text.get(from..).unwrap_or_default();
    let line = (rest.char_indices().take(SHOWN_CHARS_MAX))
        .take_while(|&(_, char)| !matches!(char, '\n' | '\r'))
        .last()
        .map_or(0, |(index, char)| index + char.len_utf8());
    from..from + line
}

/// The secrets in a window, in order; they may overlap.
fn secrets(
    cursor: &Cursor<'_>,
    window: &Range<usize>,
    at: At,
    hidden: &Hidden,
) -> Vec<Range<usize>> {
    let from = |start: usize| At {
        start: u32::try_from(start).unwrap_or(u32::MAX),
        end: 0,
        ..at
    };
    // Hidden stretches are scalars, which do not overlap: of those before the window only the last can reach into it.
    let before = hidden.spans.range(from(0)..from(window.start)).next_back();
    let within = hidden.spans.range(from(window.start)..from(window.end));
    let mut secrets: Vec<Range<usize>> = before
        .into_iter()
        .chain(within)
        .map(|at| at.range())
        .collect();
    secrets.retain(|secret| secret.end > window.start);
    if hidden.by_key.contains(&at.file) {
        secrets.extend(secret_by_key(cursor.text, cursor.line_start, window));
    }
    secrets.sort_by_key(|secret| secret.start);
    secrets
}

/// What follows a key that looks like a secret's, to the end of the window.
fn secret_by_key(text: &str, line_start: usize, window: &Range<usize>) -> Option<Range<usize>> {
    let looked_at = window.start.saturating_sub(LOOK_BACK_BYTES);
    let from = floor_char(text, line_start.max(looked_at));
    let line = text.get(from..window.end)?;
    // `sk:` or `sk: |` alone on the line before.
    let before = text.get(floor_char(text, from.saturating_sub(LOOK_BACK_BYTES))..from)?;
    let line_before = before.trim_end().rsplit(['\n', '\r']).next()?;
    let goes_on = secret_value(line_before)
        .and_then(|start| line_before.get(start..))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['|', '>', '"', '\'']));
    let start = if goes_on {
        line.len() - line.trim_start().len()
    } else {
        secret_value(line)?
    };
    let start = (from + start).max(window.start);
    (start < window.end).then_some(start..window.end)
}

/// Whether what stands at a place seems to be a secret, so that nothing of it is repeated in advice.
pub(super) fn looks_secret(text: &str, line_start: usize, line_end: usize) -> bool {
    secret_by_key(text, line_start, &(line_start..line_end)).is_some()
}

/// Whether a key's value is a secret, wherever it stands.
pub(super) fn is_secret_key(key: &str) -> bool {
    SECRET_KEYS
        .iter()
        .any(|secret| key.eq_ignore_ascii_case(secret))
}

/// Where on a line the value of a secret's key begins, unless it is a reference such as `{ env: NAME }`.
fn secret_value(line: &str) -> Option<usize> {
    let lower = line.to_ascii_lowercase();
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    SECRET_KEYS
        .iter()
        .flat_map(|key| {
            lower
                .match_indices(key)
                .map(|(at, key)| (at, at + key.len()))
        })
        .filter(|&(at, _)| {
            !lower
                .get(..at)
                .is_some_and(|before| before.ends_with(is_word))
        })
        .filter_map(|(_, end)| {
            let rest = lower.get(end..)?;
            let value = rest
                .trim_start_matches(['"', '\''])
                .trim_start()
                .strip_prefix(':')?;
            Some(lower.len() - value.trim_start().len())
        })
        .filter(|&start| {
            !lower
                .get(start..)
                .is_some_and(|value| value.starts_with('{'))
        })
        .min()
}

/// The window without the secrets, and the marked stretch in it.
fn cut(
    text: &str,
    window: &Range<usize>,
    secrets: &[Range<usize>],
    marked: Range<usize>,
) -> (String, Range<usize>) {
    let mut shown = String::new();
    let mut at = window.start;
    let (mut start, mut end) = (None, None);
    let mut copy = |shown: &mut String, from: usize, to: usize| {
        if start.is_none() && marked.start <= to {
            start = Some(shown.len() + marked.start.saturating_sub(from));
        }
        if end.is_none() && marked.end <= to {
            end = Some(shown.len() + marked.end.saturating_sub(from));
        }
        shown.push_str(text.get(from..to).unwrap_or_default());
    };
    for secret in secrets {
        let from = floor_char(text, secret.start.clamp(at, window.end));
        copy(&mut shown, at, from);
        let to = floor_char(text, secret.end.clamp(from, window.end));
        if to > from {
            shown.push_str(MASK);
        }
        at = to;
    }
    copy(&mut shown, at, window.end);
    let start = start.unwrap_or(shown.len());
    let end = end.unwrap_or(shown.len()).max(start);
    (shown, start..end)
}

/// The last character boundary at or before `offset`.
fn floor_char(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// The first character boundary at or after `offset`.
fn ceil_char(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset += 1;
    }
    offset
}

/// The text with what would steer a terminal, or hide, written out.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unseen(char) {
            shown.extend(char.escape_unicode());
        } else {
            shown.push(char);
        }
    }
    shown
}

/// A piece of the files as it stands in a message: in backticks, clipped.
pub(super) fn quoted(text: &str) -> String {
    let mut clipped: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if clipped.len() < text.len() {
        clipped.push_str("...");
    }
    format!("`{}`", shown(&clipped))
}

fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}
