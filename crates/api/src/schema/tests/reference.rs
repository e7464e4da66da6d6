//! The reference pages of the kinds (`docs/reference/kinds`), written from what the registry and
//! the types say. `UPDATE_REFERENCE=1 cargo test -p ebb-api` writes them; without it the test
//! fails when a page is out of date.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::auth::Verb;
use crate::registry::{Backing, KINDS, Kind, Subresource, find};
use crate::route;
use crate::schema::ListMerge;
use crate::schema::facts::{self, Origin};
use crate::schema::normal::{Normal, normal, reference};

const SERVING: &str = "serving.knative.dev";

/// The parts of big types of Kubernetes' own that controllers write; the rest stays empty.
const WRITTEN: &[(&str, &[&str])] = &[
    (
        "Pod",
        &[
            "spec.containers[].name",
            "spec.containers[].image",
            "spec.containers[].command",
            "spec.containers[].args",
            "spec.containers[].ports",
            "spec.containers[].resources",
            "spec.containers[].workingDir",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.runtimeClassName",
            "spec.terminationGracePeriodSeconds",
            "status.conditions",
            "status.containerStatuses",
            "status.message",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.qosClass",
            "status.reason",
            "status.startTime",
        ],
    ),
    (
        "Node",
        &["spec", "status.allocatable", "status.capacity", "status.conditions", "status.nodeInfo"],
    ),
];
/// How deep the fields of such a type are shown.
const WRITTEN_DEPTH: usize = 3;

fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/kinds"))
}

fn file_name(kind: &Kind) -> String {
    let group = if kind.group.is_empty() { "core" } else { kind.group };
    format!("{group}_{}.md", kind.kind.to_lowercase())
}

/// Every page by file name.
fn pages() -> BTreeMap<String, String> {
    let mut pages: BTreeMap<String, String> =
        KINDS.iter().map(|kind| (file_name(kind), page(kind))).collect();
    pages.insert("README.md".to_owned(), index());
    pages
}

fn index() -> String {
    let mut text = "# Kinds\n\nWhat the API serves, one page per kind, written from the types \
                    themselves. `kubectl explain` shows the same.\n\n| kind | group | what it is \
                    |\n|---|---|---|\n"
        .to_owned();
    for kind in KINDS {
        let group = if kind.group.is_empty() { "core" } else { kind.group };
        let about =
            first_sentence(normal(kind).definitions[&normal(kind).root]["description"].as_str());
        let _ = writeln!(text, "| [{}]({}) | {group} | {about} |", kind.kind, file_name(kind));
    }
    text
}

fn page(kind: &Kind) -> String {
    let normal = normal(kind);
    let about = first_sentence(normal.definitions[&normal.root]["description"].as_str());
    let mut text = format!("# {} ({})\n\n{about}\n\n", kind.kind, kind.api_version());
    facts_table(kind, &mut text);
    if !kind.columns.is_empty() {
        text.push_str("\n## Columns\n\n| column | what it shows |\n|---|---|\n");
        for column in kind.columns {
            let wide = if column.priority > 0 { " (with `-o wide`)" } else { "" };
            let _ = writeln!(text, "| {} | {}{wide} |", column.name, column.description);
        }
    }
    text.push_str("\n## Fields\n\n| field | type | what it means |\n|---|---|---|\n");
    let mut fields = Fields { kind, normal: &normal, rows: String::new(), refused: Vec::new() };
    fields.definition(&normal.root, "", 0);
    let Fields { rows, refused, .. } = fields;
    text.push_str(&rows);
    if !refused.is_empty() {
        let list: Vec<String> = refused.iter().map(|path| format!("`{path}`")).collect();
        let _ = writeln!(
            text,
            "\nKnown and not run, so refused by name where it asks for anything: {}.",
            list.join(", ")
        );
    }
    text
}

