//! `matrix`: one entry written once, for every combination of some values.
//!
//! An entry with a `matrix` stands for several: each combination of its values is an entry of its own, with a name built
//! from them. `{{ matrix.KEY }}` in any text of the entry is filled in when the file is read. What is wrong with a text is
//! reported where it stands, once for all combinations of which the same can be said.

use std::collections::hash_map::Entry as Place;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::check::{Check, TEXT_BYTES, listed};
use super::excerpt::quoted;
use super::problem::{At, Finding, Kind};
use super::text::{self, Wrong};
use super::tree::{Overlay, Pair, Shape, Value};
use crate::domain::ENTRY_NAME_CHARS_MAX;
use crate::domain::template::{Filler, Matrix, is_template};

/// One matrix makes no more entries than this.
const COMBINATIONS_MAX: usize = 10_000;
/// All of them together.
const COMBINATIONS_TOTAL_MAX: usize = 100_000;
/// All that is filled in takes no more memory than this, about: a short file can name a long text in a hundred thousand
/// entries.
const FILLED_BYTES_MAX: usize = 128 * 1024 * 1024;
const KEYS_MAX: usize = 16;
/// So many texts vary together.
const CELL_KEYS_MAX: usize = 32;
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

impl Axes<'_> {
    /// How many combinations there are before some are excluded.
    fn combinations(&self) -> usize {
        let sizes = self.axes.iter().map(|(_, cells)| cells.len());
        sizes
            .fold(1, usize::saturating_mul)
            .saturating_add(self.include.len())
    }
}

/// An entry with a matrix.
struct Found<'t> {
    entry: Pair<'t>,
    matrix: Pair<'t>,
    /// None: something is wrong with it, which is reported.
    axes: Option<Axes<'t>>,
}

/// Works out the matrices of the entries under `schedules`. All are counted before the first is filled in.
pub(super) fn make<'t>(check: &mut Check<'_>, schedules: impl Iterator<Item = Pair<'t>>) -> Made {
    let found = find(check, schedules);
    let mut filled = Filled::default();
    let mut make = |found: Found<'t>| {
        let axes = found.axes?;
        let combined = combine(check, &found.matrix, &axes)?;
        fill(
            check,
            &found.entry,
            &found.matrix,
            &axes,
            &combined,
            &mut filled,
        )
    };
    (found.into_iter())
        .map(|found| (found.entry.key_at, make(found)))
        .collect()
}

