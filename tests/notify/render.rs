//! What is written for each way.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pipecron::config::notices::{Mail, MailTls};
use pipecron::domain::notice::Message;
use pipecron::notify::render::{self, Post};
use secrecy::SecretString;
use serde_json::Value;

use crate::messages::{all, digest, hostile, many_failures, one_failure, recovered, told};

fn url() -> SecretString {
    SecretString::from("https://chat.example/hook/0123456789abcdef")
}

type Writer = fn(&Message) -> Post;

/// Every way of posting, without signatures.
const WRITERS: [(&str, Writer); 5] = [
    ("json", |message| {
        render::json(told(message), "https://chat.example/", None, None, None).unwrap()
    }),
    ("slack", |message| render::slack(told(message), &url())),
    ("feishu", |message| {
        render::feishu(told(message), &url(), None)
    }),
    ("dingtalk", |message| {
        render::dingtalk(told(message), &url(), None)
    }),
    ("wecom", |message| render::wecom(told(message), &url())),
];

/// What a person reads of a post; what only frames it stands before.
fn shown(way: &str, post: &Post) -> String {
    let mut body: Value = serde_json::from_str(&post.body).unwrap();
    let text = match way {
        "slack" => body["text"].take(),
        "dingtalk" => body["markdown"]["text"].take(),
        "wecom" => body["markdown"]["content"].take(),
        _ => return serde_json::to_string_pretty(&body).unwrap(),
    };
    format!("{body}\n\n{}\n", text.as_str().unwrap())
}

fn snapshot(way: &str, message: &Message) -> String {
    let (_, write) = WRITERS.iter().find(|(name, _)| *name == way).unwrap();
    shown(way, &write(message))
}

#[test]
fn slack_is_told() {
    insta::assert_snapshot!("slack_one", snapshot("slack", &one_failure()));
    insta::assert_snapshot!("slack_many", snapshot("slack", &many_failures()));
    insta::assert_snapshot!("slack_digest", snapshot("slack", &digest()));
    insta::assert_snapshot!("slack_hostile", snapshot("slack", &hostile()));
    insta::assert_snapshot!("slack_recovered", snapshot("slack", &recovered()));
}

#[test]
fn dingtalk_is_told() {
    insta::assert_snapshot!("dingtalk_one", snapshot("dingtalk", &one_failure()));
    insta::assert_snapshot!("dingtalk_many", snapshot("dingtalk", &many_failures()));
    insta::assert_snapshot!("dingtalk_digest", snapshot("dingtalk", &digest()));
    insta::assert_snapshot!("dingtalk_hostile", snapshot("dingtalk", &hostile()));
}

#[test]
fn wecom_is_told() {
    insta::assert_snapshot!("wecom_one", snapshot("wecom", &one_failure()));
    insta::assert_snapshot!("wecom_many", snapshot("wecom", &many_failures()));
    insta::assert_snapshot!("wecom_digest", snapshot("wecom", &digest()));
    insta::assert_snapshot!("wecom_hostile", snapshot("wecom", &hostile()));
}

#[test]
fn feishu_is_told() {
    insta::assert_snapshot!("feishu_one", snapshot("feishu", &one_failure()));
    insta::assert_snapshot!("feishu_many", snapshot("feishu", &many_failures()));
    insta::assert_snapshot!("feishu_hostile", snapshot("feishu", &hostile()));
}

#[test]
fn our_own_json_is_told() {
    insta::assert_snapshot!("json_one", snapshot("json", &one_failure()));
    let mut short = digest();
    short.digest.as_mut().unwrap().rows.truncate(2);
    short.digest.as_mut().unwrap().left_out = 41;
    insta::assert_snapshot!("json_digest", snapshot("json", &short));
}

pub(crate) fn a_mail() -> Mail {
    Mail {
        host: "127.0.0.1".to_owned(),
        port: 25,
        tls: MailTls::None,
        login: None,
        from: "pipecron <pipecron@ci.example>".to_owned(),
        to: vec![
            "Nightly Watch <watch@ci.example>".to_owned(),
            "ops@ci.example".to_owned(),
        ],
    }
}

/// A mail with its parts decoded, as a reader shows them; its headers stay as they are sent.
fn mail(message: &Message) -> String {
    let letter = render::mail(told(message), "ops", &a_mail()).unwrap();
    let text = String::from_utf8(letter.bytes)
        .unwrap()
        .replace("\r\n", "\n");
    let mut shown = String::new();
    for (index, part) in text.split("\n--=").enumerate() {
        if index > 0 {
            shown.push_str("\n--=");
        }
        let (head, body) = part.split_once("\n\n").unwrap_or((part, ""));
        shown.push_str(head);
        shown.push_str("\n\n");
        if head.contains("quoted-printable") {
            shown.push_str(&decoded(body));
        } else if head.contains("base64") {
            let bytes = BASE64_STANDARD.decode(body.replace('\n', "")).unwrap();
            shown.push_str(&String::from_utf8(bytes).unwrap());
        } else {
            shown.push_str(body);
        }
    }
    shown
}

