//! Bodies that are not JSON, or not the JSON of an object that we serve.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Refusal, refusal};
use crate::world::{MAPS, SERVICES, World, config_map, service};

const JSON: &str = "application/json";

fn map_with(name: &[u8], rest: &[u8]) -> Vec<u8> {
    [b"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"", name, b"\"}", rest]
        .concat()
}

#[tokio::test]
async fn bytes_that_are_not_json() {
    let world = World::new();
    let nested = |open: &str, n: usize| format!("{{\"data\":{}", open.repeat(n)).into_bytes();
    let cases: Vec<(&str, Vec<u8>, Refusal<'_>)> = vec![
        ("nothing", Vec::new(), refusal(400, "INVALID_JSON")),
        ("spaces", b"  \n ".to_vec(), refusal(400, "INVALID_JSON")),
        ("invalid UTF-8", map_with(b"a\xff", b"}"), refusal(400, "INVALID_JSON")),
        ("overlong UTF-8", map_with(b"a\xc0\xaf", b"}"), refusal(400, "INVALID_JSON")),
        ("raw surrogate", map_with(b"a\xed\xa0\x80", b"}"), refusal(400, "INVALID_JSON")),
        ("invalid UTF-8 in a key", map_with(b"a", b",\"\xfe\":1}"), refusal(400, "INVALID_JSON")),
        ("NUL in a text", map_with(b"a\0b", b"}"), refusal(400, "INVALID_JSON")),
        ("NUL after the end", map_with(b"a", b"}\0"), refusal(400, "INVALID_JSON")),
        ("NUL before", b"\0{}".to_vec(), refusal(400, "INVALID_JSON")),
        ("byte order mark", b"\xef\xbb\xbf{}".to_vec(), refusal(400, "INVALID_JSON")),
        ("UTF-16", b"\xff\xfe{\0}\0".to_vec(), refusal(400, "INVALID_JSON")),
        ("lone surrogate", map_with(b"a\\ud800", b"}"), refusal(400, "INVALID_JSON")),
        ("half a pair", map_with(b"a\\udc00\\ud800", b"}"), refusal(400, "INVALID_JSON")),
        ("cut off", b"{\"metadata\":{\"na".to_vec(), refusal(400, "INVALID_JSON")),
        ("two documents", b"{} {}".to_vec(), refusal(400, "INVALID_JSON")),
        ("a comment", b"{/* x */}".to_vec(), refusal(400, "INVALID_JSON")),
        ("a trailing comma", b"{\"a\":1,}".to_vec(), refusal(400, "INVALID_JSON")),
        ("NaN", map_with(b"a", b",\"x\":NaN}"), refusal(400, "INVALID_JSON")),
        ("Infinity", map_with(b"a", b",\"x\":-Infinity}"), refusal(400, "INVALID_JSON")),
        ("leading zero", map_with(b"a", b",\"x\":010}"), refusal(400, "INVALID_JSON")),
        ("10,000 arrays", nested("[", 10_000), refusal(400, "JSON_TOO_DEEP")),
        ("10,000 objects", nested("{\"a\":", 10_000), refusal(400, "JSON_TOO_DEEP")),
        ("65 objects", nested("{\"a\":", 65), refusal(400, "JSON_TOO_DEEP")),
        ("1,000,000 arrays", nested("[", 1_000_000), refusal(400, "JSON_TOO_DEEP")),
        ("an array", b"[]".to_vec(), refusal(400, "INVALID_JSON")),
        ("null", b"null".to_vec(), refusal(400, "INVALID_JSON")),
        ("a text", b"\"x\"".to_vec(), refusal(400, "INVALID_JSON")),
        ("a number", b"1".to_vec(), refusal(400, "INVALID_JSON")),
        ("too large a number", map_with(b"a", b",\"x\":1e400}"), refusal(400, "INVALID_NUMBER")),
        ("too small a number", map_with(b"a", b",\"x\":-1e400}"), refusal(400, "INVALID_NUMBER")),
        ("protobuf's magic", b"k8s\0\x0a\x00".to_vec(), refusal(400, "INVALID_JSON")),
        ("gzip", b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), refusal(400, "INVALID_JSON")),
    ];
    for (what, body, want) in cases {
        world.refused(what, world.raw(MAPS, JSON, body.clone()), want).await;
        let one = format!("{MAPS}/a");
        let put = world.request(Method::PUT, &one).header("content-type", JSON).body(body.clone());
        // What cannot be read is refused before anybody looks for the object.
        let readable = serde_json::from_slice::<Value>(&body).is_ok();
        let want = if readable { refusal(404, "NOT_FOUND") } else { want };
        world.refused(&format!("{what} in a PUT"), put, want).await;
    }
    let want = Refusal { status: 400, code: "INVALID_JSON", says: &["line 2 column"] };
    world.refused("where", world.raw(MAPS, JSON, "{\n  \"a\": x}"), want).await;
    world.end().await;
}

