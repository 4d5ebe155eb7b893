//! The outside of a template: where its expressions are, and what words stand in them.

use std::ops::Range;

use super::{Matrix, NAMES, TEMPLATE_BYTES_MAX, Wrong, filters, moment};

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// It is sent as it stands.
    Text(Range<usize>),
    /// What `{{ .. }}` stands for.
    Expression {
        /// With the braces.
        whole: Range<usize>,
        /// Between them.
        inner: Range<usize>,
    },
}

pub(super) const FILTERS_HELP: &str = "filters of instants: date('%Y%m%d'), plus('2h'), minus('1d'), start_of('week'), local, in_zone('UTC'), unix; of \
     texts: lower, upper, trim, replace('/', '-'), truncate(20); of lists: join(','); of all: default('none')";

/// Cuts a text into its pieces.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, Wrong> {
    if text.len() > TEMPLATE_BYTES_MAX {
        let message = format!("the template is longer than {TEMPLATE_BYTES_MAX} bytes");
        return Err(Wrong::new(0..text.len(), message, "shorten it"));
    }
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(rest) = text.get(from..) {
        let open = rest.find("{{").map_or(text.len(), |at| from + at);
        let literal = text.get(from..open).unwrap_or_default();
        let marks = [("{%", "statements"), ("{#", "comments")];
        for (mark, what) in marks.into_iter().filter(|_| literal.contains('{')) {
            if let Some(at) = literal.find(mark) {
                let help = format!(
                    "a choice is written {{{{ 'A' if tick.origin == 'manual' else 'B' }}}}, and a text `{mark}` {{{{ '{mark}' }}}}"
                );
                let message = format!("{what} are not possible in a template");
                return Err(Wrong::new(from + at..from + at + mark.len(), message, help));
            }
        }
        if open > from {
            pieces.push(Piece::Text(from..open));
        }
        if open == text.len() {
            break;
        }
        let close = close(text, open + 2).ok_or_else(|| {
            Wrong::new(
                open..open + 2,
                "`{{` is not closed by `}}`",
                "write the closing `}}`; a text `{{` is written {{ '{{' }}",
            )
        })?;
        pieces.push(Piece::Expression {
            whole: open..close + 2,
            inner: open + 2..close,
        });
        from = close + 2;
    }
    Ok(pieces)
}

/// Where the `}}` is that ends an expression; braces in quotes are text.
fn close(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = from;
    let mut quote = None;
    while let Some(&byte) = bytes.get(at) {
        match quote {
            Some(_) if byte == b'\\' => at += 1,
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if byte == b'\'' || byte == b'"' => quote = Some(byte),
            None if byte == b'}' && bytes.get(at + 1) == Some(&b'}') => return Some(at),
            None => {}
        }
        at += 1;
    }
    None
}

/// The range without the space around what stands in it.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let inner = text.get(range.clone()).unwrap_or_default();
    let start = range.start + (inner.len() - inner.trim_start().len());
    let end = range.end - (inner.len() - inner.trim_end().len());
    if start < end { start..end } else { range }
}

/// A word of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word<'t> {
    /// A name with its points, a keyword, a filter.
    Name(&'t str),
    /// A text in quotes, without them and as it is written.
    Text(&'t str),
    /// Its digits, as they are written.
    Number(&'t str),
    Mark(char),
}

const KEYWORDS: [&str; 13] = [
    "and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None",
];
const TESTS: [&str; 2] = ["defined", "undefined"];
/// An expression has no more words than this.
const WORDS_MAX: usize = 500;

/// Looks at the words of an expression. Gives the names that it uses.
pub(super) fn check<'t>(
    text: &'t str,
    inner: Range<usize>,
    matrix: Option<&Matrix>,
    zones: &mut Vec<(String, Range<usize>)>,
) -> Result<Vec<&'t str>, Wrong> {
    let words = words(text, &inner)?;
    if words.is_empty() {
        let range = inner.start.saturating_sub(2)..inner.end + 2;
        let message = "there is nothing between `{{` and `}}`";
        let help = format!("write a name: {}", list(&NAMES));
        return Err(Wrong::new(range, message, help));
    }
    let mut used = Vec::new();
    let mut before = None;
    for (at, (word, span)) in words.iter().enumerate() {
        let after = words.get(at + 1).map(|(word, _)| *word);
        if let Word::Name(name) = *word {
            let follows = |mark| before == Some(Word::Mark(mark));
            let is_test = before == Some(Word::Name("is"))
                || (before == Some(Word::Name("not"))
                    && at
                        .checked_sub(2)
                        .and_then(|at| words.get(at))
                        .map(|(word, _)| *word)
                        == Some(Word::Name("is")));
            if follows('|') {
                known(name, span, "filter", &filters::NAMES)?;
                check_argument(name, span, words.get(at + 1..).unwrap_or_default(), zones)?;
            } else if KEYWORDS.contains(&name) {
                // The engine knows where they may stand.
            } else if is_test {
                known(name, span, "test", &TESTS)?;
            } else if after == Some(Word::Mark('(')) {
                let message = format!("there is no function `{name}`");
                return Err(Wrong::new(span.clone(), message, FILTERS_HELP));
            } else {
                match matrix {
                    Some(matrix) => check_matrix_name(name, span, matrix)?,
                    None => check_name(name, span)?,
                }
                used.push(name);
            }
        }
        before = Some(*word);
    }
    Ok(used)
}

