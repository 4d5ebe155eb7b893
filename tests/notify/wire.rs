//! What goes over the wire, and what becomes of it when the other side misbehaves.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pipecron::config::notices::{Channel, Ping, Way};
use pipecron::config::{NO_PROXY, Text};
use pipecron::domain::notice::{Signal, Topic};
use pipecron::domain::request::SecretRef;
use pipecron::notify::{Deliver, Undelivered};

use crate::messages::one_failure;
use crate::stub::{Reply, Stub, notifier, ok};

/// What must be in no error.
const KEY: &str = "hidden0123456789abcdef";

fn kept(directory: &Path, name: &str, secret: &str) -> SecretRef {
    let path = directory.join(name);
    fs::write(&path, secret).unwrap();
    SecretRef::File(path)
}

pub(crate) fn channel(way: Way) -> Channel {
    Channel {
        name: "ops".to_owned(),
        way,
        topics: Topic::ALL.to_vec(),
        labels: Vec::new(),
        collect: Duration::ZERO,
        messages_per_hour: 10,
        digest: None,
        proxy: Some(NO_PROXY.to_owned()),
        ca_file: None,
    }
}

fn json(url: &str) -> Channel {
    channel(Way::Json {
        url: Text::Plain(url.to_owned()),
        secret: None,
        token: None,
        body: None,
    })
}

/// A channel of every way that posts, whose address and secrets hold [`KEY`].
fn every_way(directory: &Path, origin: &str) -> [Channel; 5] {
    let url = kept(
        directory,
        "url",
        &format!("{origin}/robot/{KEY}?access_token={KEY}"),
    );
    let secret = Some(kept(directory, "secret", KEY));
    [
        channel(Way::Json {
            url: Text::Secret(url.clone()),
            secret: secret.clone(),
            token: secret.clone(),
            body: None,
        }),
        channel(Way::Slack { url: url.clone() }),
        channel(Way::Feishu {
            url: url.clone(),
            secret: secret.clone(),
        }),
        channel(Way::DingTalk {
            url: url.clone(),
            secret,
        }),
        channel(Way::WeCom { url }),
    ]
}

async fn undelivered(channel: &Channel) -> Undelivered {
    let outcome = notifier().deliver(channel, &one_failure()).await;
    outcome.unwrap_err()
}

#[tokio::test]
async fn a_message_arrives_by_every_way() {
    let directory = tempfile::tempdir().unwrap();
    let everything_well = "{\"code\":0,\"errcode\":0,\"ok\":true}";
    let origin = Stub::new(ok(everything_well)).await;
    for channel in every_way(directory.path(), &origin.url) {
        let stub = Stub::new(ok(everything_well)).await;
        let mine = kept(
            directory.path(),
            "url",
            &format!("{}/robot/{KEY}?access_token={KEY}", stub.url),
        );
        assert!(matches!(mine, SecretRef::File(_)));
        notifier().deliver(&channel, &one_failure()).await.unwrap();
        let seen = stub.only();
        let target = format!("/robot/{KEY}?access_token={KEY}");
        assert!(seen.target.starts_with(&target), "{seen:?}");
        assert_eq!(
            seen.header("content-type"),
            Some("application/json; charset=utf-8")
        );
        assert!(
            seen.header("user-agent").unwrap().starts_with("pipecron/"),
            "{seen:?}"
        );
        assert!(seen.body.contains("app-nightly"), "{seen:?}");
        let is_ours = matches!(channel.way, Way::Json { .. });
        let bearer = format!("Bearer {KEY}");
        assert_eq!(
            seen.header("authorization"),
            is_ours.then_some(bearer.as_str())
        );
        assert_eq!(seen.header("x-pipecron-signature").is_some(), is_ours);
    }
    assert_eq!(origin.count(), 0, "a secret was not read at its delivery");
}

