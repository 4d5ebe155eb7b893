//! Templates of a body: what they can say, and what is wrong with those that cannot be used.

use pipecron::domain::notice::body::{check_body, from_template, own_json};

use crate::messages::{all, digest, hostile, many_failures, one_failure};

#[test]
fn a_template_makes_the_body() {
    let template = r#"{"summary": {{ title | tojson }}, "severity": "{{ 'info' if good else 'critical' }}", "runs": [
{%- for group in groups %}{% for notice in group.notices -%}
{{ notice.run_id | tojson }}{% if not loop.last %}, {% endif %}
{%- endfor %}{% endfor -%}
]}"#;
    check_body(template).unwrap();
    assert_eq!(
        from_template(template, &one_failure(), "n").unwrap(),
        r#"{"summary": "app-nightly: the run failed", "severity": "critical", "runs": ["ad6b7f66283a45be9c1f82b06c800001"]}"#
    );
}

#[test]
fn what_is_put_through_tojson_stays_json_whatever_it_holds() {
    let template =
        r#"{"text": {{ groups[0].notices[0].text | tojson }}, "all": {{ groups | tojson }}}"#;
    let message = hostile();
    let made = from_template(template, &message, "n").unwrap();
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["text"], message.groups[0].notices[0].text);
    assert_eq!(made["all"].as_array().unwrap().len(), 1);
}

/// The names of a template are those of our own shape.
#[test]
fn a_template_sees_what_our_own_json_says() {
    for (name, message) in all() {
        let own: serde_json::Value = serde_json::from_str(&own_json(&message, "n")).unwrap();
        for (key, value) in own.as_object().unwrap() {
            let made = from_template(&format!("{{{{ {key} | tojson }}}}"), &message, "n").unwrap();
            let made: serde_json::Value = serde_json::from_str(&made).unwrap();
            assert_eq!(&made, value, "{name}: {key}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_template_is_told() {
    let digest_only = "{{ digest.rows | length }}";
    let rows = [
        (
            "{{ titel }}",
            "with a failed run, line 1: a value that does not exist is used; there are version, title, good, node, groups, left_out and digest",
        ),
        (
            "\n{{ groups[0].runs }}",
            "with a failed run, line 2: a value that does not exist is used; there are version, title, good, node, groups, left_out and digest",
        ),
        (
            "{{ title",
            "with a failed run, line 1: unexpected end of input, expected end of variable block",
        ),
        (
            "{{ title | capitalise }}",
            "with a failed run, line 1: filter capitalise is unknown",
        ),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
            "with a failed run, line 1: it takes too long; make it simpler",
        ),
        // It would do for the first sample.
        (
            "{{ groups[0].notices[0].text }}",
            "with a digest, line 1: a value that does not exist is used; there are version, title, good, node, groups, left_out and digest",
        ),
        (
            digest_only,
            "with a failed run, line 1: a value that does not exist is used; there are version, title, good, node, groups, left_out and digest",
        ),
    ];
    for (template, why) in rows {
        assert_eq!(check_body(template).unwrap_err(), why, "{template}");
    }
    assert_eq!(from_template(digest_only, &digest(), "n").unwrap(), "43");
}

#[test]
fn a_body_without_end_is_refused() {
    let line = "x".repeat(200);
    let template = format!("{{% for a in range(9000) %}}{line}{{% endfor %}}");
    let why = from_template(&template, &many_failures(), "n").unwrap_err();
    assert_eq!(why, "it makes more than 1048576 bytes");
}
