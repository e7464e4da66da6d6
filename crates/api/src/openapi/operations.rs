//! Every operation that the door has, in a form that no version of OpenAPI knows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::parameters::{self, Parameter};
use super::schemas::{self, DELETE_OPTIONS, RESOURCES, SCALE, STATUS};
use crate::auth::Verb;
use crate::protobuf;
use crate::registry::{KINDS, Kind, Subresource};
use crate::route;
use crate::schema::normal;

/// Operations by path.
pub(super) type Paths = BTreeMap<String, Vec<Operation>>;

/// One method of one path.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// HTTP method in lower case.
    pub(super) method: &'static str,
    /// Unique name of the operation.
    pub(super) id: String,
    /// What it does, in one sentence.
    pub(super) description: String,
    /// Kubernetes' word for what it does; empty for documents.
    pub(super) action: &'static str,
    /// Group, version and kind that it is about.
    pub(super) gvk: Option<Value>,
    /// In path and query.
    pub(super) parameters: Vec<Parameter>,
    /// What may be sent, by media type.
    pub(super) body: Vec<(&'static str, Value)>,
    /// Whether something must be sent.
    pub(super) body_required: bool,
    /// Status, media type and schema of the answers that are no failure.
    pub(super) answers: Vec<(u16, &'static str, Value)>,
}

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// Every operation of a group and version.
pub(super) fn of(group: &'static str, version: &'static str) -> Paths {
    let mut paths = Paths::new();
    let root = route::root(group, version);
    let resources = Operation {
        id: format!("get{}APIResources", group_name(group, version)),
        description: "Read which resources there are.".to_owned(),
        answers: vec![(200, JSON, schemas::reference(RESOURCES))],
        ..Operation::new("get")
    };
    paths.insert(format!("{root}/"), vec![resources]);
    for kind in KINDS.iter().filter(|kind| kind.group == group && kind.version == version) {
        Of { kind, root: normal::normal(kind).root }.all(&mut paths);
    }
    if group == crate::images::GROUP {
        super::own::operations(&mut paths);
    }
    paths
}

impl Operation {
    /// An operation that says nothing yet.
    pub(super) const fn new(method: &'static str) -> Self {
        Self {
            method,
            id: String::new(),
            description: String::new(),
            action: "",
            gvk: None,
            parameters: Vec::new(),
            body: Vec::new(),
            body_required: false,
            answers: Vec::new(),
        }
    }
}

/// `CoreV1`, `ServingKnativeDevV1`: what an operation's name says about group and version.
pub(super) fn group_name(group: &str, version: &str) -> String {
    let group = if group.is_empty() { "core" } else { group.trim_end_matches(".k8s.io") };
    group.split(['.', '-']).chain([version]).map(upper_first).collect()
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// The operations of one kind.
struct Of {
    kind: &'static Kind,
    /// Name of its definition.
    root: String,
}

impl Of {
    fn all(&self, paths: &mut Paths) {
        let kind = self.kind;
        let root = route::root(kind.group, kind.version);
        let everywhere = format!("{root}/{}", kind.plural);
        let collection = if kind.namespaced {
            format!("{root}/namespaces/{{namespace}}/{}", kind.plural)
        } else {
            everywhere.clone()
        };
        let one = format!("{collection}/{{name}}");
        if kind.namespaced && kind.allows(Verb::List) {
            paths.entry(everywhere).or_default().push(self.everywhere());
        }
        for verb in kind.verbs {
            let path = match verb {
                Verb::List | Verb::Create | Verb::DeleteCollection => &collection,
                Verb::Watch => continue, // a list with `watch=true`
                _ => &one,
            };
            paths.entry(path.clone()).or_default().push(self.operation(*verb, None));
        }
        for part in kind.subresources {
            let path = format!("{one}/{}", part.as_str());
            let all = part.verbs().iter().map(|verb| self.operation(*verb, Some(*part)));
            paths.entry(path).or_default().extend(all);
        }
    }

    fn everywhere(&self) -> Operation {
        let group = group_name(self.kind.group, self.kind.version);
        let mut list = self.operation(Verb::List, None);
        list.id = format!("list{group}{}ForAllNamespaces", self.kind.kind);
        list.description = format!("List or watch objects of kind {} everywhere.", self.kind.kind);
        list.parameters.retain(|parameter| parameter.name != "namespace");
        list
    }

    fn operation(&self, verb: Verb, part: Option<Subresource>) -> Operation {
        let kind = self.kind;
        let (method, word, action, description) = words(verb);
        let scope = if kind.namespaced { "Namespaced" } else { "" };
        let suffix = part.map(|part| upper_first(part.as_str())).unwrap_or_default();
        let group = group_name(kind.group, kind.version);
        let collection = if verb == Verb::DeleteCollection { "Collection" } else { "" };
        let (g, v, k) = part.map_or((kind.group, kind.version, kind.kind), |part| part.gvk(kind));
        let what = match part {
            Some(part) => format!("{} of an object", part.as_str()),
            None if matches!(verb, Verb::List | Verb::DeleteCollection) => "objects".to_owned(),
            None => "an object".to_owned(),
        };
        let (body, body_required) = self.body(verb, part);
        Operation {
            id: format!("{word}{group}{collection}{scope}{}{suffix}", kind.kind),
            description: format!("{description} {what} of kind {}.", kind.kind),
            action,
            gvk: Some(schemas::gvk(g, v, k)),
            parameters: parameters::of(kind, verb, part),
            body,
            body_required,
            answers: self.answers(verb, part),
            ..Operation::new(method)
        }
    }

    /// Schema of what a path is about.
    fn object(&self, part: Option<Subresource>) -> Value {
        schemas::reference(if part == Some(Subresource::Scale) { SCALE } else { &self.root })
    }

    fn body(&self, verb: Verb, part: Option<Subresource>) -> (Vec<(&'static str, Value)>, bool) {
        match verb {
            Verb::Create | Verb::Update => {
                let object = self.object(part);
                let mut body = vec![(JSON, object.clone()), (YAML, object.clone())];
                if self.kind.protobuf.is_some() && part.is_none() {
                    body.push((protobuf::CONTENT_TYPE, object));
                }
                (body, true)
            }
            Verb::Patch => (self.patches(part), true),
            Verb::Delete | Verb::DeleteCollection => {
                (vec![(JSON, schemas::reference(DELETE_OPTIONS))], false)
            }
            Verb::Get | Verb::List | Verb::Watch => (Vec::new(), false),
        }
    }

    fn patches(&self, part: Option<Subresource>) -> Vec<(&'static str, Value)> {
        let merge = json!({ "type": "object" });
        let scale = part == Some(Subresource::Scale);
        let mut all = vec![(JSON_PATCH, json_patch()), (MERGE_PATCH, merge.clone())];
        if self.kind.strategic || scale {
            all.push((STRATEGIC, merge));
        }
        if !scale {
            all.push((APPLY, self.object(part)));
        }
        all
    }

    fn answers(&self, verb: Verb, part: Option<Subresource>) -> Vec<(u16, &'static str, Value)> {
        let object = self.object(part);
        let list = || schemas::reference(&schemas::list_name(&self.root));
        let either = |one: Value| json!({ "anyOf": [one, schemas::reference(STATUS)] });
        match verb {
            Verb::Get if part == Some(Subresource::Log) => {
                vec![(200, "text/plain", json!({ "type": "string" }))]
            }
            Verb::Get => vec![(200, JSON, object)],
            Verb::List | Verb::Watch => vec![(200, JSON, list())],
            Verb::Create => vec![(201, JSON, object)],
            Verb::Update | Verb::Patch => {
                vec![(200, JSON, object.clone()), (201, JSON, object)]
            }
            Verb::Delete => vec![(200, JSON, either(object.clone())), (202, JSON, either(object))],
            Verb::DeleteCollection => vec![(200, JSON, either(list()))],
        }
    }
}

/// Method, first word of the name, Kubernetes' action, and how the description starts.
const fn words(verb: Verb) -> (&'static str, &'static str, &'static str, &'static str) {
    match verb {
        Verb::Get => ("get", "read", "get", "Read"),
        Verb::List | Verb::Watch => ("get", "list", "list", "List or watch"),
        Verb::Create => ("post", "create", "post", "Create"),
        Verb::Update => ("put", "replace", "put", "Replace"),
        Verb::Patch => ("patch", "patch", "patch", "Change parts of"),
        Verb::Delete => ("delete", "delete", "delete", "Delete"),
        Verb::DeleteCollection => ("delete", "delete", "deletecollection", "Delete"),
    }
}

/// RFC 6902.
fn json_patch() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["op", "path"],
            "properties": {
                "op": {
                    "type": "string",
                    "enum": ["add", "remove", "replace", "move", "copy", "test"],
                    "description": "What to do.",
                },
                "path": text("JSON pointer to where it is done."),
                "from": text("JSON pointer to what is moved or copied."),
                "value": { "description": "What is added, put in place, or expected." },
            },
        },
    })
}
