//! A fault of ours that unwinds is answered like any other: the client gets a Status, and its
//! connection can take the next request.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use http::Response;

use crate::body::Body;
use crate::status::Failure;

/// What `answer` makes, or a 500 when it panics. A body that panics while it is sent still breaks
/// the connection: its head is out by then.
pub(crate) async fn caught(
    request_id: &str,
    answer: impl Future<Output = Response<Body>>,
) -> Response<Body> {
    // What a panic may leave half done is locked state, and no lock here is poisoned for good; the
    // objects themselves change in whole commits only.
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|panic| {
        tracing::error!(request_id, panic = text(&*panic), "a request panicked");
        let message = format!(
            "a fault of the server ended the request; its log says more about it as {request_id}"
        );
        Failure::internal(message).into_response()
    })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text")
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::body;

    #[tokio::test]
    async fn a_panic_is_a_status_and_tells_nothing() {
        let fine = caught("r", async { body::text(StatusCode::OK, "ok") }).await;
        assert_eq!(fine.status(), 200);
        let secret = String::from("hunter2");
        for answered in [
            caught("r", async { panic!("index out of bounds") }).await,
            caught("r", async { panic!("at {secret}") }).await,
        ] {
            assert_eq!(answered.status(), 500);
            let bytes = answered.into_body().collect().await.unwrap().to_bytes();
            let status: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(
                (&status["kind"], &status["reason"]),
                (&json!("Status"), &json!("InternalError"))
            );
            assert_eq!(status["details"]["causes"][0]["reason"], "INTERNAL");
            let text = status.to_string();
            assert!(!text.contains("bounds") && !text.contains("hunter2"), "{text}");
        }
    }
}
