//! A mail server on this machine, and what is said to it.

use std::fs;
use std::sync::{Arc, Mutex};

use pipecron::config::Text;
use pipecron::config::notices::{Channel, Mail, MailTls, Way};
use pipecron::domain::request::SecretRef;
use pipecron::notify::{Deliver, Undelivered};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::messages::one_failure;
use crate::render::a_mail;
use crate::stub::notifier;
use crate::wire::channel;

const PASSWORD: &str = "hidden-password-0123";

/// What the server answers to a command that begins so, in place of what it would.
type Instead = Option<(&'static str, &'static str)>;

/// A server that takes every mail, but for one answer.
#[derive(Clone)]
struct Server {
    port: u16,
    said: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn new(instead: Instead) -> Self {
        Self::listen(instead, None, false).await
    }

    async fn listen(
        instead: Instead,
        tls: Option<tokio_rustls::TlsAcceptor>,
        is_wrapped: bool,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            said: Arc::default(),
        };
        let ours = server.clone();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            ours.serve(stream, instead, tls, is_wrapped).await
        });
        server
    }

    async fn serve(
        &self,
        stream: TcpStream,
        instead: Instead,
        tls: Option<tokio_rustls::TlsAcceptor>,
        is_wrapped: bool,
    ) -> std::io::Result<()> {
        match tls {
            Some(tls) if is_wrapped => self
                .talk(tls.accept(stream).await?, instead, false)
                .await
                .map(drop),
            Some(tls) => {
                let Some(stream) = self.talk(stream, instead, true).await? else {
                    return Ok(());
                };
                let mut stream = tls.accept(stream).await?;
                self.go_on(&mut stream, instead, false).await.map(drop)
            }
            None => self.talk(stream, instead, false).await.map(drop),
        }
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        instead: Instead,
        starts_tls: bool,
    ) -> std::io::Result<Option<S>> {
        let greeting = match instead {
            Some(("", answer)) => answer,
            _ => "220 mail.example ESMTP\r\n",
        };
        if greeting.is_empty() {
            return Ok(None);
        }
        stream.write_all(greeting.as_bytes()).await?;
        let upgrade = self.go_on(&mut stream, instead, starts_tls).await?;
        Ok(upgrade.then_some(stream))
    }

    /// Whether the client asked for TLS, and the stream waits for it.
    async fn go_on<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        instead: Instead,
        starts_tls: bool,
    ) -> std::io::Result<bool> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(false);
            }
            let line = line.trim_end().to_owned();
            self.said.lock().unwrap().push(line.clone());
            let usual = match line.split(' ').next().unwrap() {
                "EHLO" if starts_tls => "250-mail.example\r\n250 STARTTLS\r\n",
                "EHLO" => "250-mail.example\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n",
                "STARTTLS" => "220 go ahead\r\n",
                "AUTH" => "235 welcome\r\n",
                "DATA" => "354 go ahead\r\n",
                "QUIT" => "221 bye\r\n",
                _ => "250 fine\r\n",
            };
            let answer = match instead {
                Some((command, answer)) if !command.is_empty() && line.starts_with(command) => {
                    answer
                }
                _ => usual,
            };
            if answer.is_empty() {
                return Ok(false);
            }
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await?;
            if line == "STARTTLS" && answer.starts_with("220") {
                return Ok(true);
            }
            if line == "DATA" && answer.starts_with("354") {
                let mut text = String::new();
                while !text.ends_with("\r\n.\r\n") {
                    if stream.read_line(&mut text).await? == 0 {
                        return Ok(false);
                    }
                }
                self.said.lock().unwrap().push(text);
                let taken = match instead {
                    Some((".", answer)) => answer,
                    _ => "250 taken as 42\r\n",
                };
                stream.write_all(taken.as_bytes()).await?;
            }
        }
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

/// A channel to a server on this machine, that logs in.
fn to(port: u16, tls: MailTls, directory: &std::path::Path) -> Channel {
    let path = directory.join("password");
    fs::write(&path, format!("{PASSWORD}\n")).unwrap();
    channel(Way::Mail(Mail {
        port,
        tls,
        login: Some((Text::Plain("watch".to_owned()), SecretRef::File(path))),
        ..a_mail()
    }))
}

async fn undelivered(channel: &Channel) -> Undelivered {
    notifier()
        .deliver(channel, &one_failure())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_mail_is_handed_over() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::new(None).await;
    let channel = to(server.port, MailTls::None, directory.path());
    notifier().deliver(&channel, &one_failure()).await.unwrap();
    let said = server.said();
    let commands = [
        "EHLO build-7",
        // What stands between is a nul, the user, a nul and the password.
        "AUTH PLAIN AHdhdGNoAGhpZGRlbi1wYXNzd29yZC0wMTIz",
        "MAIL FROM:<pipecron@ci.example>",
        "RCPT TO:<watch@ci.example>",
        "RCPT TO:<ops@ci.example>",
        "DATA",
    ];
    assert_eq!(said[..6], commands);
    assert!(
        said[6].contains("\r\nSubject: pipecron: app-nightly: the run failed\r\n"),
        "{}",
        said[6]
    );
    assert!(said[6].ends_with("=--\r\n\r\n.\r\n"), "{}", said[6]);
}

