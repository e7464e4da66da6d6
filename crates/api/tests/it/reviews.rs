//! Reviews: answered, not stored.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, code};

const ACCESS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const RULES: &str = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

fn review(kind: &str, spec: &Value) -> Value {
    let group = if kind == "SelfSubjectReview" { "authentication" } else { "authorization" };
    json!({"apiVersion": format!("{group}.k8s.io/v1"), "kind": kind, "spec": spec})
}

#[tokio::test]
async fn the_admin_may_do_everything_and_is_told_so() {
    let world = World::new();
    for spec in [
        json!({"resourceAttributes": {"verb": "create", "group": "serving.knative.dev",
               "resource": "services", "namespace": "default"}}),
        json!({"resourceAttributes": {"verb": "*", "group": "*", "resource": "*"}}),
        json!({"nonResourceAttributes": {"verb": "get", "path": "/healthz"}}),
    ] {
        let (status, said) = world.post(ACCESS, &review("SelfSubjectAccessReview", &spec)).await;
        assert_eq!((status.as_u16(), &said["status"]["allowed"]), (201, &json!(true)), "{said}");
        assert_eq!(said["spec"], spec);
    }
    let body = review("SelfSubjectRulesReview", &json!({"namespace": "default"}));
    let (status, said) = world.post(RULES, &body).await;
    assert_eq!((status.as_u16(), &said["status"]["incomplete"]), (201, &json!(false)));
    assert!(said["status"]["resourceRules"].as_array().unwrap().len() > 5);
    let mut body = review("SelfSubjectReview", &Value::Null);
    body.as_object_mut().unwrap().remove("spec");
    let (status, said) = world.post(WHO, &body).await;
    assert_eq!((status.as_u16(), &said["status"]["userInfo"]["username"]), (201, &json!("admin")));
    world.end().await;
}

#[tokio::test]
async fn what_is_no_review_is_refused_and_nothing_is_kept() {
    let world = World::new();
    let both = json!({"resourceAttributes": {"verb": "get"}, "nonResourceAttributes": {}});
    for (spec, want) in [
        (json!({}), (422, "INVALID_VALUE")),
        (both, (422, "INVALID_VALUE")),
        (json!({"resourceAttributes": {"verb": 1}}), (400, "INVALID_VALUE")),
    ] {
        let (status, said) = world.post(ACCESS, &review("SelfSubjectAccessReview", &spec)).await;
        assert_eq!((status.as_u16(), code(&said)), want, "{spec}");
    }
    let typo = review("SelfSubjectAccessReview", &json!({"resourceAttribute": {}}));
    let (status, said) = world.post(&format!("{ACCESS}?fieldValidation=Strict"), &typo).await;
    assert_eq!((status.as_u16(), code(&said)), (400, "UNKNOWN_FIELD"));
    for method in [Method::GET, Method::DELETE, Method::PUT, Method::PATCH] {
        let (status, said) = world.ask(world.request(method.clone(), ACCESS)).await;
        assert_eq!((status.as_u16(), code(&said)), (405, "METHOD_NOT_ALLOWED"), "{method}");
    }
    let anonymous = world.http.post(world.url(WHO)).body("{}").send().await.unwrap();
    assert_eq!(anonymous.status(), 401);
    world.end().await;
}
