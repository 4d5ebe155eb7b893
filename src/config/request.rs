//! What is sent: sources, variables, stages, jobs and texts, in our short form or as a JSON body of the API has them.
//!
//! Absent stays absent, and an empty list or text stays empty: the service gets exactly what stands in the file. The
//! API's limits are checked here, so that they are met at the desk and not at two in the night.

use std::collections::HashMap;

use super::check::{Check, KeySet};
use super::excerpt::quoted;
use super::hidden::{user_and_password, without_password};
use super::problem::{At, Finding, Kind};
use super::template;
use super::text::{self, Wrong};
use super::tree::{Mapping, Pair, Shape, Value};
use crate::domain::request::{
    BuildParams, Source, SourceParams, VARIABLE_VALUE_CHARS_MAX, Variable, VariableValue,
};
use crate::domain::template::{has_marks, is_template};

pub(super) const TYPES: [&str; 2] = ["code", "artifact"];
pub(super) const GIT_TYPES: [&str; 5] = ["codehub", "gitee", "github", "gitcode", "gitlab"];
pub(super) const BUILD_TYPES: [&str; 2] = ["branch", "tag"];
pub(super) const EVENT_TYPES: [&str; 7] = [
    "Manual",
    "Scheduler",
    "MR",
    "Push",
    "CreateTag",
    "Issue",
    "Note",
];
/// Longest name of a variable and longest alias, in characters.
pub(super) const NAME_CHARS_MAX: usize = 128;

/// A source in either form: the short one has the repository's keys and `branch` or `tag`, the API's has `type` and `params`.
pub(super) static SOURCE: KeySet = KeySet {
    what: "a source",
    known: &[
        "type",
        "params",
        "git_type",
        "git_url",
        "alias",
        "codehub_id",
        "default_branch",
        "endpoint_id",
        "change_request_ids",
        "branch",
        "tag",
        "event_type",
    ],
    advice: &[
        ("url", "the repository's address is `git_url`"),
        ("repo", "the repository's address is `git_url`"),
        ("repository", "the repository's address is `git_url`"),
        (
            "target_branch",
            "the short form says `branch`; `target_branch` belongs into `params`, `build_params`",
        ),
        ("ref", "write `branch` or `tag`"),
        (
            "build_params",
            "the short form says `branch` or `tag`; `build_params` belongs into `params`",
        ),
        (
            "build_type",
            "the short form says `branch` or `tag`; `build_type` belongs into `params`, `build_params`",
        ),
    ],
};

pub(super) static PARAMS: KeySet = KeySet {
    what: "`params`",
    known: &[
        "git_type",
        "git_url",
        "alias",
        "codehub_id",
        "default_branch",
        "endpoint_id",
        "build_params",
        "change_request_ids",
    ],
    advice: &[
        (
            "branch",
            "write it into `build_params`: { build_type: branch, target_branch: NAME }",
        ),
        (
            "tag",
            "write it into `build_params`: { build_type: tag, tag: NAME }",
        ),
        ("event_type", "it belongs into `build_params`"),
    ],
};

pub(super) static BUILD_PARAMS: KeySet = KeySet {
    what: "`build_params`",
    known: &["build_type", "event_type", "target_branch", "tag"],
    advice: &[("branch", "the branch to build is `target_branch`")],
};

pub(super) static VARIABLE: KeySet = KeySet {
    what: "a variable of a list",
    known: &["name", "value"],
    advice: &[],
};

/// A text of the request that is sent as it stands. The marks of templates are refused, as they would be sent too.
pub(super) fn text<'t>(check: &mut Check<'_>, value: Value<'t>, key: &str) -> Option<&'t str> {
    let text = check.text(value, key)?;
    if !has_marks(text) {
        return Some(text);
    }
    for mark in ["{{", "{%"] {
        if let Some(at) = text.find(mark) {
            let wrong = Wrong {
                piece: Some(at..at + mark.len()),
                ..Wrong::new(
                    format!("`{key}` cannot be a template"),
                    "templates stand in `description`, in the values of `variables`, and in `branch`, `tag` and `target_branch` of a source",
                )
            };
            check.wrong(value, Kind::Template, wrong);
            return None;
        }
    }
    check.keep(value, text)?;
    Some(text)
}

/// A text of the request that may be a template.
fn written<'t>(check: &mut Check<'_>, value: Value<'t>, key: &str) -> Option<&'t str> {
    let text = check.text(value, key)?;
    template::check(check, value, text)?;
    check.keep(value, text)?;
    Some(text)
}