fn facts_table(kind: &Kind, text: &mut String) {
    let code =
        |all: Vec<&str>| all.iter().map(|one| format!("`{one}`")).collect::<Vec<_>>().join(", ");
    let namespace = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
    let root = route::root(kind.group, kind.version);
    let verbs = kind.verbs.iter().map(|verb| verb.as_str()).collect();
    let mut rows = vec![
        ("path", format!("`{root}{namespace}/{}`", kind.plural)),
        ("verbs", code(verbs)),
        ("short names", code(kind.short.to_vec())),
        ("categories", code(kind.categories.to_vec())),
        ("field selectors", code(kind.fields.to_vec())),
    ];
    let parts = kind.subresources.iter().map(|part| {
        let verbs: Vec<&str> = part.verbs().iter().map(|verb| verb.as_str()).collect();
        format!("`{}` ({})", part.as_str(), verbs.join(", "))
    });
    rows.push(("subresources", parts.collect::<Vec<_>>().join(", ")));
    if kind.allows(Verb::Patch) {
        let strategic = if kind.strategic { ", strategic merge" } else { "" };
        rows.push(("patches", format!("JSON, merge{strategic}, server-side apply")));
    }
    let kept = match kind.backing {
        Backing::Durable if kind.sealed => "on disk, encrypted",
        Backing::Durable => "on disk",
        Backing::Live => "in memory: it mirrors the running machine",
        Backing::Answered => "not kept: it is answered at once",
    };
    rows.push(("kept", kept.to_owned()));
    if !kind.refused.is_empty() {
        rows.push(("what is not allowed", kind.refused.to_owned()));
    }
    text.push_str("| | |\n|---|---|\n");
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "| {name} | {value} |");
    }
}

/// The first sentence of a description.
fn first_sentence(description: Option<&str>) -> String {
    let text = description.unwrap_or_default();
    let line = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let end = line.find(". ").map_or(line.len(), |end| end + 1);
    line[..end].trim().replace('|', "\\|")
}

struct Fields<'a> {
    kind: &'a Kind,
    normal: &'a Normal,
    rows: String,
    refused: Vec<String>,
}

impl Fields<'_> {
    fn definition(&mut self, name: &str, path: &str, depth: usize) {
        let Some(schema) = self.normal.definitions.get(name).cloned() else { return };
        let Some(properties) = schema["properties"].as_object().cloned() else { return };
        for (field, schema) in &properties {
            let path = if path.is_empty() { field.clone() } else { format!("{path}.{field}") };
            self.field(name, field, schema, &path, depth + 1);
        }
    }

    fn field(&mut self, owner: &str, field: &str, schema: &Value, path: &str, depth: usize) {
        if !self.written(path) || depth > 8 {
            return;
        }
        if refused(self.kind, path, &self.sample(schema)) {
            self.refused.push(path.to_owned());
            return;
        }
        let about = first_sentence(schema["description"].as_str());
        let (type_, merge) = (self.type_of(schema), self.merge(owner, field, schema));
        let _ = writeln!(self.rows, "| `{path}` | {type_} | {about}{merge} |");
        let deepest = WRITTEN.iter().any(|(kind, _)| *kind == self.kind.kind);
        if field == "metadata" || (deepest && depth >= WRITTEN_DEPTH) {
            return;
        }
        let (schema, path) = match schema["type"].as_str() {
            Some("array") => (&schema["items"], format!("{path}[]")),
            Some("object") => (&schema["additionalProperties"], format!("{path}.*")),
            _ => (schema, path.to_owned()),
        };
        if let Some(name) = reference(schema) {
            self.definition(name, &path, depth);
        }
    }

    /// Whether the field is one that is ever set.
    fn written(&self, path: &str) -> bool {
        let Some((_, paths)) = WRITTEN.iter().find(|(kind, _)| *kind == self.kind.kind) else {
            return true;
        };
        let top = !path.contains('.');
        let below = |path: &str, one: &str| {
            path.strip_prefix(one)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        top || paths.iter().any(|one| below(path, one) || below(one, path))
    }

    fn type_of(&self, schema: &Value) -> String {
        if let Some(name) = reference(schema) {
            let target = &self.normal.definitions[name];
            return match target["type"].as_str() {
                Some("string") if target["format"] == "date-time" => "time".to_owned(),
                Some("object") => "object".to_owned(),
                Some(other) => other.to_owned(),
                None if name.ends_with("Quantity") => "quantity".to_owned(),
                None => "integer or string".to_owned(),
            };
        }
        match schema["type"].as_str() {
            Some("array") => format!("list of {}", self.type_of(&schema["items"])),
            Some("object") if schema["additionalProperties"].is_object() => {
                format!("map of {}", self.type_of(&schema["additionalProperties"]))
            }
            Some("string") if schema["format"] == "byte" => "base64".to_owned(),
            Some(other) => other.to_owned(),
            None => "any".to_owned(),
        }
    }

    fn merge(&self, owner: &str, field: &str, schema: &Value) -> String {
        if schema["type"] != "array" {
            return String::new();
        }
        match facts::list(Origin::of(self.kind), owner, field).merge {
            ListMerge::Atomic => String::new(),
            ListMerge::Set => " Merged as a set.".to_owned(),
            ListMerge::Map(keys) => format!(" Merged by {}.", keys.join(" and ")),
        }
    }

    /// A value of the type, to find out what is said about it.
    fn sample(&self, schema: &Value) -> Value {
        if let Some(name) = reference(schema) {
            let target = &self.normal.definitions[name];
            let required = target["required"].as_array().map(Vec::as_slice).unwrap_or_default();
            let mut sample = match target["type"].as_str() {
                Some("object") => json!({}),
                Some(_) => return json!("1"),
                None => return json!(1),
            };
            for field in required.iter().filter_map(Value::as_str) {
                sample[field] = self.sample(&target["properties"][field]);
            }
            return sample;
        }
        match schema["type"].as_str() {
            Some("array") => json!([self.sample(&schema["items"])]),
            Some("integer" | "number") => json!(1),
            Some("boolean") => json!(true),
            Some("string") => json!("x"),
            _ => json!({}),
        }
    }
}

