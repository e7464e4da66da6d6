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
        let tag = response.headers()["etag"].clone();
        file.assert_eq(&pretty(&response.json().await.unwrap()));
        let again = world.request(Method::GET, path).header("accept", V2);
        let again = again.header("if-none-match", tag).send().await.unwrap();
        assert_eq!(again.status(), 304, "a client that keeps it is told that it has it");
    }
    let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    let request = world.request(Method::GET, "/apis").header("accept", beta);
    assert_eq!(world.ask(request).await.1["apiVersion"], "apidiscovery.k8s.io/v2beta1");
    world.end().await;
}

#[tokio::test]
async fn plain_discovery() {
    let world = World::new();
    let index = world.get("/").await.1;
    for path in index["paths"].as_array().unwrap() {
        let request = world.request(Method::GET, path.as_str().unwrap());
        assert_eq!(request.send().await.unwrap().status(), 200, "{path}");
    }
    assert!(index["paths"].as_array().unwrap().contains(&json!("/apis/serving.knative.dev/v1")));
    assert_eq!(world.get("/api").await.1["versions"], json!(["v1"]));
    let groups = world.get("/apis").await.1;
    let groups: Vec<_> = groups["groups"].as_array().unwrap().iter().collect();
    for group in &groups {
        let (name, version) = (&group["name"], &group["preferredVersion"]["groupVersion"]);
        assert_eq!(*version, format!("{}/v1", name.as_str().unwrap()));
        let own = world.get(&format!("/apis/{}", name.as_str().unwrap())).await.1;
        assert_eq!((&own["kind"], &own["versions"]), (&json!("APIGroup"), &group["versions"]));
        let resources = world.get(&format!("/apis/{}", version.as_str().unwrap())).await.1;
        assert_eq!(resources["groupVersion"], *version);
    }
    assert!(groups.iter().any(|group| group["name"] == "serving.knative.dev"), "{groups:?}");
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

#[tokio::test]
async fn no_kinds_are_added_at_run_time() {
    let world = World::new();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (status, list) = world.get(&format!("{path}?limit=500")).await;
    assert_eq!((status.as_u16(), &list["items"]), (200, &json!([])));
    assert_eq!(list["kind"], "CustomResourceDefinitionList");
    assert_eq!(world.get(&format!("{path}?watch=true")).await.0, 404);
    assert_eq!(world.post(path, &json!({})).await.0, 405);
    world.end().await;
}
