//! What must not be shown: secrets, wherever they stand, also in files too broken to know what is what.
//!
//! A secret never stands in a file that is right, so here it is about files that are wrong. What is read as a tree hides the
//! values of secrets' keys exactly. What stands elsewhere, in a comment, in a text that should be a mapping, in a file
//! that is no YAML, is found by its key on the line.

use std::collections::BTreeSet;
use std::ops::Range;

use super::excerpt::floor_char;
use super::problem::At;

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

impl Hidden {
    /// The secrets in a window of a line of a file, in order; they may overlap.
    pub(super) fn within(
        &self,
        file: u32,
        text: &str,
        line_start: usize,
        window: &Range<usize>,
    ) -> Vec<Range<usize>> {
        let from = |start: usize| At {
            start: u32::try_from(start).unwrap_or(u32::MAX),
            end: 0,
            file,
        };
        // Hidden stretches are scalars, which do not overlap: of those before the window only the last can reach into it.
        let before = self.spans.range(from(0)..from(window.start)).next_back();
        let within = self.spans.range(from(window.start)..from(window.end));
        let mut secrets: Vec<Range<usize>> = before
            .into_iter()
            .chain(within)
            .map(|at| at.range())
            .collect();
        secrets.retain(|secret| secret.end > window.start);
        if self.by_key.contains(&file) {
            secrets.extend(secret_by_key(text, line_start, window));
        }
        let line = text.get(window.clone()).unwrap_or_default();
        // Where no secret should be at all: in comments, in a text that is a piece of YAML.
        for start in secret_values(line) {
            let value = window.start + start..window.start + value_end(line, start);
            let known =
                |secret: &Range<usize>| secret.start < value.end && secret.end > value.start;
            if !secrets.iter().any(known) {
                secrets.push(value);
            }
        }
        secrets.extend(passwords(line).map(|at| window.start + at.start..window.start + at.end));
        secrets.sort_by_key(|secret| secret.start);
        secrets
    }
}

/// What follows a key that looks like a secret's, to the end of the window.
fn secret_by_key(text: &str, line_start: usize, window: &Range<usize>) -> Option<Range<usize>> {
    let looked_at = window.start.saturating_sub(LOOK_BACK_BYTES);
    let from = floor_char(text, line_start.max(looked_at));
    let line = text.get(from..window.end)?;
    let before = text.get(floor_char(text, from.saturating_sub(LOOK_BACK_BYTES))..from)?;
    let goes_on = secret_goes_on(before);
    let start = if goes_on {
        line.len() - line.trim_start().len()
    } else {
        secret_value(line)?
    };
    let start = (from + start).max(window.start);
    (start < window.end).then_some(start..window.end)
}

/// Whether the lines before end in the middle of a secret: `sk:` or `sk: |`, and perhaps lines without a key.
fn secret_goes_on(before: &str) -> bool {
    let lines = before.trim_end().rsplit(['\n', '\r']);
    lines
        .map(str::trim)
        .find_map(
            |line| match secret_value(line).and_then(|start| line.get(start..)) {
                Some(value) => Some(value.is_empty() || value.starts_with(['|', '>', '"', '\''])),
                None if line.contains(": ") || line.ends_with(':') => Some(false),
                None => None,
            },
        )
        .unwrap_or(false)
}

/// Whether what stands at a place seems to be a secret, so that nothing of it is repeated in advice.
pub(super) fn looks_secret(text: &str, line_start: usize, line_end: usize) -> bool {
    secret_by_key(text, line_start, &(line_start..line_end)).is_some()
}

/// Whether a key's value is a secret, wherever it stands.
pub(super) fn is_secret_key(key: &str) -> bool {
    // A stray character before a key makes it the last word of a longer one.
    let word = key.rsplit(char::is_whitespace).next().unwrap_or(key);
    SECRET_KEYS
        .iter()
        .any(|secret| word.eq_ignore_ascii_case(secret))
}

/// The user and password of addresses such as `http://user:password@host`, wherever they stand.
fn passwords(line: &str) -> impl Iterator<Item = Range<usize>> {
    line.match_indices("://").filter_map(|(at, mark)| {
        let start = at + mark.len();
        let rest = line.get(start..)?;
        // A password that was not escaped may hold any character but these: rather too much is hidden than a part shown.
        let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
        let authority = rest.get(..end.unwrap_or(rest.len()))?;
        let end = authority.rfind('@')?;
        authority
            .get(..end)?
            .contains(':')
            .then_some(start..start + end)
    })
}

/// A text without the users and passwords of its addresses, for a sentence about it.
pub(super) fn without_passwords(text: &str) -> String {
    let mut shown = String::new();
    let mut from = 0;
    for Range { start, end } in passwords(text) {
        if start < from {
            continue;
        }
        shown.push_str(text.get(from..start).unwrap_or_default());
        shown.push_str("***");
        from = end;
    }
    shown.push_str(text.get(from..).unwrap_or_default());
    shown
}

/// Where on a line the first value of a secret's key begins.
fn secret_value(line: &str) -> Option<usize> {
    secret_values(line).min()
}

/// Where on a line the values of secrets' keys begin, unless they are references such as `{ env: NAME }`.
fn secret_values(line: &str) -> impl Iterator<Item = usize> {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    line.match_indices(':').filter_map(move |(colon, _)| {
        let key = line.get(..colon)?.trim_end().trim_end_matches(['"', '\'']);
        let word = key
            .rsplit(|char: char| !is_word(char) && char != '-')
            .next()?;
        let value = line.get(colon + 1..)?.trim_start();
        let start = line.len() - value.len();
        (is_secret_key(word) && !is_reference(value)).then_some(start)
    })
}

/// The end of the value that begins at `start` of a line, as far as it can be told without knowing what is around it.
fn value_end(line: &str, start: usize) -> usize {
    let value = line.get(start..).unwrap_or_default();
    let quote = value
        .chars()
        .next()
        .filter(|char| matches!(char, '"' | '\''));
    let length = match quote {
        Some(quote) => value
            .get(1..)
            .and_then(|rest| rest.find(quote))
            .map(|end| end + 2),
        None => value
            .find([',', '}', ']'])
            .map(|end| value.get(..end).map_or(end, |value| value.trim_end().len())),
    };
    start + length.unwrap_or(value.len())
}

/// Whether a value names the place of a secret, as `{ env: NAME }` does, rather than being one.
fn is_reference(value: &str) -> bool {
    let inner = value
        .strip_prefix('{')
        .and_then(|rest| rest.split('}').next());
    inner
        .and_then(|inner| inner.split_once(':'))
        .is_some_and(|(key, name)| {
            let unquoted = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
            is_reference_key(&unquoted(key)) && is_place(&unquoted(name))
        })
}

/// Whether a key names a place where secrets are kept.
pub(super) fn is_reference_key(key: &str) -> bool {
    matches!(key, "env" | "file" | "credential")
}

/// Whether a text can be the name of a variable, of a credential, or a path, and so is no secret.
pub(super) fn is_place(text: &str) -> bool {
    text.starts_with('/')
        || text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}
