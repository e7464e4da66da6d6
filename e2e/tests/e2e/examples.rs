//! The servers under `examples`, each in an image of its own: woken, asked, and put to sleep.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use ebb_e2e::{Platform, cache_dir, debian, examples, not_run};
use serde_json::{Value, json};

use crate::support::{at_zero, can_run, create, lives, pods};

/// Longest wait for a line in a log.
const LINE_LIMIT: Duration = Duration::from_secs(30);

/// The archive that `build` makes, or none after saying why.
fn archive(test: &str, build: fn(&Path) -> Result<PathBuf>) -> Option<PathBuf> {
    if let Some(why) = debian::why_not() {
        not_run(test, why);
        return None;
    }
    match build(&cache_dir()) {
        Ok(archive) => Some(archive),
        Err(error) => {
            let why = format!("its image cannot be built: {error:#}");
            not_run(test, why.lines().next().unwrap_or_default());
            None
        }
    }
}

/// A Service of `image` that sleeps as soon as it may.
fn sleepy(name: &str, image: &str) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": { "name": name },
        "spec": { "template": {
            "metadata": { "annotations": { "autoscaling.knative.dev/window": "6s" } },
            "spec": { "containers": [{ "image": image }] },
        }},
    })
}

/// Pods of the service that have ended: phase and exit code.
fn ended(platform: &Platform, service: &str) -> Vec<(String, Value)> {
    let list = platform.api().unwrap().get(&pods(service)).unwrap();
    let pods = list["items"].as_array().cloned().unwrap_or_default();
    let state = "/status/containerStatuses/0/state/terminated/exitCode";
    let pods = pods.iter().map(|pod| {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default().to_owned();
        (phase, pod.pointer(state).cloned().unwrap_or_default())
    });
    pods.collect()
}

/// What every instance of the service wrote, those that have ended too.
fn logs(platform: &Platform, service: &str) -> String {
    let list = platform.api().unwrap().get(&pods(service)).unwrap();
    let mut all = String::new();
    for pod in list["items"].as_array().into_iter().flatten() {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let path = format!("/api/v1/namespaces/default/pods/{name}/log");
        all += &platform.api().unwrap().send("GET", &path, None).unwrap().text();
    }
    all
}

/// Waits until the instance of the pod at `path` has written `line`.
fn wait_for_line(platform: &Platform, path: &str, line: &str) {
    let began = ebb_e2e::now();
    loop {
        let log = platform.api().unwrap().send("GET", &format!("{path}/log"), None).unwrap().text();
        if log.contains(line) {
            return;
        }
        assert!(began.elapsed() < LINE_LIMIT, "{line:?} is not in {log}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn express_listens_on_port_and_ends_in_order() {
    const TEST: &str = "express_listens_on_port_and_ends_in_order";
    if !can_run(TEST) {
        return;
    }
    let Some(archive) = archive(TEST, examples::express_image) else { return };
    let platform = Platform::start().unwrap();
    platform.load(&archive).unwrap();
    create(&platform, &sleepy("shop", examples::EXPRESS)).unwrap();
    at_zero(&platform, "shop").unwrap();

    // From zero: the first request waits for the instance and is answered.
    let answer = platform.get("shop", "/").unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.text(), "Hello from Express, revision shop-00001.\n");
    let health = platform.get("shop", "/health").unwrap();
    assert_eq!((health.status(), health.json().unwrap()), (200, json!({"status": "ok"})));

    // An instance that is told to end finishes what it has begun.
    let list = platform.api().unwrap().get(&pods("shop")).unwrap();
    let running = list["items"].as_array().unwrap().iter().find(|pod| lives(pod)).unwrap();
    let name = running["metadata"]["name"].as_str().unwrap();
    let path = format!("/api/v1/namespaces/default/pods/{name}");
    thread::scope(|scope| {
        let slow = scope.spawn(|| platform.get("shop", "/slow?ms=3000").unwrap());
        // Not before this instance has begun: another one would answer it.
        wait_for_line(&platform, &path, "slow: 3000 ms");
        let deleted = platform.api().unwrap().send("DELETE", &path, None).unwrap().status();
        assert!(matches!(deleted, 200 | 202), "{deleted}");
        let answer = slow.join().unwrap();
        assert_eq!((answer.status(), answer.text().as_str()), (200, "done\n"));
    });

    // And one that nobody needs any more ends by itself, in order.
    assert_eq!(platform.get("shop", "/").unwrap().status(), 200);
    at_zero(&platform, "shop").unwrap();
    let said = logs(&platform, "shop");
    for line in ["listening on port 8080", "SIGTERM: taking no new requests", "goodbye"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let ended = ended(&platform, "shop");
    assert!(
        !ended.is_empty() && ended.iter().all(|pod| *pod == ("Succeeded".into(), json!(0))),
        "{ended:?}"
    );
    platform.stop().unwrap();
}

#[test]
fn flask_is_found_on_the_port_that_its_image_exposes() {
    const TEST: &str = "flask_is_found_on_the_port_that_its_image_exposes";
    if !can_run(TEST) {
        return;
    }
    let Some(archive) = archive(TEST, examples::flask_image) else { return };
    let platform = Platform::start().unwrap();
    platform.load(&archive).unwrap();
    // No port is given anywhere but in the image.
    create(&platform, &sleepy("blog", examples::FLASK)).unwrap();
    at_zero(&platform, "blog").unwrap();
    let answer = platform.get("blog", "/").unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.text(), "Hello from Flask on port 3000.\n");
    assert_eq!(platform.get("blog", "/health").unwrap().status(), 200);
    assert_eq!(platform.get("blog", "/none").unwrap().status(), 404);
    at_zero(&platform, "blog").unwrap();
    let said = logs(&platform, "blog");
    assert!(said.contains("listening on port 3000") && said.contains("SIGTERM: goodbye"), "{said}");

    // The same with the command.
    let deploy = ["deploy", "blog2", "--image", examples::FLASK];
    platform.ebb(&deploy).unwrap().ok().unwrap();
    assert_eq!(platform.get("blog2", "/health").unwrap().status(), 200);
    platform.stop().unwrap();
}
