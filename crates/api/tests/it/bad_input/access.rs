//! Requests of somebody who is known, for what nobody may do, and of pages in browsers.

use reqwest::Method;
use serde_json::json;

use super::{Refusal, refusal};
use crate::world::{MAPS, World, config_map};

#[tokio::test]
async fn acting_as_somebody_else() {
    let world = World::new();
    for header in ["impersonate-user", "impersonate-group", "impersonate-uid"] {
        let request = world.request(Method::POST, MAPS).header(header, "system:masters");
        let want = Refusal { status: 403, code: "PERMISSION_DENIED", says: &["impersonate"] };
        world.refused(header, request.json(&config_map("a", "1")), want).await;
    }
    world.end().await;
}

#[tokio::test]
async fn what_not_even_the_administrator_may_do() {
    let world = World::new();
    let request = world.request(Method::DELETE, "/api/v1/namespaces/default");
    let want = Refusal { status: 403, code: "PERMISSION_DENIED", says: &["may not be deleted"] };
    world.refused("the first namespace", request, want).await;
    world.end().await;
}

/// A browser that is made to ask has no token of its own to send, and may not read what it gets.
#[tokio::test]
async fn of_a_page_from_elsewhere() {
    let world = World::new();
    let from = |request: reqwest::RequestBuilder| {
        let request = request.header("origin", "https://elsewhere.example");
        request.header("cookie", format!("token={}", world.handle.token()))
    };
    let asks = world.http.request(Method::OPTIONS, world.url(MAPS));
    let asks = from(asks).header("access-control-request-method", "POST");
    world.refused("a preflight", asks, refusal(401, "UNAUTHENTICATED")).await;
    // What a form can send without asking first.
    let form = world.http.post(world.url(MAPS)).header("content-type", "text/plain");
    let form = from(form).body(config_map("a", "1").to_string());
    world.refused("a form", form, refusal(401, "UNAUTHENTICATED")).await;
    let (made, config) = (world.request(Method::POST, MAPS), config_map("a", "1"));
    let answer = from(made).json(&config).send().await.unwrap();
    assert_eq!(answer.status(), 201, "with the token it is a request like any other");
    let told = answer.headers().keys().filter(|name| name.as_str().starts_with("access-control"));
    assert_eq!(told.count(), 0, "no page may read it");
    assert!(!answer.headers().contains_key("set-cookie"));
    assert_eq!(world.delete(&format!("{MAPS}/a"), &json!({})).await.0, 200);
    world.end().await;
}