fn decoded(text: &str) -> String {
    let text = text.replace("=\n", "");
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'=' {
            let hex = std::str::from_utf8(&after[..2]).unwrap();
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn mail_is_written() {
    insta::assert_snapshot!("mail_one", mail(&one_failure()));
    insta::assert_snapshot!("mail_many", mail(&many_failures()));
    insta::assert_snapshot!("mail_digest", mail(&digest()));
    insta::assert_snapshot!("mail_hostile", mail(&hostile()));
}

#[test]
fn a_mail_is_the_same_when_it_is_sent_again_and_another_when_it_tells_something_else() {
    let id = |channel: &str, message: &Message| {
        let letter = render::mail(told(message), channel, &a_mail()).unwrap();
        let text = String::from_utf8(letter.bytes).unwrap();
        let line = text.lines().find(|line| line.starts_with("Message-ID:"));
        line.unwrap().to_owned()
    };
    let first = id("ops", &one_failure());
    assert_eq!(first, id("ops", &one_failure()));
    assert_ne!(first, id("dev", &one_failure()));
    assert_ne!(first, id("ops", &recovered()));
}

#[test]
fn nothing_from_outside_becomes_a_header_of_a_mail() {
    let letter = render::mail(told(&hostile()), "ops", &a_mail()).unwrap();
    let text = String::from_utf8(letter.bytes).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    let names: Vec<&str> = head
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    let wanted = [
        "From",
        "Subject",
        "Date",
        "Message-ID",
        "To",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "MIME-Version",
        "Content-Type",
    ];
    assert_eq!(names, wanted, "{head}");
    assert_eq!(letter.envelope.to().len(), 2);
}

#[test]
fn an_address_that_is_none_is_told() {
    let mut broken = a_mail();
    broken.to.push("nobody".to_owned());
    let why = render::mail(told(&one_failure()), "ops", &broken).unwrap_err();
    assert!(why.starts_with("\"nobody\" is no mail address"), "{why}");
}

/// The limits of the services, on messages of every size up to the largest that are made.
#[test]
fn no_message_is_too_long_for_its_service() {
    for (name, message) in all().into_iter().chain(sizes()) {
        let of = |way: &str| -> Value {
            let (_, write) = WRITERS.iter().find(|(known, _)| *known == way).unwrap();
            serde_json::from_str(&write(&message).body).unwrap()
        };
        let slack = of("slack")["text"].as_str().unwrap().chars().count();
        assert!(slack <= 4_000, "{name}: {slack} characters for Slack");
        let wecom = of("wecom")["markdown"]["content"].as_str().unwrap().len();
        assert!(wecom <= 4_096, "{name}: {wecom} bytes for WeCom");
        let dingtalk = of("dingtalk").to_string().len();
        assert!(dingtalk <= 20_000, "{name}: {dingtalk} bytes for DingTalk");
        let feishu = of("feishu").to_string().len();
        assert!(feishu <= 20_000, "{name}: {feishu} bytes for Feishu");
    }
}

/// A hostile group, forty times over.
fn sizes() -> impl Iterator<Item = (&'static str, Message)> {
    let mut large = hostile();
    let group = large.groups[0].clone();
    (0..40).map(move |_| {
        large.groups.push(group.clone());
        ("many hostile groups", large.clone())
    })
}

/// What is told, what is counted and what is left out are together what happened; and no cause goes under because there
/// is much of another.
#[test]
fn what_is_left_out_is_counted() {
    let message = many_failures();
    for (way, write) in WRITERS.into_iter().filter(|(way, _)| *way != "json") {
        let text = write(&message).body.replace("\\n", " ");
        let text = text.replace(&message.title(), "");
        let listed = (0..20).filter(|n| text.contains(&format!("app-{n:03}")));
        let account = usize::from(text.contains("account prod"));
        let numbers = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        let words: Vec<&str> = numbers.filter(|word| !word.is_empty()).collect();
        let counted = words.windows(2).filter(|pair| pair[1] == "more");
        let counted: usize = counted.map(|pair| pair[0].parse::<usize>().unwrap()).sum();
        assert_eq!(account, 1, "{way}: {text}");
        assert_eq!(listed.count() + account + counted, 304, "{way}: {text}");
    }
}

/// Of what somebody else wrote nothing is left that the service would take for more than letters.
#[test]
fn nothing_from_outside_links_or_mentions() {
    let message = hostile();
    let body = |way: &str| -> Value {
        let (_, write) = WRITERS.iter().find(|(known, _)| *known == way).unwrap();
        serde_json::from_str(&write(&message).body).unwrap()
    };
    let slack = body("slack")["text"].as_str().unwrap().to_owned();
    assert!(!slack.contains(['<', '@']), "{slack}");
    for text in [
        body("dingtalk")["markdown"]["text"].as_str().unwrap(),
        body("dingtalk")["markdown"]["title"].as_str().unwrap(),
        body("wecom")["markdown"]["content"].as_str().unwrap(),
    ] {
        assert!(!text.contains(['<', '@', '[', ']', '`', '|']), "{text}");
    }
    let feishu = body("feishu").to_string();
    assert!(
        !feishu.contains("<at") && !feishu.contains("\"href\""),
        "{feishu}"
    );
    for (way, write) in WRITERS.into_iter().filter(|(way, _)| *way != "json") {
        let text = write(&message).body;
        assert!(
            !text.contains(['\u{202e}', '\u{1b}', '\r']),
            "{way}: {text}"
        );
    }
}
