//! Problems as a person reads them: in the style of the Rust compiler, with the line and the place marked.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::excerpt;
use super::problem::{Place, Problem, Related, Severity};

/// So many problems are shown; more would push the first ones off the screen.
pub const SHOWN_MAX: usize = 200;

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// For a terminal.
    Always,
    /// For anything else.
    Never,
}

/// All problems, up to [`SHOWN_MAX`], and how many more there are. `unlisted` were not even kept. Of too many, warnings
/// are left out first: an error among them is what stops the configuration.
pub fn render(problems: &[Problem], unlisted: usize, colour: Colour) -> String {
    let is_error = |problem: &&Problem| problem.severity == Severity::Error;
    let mut errors = SHOWN_MAX;
    let mut warnings = SHOWN_MAX.saturating_sub(problems.iter().filter(is_error).count());
    let mut text = String::new();
    for problem in problems {
        let left = match problem.severity {
            Severity::Error => &mut errors,
            Severity::Warning => &mut warnings,
        };
        let Some(fewer) = left.checked_sub(1) else {
            continue;
        };
        *left = fewer;
        text.push_str(&render_one(problem, colour));
        text.push_str("\n\n");
    }
    let more = problems.len().saturating_sub(SHOWN_MAX) + unlisted;
    if more > 0 {
        text.push_str(&format!("... and {more} more\n\n"));
    }
    text
}

/// One problem, in several lines without a line end after the last.
pub fn render_one(problem: &Problem, colour: Colour) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let renderer = match colour {
        Colour::Always => Renderer::styled(),
        Colour::Never => Renderer::plain(),
    };
    let title = level.primary_title(excerpt::shown(&problem.message));
    let file = excerpt::shown(&problem.file);
    let mut group = Group::with_title(title);
    // Two places on one line are marked on it together.
    let same_line = problem.related.as_ref().filter(|related| {
        let on_line =
            |place: &Place| place.line == related.place.line && place.text == related.place.text;
        related.file == problem.file && problem.place.as_ref().is_some_and(on_line)
    });
    match &problem.place {
        Some(place) => {
            let mut marked = vec![AnnotationKind::Primary.span(place.marked.clone())];
            marked.extend(same_line.map(related_mark));
            group = snippet(group, &file, place, marked);
        }
        None if !file.is_empty() => group = group.element(Origin::path(file.as_str())),
        None => {}
    }
    let related_file;
    if let Some(related) = problem.related.as_ref().filter(|_| same_line.is_none()) {
        related_file = excerpt::shown(&related.file);
        group = snippet(
            group,
            &related_file,
            &related.place,
            vec![related_mark(related)],
        );
    }
    if let Some(help) = &problem.help {
        let example = problem.example.as_ref();
        let example = example.map(|example| format!(", such as\n{}", shown_lines(example)));
        let help = excerpt::shown(help) + &example.unwrap_or_default();
        group = group.element(Level::HELP.message(help));
    }
    renderer.render(&[group])
}

fn related_mark(related: &Related) -> Annotation<'_> {
    let mark = AnnotationKind::Context.span(related.place.marked.clone());
    mark.label(related.label.as_str())
}

/// Adds a line of a file with its marks.
fn snippet<'a>(
    group: Group<'a>,
    file: &'a str,
    place: &'a Place,
    marked: Vec<Annotation<'a>>,
) -> Group<'a> {
    let snippet = Snippet::source(place.text.as_str())
        .line_start(place.line)
        .annotations(marked);
    let before = place.text.get(..place.marked.start).unwrap_or_default();
    if before.chars().count() + 1 == place.column {
        return group.element(snippet.path(file));
    }
    // The line is shortened, so its columns are not those of the file, which are said separately.
    let origin = Origin::path(file)
        .line(place.line)
        .char_column(place.column);
    group.element(origin).element(snippet)
}

/// An example of YAML has several lines.
fn shown_lines(example: &str) -> String {
    let lines: Vec<String> = example.split('\n').map(excerpt::shown).collect();
    lines.join("\n")
}
