//! `matrix`: one entry written once, for every combination of some values.
//!
//! An entry with a `matrix` stands for several: each combination of its values is an entry of its own, with a name built
//! from them. `{{ matrix.KEY }}` in any text of the entry is filled in when the file is read. What is wrong with a text is
//! reported where it stands, once for all combinations of which the same can be said.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::check::{Check, listed};
use super::excerpt::quoted;
use super::problem::{At, Finding, Kind};
use super::text::{self, Wrong};
use super::tree::{Overlay, Pair, Shape, Value};
use crate::domain::ENTRY_NAME_CHARS_MAX;
use crate::domain::template::{self, Matrix, is_template};

/// One matrix makes no more entries than this.
const COMBINATIONS_MAX: usize = 10_000;
/// All of them together.
const COMBINATIONS_TOTAL_MAX: usize = 100_000;
const KEYS_MAX: usize = 16;
/// Values are looked for no deeper than a file may nest.
const DEPTH_MAX: usize = 64;

/// One of the entries that a matrix makes.
#[derive(Debug)]
pub(super) struct Combination {
    /// Its name; not checked yet.
    pub(super) name: String,
    /// Its texts.
    pub(super) overlay: Overlay,
}

/// The entries that matrices make, by where the key of the entry stands. None: something is wrong, which is reported.
pub(super) type Made = HashMap<At, Option<Vec<Combination>>>;

/// What a key of the matrix may be: a text, or several by name.
type Cell<'t> = Vec<(&'t str, &'t str)>;
/// The key of a cell's only text.
const ALONE: &str = "";

#[derive(Debug)]
struct Axes<'t> {
    axes: Vec<(&'t str, Vec<Cell<'t>>)>,
    exclude: Vec<(At, Vec<(&'t str, Cell<'t>)>)>,
    include: Vec<Vec<(&'t str, Cell<'t>)>>,
    name: Option<Value<'t>>,
}

/// Works out the matrices of the entries under `schedules`.
pub(super) fn make<'t>(check: &mut Check<'_>, schedules: impl Iterator<Item = Pair<'t>>) -> Made {
    let mut made = Made::new();
    let mut total = 0;
    for schedules in schedules {
        let Shape::Mapping(mapping) = schedules.value.shape() else {
            continue; // reported where the entries are read
        };
        for entry in mapping.pairs(&mut check.findings) {
            let Shape::Mapping(keys) = entry.value.shape() else {
                continue;
            };
            let pairs = keys.pairs(&mut check.findings);
            let Some(matrix) = pairs
                .iter()
                .find(|pair| pair.key == "matrix" && !pair.value.is_null())
            else {
                continue;
            };
            let mut combinations = axes(check, matrix).and_then(|axes| {
                let combined = combine(check, matrix, &axes)?;
                fill(check, &entry, matrix, &axes, &combined)
            });
            total += combinations.as_ref().map_or(0, Vec::len);
            if total > COMBINATIONS_TOTAL_MAX && combinations.is_some() {
                let message = format!(
                    "the matrices make more than {COMBINATIONS_TOTAL_MAX} entries together"
                );
                let help = "exclude what is not needed, or split the configuration between daemons";
                check.report(Finding::error(Kind::Limit, matrix.key_at, message).help(help));
                combinations = None;
            }
            made.insert(entry.key_at, combinations);
        }
    }
    made
}

const FORM: &str =
    "write its keys below it, each with a list of values, such as branch: [main, next]";

