//! A document that changes with the program only: sent with a hash of its content, so that a client
//! which has it is told so and nothing else.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::body::Body;

/// `Cache-Control` of a document that must be asked for each time.
pub(crate) const FRESH: &str = "no-cache, private";

/// A document as it is sent.
pub(crate) struct Document {
    bytes: Bytes,
    hash: String,
    content_type: &'static str,
}

impl Document {
    /// With a content type.
    pub(crate) fn new(bytes: Vec<u8>, content_type: &'static str) -> Self {
        let hash = crate::auth::hex(&Sha256::digest(&bytes)[..16]);
        Self { bytes: Bytes::from(bytes), hash, content_type }
    }

    /// As JSON.
    pub(crate) fn json(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes(), "application/json")
    }

    /// Hash of the content, in hexadecimal.
    pub(crate) fn hash(&self) -> &str {
        &self.hash
    }

    /// The document, or that the client has it.
    pub(crate) fn answer(&self, headers: &HeaderMap, cache: &'static str) -> Response<Body> {
        let tag = format!("\"{}\"", self.hash);
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let known = known.flat_map(|value| value.split(',')).any(|one| one.trim() == tag);
        let bytes = if known { Bytes::new() } else { self.bytes.clone() };
        let mut response = respond(bytes);
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            headers.insert(ETAG, tag);
        }
        response
    }
}

/// An answer of these bytes.
pub(crate) fn respond(bytes: Bytes) -> Response<Body> {
    Response::new(Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
}
