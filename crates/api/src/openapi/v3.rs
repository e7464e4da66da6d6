//! OpenAPI 3.0: one document per group and version.

use serde_json::{Map, Value, json};

use super::operations::{self, Operation};
use super::parameters::Parameter;
use super::schemas::{self, STATUS, for_each_below};
use crate::registry::KINDS;
use crate::schema::normal;

/// Names of the definitions that stand for a number or a text.
pub(super) const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
/// The other one.
pub(super) const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// The document of a group and version.
pub(super) fn document(group: &'static str, version: &'static str) -> Value {
    let kinds = KINDS.iter().copied();
    let kinds = kinds.filter(|kind| kind.group == group && kind.version == version);
    let schemas: Map<String, Value> = schemas::of(kinds)
        .into_iter()
        .map(|(name, mut schema)| {
            rewrite(&name, &mut schema);
            (name, schema)
        })
        .collect();
    let paths: Map<String, Value> = operations::of(group, version)
        .into_iter()
        .map(|(path, all)| {
            (path, all.iter().map(|one| (one.method.to_owned(), operation(one))).collect())
        })
        .collect();
    json!({
        "openapi": "3.0.0",
        "info": { "title": "ebb", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "BearerToken": { "type": "http", "scheme": "bearer" } },
        },
        "security": [{ "BearerToken": [] }],
    })
}

/// Writes a schema as OpenAPI 3.0 wants it: nothing stands beside a reference.
fn rewrite(name: &str, schema: &mut Value) {
    if let Some(target) = normal::reference(schema) {
        let target = json!({ "$ref": format!("#/components/schemas/{target}") });
        *schema = match schema.get("description").cloned() {
            Some(description) => json!({ "allOf": [target], "description": description }),
            None => target,
        };
        return;
    }
    if schema.get("x-kubernetes-int-or-string").is_some()
        && let Some(schema) = schema.as_object_mut()
    {
        int_or_string(name, schema);
    }
    for_each_below(schema, &mut |below| rewrite("", below));
}

fn int_or_string(name: &str, schema: &mut Map<String, Value>) {
    let either = |number: &str| json!([{ "type": number }, { "type": "string" }]);
    match name {
        INT_OR_STRING => {
            schema.remove("x-kubernetes-int-or-string");
            schema.insert("format".to_owned(), json!("int-or-string"));
            schema.insert("oneOf".to_owned(), either("integer"));
        }
        QUANTITY => {
            schema.remove("x-kubernetes-int-or-string");
            schema.insert("oneOf".to_owned(), either("number"));
        }
        _ => {
            schema.insert("anyOf".to_owned(), either("number"));
        }
    }
}

fn operation(operation: &Operation) -> Value {
    let media = |all: &[(&str, Value)]| -> Map<String, Value> {
        let one = |(media, schema): &(&str, Value)| {
            let mut schema = schema.clone();
            rewrite("", &mut schema);
            ((*media).to_owned(), json!({ "schema": schema }))
        };
        all.iter().map(one).collect()
    };
    let mut responses: Map<String, Value> = operation
        .answers
        .iter()
        .map(|(status, name, schema)| {
            let content = media(&[(*name, schema.clone())]);
            (status.to_string(), json!({ "description": "OK", "content": content }))
        })
        .collect();
    let failure = media(&[("application/json", schemas::reference(STATUS))]);
    let failure = json!({ "description": "What was wrong.", "content": failure });
    responses.insert("default".to_owned(), failure);
    let mut value = json!({
        "operationId": operation.id,
        "description": operation.description,
        "parameters": operation.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "responses": responses,
    });
    if !operation.body.is_empty() {
        let content = media(&operation.body);
        value["requestBody"] = json!({ "content": content, "required": operation.body_required });
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
    let mut schema = json!({ "type": parameter.type_ });
    parameter.limits(&mut schema);
    let mut value = json!({
        "name": parameter.name,
        "in": if parameter.path { "path" } else { "query" },
        "description": parameter.about,
        "schema": schema,
    });
    if parameter.required {
        value["required"] = json!(true);
    }
    value
}