/// The entries with a matrix. If they make too much together, no matrix is given.
fn find<'t>(check: &mut Check<'_>, schedules: impl Iterator<Item = Pair<'t>>) -> Vec<Found<'t>> {
    let mut all = Vec::new();
    let mut total = 0_usize;
    let mut too_many_at = None;
    for schedules in schedules {
        let Shape::Mapping(mapping) = schedules.value.shape() else {
            continue; // reported where the entries are read
        };
        for entry in mapping.pairs(&mut check.findings) {
            let Shape::Mapping(keys) = entry.value.shape() else {
                continue;
            };
            let pairs = keys.pairs(&mut check.findings);
            let matrix =
                (pairs.into_iter()).find(|pair| pair.key == "matrix" && !pair.value.is_null());
            let Some(matrix) = matrix else {
                continue;
            };
            let mut axes = axes(check, &matrix);
            total = total.saturating_add(axes.as_ref().map_or(0, Axes::combinations));
            if total > COMBINATIONS_TOTAL_MAX {
                too_many_at.get_or_insert(matrix.key_at);
                axes = None;
            }
            all.push(Found {
                entry,
                matrix,
                axes,
            });
        }
    }
    if let Some(at) = too_many_at {
        let message = format!(
            "the matrices make {total} combinations together, before they exclude some, and {COMBINATIONS_TOTAL_MAX} are possible"
        );
        let help =
            "leave out values that are not needed, or split the configuration between daemons";
        check.report(Finding::error(Kind::Limit, at, message).help(help));
        all.iter_mut().for_each(|found| found.axes = None);
    }
    all
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
    if axes.axes.len() > KEYS_MAX {
        report_keys(check, matrix, &axes);
        return None; // rows would be compared with all of them
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
    if check.findings.errors() > errors {
        return None;
    }
    if axes.axes.is_empty() {
        report_keys(check, matrix, &axes);
        return None;
    }
    if axes.combinations() > COMBINATIONS_MAX {
        let sizes = axes.axes.iter().map(|(_, cells)| cells.len().to_string());
        let included = match axes.include.len() {
            0 => String::new(),
            included => format!(" + {included}"),
        };
        let message = format!(
            "the matrix makes {}{included} entries, and {COMBINATIONS_MAX} are possible",
            sizes.collect::<Vec<_>>().join(" x ")
        );
        let help = "write several entries with smaller ones";
        check.report(Finding::error(Kind::Limit, matrix.key_at, message).help(help));
        return None;
    }
    Some(axes)
}

fn report_keys(check: &mut Check<'_>, matrix: &Pair<'_>, axes: &Axes<'_>) {
    let message = format!(
        "`matrix` has {} keys; it has 1 to {KEYS_MAX}",
        axes.axes.len()
    );
    check.report(Finding::error(Kind::Limit, matrix.key_at, message).help(FORM));
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
    let count = list.items().count();
    if count > COMBINATIONS_MAX {
        let message = format!(
            "`{}` has {count} rows, and {COMBINATIONS_MAX} are possible",
            pair.key
        );
        let help = "a row that names fewer keys means all combinations that have these values";
        check.report(Finding::error(Kind::Limit, pair.key_at, message).help(help));
        return Vec::new();
    }
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
            if pairs.len() > CELL_KEYS_MAX {
                let message = format!(
                    "{} texts vary together here, and {CELL_KEYS_MAX} are possible",
                    pairs.len()
                );
                let help = "write what is the same for all combinations into the entry";
                check.report(Finding::error(Kind::Limit, value.at(), message).help(help));
                return None;
            }
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

/// Which combinations of the axes the rows of `exclude` mean, by their number in the order of the file. Each row is
/// followed to what it means and not compared with every combination: there may be ten thousand of both.
fn excluded(check: &mut Check<'_>, axes: &Axes<'_>) -> Vec<bool> {
    let product = axes.axes.iter().map(|(_, cells)| cells.len()).product();
    let mut excluded = vec![false; product];
    let mut having: HashMap<(&str, &str, &str), Vec<usize>> = HashMap::new();
    for (axis, cells) in &axes.axes {
        for (number, cell) in cells.iter().enumerate() {
            for (key, text) in cell {
                having.entry((axis, key, text)).or_default().push(number);
            }
        }
    }
    for (at, row) in &axes.exclude {
        let mut meant = vec![0];
        for (axis, cells) in &axes.axes {
            let wanted = row.iter().find(|(given, _)| given == axis);
            let picked: Vec<usize> = match wanted.map(|(_, wanted)| wanted.as_slice()) {
                Some([(key, text), others @ ..]) => {
                    let having = having.get(&(*axis, *key, *text)).into_iter().flatten();
                    let is_meant = |number: &usize| {
                        let cell = cells.get(*number);
                        cell.is_some_and(|cell| others.iter().all(|other| cell.contains(other)))
                    };
                    having.copied().filter(is_meant).collect()
                }
                Some([]) | None => (0..cells.len()).collect(),
            };
            let number = |before: usize| {
                let picked = picked.iter();
                picked.map(move |picked| before * cells.len() + picked)
            };
            meant = meant.into_iter().flat_map(number).collect();
        }
        let mut is_idle = true;
        for number in meant {
            let slot = excluded.get_mut(number);
            is_idle &= slot.is_none_or(|slot| std::mem::replace(slot, true));
        }
        if is_idle {
            let message = "this excludes nothing: the matrix has no such combination";
            check.report(
                Finding::warning(Kind::Idle, *at, message).help("correct it, or remove it"),
            );
        }
    }
    excluded
}

/// All combinations in the order of the file.
fn combine<'a, 't>(
    check: &mut Check<'_>,
    matrix: &Pair<'t>,
    axes: &'a Axes<'t>,
) -> Option<Vec<Combined<'a, 't>>> {
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
    let mut excluded = excluded(check, axes).into_iter();
    combined.retain(|_| excluded.next() == Some(false));
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
fn described(combined: &[(&str, &Cell<'_>)]) -> String {
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

/// What is filled in so far, of all matrices.
#[derive(Debug, Default)]
struct Filled {
    bytes: usize,
}

impl Filled {
    /// Counts a text; whether there is room for it.
    fn add(&mut self, text: &str) -> bool {
        self.bytes = self.bytes.saturating_add(text.len() + TEXT_BYTES);
        !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.bytes > FILLED_BYTES_MAX
    }
}

/// Something that is wrong with several combinations in the same way: the first is told of, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Alike {
    first: Option<Finding>,
    more: usize,
}

impl Alike {
    pub(super) fn add(&mut self, finding: impl FnOnce() -> Finding) {
        match self.first {
            None => self.first = Some(finding()),
            Some(_) => self.more += 1,
        }
    }

    pub(super) fn report(self, check: &mut Check<'_>) {
        let Some(first) = self.first else {
            return;
        };
        check.report(match self.more {
            0 => first,
            1 => first.more("; likewise with another combination"),
            more => first.more(&format!("; likewise with {more} other combinations")),
        });
    }
}

/// Fills each combination into the texts of the entry and builds its name.
fn fill<'t>(
    check: &mut Check<'_>,
    entry: &Pair<'t>,
    matrix: &Pair<'t>,
    axes: &Axes<'t>,
    all: &[Combined<'_, 't>],
    filled: &mut Filled,
) -> Option<Vec<Combination>> {
    if filled.is_full() {
        return None; // reported with the matrix for which there was no room
    }
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
    let name_at = name_template.map_or(entry.key_at, |(_, at)| at);
    let mut names: HashMap<String, usize> = HashMap::new();
    let (mut misfits, mut meetings) = (Alike::default(), Alike::default());
    let mut made = Vec::new();
    for (number, combined) in all.iter().enumerate() {
        let matrix_values = matrix_of(combined);
        let filler = Filler::new(&matrix_values);
        let overlay = overlay(check, &filler, &texts, filled);
        let name = match name_template {
            None => {
                let cells = combined.iter().map(|(_, cell)| name_of_cell(cell));
                let parts: Vec<&str> = std::iter::once(entry.key).chain(cells).collect();
                named(&parts.join("-"))
            }
            Some((text, at)) => match filler.fill(text) {
                Ok(Some(filled)) => named(&filled),
                Ok(None) => named(text),
                Err(wrong) => {
                    check
                        .report(Finding::error(Kind::Template, at, wrong.message).help(wrong.help));
                    continue;
                }
            },
        };
        if !filled.add(&name) {
            report_bytes(check, matrix, all.len(), texts.len());
            return None;
        }
        if name.is_empty() || name.len() > ENTRY_NAME_CHARS_MAX {
            misfits.add(|| misfit(name_at, &name));
            continue;
        }
        match names.entry(name) {
            Place::Vacant(place) => {
                let name = place.key().clone();
                place.insert(number);
                made.push(Combination { name, overlay });
            }
            Place::Occupied(place) => {
                let first = all.get(*place.get()).map_or(&[][..], Vec::as_slice);
                meetings.add(|| meeting(name_at, place.key(), first, combined));
            }
        }
    }
    misfits.report(check);
    meetings.report(check);
    Some(made)
}

/// The texts with a combination filled in, as far as there is room for them.
fn overlay(
    check: &mut Check<'_>,
    filler: &Filler<'_>,
    texts: &[(Value<'_>, &str)],
    filled: &mut Filled,
) -> Overlay {
    let mut overlay = Overlay::default();
    for (value, text) in texts {
        match filler.fill(text) {
            Ok(Some(text)) => {
                if !filled.add(&text) {
                    break;
                }
                overlay.texts.insert(value.node(), Some(text));
            }
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
    overlay
}

fn report_bytes(check: &mut Check<'_>, matrix: &Pair<'_>, entries: usize, texts: usize) {
    let message = format!(
        "the matrices fill in more than {} MiB of text; there is no room for the {entries} entries that this one makes, each \
         with texts in {texts} places",
        FILLED_BYTES_MAX >> 20,
    );
    let help = "shorten the texts that name the matrix, or its values; what is long goes into the repository, and its path into \
                a variable";
    check.report(Finding::error(Kind::Limit, matrix.key_at, message).help(help));
}

/// A name that is empty or too long.
fn misfit(at: At, name: &str) -> Finding {
    let message = format!(
        "the name of an entry of the matrix has {} characters, and 1 to {ENTRY_NAME_CHARS_MAX} are possible",
        name.len()
    );
    let help = "build it from less, such as `name: \"nightly-{{ matrix.branch | truncate(20) }}\"` in the matrix";
    Finding::error(Kind::Limit, at, message).help(help)
}

/// A name that two combinations make.
fn meeting(at: At, name: &str, one: &[(&str, &Cell<'_>)], other: &[(&str, &Cell<'_>)]) -> Finding {
    let message = format!(
        "two combinations of the matrix make the name {}: {} and {}",
        quoted(name),
        quoted(&described(one)),
        quoted(&described(other))
    );
    let help = "let the name say what differs: `name: \"nightly-{{ matrix.branch }}-{{ matrix.zone }}\"` in the matrix";
    Finding::error(Kind::Duplicate, at, message).help(help)
}
