//! From a kind's schema to its merge view.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::facts::{self, Origin};
use super::normal::{Normal, normal, reference};
use super::{ListMerge, Node};
use crate::registry::Kind;

/// The merge view of `kind`.
pub(super) fn compile(kind: &Kind) -> Node {
    let normal = normal(kind);
    let mut compiler = Compiler { normal: &normal, origin: Origin::of(kind), open: Vec::new() };
    compiler.definition(&normal.root)
}

struct Compiler<'a> {
    normal: &'a Normal,
    origin: Origin,
    /// Definitions that are being compiled: a type that holds itself is anything inside itself.
    open: Vec<&'a str>,
}

impl<'a> Compiler<'a> {
    fn definition(&mut self, name: &'a str) -> Node {
        if self.open.contains(&name) {
            return Node::Any;
        }
        let Some(schema) = self.normal.definitions.get(name) else { return Node::Any };
        self.open.push(name);
        let mut node = self.schema(schema, name, "");
        self.open.pop();
        if let Node::Struct { atomic, .. } = &mut node {
            *atomic = facts::atomic_struct(self.origin, name);
        }
        node
    }

    /// A schema that stands in `field` of the definition `owner`.
    fn schema(&mut self, schema: &'a Value, owner: &'a str, field: &str) -> Node {
        if let Some(name) = reference(schema) {
            return self.definition(name);
        }
        match schema["type"].as_str() {
            Some("array") => self.list(schema, owner, field),
            Some("object") => {
                if let Some(Value::Object(properties)) = schema.get("properties") {
                    Node::Struct { fields: self.fields(properties, owner), atomic: false }
                } else if let Some(values) = schema.get("additionalProperties") {
                    let values = Box::new(self.schema(values, owner, field));
                    Node::Map { values, atomic: facts::atomic_map(owner, field) }
                } else {
                    Node::Any
                }
            }
            Some(_) => Node::Scalar,
            None if schema.get("x-kubernetes-int-or-string").is_some() => Node::Scalar,
            None => Node::Any,
        }
    }

    fn fields(
        &mut self,
        properties: &'a Map<String, Value>,
        owner: &'a str,
    ) -> BTreeMap<String, Node> {
        properties
            .iter()
            .map(|(name, schema)| (name.clone(), self.schema(schema, owner, name)))
            .collect()
    }

    fn list(&mut self, schema: &'a Value, owner: &'a str, field: &str) -> Node {
        let facts = facts::list(self.origin, owner, field);
        let items = schema.get("items").map_or(Node::Any, |items| self.schema(items, owner, field));
        // A key that the elements do not have would merge nothing.
        if let (ListMerge::Map(keys), Node::Struct { fields, .. }) = (facts.merge, &items) {
            debug_assert!(keys.iter().all(|key| fields.contains_key(*key)), "{owner}.{field}");
        }
        Node::List { items: Box::new(items), merge: facts.merge, patch_key: facts.patch_key }
    }
}
