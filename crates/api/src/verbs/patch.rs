//! Change parts of one object.

use http::Response;
use serde_json::Value;

use super::update::{self, Change};
use super::{apply, warn};
use crate::admission::Strictness;
use crate::body::Body;
use crate::context::{Context, Target};
use crate::decode::{self, Tree};
use crate::patch::{self as form, json, strategic};
use crate::status::Failure;
use crate::{meta, schema};
use ebb_model::{Fault, Kind as FaultKind};

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Changes what is stored by a patch in the form that its content type says.
pub(crate) async fn patch(
    context: &Context,
    target: &Target,
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<Response<Body>, Failure> {
    if content_type != Some(APPLY) && context.query.get("force").is_some() {
        let why = "Forbidden: may not be specified for non-apply patch";
        let fault = Fault::new("INVALID_PARAMETER", FaultKind::Invalid, why).at("force");
        return Err(Failure::invalid_options("PatchOptions", "meta.k8s.io", "", vec![fault]));
    }
    match content_type {
        Some(MERGE) => {
            let changes = object(bytes)?;
            merged(context, target, &changes, |old, patch| {
                let mut value = old.clone();
                form::merge(&mut value, patch);
                Ok(value)
            })
            .await
        }
        Some(STRATEGIC) if target.kind.strategic => {
            let changes = object(bytes)?;
            let node = schema::of(target.kind);
            merged(context, target, &changes, |old, patch| strategic::merge(node, old, patch)).await
        }
        Some(JSON) => operations(context, target, bytes).await,
        Some(APPLY) => apply::apply(context, target, bytes).await,
        other => Err(refuse(target, other)),
    }
}

fn object(bytes: &[u8]) -> Result<Tree, Failure> {
    let changes = decode::json(bytes)?;
    if changes.value.is_object() {
        return Ok(changes);
    }
    Err(Failure::bad_request("INVALID_PATCH", "error decoding patch: it is not an object"))
}

async fn merged(
    context: &Context,
    target: &Target,
    changes: &Tree,
    merge: impl Fn(&Value, &Value) -> Result<Value, Failure>,
) -> Result<Response<Body>, Failure> {
    let versioned = meta::text(&changes.value, "resourceVersion").is_some();
    update::change(context, target, "PatchOptions", |old| {
        let value = merge(old, &changes.value)?;
        let tree = Tree { value, duplicates: changes.duplicates.clone() };
        Ok(Change { tree, versioned, must_be: false, managers: None })
    })
    .await
}

async fn operations(
    context: &Context,
    target: &Target,
    bytes: &[u8],
) -> Result<Response<Body>, Failure> {
    let tree = decode::json(bytes)?;
    let patch = json::read(&tree)?;
    let duplicates = tree.duplicates.iter().map(|path| ("DUPLICATE_KEY", "duplicate", path));
    let faults: Vec<Fault> = patch
        .unknown
        .iter()
        .map(|path| ("UNKNOWN_FIELD", "unknown", path))
        .chain(duplicates)
        .map(|(code, word, path)| {
            let message = format!("json patch {word} field {path:?}");
            Fault::new(code, FaultKind::Invalid, message).at(path.clone())
        })
        .collect();
    let sentences: Vec<String> = faults.iter().map(|fault| fault.message.clone()).collect();
    let strictness = Strictness::of(&context.query)?;
    if strictness == Strictness::Strict && !faults.is_empty() {
        let message = format!("strict decoding error: {}", sentences.join(", "));
        return Err(Failure::bad_body(message, faults));
    }
    let limit = context.app.max_body_bytes;
    let response = update::change(context, target, "PatchOptions", |old| {
        let value = json::apply(&patch, old, limit)?;
        // A version that the patch wrote is one that the client saw; that of the object is not.
        let written = meta::text(&value, "resourceVersion");
        let versioned = written.is_some() && written != meta::text(old, "resourceVersion");
        Ok(Change {
            tree: Tree { value, duplicates: Vec::new() },
            versioned,
            must_be: false,
            managers: None,
        })
    })
    .await?;
    let warnings = if strictness == Strictness::Warn { sentences } else { Vec::new() };
    Ok(warn(response, &warnings))
}

fn refuse(target: &Target, content_type: Option<&str>) -> Failure {
    let mut accepted = vec![JSON, MERGE, APPLY];
    if target.kind.strategic {
        accepted.push(STRATEGIC);
    }
    Failure::unsupported_media_type(format!(
        "the body of the request was in an unknown format ({}): accepted media types include {}",
        content_type.unwrap_or("no Content-Type"),
        accepted.join(", ")
    ))
}
