//! `notices`, `heartbeat`, `ping` and `alarm`: what is read, what is refused, and that no address of a bot is ever shown.

use std::time::Duration;

use pipecron::config::notices::{MailTls, Way};
use pipecron::config::{Colour, Loaded, Problem, Severity, Text, render};
use pipecron::domain::notice::{Alarm, Topic};
use pipecron::domain::request::SecretRef;

use super::world::{ACCOUNT, IDS, check, check_files};

fn shown(loaded: &Loaded) -> String {
    render(&loaded.problems, loaded.unlisted, Colour::Never)
}

/// A configuration with something at the left edge and something in its entry.
fn with(top: &str, keys: &str) -> String {
    format!("{ACCOUNT}{top}\nschedules:\n  e:\n    cron: 0 2 * * *\n{IDS}    {keys}\n")
}

/// Something that is wrong, with the address of a bot in every place where one may be written by mistake.
fn with_bots(bot: &str, own: &str) -> Vec<String> {
    let channel = |keys: &str| with(&format!("notices: {{ c: {{ {keys} }} }}"), "");
    let mut texts = Vec::new();
    for address in [bot, own] {
        texts.extend([
            channel(&format!("kind: slack, url: '{address}'")),
            channel(&format!("kind: slack, url: ['{address}']")),
            channel(&format!("kind: slack, url: {{ env: '{address}' }}")),
            channel(&format!("kind: slack, url: {{ value: '{address}' }}")),
            channel(&format!("kind: slack, urll: '{address}'")),
            channel(&format!("kind: slack, webhook: ['{address}']")),
            channel(&format!("kind: slack, webhook: {{ url: '{address}' }}")),
            channel(&format!("kind: slack, webhook: {{ env: '{address}' }}")),
            channel(&format!(
                "kind: slack, address: {{ a: [{{ b: '{address}' }}] }}"
            )),
            channel(&format!("kind: '{address}'")),
            channel(&format!("kind: ['{address}']")),
            channel(&format!("slack: '{address}'")),
            channel(&format!("kind: slack, events: ['{address}']")),
            channel(&format!("kind: slack, events: '{address}'")),
            channel(&format!("kind: slack, labels: '{address}'")),
            channel(&format!("kind: slack, labels: ['{address}']")),
            channel(&format!("kind: slack, collect: '{address}'")),
            channel(&format!("kind: slack, messages_per_hour: '{address}'")),
            channel(&format!("kind: slack, ca_file: '{address}'")),
            channel(&format!("kind: slack, digest: '{address}'")),
            channel(&format!("kind: slack, digest: {{ cron: '{address}' }}")),
            channel(&format!("kind: slack, digest: {{ url: '{address}' }}")),
            channel(&format!("kind: mail, url: '{address}'")),
            channel(&format!("kind: mail, to: '{address}'")),
            channel(&format!("kind: mail, to: ['{address}']")),
            channel(&format!("kind: mail, from: '{address}'")),
            channel(&format!("kind: mail, server: '{address}'")),
            channel(&format!("kind: json, secret: '{address}'")),
            channel(&format!("kind: json, token: ['{address}']")),
            channel(&format!("kind: json, body: ['{address}']")),
            channel(&format!("kind: json, url: 'x{address}'")),
            with(&format!("notices: {{ c: '{address}' }}"), ""),
            with(&format!("notices: {{ c: ['{address}'] }}"), ""),
            with(
                &format!("notices: {{ c: [{{ kind: slack, url: '{address}' }}] }}"),
                "",
            ),
            with(&format!("notices: '{address}'"), ""),
            with(&format!("notices: ['{address}']"), ""),
            with(
                &format!("notices: [{{ kind: slack, url: '{address}' }}]"),
                "",
            ),
            with(&format!("heartbeat: '{address}'"), ""),
            with(&format!("heartbeat: ['{address}']"), ""),
            with(&format!("heartbeat: {{ every: '{address}' }}"), ""),
            with(&format!("heartbeat: {{ urll: '{address}' }}"), ""),
            with(&format!("heartbeat: {{ url: ['{address}'] }}"), ""),
            with(&format!("heartbeat: {{ url: '{address}', every: 1s }}"), ""),
            with("", &format!("ping: ['{address}']")),
            with("", &format!("ping: {{ url: '{address}' }}")),
            with("", &format!("ping: {{ env: '{address}' }}")),
            with("", &format!("alarm: '{address}'")),
            with("", &format!("alarm: {{ no_success_for: '{address}' }}")),
        ]);
    }
    // What a person cannot be asked to write right is a file that is no YAML, and a key that nobody expects.
    texts.extend([
        with(
            &format!("notice: {{ c: {{ kind: slack, url: '{bot}' }} }}"),
            "",
        ),
        with(&format!("notices: {{ '{bot}': {{ kind: slack }} }}"), ""),
        with(&format!("notices:\n  c: {{ kind: slack, url: {bot}"), ""),
        with(&format!("# {bot}\nnotices: }} {bot}"), ""),
        with("", &format!("webhook: {bot}")),
        with("", &format!("pingg: {{ env: '{bot}' }}")),
    ]);
    texts
}

