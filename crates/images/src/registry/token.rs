//! Tokens of a registry's authorization service (the distribution project's token and OAuth 2
//! specifications).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use super::credentials::Credential;
use super::retry::{self, Failure, unavailable};
use super::session::Session;
use crate::Error;

/// Bytes of an answer; tokens have a few thousand.
const ANSWER_MAX: usize = 1 << 20;

/// What a registry asked for.
pub(super) struct Request {
    pub(super) realm: String,
    pub(super) service: Option<String>,
    pub(super) scope: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// The value of a Basic authorization.
pub(super) fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{name}:{password}")))
}

/// A token for `request`: by GET, and by OAuth 2 for refresh tokens and for services that only
/// know POST.
pub(super) async fn fetch(session: &Session<'_>, request: &Request) -> Result<String, Failure> {
    let realm: Url = request
        .realm
        .parse()
        .map_err(|_| unavailable("the registry names no valid authorization service"))?;
    let answer = match &session.credential {
        Some(Credential::Identity(token)) => {
            let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
            post(session, &realm, request, &form).await?
        }
        Some(Credential::Password(name, password)) => {
            let answer = get(session, &realm, request, Some(&basic(name, password))).await?;
            if matches!(answer.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
                let form = [("grant_type", "password"), ("username", name), ("password", password)];
                post(session, &realm, request, &form).await?
            } else {
                answer
            }
        }
        Some(Credential::Token(_)) | None => get(session, &realm, request, None).await?,
    };
    read(session, answer).await
}

async fn get(
    session: &Session<'_>,
    realm: &Url,
    request: &Request,
    authorization: Option<&str>,
) -> Result<Response, Failure> {
    let mut url = realm.clone();
    if let Some(service) = &request.service {
        url.query_pairs_mut().append_pair("service", service);
    }
    url.query_pairs_mut().append_pair("scope", &request.scope);
    let mut sent = session.client_for(&url)?.get(url);
    if let Some(authorization) = authorization {
        sent = sent.header(AUTHORIZATION, authorization);
    }
    sent.send().await.map_err(|error| session.not_sent(&error))
}

async fn post(
    session: &Session<'_>,
    realm: &Url,
    request: &Request,
    form: &[(&str, &str)],
) -> Result<Response, Failure> {
    // The query of an address has the encoding of a form.
    let mut encoder = realm.clone();
    encoder.set_query(None);
    let service = request.service.as_deref().unwrap_or_default();
    encoder
        .query_pairs_mut()
        .extend_pairs(form)
        .append_pair("client_id", "ebb")
        .append_pair("service", service)
        .append_pair("scope", &request.scope);
    let body = encoder.query().unwrap_or_default().to_owned();
    let sent = session
        .client_for(realm)?
        .post(realm.clone())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(body);
    sent.send().await.map_err(|error| session.not_sent(&error))
}

async fn read(session: &Session<'_>, answer: Response) -> Result<String, Failure> {
    let status = answer.status();
    if !status.is_success() {
        let what = format!("the authorization for {}", session.reference);
        // An unknown account is a denial, whatever the service calls it.
        let status = match status {
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => StatusCode::UNAUTHORIZED,
            status => status,
        };
        return Err(retry::status(status, answer.headers(), &what, session.registry.clock.now()));
    }
    let mut bytes = Vec::new();
    let mut stream = answer.bytes_stream();
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| session.not_sent(&error))?);
        if bytes.len() > ANSWER_MAX {
            return Err(Failure::last(bad_answer()));
        }
    }
    let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| bad_answer())?;
    let tokens = [answer.token, answer.access_token];
    Ok(tokens.into_iter().find(|token| !token.is_empty()).ok_or_else(bad_answer)?)
}

fn bad_answer() -> Error {
    unavailable("the authorization service of the registry gave no token")
}
