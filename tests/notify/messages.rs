//! Messages as the daemon makes them, and as somebody hostile would like them.

use chrono::{DateTime, TimeDelta, Utc};
use pipecron::domain::notice::{
    Digest, DigestRow, Group, LISTED_MAX, Message, Notice, TEXT_CHARS_MAX, Topic,
};
use pipecron::domain::{AccountName, EntryName, TickId};
use pipecron::notify::render::Told;

pub(crate) const CONSOLE: &str = "https://devcloud.cn-north-4.huaweicloud.com/cicd/project/54f90b75fc1447b1b65e8d3a9f77923d/pipeline/detail/e5460d1d403146a1935c2d4b68ef506c";

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(crate) fn told(message: &Message) -> Told<'_> {
    Told {
        message,
        node: "build-7",
        now: at("2026-11-24T18:20:05Z"),
    }
}

pub(crate) fn notice(entry: &str, run: usize) -> Notice {
    let entry = EntryName::parse(entry).unwrap();
    let due = at("2026-11-24T18:00:00Z");
    let run = format!("ad6b7f66283a45be9c1f82b06c8{run:05x}");
    Notice {
        topic: Topic::Failed,
        at: due + TimeDelta::minutes(19),
        tick: Some(TickId::scheduled(&entry, due)),
        entry: Some(entry),
        account: None,
        due: Some(due),
        due_local: Some("2026-11-25 02:00 Asia/Shanghai".to_owned()),
        cause: "the run failed".to_owned(),
        text: "stage Build, job compile: the command ended with 2".to_owned(),
        run_page: Some(format!("{CONSOLE}/{run}")),
        run_id: Some(run),
    }
}

fn group(topic: Topic, count: u64, notices: Vec<Notice>) -> Group {
    Group {
        topic,
        cause: notices[0].cause.clone(),
        count,
        notices,
    }
}

pub(crate) fn message(groups: Vec<Group>) -> Message {
    Message {
        groups,
        left_out: 0,
        digest: None,
    }
}

pub(crate) fn one_failure() -> Message {
    message(vec![group(
        Topic::Failed,
        1,
        vec![notice("app-nightly", 1)],
    )])
}

/// 300 failures of one cause, and an account whose credentials are refused.
pub(crate) fn many_failures() -> Message {
    let listed = (0..LISTED_MAX).map(|n| notice(&format!("app-{n:03}"), n));
    let refused = Notice {
        topic: Topic::Credentials,
        entry: None,
        account: Some(AccountName::parse("prod").unwrap()),
        tick: None,
        due: None,
        due_local: None,
        cause: "HTTP 401 APIGW.0301".to_owned(),
        text: "Incorrect IAM authentication information: verify aksk signature fail".to_owned(),
        run_id: None,
        run_page: None,
        ..notice("app", 0)
    };
    Message {
        left_out: 3,
        ..message(vec![
            group(Topic::Failed, 300, listed.collect()),
            group(Topic::Credentials, 1, vec![refused]),
        ])
    }
}

/// 41 succeeded, one still runs, one failed.
pub(crate) fn digest() -> Message {
    let row = |n: usize| DigestRow {
        entry: EntryName::parse(&format!("nightly-{n:02}")).unwrap(),
        due_local: "02:00 Asia/Shanghai".to_owned(),
        outcome: "succeeded".to_owned(),
        is_trouble: false,
        duration_secs: Some(700 + 61 * i64::try_from(n).unwrap()),
        text: String::new(),
        run_id: Some(format!("{n:032x}")),
        run_page: Some(format!("{CONSOLE}/{n:032x}")),
    };
    let mut rows: Vec<DigestRow> = (0..43).map(row).collect();
    rows[0].outcome = "failed".to_owned();
    rows[0].is_trouble = true;
    rows[0].text = "stage Test, job unit: 3 of 1204 tests failed".to_owned();
    rows[1].outcome = "running".to_owned();
    rows[1].duration_secs = None;
    Message {
        digest: Some(Digest {
            since: at("2026-11-24T01:00:00Z"),
            until: at("2026-11-25T01:00:00Z"),
            answer: "41 of 43 nightlies succeeded, 1 running, 1 failed".to_owned(),
            is_good: false,
            rows,
            left_out: 0,
        }),
        ..Message::default()
    }
}

pub(crate) const HOSTILE: &str = "</td><script>alert(1)</script> @all @channel <!channel> <@U012AB3CD> <at id=all></at> \
    [click](https://evil.example/) ![x](https://evil.example/x.png) **bold** `code` # head\r\n# head\r\n\r\nBcc: a@b.example \
    \u{202e}desrever\u{1b}[31m \"quoted\" & <font color=\"info\">green</font> <https://evil.example/|run>";

/// What stands in it would be links, mentions, headings and headers, if it were taken for what it looks like.
pub(crate) fn hostile() -> Message {
    let one = Notice {
        cause: HOSTILE.to_owned(),
        text: format!("{HOSTILE} {}", "长".repeat(2 * TEXT_CHARS_MAX)),
        due_local: Some("2026-11-25 02:00 *Asia*/[Shanghai](x)".to_owned()),
        run_id: Some("<b>run</b>|x]".to_owned()),
        run_page: Some("javascript:alert(1)".to_owned()),
        ..notice("app-nightly", 1)
    };
    let other = Notice {
        run_page: Some("https://evil.example/)[x](https://evil.example/|>".to_owned()),
        ..one.clone()
    };
    message(vec![group(Topic::Failed, 2, vec![one, other])])
}

pub(crate) fn recovered() -> Message {
    let well = Notice {
        topic: Topic::Recovered,
        cause: "succeeded after 2 failures".to_owned(),
        text: String::new(),
        ..notice("app-nightly", 2)
    };
    message(vec![group(Topic::Recovered, 1, vec![well])])
}

/// All of them, with their names.
pub(crate) fn all() -> [(&'static str, Message); 5] {
    [
        ("one failure", one_failure()),
        ("300 failures", many_failures()),
        ("digest", digest()),
        ("hostile", hostile()),
        ("recovered", recovered()),
    ]
}
