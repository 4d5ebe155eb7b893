//! One request over one connection, and the response read within bounds.

use reqwest::header::{HeaderName, HeaderValue};

use super::gate::{HELD_BACK, Hold, gated};
use crate::codearts::{Body, HttpRequest, HttpResponse};
use crate::os::tls::causes;

/// Most that is read of a body, in bytes. The answer to a start has a few hundred; IAM's, without the catalogue, a few
/// thousand.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The same for what shows runs: a hundred rows with their stages and commit messages, or a run with all its jobs and
/// steps.
pub(super) const SHOWN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// No response came.
#[derive(Debug)]
pub(super) struct Lost {
    /// Whether it is certain that the server never got the request.
    pub(super) never_sent: bool,
    /// Whether it was we who did not wait any longer. Otherwise the connection was lost.
    pub(super) given_up: bool,
    /// Whether it never left for reasons of our own: nobody was asked.
    pub(super) kept_here: bool,
    /// What went wrong and with whom.
    pub(super) why: String,
}

/// Sends a request, once. A response is one as soon as its head is there; a body that breaks off is part of it.
///
/// When the hold begins, what has not left stays here, and what has is waited for: its answer says what became of it. A
/// request without a body, of which nobody knows whether it has left, only looks, and is given up.
pub(super) async fn exchange(
    client: &reqwest::Client,
    request: HttpRequest,
    body_bytes_max: usize,
    hold: &Hold,
) -> Result<HttpResponse, Lost> {
    let refuse = |why: String| Lost {
        never_sent: true,
        given_up: false,
        kept_here: true,
        why,
    };
    let method = reqwest::Method::from_bytes(request.method.as_bytes())
        .map_err(|error| refuse(error.to_string()))?;
    let url = reqwest::Url::parse(&request.url)
        .map_err(|error| refuse(format!("the address cannot be read: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse(
            "the address must not hold a user or a password".to_owned(),
        ));
    }
    let host = host(&url);
    let mut sent = reqwest::Request::new(method, url);
    for (name, value) in &request.headers {
        let (name, value) = header(name, value).map_err(refuse)?;
        sent.headers_mut().append(name, value);
    }
    let has_body = !request.body.is_empty();
    let (gate, body) = gated(request.body);
    if has_body {
        *sent.body_mut() = Some(reqwest::Body::wrap(body));
    }
    let sending = client.execute(sent);
    tokio::pin!(sending);
    let outcome = tokio::select! {
        biased;
        outcome = &mut sending => outcome,
        () = hold.begins() => {
            let never_sent = gate.shut();
            if never_sent || !has_body {
                let why = format!("{host}: {HELD_BACK}");
                return Err(Lost { never_sent, given_up: true, kept_here: never_sent, why });
            }
            sending.await
        }
    };
    match outcome {
        Ok(response) => Ok(read(response, body_bytes_max).await),
        Err(error) => Err(Lost {
            // A request without a body has no gate to tell; one that never connected was never sent either.
            never_sent: gate.shut() || (!has_body && error.is_connect()),
            given_up: error.is_timeout(),
            kept_here: false,
            why: format!("{host}: {}", causes(error)),
        }),
    }
}

/// Values are marked as sensitive, so that no layer below prints one.
fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let mut value = HeaderValue::from_str(value)
        .or_else(|_| HeaderValue::from_bytes(value.as_bytes()))
        .map_err(|_| {
            format!("the header {name} would hold characters that may not stand in one")
        })?;
    value.set_sensitive(true);
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("{name:?} cannot be the name of a header"))?;
    Ok((name, value))
}

async fn read(mut response: reqwest::Response, body_bytes_max: usize) -> HttpResponse {
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let body = read_body(&mut response, body_bytes_max).await;
    HttpResponse {
        status,
        headers,
        body,
    }
}

async fn read_body(response: &mut reqwest::Response, bytes_max: usize) -> Body {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > bytes_max => {
                return Body::Broken(format!("the answer has more than {bytes_max} bytes"));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Body::Whole(bytes),
            Err(error) => return Body::Broken(format!("the answer broke off: {}", causes(error))),
        }
    }
}

/// Whom we talk to, as a person would name it.
fn host(url: &reqwest::Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A name service that never answers.
    #[derive(Default)]
    struct Silent {
        is_asked: AtomicBool,
    }

    /// So that the test can look at it too.
    struct Resolver(Arc<Silent>);

    impl reqwest::dns::Resolve for Resolver {
        fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
            self.0.is_asked.store(true, Ordering::SeqCst);
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn what_waits_for_a_name_is_held_back() {
        let silent = Arc::new(Silent::default());
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(
                rustls::ClientConfig::builder_with_provider(Arc::new(
                    rustls::crypto::ring::default_provider(),
                ))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
            )
            .dns_resolver(Arc::new(Resolver(Arc::clone(&silent))))
            .no_proxy()
            .build()
            .unwrap();
        let hold = Arc::new(Hold::default());
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: "http://service.example/run".to_owned(),
            headers: Vec::new(),
            body: b"{}".to_vec(),
        };
        let sent = {
            let hold = Arc::clone(&hold);
            tokio::spawn(async move { exchange(&client, request, BODY_BYTES_MAX, &hold).await })
        };
        while !silent.is_asked.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        assert!(!sent.is_finished());
        hold.begin();
        let lost = sent.await.unwrap().unwrap_err();
        assert!(lost.never_sent && lost.given_up, "{lost:?}");
        assert_eq!(lost.why, "service.example: pipecron is being stopped");
    }
}
