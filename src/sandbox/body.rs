//! Whether a body is what the service's documentation allows: one table a call, one walk for all.
//!
//! Stricter than the service may be: an unknown field, a null or a field given twice is refused, because in a
//! rehearsal a mistake is to be seen. Every refusal names the field.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// More values than any call needs; a body of 12 MB could hold millions, each of which costs memory.
const VALUES_MAX: usize = 50_000;

/// What a value has to look like.
#[derive(Debug)]
pub(super) enum Shape {
    /// A text of at most so many characters.
    Text(usize),
    /// A text that is not empty.
    Filled,
    /// Letters, digits and `_`, one to 128.
    Name,
    /// 32 letters and digits.
    Id,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A point in time: milliseconds as text, or `yyyy-MM-dd HH:mm:ss`.
    Time,
    /// True or false.
    Flag,
    /// An integer that is not negative.
    Count,
    /// A list of these.
    List(&'static Self),
    /// An object with these fields.
    Object(&'static [Field]),
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    required: bool,
    shape: Shape,
}

const fn must(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        required: true,
        shape,
    }
}

const fn may(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        required: false,
        shape,
    }
}

/// Any text: a body as a whole is bounded.
const TEXT: Shape = Shape::Text(usize::MAX);
/// Longest description of a run, in characters. These limits are the documentation's, and stand here a second time on
/// purpose: a stand-in that took them from the client could not show the client's mistake.
const DESCRIPTION_CHARS_MAX: usize = 1024;
/// Longest value of a variable, in characters.
const VALUE_CHARS_MAX: usize = 8192;
/// The most parameters of a pipeline.
const VARIABLES_MAX: usize = 100;

/// `RunPipelineDTO`.
pub(super) static RUN: Shape = Shape::Object(&[
    may("sources", Shape::List(&SOURCE)),
    may("description", Shape::Text(DESCRIPTION_CHARS_MAX)),
    may("variables", Shape::List(&VARIABLE)),
    may("choose_jobs", Shape::List(&Shape::Filled)),
    may("choose_stages", Shape::List(&Shape::Filled)),
    may("sub_hook", Shape::Flag),
    may("execution_plan_id", TEXT),
]);

static SOURCE: Shape = Shape::Object(&[
    must("type", Shape::OneOf(&["code", "artifact"])),
    may("params", Shape::Object(SOURCE_PARAMS)),
]);

static SOURCE_PARAMS: &[Field] = &[
    must(
        "git_type",
        Shape::OneOf(&["codehub", "gitee", "github", "gitcode", "gitlab"]),
    ),
    must("git_url", Shape::Filled),
    may("alias", Shape::Name),
    may("codehub_id", TEXT),
    may("default_branch", TEXT),
    may("endpoint_id", TEXT),
    may("build_params", Shape::Object(BUILD_PARAMS)),
    may("change_request_ids", Shape::List(&Shape::Filled)),
];

static BUILD_PARAMS: &[Field] = &[
    must("build_type", Shape::OneOf(&["branch", "tag"])),
    may(
        "event_type",
        Shape::OneOf(&[
            "Manual",
            "Scheduler",
            "MR",
            "Push",
            "CreateTag",
            "Issue",
            "Note",
        ]),
    ),
    may("target_branch", TEXT),
    may("tag", TEXT),
];

static VARIABLE: Shape = Shape::Object(&[
    must("name", Shape::Name),
    must("value", Shape::Text(VALUE_CHARS_MAX)),
]);

/// `ListPipelineRunsQuery`.
pub(super) static LIST: Shape = Shape::Object(&[
    may("status", Shape::List(&RUN_STATUS)),
    may("start_time", Shape::Time),
    may("end_time", Shape::Time),
    may("offset", Shape::Count),
    may("limit", Shape::Count),
    may(
        "sort_key",
        Shape::OneOf(&["start_time", "update_time", "end_time"]),
    ),
    may("sort_dir", Shape::OneOf(&["asc", "desc"])),
    may("update_time", Shape::Time),
    may("trigger_type", Shape::List(&TRIGGER)),
    may("executor_ids", Shape::List(&Shape::Id)),
    may("show_job_details", Shape::Flag),
    may("stage_id", TEXT),
    may("job_id", TEXT),
]);