/// Whether an expression says something of the matrix, as far as its words can be read.
pub(super) fn says_matrix(text: &str, inner: &Range<usize>) -> bool {
    let words = words(text, inner).unwrap_or_default();
    let is_it = |name: &str| name == "matrix" || name.starts_with("matrix.");
    words
        .iter()
        .any(|(word, _)| matches!(word, Word::Name(name) if is_it(name)))
}

fn check_matrix_name(name: &str, span: &Range<usize>, matrix: &Matrix) -> Result<(), Wrong> {
    let path = match name.strip_prefix("matrix") {
        Some("") => "",
        Some(rest) if rest.starts_with('.') => &rest[1..],
        _ => {
            let message = format!("`{name}` cannot stand in one expression with `matrix`");
            let help = "what is of the matrix is filled in when the file is read; write it in braces of its own";
            return Err(Wrong::new(span.clone(), message, help));
        }
    };
    if matrix.values.contains_key(path) {
        return Ok(());
    }
    let names: Vec<String> = (matrix.values.keys())
        .take(20)
        .map(|path| format!("matrix.{path}"))
        .collect();
    let message = format!("the matrix has no text `{name}`");
    let help = format!("possible are {}", names.join(", "));
    Err(Wrong::new(span.clone(), message, help))
}

fn check_name(name: &str, span: &Range<usize>) -> Result<(), Wrong> {
    if NAMES.contains(&name) {
        return Ok(());
    }
    if name == "matrix" || name.starts_with("matrix.") {
        let message = "`matrix` is known only in an entry that has a `matrix`";
        let help = "write `matrix:` beside it, with the values that the entry is repeated for";
        return Err(Wrong::new(span.clone(), message, help));
    }
    let inside: Vec<&str> = NAMES
        .into_iter()
        .filter(|known| {
            known
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('.'))
        })
        .collect();
    if !inside.is_empty() {
        let message = format!("`{name}` is several values");
        return Err(Wrong::new(
            span.clone(),
            message,
            format!("write one of {}", list(&inside)),
        ));
    }
    let owner = NAMES.into_iter().find(|known| {
        name.strip_prefix(known)
            .is_some_and(|rest| rest.starts_with('.'))
    });
    if let Some(owner) = owner {
        let message = format!("`{owner}` has nothing in it that could be named");
        return Err(Wrong::new(span.clone(), message, FILTERS_HELP));
    }
    Err(Wrong {
        known: &NAMES,
        ..Wrong::new(
            span.clone(),
            format!("a template knows no `{name}`"),
            format!("possible are {}", list(&NAMES)),
        )
    })
}

fn known(
    word: &str,
    span: &Range<usize>,
    what: &str,
    all: &'static [&'static str],
) -> Result<(), Wrong> {
    if all.contains(&word) {
        return Ok(());
    }
    Err(Wrong {
        known: all,
        ..Wrong::new(
            span.clone(),
            format!("there is no {what} `{word}`"),
            format!("possible are {}", list(all)),
        )
    })
}

