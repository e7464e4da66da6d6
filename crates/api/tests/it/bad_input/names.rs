//! Names that are paths, look like others, or are none.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Refusal, refusal};
use crate::world::{MAPS, SERVICES, World, config_map, service};

const SERVING: &str = "/apis/serving.knative.dev/v1/namespaces/default";

/// Names that no kind takes.
fn never() -> Vec<String> {
    let mut names: Vec<String> = [
        "..",
        ".",
        "../x",
        "%2e%2e",
        "a/../b",
        "a/b",
        "/",
        "\\",
        "%00",
        "a%00",
        "a\0",
        "_",
        "-a",
        "a-",
        "-",
        "--force",
        "A",
        "Hello",
        "a b",
        " a",
        "a ",
        "a\n",
        "a\r\nb",
        "a..b",
        "a.",
        ".a",
        "a_b",
        "a:b",
        "a@b",
        "a?b",
        "a#b",
        "a*",
        "$(x)",
        "`x`",
        "'a'",
        "\"a\"",
        "<a>",
        "🦀",
        "a🦀",
        "pаypal",
        "е",
        "ａ",
        "ﬁ",
        "é",
        "e\u{301}",
        "a\u{200b}",
        "\u{202e}a",
        "\u{feff}a",
        "ß",
        "İ",
        "١",
        "a\u{7f}",
        "\u{1b}[31m",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("a".repeat(254));
    names.push("a".repeat(300));
    names.push("a".repeat(70_000));
    names
}

/// Collections whose objects people make, and an object of each that wants a name.
fn creatable() -> Vec<(String, Value)> {
    let map = config_map("x", "1");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}});
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {}});
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {},
        "involvedObject": {"namespace": "default"}});
    let mut configuration = service("x");
    configuration["kind"] = json!("Configuration");
    let route = json!({"apiVersion": "serving.knative.dev/v1", "kind": "Route", "metadata": {},
        "spec": {"traffic": [{"configurationName": "a", "percent": 100}]}});
    vec![
        (MAPS.to_owned(), map),
        ("/api/v1/namespaces/default/secrets".to_owned(), secret),
        ("/api/v1/namespaces".to_owned(), space),
        ("/api/v1/namespaces/default/events".to_owned(), event),
        (SERVICES.to_owned(), service("x")),
        (format!("{SERVING}/configurations"), configuration),
        (format!("{SERVING}/routes"), route),
    ]
}

#[tokio::test]
async fn in_a_body() {
    let world = World::new();
    for (path, mut object) in creatable() {
        for name in never() {
            object["metadata"]["name"] = json!(name);
            let request = world.request(Method::POST, &path).json(&object);
            let want = Refusal { status: 422, code: "INVALID_NAME", says: &["metadata.name"] };
            world.refused(&format!("{path}: {name:?}"), request, want).await;
        }
        object["metadata"] = json!({});
        let request = world.request(Method::POST, &path).json(&object);
        let want = Refusal { status: 422, code: "INVALID_NAME", says: &["generateName"] };
        world.refused(&format!("{path}: no name"), request, want).await;
        for base in ["..", "A", "a/b", "🦀", "-"] {
            object["metadata"] = json!({"generateName": base});
            let request = world.request(Method::POST, &path).json(&object);
            let what = format!("{path}: {base:?}...");
            world.refused(&what, request, refusal(422, "INVALID_NAME")).await;
        }
    }
    // A label of a host name is shorter than the name of an object.
    for (path, mut object, longest) in [
        (SERVICES.to_owned(), service("x"), 57),
        ("/api/v1/namespaces".to_owned(), creatable()[2].1.clone(), 63),
    ] {
        object["metadata"]["name"] = json!("a".repeat(longest + 1));
        let request = world.request(Method::POST, &path).json(&object);
        world.refused(&path, request, refusal(422, "INVALID_NAME")).await;
        object["metadata"]["name"] = json!("a".repeat(longest));
        assert_eq!(world.post(&path, &object).await.0, 201, "{path}");
    }
    let mut label = creatable()[2].1.clone();
    for name in ["a.b", "-a", &"a".repeat(64)] {
        label["metadata"]["name"] = json!(name);
        let request = world.request(Method::POST, "/api/v1/namespaces").json(&label);
        let want = Refusal { status: 422, code: "INVALID_NAME", says: &["at most 63 characters"] };
        world.refused(name, request, want).await;
    }
    let mut digit = service("1a");
    let request = world.request(Method::POST, SERVICES).json(&digit);
    world.refused("a first digit", request, refusal(422, "INVALID_NAME")).await;
    digit["metadata"]["name"] = json!("a.b");
    let request = world.request(Method::POST, SERVICES).json(&digit);
    world.refused("two labels", request, refusal(422, "INVALID_NAME")).await;
    let taken = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
    let request = world.request(Method::POST, "/api/v1/namespaces").json(&taken);
    world.refused("the first namespace", request, refusal(409, "ALREADY_EXISTS")).await;
    world.end().await;
}

