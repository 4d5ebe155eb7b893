//! What to say about a file that is not YAML: one problem a file, with the mistake that people make rather than the
//! rule that the parser found broken.

use serde_yaml::granit_parser::{ErrorKind, ScanError};

use super::excerpt::quoted;
use super::hidden;
use super::problem::{At, Finding, Kind};
use super::text;
use super::yaml::DEPTH_MAX;

/// So much of a value is repeated in advice.
const VALUE_CHARS_MAX: usize = 60;

/// Where the parser stopped.
#[derive(Debug)]
pub(super) struct Stop<'s> {
    pub(super) file: u32,
    pub(super) source: &'s str,
    /// The byte at which it stopped.
    pub(super) offset: usize,
    /// The innermost `[` or `{` that was open.
    pub(super) open_flow: Option<At>,
    /// An alias of nothing that stands right before it.
    pub(super) alias: Option<(At, String)>,
}

impl Stop<'_> {
    /// The problem that made it stop.
    pub(super) fn explain(&self, error: &ScanError) -> Finding {
        if let Some(mark) = left_by_a_merge(self.source) {
            let message =
                "two versions of the file were merged, and where they differ nobody has chosen";
            let here = Here::new(self.file, self.source, mark);
            return Finding::error(Kind::Syntax, here.at(mark, mark + here.line.trim_end().len()), message)
                .help("keep one of the two, and remove the lines that begin with <<<<<<<, ======= and >>>>>>>");
        }
        let offset = self.offset.min(self.source.len());
        let here = Here::new(self.file, self.source, offset);
        let Some((at, name)) = &self.alias else {
            return explain(&here, error, self.open_flow);
        };
        if at.start as usize >= here.line_start {
            // `*/5 * * * *`: an alias, and then something that does not belong there.
            return here.starred(at.start as usize);
        }
        unknown_anchor(*at, name, self.source)
    }
}

/// The first line of a conflict that git writes into a file.
fn left_by_a_merge(source: &str) -> Option<usize> {
    let begins = |mark: &str| {
        let at_start = source.starts_with(mark).then_some(0);
        at_start.or_else(|| Some(source.find(&format!("\n{mark}"))? + 1))
    };
    begins("=======").filter(|_| begins(">>>>>>> ").is_some())?;
    begins("<<<<<<< ")
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser's errors are many and may become more; these are the ones people make"
)]
fn explain(here: &Here<'_>, error: &ScanError, open_flow: Option<At>) -> Finding {
    let offset = here.offset;
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(here.at(offset, offset + 1)),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar
        | ErrorKind::TabAtBlockScalarStart => here.tab(error),
        ErrorKind::UnexpectedCharacter { character } => here.character(*character),
        ErrorKind::MissingAnchorOrAliasName | ErrorKind::UnknownAnchor => here.star(error),
        ErrorKind::MappingValueNotAllowed => here.colon(),
        ErrorKind::ExpectedBlockMappingKey
        | ErrorKind::ExpectedBlockSequenceEntry
        | ErrorKind::InvalidIndentation
        | ErrorKind::SimpleKeyExpected
        | ErrorKind::InvalidSimpleKey => here.indentation(error, open_flow),
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => here.problem(
            "this quote is not closed",
            "close it at the end of the text; inside single quotes a single quote is written twice: 'it''s'",
        ),
        ErrorKind::InvalidTrailingSingleQuotedScalar
        | ErrorKind::InvalidTrailingDoubleQuotedScalar => here.after_quote(),
        ErrorKind::UnknownQuotedScalarEscape
        | ErrorKind::InvalidQuotedScalarHexEscape
        | ErrorKind::InvalidUnicodeEscape => here.problem(
            "between double quotes a backslash begins an escape, and this is none",
            "use single quotes, in which a backslash is a backslash, or write it twice: \\\\",
        ),
        ErrorKind::BomInsideDocument => here.problem(
            "a byte-order mark stands in the middle of the file",
            "remove it; it is invisible, and comes from joining files",
        ),
        ErrorKind::BlockSequenceEntryNotAllowed => here.problem(
            "a list cannot begin here",
            "begin it on a line of its own, or write it in brackets: [a, b]; quote a text that begins with `- `",
        ),
        _ => here.other(error, open_flow),
    }
}