static RUN_STATUS: Shape = Shape::OneOf(&[
    "COMPLETED",
    "RUNNING",
    "FAILED",
    "CANCELED",
    "PAUSED",
    "SUSPEND",
    "IGNORED",
]);
static TRIGGER: Shape = Shape::OneOf(&[
    "Manual",
    "Scheduler",
    "RollBack",
    "CreateTag",
    "Note",
    "Issue",
    "MR",
    "CR",
    "Generic",
    "Push",
    "SubPipeline",
]);

/// `RetryPipelineRun`.
pub(super) static RETRY: Shape = Shape::Object(&[
    may("repo_https_url", TEXT),
    may("job_run_ids", Shape::List(&Shape::Filled)),
]);

/// Calls whose body says nothing.
pub(super) static NOTHING: Shape = Shape::Object(&[]);

/// `BatchShowPipelinesLatestStatus`.
pub(super) static IDS: Shape = Shape::List(&Shape::Id);

/// `POST /v3/auth/tokens`.
pub(super) static TOKEN: Shape = Shape::Object(&[must(
    "auth",
    Shape::Object(&[
        must("identity", Shape::Object(IDENTITY)),
        may("scope", Shape::Object(SCOPE)),
    ]),
)]);

static IDENTITY: &[Field] = &[
    must("methods", Shape::List(&Shape::OneOf(&["password"]))),
    must(
        "password",
        Shape::Object(&[must("user", Shape::Object(USER))]),
    ),
];

static USER: &[Field] = &[
    must("domain", Shape::Object(&[must("name", Shape::Filled)])),
    must("name", Shape::Filled),
    must("password", Shape::Filled),
];

static SCOPE: &[Field] = &[
    may("project", Shape::Object(BY_ID_OR_NAME)),
    may("domain", Shape::Object(BY_ID_OR_NAME)),
];
static BY_ID_OR_NAME: &[Field] = &[may("id", Shape::Filled), may("name", Shape::Filled)];

/// Why a body is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flaw {
    /// There is none, or it is not JSON.
    Unreadable(String),
    /// Something in it is wrong; begins with the field.
    Wrong(String),
}

/// Reads a body and checks it.
pub(super) fn check(body: &[u8], shape: &Shape) -> Result<Value, Flaw> {
    let value = read(body)?;
    walk(&value, shape, "").map_err(Flaw::Wrong)?;
    Ok(value)
}

/// Reads a body: JSON, without a field given twice, and not of more values than any call needs.
pub(super) fn read(body: &[u8]) -> Result<Value, Flaw> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Flaw::Unreadable(
            "the body is missing; send at least {}".to_owned(),
        ));
    }
    if count_values(body) > VALUES_MAX {
        return Err(Flaw::Unreadable(format!(
            "the body has more than {VALUES_MAX} values"
        )));
    }
    let Strict(value) =
        serde_json::from_slice(body).map_err(|error| Flaw::Unreadable(error.to_string()))?;
    Ok(value)
}

/// Variables and sources have limits that no single field shows.
pub(super) fn check_run(body: &Value) -> Result<(), String> {
    let names: std::collections::BTreeSet<&str> = items(body, "variables")
        .iter()
        .filter_map(|variable| variable.get("name").and_then(Value::as_str))
        .collect();
    if names.len() > VARIABLES_MAX {
        return Err(format!(
            "variables: {} names; a pipeline has at most {VARIABLES_MAX}",
            names.len()
        ));
    }
    Ok(())
}

