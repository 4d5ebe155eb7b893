//! A message as our own JSON, and as a person's template makes of it. Pure.

use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};
use serde::Serialize;

use super::{Digest, DigestRow, Group, Message, Notice, Topic};
use crate::domain::{EntryName, Timestamp, rfc3339};

/// The version of the shape. It rises when a reader that knows this one could be wrong about the next; what is only
/// added does not raise it.
pub const SHAPE: u32 = 1;
/// How many steps a template may take: two hundred times what our own shape would.
const FUEL: u64 = 1_000_000;
/// Longest body that a template may make, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

#[derive(Serialize)]
struct Shape<'m> {
    version: u32,
    title: String,
    good: bool,
    node: &'m str,
    groups: Vec<GroupShape<'m>>,
    left_out: u64,
    digest: Option<DigestShape<'m>>,
}

#[derive(Serialize)]
struct GroupShape<'m> {
    topic: Topic,
    cause: &'m str,
    count: u64,
    notices: Vec<NoticeShape<'m>>,
}

#[derive(Serialize)]
struct NoticeShape<'m> {
    at: String,
    entry: Option<String>,
    account: Option<String>,
    tick: Option<String>,
    due: Option<String>,
    due_local: Option<&'m str>,
    text: &'m str,
    run_id: Option<&'m str>,
    run_page: Option<&'m str>,
}

#[derive(Serialize)]
struct DigestShape<'m> {
    since: String,
    until: String,
    answer: &'m str,
    good: bool,
    rows: Vec<RowShape<'m>>,
    left_out: u64,
}

#[derive(Serialize)]
struct RowShape<'m> {
    entry: String,
    due_local: &'m str,
    outcome: &'m str,
    trouble: bool,
    duration_secs: Option<i64>,
    text: &'m str,
    run_id: Option<&'m str>,
    run_page: Option<&'m str>,
}

impl<'m> Shape<'m> {
    fn of(message: &'m Message, node: &'m str) -> Self {
        Self {
            version: SHAPE,
            title: message.title(),
            good: message.is_good(),
            node,
            groups: message.groups.iter().map(GroupShape::of).collect(),
            left_out: message.left_out,
            digest: message.digest.as_ref().map(DigestShape::of),
        }
    }
}

impl<'m> GroupShape<'m> {
    fn of(group: &'m Group) -> Self {
        Self {
            topic: group.topic,
            cause: &group.cause,
            count: group.count,
            notices: group.notices.iter().map(NoticeShape::of).collect(),
        }
    }
}

impl<'m> NoticeShape<'m> {
    fn of(notice: &'m Notice) -> Self {
        Self {
            at: rfc3339(notice.at),
            entry: notice.entry.as_ref().map(ToString::to_string),
            account: notice.account.as_ref().map(ToString::to_string),
            tick: notice.tick.as_ref().map(ToString::to_string),
            due: notice.due.map(rfc3339),
            due_local: notice.due_local.as_deref(),
            text: &notice.text,
            run_id: notice.run_id.as_deref(),
            run_page: notice.run_page.as_deref(),
        }
    }
}

impl<'m> DigestShape<'m> {
    fn of(digest: &'m Digest) -> Self {
        Self {
            since: rfc3339(digest.since),
            until: rfc3339(digest.until),
            answer: &digest.answer,
            good: digest.is_good,
            rows: digest.rows.iter().map(RowShape::of).collect(),
            left_out: digest.left_out,
        }
    }
}

impl<'m> RowShape<'m> {
    fn of(row: &'m DigestRow) -> Self {
        Self {
            entry: row.entry.to_string(),
            due_local: &row.due_local,
            outcome: &row.outcome,
            trouble: row.is_trouble,
            duration_secs: row.duration_secs,
            text: &row.text,
            run_id: row.run_id.as_deref(),
            run_page: row.run_page.as_deref(),
        }
    }
}

/// The message in our own shape. What is absent is `null`, never left out.
pub fn own_json(message: &Message, node: &str) -> String {
    serde_json::to_string(&Shape::of(message, node)).unwrap_or_default()
}

/// What the template makes of the message: its names are those of [`own_json`].
///
/// # Errors
/// When the template is wrong, asks for what is not there, or makes too much.
pub fn from_template(template: &str, message: &Message, node: &str) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    let context = Value::from(Serde(Shape::of(message, node)));
    let body = environment
        .render_named_str("body", template, context)
        .map_err(|error| failed(&error))?;
    if body.len() > BODY_BYTES_MAX {
        return Err(format!("it makes more than {BODY_BYTES_MAX} bytes"));
    }
    Ok(body)
}

fn failed(error: &minijinja::Error) -> String {
    let line = error
        .line()
        .map(|line| format!("line {line}: "))
        .unwrap_or_default();
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => format!("{line}it takes too long; make it simpler"),
        (ErrorKind::UndefinedError, None) => format!(
            "{line}a value that does not exist is used; there are version, title, good, node, groups, left_out and digest"
        ),
        (kind, None) => format!("{line}{kind}"),
        (_, Some(detail)) => format!("{line}{detail}"),
    }
}

/// Whether a template can be used: it is tried on a single failure, on many, on one about no entry, and on a digest,
/// for what stands in one need not be in the other.
///
/// # Errors
/// What is wrong with it, and with which of them.
pub fn check_body(template: &str) -> Result<(), String> {
    for (name, sample) in samples() {
        from_template(template, &sample, "node").map_err(|why| format!("with {name}, {why}"))?;
    }
    Ok(())
}

fn samples() -> [(&'static str, Message); 4] {
    let at = Timestamp::UNIX_EPOCH;
    let entry = EntryName::parse("nightly").ok();
    let notice = |entry: Option<EntryName>| Notice {
        topic: Topic::Failed,
        at,
        entry: entry.clone(),
        account: None,
        tick: None,
        due: entry.as_ref().map(|_| at),
        due_local: entry
            .as_ref()
            .map(|_| "1970-01-01 08:00 Asia/Shanghai".to_owned()),
        cause: "run failed".to_owned(),
        text: "the run ended as FAILED".to_owned(),
        run_id: entry.as_ref().map(|_| "0123456789abcdef".to_owned()),
        run_page: None,
    };
    let told = |topic, count, notices| Message {
        groups: vec![Group {
            topic,
            cause: "run failed".to_owned(),
            count,
            notices,
        }],
        ..Message::default()
    };
    let row = |entry: EntryName| DigestRow {
        entry,
        due_local: "08:00 Asia/Shanghai".to_owned(),
        outcome: "succeeded".to_owned(),
        is_trouble: false,
        duration_secs: Some(60),
        text: String::new(),
        run_id: None,
        run_page: None,
    };
    let digest = Message {
        digest: Some(Digest {
            since: at,
            until: at,
            answer: "1 of 1 succeeded".to_owned(),
            is_good: true,
            rows: entry.clone().map(row).into_iter().collect(),
            left_out: 0,
        }),
        ..Message::default()
    };
    let many = vec![notice(entry.clone()); super::LISTED_MAX];
    [
        (
            "a failed run",
            told(Topic::Failed, 1, vec![notice(entry.clone())]),
        ),
        ("300 failed runs", told(Topic::Failed, 300, many)),
        (
            "trouble of the daemon's own",
            told(Topic::Daemon, 1, vec![notice(None)]),
        ),
        ("a digest", digest),
    ]
}