/// An alias of an anchor that is not there; mostly a cron pattern without quotes.
pub(super) fn unknown_anchor(at: At, name: &str, source: &str) -> Finding {
    let here = Here::new(at.file, source, at.start as usize);
    if here.is_secret() {
        // What follows the `*` is more likely a secret than a name.
        return Finding::error(Kind::Syntax, at, "there is no such anchor")
            .help("a secret does not stand in the file; write { env: NAME }, { file: PATH } or { credential: NAME }");
    }
    let looks_like_cron =
        name.starts_with(['/', ',', '-']) || name.chars().all(|c| c.is_ascii_digit());
    let near = text::nearest(name, anchors(source)).map(clip);
    let name = clip(name);
    let help = if let Some(near) = near.filter(|_| !looks_like_cron) {
        format!("did you mean `*{near}`?")
    } else if looks_like_cron {
        format!("quote it, as a `*` without quotes begins an alias: \"*{name}\"")
    } else {
        format!(
            "write `&{name}` before the block that is meant, above this line and in this file; or quote the text: \"*{name}\""
        )
    };
    Finding::error(Kind::Syntax, at, format!("there is no anchor `&{name}`")).help(help)
}

/// What seems to be an anchor in a file: for advice, and so not exactly.
fn anchors(source: &str) -> impl Iterator<Item = &str> {
    const ANCHORS_MAX: usize = 1_000;
    let words = source.match_indices('&').filter_map(|(at, mark)| {
        let before = source.get(..at)?.chars().next_back();
        let rest = source.get(at + mark.len()..)?;
        let end =
            rest.find(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}'));
        let name = rest.get(..end.unwrap_or(rest.len()))?;
        let begins =
            before.is_none_or(|before| before.is_whitespace() || matches!(before, '[' | '{' | ','));
        (begins && !name.is_empty()).then_some(name)
    });
    words.take(ANCHORS_MAX)
}

/// A character that may not stand there.
pub(super) fn unprintable(at: At, char: char) -> Finding {
    let number = u32::from(char);
    let message = format!("the character U+{number:04X} may not stand in a YAML file");
    let help = if char == '\0' {
        "the file is damaged, or is no text; write it again".to_owned()
    } else {
        format!("remove it; if it is meant, write it between double quotes as \\u{number:04x}")
    };
    Finding::error(Kind::Syntax, at, message).help(help)
}

/// Nesting beyond the limit.
pub(super) fn too_deep(at: At) -> Finding {
    let message = format!("values are nested more than {DEPTH_MAX} deep");
    Finding::error(Kind::Limit, at, message).help("no key of pipecron needs more than eight levels")
}

/// A key that is a list or a mapping; and whether it is a template that lacks its quotes.
pub(super) fn key_is_no_text(at: At, source: &str) -> (Finding, bool) {
    // `{{ tick }}` without quotes is a mapping whose key is a mapping.
    let key = source.get(at.range()).unwrap_or_default();
    let before = source.get(..at.start as usize).unwrap_or_default();
    if key.starts_with('{') && before.ends_with('{') {
        let finding = Finding::error(
            Kind::Syntax,
            at,
            "a text that begins with `{{` needs quotes",
        )
        .help("put it between quotes: \"{{ tick.local | date('%F') }}\"");
        return (finding, true);
    }
    let message = "a key must be a text, and this is a list or a mapping";
    let finding = Finding::error(Kind::Syntax, at, message)
        .help("write `key: value`; quote a key that begins with `[` or `{`");
    (finding, false)
}

/// A key that its mapping has already.
pub(super) fn key_twice(at: At, key: &str, first: At) -> Finding {
    let help = if key == "<<" {
        "write one with a list: `<<: [*a, *b]`"
    } else {
        "remove one of them"
    };
    Finding::error(
        Kind::Duplicate,
        at,
        format!("the key {} is given twice", quoted(key)),
    )
    .help(help)
    .related(first, "first given here")
}

