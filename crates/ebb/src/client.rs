//! Talks to the platform's public API.

use std::time::Duration;

use ebb_model::{Fault, Kind};
use futures_util::StreamExt;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

use crate::failure::Failure;
use crate::kubeconfig::Target;

/// A client of one platform.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: String,
    token: String,
}

impl Client {
    /// A client for a platform, trusting its CA alone.
    pub(crate) fn new(target: Target) -> Result<Self, Failure> {
        let ca = reqwest::Certificate::from_pem(&target.ca_pem)
            .map_err(|error| Failure::internal("reading the CA certificate", &error))?;
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .connect_timeout(Duration::from_secs(10))
            .no_proxy()
            .build()
            .map_err(|error| Failure::internal("making the client", &error))?;
        Ok(Self { http, server: target.server, token: target.token })
    }

    /// Sends a request and answers the response when its status is a success.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<reqwest::Body>,
        content_type: &str,
    ) -> Result<Response, Failure> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.server))
            .bearer_auth(&self.token)
            .header("user-agent", concat!("ebb/", env!("CARGO_PKG_VERSION")));
        if let Some(body) = body {
            request = request.header("content-type", content_type).body(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        Err(faults(status, &body).into())
    }

    /// Sends JSON and answers JSON.
    pub(crate) async fn json(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let body = body.map(|body| reqwest::Body::from(body.to_string()));
        let response = self.send(method, path, body, "application/json").await?;
        let bytes = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| Failure::internal("reading the answer", &error))
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(Method::GET, path, None).await
    }

    /// Calls `each` with every event of a watch, or every line of a stream, until it answers
    /// `Some`; none when the stream ended before.
    pub(crate) async fn lines<T>(
        &self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        let response = self.send(Method::GET, path, None, "").await?;
        let mut chunks = response.bytes_stream();
        let mut buffer = Vec::new();
        while let Some(chunk) = chunks.next().await {
            buffer.extend_from_slice(&chunk.map_err(|error| self.unreachable(&error))?);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                if let Some(answer) = each(&line) {
                    return Ok(Some(answer));
                }
            }
        }
        Ok(if buffer.is_empty() { None } else { each(&buffer) })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Fault::new(
            "PLATFORM_UNREACHABLE",
            Kind::Unavailable,
            format!("the platform at {} does not answer: {cause}", self.server),
        )
        .hint("is `ebb up` running? `ebb` finds it by --kubeconfig or EBB_KUBECONFIG")
        .into()
    }
}

/// Our faults from a Kubernetes `Status`: each cause with a code of ours, or else the whole.
fn faults(status: StatusCode, body: &[u8]) -> Vec<Fault> {
    let kind = kind(status);
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        let message = format!("the platform answered {status}");
        return vec![Fault::new("UNEXPECTED_ANSWER", kind, message)];
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let causes = body["details"]["causes"].as_array().cloned().unwrap_or_default();
    let mut faults: Vec<Fault> = causes
        .iter()
        .filter(|cause| cause["message"].is_string())
        .map(|cause| {
            let (code, message) = (text(&cause["reason"]), text(&cause["message"]));
            // The platform answers this one as unavailable, which is what it is for a server.
            let kind = if code == "DISK_FULL" { Kind::Exhausted } else { kind };
            let hint = cause["hint"].as_str().map(str::to_owned);
            // The hint is the end of the message, for clients that know no hints.
            let message = hint
                .as_ref()
                .and_then(|hint| message.strip_suffix(hint.as_str())?.strip_suffix("; "))
                .unwrap_or(&message);
            let mut fault = Fault::new(&code, kind, message);
            fault.field =
                cause["field"].as_str().filter(|field| !field.is_empty()).map(str::to_owned);
            fault.hint = hint;
            fault
        })
        .collect();
    if faults.is_empty() {
        let reason = upper_snake(&text(&body["reason"]));
        faults.push(Fault::new(&reason, kind, text(&body["message"])));
    }
    faults
}

/// `AlreadyExists` as `ALREADY_EXISTS`.
fn upper_snake(reason: &str) -> String {
    let mut code = String::new();
    for (at, c) in reason.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            code.push('_');
        }
        code.push(c.to_ascii_uppercase());
    }
    if code.is_empty() { "UNEXPECTED_ANSWER".to_owned() } else { code }
}

const fn kind(status: StatusCode) -> Kind {
    match status.as_u16() {
        401 | 403 => Kind::Denied,
        404 => Kind::NotFound,
        409 | 410 => Kind::Conflict,
        429 | 507 => Kind::Exhausted,
        502 | 503 => Kind::Unavailable,
        504 => Kind::Timeout,
        400..=499 => Kind::Invalid,
        _ => Kind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_become_faults() {
        let body = br#"{"kind":"Status","reason":"Invalid","message":"all","details":{"causes":[
            {"reason":"INVALID_PORT","message":"70000 is not a port; less","field":"spec.x","hint":"less"}]}}"#;
        let faults = faults(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert_eq!((faults[0].code.as_str(), faults[0].kind), ("INVALID_PORT", Kind::Invalid));
        assert_eq!(faults[0].field.as_deref(), Some("spec.x"));
        assert_eq!(faults[0].message, "70000 is not a port");
        assert_eq!(faults[0].hint.as_deref(), Some("less"));
    }

    #[test]
    fn a_status_without_causes_and_no_status_at_all() {
        let body = br#"{"kind":"Status","reason":"AlreadyExists","message":"it is there"}"#;
        assert_eq!(faults(StatusCode::CONFLICT, body)[0].code, "ALREADY_EXISTS");
        assert_eq!(faults(StatusCode::BAD_GATEWAY, b"<html>")[0].code, "UNEXPECTED_ANSWER");
    }
}
