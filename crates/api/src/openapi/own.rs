//! The operations under `ebb.dev/v1` that belong to no kind of the registry: images, and why a
//! Service has the instances that it has.

use serde_json::{Value, json};

use super::operations::{Operation, Paths, group_name};
use super::parameters::{NAME, NAMESPACE, Parameter, text};
use super::schemas::{self, STATUS};
use crate::images::{GROUP, VERSION};
use crate::route;

const JSON: &str = "application/json";

/// Adds them.
pub(super) fn operations(paths: &mut Paths) {
    let root = route::root(GROUP, VERSION);
    let group = group_name(GROUP, VERSION);
    let list = Operation {
        id: format!("list{group}Image"),
        description: "List the images of the platform.".to_owned(),
        action: "list",
        gvk: Some(schemas::gvk(GROUP, VERSION, "Image")),
        answers: vec![(200, JSON, images())],
        ..Operation::new("get")
    };
    let delete = Operation {
        id: format!("delete{group}Image"),
        description: "Remove a name of an image, or an image with all its names.".to_owned(),
        parameters: vec![Parameter {
            required: true,
            ..text("reference", "The name, or a digest for every name of it.")
        }],
        answers: vec![(200, JSON, schemas::reference(STATUS))],
        ..Operation::new("delete")
    };
    paths.insert(format!("{root}/images"), vec![list, delete]);
    let load = Operation {
        id: format!("load{group}Image"),
        description: "Take in an archive of images.".to_owned(),
        parameters: vec![text("name", "Name for an image that the archive does not name.")],
        body: vec![("application/x-tar", json!({ "type": "string", "format": "binary" }))],
        body_required: true,
        answers: vec![(201, JSON, images())],
        ..Operation::new("post")
    };
    paths.insert(format!("{root}/images/load"), vec![load]);
    let explain = Operation {
        id: format!("explain{group}NamespacedService"),
        description: "Read why a Service has the instances that it has.".to_owned(),
        parameters: vec![NAME, NAMESPACE],
        answers: vec![(200, JSON, explanation())],
        ..Operation::new("get")
    };
    let path = format!("{root}/namespaces/{{namespace}}/services/{{name}}/explain");
    paths.insert(path, vec![explain]);
}

fn typed(kind: &str, mut properties: Value) -> Value {
    properties["apiVersion"] = json!({ "type": "string", "enum": [format!("{GROUP}/{VERSION}")] });
    properties["kind"] = json!({ "type": "string", "enum": [kind] });
    json!({ "type": "object", "required": ["apiVersion", "kind"], "properties": properties })
}

fn images() -> Value {
    let image = typed(
        "Image",
        json!({
            "metadata": { "type": "object" },
            "reference": { "type": "string", "nullable": true, "description": "Name and tag." },
            "digest": { "type": "string", "description": "Digest of the manifest." },
        }),
    );
    typed(
        "ImageList",
        json!({
            "metadata": { "type": "object" },
            "items": { "type": "array", "items": image },
        }),
    )
}

fn explanation() -> Value {
    let list = |description: &str| json!({ "type": "array", "items": { "type": "object" }, "description": description });
    typed(
        "Explanation",
        json!({
            "metadata": { "type": "object" },
            "decisions": list("Scaling decisions, newest last."),
            "coldStarts": list("Cold requests, newest last."),
        }),
    )
}