/// `description`.
pub(super) fn description<'t>(check: &mut Check<'_>, value: Value<'t>) -> Option<&'t str> {
    written(check, value, "description")
}

/// `choose_stages`, `choose_jobs`, `change_request_ids`.
pub(super) fn texts(check: &mut Check<'_>, value: Value<'_>, key: &str) -> Option<Vec<String>> {
    let texts = check.texts(value, key)?;
    let texts: Vec<Option<String>> = texts
        .into_iter()
        .map(|(_, item)| text(check, item, key).map(str::to_owned))
        .collect();
    texts.into_iter().collect()
}

/// `sources`.
pub(super) fn sources(check: &mut Check<'_>, value: Value<'_>) -> Option<Vec<Source>> {
    let Shape::List(list) = value.shape() else {
        let help = "write a list, each source after a `- `";
        check.wrong_form(value, "sources", "a list of sources", help);
        return None;
    };
    let sources: Vec<Option<Source>> = list.items().map(|item| source(check, item)).collect();
    sources.into_iter().collect()
}

fn source(check: &mut Check<'_>, value: Value<'_>) -> Option<Source> {
    let Shape::Mapping(mapping) = value.shape() else {
        let help = "write { git_type: codehub, git_url: https://..., branch: NAME }, or the API's { type: code, params: {...} }";
        check.wrong_form(value, "sources", "a list of mappings", help);
        return None;
    };
    let errors = check.findings.errors();
    let pairs = check.keys(mapping, &SOURCE);
    let find = |key: &str| pairs.iter().find(|pair| pair.key == key);
    let kind = find("type").map(|pair| literal(check, pair.value, "type", &TYPES));
    let params = match find("params") {
        Some(params) => {
            let short = |pair: &&Pair<'_>| !matches!(pair.key, "type" | "params");
            if let Some(short) = pairs.iter().find(short) {
                let message = format!(
                    "`{}` is of the short form, and `params` of the API's",
                    short.key
                );
                check.report(
                    Finding::error(Kind::Conflict, short.key_at, message)
                        .help("move it into `params`, or take everything out of there")
                        .related(params.key_at, "the API's form begins here"),
                );
            }
            if kind.is_none() && !check.lacks {
                let message = "a source with `params` needs a `type`";
                check.report(
                    Finding::error(Kind::Missing, params.key_at, message)
                        .help("write `type: code` beside it"),
                );
            }
            api_params(check, params.value)
        }
        None if kind.is_some() && pairs.len() == 1 => None,
        None => short_params(check, mapping, &pairs, errors),
    };
    (errors == check.findings.errors()).then(|| Source {
        kind: kind.flatten().unwrap_or("code").to_owned(),
        params,
    })
}

/// The short form, in which the ref is `branch` or `tag`.
fn short_params(
    check: &mut Check<'_>,
    mapping: Mapping<'_>,
    pairs: &[Pair<'_>],
    errors: usize,
) -> Option<SourceParams> {
    // Both are read before either ends it, so that all problems are found.
    let params = repository(check, mapping, pairs, errors);
    let build_params = short_ref(check, pairs);
    Some(SourceParams {
        build_params: build_params?,
        ..params?
    })
}

/// `branch` or `tag`, and `event_type`.
fn short_ref(check: &mut Check<'_>, pairs: &[Pair<'_>]) -> Option<Option<BuildParams>> {
    let find = |key: &str| pairs.iter().find(|pair| pair.key == key);
    let (branch, tag, event) = (find("branch"), find("tag"), find("event_type"));
    let event_type = event.map(|event| literal(check, event.value, "event_type", &EVENT_TYPES));
    let (build_type, pair) = match (branch, tag) {
        (Some(branch), Some(tag)) => {
            let message = "a source is built from a `branch` or from a `tag`, not from both";
            check.report(
                Finding::error(Kind::Conflict, tag.key_at, message)
                    .help("remove one of them")
                    .related(branch.key_at, "the branch is given here"),
            );
            return None;
        }
        (Some(branch), None) => ("branch", branch),
        (None, Some(tag)) => ("tag", tag),
        (None, None) => {
            if let Some(event) = event
                && !check.lacks
            {
                let message = "`event_type` needs a `branch` or a `tag` beside it";
                check.report(
                    Finding::error(Kind::Missing, event.key_at, message)
                        .help("write `branch: NAME`, or leave `event_type` out"),
                );
            }
            return event.is_none().then_some(None);
        }
    };
    check.some_text(pair.value, pair.key)?;
    let name = written(check, pair.value, pair.key)?.to_owned();
    let is_branch = build_type == "branch";
    Some(Some(BuildParams {
        build_type: build_type.to_owned(),
        event_type: match event_type {
            Some(event_type) => Some(event_type?.to_owned()),
            None => None,
        },
        target_branch: is_branch.then(|| name.clone()),
        tag: (!is_branch).then_some(name),
    }))
}

