//! Every schema that the documents need, by its published name, with what Kubernetes says about
//! merging. References are still those of [`crate::schema::normal`]; each document writes its own.

use std::collections::BTreeMap;

use ebb_model::k8s::api::autoscaling::v1::Scale;
use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::{
    APIResourceList, DeleteOptions, ListMeta, Status,
};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::registry::{Kind, Subresource};
use crate::schema::ListMerge;
use crate::schema::facts::{self, Origin};
use crate::schema::normal::{self, Normal};

/// Definitions by name.
pub(super) type Schemas = BTreeMap<String, Value>;

/// Name of the schema of what a failed request is answered with.
pub(super) const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
/// Name of the schema of how an object is deleted.
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
/// Name of the schema of the resources of a group and version.
pub(super) const RESOURCES: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList";
/// Name of the schema of `scale`.
pub(super) const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// A reference in the form that every document rewrites.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{}{name}", normal::REFERENCE) })
}

/// Everything that the documents of `kinds` refer to.
pub(super) fn of<'a>(kinds: impl Iterator<Item = &'a Kind>) -> Schemas {
    let mut schemas = Schemas::new();
    for kind in kinds {
        let normal = normal::normal(kind);
        let own = gvk(kind.group, kind.version, kind.kind);
        schemas.insert(list_name(&normal.root), list(kind, &normal.root));
        match Origin::of(kind) {
            Origin::Builtin => builtin(&normal, &own, &mut schemas),
            Origin::Custom => custom(&normal, &own, &mut schemas),
        }
        if kind.subresources.contains(&Subresource::Scale) && !schemas.contains_key(SCALE) {
            shared::<Scale>(&mut schemas);
            mark(&mut schemas, SCALE, &gvk("autoscaling", "v1", "Scale"));
        }
    }
    shared::<Status>(&mut schemas);
    shared::<DeleteOptions>(&mut schemas);
    shared::<APIResourceList>(&mut schemas);
    shared::<ListMeta>(&mut schemas);
    for (name, kind) in [(STATUS, "Status"), (DELETE_OPTIONS, "DeleteOptions")] {
        mark(&mut schemas, name, &gvk("", "v1", kind));
    }
    schemas
}

/// `group`, `version`, `kind` as the documents give them.
pub(super) fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!({ "group": group, "version": version, "kind": kind })
}

/// Name of the list of a kind's definition.
pub(super) fn list_name(root: &str) -> String {
    format!("{root}List")
}

fn mark(schemas: &mut Schemas, name: &str, gvk: &Value) {
    if let Some(Value::Object(schema)) = schemas.get_mut(name) {
        schema.insert("x-kubernetes-group-version-kind".to_owned(), json!([gvk]));
    }
}

/// A type that belongs to no kind, with what it refers to.
fn shared<T: JsonSchema>(schemas: &mut Schemas) {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let _ = generator.subschema_for::<T>();
    for (name, schema) in generator.take_definitions(false) {
        schemas.entry(name.clone()).or_insert_with(|| {
            let mut schema = normal::plain(schema);
            annotate(Origin::Builtin, &name, &mut schema);
            schema
        });
    }
}

/// Kubernetes' own kinds: one definition per type.
fn builtin(normal: &Normal, own: &Value, schemas: &mut Schemas) {
    for (name, schema) in &normal.definitions {
        schemas.entry(name.clone()).or_insert_with(|| {
            let mut schema = schema.clone();
            annotate(Origin::Builtin, name, &mut schema);
            schema
        });
    }
    mark(schemas, &normal.root, own);
}

/// Custom resources: one definition per kind with everything written out, as Kubernetes publishes
/// them, because the same type is merged differently in them.
fn custom(normal: &Normal, own: &Value, schemas: &mut Schemas) {
    let mut definitions = normal.definitions.clone();
    for (name, schema) in &mut definitions {
        annotate(Origin::Custom, name, schema);
        if name.ends_with(".Container") {
            // Such a container may be nameless: there is only one that takes requests.
            remove_required(schema, "name");
        }
    }
    let mut root = definitions.get(&normal.root).cloned().unwrap_or_default();
    write_out(&mut root, &definitions, &mut vec![normal.root.as_str()]);
    schemas.insert(normal.root.clone(), root);
    mark(schemas, &normal.root, own);
    shared::<ebb_model::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta>(schemas);
}

