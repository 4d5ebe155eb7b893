//! A stand-in for CodeArts Pipeline, IAM and the instance metadata service on this machine, written from their
//! documentation: to rehearse a configuration without an account, and to test against.
//!
//! It checks signatures, tokens and bodies more strictly than the service may, keeps runs that proceed and end, and
//! can be told to fail in every way that a client has to live with (see [`faults`]). What the documentation leaves
//! open is a setting or is said where it is decided.
//!
//! [`Service`] is the heart: a request and the time go in, what becomes of the request comes out. [`Sandbox`] is a
//! thin shell of sockets round it. What it refuses: to listen beyond this machine, to keep more than its limits say,
//! to wait for a client for ever, and to start anything real.

mod answers;
mod body;
mod call;
mod control;
mod desk;
mod dice;
pub mod faults;
mod gate;
mod guide;
mod iam;
mod log;
mod lookup;
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
pub use rule::FaultError;
pub use run::{Run, RunStatus};
pub use server::{Sandbox, StartError};
pub use service::Service;
pub use settings::{
    SANDBOX_AK, SANDBOX_DOMAIN, SANDBOX_PASSWORD, SANDBOX_SK, SANDBOX_USER, Settings,
};
