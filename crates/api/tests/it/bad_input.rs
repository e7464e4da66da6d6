//! What clients send that is wrong, and how it is refused: the right status, a stable code, a
//! message that says what and where; nothing is written, and the door goes on.

mod http;
mod json;
mod names;
mod races;
mod service_fields;
mod yaml;

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::world::World;

/// Longest wait for any answer: far more than the slowest refusal takes on a busy machine.
const WATCHDOG: Duration = Duration::from_secs(30);

/// How a request is to be refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal<'a> {
    pub(crate) status: u16,
    pub(crate) code: &'a str,
    /// Parts of the message and the fields of the causes, in any order.
    pub(crate) says: &'a [&'a str],
}

/// A refusal without words that are checked.
pub(crate) const fn refusal(status: u16, code: &str) -> Refusal<'_> {
    Refusal { status, code, says: &[] }
}

impl World {
    /// Newest versions of both stores, after the door has answered: it has started, and it lives.
    pub(crate) async fn versions(&self) -> (u64, u64) {
        assert_eq!(self.get("/version").await.0, 200, "the door is gone");
        let declared = self.store.scan("/", None, None, 1).await.unwrap().version;
        let live = self.live.scan("/", None, None, 1).await.unwrap().version;
        (declared, live)
    }

    /// Sends `request`, which must be refused as `want` says and must change nothing. Answers the
    /// Status.
    pub(crate) async fn refused(
        &self,
        what: &str,
        request: RequestBuilder,
        want: Refusal<'_>,
    ) -> Value {
        let before = self.versions().await;
        let asked = tokio::time::timeout(WATCHDOG, request.send()).await;
        let response = asked.unwrap_or_else(|_| panic!("{what}: no answer")).unwrap();
        let status = response.status();
        let text = tokio::time::timeout(WATCHDOG, response.text()).await.unwrap().unwrap();
        assert_eq!(status, want.status, "{what}: {text}");
        let refused = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{what}: {text}"));
        check(what, &refused, want);
        assert_eq!(self.versions().await, before, "{what}: something was written");
        refused
    }

    /// Posts raw bytes.
    pub(crate) fn raw(&self, path: &str, type_: &str, body: impl Into<Vec<u8>>) -> RequestBuilder {
        self.request(Method::POST, path).header("content-type", type_).body(body.into())
    }
}

/// Checks a Status.
pub(crate) fn check(what: &str, refused: &Value, want: Refusal<'_>) {
    assert_eq!(refused["kind"], "Status", "{what}: {refused}");
    assert_eq!(refused["apiVersion"], "v1", "{what}");
    assert_eq!(refused["status"], "Failure", "{what}");
    assert_eq!(refused["code"], want.status, "{what}: {refused}");
    let causes = refused["details"]["causes"].as_array().cloned().unwrap_or_default();
    let codes: Vec<_> = causes.iter().filter_map(|cause| cause["reason"].as_str()).collect();
    assert!(codes.contains(&want.code), "{what}: {} in {refused}", want.code);
    let fields = causes.iter().filter_map(|cause| cause["field"].as_str());
    let said: Vec<&str> = refused["message"].as_str().into_iter().chain(fields).collect();
    for word in want.says {
        assert!(said.iter().any(|text| text.contains(word)), "{what}: {word:?} in {refused}");
    }
    for leak in ["panicked", "src/", ".rs:", "SELECT ", "sqlite"] {
        assert!(!refused.to_string().contains(leak), "{what}: tells of our insides: {refused}");
    }
}
