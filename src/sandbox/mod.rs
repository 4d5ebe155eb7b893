//! A stand-in for CodeArts Pipeline, IAM and the instance metadata service on this machine, written from their
//! documentation: to rehearse a configuration without an account, and to test against.
//!
//! It checks signatures, tokens and bodies more strictly than the service may, keeps runs that proceed and end, and
//! can be told to fail in every way that a client has to live with (see [`faults`]).
//!
//! [`Service`] is the heart: a request and the time go in, what becomes of the request comes out. [`Sandbox`] is a
//! thin shell of sockets round it. What it refuses: to listen beyond this machine, to keep more than its limits say,
//! to wait for a client for ever, and to start anything real.
//!
//! What the documentation leaves open was decided so, mostly for the side that is harder on a client:
//!
//! - A queued run is neither listed nor has details until it begins (`Settings::queued_listed`).
//! - A list gives 10 rows if not asked for a number, and never more than 100; times in a filter mean the start of a run,
//!   both ends included, and are milliseconds, or a text in UTC.
//! - A missing or unreadable body is answered 400 `PARSE_REQUEST_DATA_EXCEPTION`; a wrong one 200 `DEVCP.00014004`; a
//!   wrong id in a path or a wrong query 400 `DEVCP.00021400`. A null is as wrong as any other type.
//! - A pipeline that nobody set up takes every stage, job and variable, shows none of them, and belongs to the project that
//!   started it first.
//! - A start of a disabled pipeline is refused with a code of our own, `SANDBOX.BANNED`: the real one is not known.
//! - Every run says that it was started by `Manual`, whatever `event_type` says.
//! - A token that is not scoped to a project is refused as one to be renewed.
//! - `X-Project-Id` is not looked at.

mod answers;
mod body;
mod call;
mod control;
pub mod declared;
mod desk;
mod dice;
pub mod faults;
mod gate;
mod guide;
mod iam;
mod log;
mod lookup;
mod manual;
pub mod message;
mod rule;
pub mod run;
mod server;
mod service;
pub mod settings;
mod show;
mod store;
#[cfg(test)]
mod tests;

pub use call::Call;
pub use faults::{Fault, FaultRule};
pub use guide::Guide;
pub use log::{RequestRecord, Requests};
pub use manual::faults as faults_manual;
pub use rule::FaultError;
pub use run::{Run, RunStatus};
pub use server::{Sandbox, StartError};
pub use service::Service;
pub use settings::{
    SANDBOX_AK, SANDBOX_DOMAIN, SANDBOX_PASSWORD, SANDBOX_SK, SANDBOX_USER, Settings,
};