#[test]
fn no_address_of_a_bot_and_no_password_is_ever_shown() {
    let bot = "https://hooks.slack.com/services/T1/B2/verysecret";
    let own = "https://chat.example.com/verysecret";
    let mail = "smtps://bob:verysecret@mail.example.com";
    let channel = |keys: &str| with(&format!("notices: {{ c: {{ {keys} }} }}"), "");
    let mut texts = with_bots(bot, own);
    for server in [
        mail,
        "bob:verysecret@mail.example.com",
        "smtp://verysecret@mail.example.com",
        "imap://bob:verysecret@mail.example.com",
        "smtps://bob:verysecret@mail.example.com/x y",
    ] {
        texts.extend([
            channel(&format!("kind: mail, server: '{server}'")),
            channel(&format!("kind: mail, server: ['{server}']")),
            channel(&format!("kind: mail, servr: '{server}'")),
            channel(&format!("kind: mail, smtp: '{server}'")),
            channel(&format!("kind: mail, proxy: '{server}'")),
            channel(&format!("kind: json, server: '{server}'")),
        ]);
    }
    for address in [
        "https://bob:verysecret@example.com/x",
        "http://bob:verysecret@example.com/x",
        "https://verysecret@example.com/x",
        " https://bob:verysecret@example.com/x",
        "hc-ping.com/verysecret",
        "http://hc-ping.com/verysecret",
        "https://hc-ping.com/verysecret#x",
    ] {
        texts.extend([
            with("", &format!("ping: '{address}'")),
            with("", &format!("ping: ['{address}']")),
            with(&format!("heartbeat: {{ url: '{address}' }}"), ""),
            with(&format!("defaults: {{ ping: '{address}' }}"), ""),
            channel(&format!("kind: json, url: '{address}'")),
        ]);
    }
    assert!(texts.len() > 150, "{}", texts.len());
    let mut wrong = Vec::new();
    for text in texts {
        let loaded = check(&text);
        let shown = shown(&loaded);
        let lines: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        let is_unsaid = |problem: &Problem| {
            problem.place.is_none() || (problem.help.is_none() && problem.related.is_none())
        };
        if shown.contains("verysecret")
            || lines.concat().contains("verysecret")
            || !loaded.problems.iter().any(is_error)
            || loaded.problems.iter().any(is_unsaid)
        {
            wrong.push(format!("{text}\n{shown}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of them:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// The channel of a file that is right.
fn channel(keys: &str) -> pipecron::config::Channel {
    let text = with(&format!("notices: {{ c: {{ {keys} }} }}"), "");
    let loaded = check(&text);
    let config = loaded
        .config
        .unwrap_or_else(|| panic!("{:?}\nin\n{text}", loaded.problems));
    (*config.channels["c"]).clone()
}

#[test]
fn a_channel_that_says_little_is_told_of_what_usually_matters() {
    let channel = channel("kind: slack, url: { env: HOOK }");
    let told: Vec<&str> = channel.topics.iter().map(|topic| topic.name()).collect();
    let all = Topic::ALL.iter().map(|topic| topic.name());
    let usual: Vec<&str> = all.filter(|name| *name != "skipped").collect();
    assert_eq!(told, usual);
    assert_eq!(channel.collect, Duration::from_secs(30));
    assert_eq!(channel.messages_per_hour, 20);
    assert!(channel.labels.is_empty() && channel.digest.is_none());
    let secret = SecretRef::Env("HOOK".to_owned());
    assert_eq!(channel.way, Way::Slack { url: secret });
}

#[test]
fn a_mail_server_is_reached_as_its_address_says() {
    for (server, host, port, tls) in [
        (
            "smtps://smtp.example.com",
            "smtp.example.com",
            465,
            MailTls::Wrapped,
        ),
        (
            "smtp://smtp.example.com",
            "smtp.example.com",
            587,
            MailTls::Required,
        ),
        (
            "SMTP://smtp.example.com:25/",
            "smtp.example.com",
            25,
            MailTls::Required,
        ),
        ("smtp://localhost:1025", "localhost", 1025, MailTls::None),
        ("smtps://[::1]:465", "::1", 465, MailTls::Wrapped),
    ] {
        let channel = channel(&format!(
            "kind: mail, server: '{server}', from: a@example.com, to: b@example.com"
        ));
        let Way::Mail(mail) = channel.way else {
            panic!("{server}: {channel:?}");
        };
        assert_eq!(
            (mail.host.as_str(), mail.port, mail.tls),
            (host, port, tls),
            "{server}"
        );
        assert_eq!(mail.to, ["b@example.com"]);
    }
}

#[test]
fn what_a_kind_lacks_or_has_too_much_is_said() {
    for (keys, said) in [
        ("url: { env: HOOK }", "has no `kind`"),
        ("kind: slack", "has no `url`, which `kind: slack` needs"),
        ("kind: mail, from: a@b.c, to: [a@b.c]", "has no `server`"),
        (
            "kind: slack, url: { env: X }, secret: { env: Y }",
            "`kind: slack` has no `secret`",
        ),
        (
            "kind: wecom, url: { env: X }, to: a@b.c",
            "`kind: wecom` has no `to`",
        ),
        (
            "kind: mattermost, url: { env: X }",
            "`kind` cannot be `mattermost`",
        ),
        (
            "kind: mail, server: smtp://h.example, from: a@b.c, to: a@b.c, user: me",
            "there is no `password`",
        ),
        (
            "kind: mail, server: smtp://h.example, from: a@b.c, to: a@b.c, proxy: none",
            "`kind: mail` has no `proxy`",
        ),
        ("kind: json, url: http://example.com", "plain http://"),
        (
            "kind: json, url: https://example.com, events: [faild]",
            "`events` cannot be `faild`",
        ),
        (
            "kind: json, url: https://example.com, events: []",
            "told of nothing",
        ),
        (
            "kind: json, url: https://example.com, digest: { timezone: UTC }",
            "has no `cron`",
        ),
        (
            "kind: json, url: https://example.com, collect: 2h",
            "at most 1h",
        ),
        (
            "kind: json, url: https://example.com, body: '{{ titel }}'",
            "the template of `body` makes nothing",
        ),
        (
            "kind: mail, server: smtp://h.example, from: 'A <a@b.c>', to: a@b.c",
            "is no mail address",
        ),
    ] {
        let text = with(&format!("notices: {{ c: {{ {keys} }} }}"), "");
        let loaded = check(&text);
        let found = loaded
            .problems
            .iter()
            .any(|problem| problem.message.contains(said));
        assert!(
            found && loaded.config.is_none(),
            "{keys}: {}",
            shown(&loaded)
        );
        assert_eq!(loaded.problems.len(), 1, "{keys}: {}", shown(&loaded));
    }
}

#[test]
fn a_name_or_a_heartbeat_that_is_given_in_two_files_is_said_with_both_places() {
    let one = with(
        "notices: { c: { kind: slack, url: { env: X } } }\nheartbeat: { url: https://example.com }",
        "",
    );
    let two = "notices: { c: { kind: slack, url: { env: Y } } }\nheartbeat: { url: https://example.org }\n";
    let loaded = check_files(&[("a.yaml", &one), ("b.yaml", two)]);
    let said = shown(&loaded);
    assert!(
        said.contains("the name `c` of a channel is given twice"),
        "{said}"
    );
    assert!(said.contains("`heartbeat` is given in two files"), "{said}");
    assert_eq!(said.matches("first given here").count(), 2, "{said}");
}

#[test]
fn what_an_entry_says_of_alarms_and_pings_is_read_and_may_stand_in_defaults() {
    let text = with(
        "defaults: { alarm: { no_success_for: 26h, not_started_within: 30m }, ping: { env: PING } }",
        "labels: [x]",
    );
    let config = check(&text).config.unwrap();
    let entry = config.entries.values().next().unwrap();
    let alarm = Alarm {
        no_success_for: Some(Duration::from_secs(26 * 3600)),
        not_started_within: Some(Duration::from_secs(1800)),
    };
    assert_eq!(entry.alarm, alarm);
    let url = Text::Secret(SecretRef::Env("PING".to_owned()));
    assert_eq!(entry.ping.as_ref().map(|ping| ping.url.clone()), Some(url));
}

#[test]
fn alarms_that_do_not_fit_their_entry_are_warned_of() {
    for (keys, said) in [
        (
            "alarm: { no_success_for: 20h }",
            "comes although all is well: from Wed 2026-11-25 02:00",
        ),
        ("alarm: { no_success_for: 24h }", "it is not due for 1d"),
        ("alarm: { no_success_for: 26h }", ""),
        (
            "alarm: { no_success_for: 26h }, cron: '0 2 * * 1-5'",
            "it is not due for 3d",
        ),
        ("alarm: { no_success_for: 74h }, cron: '0 2 * * 1-5'", ""),
        (
            "alarm: { no_success_for: 26h }, follow: false",
            "its runs are not followed",
        ),
        (
            "alarm: { not_started_within: 7h }",
            "longer than its `deadline`",
        ),
        ("alarm: { not_started_within: 30m }", ""),
        (
            "alarm: { not_started_within: 30m }, cron: '@manually'",
            "has no schedule",
        ),
    ] {
        let cron = if keys.contains("cron") {
            ""
        } else {
            ", cron: 0 2 * * *"
        };
        let text = format!(
            "{ACCOUNT}schedules: {{ e: {{ project_id: 54f90b75fc1447b1b65e8d3a9f77923d, pipeline_id: \
             e5460d1d403146a1935c2d4b68ef506c, {keys}{cron} }} }}"
        );
        let loaded = check(&text);
        assert!(loaded.config.is_some(), "{keys}: {}", shown(&loaded));
        let messages: Vec<&str> = loaded
            .problems
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        match said {
            "" => assert!(messages.is_empty(), "{keys}: {messages:?}"),
            said => assert!(
                messages.len() == 1 && messages[0].contains(said),
                "{keys}: {messages:?}"
            ),
        }
    }
}

#[test]
fn a_label_of_a_channel_that_no_entry_bears_is_warned_of() {
    let text = with(
        "notices: { c: { kind: slack, url: { env: X }, labels: [nightly, nigthly] } }",
        "labels: [nightly]",
    );
    let loaded = check(&text);
    let said = shown(&loaded);
    assert_eq!(loaded.problems.len(), 1, "{said}");
    assert!(
        said.contains("no entry bears the label `nigthly`"),
        "{said}"
    );
    assert!(said.contains("did you mean `nightly`?"), "{said}");
}

#[test]
fn the_readme_lists_the_kinds_and_the_events_that_there_are() {
    let readme = include_str!("../../README.md");
    let section = readme.split("## Notices").nth(1).unwrap();
    let rows = |head: &str| -> Vec<&str> {
        let table = section.split(head).nth(1).unwrap();
        let rows = table
            .lines()
            .skip(2)
            .take_while(|line| line.starts_with('|'));
        rows.map(|row| row.split('|').nth(1).unwrap()).collect()
    };
    let words = |rows: Vec<&str>| -> Vec<String> {
        let words = rows.iter().flat_map(|row| row.split(','));
        words
            .map(|word| word.trim().trim_matches('`').to_owned())
            .collect()
    };
    let topics: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
    assert_eq!(words(rows("| event | when |")), topics);
    let schema = pipecron::config::schema(&[]);
    let kinds = schema
        .pointer("/definitions/Channel/properties/kind/enum")
        .unwrap();
    let kinds = kinds
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|kind| kind.as_str());
    let mut kinds: Vec<&str> = kinds.collect();
    let mut said = words(rows("| kind | needs | and |"));
    kinds.sort_unstable();
    said.sort_unstable();
    assert_eq!(said, kinds);
}
