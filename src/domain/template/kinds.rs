//! What each part of an expression can be, found out without a tick: a part that is used on Mondays alone, or after the
//! first success, cannot wait until then to be wrong.
//!
//! The words are read a second time, as the engine reads them (it has found the form good before), and every part gets the
//! kinds of values that it can have. `A if B else C` can be what `A` and `C` can be. What may be absent is allowed to be
//! where `default` follows or a condition says that it is there: `X if tick.previous is defined else Y`.

use std::ops::Range;

use super::moment::Step;
use super::scan::{FILTERS_HELP, Word};
use super::{NAMES, Wrong};

/// Moves that lead no further than this from any tick stay within the years that are known.
const MOVED_YEARS_MAX: u64 = 70;
/// The most digits of a number: sums of these stay numbers.
const DIGITS_MAX: usize = 15;
const WHEN_ABSENT: &str = "write what holds then, such as `| default('none')` or `else '...'`";

const TEXT: u8 = 1;
const NUMBER: u8 = 2;
const TRUTH: u8 = 4;
const MOMENT: u8 = 8;
const LIST: u8 = 16;
const NOTHING: u8 = 32;
const KINDS: [(u8, &str); 6] = [
    (TEXT, "a text"),
    (NUMBER, "a number"),
    (TRUTH, "true or false"),
    (MOMENT, "an instant"),
    (LIST, "a list"),
    (NOTHING, "nothing"),
];

/// What a part can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Can<'t> {
    /// One of these.
    kinds: u8,
    /// Or absent: because this name is, or because an `else` is (the empty name).
    absent: Option<&'t str>,
    /// So many days away from any instant that a name stands for.
    days: u64,
}

impl<'t> Can<'t> {
    fn be(kinds: u8) -> Self {
        Self {
            kinds,
            absent: None,
            days: 0,
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            kinds: self.kinds | other.kinds,
            absent: self.absent.or(other.absent),
            days: self.days.max(other.days),
        }
    }

    /// The first kind beside these.
    fn beside(self, kinds: u8) -> Option<&'static str> {
        let is_beside = |(kind, _): &&(u8, &str)| self.kinds & !kinds & *kind != 0;
        KINDS.iter().find(is_beside).map(|(_, name)| *name)
    }
}

/// When a name is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    Never,
    /// Before which nothing was due.
    Previous,
    /// Before which nothing succeeded.
    Success,
    /// So too, or the run was never seen.
    Number,
}

impl Absence {
    fn of(name: &str) -> Self {
        match name {
            "tick.previous" => Self::Previous,
            "last_success.due" | "last_success.run_id" => Self::Success,
            "last_success.number" => Self::Number,
            _ => Self::Never,
        }
    }
}

/// The names that are known to be there, as far as conditions say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct There {
    previous: bool,
    success: bool,
    number: bool,
}

impl There {
    fn and(self, other: Self) -> Self {
        Self {
            previous: self.previous || other.previous,
            success: self.success || other.success,
            number: self.number || other.number,
        }
    }

    fn has(self, absence: Absence) -> bool {
        match absence {
            Absence::Never => true,
            Absence::Previous => self.previous,
            Absence::Success => self.success || self.number,
            Absence::Number => self.number,
        }
    }

    fn of(name: &str) -> Self {
        let absence = Absence::of(name);
        Self {
            previous: absence == Absence::Previous,
            success: absence == Absence::Success,
            number: absence == Absence::Number,
        }
    }
}

#[derive(Debug)]
struct Part<'t> {
    what: What<'t>,
    span: Range<usize>,
}

type Boxed<'t> = Box<Part<'t>>;