/// `params` as the API has them.
fn api_params(check: &mut Check<'_>, value: Value<'_>) -> Option<SourceParams> {
    let Shape::Mapping(mapping) = value.shape() else {
        let help = "write { git_type: codehub, git_url: https://... }";
        check.wrong_form(value, "params", "a mapping", help);
        return None;
    };
    let errors = check.findings.errors();
    let pairs = check.keys(mapping, &PARAMS);
    let params = repository(check, mapping, &pairs, errors);
    let build_params = match pairs.iter().find(|pair| pair.key == "build_params") {
        Some(pair) => build_params(check, pair).map(Some),
        None => Some(None),
    };
    Some(SourceParams {
        build_params: build_params?,
        ..params?
    })
}

/// What both forms say about the repository. `errors` is how many there were before its keys were looked at: a key that
/// is missing may be one that is misspelt.
fn repository(
    check: &mut Check<'_>,
    mapping: Mapping<'_>,
    pairs: &[Pair<'_>],
    errors: usize,
) -> Option<SourceParams> {
    let mut params = SourceParams::default();
    let (mut git_type, mut git_url) = (false, false);
    for pair in pairs {
        let Pair { key, value, .. } = *pair;
        let set = |field: &mut Option<String>, check: &mut Check<'_>| {
            *field = text(check, value, key).map(str::to_owned);
        };
        match key {
            "git_type" => {
                git_type = true;
                params.git_type = literal(check, value, key, &GIT_TYPES)
                    .unwrap_or_default()
                    .to_owned();
            }
            "git_url" => {
                git_url = true;
                params.git_url = self::git_url(check, value).unwrap_or_default().to_owned();
            }
            "alias" => {
                params.alias = name(check, value, "`alias`").map(str::to_owned);
            }
            "codehub_id" => set(&mut params.codehub_id, check),
            "default_branch" => set(&mut params.default_branch, check),
            "endpoint_id" => set(&mut params.endpoint_id, check),
            "change_request_ids" => params.change_request_ids = texts(check, value, key),
            _ => {}
        }
    }
    for (given, key, help) in [
        (
            git_type,
            "git_type",
            "write `git_type: codehub` for CodeArts Repo, or gitee, github, gitcode, gitlab",
        ),
        (
            git_url,
            "git_url",
            "write the repository's https:// address",
        ),
    ] {
        if !given && errors == check.findings.errors() {
            let message = format!("the source has no `{key}`");
            check.report(Finding::error(Kind::Missing, mapping.at(), message).help(help));
        }
    }
    (errors == check.findings.errors()).then_some(params)
}

fn build_params(check: &mut Check<'_>, pair: &Pair<'_>) -> Option<BuildParams> {
    let Shape::Mapping(mapping) = pair.value.shape() else {
        check.wrong_form(
            pair.value,
            "build_params",
            "a mapping",
            "write { build_type: branch, target_branch: NAME }",
        );
        return None;
    };
    let errors = check.findings.errors();
    let mut build = BuildParams::default();
    let mut type_given = false;
    for Pair { key, value, .. } in check.keys(mapping, &BUILD_PARAMS) {
        match key {
            "build_type" => {
                type_given = true;
                build.build_type = literal(check, value, key, &BUILD_TYPES)
                    .unwrap_or_default()
                    .to_owned();
            }
            "event_type" => {
                build.event_type = literal(check, value, key, &EVENT_TYPES).map(str::to_owned)
            }
            "target_branch" => build.target_branch = written(check, value, key).map(str::to_owned),
            "tag" => build.tag = written(check, value, key).map(str::to_owned),
            _ => {}
        }
    }
    if errors != check.findings.errors() {
        return None;
    }
    let is_empty = |text: &Option<String>| text.as_ref().is_none_or(|text| text.trim().is_empty());
    let problem = match build.build_type.as_str() {
        _ if !type_given => Some((
            "`build_params` needs a `build_type`",
            "write `build_type: branch` or `build_type: tag`",
        )),
        "branch" if is_empty(&build.target_branch) => Some((
            "`build_type: branch` needs a `target_branch`",
            "write `target_branch: NAME`",
        )),
        "tag" if is_empty(&build.tag) => {
            Some(("`build_type: tag` needs a `tag`", "write `tag: NAME`"))
        }
        _ => None,
    };
    if let Some((message, help)) = problem {
        check.report(Finding::error(Kind::Missing, pair.key_at, message).help(help));
        return None;
    }
    Some(build)
}

