//! Templates: texts of a request with `{{ ... }}` in them, which say something of the tick they are sent for.
//!
//! Pure: what a template may know is handed in as [`Facts`]. It sees no environment, no file, no clock and no secret, and
//! the same facts give the same text. Within the braces stands one expression of Jinja: names, texts in quotes, whole
//! numbers, filters, `~` to join, comparisons, `A if B else C`. Statements (`{% .. %}`), loops, lists, multiplication and
//! functions are not possible: nothing needs them, and without them a text costs about what its length says.
//!
//! A name that may be absent (`tick.previous`, `last_success.due`) stays absent through filters until `default` gives it a
//! value; a template whose value is absent is wrong.
//!
//! Limits: a template is at most [`TEMPLATE_BYTES_MAX`] long, what it renders to [`RENDERED_BYTES_MAX`], and an expression
//! has a bounded number of steps.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use minijinja::value::ValueKind;
use minijinja::{Environment, UndefinedBehavior, Value};

use super::request::{RunRequest, VARIABLE_VALUE_CHARS_MAX, VariableValue};
use super::zone::Zone;

mod filters;
mod kinds;
mod moment;
mod samples;
mod scan;

pub use samples::Samples;

use moment::Moment;
use scan::Piece;

/// Longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 16 * 1024;
/// Longest text that a template renders to, and that a filter makes, in bytes: 8192 characters of the longest kind.
pub const RENDERED_BYTES_MAX: usize = 32 * 1024;
/// Longest name of a branch or tag, in characters.
pub const REF_CHARS_MAX: usize = 1024;
/// How many steps an expression has.
const FUEL: u64 = 20_000;

/// The names that a template knows.
pub const NAMES: [&str; 11] = [
    "entry.name",
    "entry.labels",
    "entry.timezone",
    "tick.due",
    "tick.local",
    "tick.id",
    "tick.origin",
    "tick.previous",
    "last_success.due",
    "last_success.run_id",
    "last_success.number",
];
/// The newest tick of an entry whose run ended well.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LastSuccess {
    /// When that tick was due.
    pub due: DateTime<Utc>,
    /// The service's id of its run.
    pub run_id: String,
    /// The run's number within its pipeline, if it was seen.
    pub number: Option<u64>,
}

/// The zones that the templates of an entry name, found when the file was read: a template asks nobody for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zones {
    /// The entry's own.
    pub own: Arc<Zone>,
    /// Those of `in_zone`, by the name that is written there.
    pub named: BTreeMap<String, Arc<Zone>>,
}

/// What a template may know.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'f> {
    /// The entry's name.
    pub entry: &'f str,
    /// Its labels.
    pub labels: &'f BTreeSet<String>,
    /// The zones.
    pub zones: &'f Arc<Zones>,
    /// The tick's id.
    pub tick: &'f str,
    /// How it came to be, in a word.
    pub origin: &'f str,
    /// When it was due.
    pub due: DateTime<Utc>,
    /// The instant of the schedule before that.
    pub previous: Option<DateTime<Utc>>,
    /// The newest tick that ended well.
    pub last_success: Option<&'f LastSuccess>,
}

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The bytes of the text that are meant.
    pub span: Range<usize>,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// For a word that nobody knows: what it may have been.
    pub known: &'static [&'static str],
}

impl Wrong {
    fn new(span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            help: help.into(),
            known: &[],
        }
    }
}

/// Whether a text has a mark with which an expression or a statement begins.
pub fn has_marks(text: &str) -> bool {
    is_template(text) || text.contains("{%")
}

/// Whether a text is a template at all.
pub fn is_template(text: &str) -> bool {
    // The character is looked for first: most texts do not have it, and looking for it costs next to nothing.
    text.contains('{') && text.contains("{{")
}

/// What the checking of a template found in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// The zones that it names, and where.
    pub zones: Vec<(String, Range<usize>)>,
}

/// Checks all that does not depend on a tick: the form, the names, the filters and what is written in quotes after them, and
/// of every part that it can be what it is used for, also of one that is used on some ticks alone.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(text: &str) -> Result<Checked, Wrong> {
    let mut checked = Checked::default();
    for piece in scan::pieces(text)? {
        if let Piece::Expression { inner, .. } = piece {
            scan::check(text, inner.clone(), None, &mut checked.zones)?;
            compile(text, &inner)?;
            kinds::check(&scan::words(text, &inner)?)?;
        }
    }
    Ok(checked)
}

/// Makes the text of a template.
///
/// # Errors
/// What cannot be said with these facts, or is wrong with the template whatever they are.
pub fn render(text: &str, facts: &Facts<'_>) -> Result<String, Wrong> {
    Renderer::new(facts).text(text)
}

/// What `matrix` stands for in one of the entries that a matrix makes: each value by its path, such as `target.region`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Matrix {
    /// The values.
    pub values: BTreeMap<String, String>,
}

