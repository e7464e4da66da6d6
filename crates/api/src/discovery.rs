//! Documents by which clients learn what is served.

use std::collections::BTreeSet;

use http::header::ACCEPT;
use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};

use crate::auth::Verb;
use crate::body::{self, Body};
use crate::context::Query;
use crate::document::{Document, FRESH};
use crate::images;
use crate::openapi;
use crate::registry::{self, KINDS, Kind};
use crate::route::{self, Discovery};

/// The version of the Kubernetes API that this door is shaped after, as clients check it.
const KUBERNETES: (&str, &str) = ("1", "32");

/// `/version`.
pub(crate) fn version() -> Response<Body> {
    let (major, minor) = KUBERNETES;
    let ours = env!("CARGO_PKG_VERSION");
    let value = json!({
        "major": major,
        "minor": minor,
        "gitVersion": format!("v{major}.{minor}.0+ebb-{ours}"),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, architecture()),
    });
    body::json(StatusCode::OK, &value)
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The form of a discovery answer that a client asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Aggregated(&'static str),
}

fn form(headers: &HeaderMap) -> Form {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in accept.flat_map(|value| value.split(',')) {
        if range.contains("as=APIGroupDiscoveryList") {
            for version in ["v2", "v2beta1"] {
                if range.split(';').any(|part| part.trim() == format!("v={version}")) {
                    return Form::Aggregated(version);
                }
            }
        } else if range.trim() == "application/json" {
            return Form::Plain;
        }
    }
    Form::Plain
}

/// A document.
pub(crate) fn answer(document: &Discovery, headers: &HeaderMap, query: &Query) -> Response<Body> {
    let aggregated = |core: bool| match form(headers) {
        Form::Plain => None,
        Form::Aggregated(version) => Some(aggregate(core, version).answer(headers, FRESH)),
    };
    let value = match document {
        Discovery::Index => {
            let paths: BTreeSet<_> = route::documents().into_iter().map(|doc| doc.path).collect();
            json!({ "paths": paths })
        }
        Discovery::Core => {
            if let Some(response) = aggregated(true) {
                return response;
            }
            json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })
        }
        Discovery::Groups => {
            if let Some(response) = aggregated(false) {
                return response;
            }
            let groups: Vec<Value> = groups().map(|(g, v)| group(g, v)).collect();
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
        }
        Discovery::Group(name) => {
            let found = groups().find(|(group, _)| group == name);
            let mut value = found.map_or(Value::Null, |(g, v)| group(g, v));
            value["kind"] = json!("APIGroup");
            value["apiVersion"] = json!("v1");
            value
        }
        Discovery::Resources(group, version) => json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version(group, version),
            "resources": resources(group, version),
        }),
        // kubectl looks here before it says that it does not know a kind.
        Discovery::CustomKinds => json!({
            "kind": "CustomResourceDefinitionList",
            "apiVersion": "apiextensions.k8s.io/v1",
            "metadata": { "resourceVersion": "0" },
            "items": [],
        }),
        Discovery::OpenApiV2 => return openapi::v2(headers),
        Discovery::OpenApiV3 => return openapi::index(headers),
        Discovery::OpenApiV3Group(group, version) => {
            return openapi::group(group, version, headers, query);
        }
    };
    Document::json(&value).answer(headers, FRESH)
}

fn groups() -> impl Iterator<Item = (&'static str, &'static str)> {
    registry::group_versions().into_iter().filter(|(group, _)| !group.is_empty())
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn group(name: &str, version: &str) -> Value {
    let version = json!({ "groupVersion": group_version(name, version), "version": version });
    json!({ "name": name, "versions": [version], "preferredVersion": version })
}

fn kinds(group: &str, version: &str) -> impl Iterator<Item = &'static Kind> {
    let (group, version) = (group.to_owned(), version.to_owned());
    KINDS.iter().copied().filter(move |kind| kind.group == group && kind.version == version)
}

fn names(verbs: &[Verb]) -> Vec<&'static str> {
    verbs.iter().map(|verb| verb.as_str()).collect()
}

/// `APIResource`s of a group and version.
fn resources(group: &str, version: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for kind in kinds(group, version) {
        let mut resource = json!({
            "name": kind.plural,
            "singularName": kind.singular,
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": names(kind.verbs),
        });
        for (field, names) in [("shortNames", kind.short), ("categories", kind.categories)] {
            if !names.is_empty() {
                resource[field] = json!(names);
            }
        }
        all.push(resource);
        all.extend(kind.subresources.iter().map(|subresource| {
            let (group, version, served) = subresource.gvk(kind);
            let mut resource = json!({
                "name": format!("{}/{}", kind.plural, subresource.as_str()),
                "singularName": "",
                "namespaced": kind.namespaced,
                "kind": served,
                "verbs": names(subresource.verbs()),
            });
            if (group, version) != (kind.group, kind.version) {
                resource["group"] = json!(group);
                resource["version"] = json!(version);
            }
            resource
        }));
    }
    if group == images::GROUP {
        all.push(json!({
            "name": "images",
            "singularName": "image",
            "namespaced": false,
            "kind": "Image",
            "verbs": ["list"],
        }));
    }
    all
}

/// Everything in one document.
fn aggregate(core: bool, form: &'static str) -> Document {
    let wanted =
        registry::group_versions().into_iter().filter(|(group, _)| group.is_empty() == core);
    let items: Vec<Value> = wanted
        .map(|(group, version)| {
            let metadata = if core { json!({}) } else { json!({ "name": group }) };
            json!({
                "metadata": metadata,
                "versions": [{
                    "version": version,
                    "freshness": "Current",
                    "resources": aggregated_resources(group, version),
                }],
            })
        })
        .collect();
    let value = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{form}"),
        "metadata": {},
        "items": items,
    });
    let content_type = match form {
        "v2" => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        _ => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
    };
    Document::new(value.to_string().into_bytes(), content_type)
}

fn aggregated_resources(group: &str, version: &str) -> Vec<Value> {
    let own = (group == images::GROUP).then(|| {
        json!({
            "resource": "images",
            "responseKind": { "group": group, "version": version, "kind": "Image" },
            "scope": "Cluster",
            "singularResource": "image",
            "verbs": ["list"],
        })
    });
    kinds(group, version).map(aggregated_resource).chain(own).collect()
}

fn aggregated_resource(kind: &Kind) -> Value {
    let response = json!({ "group": kind.group, "version": kind.version, "kind": kind.kind });
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": response,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": names(kind.verbs),
    });
    for (field, names) in [("shortNames", kind.short), ("categories", kind.categories)] {
        if !names.is_empty() {
            resource[field] = json!(names);
        }
    }
    if !kind.subresources.is_empty() {
        let subresources = kind.subresources.iter().map(|subresource| {
            let (group, version, served) = subresource.gvk(kind);
            json!({
                "subresource": subresource.as_str(),
                "responseKind": { "group": group, "version": version, "kind": served },
                "verbs": names(subresource.verbs()),
            })
        });
        resource["subresources"] = subresources.collect();
    }
    resource
}
