//! The JSON schema of a kind in one plain form: the part of JSON Schema that OpenAPI 3.0, OpenAPI
//! 2.0 and Kubernetes' structural schemas have in common.
//!
//! Types are single (a field that may be absent is not `required`, never "or null"), booleans
//! never stand for schemas, a constant is an enumeration of one, and a reference holds nothing
//! besides its target and a description.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::registry::Kind;

/// Where the generator puts references; the start of every one.
pub(crate) const REFERENCE: &str = "#/$defs/";

/// The schema of a kind: its own and those that it refers to.
#[derive(Clone, Debug)]
pub(crate) struct Normal {
    /// Name of the kind's own definition.
    pub(crate) root: String,
    /// Every definition by name. References are [`reference`]s.
    pub(crate) definitions: BTreeMap<String, Value>,
}

/// The schema of `kind`.
pub(crate) fn normal(kind: &Kind) -> Normal {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let schema = Value::from((kind.type_.schema)(&mut generator));
    let mut definitions: BTreeMap<String, Value> = generator
        .take_definitions(false)
        .into_iter()
        .map(|(name, schema)| (name, plain(schema)))
        .collect();
    let generated = reference(&schema).map(str::to_owned);
    let root = name(kind, generated.as_deref());
    let own = match generated {
        Some(generated) => definitions.remove(&generated).unwrap_or_default(),
        None => plain(schema),
    };
    let own = describe(kind, own);
    definitions.insert(root.clone(), own);
    Normal { root, definitions }
}

/// The name of a kind's definition: Kubernetes' own, or the reversed group, version and kind, as
/// Kubernetes names custom resources.
fn name(kind: &Kind, generated: Option<&str>) -> String {
    match generated {
        Some(name) if name.starts_with("io.k8s.") => name.to_owned(),
        _ => {
            let group: Vec<&str> = kind.group.rsplit('.').collect();
            format!("{}.{}.{}", group.join("."), kind.version, kind.kind)
        }
    }
}

/// Says what the kind is, and that everything at the top may be left out: the path says what is
/// meant, and admission what is missing.
fn describe(kind: &Kind, mut own: Value) -> Value {
    if let Some(own) = own.as_object_mut() {
        if !kind.about.is_empty() {
            own.insert("description".to_owned(), kind.about.into());
        }
        own.remove("required");
    }
    own
}

/// The name that a schema refers to.
pub(crate) fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix(REFERENCE)
}

/// A schema and everything below in the plain form.
pub(crate) fn plain(schema: Value) -> Value {
    let Value::Object(schema) = schema else { return json!({}) };
    let mut schema = unwrap_option(schema);
    if let Some(name) = schema.get("$ref").cloned() {
        let mut reference = Map::from_iter([("$ref".to_owned(), name)]);
        if let Some(description) = schema.remove("description") {
            reference.insert("description".to_owned(), description);
        }
        return Value::Object(reference);
    }
    for keyword in ["$schema", "$defs", "title", "default", "examples", "writeOnly", "readOnly"] {
        schema.remove(keyword);
    }
    single_type(&mut schema);
    constants(&mut schema);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            *property = plain(property.take());
        }
    }
    match schema.get_mut("additionalProperties") {
        Some(values @ Value::Object(_)) => *values = plain(values.take()),
        Some(Value::Bool(_)) => {
            schema.remove("additionalProperties");
        }
        _ => {}
    }
    if let Some(items) = schema.get_mut("items") {
        *items = plain(items.take());
    }
    Value::Object(schema)
}

/// `anyOf: [X, null]` is X; what is said beside it holds for X.
fn unwrap_option(mut schema: Map<String, Value>) -> Map<String, Value> {
    let null = json!({ "type": "null" });
    let Some(Value::Array(any)) = schema.get("anyOf") else { return schema };
    let [inner] = any.iter().filter(|one| **one != null).collect::<Vec<_>>()[..] else {
        return schema;
    };
    let inner = inner.as_object().cloned().unwrap_or_default();
    schema.remove("anyOf");
    for (keyword, value) in inner {
        schema.entry(keyword).or_insert(value);
    }
    schema
}

/// `type: [T, null]` is T.
fn single_type(schema: &mut Map<String, Value>) {
    let Some(Value::Array(types)) = schema.get("type") else { return };
    let first = types.iter().find(|one| *one != "null").cloned();
    match first {
        Some(first) => schema.insert("type".to_owned(), first),
        None => schema.remove("type"),
    };
}

/// Constants, alone or as alternatives, are enumerations.
fn constants(schema: &mut Map<String, Value>) {
    if let Some(value) = schema.remove("const") {
        schema.insert("enum".to_owned(), json!([value]));
    }
    let Some(Value::Array(alternatives)) = schema.get("oneOf") else { return };
    let values: Option<Vec<Value>> =
        alternatives.iter().map(|one| one.get("const").cloned()).collect();
    if let Some(values) = values {
        schema.remove("oneOf");
        schema.insert("type".to_owned(), json!("string"));
        schema.insert("enum".to_owned(), values.into());
    }
}