/// Reads the mapping under `matrix`.
fn axes<'t>(check: &mut Check<'_>, matrix: &Pair<'t>) -> Option<Axes<'t>> {
    let Shape::Mapping(mapping) = matrix.value.shape() else {
        check.wrong_form(matrix.value, "matrix", "a mapping", FORM);
        return None;
    };
    let errors = check.findings.errors();
    let mut axes = Axes {
        axes: Vec::new(),
        exclude: Vec::new(),
        include: Vec::new(),
        name: None,
    };
    let pairs = mapping.pairs(&mut check.findings);
    for pair in &pairs {
        if ["name", "exclude", "include"].contains(&pair.key) {
            continue;
        }
        if !is_word(check, pair) {
            continue;
        }
        let Shape::List(list) = pair.value.shape() else {
            let help = "write [a, b], or each on a line of its own after a `- `";
            check.wrong_form(pair.value, pair.key, "a list of values", help);
            continue;
        };
        let cells: Vec<Option<Cell<'t>>> = list
            .items()
            .map(|item| cell(check, pair.key, item))
            .collect();
        if cells.is_empty() {
            let message = format!("`{}` has no value, so the matrix makes no entry", pair.key);
            check.report(
                Finding::error(Kind::Missing, pair.value.at(), message)
                    .help("write one, or remove it"),
            );
        }
        axes.axes
            .push((pair.key, cells.into_iter().flatten().collect()));
    }
    for pair in &pairs {
        match pair.key {
            "name" => {
                axes.name =
                    Some(pair.value).filter(|value| check.some_text(*value, "name").is_some())
            }
            "exclude" => {
                let rows = rows(check, &axes, pair);
                axes.exclude = rows;
            }
            "include" => {
                let rows = rows(check, &axes, pair);
                for (at, row) in &rows {
                    let lacks: Vec<&str> = (axes.axes.iter())
                        .map(|(key, _)| *key)
                        .filter(|key| !row.iter().any(|(given, _)| given == key))
                        .collect();
                    if !lacks.is_empty() {
                        let message = format!("this combination has no {}", listed(&lacks));
                        let help =
                            "a combination that is added has a value for every key of the matrix";
                        check.report(Finding::error(Kind::Missing, *at, message).help(help));
                    }
                }
                axes.include = rows.into_iter().map(|(_, row)| row).collect();
            }
            _ => {}
        }
    }
    if check.findings.errors() == errors && (axes.axes.is_empty() || axes.axes.len() > KEYS_MAX) {
        let message = format!(
            "`matrix` has {} keys; it has 1 to {KEYS_MAX}",
            axes.axes.len()
        );
        check.report(Finding::error(Kind::Limit, matrix.key_at, message).help(FORM));
    }
    (check.findings.errors() == errors).then_some(axes)
}

/// `exclude` or `include`: a list of mappings of the matrix's keys.
fn rows<'t>(
    check: &mut Check<'_>,
    axes: &Axes<'t>,
    pair: &Pair<'t>,
) -> Vec<(At, Vec<(&'t str, Cell<'t>)>)> {
    let Shape::List(list) = pair.value.shape() else {
        let help = "write [{ branch: main, zone: UTC }], with keys of the matrix";
        check.wrong_form(pair.value, pair.key, "a list of combinations", help);
        return Vec::new();
    };
    let mut rows = Vec::new();
    for item in list.items() {
        let Shape::Mapping(mapping) = item.shape() else {
            let help = "write { branch: main, zone: UTC }, with keys of the matrix";
            check.wrong_form(item, pair.key, "a list of combinations", help);
            continue;
        };
        let mut row = Vec::new();
        let errors = check.findings.errors();
        for given in mapping.pairs(&mut check.findings) {
            let keys: Vec<&str> = axes.axes.iter().map(|(key, _)| *key).collect();
            if !keys.contains(&given.key) {
                let message = format!("the matrix has no key {}", quoted(given.key));
                let help = match text::nearest(given.key, keys.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("possible are {}", listed(&keys)),
                };
                check.report(Finding::error(Kind::UnknownKey, given.key_at, message).help(help));
                continue;
            }
            row.extend(cell(check, given.key, given.value).map(|cell| (given.key, cell)));
        }
        if check.findings.errors() == errors {
            rows.push((item.at(), row));
        }
    }
    rows
}

/// A value: a text, or a mapping of texts that vary together.
fn cell<'t>(check: &mut Check<'_>, key: &str, value: Value<'t>) -> Option<Cell<'t>> {
    match value.shape() {
        Shape::Mapping(mapping) => {
            let pairs = mapping.pairs(&mut check.findings);
            let mut cell = Vec::new();
            for pair in &pairs {
                is_word(check, pair).then_some(())?;
                cell.push((pair.key, cell_text(check, pair.key, pair.value)?));
            }
            if cell.is_empty() {
                check.wrong_form(
                    value,
                    key,
                    "a list of texts or mappings",
                    "write what the mapping says",
                );
                return None;
            }
            Some(cell)
        }
        Shape::Text(_) => Some(vec![(ALONE, cell_text(check, key, value)?)]),
        Shape::Null | Shape::List(_) | Shape::Refused => {
            let help = "write a text, or a mapping of texts that vary together: { project_id: ..., pipeline_id: ... }";
            check.wrong_form(value, key, "a list of texts or mappings", help);
            None
        }
    }
}

fn cell_text<'t>(check: &mut Check<'_>, key: &str, value: Value<'t>) -> Option<&'t str> {
    let text = check.some_text(value, key)?;
    let Some(mark) = ["{{", "{%"].into_iter().find(|mark| text.contains(mark)) else {
        return Some(text);
    };
    let message = format!("a value of a matrix cannot have `{mark}` in it");
    let help = "write the template where the value is used, and what differs into the matrix";
    check.report(Finding::error(Kind::Template, value.at(), message).help(help));
    None
}

