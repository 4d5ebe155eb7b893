//! What only the ledger in memory has: faults on demand, and clones that share their rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pipecron::domain::{EntryState, Plan};
use pipecron::ledger::{Fault, HistoryQuery, Ledger, LedgerError, MemoryLedger};

use crate::world::*;

#[tokio::test(start_paused = true)]
async fn commits_fail_as_often_as_a_test_asks() {
    let ledger = MemoryLedger::new(clock());
    ledger.fail_commits(2, Fault::Full);
    // What has nothing to store does not count.
    assert_eq!(state(&ledger, "a").await, EntryState::default());
    let decided = Arc::new(AtomicU32::new(0));
    for _ in 0..2 {
        let decided = Arc::clone(&decided);
        let failed = ledger.decide(vec![entry("a")], move |now, _, _| {
            decided.fetch_add(1, Ordering::Relaxed);
            Plan {
                changes: plan([&tick("a", now)]).changes,
                ..set_mark(now)
            }
        });
        let error = failed.await.unwrap_err();
        assert_eq!(error.fault(), Some(Fault::Full));
        assert!(error.is_transient());
    }
    assert_eq!(decided.load(Ordering::Relaxed), 2, "decided, then lost");
    assert_eq!(state(&ledger, "a").await, EntryState::default());
    put(&ledger, &[tick("a", start())]).await;
    ledger.fail_commits(1, Fault::Io);
    assert!(ledger.prune(start()).await.is_err());
    ledger.fail_commits(1, Fault::Io);
    assert!(ledger.keep_config(String::new(), Vec::new()).await.is_err());
    ledger.keep_config(String::new(), Vec::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn reads_fail_as_often_as_a_test_asks() {
    let ledger = MemoryLedger::new(clock());
    ledger.fail_reads(2, Fault::Locked);
    let failed = ledger.history(HistoryQuery::default()).await;
    assert!(matches!(
        failed,
        Err(LedgerError::Failed {
            verb: "read",
            fault: Fault::Locked,
            ..
        })
    ));
    // A decision begins with reading.
    let failed = ledger.decide(vec![entry("a")], |_, _, _| panic!("nothing was read"));
    assert_eq!(failed.await.unwrap_err().fault(), Some(Fault::Locked));
    ledger.history(HistoryQuery::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn clones_share_their_rows_and_no_two_ledgers_an_id() {
    let ledger = MemoryLedger::new(clock());
    let next_life = ledger.clone();
    put(&ledger, &[tick("a", start())]).await;
    drop(ledger);
    assert_eq!(state(&next_life, "a").await.open, [tick("a", start())]);
    assert_ne!(next_life.id(), MemoryLedger::new(clock()).id());
}