/// One of the API's literal values.
fn literal<'t>(
    check: &mut Check<'_>,
    value: Value<'t>,
    key: &str,
    words: &[&str],
) -> Option<&'t str> {
    let text = text(check, value, key)?;
    if words.contains(&text) {
        return Some(text);
    }
    if key == "git_type"
        && ["codearts repo", "repo", "codearts"].contains(&text.to_ascii_lowercase().as_str())
    {
        let message = format!("`git_type` cannot be {}", quoted(text));
        check.report(
            Finding::error(Kind::Value, value.at(), message)
                .help("CodeArts Repo is called `codehub` in the API"),
        );
        return None;
    }
    check.not_one_of(value, key, text, words);
    None
}

fn git_url<'t>(check: &mut Check<'_>, value: Value<'t>) -> Option<&'t str> {
    let text = text(check, value, "git_url")?;
    let help =
        "write the repository's address as the browser shows it: https://HOST/GROUP/NAME.git";
    let why = match text::address(text) {
        Ok(address) => {
            if address.user.is_some_and(|(user, _)| user.contains(':')) {
                check.findings.hide(value.at());
                let message = "`git_url` has a password in it, and no secret stands in the file";
                let help =
                    "remove it; the service opens outside repositories through `endpoint_id`";
                check.report(Finding::error(Kind::Secret, value.at(), message).help(help));
                return None;
            }
            if address.secure {
                return Some(text);
            }
            "it is plain http://"
        }
        Err(why) => why,
    };
    if user_and_password(text).is_some() {
        check.findings.hide(value.at());
    }
    let help = match text::https(text) {
        Some(address) => format!("did you mean `{address}`?"),
        None => help.to_owned(),
    };
    let message = format!(
        "`git_url` must be an https:// address, and {} is not: {why}",
        quoted(&without_password(text))
    );
    check.report(Finding::error(Kind::Value, value.at(), message).help(help));
    None
}

/// A name of the service's: letters, digits, `_`.
fn name<'t>(check: &mut Check<'_>, value: Value<'t>, what: &str) -> Option<&'t str> {
    let text = text(check, value, what.trim_matches('`'))?;
    match name_wrong(text, what) {
        None => Some(text),
        Some(wrong) => {
            check.wrong(value, Kind::Value, wrong);
            None
        }
    }
}

pub(super) fn name_wrong(text: &str, what: &str) -> Option<Wrong> {
    let help = format!("a name is 1 to {NAME_CHARS_MAX} letters (a-z, A-Z), digits and `_`");
    let odd = text
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_alphanumeric() || *c == '_'));
    if let Some((at, char)) = odd {
        let possible: String = text
            .chars()
            .map(|c| if matches!(c, '-' | '.' | ' ') { '_' } else { c })
            .collect();
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let help = match possible.chars().all(letter) && possible.len() <= NAME_CHARS_MAX {
            true => format!("{help}: `{possible}`"),
            false => help,
        };
        let message = format!(
            "{what} cannot be {}: it contains {}",
            quoted(text),
            quoted(&char.to_string())
        );
        return Some(Wrong {
            piece: Some(at..at + char.len_utf8()),
            ..Wrong::new(message, help)
        });
    }
    let count = text.len();
    if count == 0 {
        return Some(Wrong::new(format!("{what} is empty"), help));
    }
    (count > NAME_CHARS_MAX).then(|| Wrong::new(format!("{what} has {count} characters"), help))
}

