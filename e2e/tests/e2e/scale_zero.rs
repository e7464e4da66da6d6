//! From zero, back to zero, and again.

use std::thread;
use std::time::Duration;

use ebb_e2e::Platform;
use serde_json::{Value, json};

use crate::support::{at_zero, can_run, create, hello, instances};

fn cold_starts(platform: &Platform, service: &str) -> Vec<Value> {
    let explain = ["explain", &format!("service/{service}"), "-o", "json"];
    let explanation = platform.ebb(&explain).unwrap().json().unwrap();
    explanation["coldStarts"].as_array().cloned().unwrap()
}

/// Deletes every instance of the service, and waits until they are gone.
fn put_to_sleep(platform: &Platform, service: &str) {
    for pod in instances(platform, service).unwrap() {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let path = format!("/api/v1/namespaces/default/pods/{name}");
        let status = platform.api().unwrap().send("DELETE", &path, None).unwrap().status();
        assert!(matches!(status, 200 | 202 | 404), "{status}");
    }
    at_zero(platform, service).unwrap();
}

#[test]
fn idle_services_go_to_zero_and_wake() {
    if !can_run("idle_services_go_to_zero_and_wake") {
        return;
    }
    let platform = Platform::start().unwrap();
    platform.load_hello().unwrap();
    create(&platform, &hello("hello", &json!({ "autoscaling.knative.dev/window": "6s" }))).unwrap();
    for round in 1..=2 {
        at_zero(&platform, "hello").unwrap();
        let answer = platform.get("hello", "/").unwrap();
        assert_eq!(answer.status(), 200, "round {round}: {}", answer.text());
    }
    let cold = cold_starts(&platform, "hello");
    assert_eq!(cold.len(), 2, "{cold:?}");
    for record in &cold {
        let phases = &record["phases"];
        for phase in ["createUs", "startUs", "firstByteUs"] {
            assert!(phases[phase].as_u64().is_some_and(|us| us > 0), "{phase}: {phases}");
        }
    }
    platform.stop().unwrap();
}

#[test]
fn many_requests_at_zero_share_one_start() {
    if !can_run("many_requests_at_zero_share_one_start") {
        return;
    }
    let platform = Platform::start().unwrap();
    platform.load_hello().unwrap();
    create(&platform, &hello("hello", &json!({}))).unwrap();
    put_to_sleep(&platform, "hello");
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..20).map(|_| scope.spawn(|| platform.get("hello", "/").unwrap())).collect();
        for client in clients {
            let answer = client.join().unwrap();
            assert_eq!(answer.status(), 200, "{}", answer.text());
        }
    });
    let instances = instances(&platform, "hello").unwrap();
    assert_eq!(instances.len(), 1, "{instances:?}");
    platform.stop().unwrap();
}

#[test]
fn one_request_at_a_time_is_kept() {
    if !can_run("one_request_at_a_time_is_kept") {
        return;
    }
    let platform = Platform::start().unwrap();
    let image = platform.load_hello().unwrap();
    let limits = ["--concurrency", "1", "--min", "1", "--max", "2"];
    let deploy = [["deploy", "hello", "--image", image].as_slice(), &limits].concat();
    platform.ebb(&deploy).unwrap().ok().unwrap();
    let began = ebb_e2e::now();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| platform.get("hello", "/sleep?ms=100").unwrap().status()))
            .collect();
        for client in clients {
            assert_eq!(client.join().unwrap(), 200);
        }
    });
    // Two at a time at most: eight that take 100 ms each cannot be done sooner.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(400), "{took:?}");
    let instances = instances(&platform, "hello").unwrap();
    assert!((1..=2).contains(&instances.len()), "{instances:?}");
    platform.stop().unwrap();
}