#[tokio::test]
async fn numbers_that_a_field_cannot_hold() {
    let world = World::new();
    let timeout = |text: &str| {
        let spec = "\"containers\"";
        service("hello").to_string().replace(spec, &format!("\"timeoutSeconds\":{text},{spec}"))
    };
    for text in ["1e400", "-0", "1.5", "\"1\"", "1e2", "1.0", "9007199254740993.0", "-0.0"] {
        let says: &[&str] =
            if text == "1e400" { &[] } else { &["spec.template.spec.timeoutSeconds"] };
        let want = Refusal { status: 400, code: "INVALID_NUMBER", says };
        world.refused(text, world.raw(SERVICES, JSON, timeout(text)), want).await;
    }
    for text in ["18446744073709551615", "9223372036854775808", "99999999999999999999999"] {
        let want = refusal(400, "INVALID_NUMBER");
        world.refused(text, world.raw(SERVICES, JSON, timeout(text)), want).await;
    }
    for text in ["true", "[1]", "{}"] {
        let says: &[&str] = &["spec.template.spec.timeoutSeconds"];
        let want = Refusal { status: 400, code: "INVALID_VALUE", says };
        world.refused(text, world.raw(SERVICES, JSON, timeout(text)), want).await;
    }
    // Read exactly, and out of range: what is said is what was sent, not a neighbour of it.
    for text in ["9007199254740993", "1000000000000", "-1", "0"] {
        let want = Refusal { status: 422, code: "INVALID_VALUE", says: &[text, "timeoutSeconds"] };
        world.refused(text, world.raw(SERVICES, JSON, timeout(text)), want).await;
    }
    let mut port = service("hello");
    port["spec"]["template"]["spec"]["containers"][0]["ports"] =
        json!([{"containerPort": 9_007_199_254_740_993_i64}]);
    let want = Refusal { status: 400, code: "INVALID_NUMBER", says: &["containerPort"] };
    world.refused("a port of 2^53+1", world.raw(SERVICES, JSON, port.to_string()), want).await;
    world.end().await;
}

#[tokio::test]
async fn values_of_the_wrong_type() {
    let world = World::new();
    let with = |path: &[&str], value: Value| {
        let mut object = config_map("a", "1");
        let mut at = &mut object;
        for part in path {
            at = &mut at[*part];
        }
        *at = value;
        object.to_string()
    };
    for (what, body, says) in [
        ("metadata is a text", with(&["metadata"], json!("a")), "metadata"),
        ("metadata is a list", with(&["metadata"], json!([1])), "metadata"),
        ("a name is a number", with(&["metadata", "name"], json!(1)), "metadata.name"),
        ("a name is a list", with(&["metadata", "name"], json!(["a"])), "metadata.name"),
        ("a label is a number", with(&["metadata", "labels", "app"], json!(1)), "labels.app"),
        ("labels are a list", with(&["metadata", "labels"], json!([])), "metadata.labels"),
        ("finalizers are a text", with(&["metadata", "finalizers"], json!("a")), "finalizers"),
        ("an entry is an object", with(&["data", "key"], json!({})), "data.key"),
        ("an entry is a boolean", with(&["data", "key"], json!(false)), "data.key"),
        ("base64 that is none", with(&["binaryData"], json!({"k": "~~"})), "binaryData"),
        ("a time that is none", with(&["metadata", "creationTimestamp"], json!("now")), "creation"),
        ("immutable is a text", with(&["immutable"], json!("true")), "immutable"),
    ] {
        let want = Refusal { status: 400, code: "INVALID_VALUE", says: &[says] };
        world.refused(what, world.raw(MAPS, JSON, body), want).await;
    }
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": 1}]);
    let body = with(&["metadata", "ownerReferences"], owner);
    let want = Refusal { status: 400, code: "INVALID_VALUE", says: &["ownerReferences"] };
    world.refused("a uid is a number", world.raw(MAPS, JSON, body), want).await;
    world.end().await;
}