/// Fills a matrix into texts.
pub struct Filler<'m>(Renderer<'m>);

impl std::fmt::Debug for Filler<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Filler").field(&self.0.matrix).finish()
    }
}

impl<'m> Filler<'m> {
    /// What fills in these values.
    pub fn new(matrix: &'m Matrix) -> Self {
        Self(Renderer::of_matrix(matrix))
    }

    /// Fills in what a text says of the matrix, and leaves all other expressions as they are; none if it says nothing of
    /// it.
    ///
    /// # Errors
    /// What cannot be filled in.
    pub fn fill(&self, text: &str) -> Result<Option<String>, Wrong> {
        if !is_template(text) || !text.contains("matrix") {
            return Ok(None);
        }
        let mut made = String::new();
        let mut is_filled = false;
        for piece in scan::pieces(text)? {
            let (range, inner) = match piece {
                Piece::Text(range) => (range, None),
                Piece::Expression { whole, inner } => (whole, Some(inner)),
            };
            let standing = text.get(range).unwrap_or_default();
            match inner {
                Some(inner) if scan::says_matrix(text, &inner) => {
                    is_filled = true;
                    made.push_str(&self.0.expression(text, &inner)?);
                }
                _ => made.push_str(standing),
            }
            if made.len() > RENDERED_BYTES_MAX {
                return Err(too_long(text));
            }
        }
        Ok(is_filled.then_some(made))
    }
}

fn too_long(text: &str) -> Wrong {
    let message = format!("it makes more than {RENDERED_BYTES_MAX} bytes");
    Wrong::new(0..text.len(), message, "shorten it")
}

/// Why a request could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmade {
    /// Which text of the request it is.
    pub field: Field,
    /// What is wrong with it. The span is that of the template, or the whole of it.
    pub wrong: Wrong,
}

impl std::fmt::Display for Unmade {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.field, self.wrong.message)
    }
}

/// A text of a request that may be a template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `description`.
    Description,
    /// The value of this variable.
    Variable(String),
    /// The branch of the source of this number, from 1.
    Branch(usize),
    /// The tag of the source of this number, from 1.
    Tag(usize),
}

impl Field {
    /// Its place in a request, as a path.
    pub fn path(&self) -> String {
        match self {
            Self::Description => "description".to_owned(),
            Self::Variable(name) => format!("variables.{name}"),
            Self::Branch(number) => format!("sources.{number}.target_branch"),
            Self::Tag(number) => format!("sources.{number}.tag"),
        }
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Description => out.write_str("the template of `description`"),
            Self::Variable(name) => write!(out, "the template of the variable `{name}`"),
            Self::Branch(number) => write!(out, "the template of the branch of source {number}"),
            Self::Tag(number) => write!(out, "the template of the tag of source {number}"),
        }
    }
}

/// The texts of a request that may be templates; never a secret.
fn fields(request: &mut RunRequest) -> impl Iterator<Item = (Field, &mut String)> {
    let description = request.description.iter_mut();
    let description = description.map(|text| (Field::Description, text));
    let variables = request.variables.iter_mut().flat_map(Arc::make_mut);
    let variables = variables.filter_map(|variable| match &mut variable.value {
        VariableValue::Value(text) => Some((Field::Variable(variable.name.clone()), text)),
        VariableValue::Secret(_) => None,
    });
    let sources = request.sources.iter_mut().flat_map(Arc::make_mut).zip(1..);
    let refs = sources.flat_map(|(source, number)| {
        let params = source.params.iter_mut();
        let builds = params.filter_map(|params| params.build_params.as_mut());
        builds.flat_map(move |build| {
            let branch = build.target_branch.iter_mut();
            let tag = build.tag.iter_mut();
            branch
                .map(move |text| (Field::Branch(number), text))
                .chain(tag.map(move |text| (Field::Tag(number), text)))
        })
    });
    description.chain(variables).chain(refs)
}

/// The texts of `made` that stand in the place of a template of `request`.
pub fn rendered(request: &RunRequest, made: &RunRequest) -> Vec<(Field, String)> {
    let (mut request, mut made) = (request.clone(), made.clone());
    let pairs = fields(&mut request).zip(fields(&mut made));
    pairs
        .filter(|((_, template), _)| is_template(template))
        .map(|(_, (field, text))| (field, std::mem::take(text)))
        .collect()
}