/// An object can be at no other path than its own, whatever is sent to it.
#[tokio::test]
async fn in_a_path() {
    let world = World::new();
    assert_eq!(world.post(MAPS, &config_map("a", "1")).await.0, 201);
    let parts = [
        "..%2Fa",
        "%2E%2E%2Fconfigmaps%2Fa",
        "a%2F..%2Fa",
        "%00",
        "a%00",
        "a%0a",
        "A",
        "%41",
        "-a",
        "%F0%9F%A6%80",
        "a%20",
        "%20a",
        "a%2F",
        "%2Fa",
        "a%5C",
        "p%D0%B0ypal",
        "a%3Fb",
        "a%23b",
        "a%25",
    ];
    let long = "a".repeat(300);
    for part in parts.into_iter().chain([long.as_str()]) {
        let path = format!("{MAPS}/{part}");
        for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
            let what = format!("{method} {path}");
            let body = config_map("a", "2").to_string();
            let type_ = if method == Method::PATCH {
                "application/merge-patch+json"
            } else {
                "application/json"
            };
            let body = if method == Method::DELETE { String::new() } else { body };
            let request = world.request(method, &path).header("content-type", type_).body(body);
            world.refused(&what, request, refusal(404, "NOT_FOUND")).await;
        }
    }
    for part in ["%ff", "%zz", "%", "a%c0%af"] {
        let request = world.request(Method::GET, &format!("{MAPS}/{part}"));
        world.refused(part, request, refusal(400, "INVALID_PARAMETER")).await;
    }
    for space in ["A", "%00", "..%2Fdefault", "-a", "%F0%9F%A6%80", long.as_str()] {
        let path = format!("/api/v1/namespaces/{space}/configmaps");
        for method in [Method::GET, Method::POST] {
            let request = world.request(method, &path).json(&config_map("b", "1"));
            world.refused(&path, request, refusal(400, "INVALID_NAME")).await;
        }
    }
    let path = "/api/v1/namespaces/absent/configmaps";
    let request = world.request(Method::POST, path).json(&config_map("b", "1"));
    let want = Refusal { status: 404, code: "NOT_FOUND", says: &["absent"] };
    world.refused("a namespace that is not there", request, want).await;
    for path in
        ["//api/v1", "/api//v1/namespaces", "/api/v1/namespaces//configmaps", "/api/v1/x/y/z/a/b"]
    {
        let request = world.request(Method::GET, path);
        let answered = request.send().await.unwrap();
        assert_eq!(answered.status().as_u16() / 100, 4, "{path}");
    }
    world.end().await;
}

/// The body may repeat what the path says and nothing else.
#[tokio::test]
async fn in_both() {
    let world = World::new();
    let one = format!("{MAPS}/a");
    let (_, made) = world.post(MAPS, &config_map("a", "1")).await;
    for (what, field, value, code) in [
        ("another name", "name", json!("b"), "NAME_MISMATCH"),
        ("a path for a name", "name", json!("../a"), "NAME_MISMATCH"),
        ("another namespace", "namespace", json!("other"), "NAMESPACE_MISMATCH"),
        ("a path for a namespace", "namespace", json!(".."), "NAMESPACE_MISMATCH"),
    ] {
        let mut object = made.clone();
        object["metadata"][field] = value.clone();
        let request = world.request(Method::PUT, &one).json(&object);
        world.refused(what, request, refusal(400, code)).await;
        let patch = json!({"metadata": {field: value}}).to_string();
        let request = world.request(Method::PATCH, &one).body(patch);
        let request = request.header("content-type", "application/merge-patch+json");
        world.refused(what, request, refusal(400, code)).await;
    }
    let mut object = config_map("b", "1");
    object["metadata"]["namespace"] = json!("other");
    let request = world.request(Method::POST, MAPS).json(&object);
    world.refused("another namespace", request, refusal(400, "NAMESPACE_MISMATCH")).await;
    object["metadata"] = json!({"name": "b", "resourceVersion": "1"});
    let request = world.request(Method::POST, MAPS).json(&object);
    world.refused("a version at birth", request, refusal(400, "INVALID_RESOURCE_VERSION")).await;
    world.end().await;
}

/// Keys of labels, annotations, finalizers and data.
#[tokio::test]
async fn of_keys() {
    let world = World::new();
    let long = "a".repeat(64);
    let keys = [
        "",
        "/",
        "a/",
        "/a",
        "a/b/c",
        "-a",
        "a-",
        "🦀",
        "a b",
        "../a",
        "A_B/c",
        "a\0",
        long.as_str(),
    ];
    for key in keys {
        for field in ["labels", "annotations"] {
            let mut object = config_map("a", "1");
            object["metadata"][field] = json!({key: "v"});
            let request = world.request(Method::POST, MAPS).json(&object);
            let want = Refusal { status: 422, code: "INVALID_LABEL", says: &[field] };
            world.refused(&format!("{field} {key:?}"), request, want).await;
        }
        let mut object = config_map("a", "1");
        object["metadata"]["finalizers"] = json!([key]);
        let request = world.request(Method::POST, MAPS).json(&object);
        let want = Refusal { status: 422, code: "INVALID_LABEL", says: &["finalizers[0]"] };
        world.refused(&format!("finalizer {key:?}"), request, want).await;
    }
    for value in ["-", "a b", "🦀", "a/b", &long] {
        let mut object = config_map("a", "1");
        object["metadata"]["labels"] = json!({"app": value});
        let request = world.request(Method::POST, MAPS).json(&object);
        world.refused(value, request, refusal(422, "INVALID_LABEL")).await;
    }
    let far = "a".repeat(254);
    for key in ["", ".", "..", "..a", "a/b", "a b", "🦀", "a\0", far.as_str()] {
        for field in ["data", "binaryData"] {
            let mut object = config_map("a", "1");
            object["data"] = json!({});
            object[field] = json!({key: "AAAA"});
            let request = world.request(Method::POST, MAPS).json(&object);
            let want = Refusal { status: 422, code: "INVALID_NAME", says: &[field] };
            world.refused(&format!("{field} {key:?}"), request, want).await;
        }
    }
    let mut object = config_map("a", "1");
    object["metadata"]["annotations"] = json!({"a": "x".repeat(257 << 10)});
    let request = world.request(Method::POST, MAPS).json(&object);
    world.refused("annotations", request, refusal(422, "OBJECT_TOO_LARGE")).await;
    world.end().await;
}
