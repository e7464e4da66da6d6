//! Failures as Kubernetes renders them: a `Status` with reason, message and causes.

use std::ops::Deref;

use ebb_model::Fault;
use ebb_model::Kind as FaultKind;
use http::header::{ALLOW, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::body::{self, Body};
use crate::registry::Kind;

/// Seconds that a client should wait before it repeats a request that met a passing failure.
const RETRY_AFTER_SECONDS: u32 = 1;
/// Where the rest is said of a failure that clients can do nothing about.
const SEE_LOG: &str = "the log of the platform says why";
/// Causes that one answer names at most: one body can be wrong a million times.
const MAX_CAUSES: usize = 100;

/// A request that failed. Boxed, as it is the rare end of nearly every function here.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Box<Report>);

/// What there is to say about it.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Kubernetes' word for it.
    pub(crate) reason: &'static str,
    /// One sentence.
    pub(crate) message: String,
    /// Name, group and kind of the `details` of the Status.
    subject: Option<(String, String, String)>,
    /// Our codes, with fields.
    causes: Vec<Fault>,
    allow: Option<String>,
    /// Token with which an expired list can be read to its end.
    continue_: Option<String>,
    /// Whether the same request may work a moment later, besides 429 and 503.
    passing: bool,
}

impl Deref for Failure {
    type Target = Report;

    fn deref(&self) -> &Report {
        &self.0
    }
}