/// Whether a key can be named in a template; says so if it cannot.
fn is_word(check: &mut Check<'_>, pair: &Pair<'_>) -> bool {
    let is_word = pair.key.starts_with(|c: char| c.is_ascii_alphabetic())
        && pair
            .key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_word {
        let message = format!("{} cannot be a key of a matrix", quoted(pair.key));
        let help = "a key is a letter, and after it letters, digits and `_`";
        check.report(Finding::error(Kind::Value, pair.key_at, message).help(help));
    }
    is_word
}

/// The texts of an entry in which the matrix is named.
fn find_texts<'t>(
    check: &mut Check<'_>,
    value: Value<'t>,
    matrix: u32,
    depth: usize,
    seen: &mut HashSet<u32>,
    texts: &mut Vec<(Value<'t>, &'t str)>,
) {
    let Some(deeper) = depth.checked_sub(1) else {
        return;
    };
    if value.node() == matrix || !seen.insert(value.node()) {
        return;
    }
    match value.shape() {
        Shape::Text(text) if is_template(text) && text.contains("matrix") => {
            texts.push((value, text));
        }
        Shape::List(list) => {
            for item in list.items() {
                find_texts(check, item, matrix, deeper, seen, texts);
            }
        }
        Shape::Mapping(mapping) => {
            for pair in mapping.pairs(&mut check.findings) {
                find_texts(check, pair.value, matrix, deeper, seen, texts);
            }
        }
        Shape::Text(_) | Shape::Null | Shape::Refused => {}
    }
}

