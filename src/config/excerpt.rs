//! From bytes to what a person sees: line, column and the line itself, without the secrets on it.
//!
//! All places of a file are found in one pass, as ten thousand problems in a file of one 60 MB line must not take ten
//! thousand passes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::SourceFile;
use super::hidden::{Hidden, MASK, masked};
use super::problem::{At, Place};

/// So many characters of a line are shown at most.
const SHOWN_CHARS_MAX: usize = 500;
/// A place further to the right is shown with so many characters before it.
const BEFORE_CHARS: usize = 60;
/// A place up to this column is shown with its line from the beginning.
const WHOLE_UNTIL_COLUMN: usize = 400;
/// So many characters of a piece of text stand in a message.
const QUOTED_CHARS_MAX: usize = 60;
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
    let secrets = hidden.within(at.file, text, cursor.line_start, &window);
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
        text: format!("{before}{}{after}", tame(&shown)),
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
        // Two that overlap are one.
        let goes_on = from == at && shown.ends_with(MASK);
        if to > from && !goes_on {
            shown.push_str(MASK);
        }
        at = to;
    }
    copy(&mut shown, at, window.end);
    let start = start.unwrap_or(shown.len());
    let end = end.unwrap_or(shown.len()).max(start);
    (shown, start..end)
}

/// The line without the controls of U+0080 to U+009F: U+009B begins a sequence that steers a terminal as ESC `[` does, and
/// the renderer writes out only those below U+0080. What stands for one is as long, so that marks stay where they are.
fn tame(line: &str) -> String {
    line.replace(|char| ('\u{80}'..='\u{9f}').contains(&char), "·")
}

/// The last character boundary at or before `offset`.
pub(super) fn floor_char(text: &str, offset: usize) -> usize {
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

/// The text in one line, with what would steer a terminal, or hide, written out: `\u{1b}`.
pub fn shown(text: &str) -> String {
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

/// A piece of the files as it stands in a message: in backticks, clipped, and without what looks like a secret.
pub(super) fn quoted(text: &str) -> String {
    let text = masked(text);
    let mut clipped: String = text.chars().take(QUOTED_CHARS_MAX).collect();
    if clipped.len() < text.len() {
        clipped.push_str("...");
    }
    format!("`{}`", shown(&clipped))
}

/// Whether a character steers a terminal, turns text round or cannot be seen: somebody who reads it is misled.
pub fn is_unseen(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}
