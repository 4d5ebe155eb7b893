//! Many pipelines asked about: each once, within limits, and an account that cannot be asked only once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pipecron::codearts::http::Client;
use pipecron::config::Account;
use pipecron::domain::PipelineAt;
use pipecron::domain::pipeline::{Denial, Seen, Told};

use crate::stub::{PROJECT, Reply, Seen as Request, Stub, Vault, account, client, json, name};

fn wanted(count: usize) -> BTreeSet<PipelineAt> {
    let at = |number: usize| PipelineAt {
        account: name(),
        project_id: PROJECT.to_owned(),
        pipeline_id: format!("{number:032}"),
    };
    (0..count).map(at).collect()
}

/// The pipeline that a request asks for, as the service shows it.
fn shown(request: &Request) -> Reply {
    let id = request.target.rsplit('/').next().unwrap();
    json(200, format!(r#"{{"id":"{id}","name":"n"}}"#))
}

async fn ask(client: &Client, count: usize) -> (Told, usize) {
    let heard = AtomicUsize::new(0);
    let tell = || {
        heard.fetch_add(1, Ordering::Relaxed);
    };
    let told = client.show_pipelines(&wanted(count), &tell).await;
    (told, heard.load(Ordering::Relaxed))
}

fn how(told: &Told) -> [usize; 3] {
    let mut count = [0; 3];
    for seen in told.values() {
        let kind = match seen {
            Seen::Pipeline(_) => 0,
            Seen::Denied(..) => 1,
            Seen::Unknown(_) => 2,
        };
        count[kind] += 1;
    }
    count
}

#[tokio::test]
async fn each_pipeline_is_asked_about_once() {
    let vault = Vault::new();
    let stub = Stub::new(shown).await;
    let client = client(account(&stub.url, vault.keys()));
    let (told, heard) = ask(&client, 40).await;
    assert_eq!((how(&told), heard), ([40, 0, 0], 40));
    let targets: BTreeSet<String> = stub.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!((targets.len(), stub.seen().len()), (40, 40));
    assert!(stub.runs().is_empty());
}

#[tokio::test]
async fn refused_credentials_are_shown_once_and_no_more() {
    let vault = Vault::new();
    let stub =
        Stub::new(|_| json(401, r#"{"error_code":"APIGW.0301","error_msg":"bad key"}"#)).await;
    let client = client(account(&stub.url, vault.keys()));
    let (told, _) = ask(&client, 40).await;
    assert_eq!(how(&told), [0, 0, 40]);
    assert_eq!(stub.seen().len(), 1, "a key is locked after five");
    assert!(
        told.values()
            .all(|seen| matches!(seen, Seen::Unknown(why) if why.contains("bad key")))
    );
}

#[tokio::test]
async fn what_one_pipeline_is_refused_for_is_no_word_about_the_others() {
    let vault = Vault::new();
    let stub = Stub::new(|request| {
        if request.target.ends_with('0') {
            json(
                401,
                r#"{"error_code":"DEVCP.00021018","error_msg":"no right"}"#,
            )
        } else {
            shown(request)
        }
    })
    .await;
    let client = client(account(&stub.url, vault.keys()));
    let (told, _) = ask(&client, 20).await;
    assert_eq!(how(&told), [18, 2, 0]);
    let denied = told.values().next().unwrap();
    let expected = "no right (DEVCP.00021018)".to_owned();
    assert_eq!(*denied, Seen::Denied(Denial::NotAllowed, expected));
}

#[tokio::test]
async fn a_service_that_is_busy_is_asked_again_and_not_for_ever() {
    let vault = Vault::new();
    let throttled = || {
        let headers = vec![("Retry-After", "0".to_owned())];
        let body = r#"{"error_code":"APIGW.0308","error_msg":"slow down"}"#;
        Reply::Http(429, headers, body.to_owned())
    };
    let asked = AtomicUsize::new(0);
    let stub = Stub::new(move |request| match asked.fetch_add(1, Ordering::SeqCst) {
        1..=3 => throttled(),
        _ => shown(request),
    })
    .await;
    let (told, _) = ask(&client(account(&stub.url, vault.keys())), 12).await;
    assert_eq!(how(&told), [12, 0, 0], "{told:?}");
    let busy = Stub::new(move |_| throttled()).await;
    let (told, _) = ask(&client(account(&busy.url, vault.keys())), 12).await;
    assert_eq!(how(&told), [0, 0, 12]);
    assert!(busy.seen().len() <= 36, "{} requests", busy.seen().len());
}

#[tokio::test]
async fn what_is_no_answer_says_that_nobody_knows() {
    let vault = Vault::new();
    for reply in [
        || Reply::Close,
        || Reply::Endless,
        || json(200, "<html>"),
        || json(503, "{}"),
        || Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec()),
    ] {
        let stub = Stub::new(move |_| reply()).await;
        let patient = Account {
            request_timeout: Duration::from_secs(60),
            ..account(&stub.url, vault.keys())
        };
        let (told, _) = ask(&client(patient), 2).await;
        assert_eq!(how(&told), [0, 0, 2], "{told:?}");
        assert!(stub.seen().len() <= 12);
    }
    // Nobody listens: one attempt, for all of them.
    let (told, _) = ask(&client(account("http://127.0.0.1:1", vault.keys())), 30).await;
    assert_eq!(how(&told), [0, 0, 30]);
}
