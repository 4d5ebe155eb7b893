//! One mail to one server, over a connection of its own.

use std::path::Path;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{AsyncTransport, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};

use super::render::Letter;
use super::wire::is_loopback;
use super::{CONNECT, Undelivered, WHOLE};
use crate::codearts::Mask;
use crate::config::notices::{Mail, MailTls};
use crate::os::tls::certificates;

/// A server, and who we are to it.
pub(super) struct Server {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    place: String,
    mask: Mask,
}

impl Server {
    /// Sets up the connection; makes none yet. Blocks while certificates are read.
    pub(super) fn new(
        mail: &Mail,
        login: Option<(SecretString, SecretString)>,
        node: &str,
        ca_file: Option<&Path>,
    ) -> Result<Self, Undelivered> {
        let host = mail.host.trim_start_matches('[').trim_end_matches(']');
        let scheme = match mail.tls {
            MailTls::Wrapped => "smtps",
            MailTls::Required | MailTls::None => "smtp",
        };
        let place = format!("{scheme}://{}:{}", mail.host, mail.port);
        let parameters = || tls(host, ca_file).map_err(|why| format!("{place}: {why}"));
        let tls = match mail.tls {
            MailTls::Wrapped => Tls::Wrapper(parameters().map_err(Undelivered::for_now)?),
            MailTls::Required => Tls::Required(parameters().map_err(Undelivered::for_now)?),
            MailTls::None if is_loopback(host) => Tls::None,
            MailTls::None => {
                return Err(Undelivered::for_good(format!(
                    "{place}: mail without TLS is only for this machine"
                )));
            }
        };
        let mut mask = Mask::none();
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(mail.port)
            .tls(tls)
            .timeout(Some(CONNECT))
            .hello_name(hello(node));
        if let Some((user, password)) = login {
            let (user, password) = (user.expose_secret(), password.expose_secret());
            // A server may repeat the line that it did not like.
            for secret in [
                password.to_owned(),
                super::render::base64(password.as_bytes()),
                super::render::base64(format!("\0{user}\0{password}").as_bytes()),
            ] {
                mask.hide(&secret);
            }
            builder = builder.credentials(Credentials::new(user.to_owned(), password.to_owned()));
        }
        Ok(Self {
            transport: builder.build(),
            place,
            mask,
        })
    }

    /// Sends a mail, once.
    pub(super) async fn send(&self, letter: &Letter) -> Result<(), Undelivered> {
        let sending = self.transport.send_raw(&letter.envelope, &letter.bytes);
        match tokio::time::timeout(WHOLE, sending).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => Err(Undelivered::for_now(format!(
                "{} did not take the mail within {} s",
                self.place,
                WHOLE.as_secs()
            ))),
        }
    }

    fn failed(&self, error: &Error) -> Undelivered {
        let source = std::error::Error::source(error).map(ToString::to_string);
        let said = self.mask.show(&source.unwrap_or_default());
        let place = &self.place;
        let why = match error.status() {
            Some(code) => format!("{place} refused the mail: {code}: {said}"),
            None if error.is_timeout() => format!("{place} did not answer in time: {said}"),
            None if error.is_client() => format!("{place}: the mail cannot be sent: {said}"),
            None if error.is_response() => {
                format!("{place} broke off, or does not speak SMTP: {said}")
            }
            None if error.is_tls() => format!("{place}: TLS failed: {said}"),
            None => format!("{place} cannot be reached: {said}"),
        };
        Undelivered {
            why,
            may_pass: !error.is_permanent() && !error.is_client(),
            retry_after: None,
        }
    }
}

fn tls(host: &str, ca_file: Option<&Path>) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    for certificate in ca_file.map(certificates).transpose()?.unwrap_or_default() {
        let certificate = Certificate::from_der(certificate.to_vec())
            .map_err(|error| format!("a certificate of the CA file cannot be used: {error}"))?;
        builder = builder.add_root_certificate(certificate);
    }
    builder
        .build()
        .map_err(|error| format!("TLS cannot be set up: {error}"))
}

/// How we greet the server: by the node's name, if that can be a host's.
fn hello(node: &str) -> ClientId {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
    if node.is_empty() || !node.chars().all(plain) {
        return ClientId::default();
    }
    ClientId::Domain(node.to_owned())
}
