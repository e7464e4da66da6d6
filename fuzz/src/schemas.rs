//! The documents that the door publishes about itself, and objects made from them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

use crate::case::Case;
use crate::door::Door;
use crate::mutate;

/// How deep objects are made.
const DEPTH_MAX: usize = 12;

/// Schemas of every kind, by kind.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    /// By the name that references use.
    named: BTreeMap<String, Value>,
    /// API version, kind and name of the schema.
    kinds: Vec<(String, String, String)>,
}

impl Schemas {
    /// Reads every `OpenAPI` document of the door.
    ///
    /// # Errors
    /// When one is missing or not JSON.
    pub async fn read(door: &Door) -> Result<Self> {
        let mut schemas = Self::default();
        let index = get(door, "/openapi/v3").await?;
        for (_, entry) in index["paths"].as_object().into_iter().flatten() {
            let url = entry["serverRelativeURL"].as_str().context("no URL")?;
            let document = get(door, url).await?;
            for (name, schema) in
                document["components"]["schemas"].as_object().into_iter().flatten()
            {
                schemas.add(name, schema);
            }
        }
        Ok(schemas)
    }

    fn add(&mut self, name: &str, schema: &Value) {
        let known = schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
        for gvk in known {
            let text = |field: &str| gvk[field].as_str().unwrap_or_default().to_owned();
            let (group, version, kind) = (text("group"), text("version"), text("kind"));
            let api_version = if group.is_empty() { version } else { format!("{group}/{version}") };
            self.kinds.push((api_version, kind, name.to_owned()));
        }
        self.named.insert(name.to_owned(), schema.clone());
    }

    /// How many kinds there are schemas of.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// Whether the door publishes none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// An object of the kind whose plural is like this, as its schema allows; none when there is no
    /// such kind.
    pub fn object(&self, rng: &mut StdRng, plural: &str, name: &str) -> Option<Value> {
        let like = |kind: &str| format!("{}s", kind.to_lowercase()) == plural;
        let (api_version, kind, schema) = self.kinds.iter().find(|(_, kind, _)| like(kind))?;
        let mut object = self.instance(rng, self.named.get(schema)?, 0);
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        if !object["metadata"].is_object() || rng.random_bool(0.7) {
            object["metadata"] = json!({});
        }
        object["metadata"]["name"] = json!(name);
        Some(object)
    }

    fn instance(&self, rng: &mut StdRng, schema: &Value, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            return Value::Null;
        }
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            return self.named.get(name).map_or(Value::Null, |s| self.instance(rng, s, depth + 1));
        }
        for word in ["allOf", "anyOf", "oneOf"] {
            if let Some(options) = schema[word].as_array().filter(|options| !options.is_empty()) {
                let option = mutate::pick(rng, options);
                return self.instance(rng, option, depth + 1);
            }
        }
        if let Some(options) = schema["enum"].as_array().filter(|options| !options.is_empty()) {
            return mutate::pick(rng, options).clone();
        }
        match schema["type"].as_str() {
            Some("object") => self.map(rng, schema, depth),
            Some("array") => (0..rng.random_range(0..3))
                .map(|_| self.instance(rng, &schema["items"], depth + 1))
                .collect(),
            Some("integer") => json!(*mutate::pick(rng, &[0_i64, 1, 2, 80, 100, 8_080, 300, -1])),
            Some("number") => json!(1.5),
            Some("boolean") => json!(rng.random::<bool>()),
            Some("string") => match schema["format"].as_str() {
                Some("date-time") => json!("2024-01-01T00:00:00Z"),
                Some("byte") => json!("dg=="),
                _ => json!(mutate::text(rng)),
            },
            _ => mutate::value(rng, 1),
        }
    }

    fn map(&self, rng: &mut StdRng, schema: &Value, depth: usize) -> Value {
        let mut map = Map::new();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            // Few fields each time: an object with all of them is always refused for some.
            let chance = if depth < 3 { 0.4 } else { 0.15 };
            if required.contains(&key.as_str()) || rng.random_bool(chance) {
                map.insert(key.clone(), self.instance(rng, property, depth + 1));
            }
        }
        if schema["additionalProperties"].is_object() {
            for _ in 0..rng.random_range(0..3) {
                map.insert(
                    mutate::text(rng),
                    self.instance(rng, &schema["additionalProperties"], depth + 1),
                );
            }
        }
        Value::Object(map)
    }
}

async fn get(door: &Door, path: &str) -> Result<Value> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = if query.is_empty() { Vec::new() } else { vec![query.to_owned()] };
    let case = Case { method: "GET".to_owned(), path: path.to_owned(), query, ..Case::default() };
    let answer = door.ask(&case).await.context("not HTTP")?;
    anyhow::ensure!(answer.status == 200, "{path}: {}", answer.status);
    answer.json().with_context(|| format!("{path} is not JSON"))
}
