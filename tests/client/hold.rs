//! A stop while requests wait: what never left is not in doubt, what has left is waited for.

use std::sync::Arc;
use std::time::Duration;

use pipecron::codearts::CodeArts;
use pipecron::codearts::http::Client;
use pipecron::config::Account;
use pipecron::domain::sighting::{Find, PipelineAt, Sighting};
use pipecron::domain::{Answer, AnswerKind};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::frozen::{Frozen, until};
use crate::stub::{
    PIPELINE, PROJECT, RUN, Reply, Stub, Vault, account, accounts, ask, client, epoch, name, start,
    started,
};

fn send(client: &Client) -> JoinHandle<Answer> {
    let client = client.clone();
    tokio::spawn(async move { client.start(start("t")).await })
}

/// Holds back what waits, and sees it answered without a moment's delay.
async fn held_back(client: &Client, waits: JoinHandle<Answer>) {
    assert!(!waits.is_finished());
    client.hold_back();
    let answer = waits.await.unwrap();
    assert_eq!(answer.kind, AnswerKind::KeptHere, "{}", answer.message);
    assert!(
        answer.message.contains("being stopped"),
        "{}",
        answer.message
    );
}

#[tokio::test]
async fn a_start_that_waits_for_its_turn_is_held_back() {
    let vault = Vault::new();
    let stub = Stub::new(|_| started()).await;
    let _time = Frozen::new();
    let client = client(Account {
        requests_per_second: 1,
        ..account(&stub.url, vault.keys())
    });
    assert_eq!(ask(&client, "first").await.kind.name(), "started");
    let waits = send(&client);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    held_back(&client, waits).await;
    assert_eq!(stub.seen().len(), 1);
}

#[tokio::test]
async fn a_start_that_waits_for_credentials_is_held_back() {
    let vault = Vault::new();
    let stub = Stub::new(|_| Reply::Stall).await;
    let _time = Frozen::new();
    let client = client(account(&stub.url, vault.password("p")));
    let waits = send(&client);
    until("the token is asked for", || stub.tokens().len() == 1).await;
    held_back(&client, waits).await;
    assert_eq!(stub.seen().len(), 1);
}

/// Whether somebody here waits for a connection to that port.
fn is_connecting_to(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (to, syn_sent) = (format!("0100007F:{port:04X}"), "02");
    sockets.lines().any(|line| {
        let mut words = line.split_whitespace().skip(2);
        words.next() == Some(&to) && words.next() == Some(syn_sent)
    })
}

#[tokio::test]
async fn a_start_that_waits_for_a_connection_is_held_back() {
    let vault = Vault::new();
    // Nobody accepts, and when a few wait the others are not even heard.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut crowd = Vec::new();
    while !is_connecting_to(address.port()) {
        crowd.push(tokio::spawn(TcpStream::connect(address)));
        tokio::task::yield_now().await;
    }
    let _time = Frozen::new();
    let client = client(account(&format!("http://{address}"), vault.keys()));
    let waits = send(&client);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    held_back(&client, waits).await;
}

#[tokio::test]
async fn what_waits_for_tls_is_held_back_a_stop_of_a_run_as_well() {
    let vault = Vault::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", silent.local_addr().unwrap());
    let _time = Frozen::new();
    let client = client(account(&url, vault.keys()));
    let waits = send(&client);
    let (_first, _) = silent.accept().await.unwrap();
    let stops = {
        let client = client.clone();
        tokio::spawn(async move { client.stop(at(), RUN.to_owned(), None).await })
    };
    let (_second, _) = silent.accept().await.unwrap();
    assert!(!stops.is_finished());
    held_back(&client, waits).await;
    let answer = stops.await.unwrap().unwrap_err();
    assert_eq!(answer.kind, AnswerKind::KeptHere, "{}", answer.message);
}

fn at() -> PipelineAt {
    PipelineAt {
        account: name(),
        project_id: PROJECT.to_owned(),
        pipeline_id: PIPELINE.to_owned(),
    }
}

#[tokio::test]
async fn what_has_left_is_waited_for() {
    let vault = Vault::new();
    let told = Arc::new(Notify::new());
    let tell = Arc::clone(&told);
    let body = format!(r#"{{"pipeline_run_id":"{RUN}"}}"#);
    let stub = Stub::new(move |_| Reply::Later(Arc::clone(&told), body.clone())).await;
    let _time = Frozen::new();
    let client = client(account(&stub.url, vault.keys()));
    let waits = send(&client);
    until("the start arrives", || stub.runs().len() == 1).await;
    client.hold_back();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!waits.is_finished());
    tell.notify_one();
    let answer = waits.await.unwrap();
    assert_eq!(answer.kind.name(), "started", "{}", answer.message);
}

#[tokio::test]
async fn what_has_left_and_is_never_answered_is_in_doubt_all_the_same() {
    let vault = Vault::new();
    let stub = Stub::new(|_| Reply::Stall).await;
    let time = Frozen::new();
    let client = client(account(&stub.url, vault.keys()));
    let waits = send(&client);
    until("the start arrives", || stub.runs().len() == 1).await;
    client.hold_back();
    time.passes(Duration::from_secs(21)).await;
    assert_eq!(waits.await.unwrap().kind, AnswerKind::Doubtful);
}

#[tokio::test]
async fn a_look_is_given_up_and_not_taken_again() {
    let vault = Vault::new();
    let stub = Stub::new(|_| Reply::Stall).await;
    let _time = Frozen::new();
    let client = client(account(&stub.url, vault.keys()));
    let looks = {
        let client = client.clone();
        let find = Find {
            at: at(),
            marker: "[pipecron abcdefgh t]".to_owned(),
            since: epoch(),
            above: None,
        };
        tokio::spawn(async move { client.find(find).await })
    };
    until("the look arrives", || stub.seen().len() == 1).await;
    client.hold_back();
    assert!(matches!(looks.await.unwrap(), Sighting::Failed(_)));
    assert_eq!(stub.connections(), 1);
}

#[tokio::test]
async fn after_it_nothing_begins_not_even_with_other_accounts() {
    let vault = Vault::new();
    let stub = Stub::new(|_| started()).await;
    let account = account(&stub.url, vault.keys());
    let client = client(account.clone());
    assert_eq!(ask(&client, "before").await.kind.name(), "started");
    client.hold_back();
    assert_eq!(ask(&client, "after").await.kind, AnswerKind::KeptHere);
    client.use_accounts(&accounts(Account {
        request_timeout: Duration::from_secs(5),
        ..account
    }));
    assert_eq!(ask(&client, "later").await.kind, AnswerKind::KeptHere);
    assert!(client.under_way(at()).await.is_err());
    assert!(client.stop(at(), RUN.to_owned(), None).await.is_err());
    assert_eq!(stub.connections(), 1);
}
