//! OpenAPI documents: what fields the kinds have and what can be done with them, derived from the
//! registry. Made once and kept, with a hash by which clients cache them.

mod gnostic;
mod operations;
mod own;
mod parameters;
mod schemas;
mod v2;
mod v3;

use std::sync::OnceLock;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, HeaderValue, LOCATION};
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::body::Body;
use crate::context::Query;
use crate::document::{Document, FRESH, respond};
use crate::registry;
use crate::route;

/// Seconds that a document which is asked for by its hash may be kept: a year, as in Kubernetes.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// What clients ask for that know protobuf only. The second form is a valid media type.
const PROTOBUF: [&str; 2] = [
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf",
    "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
];

/// `/openapi/v3`: the list of documents.
pub(crate) fn index(headers: &HeaderMap) -> Response<Body> {
    static INDEX: OnceLock<Document> = OnceLock::new();
    let index = INDEX.get_or_init(|| {
        let paths: Map<String, Value> = registry::group_versions()
            .into_iter()
            .filter_map(|(group, version)| {
                let url = url(group, version, document(group, version)?.hash());
                let root = route::root(group, version);
                let path = root.trim_start_matches('/').to_owned();
                Some((path, json!({ "serverRelativeURL": url })))
            })
            .collect();
        Document::json(&json!({ "paths": paths }))
    });
    index.answer(headers, FRESH)
}

fn url(group: &str, version: &str, hash: &str) -> String {
    format!("/openapi/v3{}?hash={hash}", route::root(group, version))
}

/// The document of a group and version. Whoever asks by its hash may keep it; whoever asks by
/// another hash is told the right one.
pub(crate) fn group(
    group: &'static str,
    version: &'static str,
    headers: &HeaderMap,
    query: &Query,
) -> Response<Body> {
    let Some(document) = document(group, version) else { return respond(Bytes::new()) };
    match query.get("hash") {
        None => document.answer(headers, FRESH),
        Some(hash) if hash == document.hash() => document.answer(headers, IMMUTABLE),
        Some(_) => {
            let mut response = respond(Bytes::new());
            *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
            if let Ok(url) = HeaderValue::from_str(&url(group, version, document.hash())) {
                response.headers_mut().insert(LOCATION, url);
            }
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
    }
}

fn document(group: &'static str, version: &'static str) -> Option<&'static Document> {
    static DOCUMENTS: OnceLock<Vec<(&str, &str, OnceLock<Document>)>> = OnceLock::new();
    let documents = DOCUMENTS.get_or_init(|| {
        registry::group_versions().into_iter().map(|(g, v)| (g, v, OnceLock::new())).collect()
    });
    let (.., slot) = documents.iter().find(|(g, v, _)| (*g, *v) == (group, version))?;
    Some(slot.get_or_init(|| Document::json(&v3::document(group, version))))
}

/// `/openapi/v2`: everything in one document, also as protobuf.
pub(crate) fn v2(headers: &HeaderMap) -> Response<Body> {
    static VALUE: OnceLock<[Document; 2]> = OnceLock::new();
    let [json, protobuf] = VALUE.get_or_init(|| {
        let value = v2::document();
        [Document::json(&value), Document::new(gnostic::encode(&value), PROTOBUF[1])]
    });
    let document = if wants_protobuf(headers) { protobuf } else { json };
    document.answer(headers, FRESH)
}

/// The first media range that we can serve decides.
fn wants_protobuf(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept
        .flat_map(|value| value.split(','))
        .find_map(|range| match range.split(';').next().unwrap_or_default().trim() {
            media if PROTOBUF.contains(&media) => Some(true),
            "application/json" | "application/*" | "*/*" => Some(false),
            _ => None,
        })
        .unwrap_or(false)
}

#[cfg(test)]
mod tests;
