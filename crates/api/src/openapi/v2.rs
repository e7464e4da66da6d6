//! OpenAPI 2.0: everything in one document.

use serde_json::{Map, Value, json};

use super::operations::{self, Operation};
use super::parameters::Parameter;
use super::schemas::{self, STATUS, for_each_below};
use super::v3::{INT_OR_STRING, QUANTITY};
use crate::registry::{self, KINDS};
use crate::schema::normal;

/// The document.
pub(super) fn document() -> Value {
    let definitions: Map<String, Value> = schemas::of(KINDS.iter().copied())
        .into_iter()
        .map(|(name, mut schema)| {
            rewrite(&name, &mut schema);
            (name, schema)
        })
        .collect();
    let paths: Map<String, Value> = registry::group_versions()
        .into_iter()
        .flat_map(|(group, version)| operations::of(group, version))
        .map(|(path, all)| {
            (path, all.iter().map(|one| (one.method.to_owned(), operation(one))).collect())
        })
        .collect();
    json!({
        "swagger": "2.0",
        "info": { "title": "ebb", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {
            "BearerToken": { "type": "apiKey", "name": "authorization", "in": "header" },
        },
        "security": [{ "BearerToken": [] }],
    })
}

/// Writes a schema as OpenAPI 2.0 wants it, which knows no alternatives.
fn rewrite(name: &str, schema: &mut Value) {
    if let Some(target) = normal::reference(schema) {
        schema["$ref"] = json!(format!("#/definitions/{target}"));
        return;
    }
    let Some(object) = schema.as_object_mut() else { return };
    if object.remove("anyOf").is_some() || object.remove("oneOf").is_some() {
        object.remove("type");
    }
    object.remove("nullable");
    if matches!(name, INT_OR_STRING | QUANTITY) {
        object.remove("x-kubernetes-int-or-string");
        object.insert("type".to_owned(), json!("string"));
    }
    if name == INT_OR_STRING {
        object.insert("format".to_owned(), json!("int-or-string"));
    }
    for_each_below(schema, &mut |below| rewrite("", below));
}

fn rewritten(schema: &Value) -> Value {
    let mut schema = schema.clone();
    rewrite("", &mut schema);
    schema
}

fn operation(operation: &Operation) -> Value {
    let mut responses: Map<String, Value> = operation
        .answers
        .iter()
        .map(|(status, _, schema)| {
            (status.to_string(), json!({ "description": "OK", "schema": rewritten(schema) }))
        })
        .collect();
    let failure = rewritten(&schemas::reference(STATUS));
    let failure = json!({ "description": "What was wrong.", "schema": failure });
    responses.insert("default".to_owned(), failure);
    let mut parameters: Vec<Value> = operation.parameters.iter().map(parameter).collect();
    if let Some((_, schema)) = operation.body.last() {
        parameters.push(json!({
            "name": "body",
            "in": "body",
            "required": operation.body_required,
            "schema": rewritten(schema),
        }));
    }
    let produces: Vec<&str> =
        operation.answers.iter().map(|(_, media, _)| *media).take(1).collect();
    let mut value = json!({
        "operationId": operation.id,
        "description": operation.description,
        "parameters": parameters,
        "produces": produces,
        "responses": responses,
    });
    if !operation.body.is_empty() {
        let consumes: Vec<&str> = operation.body.iter().map(|(media, _)| *media).collect();
        value["consumes"] = json!(consumes);
    }
    if !operation.action.is_empty() {
        value["x-kubernetes-action"] = json!(operation.action);
    }
    if let Some(gvk) = &operation.gvk {
        value["x-kubernetes-group-version-kind"] = gvk.clone();
    }
    value
}

fn parameter(parameter: &Parameter) -> Value {
    let mut value = json!({
        "name": parameter.name,
        "in": if parameter.path { "path" } else { "query" },
        "description": parameter.about,
        "type": parameter.type_,
    });
    if parameter.required {
        value["required"] = json!(true);
    }
    parameter.limits(&mut value);
    value
}
