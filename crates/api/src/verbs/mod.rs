//! One file per verb. A verb knows no kind; what is particular stands in the registry.

pub(crate) mod apply;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod delete_collection;
pub(crate) mod delete_options;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod namespace;
pub(crate) mod patch;
mod pod;
pub(crate) mod review;
pub(crate) mod revision;
pub(crate) mod scale;
pub(crate) mod status;
pub(crate) mod update;
pub(crate) mod watch;
pub(crate) mod writer;

use ebb_store::{Commit, Precondition, Write};
use http::header::{HeaderValue, WARNING};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::body::{self, Body};
use crate::context::{Context, Target, View};
use crate::decode::{self, Tree};
use crate::protobuf;
use crate::registry::Kind;
use crate::status::Failure;
use crate::table;

/// Content type of a table.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// A commit in the name of the request.
fn commit(context: &Context, preconditions: Vec<Precondition>, writes: Vec<Write>) -> Commit {
    Commit {
        preconditions,
        writes,
        actor: context.actor(),
        request_id: context.request_id.clone(),
        idempotency_key: None,
    }
}

/// One object as the client wants it.
fn object(context: &Context, target: &Target, status: StatusCode, object: Value) -> Response<Body> {
    let include = match context.view {
        View::Whole => return body::json(status, &object),
        View::Metadata => return body::json(status, &table::partial(&object)),
        View::Table(include) => include,
    };
    let version = object["metadata"]["resourceVersion"].clone();
    let metadata = json!({ "resourceVersion": version });
    let now = context.app.deps.clock.now();
    let table = table::table(target.kind, &[object], &metadata, include, true, now);
    body::json_as(status, &table, TABLE)
}

/// Reads the body of a create or update. Without a content type it is JSON, as in Kubernetes: its
/// Python client sends none.
fn body_tree(kind: &Kind, content_type: Option<&str>, bytes: &[u8]) -> Result<Tree, Failure> {
    match content_type {
        None | Some("application/json") => decode::json(bytes),
        Some("application/yaml" | "application/x-yaml" | "text/yaml") => decode::yaml(bytes),
        Some(protobuf::CONTENT_TYPE) => protobuf::object(kind, bytes),
        Some(other) => Err(Failure::unsupported_media_type(format!(
            "the body of the request was in an unknown format ({other}): application/json and \
             application/yaml are accepted"
        ))),
    }
}

/// Characters of all warnings together, and of each once they would be more. As in Kubernetes:
/// many clients refuse an answer with a longer head.
const MAX_WARNINGS: usize = 4 << 10;
const MAX_WARNING: usize = 256;
/// Warnings of one answer: Python's HTTP library refuses more than 100 headers.
const MOST_WARNINGS: usize = 80;

/// Adds a `Warning` header for each sentence, as far as there is room.
fn warn(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    let all: usize = warnings.iter().map(|warning| warning.chars().count()).sum();
    let each = if all > MAX_WARNINGS { MAX_WARNING } else { MAX_WARNINGS };
    let mut room = MAX_WARNINGS;
    for warning in warnings.iter().take(MOST_WARNINGS) {
        let warning: String = warning.chars().take(each).collect();
        let Some(left) = room.checked_sub(warning.chars().count()) else { break };
        room = left;
        let escaped: String = warning
            .chars()
            .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
            .flat_map(|c| {
                let quoted = matches!(c, '"' | '\\');
                quoted.then_some('\\').into_iter().chain(std::iter::once(c))
            })
            .collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{escaped}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}
