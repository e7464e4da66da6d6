//! OpenAPI documents: complete, closed, and valid for the tools that read them.

use std::collections::BTreeSet;

use expect_test::expect_file;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::World;

const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const SERVING: &str = "/openapi/v3/apis/serving.knative.dev/v1";

/// Keywords of a schema that OpenAPI 3.0 knows and we use.
const KEYWORDS: &[&str] = &[
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "description",
    "enum",
    "format",
    "items",
    "maximum",
    "maxLength",
    "minimum",
    "nullable",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
];

async fn index(world: &World) -> Vec<(String, String)> {
    let index = world.get("/openapi/v3").await.1;
    let paths = index["paths"].as_object().unwrap();
    let url = |entry: &Value| entry["serverRelativeURL"].as_str().unwrap().to_owned();
    paths.iter().map(|(path, entry)| (path.clone(), url(entry))).collect()
}

/// Every schema of a document, with where it stands.
fn schemas<'a>(value: &'a Value, at: &str, out: &mut Vec<(String, &'a Value)>) {
    out.push((at.to_owned(), value));
    let each = |out: &mut Vec<_>, name: &str, values: Option<&'a Value>| {
        for (key, value) in values.and_then(Value::as_object).into_iter().flatten() {
            schemas(value, &format!("{at}/{name}/{key}"), out);
        }
    };
    each(out, "properties", value.get("properties"));
    for name in ["items", "additionalProperties"] {
        if let Some(below) = value.get(name) {
            schemas(below, &format!("{at}/{name}"), out);
        }
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for below in value.get(name).and_then(Value::as_array).into_iter().flatten() {
            schemas(below, &format!("{at}/{name}"), out);
        }
    }
}

/// Every schema of the operations of a document.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    all
}

fn check_schema(document: &Value, at: &str, schema: &Value) {
    let object = schema.as_object().unwrap_or_else(|| panic!("{at} is no schema: {schema}"));
    for (keyword, value) in object {
        let known = KEYWORDS.contains(&keyword.as_str()) || keyword.starts_with("x-kubernetes-");
        assert!(known, "{at}: {keyword}");
        if keyword == "type" {
            let types = ["array", "boolean", "integer", "number", "object", "string"];
            assert!(types.contains(&value.as_str().unwrap()), "{at}: {value}");
        }
    }
    if object.get("type") == Some(&json!("array")) {
        assert!(object.contains_key("items"), "{at}");
    }
    if let Some(target) = object.get("$ref") {
        assert_eq!(object.len(), 1, "{at}: nothing stands beside a reference");
        let pointer = target.as_str().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{at}: {pointer}");
    }
    for field in object.get("required").and_then(Value::as_array).into_iter().flatten() {
        let properties = object.get("properties").unwrap_or(&Value::Null);
        assert!(properties.get(field.as_str().unwrap()).is_some(), "{at}: {field}");
    }
}

#[tokio::test]
async fn every_document_is_openapi_3_0() {
    let world = World::new();
    let mut ids = BTreeSet::new();
    for (path, url) in index(&world).await {
        let document = world.get(&url).await.1;
        assert_eq!(document["openapi"], "3.0.0", "{path}");
        let mut all = Vec::new();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            schemas(schema, name, &mut all);
        }
        for (method, path, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id.clone()), "{id} twice");
            let at = format!("{method} {path}");
            for parameter in operation["parameters"].as_array().unwrap() {
                let place = format!("{{{}}}", parameter["name"].as_str().unwrap());
                assert_eq!(parameter["in"] == "path", path.contains(&place), "{at}: {parameter}");
                schemas(&parameter["schema"], &at, &mut all);
            }
            let named = operation["parameters"].as_array().unwrap().iter();
            let named = named.filter(|parameter| parameter["in"] == "path").count();
            assert_eq!(path.matches('{').count(), named, "{at}");
            let contents = operation["responses"].as_object().unwrap().values();
            for content in contents.chain(operation.get("requestBody")) {
                for media in content["content"].as_object().unwrap().values() {
                    schemas(&media["schema"], &at, &mut all);
                }
            }
        }
        for (at, schema) in all {
            check_schema(&document, &at, schema);
        }
    }
    world.end().await;
}

#[tokio::test]
async fn every_route_has_an_operation() {
    let world = World::new();
    let mut served = BTreeSet::new();
    for (_, url) in index(&world).await {
        let document = world.get(&url).await.1;
        for (method, path, _) in operations(&document) {
            served.insert((method, path));
        }
    }
    let routes: BTreeSet<_> =
        ebb_api::routes().into_iter().map(|route| (route.method.to_string(), route.path)).collect();
    for (method, path) in &served {
        let path = path.strip_suffix('/').unwrap_or(path);
        assert!(routes.contains(&(method.clone(), path.to_owned())), "{method} {path} is no route");
    }
    let added = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let documents =
        ["/", "/version", "/healthz", "/livez", "/readyz", "/api", "/apis", added, "/openapi"];
    for route in ebb_api::routes() {
        let path = route.path;
        if documents.contains(&path.as_str())
            || path.starts_with("/openapi/")
            || path.ends_with("z/ping")
        {
            continue;
        }
        // A group, or its resources, which Kubernetes describes with a slash at the end.
        let document = path.matches('/').count() < 4 && path.starts_with("/apis/");
        let resources = served.contains(&("GET".to_owned(), format!("{path}/")));
        if resources || (document && !served.iter().any(|(_, known)| *known == path)) {
            continue;
        }
        assert!(
            served.contains(&(route.method.to_string(), path.clone())),
            "{} {path}",
            route.method
        );
    }
    world.end().await;
}

