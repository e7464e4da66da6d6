//! OpenAPI documents: enough for clients to see that the server itself validates fields. Schemas
//! of the kinds are not served yet, so `kubectl explain` has nothing to show.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::auth::Verb;
use crate::registry::{self, KINDS, Kind};
use crate::route;

/// `/openapi/v3`: the list of documents. The hash lets clients cache them.
pub(crate) fn index() -> Value {
    let paths: Map<String, Value> = registry::group_versions()
        .into_iter()
        .map(|(group, version)| {
            let root = route::root(group, version);
            let hash = Sha256::digest(document(group, version).to_string());
            let hash = crate::auth::hex(&hash[..16]);
            let url = format!("/openapi/v3{root}?hash={hash}");
            (root.trim_start_matches('/').to_owned(), json!({ "serverRelativeURL": url }))
        })
        .collect();
    json!({ "paths": paths })
}

/// The document of a group and version.
pub(crate) fn document(group: &str, version: &str) -> Value {
    let kinds = KINDS.iter().filter(|kind| kind.group == group && kind.version == version);
    let paths: Map<String, Value> = kinds.flat_map(|kind| paths(kind)).collect();
    json!({
        "openapi": "3.0.0",
        "info": { "title": "ebb", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": {} },
    })
}

/// `/openapi/v2`: a document without content, for clients that insist on one.
pub(crate) fn v2() -> Value {
    json!({
        "swagger": "2.0",
        "info": { "title": "ebb", "version": env!("CARGO_PKG_VERSION") },
        "paths": {},
        "definitions": {},
    })
}

fn paths(kind: &Kind) -> [(String, Value); 2] {
    let root = route::root(kind.group, kind.version);
    let namespace = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{namespace}/{}", kind.plural);
    let one = format!("{collection}/{{name}}");
    let operations = |verbs: &[(Verb, &str)]| -> Value {
        let allowed = verbs.iter().filter(|(verb, _)| kind.allows(*verb));
        allowed
            .map(|(verb, method)| ((*method).to_owned(), operation(kind, *verb)))
            .collect::<Map<String, Value>>()
            .into()
    };
    [
        (collection, operations(&[(Verb::List, "get"), (Verb::Create, "post")])),
        (
            one,
            operations(&[
                (Verb::Get, "get"),
                (Verb::Update, "put"),
                (Verb::Patch, "patch"),
                (Verb::Delete, "delete"),
            ]),
        ),
    ]
}

fn operation(kind: &Kind, verb: Verb) -> Value {
    let mut parameters = Vec::new();
    let mut query = |name: &str, type_: &str, description: &str| {
        parameters.push(json!({
            "name": name,
            "in": "query",
            "description": description,
            "schema": { "type": type_, "uniqueItems": true },
        }));
    };
    match verb {
        Verb::Create | Verb::Update | Verb::Patch => {
            query("dryRun", "string", "All: do everything but the commit.");
            query("fieldManager", "string", "Accepted and not used.");
            query("fieldValidation", "string", "Strict, Warn or Ignore unknown fields.");
        }
        Verb::Delete => query("dryRun", "string", "All: do everything but the commit."),
        Verb::List => {
            query("labelSelector", "string", "Which objects, by label.");
            query("fieldSelector", "string", "Which objects, by field.");
            query("limit", "integer", "How many at most in one answer.");
            query("continue", "string", "Where the next answer starts.");
            query("watch", "boolean", "Follow changes instead.");
        }
        Verb::Get | Verb::Watch => {}
    }
    json!({
        "operationId": format!("{}{}", verb.as_str(), kind.kind),
        "parameters": parameters,
        "responses": { "200": { "description": "OK" } },
        "x-kubernetes-action": verb.as_str(),
        "x-kubernetes-group-version-kind": {
            "group": kind.group, "version": kind.version, "kind": kind.kind,
        },
    })
}