fn remove_required(schema: &mut Value, field: &str) {
    let Some(Value::Array(required)) = schema.get_mut("required") else { return };
    required.retain(|name| name != field);
    if required.is_empty()
        && let Some(schema) = schema.as_object_mut()
    {
        schema.remove("required");
    }
}

/// Puts the definition in the place of every reference, but for metadata.
fn write_out<'a>(schema: &mut Value, definitions: &'a Schemas, open: &mut Vec<&'a str>) {
    let Some(name) = normal::reference(schema).map(str::to_owned) else {
        for_each_below(schema, &mut |below| write_out(below, definitions, open));
        return;
    };
    if name == OBJECT_META {
        return;
    }
    let description = schema.get("description").cloned();
    let Some((name, found)) = definitions.get_key_value(&name) else { return };
    *schema = if open.contains(&name.as_str()) { json!({}) } else { found.clone() };
    if let (Some(description), Some(schema)) = (description, schema.as_object_mut()) {
        schema.insert("description".to_owned(), description);
    }
    open.push(name);
    for_each_below(schema, &mut |below| write_out(below, definitions, open));
    open.pop();
}

/// Calls `each` for every schema directly below one.
pub(super) fn for_each_below(schema: &mut Value, each: &mut dyn FnMut(&mut Value)) {
    let Some(schema) = schema.as_object_mut() else { return };
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(&mut *each);
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(below) = schema.get_mut(keyword) {
            each(below);
        }
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        if let Some(Value::Array(alternatives)) = schema.get_mut(keyword) {
            alternatives.iter_mut().for_each(&mut *each);
        }
    }
}

/// Says how a definition and its fields are merged.
fn annotate(origin: Origin, definition: &str, schema: &mut Value) {
    if facts::atomic_struct(origin, definition)
        && let Some(schema) = schema.as_object_mut()
    {
        schema.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    }
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        // Known to be refused, so whatever it holds.
        if origin == Origin::Custom {
            keep_unknown(schema);
        }
        return;
    };
    for (field, property) in properties {
        annotate_field(origin, definition, field, property);
    }
}

fn annotate_field(origin: Origin, definition: &str, field: &str, property: &mut Value) {
    if origin == Origin::Custom {
        keep_unknown(property);
    }
    let Some(property) = property.as_object_mut() else { return };
    match property.get("type").and_then(Value::as_str) {
        Some("array") => annotate_list(facts::list(origin, definition, field), property),
        Some("object") if facts::atomic_map(definition, field) => {
            property.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
        }
        _ => {}
    }
}

/// A schema that says nothing takes anything; custom resources say so.
fn keep_unknown(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    if schema.keys().all(|keyword| keyword == "description") {
        schema.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
    }
}

fn annotate_list(facts: facts::List, property: &mut Map<String, Value>) {
    let (merge, keys) = match facts.merge {
        ListMerge::Atomic => ("atomic", None),
        ListMerge::Set => ("set", None),
        ListMerge::Map(keys) => ("map", Some(keys)),
    };
    property.insert("x-kubernetes-list-type".to_owned(), json!(merge));
    if let Some(keys) = keys {
        property.insert("x-kubernetes-list-map-keys".to_owned(), json!(keys));
    }
    let Some(key) = facts.patch_key else { return };
    let strategy = if facts.retain_keys { "merge,retainKeys" } else { "merge" };
    property.insert("x-kubernetes-patch-strategy".to_owned(), json!(strategy));
    if !key.is_empty() {
        property.insert("x-kubernetes-patch-merge-key".to_owned(), json!(key));
    }
}

fn list(kind: &Kind, root: &str) -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let mut items = reference(root);
    if let Some(items) = items.as_object_mut() {
        items.remove("description");
    }
    let mut metadata = reference(LIST_META);
    metadata["description"] = json!("Version of the list, and where its next page starts.");
    json!({
        "description": format!("{}List is a list of {}.", kind.kind, kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": text("Group and version of the list."),
            "kind": text("Kind of the list."),
            "metadata": metadata,
            "items": { "type": "array", "items": items, "description": "The objects." },
        },
        "x-kubernetes-group-version-kind":
            [gvk(kind.group, kind.version, &format!("{}List", kind.kind))],
    })
}