impl Failure {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let (subject, causes, allow, continue_) = (None, Vec::new(), None, None);
        let passing = matches!(status.as_u16(), 429 | 503);
        Self(Box::new(Report {
            status,
            reason,
            message,
            subject,
            causes,
            allow,
            continue_,
            passing,
        }))
    }

    fn cause(mut self, code: &str, kind: FaultKind) -> Self {
        let fault = Fault::new(code, kind, self.message.clone());
        self.0.causes.push(fault);
        self
    }

    fn causes(mut self, mut causes: Vec<Fault>) -> Self {
        causes.truncate(MAX_CAUSES);
        self.0.causes = causes;
        self
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.0.subject = Some((name.to_owned(), kind.group.to_owned(), kind.plural.to_owned()));
        self
    }

    /// One more cause, after the others.
    pub(crate) fn and(mut self, cause: Fault) -> Self {
        self.0.causes.push(cause);
        self
    }

    /// 400 with our code.
    pub(crate) fn bad_request(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message).cause(code, FaultKind::Invalid)
    }

    /// 400 for several things wrong with the body.
    pub(crate) fn bad_body(message: impl Into<String>, causes: Vec<Fault>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message).causes(causes)
    }

    /// 404 for an object.
    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} not found", kind.resource());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
            .cause("NOT_FOUND", FaultKind::NotFound)
            .about(kind, name)
    }

    /// 404 for a path.
    pub(crate) fn no_such_path(path: &str) -> Self {
        let message = format!("the server could not find the requested resource: {path}");
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
            .cause("NOT_FOUND", FaultKind::NotFound)
    }

    /// 405 for a method that the path does not have.
    pub(crate) fn method_not_allowed(allow: &str, message: impl Into<String>) -> Self {
        let failure = Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message.into());
        let mut failure = failure.cause("METHOD_NOT_ALLOWED", FaultKind::Invalid);
        failure.0.allow = Some(allow.to_owned());
        failure
    }

    /// 409 for a name that is taken.
    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.resource());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message)
            .cause("ALREADY_EXISTS", FaultKind::Conflict)
            .about(kind, name)
    }

    /// 409 for a version or identity that is not the newest.
    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.resource());
        Self::new(StatusCode::CONFLICT, "Conflict", message)
            .cause("CONFLICT", FaultKind::Conflict)
            .about(kind, name)
    }

    /// 403 for something that nobody may do.
    pub(crate) fn forbidden(kind: &Kind, name: &str, code: &str, why: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {why}", kind.resource());
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
            .cause(code, FaultKind::Denied)
            .about(kind, name)
    }

    /// 403 for what policies refuse, with everything that they say.
    pub(crate) fn denied(kind: &Kind, name: &str, faults: Vec<Fault>) -> Self {
        let each = sentences(&faults);
        let message = format!("{} {name:?} is forbidden: {}", kind.resource(), each.join(", "));
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).causes(faults).about(kind, name)
    }

    /// 429 for what a quota refuses.
    pub(crate) fn exhausted(kind: &Kind, name: &str, fault: Fault) -> Self {
        let message = format!("{} {name:?} is forbidden: {}", kind.resource(), sentence(&fault));
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
            .causes(vec![fault])
            .about(kind, name)
    }

    /// 410 for a version that is no longer kept.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message).cause("VERSION_TOO_OLD", FaultKind::Invalid)
    }

    /// 410 for a page of a list whose version is no longer kept; `token` reads the rest anyway.
    pub(crate) fn expired_continue(token: String) -> Self {
        let mut failure = Self::expired(
            "The provided continue parameter is too old to display a consistent list result. You \
             can start a new list without the continue parameter, or use the continue token in \
             this response to retrieve the remainder of the results. Continuing with the provided \
             token results in an inconsistent list - objects that were created, modified, or \
             deleted between the time the first chunk was returned and now may show up in the list.",
        );
        failure.0.continue_ = Some(token);
        failure
    }

    /// 504 for a version that is not there yet. Clients of Kubernetes know it by its cause.
    pub(crate) fn version_too_large(asked: u64, newest: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {newest}");
        let known =
            Fault::new("ResourceVersionTooLarge", FaultKind::Timeout, "Too large resource version");
        let mut failure = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message)
            .cause("VERSION_IN_FUTURE", FaultKind::Timeout)
            .and(known);
        failure.0.passing = true;
        failure
    }

    /// 413 for a body over the limit.
    pub(crate) fn too_large(limit: u64) -> Self {
        let message = format!("the request body is larger than the limit of {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
            .cause("BODY_TOO_LARGE", FaultKind::Invalid)
    }

    /// 413 for what is too large though the body is not, such as the result of a patch.
    pub(crate) fn too_large_result(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
            .cause(code, FaultKind::Invalid)
    }

    /// 422 for a patch that the object does not fit. As in Kubernetes, the message names no object.
    pub(crate) fn unprocessable(message: impl Into<String>, cause: Fault) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).causes(vec![cause])
    }

    /// 409 for fields that other managers own.
    pub(crate) fn apply_conflict(message: String, causes: Vec<Fault>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message).causes(causes)
    }

    /// Whether it says that this object is not there.
    pub(crate) fn is_missing(&self, kind: &Kind, name: &str) -> bool {
        let subject = (name.to_owned(), kind.group.to_owned(), kind.plural.to_owned());
        self.reason == "NotFound" && self.0.subject.as_ref() == Some(&subject)
    }

    /// 406 for an answer that the client does not take; `accepted` is what there is.
    pub(crate) fn not_acceptable(accepted: &str) -> Self {
        let message = format!("only the following media types are accepted: {accepted}");
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
            .cause("NOT_ACCEPTABLE", FaultKind::Invalid)
    }

    /// 415 for a content type that is not taken here.
    pub(crate) fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
            .cause("UNSUPPORTED_MEDIA_TYPE", FaultKind::Invalid)
    }

    /// 422 for an object that is not valid, with everything that is wrong.
    pub(crate) fn invalid(kind: &Kind, name: &str, faults: Vec<Fault>) -> Self {
        Self::invalid_options(kind.kind, kind.group, name, faults)
    }

    /// 422 for options of a request that are not valid, with everything that is wrong. Kubernetes
    /// treats them as an object with kind and group.
    pub(crate) fn invalid_options(kind: &str, group: &str, name: &str, faults: Vec<Fault>) -> Self {
        let each = sentences(&faults);
        let list = match each.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {name:?} is invalid: {list}", kind_name(kind, group));
        let mut failure = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        // Here Kubernetes names the kind, everywhere else the plural.
        failure.0.subject = Some((name.to_owned(), group.to_owned(), kind.to_owned()));
        failure.causes(faults)
    }

    /// 500.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
            .cause("INTERNAL", FaultKind::Internal)
    }

    /// The `Status` object.
    pub(crate) fn to_json(&self) -> Value {
        let mut details = serde_json::Map::new();
        if let Some((name, group, kind)) = &self.subject {
            for (key, text) in [("name", name), ("group", group), ("kind", kind)] {
                if !text.is_empty() {
                    details.insert(key.to_owned(), json!(text));
                }
            }
        }
        if !self.causes.is_empty() {
            details.insert("causes".to_owned(), self.causes.iter().map(cause).collect());
        }
        if self.passing {
            details.insert("retryAfterSeconds".to_owned(), json!(RETRY_AFTER_SECONDS));
        }
        let metadata = self.continue_.as_ref().map(|token| ("continue".to_owned(), json!(token)));
        let metadata: serde_json::Map<String, Value> = metadata.into_iter().collect();
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": details,
            "code": self.status.as_u16(),
        })
    }

    /// The answer.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = body::json(self.status, &self.to_json());
        if self.passing {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        if let Some(allow) = self.allow.as_deref().and_then(|allow| allow.parse().ok()) {
            response.headers_mut().insert(ALLOW, allow);
        }
        response
    }
}

