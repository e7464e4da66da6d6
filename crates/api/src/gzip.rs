//! Compresses large answers for clients that ask for it.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::{Body as _, Frame, SizeHint};

use crate::body::Body;

/// Answers from this size on are compressed. As in Kubernetes.
const SMALLEST_BYTES: u64 = 128 << 10;
/// The fastest level, as in Kubernetes: most of what there is to gain for a fraction of the time.
const LEVEL: u32 = 1;
/// Bytes that are compressed at a time, about a millisecond's worth.
const STEP_BYTES: usize = 128 << 10;

/// Marks an answer of unknown length that will be large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Large;

/// Compresses the answer when it is large JSON that ends by itself, and the client takes gzip.
pub(crate) fn answer(request: &HeaderMap, response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let json = head
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let large = head.extensions.get::<Large>().is_some()
        || body.size_hint().exact().is_some_and(|bytes| bytes >= SMALLEST_BYTES);
    if !json || !large || head.headers.contains_key(CONTENT_ENCODING) {
        return Response::from_parts(head, body);
    }
    head.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if !accepted(request) {
        return Response::from_parts(head, body);
    }
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    head.headers.remove(CONTENT_LENGTH);
    let encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
    let body = Gzip { inner: body, waiting: Bytes::new(), encoder: Some(encoder) };
    Response::from_parts(head, Body::new(body))
}

/// Whether the client takes gzip. Other than Kubernetes this looks at `q=0` too.
fn accepted(request: &HeaderMap) -> bool {
    let values = request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = parts
            .filter_map(|part| part.strip_prefix("q="))
            .any(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0));
        gzip && !refused
    })
}

struct Gzip {
    inner: Body,
    /// What was read and is not compressed yet.
    waiting: Bytes,
    /// None at the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Gzip {
    /// Compresses the next piece of what waits.
    fn step(&mut self) -> std::io::Result<Bytes> {
        let Some(encoder) = &mut self.encoder else { return Ok(Bytes::new()) };
        let piece = self.waiting.len().min(STEP_BYTES);
        encoder.write_all(&self.waiting[..piece])?;
        self.waiting.advance(piece);
        Ok(Bytes::from(std::mem::take(encoder.get_mut())))
    }
}

impl hyper::body::Body for Gzip {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.encoder.is_none() {
            return Poll::Ready(None);
        }
        if self.waiting.is_empty() {
            match std::task::ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(Ok(frame)) => self.waiting = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    self.encoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    let Some(encoder) = self.encoder.take() else { return Poll::Ready(None) };
                    let last = encoder.finish().map(|last| Frame::data(Bytes::from(last)));
                    return Poll::Ready(Some(last));
                }
            }
        }
        match self.step() {
            // The encoder keeps some: others may run before the next piece.
            Ok(bytes) if bytes.is_empty() => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http::StatusCode;
    use http_body_util::BodyExt as _;
    use serde_json::json;

    use super::*;
    use crate::body;

    fn ask(accept: Option<&str>) -> HeaderMap {
        let values = accept.map(|text| (ACCEPT_ENCODING, text.parse().unwrap()));
        values.into_iter().collect()
    }

    #[tokio::test]
    async fn only_what_is_large_and_wanted_is_compressed() {
        let large = json!(vec!["some text"; 100_000]);
        for (accept, compressed) in [
            (None, false),
            (Some("gzip"), true),
            (Some("br;q=1.0, GZIP;q=0.5"), true),
            (Some("gzip;q=0, identity"), false),
            (Some("deflate"), false),
        ] {
            let response = answer(&ask(accept), body::json(StatusCode::OK, &large));
            assert_eq!(response.headers()[VARY], "Accept-Encoding");
            assert_eq!(response.headers().contains_key(CONTENT_ENCODING), compressed, "{accept:?}");
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            let mut text = String::new();
            if compressed {
                assert!(bytes.len() < 100_000);
                flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
            } else {
                text = String::from_utf8(bytes.to_vec()).unwrap();
            }
            assert_eq!(text, large.to_string());
        }
        let small = answer(&ask(Some("gzip")), body::json(StatusCode::OK, &json!({})));
        assert!(small.headers().get(CONTENT_ENCODING).is_none());
        assert!(small.headers().get(VARY).is_none());
    }

    #[tokio::test]
    async fn a_body_that_breaks_stays_broken() {
        let chunks = futures_util::stream::iter([
            Ok(Bytes::from_static(b"{")),
            Err(std::io::Error::other("on purpose")),
        ]);
        let mut response = body::try_stream(chunks, "application/json");
        response.extensions_mut().insert(Large);
        let response = answer(&ask(Some("gzip")), response);
        assert!(response.into_body().collect().await.is_err());
    }
}
