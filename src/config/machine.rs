//! Problems for programs: one JSON value each, and the annotations of GitHub's workflow log.
//!
//! The same findings that a person reads, in the same order. Codes ([`Kind::code`](super::Kind::code)) and the names of
//! the JSON keys never change; messages may.

use serde::Serialize;

use super::excerpt;
use super::problem::{Place, Problem, Severity};
use super::render::{Colour, render_one};

/// A problem as JSON. What is absent is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProblemJson<'p> {
    /// `error` or `warning`.
    severity: &'static str,
    /// What kind it is.
    code: &'static str,
    /// What is wrong.
    message: &'p str,
    /// In which file; null if in all of them, or in none.
    file: Option<&'p str>,
    #[serde(flatten)]
    place: PlaceJson,
    /// What to do about it.
    help: Option<&'p str>,
    /// What could be written.
    example: Option<&'p str>,
    /// A second place that has to do with it.
    related: Option<RelatedJson<'p>>,
    /// All of it as a person reads it.
    rendered: String,
}

/// A place: from 1, in characters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct PlaceJson {
    line: Option<usize>,
    column: Option<usize>,
    /// After the last character of that line that is meant.
    end: Option<EndJson>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct EndJson {
    line: usize,
    column: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct RelatedJson<'p> {
    file: &'p str,
    #[serde(flatten)]
    place: PlaceJson,
    label: &'p str,
}

impl From<&Place> for PlaceJson {
    fn from(place: &Place) -> Self {
        Self {
            line: Some(place.line),
            column: Some(place.column),
            end: Some(EndJson {
                line: place.line,
                column: place.end_column(),
            }),
        }
    }
}

impl<'p> From<&'p Problem> for ProblemJson<'p> {
    fn from(problem: &'p Problem) -> Self {
        Self {
            severity: problem.severity.name(),
            code: problem.kind.code(),
            message: &problem.message,
            file: (!problem.file.is_empty()).then_some(&problem.file),
            place: problem
                .place
                .as_ref()
                .map(PlaceJson::from)
                .unwrap_or_default(),
            help: problem.help.as_deref(),
            example: problem.example.as_deref(),
            related: problem.related.as_ref().map(|related| RelatedJson {
                file: &related.file,
                place: (&related.place).into(),
                label: &related.label,
            }),
            rendered: render_one(problem, Colour::Never),
        }
    }
}

/// The problem as a line that GitHub shows beside the file:
/// `::error file=a.yaml,line=3,col=5,endLine=3,endColumn=9,title=unknown-key::MESSAGE`.
pub fn github(problem: &Problem) -> String {
    let level = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut properties = Vec::new();
    if !problem.file.is_empty() {
        // GitHub knows files by their path in the repository.
        let file = problem.file.strip_prefix("./").unwrap_or(&problem.file);
        properties.push(format!("file={}", property(&excerpt::shown(file))));
    }
    if let Some(place) = &problem.place {
        let (line, end) = (place.line, place.end_column());
        properties.push(format!(
            "line={line},col={},endLine={line},endColumn={end}",
            place.column
        ));
    }
    properties.push(format!("title={}", property(problem.kind.code())));
    let mut text = excerpt::shown(&problem.message);
    if let Some(related) = &problem.related {
        let (file, place) = (excerpt::shown(&related.file), &related.place);
        let (label, line, column) = (&related.label, place.line, place.column);
        text.push_str(&format!("\n{label}: {file}:{line}:{column}"));
    }
    if let Some(help) = &problem.help {
        text.push_str(&format!("\nhelp: {}", excerpt::shown(help)));
    }
    if let Some(example) = &problem.example {
        let lines = example.lines().map(excerpt::shown);
        text.push_str(&format!(
            ", such as\n{}",
            lines.collect::<Vec<_>>().join("\n")
        ));
    }
    format!("::{level} {}::{}", properties.join(","), data(&text))
}

/// What follows `::`, as the runner reads it.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// The value of a property, which ends at a comma and at a colon.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::problem::Kind;
    use super::*;

    #[test]
    fn what_the_runner_takes_for_its_own_is_escaped() {
        let mut problem = Problem::of_file(
            Severity::Warning,
            Kind::File,
            "./a,b:c%.yaml",
            "50% of it\nis: gone, ::error::x\r".to_owned(),
        );
        assert_eq!(
            github(&problem),
            "::warning file=a%2Cb%3Ac%25.yaml,title=file::50%25 of it\\u{a}is: gone, ::error::x\\u{d}"
        );
        problem = problem.with_help("write\u{1b} it");
        problem.example = Some("a:\n  b: 5%".to_owned());
        problem.file = String::new();
        problem.message = "nothing".to_owned();
        assert_eq!(
            github(&problem),
            "::warning title=file::nothing%0Ahelp: write\\u{1b} it, such as%0Aa:%0A  b: 5%25"
        );
    }
}