/// Every way of failing, of every way that posts: what is told has neither the key nor the path, and says who it was.
#[tokio::test]
async fn no_failure_tells_a_secret() {
    let directory = tempfile::tempdir().unwrap();
    let echo = format!("nothing at /robot/{KEY}?access_token={KEY}");
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let location: &'static str =
        "Location: https://other.example/hidden0123456789abcdef\r\nRetry-After: 5\r\n";
    let replies = [
        Reply::Http(400, "", echo.clone()),
        Reply::Http(
            200,
            "",
            format!(
                "{{\"errcode\":1,\"code\":1,\"ok\":false,\"error\":\"{KEY}\",\"errmsg\":\"{KEY}\",\"msg\":\"{KEY}\"}}"
            ),
        ),
        Reply::Http(500, "", echo),
        Reply::Http(302, location, String::new()),
        Reply::Bytes(b""),
        Reply::Bytes(b"HTTP/1.1 500 No\r\nContent-Length: 100\r\n\r\nhidden0123456789"),
        Reply::Bytes(b"hidden0123456789abcdef\r\n\r\n"),
    ];
    let mut origins = vec![
        closed,
        "http://chat.example".to_owned(),
        "ftp://127.0.0.1".to_owned(),
    ];
    for reply in replies {
        origins.push(Stub::new(reply).await.url);
    }
    for origin in origins {
        for channel in every_way(directory.path(), &origin) {
            let kind = channel.way.kind();
            let Err(undelivered) = notifier().deliver(&channel, &one_failure()).await else {
                assert_eq!(
                    kind, "json",
                    "{origin}: only our own receivers answer 200 and mean it"
                );
                continue;
            };
            let told = format!("{undelivered:?} {undelivered}");
            for part in ["hidden", "0123456789", "robot", "access_token"] {
                assert!(!told.contains(part), "{kind} {origin}: {told}");
            }
            let is_named = told.contains(&origin) || told.contains("the address must begin");
            assert!(is_named, "{kind} {origin}: {told}");
        }
    }
}

#[tokio::test]
async fn what_the_other_side_does_decides_whether_it_may_pass() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let refused = undelivered(&json(&closed)).await;
    assert!(refused.may_pass, "{refused:?}");
    assert!(
        refused
            .why
            .starts_with(&format!("{closed} cannot be reached: ")),
        "{refused:?}"
    );
    let rows = [
        (Reply::Bytes(b""), true, None, "cannot be reached: "),
        (
            Reply::Bytes(b"nonsense\r\n\r\n"),
            true,
            None,
            "cannot be reached: ",
        ),
        (
            Reply::Http(429, "Retry-After: 7\r\n", "slow down".to_owned()),
            true,
            Some(7),
            "answered HTTP 429: slow down",
        ),
        (
            // A minute after the clock of the test.
            Reply::Http(
                503,
                "Retry-After: Tue, 24 Nov 2026 18:21:05 GMT\r\n",
                String::new(),
            ),
            true,
            Some(60),
            "answered HTTP 503",
        ),
        (
            Reply::Http(503, "Retry-After: 999999999\r\n", String::new()),
            true,
            Some(3600),
            "answered HTTP 503",
        ),
        (
            Reply::Http(302, "Location: https://other.example/\r\n", String::new()),
            false,
            None,
            "answered HTTP 302, a redirect, which is not followed: give the address that it leads to",
        ),
        (
            Reply::Http(404, "", "gone".to_owned()),
            false,
            None,
            "answered HTTP 404: gone",
        ),
        (
            Reply::Bytes(b"HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\nno"),
            false,
            None,
            "answered HTTP 401: an answer that could not be read: it broke off: ",
        ),
    ];
    for (reply, may_pass, wait, why) in rows {
        let stub = Stub::new(reply.clone()).await;
        let told = undelivered(&json(&stub.url)).await;
        assert_eq!(told.may_pass, may_pass, "{reply:?}: {told:?}");
        assert_eq!(
            told.retry_after.map(|wait| wait.as_secs()),
            wait,
            "{told:?}"
        );
        let expected = format!("{} {why}", stub.url);
        assert!(told.why.starts_with(&expected), "{told:?}");
        assert_eq!(stub.count(), 1, "{reply:?} was asked again");
    }
}

/// The time is the test's: it passes when nothing else happens.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_says_nothing_is_given_up() {
    let stub = Stub::new(Reply::Stall).await;
    let told = undelivered(&json(&stub.url)).await;
    assert!(told.may_pass, "{told:?}");
    assert!(
        told.why
            .starts_with(&format!("{} did not answer in time", stub.url)),
        "{told:?}"
    );
}

#[tokio::test]
async fn an_answer_without_end_is_not_read_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let stub = Stub::new(Reply::Endless).await;
    notifier()
        .deliver(&json(&stub.url), &one_failure())
        .await
        .unwrap();
    let url = kept(directory.path(), "url", &stub.url);
    let told = undelivered(&channel(Way::WeCom { url })).await;
    assert_eq!(
        told.why,
        format!(
            "{} answered HTTP 200, but does not say whether the message arrived: it has more than 65536 bytes",
            stub.url
        )
    );
}