/// The texts of a request that are templates, in the order of `fields`.
pub fn templates(request: &RunRequest) -> impl Iterator<Item = (Field, &str)> {
    fn one(text: &Option<String>) -> Option<&str> {
        text.as_deref().filter(|text| is_template(text))
    }
    let description = one(&request.description).map(|text| (Field::Description, text));
    let variables = request.variables.iter().flat_map(|list| list.iter());
    let variables = variables.filter_map(|variable| match &variable.value {
        VariableValue::Value(text) if is_template(text) => {
            Some((Field::Variable(variable.name.clone()), text.as_str()))
        }
        VariableValue::Value(_) | VariableValue::Secret(_) => None,
    });
    let sources = request.sources.iter().flat_map(|list| list.iter()).zip(1..);
    let refs = sources.flat_map(move |(source, number)| {
        let params = source.params.as_ref();
        let build = params.and_then(|params| params.build_params.as_ref());
        let branch = build.and_then(|build| one(&build.target_branch));
        let tag = build.and_then(|build| one(&build.tag));
        let branch = branch.map(|text| (Field::Branch(number), text));
        branch
            .into_iter()
            .chain(tag.map(|text| (Field::Tag(number), text)))
    });
    description.into_iter().chain(variables).chain(refs)
}

/// The request with every template's text in its place. `description_chars_max` is how much room the marker leaves.
///
/// # Errors
/// What cannot be said, or is longer than the service takes.
pub fn render_request(
    request: &RunRequest,
    facts: &Facts<'_>,
    description_chars_max: usize,
) -> Result<RunRequest, Unmade> {
    let mut made = request.clone();
    let renderer = Renderer::new(facts);
    for (field, text) in fields(&mut made) {
        if !is_template(text) {
            continue;
        }
        match fits(&field, text, renderer.text(text), description_chars_max) {
            Ok(rendered) => *text = rendered,
            Err(wrong) => return Err(Unmade { field, wrong }),
        }
    }
    Ok(made)
}

/// What a template made, if the service takes it in that place.
fn fits(
    field: &Field,
    text: &str,
    made: Result<String, Wrong>,
    description_chars_max: usize,
) -> Result<String, Wrong> {
    let made = made?;
    let (max, is_ref) = match field {
        Field::Description => (description_chars_max, false),
        Field::Variable(_) => (VARIABLE_VALUE_CHARS_MAX, false),
        Field::Branch(_) | Field::Tag(_) => (REF_CHARS_MAX, true),
    };
    let whole = 0..text.len();
    let count = made.chars().count();
    if count > max {
        let message = format!("it makes {count} characters, and {max} are possible");
        let help = "shorten it, such as with `| truncate(100)`";
        return Err(Wrong::new(whole, message, help));
    }
    if is_ref && made.trim().is_empty() {
        let message = "it makes an empty text, and a branch or tag has a name";
        let help = "write a name beside it, or `| default(..)`";
        return Err(Wrong::new(whole, message, help));
    }
    Ok(made)
}

/// What templates are rendered with.
struct Renderer<'m> {
    names: Value,
    absent: Vec<&'static str>,
    /// For the values of a matrix, which are not mixed with what is known of a tick.
    matrix: Option<&'m Matrix>,
}

impl<'m> Renderer<'m> {
    fn new(facts: &Facts<'_>) -> Self {
        let moment = |at: DateTime<Utc>, is_local: bool| {
            let zone = is_local.then(|| Arc::clone(&facts.zones.own));
            Moment::new(at, zone, facts.zones).into_value()
        };
        let group = |values: Vec<(&'static str, Option<Value>)>| -> Value {
            let given = values
                .into_iter()
                .filter_map(|(key, value)| Some((key, value?)));
            Value::from(given.collect::<BTreeMap<&str, Value>>())
        };
        let labels: Vec<Value> = facts
            .labels
            .iter()
            .map(|label| Value::from(label.as_str()))
            .collect();
        let entry = group(vec![
            ("name", Some(Value::from(facts.entry))),
            ("labels", Some(Value::from(labels))),
            ("timezone", Some(Value::from(facts.zones.own.name()))),
        ]);
        let tick = group(vec![
            ("due", Some(moment(facts.due, false))),
            ("local", Some(moment(facts.due, true))),
            ("id", Some(Value::from(facts.tick))),
            ("origin", Some(Value::from(facts.origin))),
            (
                "previous",
                facts.previous.map(|previous| moment(previous, false)),
            ),
        ]);
        let success = facts.last_success;
        let last_success = group(vec![
            ("due", success.map(|success| moment(success.due, false))),
            (
                "run_id",
                success.map(|success| Value::from(success.run_id.as_str())),
            ),
            (
                "number",
                success.and_then(|success| success.number.map(Value::from)),
            ),
        ]);
        let absent = [
            ("tick.previous", facts.previous.is_none()),
            ("last_success.due", success.is_none()),
            ("last_success.run_id", success.is_none()),
            (
                "last_success.number",
                success.is_none_or(|success| success.number.is_none()),
            ),
        ];
        Self {
            names: group(vec![
                ("entry", Some(entry)),
                ("tick", Some(tick)),
                ("last_success", Some(last_success)),
            ]),
            absent: (absent.into_iter())
                .filter_map(|(name, absent)| absent.then_some(name))
                .collect(),
            matrix: None,
        }
    }

