//! Templates. An input is one text, which is checked, and rendered for ticks with and without a past.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use pipecron::domain::template::{
    Facts, LastSuccess, RENDERED_BYTES_MAX, Wrong, Zones, check, render,
};

use super::{Target, ZONES, now};

/// The target.
pub const TARGET: Target = Target {
    name: "template",
    run: template,
    words: &[
        "{{ ",
        " }}",
        "{{",
        "}}",
        "{%",
        "{#",
        "entry.name",
        "entry.labels",
        "entry.timezone",
        "tick.due",
        "tick.local",
        "tick.id",
        "tick.origin",
        "tick.previous",
        "last_success.due",
        "last_success.run_id",
        "last_success.number",
        "matrix.x",
        " | date('%Y%m%d')",
        " | date('%G-W%V')",
        " | date('%+%Z%::z%9f%-d%_d%0d')",
        " | plus('1d')",
        " | minus('1mo1w2d3h')",
        " | minus('100000y')",
        " | plus('99999mo')",
        " | start_of('week')",
        " | start_of('quarter')",
        " | start_of('hour')",
        " | local",
        " | in_zone('Asia/Tokyo')",
        " | in_zone('Africa/Monrovia')",
        " | in_zone(entry.timezone)",
        " | unix",
        " | default('-')",
        " | lower",
        " | upper",
        " | trim",
        " | replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaa')",
        " | replace('', 'xx')",
        " | truncate(3)",
        " | truncate(4294967295)",
        " | join(', ')",
        " if ",
        " else ",
        " and ",
        " or ",
        " not ",
        " in ",
        " is defined",
        " is not undefined",
        " == ",
        " != ",
        " < ",
        " ~ ",
        " + ",
        " - ",
        "'a'",
        "\"b\"",
        "'\\u{41}'",
        "'\\'",
        "(",
        ")",
        ",",
        "1",
        "340282366920938463463374607431768211455",
        "-170141183460469231731687303715884105728",
        "true",
        "none",
        "%",
        "\u{202e}",
        "ß",
        "\n",
        " ",
    ],
    bytes_max: 20 * 1_024,
};

static OWN: LazyLock<Arc<Zones>> = LazyLock::new(|| {
    let names = ["Asia/Tokyo", "Africa/Monrovia", "UTC"];
    Arc::new(Zones {
        own: ZONES.get("Europe/Berlin").expect("it is built in"),
        named: names
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), ZONES.get(name)?)))
            .collect(),
    })
});

/// Whatever is wrong is said about a piece of the text.
fn look_at(text: &str, wrong: &Wrong) {
    assert!(
        text.get(wrong.span.clone()).is_some(),
        "{:?} is no piece of {text:?}",
        wrong.span
    );
    assert!(!wrong.message.is_empty() && !wrong.help.is_empty());
}

/// Reads a text as a template.
fn template(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let checked = check(&text);
    if let Err(wrong) = &checked {
        look_at(&text, wrong);
    }
    let labels = BTreeSet::from(["nightly".to_owned(), "web".to_owned()]);
    let success = LastSuccess {
        due: now(),
        run_id: "r1".to_owned(),
        number: Some(u64::MAX),
    };
    let with = Facts {
        entry: "nightly-web",
        labels: &labels,
        zones: &OWN,
        tick: "nightly-web@2026-11-24T18:00:00Z",
        origin: "scheduled",
        due: now(),
        previous: Some(now()),
        last_success: Some(&success),
    };
    let without = Facts {
        previous: None,
        last_success: None,
        ..with
    };
    let unseen = LastSuccess {
        number: None,
        ..success.clone()
    };
    let by_hand = Facts {
        origin: "manual",
        last_success: Some(&unseen),
        ..with
    };
    let knows = |name: &str| OWN.named.contains_key(name) || OWN.own.name() == name;
    let is_good =
        (checked.as_ref()).is_ok_and(|checked| checked.zones.iter().all(|(name, _)| knows(name)));
    for facts in [with, without, by_hand] {
        // Also what does not pass the check is rendered: a file may have been checked by another version.
        let made = render(&text, &facts);
        assert_eq!(made, render(&text, &facts), "it is not the same twice");
        match made {
            Ok(made) => assert!(made.len() <= RENDERED_BYTES_MAX, "{} bytes", made.len()),
            Err(wrong) => {
                look_at(&text, &wrong);
                // How long a text becomes is not looked at before.
                let is_long = ["makes more than", "takes too long"];
                let is_long = is_long.iter().any(|words| wrong.message.contains(words));
                assert!(!is_good || is_long, "found good before: {wrong:?}");
            }
        }
    }
}
