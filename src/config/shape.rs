//! The shape of the JSON Schema: such that an editor's message says what is expected.
//!
//! A value that fits none of several alternatives (`anyOf`) is "not valid under any of the schemas", and nobody knows why.
//! So a key that may be absent or be written in two ways has one schema with several types, each with its own rules, and what
//! holds of one form alone stands behind an `if`: then the branch that was meant reports what is wrong with it.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// A text that is made from something.
const TEMPLATE: &str = r"\{\{";

/// What an editor shows, whatever the value is.
const SHOWN: [&str; 4] = ["description", "title", "default", "examples"];

/// Shapes a whole schema. Values of the definitions in `templates` may come from a template or a matrix: what they are then, only
/// the reader can say.
pub(super) fn shape(schema: &mut Value, templates: impl Fn(&str) -> bool) {
    let mut optional = BTreeSet::new();
    join(schema, &mut optional);
    keep_items(schema, &optional);
    for (name, definition) in schema["definitions"].as_object_mut().into_iter().flatten() {
        if optional.contains(name) {
            let_nothing_stand(definition);
        }
        if templates(name) {
            let_templates_stand(definition);
        }
    }
}

/// Joins the alternatives "this definition, or nothing" to that definition, and notes its name.
fn join(schema: &mut Value, optional: &mut BTreeSet<String>) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(|schema| join(schema, optional)),
        Value::Object(keys) => {
            let alternatives = keys.get("anyOf").and_then(Value::as_array);
            let reference = match alternatives.map(Vec::as_slice) {
                Some([one, nothing]) if *nothing == json!({ "type": "null" }) => {
                    one["$ref"].as_str().map(str::to_owned)
                }
                Some(_) | None => None,
            };
            if let Some(reference) = reference {
                keys.remove("anyOf");
                optional.extend(reference.rsplit('/').next().map(str::to_owned));
                keys.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
            }
            keys.values_mut().for_each(|inner| join(inner, optional));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The items of lists and mappings are not optional, though the same definition is elsewhere.
fn keep_items(schema: &mut Value, optional: &BTreeSet<String>) {
    match schema {
        Value::Array(schemas) => schemas
            .iter_mut()
            .for_each(|schema| keep_items(schema, optional)),
        Value::Object(keys) => {
            for key in ["items", "additionalProperties"] {
                let Some(item) = keys.get_mut(key) else {
                    continue;
                };
                let of = item["$ref"]
                    .as_str()
                    .and_then(|name| name.rsplit('/').next());
                if of.is_some_and(|of| optional.contains(of)) {
                    *item = json!({ "type": "object", "allOf": [item.take()] });
                }
            }
            keys.values_mut()
                .for_each(|inner| keep_items(inner, optional));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Lets a definition be absent as well.
fn let_nothing_stand(definition: &mut Value) {
    if let Some(kind) = definition.get("type").cloned() {
        let kinds = kind.as_array().cloned();
        let mut kinds = kinds.unwrap_or_else(|| vec![kind]);
        kinds.push(json!("null"));
        definition["type"] = Value::Array(kinds);
    }
    let words = definition.get_mut("enum").and_then(Value::as_array_mut);
    words.into_iter().for_each(|words| words.push(Value::Null));
}

/// Lets a template stand where a value is.
fn let_templates_stand(schema: &mut Value) {
    let Value::Object(keys) = schema else {
        return;
    };
    let properties = keys.get_mut("properties").and_then(Value::as_object_mut);
    properties
        .into_iter()
        .flatten()
        .for_each(|(_, property)| let_templates_stand(property));
    for inner in ["items", "additionalProperties"] {
        keys.get_mut(inner)
            .into_iter()
            .for_each(let_templates_stand);
    }
    let is_plain = |kind: &str| ["string", "number", "integer", "boolean"].contains(&kind);
    let is_value = match keys.get("type") {
        Some(Value::String(kind)) => is_plain(kind),
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).any(is_plain),
        Some(_) | None => false,
    };
    if !is_value {
        return;
    }
    let (shown, rules): (Map<String, Value>, Map<String, Value>) = std::mem::take(keys)
        .into_iter()
        .partition(|(key, _)| SHOWN.contains(&key.as_str()));
    *keys = shown;
    keys.insert("if".to_owned(), template());
    keys.insert("else".to_owned(), Value::Object(rules));
}

fn template() -> Value {
    json!({ "type": "string", "pattern": TEMPLATE })
}

/// Refuses templates in these keys of an entry that has no matrix.
pub(super) fn no_templates_without_a_matrix<'k>(keys: impl IntoIterator<Item = &'k str>) -> Value {
    let plain = json!({
        "pattern": r"^(?!.*\{\{)",
        "patternErrorMessage": "this may be a template only in an entry that has a matrix, as `{{ matrix.NAME }}`",
    });
    let keys: Map<String, Value> = keys
        .into_iter()
        .map(|key| (key.to_owned(), plain.clone()))
        .collect();
    json!({
        "if": { "properties": { "matrix": { "type": "null" } } },
        "then": { "properties": keys },
    })
}

/// Needs all of the keys, and a value of each.
pub(super) fn needs(keys: &[&str]) -> Value {
    let value = |key: &&str| ((*key).to_owned(), json!({ "not": { "type": "null" } }));
    let values: Map<String, Value> = keys.iter().map(value).collect();
    json!({ "required": keys, "properties": values })
}

/// The first rules whose condition holds, or the last ones.
pub(super) fn first_of(
    cases: impl DoubleEndedIterator<Item = (Value, Value)>,
    last: Value,
) -> Value {
    cases.rev().fold(
        last,
        |others, (condition, rules)| json!({ "if": condition, "then": rules, "else": others }),
    )
}

/// Any of the keys is there, with a value.
pub(super) fn has_any(keys: &[&str]) -> Value {
    let each: Vec<Value> = keys.iter().map(|key| needs(&[key])).collect();
    json!({ "anyOf": each })
}
