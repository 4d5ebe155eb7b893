//! One request over one connection, and the response read within bounds.

use reqwest::header::{HeaderName, HeaderValue};

use super::gate::gated;
use crate::codearts::{Body, HttpRequest, HttpResponse};

/// Most that is read of a body, in bytes. The service's answers have a few hundred; IAM's, without the catalogue, a
/// few thousand.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;

/// No response came.
#[derive(Debug)]
pub(super) struct Lost {
    /// Whether it is certain that the server never got the request.
    pub(super) never_sent: bool,
    /// What went wrong and with whom.
    pub(super) why: String,
}

/// Sends a request, once. A response is one as soon as its head is there; a body that breaks off is part of it.
pub(super) async fn exchange(
    client: &reqwest::Client,
    request: HttpRequest,
) -> Result<HttpResponse, Lost> {
    let refuse = |why: String| Lost {
        never_sent: true,
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
    match client.execute(sent).await {
        Ok(response) => Ok(read(response).await),
        Err(error) => Err(Lost {
            never_sent: gate.shut(),
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

async fn read(mut response: reqwest::Response) -> HttpResponse {
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
    let body = read_body(&mut response).await;
    HttpResponse {
        status,
        headers,
        body,
    }
}

async fn read_body(response: &mut reqwest::Response) -> Body {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > BODY_BYTES_MAX => {
                return Body::Broken(format!("the answer has more than {BODY_BYTES_MAX} bytes"));
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

/// The causes of an error, outermost first, each once. The error itself names its kind and the address, which could
/// hold a password; it is only told if there is no cause.
pub(super) fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = String::new();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        cause = error.source();
    }
    if text.is_empty() {
        error.to_string()
    } else {
        text
    }
}