#[derive(Debug)]
enum What<'t> {
    Name(&'t str),
    Constant(u8),
    Filter(Boxed<'t>, &'t str, Vec<Part<'t>>, Option<&'t str>),
    /// `is defined`, or the contrary.
    Defined(Boxed<'t>, bool),
    Not(Boxed<'t>),
    Negative(Boxed<'t>),
    And(Boxed<'t>, Boxed<'t>),
    Or(Boxed<'t>, Boxed<'t>),
    /// With the mark: one of `= < + - ~`, or `i` for `in`.
    Pair(char, Boxed<'t>, Boxed<'t>),
    /// What, when, else what.
    Choice(Boxed<'t>, Boxed<'t>, Option<Boxed<'t>>),
}

/// Checks that an expression makes a text, whichever of its parts are used.
pub(super) fn check<'t>(words: &[(Word<'t>, Range<usize>)]) -> Result<(), Wrong> {
    let mut reader = Reader { words, at: 0 };
    let part = reader.choice()?;
    if reader.at < words.len() {
        return Err(reader.unexpected());
    }
    let can = judge(&part, There::default())?;
    present(can, &part.span)?;
    written(can, &part.span)
}

/// What becomes a text has to be one that somebody can read.
fn written(can: Can<'_>, span: &Range<usize>) -> Result<(), Wrong> {
    if can.kinds & NOTHING != 0 {
        return Err(Wrong::new(span.clone(), "it has no value", WHEN_ABSENT));
    }
    if can.kinds & LIST != 0 {
        let help = "write how it is to be one text, such as `| join(', ')`";
        return Err(Wrong::new(span.clone(), "this is a list", help));
    }
    Ok(())
}

fn present(can: Can<'_>, span: &Range<usize>) -> Result<(), Wrong> {
    let message = match can.absent {
        None => return Ok(()),
        Some("") => "it has no value where the condition does not hold".to_owned(),
        Some(name) => format!("`{name}` may be absent, and nothing is said for that case"),
    };
    Err(Wrong::new(span.clone(), message, WHEN_ABSENT))
}

/// A part that has to have a value.
fn value<'t>(part: &Part<'t>, there: There) -> Result<Can<'t>, Wrong> {
    let can = judge(part, there)?;
    present(can, &part.span)?;
    Ok(can)
}

fn judge<'t>(part: &Part<'t>, there: There) -> Result<Can<'t>, Wrong> {
    let wrong = |message: String, help: &str| Err(Wrong::new(part.span.clone(), message, help));
    match &part.what {
        What::Constant(kind) => Ok(Can::be(*kind)),
        What::Name(name) => Ok(Can {
            absent: (!there.has(Absence::of(name))).then_some(*name),
            ..Can::be(kinds_of(name))
        }),
        What::Defined(on, _) => {
            judge(on, there)?;
            Ok(Can::be(TRUTH))
        }
        What::Not(of) => {
            value(of, there)?;
            Ok(Can::be(TRUTH))
        }
        What::Negative(of) => match value(of, there)?.beside(NUMBER) {
            Some(what) => wrong(
                format!("`-` is for numbers, and this is {what}"),
                "write a number, or `| minus('1d')` for an earlier instant",
            ),
            None => Ok(Can::be(NUMBER)),
        },
        What::And(one, other) => {
            let first = value(one, there)?;
            Ok(first.or(judge(other, there.and(known(one, true)))?))
        }
        What::Or(one, other) => {
            let first = value(one, there)?;
            Ok(first.or(judge(other, there.and(known(one, false)))?))
        }
        What::Choice(then, when, other) => {
            value(when, there)?;
            let then = judge(then, there.and(known(when, true)))?;
            let other = match other {
                Some(other) => judge(other, there.and(known(when, false)))?,
                None => Can {
                    absent: Some(""),
                    ..Can::be(0)
                },
            };
            Ok(then.or(other))
        }
        What::Pair(mark, one, other) => {
            let (one, other) = (
                (value(one, there)?, &one.span),
                (value(other, there)?, &other.span),
            );
            paired(part, *mark, one, other)
        }
        What::Filter(on, filter, arguments, literal) => {
            let can = judge(on, there)?;
            let mut given = Vec::new();
            for argument in arguments {
                let is_other = *filter == "default";
                given.push(match is_other {
                    true => judge(argument, there)?,
                    false => value(argument, there)?,
                });
            }
            filtered(part, can, filter, &given, *literal)
        }
    }
}

/// What two parts with a mark between them can be.
fn paired<'t>(
    part: &Part<'t>,
    mark: char,
    (one_can, one_span): (Can<'t>, &Range<usize>),
    (other_can, other_span): (Can<'t>, &Range<usize>),
) -> Result<Can<'t>, Wrong> {
    let wrong = |message: String, help: &str| Err(Wrong::new(part.span.clone(), message, help));
    let both = one_can.or(other_can);
    match mark {
        '~' => {
            written(one_can, one_span)?;
            written(other_can, other_span)?;
            Ok(Can::be(TEXT))
        }
        '=' | '<' => {
            // Values of unlike kinds are never the same, and in an order that says nothing.
            if one_can.kinds & other_can.kinds != 0 {
                return Ok(Can::be(TRUTH));
            }
            let (one, other) = (name(one_can.kinds), name(other_can.kinds));
            let help = match both.kinds & NOTHING {
                0 => "compare values of one kind, such as (tick.local | date('%a')) == 'Mon'",
                _ => "whether something is there is asked with `is defined`",
            };
            wrong(format!("this compares {one} with {other}"), help)
        }
        'i' => match (one_can.beside(TEXT), other_can.beside(TEXT | LIST)) {
            (None, None) => Ok(Can::be(TRUTH)),
            (what, other) => wrong(
                format!(
                    "`in` looks for a text in a text or a list, and this is {}",
                    what.or(other).unwrap_or_default()
                ),
                "such as 'web' in entry.labels",
            ),
        },
        '+' if both.kinds == TEXT => Ok(Can::be(TEXT)),
        mark => match both.beside(NUMBER) {
            Some(what) => wrong(
                format!("`{mark}` is for numbers, and this is {what}"),
                "instants are moved with plus('2h') and minus('1d'), texts are joined with `~`, and the seconds \
                         between two instants are (A | unix) - (B | unix)",
            ),
            None => Ok(Can::be(NUMBER)),
        },
    }
}