/// Whether validation refuses the field because it is known and not run. Asked by setting it.
fn refused(kind: &Kind, path: &str, sample: &Value) -> bool {
    // A Revision is made from the template of a Configuration, so what that may hold decides.
    let (kind, path) = match (kind.kind, path.strip_prefix("spec.")) {
        ("Revision", Some(rest)) => {
            let Some(kind) = find(SERVING, "v1", "configurations") else { return false };
            (kind, format!("spec.template.spec.{rest}"))
        }
        _ => (kind, path.to_owned()),
    };
    if kind.group != SERVING || !path.starts_with("spec.") {
        return false;
    }
    let mut object = json!({
        "apiVersion": kind.api_version(), "kind": kind.kind,
        "metadata": { "name": "a", "namespace": "default" },
        "spec": { "template": { "spec": { "containers": [{ "image": "a" }] } } },
    });
    let pointer = format!("/{}", path.replace("[]", ".0").replace('.', "/"));
    if !set(&mut object, &pointer, sample) {
        return false;
    }
    let Ok(decoded) = (kind.type_.decode)(object) else { return false };
    let mut object = decoded.object;
    (kind.default)(&mut object);
    let concrete = path.replace("[]", "[0]");
    (kind.validate)(&object, None).iter().any(|fault| {
        matches!(fault.code.as_str(), "UNSUPPORTED_FIELD" | "FORBIDDEN_FIELD")
            && fault.field.as_deref() == Some(concrete.as_str())
    })
}

/// Puts `value` at a pointer, making what stands above it; false where that cannot be.
fn set(object: &mut Value, pointer: &str, value: &Value) -> bool {
    let mut at = object;
    let parts: Vec<&str> = pointer.trim_start_matches('/').split('/').collect();
    let Some((last, above)) = parts.split_last() else { return false };
    for part in above {
        at = match part.parse::<usize>() {
            Ok(_) => {
                if !at.is_array() {
                    *at = json!([{}]);
                }
                &mut at[0]
            }
            Err(_) if at.is_object() || at.is_null() => &mut at[*part],
            Err(_) => return false,
        };
    }
    if at.is_null() || at.is_object() {
        at[*last] = value.clone();
        return true;
    }
    false
}

#[test]
fn the_reference_pages_are_up_to_date() {
    let directory = directory();
    let pages = pages();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::create_dir_all(&directory).unwrap();
        for entry in std::fs::read_dir(&directory).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, page) in &pages {
            std::fs::write(directory.join(name), page).unwrap();
        }
    }
    for (name, page) in &pages {
        let kept = std::fs::read_to_string(directory.join(name)).unwrap_or_default();
        assert!(kept == *page, "{name}: run the tests once with UPDATE_REFERENCE=1 and commit it");
    }
    let kept = std::fs::read_dir(&directory).unwrap().count();
    assert_eq!(kept, pages.len(), "a page of a kind that is gone");
}

#[test]
fn parts_are_named_as_they_are_served() {
    let service = find(SERVING, "v1", "services").unwrap();
    let text = page(service);
    assert!(text.contains("| `spec.template.spec.containers[].image` | string |"), "{text}");
    assert!(!text.contains("| `spec.template.spec.hostNetwork` |"), "{text}");
    assert!(text.contains("Known and not run, so refused by name"), "{text}");
    if service.subresources.contains(&Subresource::Status) {
        assert!(text.contains("`status` (get, patch, update)"), "{text}");
    }
}