    fn of_matrix(matrix: &'m Matrix) -> Self {
        let mut axes: BTreeMap<&str, Value> = BTreeMap::new();
        let mut groups: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
        for (path, text) in &matrix.values {
            let value = Value::from(text.as_str());
            match path.split_once('.') {
                None => drop(axes.insert(path, value)),
                Some((axis, key)) => drop(groups.entry(axis).or_default().insert(key, value)),
            }
        }
        axes.extend(
            groups
                .into_iter()
                .map(|(axis, keys)| (axis, Value::from(keys))),
        );
        Self {
            names: Value::from(BTreeMap::from([("matrix", Value::from(axes))])),
            absent: Vec::new(),
            matrix: Some(matrix),
        }
    }

    fn text(&self, text: &str) -> Result<String, Wrong> {
        let mut made = String::new();
        for piece in scan::pieces(text)? {
            match piece {
                Piece::Text(range) => made.push_str(text.get(range).unwrap_or_default()),
                Piece::Expression { inner, .. } => {
                    made.push_str(&self.expression(text, &inner)?);
                }
            }
            if made.len() > RENDERED_BYTES_MAX {
                return Err(too_long(text));
            }
        }
        Ok(made)
    }

    fn expression(&self, text: &str, inner: &Range<usize>) -> Result<String, Wrong> {
        // Names and characters are looked at first: what follows relies on it.
        let mut zones = Vec::new();
        let used = scan::check(text, inner.clone(), self.matrix, &mut zones)?;
        let span = scan::trimmed(text, inner.clone());
        let absent = || {
            let name = self.absent.iter().find(|name| used.contains(name));
            match name {
                Some(name) => Wrong::new(
                    span.clone(),
                    format!("`{name}` is absent, and nothing is said for that case"),
                    "write what holds then, such as `| default('none')` at the end",
                ),
                None => Wrong::new(
                    span.clone(),
                    "it has no value",
                    "write what holds then, such as `| default('none')` or `else '...'`",
                ),
            }
        };
        let value = match compile(text, inner)?.eval(self.names.clone()) {
            Ok(value) => value,
            Err(error) if error.kind() == minijinja::ErrorKind::UndefinedError => {
                return Err(absent());
            }
            Err(error) => return Err(failed(&error, span)),
        };
        if let Some(moment) = value.downcast_object_ref::<Moment>() {
            return Ok(moment.rfc3339());
        }
        let kind = value.kind();
        if [ValueKind::Undefined, ValueKind::None].contains(&kind) {
            return Err(absent());
        }
        if kind == ValueKind::Bool {
            return Ok(value.is_true().to_string());
        }
        if [ValueKind::String, ValueKind::Number].contains(&kind) {
            return Ok(value.to_string());
        }
        let (message, help) = if kind == ValueKind::Seq {
            (
                "this is a list",
                "write how it is to be one text, such as `| join(', ')`",
            )
        } else {
            (
                "this cannot be written as a text",
                "write one of its values",
            )
        };
        Err(Wrong::new(span, message, help))
    }
}

type Expression = minijinja::Expression<'static, 'static>;

fn compile(text: &str, inner: &Range<usize>) -> Result<Expression, Wrong> {
    let source = text.get(inner.clone()).unwrap_or_default();
    let compiled = ENVIRONMENT.compile_expression_owned(source.to_owned());
    compiled.map_err(|error| {
        let span = error.range().filter(|range| {
            range.start < range.end
                && range.end <= source.len()
                && source.is_char_boundary(range.start)
                && source.is_char_boundary(range.end)
        });
        let span = span.map_or_else(
            || scan::trimmed(text, inner.clone()),
            |range| inner.start + range.start..inner.start + range.end,
        );
        failed(&error, span)
    })
}

/// An error of the engine in our words.
fn failed(error: &minijinja::Error, span: Range<usize>) -> Wrong {
    use minijinja::ErrorKind as Kind;
    let detail = error.detail().unwrap_or_default();
    let kind = error.kind();
    if kind == Kind::SyntaxError {
        let message = format!("the template is wrong here: {detail}");
        let help = "within `{{` and `}}` stands a value and its filters, such as {{ tick.local | date('%Y%m%d') }}";
        return Wrong::new(span, message, help);
    }
    if kind == Kind::OutOfFuel {
        return Wrong::new(span, "the template takes too long", "make it simpler");
    }
    let message = match detail {
        "" => kind.to_string(),
        detail => detail.to_owned(),
    };
    Wrong::new(span, message, scan::FILTERS_HELP)
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    filters::add(&mut environment);
    environment
});

#[cfg(test)]
mod tests;
