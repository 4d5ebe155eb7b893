//! IAM and the instance metadata service: where credentials come from.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::answers;
use super::body::{self, Flaw, text};
use super::dice;
use super::gate::{Gate, Scope};
use super::message::{Request, Response};
use super::settings::Metadata;
use crate::domain::Timestamp;

/// The words by which the SDKs tell a missing agency from a token that ended.
const NO_AGENCY: &str = "Please configure Cloud Service Agency first";
/// Longest life of a metadata token, in seconds.
const METADATA_TOKEN_SECS_MAX: u32 = 21_600;

/// The projects of this account, by name.
#[derive(Debug, Clone)]
pub(super) struct Projects(pub(super) Option<Vec<(String, String)>>);

impl Projects {
    /// Those of this name. Where none were set, every name is a project's.
    fn named(&self, name: &str) -> Vec<(String, String)> {
        match &self.0 {
            None => vec![(name.to_owned(), dice::id_of(&format!("iam project {name}")))],
            Some(projects) => projects
                .iter()
                .filter(|(have, _)| have == name)
                .cloned()
                .collect(),
        }
    }

    fn with_id(&self, id: &str) -> Vec<(String, String)> {
        match &self.0 {
            None => vec![("project".to_owned(), id.to_owned())],
            Some(projects) => projects
                .iter()
                .filter(|(_, have)| have == id)
                .cloned()
                .collect(),
        }
    }
}

/// `POST /v3/auth/tokens`.
pub(super) fn token(
    gate: &mut Gate,
    projects: &Projects,
    now: Timestamp,
    request: &Request,
) -> Response {
    let body = match body::check(&request.body, &body::TOKEN) {
        Ok(body) => body,
        Err(Flaw::Unreadable(what) | Flaw::Wrong(what)) => {
            return answers::iam(400, &format!("Invalid input for {what}"));
        }
    };
    let user = &body["auth"]["identity"]["password"]["user"];
    let (domain, name) = (
        text(&user["domain"], "name").unwrap_or_default(),
        text(user, "name").unwrap_or_default(),
    );
    if !gate.knows(domain, name, text(user, "password").unwrap_or_default()) {
        return answers::iam(401, "The username or password is wrong.");
    }
    let wanted = &body["auth"]["scope"]["project"];
    let project = match (text(wanted, "id"), text(wanted, "name")) {
        (Some(id), _) => projects.with_id(id),
        (None, Some(name)) => projects.named(name),
        (None, None) if wanted.is_object() => {
            return answers::iam(
                400,
                "Invalid input for auth.scope.project: neither id nor name",
            );
        }
        (None, None) => Vec::new(),
    };
    if wanted.is_object() && project.is_empty() {
        return answers::iam(401, "The project of the scope does not exist.");
    }
    let scope = if project.is_empty() {
        Scope::Other
    } else {
        Scope::Project
    };
    let token = gate.make_token(now, name, scope);
    let mut value = json!({
        "methods": ["password"],
        "expires_at": six_digits(token.expires_at),
        "issued_at": six_digits(token.issued_at),
        "user": {
            "id": super::gate::executor(name).id,
            "name": name,
            "domain": {"id": dice::id_of(&format!("domain {domain}")), "name": domain},
        },
        "roles": [],
        "catalog": [],
    });
    if let (Some((name, id)), Value::Object(object)) = (project.first(), &mut value) {
        object.insert("project".to_owned(), json!({"id": id, "name": name}));
    }
    if request
        .query_value("nocatalog")
        .is_some_and(|value| !value.is_empty())
        && let Value::Object(object) = &mut value
    {
        object.remove("catalog");
    }
    Response::json(201, &json!({"token": value})).header("x-subject-token", token.text)
}

/// `GET /v3/projects?name=`.
pub(super) fn list_projects(projects: &Projects, request: &Request) -> Response {
    let found = match (request.query_value("name"), &projects.0) {
        (Some(name), _) => projects.named(&name),
        (None, Some(all)) => all.clone(),
        (None, None) => Vec::new(),
    };
    let list: Vec<Value> = found
        .iter()
        .map(|(name, id)| {
            json!({
                "id": id,
                "name": name,
                "domain_id": dice::id_of("domain"),
                "parent_id": dice::id_of("domain"),
                "is_domain": false,
                "enabled": true,
                "description": "",
            })
        })
        .collect();
    Response::json(
        200,
        &json!({"projects": list, "links": {"self": "", "next": null, "previous": null}}),
    )
}

/// The metadata service's token: its text is the whole body.
pub(super) fn metadata_token(
    gate: &mut Gate,
    metadata: Metadata,
    now: Timestamp,
    request: &Request,
) -> Response {
    match metadata {
        Metadata::Absent => return Response::text(404, "404 Not Found"),
        Metadata::TokenOptional | Metadata::TokenRequired | Metadata::NoAgency => {}
    }
    let secs = request
        .header_text("x-metadata-token-ttl-seconds")
        .and_then(|text| text.parse::<u32>().ok());
    match secs.filter(|secs| (1..=METADATA_TOKEN_SECS_MAX).contains(secs)) {
        Some(secs) => Response::text(
            200,
            &gate.make_metadata_token(now, Duration::from_secs(secs.into())),
        ),
        None => Response::text(
            400,
            "X-Metadata-Token-Ttl-Seconds is missing or not from 1 to 21600",
        ),
    }
}

/// The metadata service's temporary key.
pub(super) fn metadata_key(
    gate: &mut Gate,
    metadata: Metadata,
    now: Timestamp,
    request: &Request,
) -> Response {
    let token = request.header_text("x-metadata-token");
    // A token that is there has to be good, also where none is needed.
    let token_is_good = token.map(|token| gate.is_metadata_token(now, token));
    match (metadata, token_is_good) {
        (Metadata::Absent, _) => return Response::text(404, "404 Not Found"),
        (Metadata::NoAgency, _) => return Response::text(401, NO_AGENCY),
        (Metadata::TokenRequired, None) => {
            return Response::text(401, "X-Metadata-Token is missing");
        }
        (Metadata::TokenOptional | Metadata::TokenRequired, Some(false)) => {
            return Response::text(401, "X-Metadata-Token is not valid or has ended");
        }
        (Metadata::TokenOptional, None)
        | (Metadata::TokenOptional | Metadata::TokenRequired, Some(true)) => {}
    }
    let key = gate.metadata_key(now);
    Response::json(
        200,
        &json!({"credential": {
            "access": key.ak,
            "secret": key.sk.expose_secret(),
            "securitytoken": key.security_token.as_ref().map(ExposeSecret::expose_secret),
            "expires_at": key.expires_at.map(six_digits),
        }}),
    )
}

/// An instant as IAM writes it.
fn six_digits(instant: Timestamp) -> String {
    instant.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