/// Whatever a server says, and repeats of what was said to it.
#[tokio::test]
async fn no_refusal_of_a_mail_tells_the_password() {
    let directory = tempfile::tempdir().unwrap();
    let rows = [
        (
            "",
            "421 too busy\r\n",
            true,
            "refused the mail: 421: too busy",
        ),
        (
            "",
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            true,
            "broke off, or does not speak SMTP: ",
        ),
        ("", "", true, "broke off, or does not speak SMTP: "),
        (
            "AUTH",
            "535 5.7.8 no such user: AUTH PLAIN AHdhdGNoAGhpZGRlbi1wYXNzd29yZC0wMTIz hidden-password-0123\r\n",
            false,
            "refused the mail: 535: 5.7.8 no such user: AUTH PLAIN *** ***",
        ),
        (
            "AUTH",
            "454 later\r\n",
            true,
            "refused the mail: 454: later",
        ),
        ("MAIL", "", true, "broke off, or does not speak SMTP: "),
        (
            "RCPT",
            "550 no such user here\r\n",
            false,
            "refused the mail: 550: no such user here",
        ),
        (
            "RCPT",
            "451 greylisted\r\n",
            true,
            "refused the mail: 451: greylisted",
        ),
        (
            ".",
            "552 too large\r\n",
            false,
            "refused the mail: 552: too large",
        ),
    ];
    for (command, answer, may_pass, why) in rows {
        let server = Server::new(Some((command, answer))).await;
        let told = undelivered(&to(server.port, MailTls::None, directory.path())).await;
        let place = format!("smtp://127.0.0.1:{}", server.port);
        assert!(
            told.why.starts_with(&format!("{place} {why}")),
            "{command} {answer:?}: {told:?}"
        );
        assert_eq!(told.may_pass, may_pass, "{command} {answer:?}: {told:?}");
        assert!(
            !told.why.contains("hidden") && !told.why.contains("AHdh"),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_may_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let told = undelivered(&to(port, MailTls::None, directory.path())).await;
    assert!(told.may_pass, "{told:?}");
    assert!(told.why.contains("cannot be reached: "), "{told:?}");
}

/// The time is the test's: it passes when nothing else happens.
#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let held = tokio::spawn(async move {
        let _stream = listener.accept().await.unwrap();
        std::future::pending::<()>().await
    });
    let told = undelivered(&to(port, MailTls::None, directory.path())).await;
    held.abort();
    assert!(told.may_pass, "{told:?}");
    assert!(told.why.contains("did not"), "{told:?}");
}

#[tokio::test]
async fn a_password_goes_to_no_other_machine_in_the_clear() {
    let directory = tempfile::tempdir().unwrap();
    let mut channel = to(25, MailTls::None, directory.path());
    if let Way::Mail(mail) = &mut channel.way {
        mail.host = "mail.example".to_owned();
    }
    let told = undelivered(&channel).await;
    assert_eq!(
        told.why,
        "smtp://mail.example:25: mail without TLS is only for this machine"
    );
    assert!(!told.may_pass);
}

/// A server that does not offer TLS, as one between us and it would have it, gets neither password nor mail.
#[tokio::test]
async fn a_server_without_tls_gets_nothing_when_tls_is_required() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::new(None).await;
    let told = undelivered(&to(server.port, MailTls::Required, directory.path())).await;
    assert!(told.why.contains("STARTTLS"), "{told:?}");
    let is_all = server
        .said()
        .iter()
        .all(|line| line.starts_with("EHLO") || line == "STARTTLS" || line == "QUIT");
    assert!(is_all, "{:?}", server.said());
}

/// A certificate for this machine, in a file, and what a server needs to show it.
fn certificate(directory: &std::path::Path) -> (std::path::PathBuf, tokio_rustls::TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let path = directory.join("ca.pem");
    fs::write(&path, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (path, tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_mail_goes_over_tls_from_the_first_byte_or_after_starttls() {
    let directory = tempfile::tempdir().unwrap();
    for tls in [MailTls::Wrapped, MailTls::Required] {
        let (ca_file, acceptor) = certificate(directory.path());
        let server = Server::listen(None, Some(acceptor), tls == MailTls::Wrapped).await;
        let mut channel = to(server.port, tls, directory.path());
        channel.ca_file = Some(ca_file);
        notifier().deliver(&channel, &one_failure()).await.unwrap();
        let said = server.said();
        let starts = said.iter().position(|line| line == "STARTTLS");
        assert_eq!(starts.is_some(), tls == MailTls::Required, "{said:?}");
        let auth = said.iter().position(|line| line.starts_with("AUTH"));
        assert!(starts < auth, "{said:?}");
        assert!(
            said.iter().any(|line| line.contains("Subject: pipecron")),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_believed() {
    let directory = tempfile::tempdir().unwrap();
    for tls in [MailTls::Wrapped, MailTls::Required] {
        let (_, acceptor) = certificate(directory.path());
        let (other, _) = certificate(directory.path());
        let server = Server::listen(None, Some(acceptor), tls == MailTls::Wrapped).await;
        let mut channel = to(server.port, tls, directory.path());
        channel.ca_file = Some(other);
        let told = undelivered(&channel).await;
        assert!(told.may_pass, "{told:?}");
        assert!(told.why.contains("certificate"), "{told:?}");
        assert!(!server.said().iter().any(|line| line.starts_with("AUTH")));
    }
}
