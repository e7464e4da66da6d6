//! What the gateway itself answers when no instance does.

use http::{HeaderValue, Response, StatusCode, header};

use crate::names;
use crate::reply::Reply;

/// An answer of the gateway: a stable code, a status and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Answer {
    fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(400, "MALFORMED_REQUEST", message)
    }

    pub(crate) fn head_too_large(message: impl Into<String>) -> Self {
        Self::new(431, "HEADERS_TOO_LARGE", message)
    }

    pub(crate) fn uri_too_long(limit: usize) -> Self {
        Self::new(414, "URI_TOO_LONG", format!("the request target is longer than {limit} bytes"))
    }

    pub(crate) fn header_timeout(limit_ms: u64) -> Self {
        let message = format!("the head of the request was not complete after {limit_ms} ms");
        Self::new(408, "HEADER_TIMEOUT", message)
    }

    pub(crate) fn connect_refused() -> Self {
        Self::new(405, "CONNECT_UNSUPPORTED", "CONNECT is not offered here: this is no open proxy")
    }

    pub(crate) fn expectation() -> Self {
        let message = "only the expectation 100-continue can be met";
        Self::new(417, "EXPECTATION_FAILED", message)
    }

    pub(crate) fn version() -> Self {
        Self::new(505, "HTTP_VERSION_UNSUPPORTED", "only HTTP/1.1 and HTTP/1.0 are spoken here")
    }

    pub(crate) fn too_many_connections(limit: usize) -> Self {
        Self::new(503, "OVERLOADED", format!("{limit} client connections are open already"))
    }

    pub(crate) fn no_route(host: &str) -> Self {
        Self::new(404, "NO_ROUTE", format!("no service answers at host {host:?}"))
    }

    pub(crate) fn not_ready(namespace: &str, service: &str) -> Self {
        let message = format!("service {namespace}/{service} has no revision that was ever ready");
        Self::new(503, "REVISION_NOT_READY", message)
    }

    pub(crate) fn stopped(namespace: &str, service: &str) -> Self {
        let message = format!(
            "service {namespace}/{service} is stopped: it was scaled to 0 instances by hand"
        );
        Self::new(503, "SERVICE_STOPPED", message)
    }

    pub(crate) fn overloaded(limit: u32) -> Self {
        Self::new(503, "OVERLOADED", format!("{limit} requests wait for an instance already"))
    }

    pub(crate) fn held_failed(code: &str, message: &str) -> Self {
        Self::new(503, code, message)
    }

    pub(crate) fn timeout(limit_ms: u64) -> Self {
        Self::new(504, "TIMEOUT", format!("there was no complete response after {limit_ms} ms"))
    }

    pub(crate) fn upstream_closed(message: impl Into<String>) -> Self {
        Self::new(502, "UPSTREAM_CLOSED", message)
    }

    pub(crate) fn upstream_invalid(message: impl Into<String>) -> Self {
        Self::new(502, "UPSTREAM_INVALID", message)
    }

    /// The `Retry-After` of this answer in seconds. Not at 504: a request that took too long once
    /// takes too long again. Not at what the client has to change first.
    const fn retry_after(&self) -> Option<&'static str> {
        match self.status {
            404 => Some("5"),
            502 | 503 => Some("1"),
            _ => None,
        }
    }

    fn body(&self, request_id: &str) -> String {
        let body = serde_json::json!({"error": {
            "code": self.code,
            "status": self.status,
            "message": self.message,
            "request_id": request_id,
        }});
        format!("{body}\n")
    }

    /// As a response of a request.
    pub(crate) fn response(&self, request_id: HeaderValue) -> Response<Reply> {
        let body = self.body(request_id.to_str().unwrap_or_default());
        let mut response = Response::new(Reply::full(body.into()));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(names::X_REQUEST_ID, request_id);
        if let Ok(code) = HeaderValue::from_str(&self.code) {
            headers.insert(names::EBB_REASON, code);
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }

    /// As bytes for a connection whose request could not be understood; it is closed after them.
    pub(crate) fn raw(&self, request_id: &str) -> Vec<u8> {
        let reason = StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Error");
        let retry =
            self.retry_after().map_or_else(String::new, |s| format!("retry-after: {s}\r\n"));
        let allow = if self.status == 405 {
            "allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
        } else {
            ""
        };
        let body = self.body(request_id);
        format!(
            "HTTP/1.1 {} {reason}\r\ncontent-type: application/json\r\nx-request-id: {request_id}\r\n\
             ebb-reason: {}\r\n{retry}{allow}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.status,
            self.code,
            body.len(),
        )
        .into_bytes()
    }
}