fn filtered<'t>(
    part: &Part<'t>,
    can: Can<'t>,
    filter: &str,
    given: &[Can<'t>],
    literal: Option<&str>,
) -> Result<Can<'t>, Wrong> {
    let wrong = |message: String, help: &str| Err(Wrong::new(part.span.clone(), message, help));
    let (takes, of, makes, count) = match filter {
        "date" => (MOMENT, "instants, such as tick.local", TEXT, 1),
        "plus" | "minus" | "start_of" | "in_zone" => {
            (MOMENT, "instants, such as tick.local", MOMENT, 1)
        }
        "local" => (MOMENT, "instants, such as tick.local", MOMENT, 0),
        "unix" => (MOMENT, "instants, such as tick.local", NUMBER, 0),
        "lower" | "upper" | "trim" => (TEXT | NUMBER, "texts", TEXT, 0),
        "truncate" => (TEXT | NUMBER, "texts", TEXT, 1),
        "replace" => (TEXT | NUMBER, "texts", TEXT, 2),
        "join" => (LIST, "lists, such as entry.labels", TEXT, 1),
        // `default`
        _ => (u8::MAX, "", 0, 1),
    };
    if let Some(what) = can.beside(takes) {
        return wrong(
            format!("`{filter}` is for {of}, and this is {what}"),
            FILTERS_HELP,
        );
    }
    if given.len() != count {
        let values = match count {
            0 => "nothing in brackets",
            1 => "one value in brackets",
            _ => "two values in brackets",
        };
        return wrong(
            format!("`{filter}` needs {values}, and here are {}", given.len()),
            FILTERS_HELP,
        );
    }
    let mut days = can.days;
    match (filter, given) {
        ("default", [other]) => {
            return Ok(match can.absent {
                Some(_) => Can {
                    absent: None,
                    ..can
                }
                .or(*other),
                None => can,
            });
        }
        ("truncate", given)
            if given.iter().any(|given| given.kinds != NUMBER)
                || literal.is_none_or(|count| count.parse::<u32>().is_err()) =>
        {
            return wrong(
                "`truncate` needs a number of characters".to_owned(),
                "write it as a number, such as truncate(20)",
            );
        }
        ("replace" | "join", given) => {
            if let Some(what) = given.iter().find_map(|given| given.beside(TEXT)) {
                return wrong(
                    format!("`{filter}` needs texts in brackets, and this is {what}"),
                    FILTERS_HELP,
                );
            }
        }
        ("plus" | "minus", _) => {
            let step = literal.and_then(|text| Step::parse(text).ok());
            days = days.saturating_add(step.unwrap_or_default().days_max());
            if days > MOVED_YEARS_MAX * 366 {
                return wrong(
                    format!("this leads more than {MOVED_YEARS_MAX} years away"),
                    "write a shorter step",
                );
            }
        }
        _ => {}
    }
    Ok(Can {
        kinds: makes,
        days,
        ..can
    })
}

/// What is there if this came out as true, or as false.
fn known(part: &Part<'_>, outcome: bool) -> There {
    match &part.what {
        What::Defined(on, says) if *says == outcome => named(on),
        What::Not(of) => known(of, !outcome),
        What::And(one, other) if outcome => known(one, true).and(known(other, true)),
        What::Or(one, other) if !outcome => known(one, false).and(known(other, false)),
        What::Name(_)
        | What::Constant(_)
        | What::Filter(..)
        | What::Defined(..)
        | What::Negative(_)
        | What::And(..)
        | What::Or(..)
        | What::Pair(..)
        | What::Choice(..) => There::default(),
    }
}

