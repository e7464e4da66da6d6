//! One file per verb. A verb knows no kind; what is particular stands in the registry.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod namespace;
pub(crate) mod patch;
pub(crate) mod revision;
pub(crate) mod update;
pub(crate) mod watch;

use ebb_store::{Commit, Precondition, Write};
use http::header::{HeaderValue, WARNING};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::body::{self, Body};
use crate::context::{Context, Target};
use crate::decode::{self, Tree};
use crate::status::Failure;
use crate::table::{self, Include};

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
fn object(
    context: &Context,
    target: &Target,
    status: StatusCode,
    object: Value,
) -> Result<Response<Body>, Failure> {
    if !context.table {
        return Ok(body::json(status, &object));
    }
    let include = Include::of(&context.query)?;
    let version = object["metadata"]["resourceVersion"].clone();
    let metadata = json!({ "resourceVersion": version });
    let now = context.app.deps.clock.now();
    let table = table::table(target.kind, &[object], &metadata, include, true, now);
    Ok(body::json_as(status, &table, TABLE))
}

/// Reads the body of a create or update. Without a content type it is JSON, as in Kubernetes: its
/// Python client sends none.
fn body_tree(content_type: Option<&str>, bytes: &[u8]) -> Result<Tree, Failure> {
    match content_type {
        None | Some("application/json") => decode::json(bytes),
        Some("application/yaml" | "application/x-yaml" | "text/yaml") => decode::yaml(bytes),
        Some("application/vnd.kubernetes.protobuf") => Err(Failure::unsupported_media_type(
            "protobuf bodies are not taken yet: send application/json or application/yaml \
             (kubectl create --dry-run=client -o yaml ... | kubectl apply -f - does)",
        )),
        Some(other) => Err(Failure::unsupported_media_type(format!(
            "the body of the request was in an unknown format ({other}): application/json and \
             application/yaml are accepted"
        ))),
    }
}

/// Adds a `Warning` header for each sentence.
fn warn(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    for warning in warnings {
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