/// The surroundings of the place where the parser stopped.
#[derive(Debug, Clone, Copy)]
struct Here<'s> {
    file: u32,
    source: &'s str,
    offset: usize,
    line_start: usize,
    line: &'s str,
}

impl<'s> Here<'s> {
    fn new(file: u32, source: &'s str, offset: usize) -> Self {
        let mut offset = offset;
        while !source.is_char_boundary(offset) {
            offset -= 1;
        }
        let line_start = source
            .get(..offset)
            .and_then(|before| before.rfind(['\n', '\r']))
            .map_or(0, |end| end + 1);
        let line = source
            .get(line_start..)
            .and_then(|rest| rest.split(['\n', '\r']).next());
        Self {
            file,
            source,
            offset,
            line_start,
            line: line.unwrap_or_default(),
        }
    }

    /// Whether the line seems to hold a secret.
    fn is_secret(&self) -> bool {
        let line_end = self.line_start + self.line.len();
        hidden::looks_secret(self.source, self.line_start, line_end)
    }

    fn at(&self, start: usize, end: usize) -> At {
        let offset = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        At {
            file: self.file,
            start: offset(start),
            end: offset(end),
        }
    }

    /// From the place to the end of the line or of the word.
    fn here(&self) -> At {
        let rest = self.source.get(self.offset..).unwrap_or_default();
        let word = rest.find(char::is_whitespace).unwrap_or(rest.len());
        self.at(self.offset, self.offset + word.max(1))
    }

    fn problem(&self, message: &str, help: &str) -> Finding {
        Finding::error(Kind::Syntax, self.here(), message).help(help)
    }

