//! An entry for a pipeline, written out to be changed by hand: YAML that the checker accepts, with what the pipeline has to
//! offer in comments.
//!
//! A secret is never in it: of a private variable only its name, of an address with a user in it nothing. What the
//! checker would refuse (a template's marks, a value that is too long) stands in a comment.

use std::fmt::Write as _;

use super::doubts;
use super::excerpt::is_unseen;
use super::request::{GIT_TYPES, name_wrong};
use super::text;
use crate::domain::pipeline::{SeenPipeline, SeenSource, SeenVariable};
use crate::domain::request::VARIABLE_VALUE_CHARS_MAX;
use crate::domain::template::has_marks;
use crate::domain::{EntryName, PipelineAt};

/// So many characters of somebody else's text stand in a comment.
const COMMENT_CHARS_MAX: usize = 100;
/// A default that is longer is not repeated in a comment.
const SHOWN_CHARS_MAX: usize = 100;

/// The entry, as a whole configuration file without accounts.
pub fn draft(at: &PipelineAt, pipeline: &SeenPipeline) -> String {
    let mut out = String::new();
    let name = entry_name(pipeline, &at.pipeline_id);
    line(
        &mut out,
        &format!("# The pipeline {}", comment(&pipeline.name)),
    );
    if pipeline.is_banned {
        line(
            &mut out,
            "# It is disabled in CodeArts: a start would be refused.",
        );
    }
    line(&mut out, "schedules:");
    line(&mut out, &format!("  {name}:"));
    line(
        &mut out,
        "    cron: \"0 2 * * *\" # every day at two; `pipecron next --cron EXPR` shows what another pattern means",
    );
    line(
        &mut out,
        "    timezone: UTC # an IANA name, such as Asia/Shanghai",
    );
    line(
        &mut out,
        &format!("    account: {}", quoted(at.account.as_str())),
    );
    line(
        &mut out,
        &format!("    project_id: {}", quoted(&at.project_id)),
    );
    line(
        &mut out,
        &format!("    pipeline_id: {}", quoted(&at.pipeline_id)),
    );
    stages(&mut out, pipeline);
    variables(&mut out, pipeline.variables.as_deref().unwrap_or_default());
    sources(&mut out, pipeline.sources.as_deref().unwrap_or_default());
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// A name that may stand there: the pipeline's, or one made of its id.
fn entry_name(pipeline: &SeenPipeline, id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let plain = pipeline.name.chars().all(is_plain);
    // A name such as `true` or `012` would be read as something else by other tools.
    let begins = pipeline.name.starts_with(|c: char| c.is_ascii_alphabetic());
    match EntryName::parse(&pipeline.name) {
        Ok(name) if plain && begins && !is_word(name.as_str()) => name.as_str().to_owned(),
        Ok(_) | Err(_) => {
            let short: String = id
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .take(8)
                .collect();
            format!("pipeline-{short}")
        }
    }
}

fn is_word(text: &str) -> bool {
    let words = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];
    words.iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn stages(out: &mut String, pipeline: &SeenPipeline) {
    let stages = pipeline.stages.as_deref().unwrap_or_default();
    let named: Vec<_> = stages
        .iter()
        .filter(|stage| !stage.identifier.is_empty())
        .collect();
    if named.is_empty() {
        return;
    }
    line(
        out,
        "    # choose_stages: # run only these; without it, all",
    );
    for stage in &named {
        let item = format!("    #   - {}", quoted(&stage.identifier));
        line(
            out,
            &with_comment(&item, &[title(&stage.title, &stage.identifier)]),
        );
    }
    if named.iter().all(|stage| stage.jobs.is_empty()) {
        return;
    }
    line(
        out,
        "    # choose_jobs: # of the stages that run, only these",
    );
    for stage in &named {
        for job in &stage.jobs {
            let item = format!("    #   - {}", quoted(&job.identifier));
            let of = format!("of {}", comment(&stage.identifier));
            line(
                out,
                &with_comment(&item, &[title(&job.title, &job.identifier), of]),
            );
        }
    }
}

fn variables(out: &mut String, variables: &[SeenVariable]) {
    if variables.is_empty() {
        return;
    }
    let is_given = |variable: &&SeenVariable| {
        // A name that is there twice would be refused the second time.
        let first = variables.iter().find(|other| other.name == variable.name);
        let is_first = first.is_some_and(|first| std::ptr::eq(first, *variable));
        variable.is_runtime && is_first && value(variable).is_some() && is_name(&variable.name)
    };
    let is_any_given = variables.iter().any(|variable| is_given(&variable));
    let key = "variables: # those that are asked for at each start; the others have their defaults";
    line(
        out,
        &if is_any_given {
            format!("    {key}")
        } else {
            format!("    # {key}")
        },
    );
    for variable in variables {
        let name = if is_name(&variable.name) {
            variable.name.clone()
        } else {
            quoted(&variable.name)
        };
        let mut about = vec![comment(&variable.description)];
        if !variable.limits.is_empty() {
            let limits: Vec<&str> = variable.limits.iter().map(String::as_str).collect();
            about.push(comment(&format!("one of {}", limits.join(", "))));
        }
        let item = match (variable.is_secret, value(variable)) {
            (true, _) => {
                about.push("private: name the place where its value is kept".to_owned());
                format!("    #   {name}: {{ env: {} }}", env_name(&variable.name))
            }
            (false, Some(value)) if is_given(&variable) => {
                let is_required = variable.is_required == Some(true);
                about.push(match (value.is_empty(), is_required) {
                    (true, true) => "the pipeline requires a value: write it".to_owned(),
                    (true, false) => "has no default".to_owned(),
                    (false, true) => {
                        "required at each start; this is the pipeline's default".to_owned()
                    }
                    (false, false) => "the pipeline's default".to_owned(),
                });
                format!("      {name}: {}", quoted(value))
            }
            (false, Some(value)) if value.chars().count() <= SHOWN_CHARS_MAX => {
                format!("    #   {name}: {}", quoted(value))
            }
            (false, Some(_) | None) => {
                about.push("its default cannot stand here".to_owned());
                format!("    #   {name}: \"\"")
            }
        };
        line(out, &with_comment(&item, &about));
    }
}

/// The default, if it may stand in a configuration.
fn value(variable: &SeenVariable) -> Option<&str> {
    let value = variable.default.as_deref().unwrap_or_default();
    let is_template = value.contains("{{") || value.contains("{%");
    let is_long = value.chars().count() > VARIABLE_VALUE_CHARS_MAX;
    // The checker would ask whether it is meant.
    let is_doubtful = doubts::of_text(value).is_some();
    (!variable.is_secret && !is_template && !is_long && !is_doubtful).then_some(value)
}

fn is_name(name: &str) -> bool {
    name_wrong(name, "").is_none()
        && !is_word(name)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// A name that an environment variable may have.
fn env_name(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = upper.chars().take(COMMENT_CHARS_MAX).map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        name
    } else {
        format!("PIPELINE_{name}")
    }
}

fn sources(out: &mut String, sources: &[SeenSource]) {
    if sources.is_empty() {
        return;
    }
    let written: Vec<Option<String>> = sources.iter().map(source).collect();
    if written.iter().any(Option::is_some) {
        line(
            out,
            "    sources: # without it, the pipeline's own with their default branches",
        );
    }
    for written in written {
        match written {
            Some(written) => out.push_str(&written),
            None => line(
                out,
                "    # (a source that cannot be written here is left out)",
            ),
        }
    }
}

/// A source in the short form, if the checker takes it.
fn source(source: &SeenSource) -> Option<String> {
    let git_type = source
        .git_type
        .as_deref()
        .filter(|it| GIT_TYPES.contains(it))?;
    let git_url = source.git_url.as_deref()?;
    let address = text::address(git_url).ok()?;
    // A user, or even a password, is nobody's business.
    if !address.secure || address.user.is_some() || has_marks(git_url) {
        return None;
    }
    let mut out = format!(
        "      - git_type: {git_type}\n        git_url: {}\n",
        quoted(git_url)
    );
    let alias = source
        .alias
        .as_ref()
        .filter(|alias| name_wrong(alias, "").is_none());
    for (key, value) in [
        ("alias", alias),
        ("codehub_id", source.codehub_id.as_ref()),
        ("endpoint_id", source.endpoint_id.as_ref()),
        ("branch", source.default_branch.as_ref()),
    ] {
        let usable = value.filter(|value| {
            !value.trim().is_empty()
                && value.chars().count() <= COMMENT_CHARS_MAX
                && !has_marks(value)
        });
        if let Some(value) = usable {
            // Writing to a string does not fail.
            let _ = writeln!(out, "        {key}: {}", quoted(value));
        }
    }
    Some(out)
}

/// A text within quotes as YAML has it, on one line, with everything written out that a reader would not see.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        let code = u32::from(char);
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            _ if is_unseen(char) || matches!(char, '\u{fffe}' | '\u{ffff}') => {
                let _ = match code {
                    0..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
            _ => out.push(char),
        }
    }
    out.push('"');
    out
}

/// What people call it, if that is more than its identifier.
fn title(title: &str, identifier: &str) -> String {
    if title == identifier {
        String::new()
    } else {
        comment(title)
    }
}

/// Somebody else's text in a comment: clipped, on one line.
fn comment(text: &str) -> String {
    let clipped: String = text.trim().chars().take(COMMENT_CHARS_MAX).collect();
    super::shown(&clipped)
}

fn with_comment(item: &str, about: &[String]) -> String {
    let about: Vec<&str> = about
        .iter()
        .map(String::as_str)
        .filter(|it| !it.is_empty())
        .collect();
    if about.is_empty() {
        item.to_owned()
    } else {
        format!("{item} # {}", about.join("; "))
    }
}
