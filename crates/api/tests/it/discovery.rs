//! Documents that describe the door, pinned.

use expect_test::expect_file;
use reqwest::Method;
use serde_json::{Value, json};

use crate::world::World;

const V2: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap() + "\n"
}

#[tokio::test]
async fn aggregated_discovery() {
    let world = World::new();
    for (path, file) in [
        ("/api", expect_file!["golden/discovery-api.json"]),
        ("/apis", expect_file!["golden/discovery-apis.json"]),
    ] {
        let accept = format!("{V2},application/json");
        let request = world.request(Method::GET, path).header("accept", accept);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], V2);
        file.assert_eq(&pretty(&response.json().await.unwrap()));
    }
    let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    let request = world.request(Method::GET, "/apis").header("accept", beta);
    assert_eq!(world.ask(request).await.1["apiVersion"], "apidiscovery.k8s.io/v2beta1");
    world.end().await;
}

#[tokio::test]
async fn plain_discovery() {
    let world = World::new();
    assert_eq!(world.get("/api").await.1["versions"], json!(["v1"]));
    let groups = world.get("/apis").await.1;
    assert_eq!(groups["groups"][0]["preferredVersion"]["groupVersion"], "serving.knative.dev/v1");
    assert_eq!(world.get("/apis/serving.knative.dev").await.1["kind"], "APIGroup");
    let core = world.get("/api/v1").await.1;
    let names: Vec<_> =
        core["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"pods/log") && names.contains(&"secrets"), "{names:?}");
    let serving = world.get("/apis/serving.knative.dev/v1").await.1;
    expect_file!["golden/resources-serving.json"].assert_eq(&pretty(&serving));
    let own = world.get("/apis/ebb.dev/v1").await.1;
    assert_eq!(own["resources"][0]["name"], "images");
    world.end().await;
}

#[tokio::test]
async fn openapi_says_that_fields_are_validated_here() {
    let world = World::new();
    let index = world.get("/openapi/v3").await.1;
    for (path, entry) in index["paths"].as_object().unwrap() {
        let url = entry["serverRelativeURL"].as_str().unwrap();
        assert!(url.starts_with(&format!("/openapi/v3/{path}?hash=")), "{url}");
        let document = world.get(url).await.1;
        assert_eq!(document["openapi"], "3.0.0", "{path}");
    }
    let serving = world.get("/openapi/v3/apis/serving.knative.dev/v1").await.1;
    let path = "/apis/serving.knative.dev/v1/namespaces/{namespace}/services/{name}";
    let operation = &serving["paths"][path]["patch"];
    assert_eq!(operation["x-kubernetes-group-version-kind"]["kind"], "Service");
    let parameters = operation["parameters"].as_array().unwrap();
    assert!(parameters.iter().any(|p| p["name"] == "fieldValidation" && p["in"] == "query"));
    assert_eq!(world.get("/openapi/v2").await.1["swagger"], "2.0");
    let version = world.get("/version").await.1;
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("32")));
    world.end().await;
}