#[tokio::test]
async fn documents_are_kept_by_their_hash() {
    let world = World::new();
    let headers = async |path: &str, known: Option<&HeaderValue>| -> (StatusCode, HeaderMap) {
        let mut request = world.request(Method::GET, path);
        if let Some(known) = known {
            request = request.header("if-none-match", known);
        }
        let response = request.send().await.unwrap();
        (response.status(), response.headers().clone())
    };
    for (path, url) in index(&world).await {
        let (status, kept) = headers(&url, None).await;
        assert_eq!(status, 200);
        assert_eq!(kept["cache-control"], "public, max-age=31536000, immutable", "{path}");
        let hash = url.split_once("hash=").unwrap().1;
        assert_eq!(kept["etag"], format!("\"{hash}\""));
        let (status, _) = headers(&url, Some(&kept["etag"])).await;
        assert_eq!(status, 304);
    }
    let (_, plain) = headers(SERVING, None).await;
    assert_eq!(plain["cache-control"], "no-cache, private");
    // Whoever has an old list is told where the document is now.
    let old = world.request(Method::GET, &format!("{SERVING}?hash=00")).send().await.unwrap();
    assert_eq!(old.status(), 200);
    assert!(old.url().as_str().contains(plain["etag"].to_str().unwrap().trim_matches('"')));
    world.end().await;
}

#[tokio::test]
async fn schemas_carry_names_kinds_and_merge_keys() {
    let world = World::new();
    let core = world.get("/openapi/v3/api/v1").await.1;
    let schemas = &core["components"]["schemas"];
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap() + "\n";
    let secret = &schemas["io.k8s.api.core.v1.Secret"];
    expect_file!["golden/openapi-secret.json"].assert_eq(&pretty(secret));
    let list = &schemas["io.k8s.api.core.v1.PodList"]["x-kubernetes-group-version-kind"];
    assert_eq!(*list, json!([{"group": "", "version": "v1", "kind": "PodList"}]));
    let ports = &schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"];
    assert_eq!(ports["x-kubernetes-list-type"], "map");
    assert_eq!(ports["x-kubernetes-list-map-keys"], json!(["containerPort", "protocol"]));
    assert_eq!(ports["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(ports["x-kubernetes-patch-merge-key"], "containerPort");
    let selector = &schemas["io.k8s.api.core.v1.SecretKeySelector"];
    assert_eq!(selector["x-kubernetes-map-type"], "atomic");

    let serving = world.get(SERVING).await.1;
    let service = &serving["components"]["schemas"]["dev.knative.serving.v1.Service"];
    assert_eq!(service["x-kubernetes-group-version-kind"][0]["group"], "serving.knative.dev");
    let at = "/properties/spec/properties/template/properties/spec/properties/containers/items";
    let container = service.pointer(at).unwrap();
    assert_eq!(container["properties"]["env"]["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(container["properties"]["ports"]["x-kubernetes-list-type"], "atomic");
    assert!(container.get("required").is_none(), "a container may be nameless");
    let path = "/apis/serving.knative.dev/v1/namespaces/{namespace}/services/{name}";
    let operation = &serving["paths"][path]["patch"];
    let kinds: Vec<_> = operation["requestBody"]["content"].as_object().unwrap().keys().collect();
    let forms = ["apply-patch+yaml", "json-patch+json", "merge-patch+json"];
    assert_eq!(kinds, forms.map(|form| format!("application/{form}")).iter().collect::<Vec<_>>());
    let operation = &core["paths"]["/api/v1/namespaces/{namespace}/secrets/{name}"]["patch"];
    let strategic = &operation["requestBody"]["content"]["application/strategic-merge-patch+json"];
    assert!(strategic.is_object());
    world.end().await;
}

#[tokio::test]
async fn the_old_document_is_served_as_json_and_as_protobuf() {
    let world = World::new();
    let document = world.get("/openapi/v2").await.1;
    assert_eq!(document["swagger"], "2.0");
    let mut all = Vec::new();
    for (name, schema) in document["definitions"].as_object().unwrap() {
        schemas(schema, name, &mut all);
    }
    for (at, schema) in all {
        assert!(schema.get("anyOf").is_none() && schema.get("oneOf").is_none(), "{at}");
        if let Some(target) = schema.get("$ref") {
            let pointer = target.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{at}: {pointer}");
        }
    }
    for (accept, protobuf) in [
        (PROTOBUF.to_owned(), true),
        (format!("{PROTOBUF},application/json"), true),
        (format!("application/json,{PROTOBUF}"), false),
        ("*/*".to_owned(), false),
    ] {
        let request = world.request(Method::GET, "/openapi/v2").header("accept", &accept);
        let response = request.send().await.unwrap();
        let media = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(media.ends_with("+protobuf"), protobuf, "{accept}: {media}");
        let bytes = response.bytes().await.unwrap();
        // Field 1, the swagger version, comes first.
        assert_eq!(bytes.starts_with(b"\x0a\x032.0"), protobuf, "{accept}");
    }
    world.end().await;
}