/// The items of a list in an object; none if there is no such list.
pub(super) fn items<'a>(body: &'a Value, name: &str) -> &'a [Value] {
    body.get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The text in an object's field.
pub(super) fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name).and_then(Value::as_str)
}

/// The texts of a list in an object's field; none if the field is not there.
pub(super) fn texts(body: &Value, name: &str) -> Option<Vec<String>> {
    let list = body.get(name)?.as_array()?;
    Some(
        list.iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
    )
}

/// The first thing that is wrong with a value, beginning with its place.
fn walk(value: &Value, shape: &Shape, place: &str) -> Result<(), String> {
    let wrong = |what: String| {
        Err(format!(
            "{}: {what}",
            if place.is_empty() { "body" } else { place }
        ))
    };
    match (shape, value) {
        (Shape::Text(most), Value::String(text)) => match text.chars().count() {
            length if length > *most => wrong(format!("{length} characters; at most {most}")),
            _ => Ok(()),
        },
        (Shape::Filled, Value::String(text)) if !text.is_empty() => Ok(()),
        (Shape::Name, Value::String(text)) if is_name(text) => Ok(()),
        (Shape::Id, Value::String(text)) if is_id(text) => Ok(()),
        (Shape::OneOf(words), Value::String(text)) if words.contains(&text.as_str()) => Ok(()),
        (Shape::OneOf(words), Value::String(text)) => wrong(format!(
            "{:?} is not one of {}",
            short(text),
            words.join(", ")
        )),
        (Shape::Time, Value::String(text)) if super::lookup::milliseconds(text).is_some() => Ok(()),
        (Shape::Flag, Value::Bool(_)) => Ok(()),
        (Shape::Count, Value::Number(number)) if number.as_u64().is_some() => Ok(()),
        (Shape::List(item), Value::Array(list)) => list
            .iter()
            .enumerate()
            .try_for_each(|(at, value)| walk(value, item, &format!("{place}[{at}]"))),
        (Shape::Object(fields), Value::Object(object)) => walk_object(object, fields, place),
        (shape, value) => wrong(format!("{} instead of {}", seen(value), wanted(shape))),
    }
}

fn walk_object(object: &Map<String, Value>, fields: &[Field], place: &str) -> Result<(), String> {
    let at = |name: &str| {
        if place.is_empty() {
            short(name)
        } else {
            format!("{place}.{}", short(name))
        }
    };
    if let Some(unknown) = object
        .keys()
        .find(|key| fields.iter().all(|field| field.name != **key))
    {
        return Err(format!("{}: there is no such field", at(unknown)));
    }
    fields
        .iter()
        .try_for_each(|field| match object.get(field.name) {
            Some(value) => walk(value, &field.shape, &at(field.name)),
            None if field.required => Err(format!("{}: required, but missing", at(field.name))),
            None => Ok(()),
        })
}

fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether a text is an id as the service's paths take them.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