type Combined<'a, 't> = Vec<(&'t str, &'a Cell<'t>)>;

/// Whether a combination is one of those that a row of `exclude` means.
fn is_meant(combined: &Combined<'_, '_>, row: &[(&str, Cell<'_>)]) -> bool {
    row.iter().all(|(key, wanted)| {
        let has = combined.iter().find(|(axis, _)| axis == key);
        has.is_some_and(|(_, cell)| wanted.iter().all(|pair| cell.contains(pair)))
    })
}

/// All combinations in the order of the file.
fn combine<'a, 't>(
    check: &mut Check<'_>,
    matrix: &Pair<'t>,
    axes: &'a Axes<'t>,
) -> Option<Vec<Combined<'a, 't>>> {
    let product = axes.axes.iter().try_fold(1_usize, |product, (_, cells)| {
        product.checked_mul(cells.len())
    });
    let count = product.and_then(|product| product.checked_add(axes.include.len()));
    if count.is_none_or(|count| count > COMBINATIONS_MAX) {
        let sizes: Vec<String> = axes
            .axes
            .iter()
            .map(|(_, cells)| cells.len().to_string())
            .collect();
        let message = format!(
            "the matrix makes {} entries, and {COMBINATIONS_MAX} are possible",
            sizes.join(" x ")
        );
        let help = "write several entries with smaller ones";
        check.report(Finding::error(Kind::Limit, matrix.key_at, message).help(help));
        return None;
    }
    let mut combined: Vec<Combined<'a, 't>> = vec![Vec::new()];
    for (key, cells) in &axes.axes {
        combined = combined
            .iter()
            .flat_map(|before| {
                cells.iter().map(move |cell| {
                    let mut longer = before.clone();
                    longer.push((*key, cell));
                    longer
                })
            })
            .collect();
    }
    for (at, row) in &axes.exclude {
        let before = combined.len();
        combined.retain(|combined| !is_meant(combined, row));
        if combined.len() == before {
            let message = "this excludes nothing: the matrix has no such combination";
            check.report(
                Finding::warning(Kind::Idle, *at, message).help("correct it, or remove it"),
            );
        }
    }
    let added = axes.include.iter().map(|row| {
        let cell = |key: &str| row.iter().find(|(given, _)| *given == key);
        let keys = axes.axes.iter().filter_map(|(key, _)| cell(key));
        keys.map(|(key, cell)| (*key, cell)).collect()
    });
    combined.extend(added);
    if combined.is_empty() {
        let message = "the matrix makes no entry: all its combinations are excluded";
        check.report(Finding::error(Kind::Missing, matrix.key_at, message).help("exclude less"));
        return None;
    }
    Some(combined)
}

fn matrix_of(combined: &Combined<'_, '_>) -> Matrix {
    let mut values = BTreeMap::new();
    for (axis, cell) in combined {
        for (key, text) in *cell {
            let path = match *key {
                ALONE => (*axis).to_owned(),
                key => format!("{axis}.{key}"),
            };
            values.insert(path, (*text).to_owned());
        }
    }
    Matrix { values }
}

/// How a combination is named to a person: `zone: UTC, branch: main`.
fn described(combined: &Combined<'_, '_>) -> String {
    let one = |(axis, cell): &(&str, &Cell<'_>)| {
        let texts: Vec<String> = (cell.iter())
            .map(|(key, text)| match *key {
                ALONE => (*text).to_owned(),
                key => format!("{key}: {text}"),
            })
            .collect();
        match texts.as_slice() {
            [only] if cell[0].0 == ALONE => format!("{axis}: {only}"),
            texts => format!("{axis}: {{ {} }}", texts.join(", ")),
        }
    };
    let mut words = combined.iter().map(one).collect::<Vec<_>>().join(", ");
    if let Some((end, _)) = words.char_indices().nth(200) {
        words.truncate(end);
    }
    words
}

/// What may not stand in a name becomes a hyphen.
fn named(text: &str) -> String {
    let mut name = String::new();
    for c in text.trim().chars() {
        let fits = c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let c = if fits { c } else { '-' };
        if !(c == '-' && name.ends_with('-')) {
            name.push(c);
        }
    }
    name.trim_matches('-').to_owned()
}

/// The name that says most of a cell: its `name`, else its first text.
fn name_of_cell<'t>(cell: &Cell<'t>) -> &'t str {
    let named = cell.iter().find(|(key, _)| *key == "name");
    named.or_else(|| cell.first()).map_or("", |(_, text)| *text)
}

/// Fills each combination into the texts of the entry and builds its name.
fn fill<'t>(
    check: &mut Check<'_>,
    entry: &Pair<'t>,
    matrix: &Pair<'t>,
    axes: &Axes<'t>,
    all: &[Combined<'_, 't>],
) -> Option<Vec<Combination>> {
    let mut texts = Vec::new();
    find_texts(
        check,
        entry.value,
        matrix.value.node(),
        DEPTH_MAX,
        &mut HashSet::new(),
        &mut texts,
    );
    let name_template = match axes.name {
        Some(value) => value.text().map(|text| (text, value.at())),
        None => is_template(entry.key).then_some((entry.key, entry.key_at)),
    };
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut made = Vec::new();
    for (number, combined) in all.iter().enumerate() {
        let matrix_values = matrix_of(combined);
        let mut overlay = Overlay::default();
        for (value, text) in &texts {
            match template::fill(text, &matrix_values) {
                Ok(Some(filled)) => drop(overlay.texts.insert(value.node(), Some(filled))),
                Ok(None) => {}
                Err(wrong) => {
                    let wrong = Wrong {
                        piece: Some(wrong.span),
                        ..Wrong::new(wrong.message, wrong.help)
                    };
                    check.wrong(*value, Kind::Template, wrong);
                    overlay.texts.insert(value.node(), None);
                }
            }
        }
        let name = match name_template {
            None => {
                let cells = combined.iter().map(|(_, cell)| name_of_cell(cell));
                let parts: Vec<&str> = std::iter::once(entry.key).chain(cells).collect();
                named(&parts.join("-"))
            }
            Some((text, at)) => match template::fill(text, &matrix_values) {
                Ok(Some(filled)) => named(&filled),
                Ok(None) => named(text),
                Err(wrong) => {
                    check
                        .report(Finding::error(Kind::Template, at, wrong.message).help(wrong.help));
                    continue;
                }
            },
        };
        let name_at = name_template.map_or(entry.key_at, |(_, at)| at);
        if name.is_empty() || name.len() > ENTRY_NAME_CHARS_MAX {
            let message = format!(
                "the name of an entry of the matrix has {} characters, and 1 to {ENTRY_NAME_CHARS_MAX} are possible",
                name.len()
            );
            let help = "build it from less, such as `name: \"nightly-{{ matrix.branch | truncate(20) }}\"` in the matrix";
            check.report(Finding::error(Kind::Limit, name_at, message).help(help));
            continue;
        }
        if let Some(first) = names
            .insert(name.clone(), number)
            .and_then(|first| all.get(first))
        {
            let message = format!(
                "two combinations of the matrix make the name {}: {} and {}",
                quoted(&name),
                quoted(&described(first)),
                quoted(&described(combined))
            );
            let help = "let the name say what differs: `name: \"nightly-{{ matrix.branch }}-{{ matrix.zone }}\"` in the matrix";
            check.report(Finding::error(Kind::Duplicate, name_at, message).help(help));
            // Where two meet, many do.
            return None;
        }
        made.push(Combination { name, overlay });
    }
    Some(made)
}
