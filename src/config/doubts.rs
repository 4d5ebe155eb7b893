//! Texts of a request that can be sent and hardly mean what they say: a date without a `%`, one brace where two are meant.
//!
//! Only what nobody writes on purpose is told of, and as a warning: what stands there is sent.

use super::excerpt::quoted;
use super::text::{self, Wrong};
use crate::domain::Origin;

/// What people call years, months and so on elsewhere, and what it is called here; the longest first.
const LETTERS: [(&str, &str); 9] = [
    ("YYYY", "%Y"),
    ("yyyy", "%Y"),
    ("YY", "%y"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("dd", "%d"),
    ("HH", "%H"),
    ("mm", "%M"),
    ("ss", "%S"),
];

/// What a template probably does not mean.
pub(super) fn of_template(text: &str) -> Vec<Wrong> {
    let mut found = Vec::new();
    for (start, format) in quoted_after(text, "date(") {
        let piece = Some(start..start + format.len());
        let wrong = if format.is_empty() {
            Wrong::new(
                "this date is always empty",
                "write how it is to look, such as date('%Y-%m-%d')",
            )
        } else if !format.contains('%') {
            let message = format!(
                "{} has no `%`, so just that is sent, and no date",
                quoted(format)
            );
            Wrong::new(message, format!("write date('{}')", strftime(format)))
        } else if format.contains("%Z") {
            Wrong::new(
                "`%Z` writes the offset from UTC, such as +08:00, and not the zone's name",
                "write `%:z` for the offset; the zone's name is {{ entry.timezone }}",
            )
        } else {
            continue;
        };
        found.push(Wrong { piece, ..wrong });
    }
    let origins = [Origin::Scheduled, Origin::Manual].map(Origin::name);
    let compared = [
        "tick.origin ==",
        "tick.origin==",
        "tick.origin !=",
        "tick.origin!=",
    ];
    let compared = compared
        .into_iter()
        .flat_map(|mark| quoted_after(text, mark));
    for (start, origin) in compared.filter(|(_, origin)| !origins.contains(origin)) {
        let help = match text::nearest(origin, origins) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("write one of '{}'", origins.join("', '")),
        };
        found.push(Wrong {
            piece: Some(start..start + origin.len()),
            ..Wrong::new(format!("`tick.origin` is never {}", quoted(origin)), help)
        });
    }
    found
}

/// What a text without a template probably does not mean.
pub(super) fn of_text(text: &str) -> Option<Wrong> {
    // What looks like a shell's variable is left alone: the service fills in its own parameters, written `${NAME}`.
    if !text.contains(['%', '{']) {
        return None;
    }
    if text.contains("%Y") && (text.contains("%m") || text.contains("%d")) && text.len() <= 100 {
        // The text is not repeated: it may be a password, which the excerpt hides.
        return Some(Wrong::new(
            "this is sent as it stands: no date is filled in",
            "write \"{{ tick.local | date('%Y%m%d') }}\", with the format that is meant",
        ));
    }
    let names = ["tick.", "entry.", "last_success.", "matrix."];
    let brace = text.match_indices('{').find_map(|(at, _)| {
        let rest = text.get(at + 1..)?;
        let inner = rest.get(..rest.find('}')?)?;
        let begins = names
            .iter()
            .any(|name| inner.trim_start().starts_with(name));
        begins.then_some((at, inner))
    });
    brace.map(|(at, inner)| Wrong {
        piece: Some(at..at + inner.len() + 2),
        ..Wrong::new(
            "one brace begins no template, so this is sent as it stands",
            "write two braces on each side, {{ ... }}, and the whole text between quotes",
        )
    })
}

/// The texts in quotes that follow some words, and where they begin.
fn quoted_after<'t>(text: &'t str, words: &'t str) -> impl Iterator<Item = (usize, &'t str)> {
    text.match_indices(words).filter_map(move |(at, words)| {
        let before = text.get(..at)?.chars().next_back();
        if before.is_some_and(|char| char.is_alphanumeric() || char == '_') {
            return None;
        }
        let rest = text.get(at + words.len()..)?;
        let inner = rest.trim_start();
        let quote = inner
            .chars()
            .next()
            .filter(|char| matches!(char, '"' | '\''))?;
        let start = at + words.len() + (rest.len() - inner.len()) + 1;
        let inner = inner.get(1..)?;
        Some((start, inner.get(..inner.find(quote)?)?))
    })
}

/// A format of dates as other programs have it, as it is written here.
fn strftime(format: &str) -> String {
    let mut written = String::new();
    let mut rest = format;
    while let Some(char) = rest.chars().next() {
        let known = LETTERS
            .iter()
            .find(|(letters, _)| rest.starts_with(letters));
        let (length, is) = match known {
            Some((letters, is)) => (letters.len(), Some(*is)),
            None => (char.len_utf8(), None),
        };
        match is {
            Some(is) => written.push_str(is),
            None => written.push(char),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    match written.contains('%') {
        true => written,
        false => "%Y-%m-%d".to_owned(),
    }
}
