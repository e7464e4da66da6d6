//! Bodies: reading them within limits, and making answers.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use crate::status::Failure;

/// Time for the whole body of a request about objects. As Kubernetes' own request timeout.
const BODY_TIMEOUT: Duration = Duration::from_mins(1);

/// Body of an answer.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Body of a request, wherever it comes from.
pub(crate) type Sent = UnsyncBoxBody<Bytes, std::io::Error>;

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    json_as(status, value, "application/json")
}

/// A JSON answer with a more particular content type.
pub(crate) fn json_as(
    status: StatusCode,
    value: &Value,
    content_type: &'static str,
) -> Response<Body> {
    whole(status, Bytes::from(value.to_string()), content_type)
}

/// A plain text answer.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    whole(status, Bytes::from_static(text.as_bytes()), "text/plain; charset=utf-8")
}

/// An answer that is written already.
pub(crate) fn bytes(
    status: StatusCode,
    bytes: Bytes,
    content_type: &'static str,
) -> Response<Body> {
    whole(status, bytes, content_type)
}

fn whole(status: StatusCode, bytes: Bytes, content_type: &'static str) -> Response<Body> {
    let body = Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
    respond(status, body, content_type)
}

/// An answer that goes on.
pub(crate) fn stream<S>(chunks: S, content_type: &'static str) -> Response<Body>
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    try_stream(chunks.map(Ok), content_type)
}

/// An answer that goes on, and is broken off at the first error.
pub(crate) fn try_stream<S>(chunks: S, content_type: &'static str) -> Response<Body>
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
{
    let frames = chunks.map(|chunk| chunk.map(Frame::data));
    let body = UnsyncBoxBody::new(StreamBody::new(frames));
    respond(StatusCode::OK, body, content_type)
}

fn respond(status: StatusCode, body: Body, content_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// The whole body, at most `limit` bytes of it.
///
/// # Errors
/// 413 over the limit, 400 when the client broke off or took too long.
pub(crate) async fn read(body: Sent, limit: usize) -> Result<Bytes, Failure> {
    let collect = Limited::new(body, limit).collect();
    let Ok(collected) = tokio::time::timeout(BODY_TIMEOUT, collect).await else {
        return Err(Failure::bad_request(
            "BODY_INCOMPLETE",
            format!("the request body did not arrive within {} s", BODY_TIMEOUT.as_secs()),
        ));
    };
    match collected {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Failure::too_large(u64::try_from(limit).unwrap_or(u64::MAX)))
        }
        Err(error) => Err(Failure::bad_request(
            "BODY_INCOMPLETE",
            format!("the request body could not be read: {error}"),
        )),
    }
}