fn kind_name(kind: &str, group: &str) -> String {
    if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") }
}

/// A sentence for each that is named, and how many there are besides.
fn sentences(faults: &[Fault]) -> Vec<String> {
    let mut each: Vec<String> = faults.iter().take(MAX_CAUSES).map(sentence).collect();
    let more = faults.len() - each.len();
    if more > 0 {
        each.push(format!("and {more} more"));
    }
    each
}

fn sentence(fault: &Fault) -> String {
    let mut text = match &fault.field {
        Some(field) => format!("{field}: {}", fault.message),
        None => fault.message.clone(),
    };
    if let Some(hint) = &fault.hint {
        text.push_str("; ");
        text.push_str(hint);
    }
    text
}

fn cause(fault: &Fault) -> Value {
    let message = match &fault.hint {
        Some(hint) => format!("{}; {hint}", fault.message),
        None => fault.message.clone(),
    };
    let mut cause = json!({"reason": fault.code, "message": message});
    if let Some(field) = &fault.field {
        cause["field"] = json!(field);
    }
    // Besides the message, for a client that shows it on a line of its own.
    if let Some(hint) = &fault.hint {
        cause["hint"] = json!(hint);
    }
    cause
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let (status, reason) = match (fault.code.as_str(), fault.kind) {
            ("UNAUTHENTICATED", _) => (401, "Unauthorized"),
            ("DISK_FULL", _) | (_, FaultKind::Unavailable) => (503, "ServiceUnavailable"),
            ("VERSION_TOO_OLD", _) => (410, "Expired"),
            ("VERSION_IN_FUTURE", _) | (_, FaultKind::Timeout) => (504, "Timeout"),
            (_, FaultKind::Invalid) => (400, "BadRequest"),
            (_, FaultKind::NotFound) => (404, "NotFound"),
            (_, FaultKind::Conflict) => (409, "Conflict"),
            (_, FaultKind::Denied) => (403, "Forbidden"),
            (_, FaultKind::Exhausted) => (429, "TooManyRequests"),
            (_, FaultKind::Internal) => (500, "InternalError"),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::new(status, reason, fault.message.clone()).causes(vec![fault])
    }
}

impl From<ebb_store::Error> for Failure {
    fn from(error: ebb_store::Error) -> Self {
        match error {
            ebb_store::Error::FutureVersion { asked, newest } => {
                Self::version_too_large(asked, newest)
            }
            // What the machine says about it, such as paths and words of the database, is for
            // whoever runs the platform.
            ebb_store::Error::Unavailable(why) => {
                tracing::warn!(why, "the store is not available");
                Fault::from(ebb_store::Error::Unavailable(SEE_LOG.to_owned())).into()
            }
            ebb_store::Error::DiskFull(why) => {
                tracing::warn!(why, "no space is left for the database");
                Fault::from(ebb_store::Error::DiskFull(SEE_LOG.to_owned())).into()
            }
            error => Fault::from(error).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_failures_say_when_to_come_back() {
        for (error, status) in [
            (ebb_store::Error::Unavailable("x".into()), 503),
            (ebb_store::Error::DiskFull("x".into()), 503),
        ] {
            let response = Failure::from(error).into_response();
            assert_eq!(response.status(), status);
            assert!(response.headers().contains_key(RETRY_AFTER));
        }
        let gone = Failure::from(ebb_store::Error::Compacted { asked: 1, oldest: 2 });
        assert_eq!((gone.status.as_u16(), gone.reason), (410, "Expired"));
    }

    #[test]
    fn causes_carry_code_field_and_hint() {
        let fault = Fault::new("INVALID_PORT", FaultKind::Invalid, "0 is not a port")
            .at("spec.x")
            .hint("use 1 to 65535");
        let status = Failure::invalid(&crate::kinds::service::KIND, "hello", vec![fault]).to_json();
        assert_eq!(status["code"], 422);
        assert_eq!(status["details"]["kind"], "Service");
        assert_eq!(status["details"]["causes"][0]["reason"], "INVALID_PORT");
        assert_eq!(status["details"]["causes"][0]["field"], "spec.x");
        let message = status["message"].as_str().unwrap();
        assert!(message.contains("spec.x: 0 is not a port; use 1 to 65535"), "{message}");
    }
}