#[tokio::test]
async fn an_address_is_refused_before_anything_is_sent() {
    let rows = [
        (
            "http://chat.example/x",
            "the address must begin with https://: plain http is only for this machine",
        ),
        (
            "http://localhost.example/x",
            "the address must begin with https://: plain http is only for this machine",
        ),
        ("file:///etc/passwd", "the address must begin with https://"),
        (
            "https://user:pass@chat.example/",
            "the address must not hold a user or a password; give a token instead",
        ),
        (
            "chat.example/x",
            "the address is none (relative URL without a base); it must be like https://HOST/PATH",
        ),
    ];
    for (url, why) in rows {
        let told = undelivered(&json(url)).await;
        assert_eq!((told.why.as_str(), told.may_pass), (why, false), "{url}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_told() {
    let stub = Stub::new(ok("")).await;
    let gone = SecretRef::File(PathBuf::from("/nonexistent/secret"));
    let told = undelivered(&channel(Way::Slack { url: gone })).await;
    assert!(told.may_pass, "{told:?}");
    assert!(
        told.why
            .starts_with("cannot read the secret in the file /nonexistent/secret: "),
        "{told:?}"
    );
    let mut proxied = json("https://chat.example/");
    proxied.proxy = Some("socks5://user:hidden@proxy.example:1080".to_owned());
    let told = undelivered(&proxied).await;
    assert_eq!(
        told.why,
        "the channel's proxy is not usable: it must be http://HOST:PORT or https://HOST:PORT"
    );
    let mut trusting = json(&stub.url);
    trusting.ca_file = Some(PathBuf::from("/nonexistent/ca.pem"));
    let told = undelivered(&trusting).await;
    assert!(
        told.why
            .contains("cannot read the CA file /nonexistent/ca.pem: "),
        "{told:?}"
    );
    let directory = tempfile::tempdir().unwrap();
    let torn = kept(directory.path(), "token", "two\nlines");
    let told = undelivered(&channel(Way::Json {
        url: Text::Plain(stub.url.clone()),
        secret: None,
        token: Some(torn),
        body: None,
    }))
    .await;
    assert!(told.why.contains("the header Authorization"), "{told:?}");
    assert!(!told.may_pass, "{told:?}");
    assert_eq!(stub.count(), 0);
}

/// By the conventions of healthchecks.io; the query of an address stays at its end.
#[tokio::test]
async fn a_signal_goes_where_its_name_leads() {
    let rows = [
        ("/uuid", Signal::Start, "/uuid/start"),
        ("/uuid", Signal::Success, "/uuid"),
        ("/uuid", Signal::Fail, "/uuid/fail"),
        ("/uuid/", Signal::Fail, "/uuid/fail"),
        (
            "/key/slug?create=1",
            Signal::Start,
            "/key/slug/start?create=1",
        ),
        ("/key/slug?create=1", Signal::Success, "/key/slug?create=1"),
    ];
    for (path, signal, target) in rows {
        let stub = Stub::new(ok("OK")).await;
        let ping = Ping {
            url: Text::Plain(format!("{}{path}", stub.url)),
        };
        notifier()
            .ping(&ping, signal, "run 1 failed")
            .await
            .unwrap();
        let seen = stub.only();
        assert_eq!(seen.target, target, "{path} {signal:?}");
        assert_eq!(seen.body, "run 1 failed");
        assert_eq!(
            seen.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }
}

#[tokio::test]
async fn a_signal_carries_no_more_than_is_kept_of_it() {
    let stub = Stub::new(ok("OK")).await;
    let ping = Ping {
        url: Text::Plain(format!("{}/{KEY}", stub.url)),
    };
    let body = format!("x{}", "长".repeat(5_000));
    notifier().ping(&ping, Signal::Fail, &body).await.unwrap();
    let seen = stub.only();
    assert!(
        seen.body.len() <= 10_000 && seen.body.len() > 9_990,
        "{}",
        seen.body.len()
    );
    assert!(body.starts_with(&seen.body));
}

#[tokio::test]
async fn a_switch_that_nobody_knows_is_told_without_its_address() {
    for (reply, may_pass, why) in [
        (
            ok("OK (not found)"),
            false,
            "knows no check at this address; look whether it was deleted",
        ),
        (
            ok("OK (rate limited)"),
            true,
            "got too many signals for this check",
        ),
        (
            Reply::Http(404, "", format!("no check {KEY}")),
            false,
            "answered HTTP 404: no check ***",
        ),
    ] {
        let stub = Stub::new(reply).await;
        let ping = Ping {
            url: Text::Plain(format!("{}/{KEY}", stub.url)),
        };
        let outcome = notifier().ping(&ping, Signal::Success, "").await;
        let told = outcome.unwrap_err();
        assert_eq!(told.why, format!("{} {why}", stub.url));
        assert_eq!(told.may_pass, may_pass);
    }
}