fn seen(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("{:?}", short(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

fn wanted(shape: &Shape) -> String {
    match shape {
        Shape::Text(_) => "a text".to_owned(),
        Shape::Filled => "a text that is not empty".to_owned(),
        Shape::Name => "a name of letters, digits and _, 1 to 128 characters".to_owned(),
        Shape::Id => "an id of 32 letters and digits".to_owned(),
        Shape::OneOf(words) => format!("one of {}", words.join(", ")),
        Shape::Time => "a text with milliseconds or yyyy-MM-dd HH:mm:ss".to_owned(),
        Shape::Flag => "true or false".to_owned(),
        Shape::Count => "an integer from 0".to_owned(),
        Shape::List(_) => "a list".to_owned(),
        Shape::Object(_) => "an object".to_owned(),
    }
}

/// About how many values a JSON text holds, without reading them: each but the first follows a comma, colon or bracket.
fn count_values(body: &[u8]) -> usize {
    let (mut values, mut in_text, mut escaped) = (1, false, false);
    for byte in body {
        if in_text {
            in_text = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
        } else if *byte == b'"' {
            in_text = true;
        } else if matches!(byte, b',' | b':' | b'[') {
            values += 1;
        }
    }
    values
}

/// JSON in which no object gives a field twice: serde would keep the last one in silence.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some((key, Strict(value))) = object.next_entry::<String, Strict>()? {
            if values.contains_key(&key) {
                return Err(serde::de::Error::custom(format!(
                    "{}: given twice",
                    short(&key)
                )));
            }
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn flaw(body: &str, shape: &Shape) -> String {
        match check(body.as_bytes(), shape).unwrap_err() {
            Flaw::Unreadable(why) => format!("unreadable: {why}"),
            Flaw::Wrong(what) => what,
        }
    }

    #[test]
    fn what_the_sdk_sends_is_taken() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/run-requests");
        let mut cases = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let wire = &case["wire"];
            let body = if wire["body_present"] == json!(true) {
                wire["body_json"].to_string()
            } else {
                String::new()
            };
            let result = check(body.as_bytes(), &RUN);
            assert_eq!(
                result.is_ok(),
                wire["body_present"] == json!(true),
                "{}: {result:?}",
                path.display()
            );
            cases += 1;
        }
        assert_eq!(cases, 25);
    }

    /// A body, and what is said about it.
    const REFUSED: &str = r#"
{                                         => unreadable: EOF
{}x                                       => unreadable: trailing
[]                                        => body: a list instead of an object
null                                      => body: null instead of an object
{"descripton":"x"}                        => descripton: there is no such field
{"description":null}                      => description: null instead of a text
{"description":7}                         => description: the number 7 instead of a text
{"description":"a","description":"b"}     => unreadable: description: given twice
{"variables":{"a":"b"}}                   => variables: an object instead of a list
{"variables":[{"name":"a"}]}              => variables[0].value: required, but missing
{"variables":[{"value":"a"}]}             => variables[0].name: required, but missing
{"variables":[{"name":"a","value":1}]}    => variables[0].value: the number 1 instead of a text
{"variables":[{"name":"a-b","value":""}]} => variables[0].name: "a-b" instead of a name
{"variables":[{"name":"","value":""}]}    => variables[0].name: "" instead of a name
{"choose_jobs":"a"}                       => choose_jobs: "a" instead of a list
{"choose_stages":[1]}                     => choose_stages[0]: the number 1
{"choose_stages":[""]}                    => choose_stages[0]: "" instead of a text that is not empty
{"sub_hook":"true"}                       => sub_hook: "true" instead of true or false
{"execution_plan_id":1}                   => execution_plan_id: the number 1
{"sources":[{}]}                          => sources[0].type: required, but missing
{"sources":[{"type":"git"}]}              => sources[0].type: "git" is not one of code, artifact
"#;

    /// `params` of a source, and what is said about it. GIT stands for what is required.
    const REFUSED_PARAMS: &str = r#"
{"git_type":"codehub"}                        => git_url: required
{"git_url":"https://e.com/a.git"}             => git_type: required
{"git_type":"svn","git_url":"x"}              => git_type: "svn" is not one of
{"git_type":"codehub","git_url":""}           => git_url: "" instead of a text that is not empty
{GIT,"branch":"main"}                         => branch: there is no such field
{GIT,"codehub_id":2111699716}                 => codehub_id: the number
{GIT,"alias":"a b"}                           => alias: "a b" instead of a name
{GIT,"change_request_ids":"a"}                => change_request_ids: "a" instead of a list
{GIT,"build_params":{}}                       => build_params.build_type: required
{GIT,"build_params":{"build_type":"commit"}}  => build_params.build_type: "commit" is not one of branch, tag
{GIT,"build_params":{"build_type":"tag","event_type":"Cron"}} => build_params.event_type: "Cron" is not
{GIT,"build_params":{"build_type":"tag","ref":"v1"}} => build_params.ref: there is no such field
"#;

    fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
        let rows = table.lines().filter_map(|line| line.split_once("=>"));
        rows.map(|(body, why)| (body.trim(), why.trim()))
    }

    #[test]
    fn a_wrong_body_is_refused_by_the_name_of_the_field() {
        for (body, expected) in rows(REFUSED) {
            let found = flaw(body, &RUN);
            assert!(found.starts_with(expected), "{body}: {found}");
        }
        for (params, expected) in rows(REFUSED_PARAMS) {
            let params = params.replace(
                "GIT",
                r#""git_type":"codehub","git_url":"https://e.com/a.git""#,
            );
            let found = flaw(
                &format!(r#"{{"sources":[{{"type":"code","params":{params}}}]}}"#),
                &RUN,
            );
            assert!(
                found.starts_with(&format!("sources[0].params.{expected}")),
                "{params}: {found}"
            );
        }
        for body in ["", "  \n"] {
            assert!(flaw(body, &RUN).starts_with("unreadable: the body is missing"));
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let long = |most: usize| "流".repeat(most + 1);
        let description = json!({"description": long(1024)}).to_string();
        assert_eq!(
            flaw(&description, &RUN),
            "description: 1025 characters; at most 1024"
        );
        let value = json!({"variables": [{"name": "a", "value": long(8192)}]}).to_string();
        assert_eq!(
            flaw(&value, &RUN),
            "variables[0].value: 8193 characters; at most 8192"
        );
        let many = json!({"choose_jobs": vec![""; VALUES_MAX]}).to_string();
        assert!(flaw(&many, &RUN).starts_with("unreadable: the body has more than"));
    }

    #[test]
    fn the_limits_themselves_are_taken() {
        let body = json!({
            "description": "流".repeat(1024),
            "variables": [{"name": "N".repeat(128), "value": "流".repeat(8192)}, {"name": "E", "value": ""}],
        });
        assert!(check(body.to_string().as_bytes(), &RUN).is_ok());
        let variables = |names: usize| -> Value {
            let list: Vec<Value> = (0..names)
                .map(|at| json!({"name": format!("v{at}"), "value": ""}))
                .collect();
            json!({"variables": list})
        };
        assert_eq!(check_run(&variables(100)), Ok(()));
        assert!(
            check_run(&variables(101))
                .unwrap_err()
                .starts_with("variables: 101 names")
        );
    }

    #[test]
    fn the_filters_of_a_list_are_checked_too() {
        let table = [
            (
                r#"{"limit":"10"}"#,
                "limit: \"10\" instead of an integer from 0",
            ),
            (r#"{"offset":-1}"#, "offset: the number -1"),
            (r#"{"limit":1.5}"#, "limit: the number 1.5"),
            (
                r#"{"start_time":1709618828000}"#,
                "start_time: the number 1709618828000 instead of a text",
            ),
            (
                r#"{"start_time":"yesterday"}"#,
                "start_time: \"yesterday\" instead of a text",
            ),
            (
                r#"{"status":["DONE"]}"#,
                "status[0]: \"DONE\" is not one of",
            ),
            (r#"{"sort_key":"name"}"#, "sort_key: \"name\" is not one of"),
            (r#"{"sort_dir":"DESC"}"#, "sort_dir: \"DESC\" is not one of"),
            (
                r#"{"description":"x"}"#,
                "description: there is no such field",
            ),
        ];
        for (body, expected) in table {
            let found = flaw(body, &LIST);
            assert!(found.contains(expected), "{body}: {found}");
        }
    }

    #[test]
    fn a_deep_body_does_not_exhaust_the_stack() {
        let deep = "[".repeat(40_000);
        assert!(flaw(&deep, &RUN).starts_with("unreadable: recursion limit"));
    }

    #[test]
    fn values_are_counted_outside_texts_only() {
        assert_eq!(count_values(br#"{"a":"x,y:[z\",w","b":[1,2]}"#), 6);
    }
}