    /// The value that begins at the place and ends with the line, without a comment.
    fn value(&self) -> &'s str {
        let rest = self.source.get(self.offset..).unwrap_or_default();
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        line.split(" #").next().unwrap_or_default().trim_end()
    }

    fn needs_quotes(&self, start: usize, value: &str, message: String) -> Finding {
        let at = self.at(start, start + value.len());
        let help = if value.contains(['"', '\\']) {
            format!("quote it: '{}'", clip(&value.replace('\'', "''")))
        } else {
            format!("quote it: \"{}\"", clip(value))
        };
        // What is repeated in the advice could be a secret.
        let help = if self.is_secret() {
            "quote it".to_owned()
        } else {
            help
        };
        Finding::error(Kind::Syntax, at, message).help(help)
    }

    /// A `*` that begins no alias: `* * * * *`, or what follows in `*/5 * * * *`.
    fn star(&self, error: &ScanError) -> Finding {
        let before = self
            .source
            .get(self.line_start..self.offset)
            .unwrap_or_default();
        // The pattern begins after the key or dash.
        let indent = before.len() - before.trim_start().len();
        let start = [": ", "- "]
            .iter()
            .filter_map(|mark| before.rfind(mark).map(|at| at + mark.len()))
            .max()
            .unwrap_or(indent);
        let start = self.line_start + start;
        if self
            .source
            .get(start..)
            .is_some_and(|value| value.trim_start().starts_with(['*', '&']))
        {
            return self.starred(start);
        }
        self.other(error, None)
    }

    /// The value at `start`, which begins with a `*` or `&` without quotes.
    fn starred(&self, start: usize) -> Finding {
        let value = Here {
            offset: start,
            ..*self
        }
        .value();
        let skipped = value.len() - value.trim_start().len();
        let value = value.trim_start();
        let (mark, what) = if value.starts_with('&') {
            ('&', "an anchor")
        } else {
            ('*', "an alias")
        };
        let message =
            format!("a text that begins with `{mark}` needs quotes, as YAML takes it for {what}");
        self.needs_quotes(start + skipped, value, message)
    }

    fn character(&self, character: char) -> Finding {
        if character.is_control() || character == '\u{fffe}' || character == '\u{ffff}' {
            return unprintable(
                self.at(self.offset, self.offset + character.len_utf8()),
                character,
            );
        }
        let shown = if character == '`' {
            "a backtick".to_owned()
        } else {
            quoted(&character.to_string())
        };
        let message = format!("a text that begins with {shown} needs quotes");
        let before = self
            .source
            .get(self.line_start..self.offset)
            .unwrap_or_default();
        if character == '%' && before.ends_with('{') {
            let help = "statements are not possible; a choice is written \"{{ 'A' if tick.origin == 'manual' else 'B' }}\"";
            let at = self.at(self.offset - 1, self.offset + 1);
            let message = "a text that begins with `{%` needs quotes";
            return Finding::error(Kind::Syntax, at, message).help(help);
        }
        self.needs_quotes(self.offset, self.value(), message)
    }

    fn tab(&self, error: &ScanError) -> Finding {
        // The parser may have stopped before the line that has the tab.
        let rest = self.source.get(self.line_start..).unwrap_or_default();
        let mut start = self.line_start;
        for line in rest.split_inclusive('\n').take(3) {
            let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
            let indent = line.get(..blank).unwrap_or_default();
            if start + line.len() > self.offset
                && let Some(tab) = indent.find('\t')
            {
                let at = self.at(start + tab, start + blank);
                let message = "the line is indented with a tab, which YAML does not allow";
                return Finding::error(Kind::Syntax, at, message)
                    .help("indent with spaces; most editors can be told to (\"expand tabs\")");
            }
            start += line.len();
        }
        self.other(error, None)
    }

    /// A `:` after something that is a value already.
    fn colon(&self) -> Finding {
        let before = self
            .source
            .get(self.line_start..self.offset)
            .unwrap_or_default();
        let after_key = before.find(": ").map(|at| at + 2);
        if let Some(start) = after_key {
            let value = self.line.get(start..).unwrap_or_default();
            let value = value.split(" #").next().unwrap_or_default().trim_end();
            let message =
                "there are two `: ` on this line; a text with `: ` in it needs quotes".to_owned();
            let skipped = value.len() - value.trim_start().len();
            return self.needs_quotes(
                self.line_start + start + skipped,
                value.trim_start(),
                message,
            );
        }
        let indent = before.len() - before.trim_start().len();
        let at = self.at(self.line_start + indent, self.offset + 1);
        let above = self
            .source
            .get(..self.line_start)
            .unwrap_or_default()
            .trim_end();
        let above_start = above.rfind(['\n', '\r']).map_or(0, |end| end + 1);
        let above_line = above.get(above_start..).unwrap_or_default();
        let above_indent = above_line.len() - above_line.trim_start().len();
        let finding = |message: &str, help: &str| {
            Finding::error(Kind::Syntax, at, message)
                .help(help)
                .related(
                    self.at(above_start + above_indent, above.len()),
                    "the line above",
                )
        };
        if above_line.is_empty() {
            self.problem(
                "a `:` is not possible here",
                "quote the text if it contains `: `",
            )
        } else if above_line.contains(": ") && indent > above_indent {
            finding(
                "this line is indented deeper than the one above, which has its value already",
                "let it begin in the same column as its neighbours",
            )
        } else {
            finding(
                "the line above has no `:`, so YAML reads both lines as one text",
                "write `key: value` there, with a space after the colon",
            )
        }
    }

    fn indentation(&self, error: &ScanError, open_flow: Option<At>) -> Finding {
        if open_flow.is_some() {
            return self.other(error, open_flow);
        }
        let trimmed = self.line.trim_start();
        let indent = self.line.len() - trimmed.len();
        let at = self.at(
            self.line_start + indent,
            self.line_start + self.line.trim_end().len(),
        );
        if self.line.trim_end().ends_with(',') {
            let comma = self.line_start + self.line.trim_end().len() - 1;
            return self.comma(comma);
        }
        if matches!(
            error.kind(),
            ErrorKind::SimpleKeyExpected | ErrorKind::InvalidSimpleKey
        ) {
            let (message, help) = no_colon(trimmed);
            return Finding::error(Kind::Syntax, at, message).help(help);
        }
        let above = self.source.get(..self.line_start).unwrap_or_default();
        let above = above
            .trim_end()
            .rsplit(['\n', '\r'])
            .next()
            .unwrap_or_default();
        if above.trim_start().starts_with('#') && !self.line.contains(": ") {
            return Finding::error(
                Kind::Syntax,
                at,
                "this line goes on with no text: the comment above ended it",
            )
            .help("move the comment above the key, or put the whole text between quotes");
        }
        let is_item = trimmed.starts_with("- ") || trimmed == "-";
        let (message, help) = if is_item {
            (
                "a list item does not fit here: the block above is a mapping, or begins in another column",
                "let the `-` begin in the column of its list, or one level deeper than the key it belongs to",
            )
        } else {
            (
                "the line begins in a column in which no block above began",
                "let it begin in the same column as its neighbours",
            )
        };
        Finding::error(Kind::Syntax, at, message).help(help)
    }

    fn after_quote(&self) -> Finding {
        let rest = self.source.get(self.offset..).unwrap_or_default();
        if rest.starts_with(',') {
            return self.comma(self.offset);
        }
        self.problem(
            "there is more text after the closing quote",
            "put the whole text between one pair of quotes",
        )
    }

    /// A line of JSON without the braces around it.
    fn comma(&self, at: usize) -> Finding {
        let message = "a comma ends a line of JSON, but not one of YAML";
        Finding::error(Kind::Syntax, self.at(at, at + 1), message)
            .help("remove it; or keep the braces: `<<: { ... }` takes a JSON object as it is")
    }

    fn other(&self, error: &ScanError, open_flow: Option<At>) -> Finding {
        let at = self.here();
        let Some(open) = open_flow else {
            let rest = self.source.get(self.offset..).unwrap_or_default();
            if rest.starts_with(['[', '{']) {
                let at = self.at(self.offset, self.offset + 1);
                return Finding::error(Kind::Syntax, at, "this bracket is not closed")
                    .help("close it; quote a text that begins with a bracket");
            }
            let message = format!("this is not YAML: {}", error.kind());
            return Finding::error(Kind::Syntax, at, message)
                .help("quote the text if it is one; else compare it with a line that works");
        };
        let bracket = At {
            end: open.start + 1,
            ..open
        };
        if self
            .source
            .get(..self.offset)
            .is_some_and(|before| before.ends_with('$'))
        {
            let variable = self.at(self.offset - 1, self.offset + 1);
            return Finding::error(Kind::Syntax, variable, "`${...}` is not replaced by a variable, and its braces are YAML's")
                .help("a secret is written { env: NAME }; a text that is meant as it stands goes between quotes");
        }
        if at.start == open.start {
            return Finding::error(
                Kind::Syntax,
                bracket,
                "this bracket is not closed, or by one of the other kind",
            )
            .help("close `[` with `]` and `{` with `}`; quote a text that begins with a bracket");
        }
        Finding::error(Kind::Syntax, at, "a comma or a closing bracket is missing before this")
            .help("separate by commas what is in a bracket, and close it; quote a text that contains `: ` or brackets")
            .related(bracket, "the bracket begins here")
    }
}

/// What to say about a line that should be a key and has no `:`.
fn no_colon(line: &str) -> (&'static str, &'static str) {
    if line.starts_with("//") {
        ("this is no comment", "begin a comment with `#`")
    } else if line.starts_with(['{', '[']) {
        (
            "a JSON object or list needs a key before it",
            "write `<<: { ... }` to give an entry all keys of a JSON object, or `key: [ ... ]`",
        )
    } else if line.starts_with('-') {
        (
            "there is no space after the `-`",
            "write `- item`, with a space after the dash",
        )
    } else if line.contains(":\u{a0}") {
        (
            "the `:` after this key is followed by a no-break space, which YAML does not take for a space",
            "write a space in its place; a text that is copied from a web page often has such spaces",
        )
    } else {
        (
            "there is no `:` after this key",
            "write `key: value`, with a space after the colon",
        )
    }
}

fn clip(value: &str) -> String {
    let mut clipped: String = value.chars().take(VALUE_CHARS_MAX).collect();
    if clipped.len() < value.len() {
        clipped.push_str("...");
    }
    super::excerpt::shown(&clipped)
}