/// `variables`: a mapping of name to value, or the API's list.
pub(super) fn variables(check: &mut Check<'_>, value: Value<'_>) -> Option<Vec<Variable>> {
    let variables: Vec<Option<Variable>> = match value.shape() {
        Shape::Mapping(mapping) => {
            let pairs = mapping.pairs(&mut check.findings);
            pairs
                .iter()
                .map(|pair| named_variable(check, pair))
                .collect()
        }
        Shape::List(list) => {
            let mut names: HashMap<&str, At> = HashMap::new();
            let mut variables = Vec::new();
            for item in list.items() {
                variables.push(listed_variable(check, item, &mut names));
            }
            variables
        }
        Shape::Null | Shape::Text(_) | Shape::Refused => {
            let help =
                "write `NAME: value` below it, or the API's list of { name: NAME, value: TEXT }";
            check.wrong_form(value, "variables", "a mapping or a list", help);
            return None;
        }
    };
    variables.into_iter().collect()
}

fn named_variable(check: &mut Check<'_>, pair: &Pair<'_>) -> Option<Variable> {
    let value = variable_value(check, pair.value, pair.key_at, pair.key);
    if let Some(wrong) = name_wrong(pair.key, "the name of a variable") {
        check.report(Finding::error(Kind::Value, pair.key_at, wrong.message).help(wrong.help));
        return None;
    }
    Some(Variable {
        name: pair.key.to_owned(),
        value: value?,
    })
}

fn listed_variable<'t>(
    check: &mut Check<'_>,
    item: Value<'t>,
    names: &mut HashMap<&'t str, At>,
) -> Option<Variable> {
    let Shape::Mapping(mapping) = item.shape() else {
        let help =
            "write { name: NAME, value: TEXT }, or make `variables` a mapping of names to values";
        check.wrong_form(item, "variables", "a list of mappings", help);
        return None;
    };
    let errors = check.findings.errors();
    let pairs = check.keys(mapping, &VARIABLE);
    let find = |key: &str| pairs.iter().find(|pair| pair.key == key);
    let name = find("name").map(|pair| {
        (
            name(check, pair.value, "the name of a variable"),
            pair.value.at(),
        )
    });
    let shown = name.and_then(|(name, _)| name).unwrap_or("value");
    let value = find("value").map(|pair| variable_value(check, pair.value, pair.key_at, shown));
    let Some((name, name_at)) = name else {
        if errors == check.findings.errors() {
            let message = "the variable has no `name`";
            let help = "write { name: NAME, value: TEXT }";
            check.report(Finding::error(Kind::Missing, item.at(), message).help(help));
        }
        return None;
    };
    let name = name?;
    if let Some(first) = names.insert(name, name_at) {
        let message = format!(
            "the variable {} is given twice, and both are sent",
            quoted(name)
        );
        check.report(
            Finding::warning(Kind::Duplicate, name_at, message)
                .help("remove one; the API does not say which of them the run gets")
                .related(first, "first given here"),
        );
    }
    if value.is_none() && errors == check.findings.errors() {
        no_value(check, item.at(), name);
    }
    Some(Variable {
        name: name.to_owned(),
        value: value??,
    })
}

fn no_value(check: &mut Check<'_>, at: At, name: &str) {
    let message = format!("the variable {} has no value", quoted(name));
    let help = "write an empty text as \"\"; the text null, or ~, needs quotes";
    check.report(Finding::error(Kind::Missing, at, message).help(help));
}

fn variable_value(
    check: &mut Check<'_>,
    value: Value<'_>,
    key_at: At,
    name: &str,
) -> Option<VariableValue> {
    match value.shape() {
        Shape::Null => {
            no_value(check, key_at, name);
            None
        }
        Shape::Mapping(mapping) => check
            .secret_ref(mapping, value, name)
            .map(VariableValue::Secret),
        Shape::Text(_) => {
            let text = written(check, value, name)?;
            let count = text.chars().count();
            // Of a template what it makes counts.
            if count > VARIABLE_VALUE_CHARS_MAX && !is_template(text) {
                let message = format!(
                    "the value of {} has {count} characters, and the API takes {VARIABLE_VALUE_CHARS_MAX}",
                    quoted(name)
                );
                let help = "put what is long into the repository, and its path into the variable";
                check.report(Finding::error(Kind::Limit, value.at(), message).help(help));
                return None;
            }
            Some(VariableValue::Value(text.to_owned()))
        }
        Shape::List(_) | Shape::Refused => {
            check.wrong_form(
                value,
                name,
                "a text",
                "a variable has one text; write a list as one text, such as \"a,b\"",
            );
            None
        }
    }
}
