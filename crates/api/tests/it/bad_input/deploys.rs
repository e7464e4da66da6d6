//! A thousand deploys of one service at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ebb_api::{Config, Direct};
use ebb_store::memory::Memory;
use futures_util::future::join_all;
use http::Request;
use http_body_util::BodyExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::WATCHDOG;
use crate::world::{SERVICES, World, code, service};

/// How many deploy at once.
const CLIENTS: i64 = 1_000;

/// What a client got in the end, and how often it was asked to come back.
struct End {
    status: u16,
    answer: Value,
    refused: u32,
}

/// What client `n` deploys: all of them say something else.
fn deploy(n: i64) -> Value {
    json!({"spec": {"template": {"spec": {"timeoutSeconds": n}}}})
}

/// Each success is one generation, none is skipped or given twice, and what is stored is what the
/// last of them said.
fn check(ends: &[End], stored: &Value) {
    let mut said = BTreeMap::new();
    for end in ends {
        // Nobody but these clients writes here, so nobody has a reason to be refused in the end.
        assert_eq!(end.status, 200, "{}", end.answer);
        let generation = end.answer["metadata"]["generation"].as_i64().unwrap();
        let timeout = end.answer["spec"]["template"]["spec"]["timeoutSeconds"].clone();
        assert!(said.insert(generation, timeout).is_none(), "generation {generation} twice");
    }
    let generations: Vec<i64> = said.keys().copied().collect();
    assert_eq!(generations, (2..=CLIENTS + 1).collect::<Vec<_>>());
    assert_eq!(stored["metadata"]["generation"], CLIENTS + 1, "more than was acknowledged");
    assert_eq!(stored["spec"]["template"]["spec"]["timeoutSeconds"], said[&(CLIENTS + 1)]);
}

/// One client in the process, which comes back when it is told to, as Kubernetes' clients do.
async fn until_done(door: Direct, token: String, n: i64, start: Arc<Barrier>) -> End {
    let body = Bytes::from(deploy(n).to_string());
    let mut refused = 0;
    start.wait().await;
    loop {
        let request = Request::patch(format!("{SERVICES}/hello"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/merge-patch+json");
        let response = door.call(request.body(body.clone()).unwrap()).await;
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").cloned();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        if status != 429 {
            return End { status, answer, refused };
        }
        assert_eq!(code(&answer), "OVERLOADED", "{answer}");
        refused += 1;
        let seconds: u64 = after.unwrap().to_str().unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }
}

/// All of them ask in the same moment. That is more than the door serves and lets wait at once: the
/// rest is told to come back, and everybody is served in the end.
#[tokio::test(flavor = "multi_thread")]
async fn at_once() {
    let world = World::new();
    assert_eq!(world.post(SERVICES, &service("hello")).await.0, 201);
    let start = Arc::new(Barrier::new(usize::try_from(CLIENTS).unwrap()));
    let door = world.direct().await;
    let mut clients = JoinSet::new();
    for n in 1..=CLIENTS {
        let token = world.handle.token().to_owned();
        clients.spawn(until_done(door.clone(), token, n, Arc::clone(&start)));
    }
    let ends = tokio::time::timeout(4 * WATCHDOG, clients.join_all()).await.unwrap();
    check(&ends, &world.get(&format!("{SERVICES}/hello")).await.1);
    let refused: u32 = ends.iter().map(|end| end.refused).sum();
    assert!(refused > 0, "fewer at once than the door has room for: this tests too little");
    world.end().await;
}

/// Files that this process may have open.
fn open_files() -> i64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    soft.map_or(0, |soft| soft.parse().unwrap_or(i64::MAX))
}

/// The same through the network, with a connection for each.
#[tokio::test(flavor = "multi_thread")]
async fn over_connections() {
    if open_files() < 3 * CLIENTS {
        println!("NOT RUN: over_connections: this process may not open that many files");
        return;
    }
    // On a busy machine a thousand handshakes take a while.
    let patient = |config: &mut Config| config.handshake_timeout_ms = 120_000;
    let world = World::configured(Arc::new(Memory::new()), patient);
    assert_eq!(world.post(SERVICES, &service("hello")).await.0, 201);
    let one = format!("{SERVICES}/hello");
    let client = |n: i64| {
        let (world, one) = (&world, &one);
        async move {
            let mut refused = 0;
            loop {
                let request = world.request(Method::PATCH, one).body(deploy(n).to_string());
                let request = request.header("content-type", "application/merge-patch+json");
                let response = request.send().await.unwrap();
                let status = response.status().as_u16();
                let after = response.headers().get("retry-after").cloned();
                let answer: Value = response.json().await.unwrap();
                if status != 429 {
                    return End { status, answer, refused };
                }
                refused += 1;
                let seconds: u64 = after.unwrap().to_str().unwrap().parse().unwrap();
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
        }
    };
    let ends = tokio::time::timeout(4 * WATCHDOG, join_all((1..=CLIENTS).map(client))).await;
    let ends = ends.unwrap();
    check(&ends, &world.get(&one).await.1);
    world.end().await;
}