#[tokio::test]
async fn another_kind_than_the_path_is_about() {
    let world = World::new();
    for (field, value, says) in [
        ("apiVersion", json!("v2"), "v1 is expected"),
        ("apiVersion", json!("apps/v1"), "v1 is expected"),
        ("apiVersion", json!(1), "v1 is expected"),
        ("kind", json!("Secret"), "ConfigMap is expected"),
        ("kind", json!("configmap"), "ConfigMap is expected"),
        ("kind", json!(""), "ConfigMap is expected"),
        ("kind", json!({}), "ConfigMap is expected"),
    ] {
        let mut object = config_map("a", "1");
        object[field] = value.clone();
        let want = Refusal { status: 400, code: "UNSUPPORTED_VERSION", says: &[says, field] };
        world.refused(&value.to_string(), world.raw(MAPS, JSON, object.to_string()), want).await;
    }
    let mut old = service("hello");
    old["apiVersion"] = json!("serving.knative.dev/v1alpha1");
    let want = Refusal {
        status: 400,
        code: "UNSUPPORTED_VERSION",
        says: &["serving.knative.dev/v1alpha1", "serving.knative.dev/v1 is expected"],
    };
    world.refused("v1alpha1", world.raw(SERVICES, JSON, old.to_string()), want).await;
    world.end().await;
}

/// One key twice, one unknown: refused, told, or not told, as `fieldValidation` says.
#[tokio::test]
async fn unknown_and_duplicate_fields_in_the_three_modes() {
    let world = World::new();
    let body = |name: &str| {
        format!(
            "{{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{{\"name\":\"{name}\",\
             \"labelz\":{{}}}},\"data\":{{\"k\":\"1\",\"k\":\"2\"}},\"dat\":{{}}}}"
        )
    };
    let path = |mode: &str| format!("{MAPS}?fieldValidation={mode}");
    let strict = || world.raw(&path("Strict"), JSON, body("strict"));
    let says = &["strict decoding error", "unknown field \"dat\"", "metadata.labelz", "data.k"];
    for code in ["UNKNOWN_FIELD", "DUPLICATE_KEY"] {
        world.refused(code, strict(), Refusal { status: 400, code, says }).await;
    }
    let refused = world.refused("hints", strict(), refusal(400, "UNKNOWN_FIELD")).await;
    let hint = |field: &str| {
        let causes = refused["details"]["causes"].as_array().unwrap();
        let cause = causes.iter().find(|cause| cause["field"] == field).unwrap().clone();
        cause["hint"].as_str().unwrap_or_default().to_owned()
    };
    assert!(hint("dat").contains("data"), "{refused}");
    assert!(hint("metadata.labelz").contains("labels"), "{refused}");
    for (mode, warnings) in [("Warn", 3), ("", 3), ("Ignore", 0)] {
        let name = format!("mode{}", mode.to_lowercase());
        let made = world.raw(&path(mode), JSON, body(&name)).send().await.unwrap();
        assert_eq!(made.status(), 201, "{mode}");
        let told: Vec<_> = made.headers().get_all("warning").iter().collect();
        assert_eq!(told.len(), warnings, "{mode}: {told:?}");
        let made: Value = made.json().await.unwrap();
        assert_eq!(made["data"], json!({"k": "2"}), "{mode}: the last one counts");
        assert!(made.get("dat").is_none(), "{mode}: what is unknown is not stored");
    }
    let want =
        Refusal { status: 400, code: "INVALID_PARAMETER", says: &["Strict, Warn or Ignore"] };
    world.refused("a fourth mode", world.raw(&path("strict"), JSON, body("x")), want).await;

    let mut deep = service("hello");
    deep["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = json!("Always");
    let request = world.raw(&format!("{SERVICES}?fieldValidation=Strict"), JSON, deep.to_string());
    let at = "spec.template.spec.containers[0].imagePullPolice";
    let want = Refusal { status: 400, code: "UNKNOWN_FIELD", says: &[at] };
    let refused = world.refused("deep down", request, want).await;
    let hint = refused["details"]["causes"][0]["hint"].as_str().unwrap_or_default();
    assert!(hint.contains("imagePullPolicy"), "{refused}");
    world.end().await;
}