/// Checks a text that is written in quotes after a filter: what is wrong with it is wrong for every tick. `after` are the
/// words after the filter.
fn check_argument(
    filter: &str,
    filter_span: &Range<usize>,
    after: &[(Word<'_>, Range<usize>)],
    zones: &mut Vec<(String, Range<usize>)>,
) -> Result<(), Wrong> {
    let needs = match filter {
        "date" => (
            "the form of a date in quotes",
            "write what strftime knows, such as date('%Y%m%d')",
        ),
        "plus" | "minus" => (
            "a step in time in quotes",
            "write a number and a unit, such as minus('1d')",
        ),
        "start_of" => (
            "the name of a stretch of time in quotes",
            "write hour, day, week, month, quarter or year, such as start_of('week')",
        ),
        "in_zone" => (
            "the name of a zone in quotes",
            "write an IANA name, such as in_zone('Europe/Berlin'); `local` gives the entry's zone",
        ),
        _ => return Ok(()),
    };
    let (text, span) = match after {
        [
            (Word::Mark('('), _),
            (Word::Text(text), span),
            (Word::Mark(')'), _),
            ..,
        ] if !text.contains('\\') => (*text, span),
        [
            (Word::Mark('('), _),
            (Word::Name("entry.timezone"), _),
            (Word::Mark(')'), _),
            ..,
        ] if filter == "in_zone" => {
            return Ok(());
        }
        // What is put together of several things could be wrong in some night alone.
        _ => {
            let (what, help) = needs;
            let message = match after {
                [(Word::Mark('('), _), (Word::Text(text), _), ..] => {
                    let but = match text.contains('\\') {
                        true => "without a backslash",
                        false => "and nothing beside it",
                    };
                    format!("`{filter}` needs {what}, {but}")
                }
                _ => format!("`{filter}` needs {what}"),
            };
            return Err(Wrong::new(filter_span.clone(), message, help));
        }
    };
    let wrong = match filter {
        "date" => moment::format_wrong(text),
        "plus" | "minus" => moment::Step::parse(text).err(),
        "start_of" => moment::Unit::parse(text).err(),
        // `in_zone`
        _ => {
            zones.push((text.to_owned(), span.clone()));
            None
        }
    };
    match wrong {
        None => Ok(()),
        Some((message, help)) => Err(Wrong::new(span.clone(), message, help)),
    }
}

/// The words of an expression, each with its place in the text.
pub(super) fn words<'t>(
    text: &'t str,
    inner: &Range<usize>,
) -> Result<Vec<(Word<'t>, Range<usize>)>, Wrong> {
    let mut words = Vec::new();
    let mut at = inner.start;
    let piece = |range: Range<usize>| text.get(range).unwrap_or_default();
    while let Some(char) = piece(at..inner.end).chars().next() {
        let start = at;
        let while_in = |is: fn(char) -> bool| {
            let rest = piece(start..inner.end);
            start + rest.find(|c| !is(c)).unwrap_or(rest.len())
        };
        let word = match char {
            ' ' | '\t' | '\n' | '\r' => {
                at += 1;
                continue;
            }
            '\'' | '"' => {
                let end = end_of_quote(text, start, inner.end).ok_or_else(|| {
                    Wrong::new(
                        start..start + 1,
                        "a quote is opened here and not closed",
                        "close it",
                    )
                })?;
                at = end;
                Word::Text(piece(start + 1..end - 1))
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                at = while_in(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
                Word::Name(piece(start..at))
            }
            '0'..='9' => {
                at = while_in(|c| c.is_ascii_alphanumeric() || c == '_');
                Word::Number(piece(start..at))
            }
            '|' | '(' | ')' | ',' | '~' | '+' | '-' | '=' | '!' | '<' | '>' => {
                at += 1;
                Word::Mark(char)
            }
            other => {
                let message = format!("a template cannot have {other:?} here");
                let help = "within `{{` and `}}` stand names, 'texts', whole numbers, filters after a `|`, and ~ + - == != < > and or not \
                            in if else";
                return Err(Wrong::new(start..start + other.len_utf8(), message, help));
            }
        };
        words.push((word, start..at));
        if words.len() > WORDS_MAX {
            let message = format!("the expression has more than {WORDS_MAX} words");
            return Err(Wrong::new(start..at, message, "make it simpler"));
        }
    }
    let edge = |word: Option<&(Word<'t>, Range<usize>)>, at: usize| match word {
        Some((Word::Mark('-' | '+'), span)) if span.start == at => Some(span.clone()),
        _ => None,
    };
    let trim = edge(words.first(), inner.start)
        .or_else(|| edge(words.last(), inner.end.saturating_sub(1)));
    if let Some(span) = trim {
        let message = "space around an expression is not taken away by a sign at its braces";
        return Err(Wrong::new(span, message, "remove the sign"));
    }
    Ok(words)
}

fn end_of_quote(text: &str, start: usize, end: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = bytes.get(start)?;
    let mut at = start + 1;
    while at < end {
        match bytes.get(at)? {
            b'\\' => at += 1,
            byte if byte == quote => return Some(at + 1),
            _ => {}
        }
        at += 1;
    }
    None
}

fn list(names: &[&str]) -> String {
    names.join(", ")
}
