//! pipecron starts Huawei Cloud CodeArts Pipeline runs on schedule, each nightly exactly once.
//!
//! One idea carries everything: **decide, then do.** A pure core is told the time and what the ledger knows, and answers
//! what should happen and when to look again. A thin shell stores that, and carries it out.
//!
//! ```text
//! roof     main, cli                      arguments, runtime, exit code; one function a command
//! desk     control, page, teller                  who may ask the loop for what; what it shows to those who look
//! rooms    daemon                         the loop
//! hands    ledger, codearts::http, notify, sandbox, telemetry     each touches one part of the world
//! doors    os                             clock, signals, zone data, configuration and secret files
//! wire     codearts                       an ask to a request, a response to an answer; no IO
//! paper    config                         YAML text to checked settings and entries; no IO
//! brain    domain::plan                   the decisions; pure
//! nouns    domain                         what we talk about; pure
//! ground   domain::cron, calendar, schedule, zone, retry, request, template   one small question each; pure
//! ```
//!
//! A file uses only what lies on a lower floor; `tests/floors.rs` holds it to that. Why things are as they are stands in
//! [`notes`].

pub mod cli;
pub mod codearts;
pub mod config;
pub mod control;
pub mod daemon;
pub mod domain;
pub mod ledger;
pub mod notes;
pub mod notify;
pub mod os;
pub mod page;
pub mod sandbox;
pub mod telemetry;
pub mod teller;
