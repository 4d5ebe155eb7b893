//! Nothing is accepted and ignored: every key that is known is read.

use pipecron::config::{KeysOf, Kind};

use super::world::check;

/// A file in which the keys of a set have a value; `[[x]]` is right for none of them.
fn with_key(set: KeysOf, key: &str) -> String {
    let keys = format!("{{ {key}: [[x]] }}");
    match set {
        KeysOf::File => format!("{key}: [[x]]"),
        KeysOf::Account => format!("accounts: {{ a: {keys} }}"),
        KeysOf::Credentials => format!("accounts: {{ a: {{ credentials: {keys} }} }}"),
        KeysOf::Secret => format!("accounts: {{ a: {{ credentials: {{ token: {keys} }} }} }}"),
        KeysOf::Entry => format!("schedules: {{ e: {keys} }}"),
        KeysOf::Retry => format!("defaults: {{ retry: {keys} }}"),
        KeysOf::Source => format!("global_defaults: {{ sources: [{keys}] }}"),
        KeysOf::Params => format!("defaults: {{ sources: [{{ type: code, params: {keys} }}] }}"),
        KeysOf::BuildParams => {
            format!(
                "defaults: {{ sources: [{{ type: code, params: {{ build_params: {keys} }} }}] }}"
            )
        }
        KeysOf::Calendar => format!("calendars: {{ c: {keys} }}"),
        KeysOf::Freeze => format!("freezes: [{keys}]"),
        KeysOf::Channel => {
            let kind = match key {
                "server" | "user" | "password" | "from" | "to" => "mail",
                _ => "json",
            };
            format!("notices: {{ c: {{ kind: {kind}, {key}: [[x]] }} }}")
                .replace("kind: json, kind: [[x]]", "kind: [[x]]")
        }
        KeysOf::Digest => format!("notices: {{ c: {{ kind: json, digest: {keys} }} }}"),
        KeysOf::Heartbeat => format!("heartbeat: {keys}"),
        KeysOf::Alarm => format!("defaults: {{ alarm: {keys} }}"),
        KeysOf::Variable => format!("defaults: {{ variables: [{keys}] }}"),
    }
}

#[test]
fn every_known_key_is_read() {
    for set in KeysOf::ALL {
        for key in set.known() {
            let text = with_key(set, key);
            let value = text.find("[[x]]").unwrap();
            let loaded = check(&text);
            let at_value = |problem: &&pipecron::config::Problem| {
                let start = problem.place.as_ref().map(|place| place.span.start);
                problem.kind == Kind::Type
                    && start.is_some_and(|start| (value..value + 3).contains(&start))
            };
            let found = loaded.problems.iter().any(|problem| at_value(&problem));
            assert!(found, "{set:?} {key} {:#?}", loaded.problems);
        }
    }
}
