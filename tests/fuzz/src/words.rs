//! Small texts: durations, names, addresses of ledgers, rules of the sandbox, profiles of credentials. An input is such a
//! text, and is read as each of them.

use std::time::Duration;

use pipecron::codearts::auth::profile;
use pipecron::config::{check_variable, nearest, parse_duration};
use pipecron::domain::{AccountName, EntryName, TickId};
use pipecron::ledger::parse_url;
use pipecron::sandbox::FaultRule;

use super::{Target, is_plain, now};

/// The target.
pub const TARGET: Target = Target {
    name: "words",
    run: words,
    words: &[
        "90s",
        "1h30m",
        "366d",
        "250ms",
        "0",
        "d",
        "h",
        "m",
        "s",
        "ms",
        "99999999999999999999",
        "sqlite://",
        "sqlite:///",
        "postgres://",
        ":memory:",
        "?",
        "#",
        "/",
        "..",
        "lost=reset",
        "lost=cut",
        "dropped=stall",
        "status=503",
        ":APIGW.0308",
        "code=DEVCP.00014004",
        "message-only",
        "message=",
        "retry-after=date:5",
        "location=",
        "started=yes",
        "shape=nested",
        "queued=5s",
        "late=1m",
        "unlisted=3m",
        "forgotten=1h",
        "ends=FAILED",
        "takes=0s",
        "skew=-61s",
        "drip=1/1s",
        "huge=1",
        "refuse=1s",
        "reset-connection",
        "on=run+list",
        "on=any",
        "pipeline=",
        "skip=1",
        "next=2",
        "chance=0.5",
        "chance=1e-9",
        "chance=NaN",
        ",",
        "=",
        "+",
        "%2C",
        "%25",
        "%zz",
        "%ff",
        "%00",
        "%E2%80%AE",
        "{\"fault\":",
        "\"lost=reset\"",
        "\"on\":[\"run\"]",
        "\"next\":2",
        "}",
        "[basic]\n",
        "[basiccredentials]\n",
        "ak = a\n",
        "sk: b\n",
        "security_token=",
        "\n",
        "\u{feff}",
        "\u{a0}",
        "\u{202e}",
        "\u{130}",
        "ß",
        "\0",
        " ",
        "-",
        "_",
        ".",
        "nightly-web",
    ],
    bytes_max: 4 * 1_024,
};

/// The longest text of a rule.
const RULE_BYTES_MAX: usize = 4_096;
/// The longest duration.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Reads a text as everything that is read from a line.
fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(duration) = parse_duration(&text) {
        assert!(duration <= DURATION_MAX, "{text:?} is {duration:?}");
    }
    if let Ok(path) = parse_url(&text) {
        assert_eq!(
            format!("sqlite://{}", path.display()),
            text,
            "it was taken as {path:?}"
        );
        assert!(path.file_name().is_some());
    }
    names(&text);
    let (name, value) = text.split_once('=').unwrap_or((&text, ""));
    let _ = check_variable(name, value);
    if let Some(word) = nearest(&text, ["cron", "timezone", "pipeline_id"]) {
        assert!(!text.is_empty(), "{word} is like nothing");
    }
    rule(FaultRule::parse(&text));
    if let Ok(value) = serde_json::from_slice(data) {
        rule(FaultRule::from_json(&value));
    }
    if let Ok(profile) = profile::parse(&text, &profile::CHAIN_PROFILES) {
        assert!(!profile.keys.ak.is_empty());
    }
}

/// A name that is taken stays as it is, and the id of its tick is one plain word.
fn names(text: &str) {
    let _ = AccountName::parse(text).map(|name| assert_eq!(name.as_str(), text));
    let Ok(name) = EntryName::parse(text) else {
        return;
    };
    assert_eq!(name.as_str(), text);
    let tick = TickId::scheduled(&name, now());
    assert!(is_plain(tick.as_str()), "{tick} is a tick's id");
    assert!(
        !tick.as_str().contains([' ', ']', '[']),
        "{tick} cannot stand in a marker"
    );
}

/// A rule that is taken is the same when it is read from what is shown of it.
fn rule<E: std::fmt::Display>(rule: Result<FaultRule, E>) {
    match rule {
        Ok(rule) => {
            // What is escaped becomes longer, and a rule that is too long when it is shown is not read again.
            let shown = rule.to_string();
            let json = rule.to_json();
            if shown.len() > RULE_BYTES_MAX || json.to_string().len() > RULE_BYTES_MAX {
                return;
            }
            assert_eq!(
                FaultRule::parse(&shown).as_ref(),
                Ok(&rule),
                "it is shown as {shown:?}"
            );
            assert_eq!(
                FaultRule::from_json(&json).as_ref(),
                Ok(&rule),
                "it is shown as {json}"
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
