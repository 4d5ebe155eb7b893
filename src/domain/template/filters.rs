//! The filters: what may be done to a value. What is absent stays absent, until `default`.

use std::borrow::Cow;

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, Value};

use super::RENDERED_BYTES_MAX;
use super::moment::{Advice, Moment, Step, Unit};

/// Their names.
pub(super) const NAMES: [&str; 14] = [
    "date", "plus", "minus", "start_of", "local", "in_zone", "unix", "default", "lower", "upper",
    "trim", "replace", "truncate", "join",
];

type Made = Result<Value, Error>;

fn wrong(message: impl Into<Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn advised((message, help): Advice) -> Error {
    wrong(format!("{message}; {help}"))
}

/// Applies a filter of instants.
fn of_moment(name: &str, value: &Value, make: impl FnOnce(&Moment) -> Made) -> Made {
    if value.is_undefined() {
        return Ok(Value::UNDEFINED);
    }
    match value.downcast_object_ref::<Moment>() {
        Some(moment) => make(moment),
        None => Err(wrong(format!(
            "`{name}` is for instants, such as tick.local, and this is {}",
            what(value)
        ))),
    }
}

fn what(value: &Value) -> &'static str {
    let kinds = [
        (ValueKind::String, "a text"),
        (ValueKind::Number, "a number"),
        (ValueKind::Bool, "true or false"),
        (ValueKind::Seq, "a list"),
        (ValueKind::None, "nothing"),
        (ValueKind::Undefined, "nothing"),
    ];
    if value.downcast_object_ref::<Moment>().is_some() {
        return "an instant";
    }
    let kind = kinds.into_iter().find(|(kind, _)| *kind == value.kind());
    kind.map_or("something else", |(_, what)| what)
}

/// Applies a filter of texts, which a number is as well.
fn of_text(name: &str, value: &Value, make: impl FnOnce(&str) -> Result<String, Error>) -> Made {
    if value.is_undefined() {
        return Ok(Value::UNDEFINED);
    }
    let made = if let Some(text) = value.as_str() {
        make(text)
    } else if value.kind() == ValueKind::Number {
        make(&value.to_string())
    } else {
        Err(wrong(format!(
            "`{name}` is for texts, and this is {}",
            what(value)
        )))
    }?;
    bounded(made)
}

fn bounded(made: String) -> Made {
    if made.len() > RENDERED_BYTES_MAX {
        return Err(too_long());
    }
    Ok(Value::from(made))
}

fn too_long() -> Error {
    wrong(format!("this makes more than {RENDERED_BYTES_MAX} bytes"))
}

fn truncate(text: &str, max: u32) -> String {
    text.chars()
        .take(usize::try_from(max).unwrap_or(usize::MAX))
        .collect()
}

fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let more = text.matches(from).count().saturating_mul(to.len());
    if more > RENDERED_BYTES_MAX {
        return Err(too_long());
    }
    Ok(text.replace(from, to))
}

fn join(list: &Value, by: &str) -> Made {
    if list.is_undefined() {
        return Ok(Value::UNDEFINED);
    }
    if list.kind() != ValueKind::Seq {
        return Err(wrong(format!(
            "`join` is for lists, such as entry.labels, and this is {}",
            what(list)
        )));
    }
    let mut made = String::new();
    for (item, first) in list
        .try_iter()?
        .zip(std::iter::once(true).chain(std::iter::repeat(false)))
    {
        if !first {
            made.push_str(by);
        }
        made.push_str(item.as_str().unwrap_or_default());
        if made.len() > RENDERED_BYTES_MAX {
            return Err(too_long());
        }
    }
    Ok(Value::from(made))
}

pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("date", |value: &Value, format: &str| {
        of_moment("date", value, |moment| {
            moment.date(format).map(Value::from).map_err(advised)
        })
    });
    for (name, back) in [("plus", false), ("minus", true)] {
        environment.add_filter(name, move |value: &Value, step: &str| {
            of_moment(name, value, |moment| {
                let step = Step::parse(step).map_err(advised)?;
                moment
                    .moved(step, back)
                    .map(Moment::into_value)
                    .map_err(advised)
            })
        });
    }
    environment.add_filter("start_of", |value: &Value, unit: &str| {
        of_moment("start_of", value, |moment| {
            let unit = Unit::parse(unit).map_err(advised)?;
            Ok(moment.start_of(unit).into_value())
        })
    });
    environment.add_filter("local", |value: &Value| {
        of_moment("local", value, |moment| Ok(moment.local().into_value()))
    });
    environment.add_filter("in_zone", |value: &Value, zone: &str| {
        of_moment("in_zone", value, |moment| {
            moment
                .in_zone(zone)
                .map(Moment::into_value)
                .map_err(advised)
        })
    });
    environment.add_filter("unix", |value: &Value| {
        of_moment("unix", value, |moment| Ok(Value::from(moment.unix())))
    });
    environment.add_filter("default", |value: &Value, other: Value| -> Value {
        if value.is_undefined() {
            other
        } else {
            value.clone()
        }
    });
    environment.add_filter("lower", |value: &Value| {
        of_text("lower", value, |text| Ok(text.to_lowercase()))
    });
    environment.add_filter("upper", |value: &Value| {
        of_text("upper", value, |text| Ok(text.to_uppercase()))
    });
    environment.add_filter("trim", |value: &Value| {
        of_text("trim", value, |text| Ok(text.trim().to_owned()))
    });
    environment.add_filter("replace", |value: &Value, from: &str, to: &str| {
        of_text("replace", value, |text| replace(text, from, to))
    });
    environment.add_filter("truncate", |value: &Value, max: u32| {
        of_text("truncate", value, |text| Ok(truncate(text, max)))
    });
    environment.add_filter("join", |value: &Value, by: &str| join(value, by));
    environment.add_test("defined", |value: &Value| !value.is_undefined());
    environment.add_test("undefined", |value: &Value| value.is_undefined());
}