/// What has to be there for this to be there.
fn named(part: &Part<'_>) -> There {
    match &part.what {
        What::Name(name) => There::of(name),
        What::Filter(on, filter, ..) if *filter != "default" => named(on),
        What::Constant(_)
        | What::Filter(..)
        | What::Defined(..)
        | What::Not(_)
        | What::Negative(_)
        | What::And(..)
        | What::Or(..)
        | What::Pair(..)
        | What::Choice(..) => There::default(),
    }
}

fn kinds_of(name: &str) -> u8 {
    match name {
        "entry.labels" => LIST,
        "tick.due" | "tick.local" | "tick.previous" | "last_success.due" => MOMENT,
        "last_success.number" => NUMBER,
        _ => TEXT,
    }
}

fn name(kinds: u8) -> &'static str {
    let kind = KINDS.iter().find(|(kind, _)| kinds & kind != 0);
    kind.map_or("nothing", |(_, name)| *name)
}

/// Reads words as the engine does: the loosest first.
struct Reader<'w, 't> {
    words: &'w [(Word<'t>, Range<usize>)],
    at: usize,
}

type Read<'t> = Result<Part<'t>, Wrong>;

impl<'t> Reader<'_, 't> {
    fn word(&self) -> Option<Word<'t>> {
        self.words.get(self.at).map(|(word, _)| *word)
    }

    fn take(&mut self, word: Word<'_>) -> bool {
        let is_it = self.word() == Some(word);
        self.at += usize::from(is_it);
        is_it
    }

    fn unexpected(&self) -> Wrong {
        let help = "within `{{` and `}}` stands a value and its filters, such as {{ tick.local | date('%Y%m%d') }}";
        match self.words.get(self.at) {
            Some((_, span)) => Wrong::new(span.clone(), "the template cannot have this here", help),
            None => {
                let last = self.words.last().map(|(_, span)| span.clone());
                Wrong::new(
                    last.unwrap_or_default(),
                    "after this a value is missing",
                    help,
                )
            }
        }
    }

    /// What was read since the word at `from`.
    fn part(&self, from: usize, what: What<'t>) -> Part<'t> {
        let start = self.words.get(from).map_or(0, |(_, span)| span.start);
        let last = self.at.checked_sub(1).and_then(|last| self.words.get(last));
        let end = last.map_or(start, |(_, span)| span.end);
        Part {
            what,
            span: start..end,
        }
    }

    fn choice(&mut self) -> Read<'t> {
        let from = self.at;
        let mut then = self.either()?;
        while self.take(Word::Name("if")) {
            let when = self.either()?;
            let other = match self.take(Word::Name("else")) {
                true => Some(Box::new(self.choice()?)),
                false => None,
            };
            then = self.part(from, What::Choice(Box::new(then), Box::new(when), other));
        }
        Ok(then)
    }

    fn either(&mut self) -> Read<'t> {
        let from = self.at;
        let mut one = self.both()?;
        while self.take(Word::Name("or")) {
            let other = self.both()?;
            one = self.part(from, What::Or(Box::new(one), Box::new(other)));
        }
        Ok(one)
    }

    fn both(&mut self) -> Read<'t> {
        let from = self.at;
        let mut one = self.not()?;
        while self.take(Word::Name("and")) {
            let other = self.not()?;
            one = self.part(from, What::And(Box::new(one), Box::new(other)));
        }
        Ok(one)
    }

    fn not(&mut self) -> Read<'t> {
        let from = self.at;
        if self.take(Word::Name("not")) {
            let of = self.not()?;
            return Ok(self.part(from, What::Not(Box::new(of))));
        }
        self.compared()
    }

    fn compared(&mut self) -> Read<'t> {
        let from = self.at;
        let one = self.sum()?;
        let Some(mark) = self.comparison() else {
            return Ok(one);
        };
        let other = self.sum()?;
        let pair = self.part(from, What::Pair(mark, Box::new(one), Box::new(other)));
        if self.comparison().is_some() {
            let message = "two comparisons in a row";
            let help = "write `and` between them: A < B and B < C";
            return Err(Wrong::new(pair.span, message, help));
        }
        Ok(pair)
    }

    fn comparison(&mut self) -> Option<char> {
        let mark = match self.word()? {
            Word::Mark('=' | '!') => '=',
            Word::Mark('<' | '>') => '<',
            Word::Name("in") => 'i',
            Word::Name("not") => {
                self.at += 2;
                return Some('i');
            }
            Word::Mark(_) | Word::Name(_) | Word::Text(_) | Word::Number(_) => return None,
        };
        self.at += 1;
        if mark != 'i' {
            self.take(Word::Mark('='));
        }
        Some(mark)
    }

    fn sum(&mut self) -> Read<'t> {
        let from = self.at;
        let mut one = self.joined()?;
        while let Some(Word::Mark(mark @ ('+' | '-'))) = self.word() {
            self.at += 1;
            let other = self.joined()?;
            one = self.part(from, What::Pair(mark, Box::new(one), Box::new(other)));
        }
        Ok(one)
    }

    fn joined(&mut self) -> Read<'t> {
        let from = self.at;
        let mut one = self.filtered()?;
        while self.take(Word::Mark('~')) {
            let other = self.filtered()?;
            one = self.part(from, What::Pair('~', Box::new(one), Box::new(other)));
        }
        Ok(one)
    }

    fn filtered(&mut self) -> Read<'t> {
        let from = self.at;
        let mut value = self.signed()?;
        loop {
            if self.take(Word::Mark('|')) {
                let Some(Word::Name(filter)) = self.word() else {
                    return Err(self.unexpected());
                };
                self.at += 1;
                let (arguments, literal) = self.arguments()?;
                let what = What::Filter(Box::new(value), filter, arguments, literal);
                value = self.part(from, what);
            } else if self.take(Word::Name("is")) {
                let is_not = self.take(Word::Name("not"));
                let is_defined = self.take(Word::Name("defined"));
                if !is_defined && !self.take(Word::Name("undefined")) {
                    return Err(self.unexpected());
                }
                // The engine takes a word after it for something that is asked about.
                let ends = match self.word() {
                    None => true,
                    Some(Word::Name(name)) => ["and", "or", "else", "is"].contains(&name),
                    Some(Word::Mark(mark)) => !['+', '-', '('].contains(&mark),
                    Some(Word::Text(_) | Word::Number(_)) => false,
                };
                if !ends {
                    return Err(Wrong::new(
                        self.part(from, What::Constant(0)).span,
                        "what follows a test belongs to it",
                        "put this in brackets, such as (tick.previous is defined)",
                    ));
                }
                value = self.part(from, What::Defined(Box::new(value), is_defined != is_not));
            } else {
                return Ok(value);
            }
        }
    }

    /// The values in brackets after a filter, and the text or number if it is one that stands there by itself.
    fn arguments(&mut self) -> Result<(Vec<Part<'t>>, Option<&'t str>), Wrong> {
        let mut arguments = Vec::new();
        if !self.take(Word::Mark('(')) {
            return Ok((arguments, None));
        }
        let literal = match (self.word(), self.words.get(self.at + 1)) {
            (Some(Word::Text(text) | Word::Number(text)), Some((Word::Mark(')'), _))) => Some(text),
            _ => None,
        };
        while !self.take(Word::Mark(')')) {
            if !arguments.is_empty() && !self.take(Word::Mark(',')) {
                return Err(self.unexpected());
            }
            if self.take(Word::Mark(')')) {
                break;
            }
            arguments.push(self.choice()?);
        }
        Ok((arguments, literal))
    }

    fn signed(&mut self) -> Read<'t> {
        let from = self.at;
        if self.take(Word::Mark('-')) {
            let of = self.signed()?;
            return Ok(self.part(from, What::Negative(Box::new(of))));
        }
        let Some(word) = self.word() else {
            return Err(self.unexpected());
        };
        self.at += 1;
        let what = match word {
            Word::Name("true" | "True" | "false" | "False") => What::Constant(TRUTH),
            Word::Name("none" | "None") => What::Constant(NOTHING),
            Word::Name(name) if NAMES.contains(&name) => What::Name(name),
            Word::Number(digits) => {
                let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
                if !is_plain || digits.len() > DIGITS_MAX {
                    return Err(Wrong::new(
                        self.part(from, What::Constant(0)).span,
                        "this is not a number",
                        format!("write a whole number of at most {DIGITS_MAX} digits"),
                    ));
                }
                What::Constant(NUMBER)
            }
            Word::Text(_) => {
                // The engine joins them, and stops reading without a word if the second one has a mistake.
                if let Some((Word::Text(_), span)) = self.words.get(self.at) {
                    let message = "two texts in a row";
                    let help = "write one text, or `~` between them";
                    return Err(Wrong::new(span.clone(), message, help));
                }
                What::Constant(TEXT)
            }
            Word::Mark('(') => {
                let inner = self.choice()?;
                if !self.take(Word::Mark(')')) {
                    return Err(self.unexpected());
                }
                return Ok(inner);
            }
            Word::Mark(_) | Word::Name(_) => {
                self.at -= 1;
                return Err(self.unexpected());
            }
        };
        Ok(self.part(from, what))
    }
}
