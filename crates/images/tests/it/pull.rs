//! Pulls from a registry that behaves in every way that registries do.

use std::task::Poll;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ebb_images::build::{ImageBuilder, Layer};
use ebb_images::local::Local;
use ebb_images::{Confine, Error, ImageStore, Pull, UnpackJob, UnpackReport};
use ebb_model::{Digest, Reference};
use serde_json::json;

use crate::registry::{Reply, Seen, Server, sha256};
use crate::support::{local, pull};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

struct Test {
    server: Server,
    store: Local,
    _dir: tempfile::TempDir,
}

fn test() -> Test {
    let dir = tempfile::tempdir().unwrap();
    Test { server: Server::start(), store: local(&dir.path().join("store")), _dir: dir }
}

fn image() -> ImageBuilder {
    let layer = Layer::new().file("/app", vec![7; 50_000], 0o755);
    ImageBuilder::new().layer(layer).entrypoint(["/app"])
}

impl Test {
    fn publish(&self) -> (Reference, Digest, Digest) {
        let (reference, digest, built) = self.server.publish("team/app", "1", &image());
        let manifest: serde_json::Value = serde_json::from_slice(&built.blobs[&digest]).unwrap();
        let layer = manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
        (reference, digest, layer)
    }

    async fn resolve(&self, reference: &Reference) -> Result<Digest, Error> {
        self.store.resolve(&pull(reference)).await
    }

    async fn get(&self, reference: &Reference, digest: &Digest) -> Result<(), Error> {
        self.store.pull(&pull(&reference.pinned(digest.clone()))).await
    }

    /// Publishes a document under a tag.
    fn document(&self, media_type: &str, document: &serde_json::Value) -> Reference {
        let bytes = serde_json::to_vec(document).unwrap();
        self.server.manifest("team/doc", "1", media_type, &bytes);
        self.server.reference("team/doc", "1")
    }
}

fn config(server: &Server, entry: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(&json!({"auths": {server.address.to_string(): entry}})).unwrap()
}

#[tokio::test]
async fn a_token_is_fetched_once_for_a_pull() {
    let test = test();
    let (reference, digest, _) = test.publish();
    let realm = format!("http://{}/token?account=a", test.server.address);
    let basic = format!("Basic {}", BASE64_STANDARD.encode("user:pass"));
    test.server.handle(move |seen: &Seen| {
        let given = seen.headers.get("authorization").map(String::as_str);
        if seen.target.starts_with("/token") {
            let ok = given == Some(&basic)
                && seen.target.contains("account=a")
                && seen.target.contains("service=reg")
                && seen.target.contains("scope=repository%3Ateam%2Fapp%3Apull");
            let token = Reply::status(200).body(r#"{"access_token":"t0ken"}"#);
            return Some(if ok { token } else { Reply::status(401) });
        }
        if given == Some("Bearer t0ken") {
            return None;
        }
        let challenge =
            format!(r#"Bearer realm="{realm}",service="reg",scope="repository:team/app:pull""#);
        Some(Reply::status(401).header("WWW-Authenticate", challenge))
    });
    let auth = BASE64_STANDARD.encode("user:pass");
    let with = |configs: Vec<Vec<u8>>| Pull {
        docker_configs: configs,
        ..pull(&reference.pinned(digest.clone()))
    };
    let error = test.store.pull(&with(Vec::new())).await.unwrap_err();
    assert_eq!(error.code(), "IMAGE_PULL_DENIED");
    let wrong = config(&test.server, &json!({"username": "user", "password": "no"}));
    let error = test.store.pull(&with(vec![wrong])).await.unwrap_err();
    assert_eq!(error.code(), "IMAGE_PULL_DENIED");
    assert!(!error.to_string().contains("no\""));
    let before = test.server.seen("/token").len();
    let right = config(&test.server, &json!({"auth": auth}));
    test.store.pull(&with(vec![b"{}".to_vec(), right])).await.unwrap();
    assert_eq!(test.server.seen("/token").len(), before + 1);
}

#[tokio::test]
async fn tokens_come_by_post_where_get_is_not_known() {
    for (entry, expected) in [
        (json!({"identitytoken": "refresh"}), "grant_type=refresh_token&refresh_token=refresh"),
        (
            json!({"username": "u", "password": "p&q"}),
            "grant_type=password&username=u&password=p%26q",
        ),
    ] {
        let test = test();
        let (reference, digest, _) = test.publish();
        let realm = format!("http://{}/token", test.server.address);
        test.server.handle(move |seen: &Seen| {
            if seen.target.starts_with("/token") {
                let ok = seen.method == "POST" && seen.body.starts_with(expected);
                let token = Reply::status(200).body(r#"{"token":"t"}"#);
                return Some(if ok { token } else { Reply::status(405) });
            }
            let ok = seen.headers.get("authorization").is_some_and(|given| given == "Bearer t");
            let challenge = format!(r#"Bearer realm="{realm}",service="reg""#);
            (!ok).then(|| Reply::status(401).header("WWW-Authenticate", challenge))
        });
        let docker_configs = vec![config(&test.server, &entry)];
        let pull = Pull { docker_configs, ..pull(&reference.pinned(digest)) };
        test.store.pull(&pull).await.unwrap();
    }
}

#[tokio::test]
async fn a_password_is_sent_when_it_is_asked_for_and_nowhere_else() {
    let (test, other) = (test(), Server::start());
    let (reference, digest, layer) = test.publish();
    let elsewhere = format!("http://{}/stored", other.address);
    let stored = image().build().unwrap().blobs[&layer].clone();
    other.handle(move |_| Some(Reply::status(200).body(stored.clone())));
    test.server.handle(move |seen: &Seen| {
        let authorized = seen.headers.contains_key("authorization");
        match seen.target.contains(layer.as_str()) {
            _ if !authorized => Some(Reply::status(401).header("WWW-Authenticate", "Basic")),
            true => Some(Reply::status(307).header("Location", &elsewhere)),
            false => None,
        }
    });
    let entry = json!({"username": "user", "password": "pass"});
    let docker_configs = vec![config(&test.server, &entry)];
    let pull = Pull { docker_configs, ..pull(&reference.pinned(digest)) };
    test.store.pull(&pull).await.unwrap();
    let redirected = other.seen("");
    assert_eq!(redirected.len(), 1);
    assert_eq!(redirected[0].headers.get("authorization"), None);
}

#[tokio::test]
async fn a_registry_that_is_busy_or_broken_is_tried_again() {
    let test = test();
    let (reference, digest, layer) = test.publish();
    test.server.next("manifests", Reply::status(429).header("Retry-After", 1));
    test.server.next("manifests", Reply::status(503));
    assert_eq!(test.resolve(&reference).await.unwrap(), digest);
    test.server.next(layer.as_str(), Reply::status(500));
    test.server.next(layer.as_str(), Reply::status(502).header("Retry-After", 0));
    test.get(&reference, &digest).await.unwrap();
}

#[tokio::test]
async fn failures_have_their_codes() {
    let test = test();
    let (reference, _, _) = test.publish();
    for (reply, code, requests) in [
        (Reply::status(429).header("Retry-After", 7200), "REGISTRY_RATE_LIMITED", 1),
        (Reply::status(403), "IMAGE_PULL_DENIED", 1),
        (Reply::status(401), "IMAGE_PULL_DENIED", 1),
        (Reply::status(404), "IMAGE_NOT_FOUND", 1),
        (Reply::status(418), "REGISTRY_UNAVAILABLE", 1),
        (
            Reply::status(302).header("Location", "/v2/team/app/manifests/1"),
            "REGISTRY_UNAVAILABLE",
            6,
        ),
        (Reply::status(302).header("Location", "gopher://x/"), "IMAGE_PULL_DENIED", 1),
        (Reply::status(302).header("Location", "https://"), "REGISTRY_UNAVAILABLE", 1),
        (Reply::status(500), "REGISTRY_UNAVAILABLE", 4),
        (Reply::status(429), "REGISTRY_RATE_LIMITED", 4),
    ] {
        let before = test.server.seen("").len();
        let same = reply.clone();
        test.server.handle(move |_| Some(same.clone()));
        let error = test.resolve(&reference).await.unwrap_err();
        assert_eq!(error.code(), code, "{reply:?}: {error}");
        assert_eq!(test.server.seen("").len() - before, requests, "{reply:?}");
    }
    let address = test.server.address;
    drop(test.server);
    // Nobody listens there any more.
    let gone: Reference = format!("{address}/team/app:1").parse().unwrap();
    let error = test.store.resolve(&pull(&gone)).await.unwrap_err();
    assert_eq!(error.code(), "REGISTRY_UNAVAILABLE", "{error}");
}

#[tokio::test]
async fn a_name_is_resolved_in_time_or_not_at_all() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let mut config = ebb_images::local::Config::new(dir.path());
    config.resolve_timeout = Duration::from_millis(50);
    let clock = std::sync::Arc::new(ebb_kit::SystemClock::new());
    let confine = std::sync::Arc::new(ebb_images::unpack::Unconfined);
    let store = Local::open(config, confine, clock).unwrap();
    server.handle(|_| Some(Reply { silent: true, ..Reply::default() }));
    let error = store.resolve(&pull(&server.reference("a", "1"))).await.unwrap_err();
    assert_eq!(error.code(), "REGISTRY_UNAVAILABLE");
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_ended() {
    let test = test();
    let (reference, digest, layer) = test.publish();
    let bytes = image().build().unwrap().blobs[&layer].clone();
    let cut = Reply { cut: Some(40), ..Reply::status(200).body(bytes.clone()) };
    test.server.next(layer.as_str(), cut);
    test.get(&reference, &digest).await.unwrap();
    let ranges: Vec<_> = test
        .server
        .seen(layer.as_str())
        .iter()
        .map(|seen| seen.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, [None, Some("bytes=40-".to_owned())]);
}

#[tokio::test]
async fn a_server_that_ignores_or_confuses_ranges_is_survived() {
    for second in ["ignores", "other part", "not satisfiable"] {
        let test = test();
        let (reference, digest, layer) = test.publish();
        let bytes = image().build().unwrap().blobs[&layer].clone();
        let whole = Reply::status(200).body(bytes.clone());
        test.server.next(layer.as_str(), Reply { cut: Some(40), ..whole.clone() });
        test.server.next(
            layer.as_str(),
            match second {
                "ignores" => whole,
                "other part" => {
                    let range = format!("bytes 0-{}/{}", bytes.len() - 1, bytes.len());
                    Reply::status(206).header("Content-Range", range).body(bytes)
                }
                _ => Reply::status(416),
            },
        );
        test.get(&reference, &digest).await.unwrap_or_else(|error| panic!("{second}: {error}"));
    }
}

#[tokio::test]
async fn content_that_is_not_what_was_asked_for_is_refused() {
    for reply in [
        Reply::status(200).body(vec![9; 1 << 20]),
        Reply::status(200).body("short"),
        Reply { cut: Some(0), ..Reply::status(200).header("Content-Length", 999).body("x") },
    ] {
        let test = test();
        let (reference, digest, layer) = test.publish();
        let name = layer.to_string();
        let same = reply.clone();
        test.server.handle(move |seen| seen.target.contains(&name).then(|| same.clone()));
        let error = test.get(&reference, &digest).await.unwrap_err();
        assert_eq!(error.code(), "IMAGE_CORRUPT", "{reply:?}");
        let error = test.store.layout("default", &digest).await.unwrap_err();
        assert_eq!(error.code(), "IMAGE_NOT_FOUND");
    }
    let test = test();
    let (reference, digest, layer) = test.publish();
    let mut bytes = image().build().unwrap().blobs[&layer].clone();
    bytes[20] ^= 1;
    test.server.next(layer.as_str(), Reply::status(200).body(bytes.clone()));
    assert_eq!(test.get(&reference, &digest).await.unwrap_err().code(), "IMAGE_CORRUPT");
    // Always cut at the same place: it ends after a bounded number of tries.
    let name = layer.to_string();
    let cut = Reply { cut: Some(0), ..Reply::status(200).body(bytes) };
    test.server.handle(move |seen| seen.target.contains(&name).then(|| cut.clone()));
    let before = test.server.seen(layer.as_str()).len();
    assert_eq!(test.get(&reference, &digest).await.unwrap_err().code(), "IMAGE_CORRUPT");
    assert_eq!(test.server.seen(layer.as_str()).len() - before, 4);
}

#[tokio::test]
async fn a_manifest_must_have_its_digest() {
    let test = test();
    let (reference, digest, _) = test.publish();
    test.server.next("manifests", Reply::status(200).header("Content-Type", MANIFEST).body("{}"));
    assert_eq!(test.get(&reference, &digest).await.unwrap_err().code(), "IMAGE_CORRUPT");
    let lie = Reply::status(200).header("Docker-Content-Digest", sha256(b"x")).body("{}");
    test.server.next("manifests", lie);
    assert_eq!(test.resolve(&reference).await.unwrap_err().code(), "IMAGE_CORRUPT");
    let large = Reply::status(200).body(vec![b' '; (4 << 20) + 1]);
    test.server.next("manifests", large);
    assert_eq!(test.resolve(&reference).await.unwrap_err().code(), "IMAGE_TOO_LARGE");
}

#[tokio::test]
async fn the_manifest_for_this_machine_is_chosen() {
    let test = test();
    let (_, digest, _) = test.publish();
    let entry = |os: &str, architecture: &str, digest: &Digest| {
        json!({"mediaType": MANIFEST, "digest": digest, "size": 7,
               "platform": {"os": os, "architecture": architecture}})
    };
    let other = sha256(b"other");
    let index = |entries: serde_json::Value| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
    let all = [
        entry("linux", "arm64", &other),
        entry("linux", "amd64", &digest),
        entry("unknown", "unknown", &other),
        entry("linux", "amd64", &other),
    ];
    let reference = test.document(INDEX, &index(json!(all)));
    assert_eq!(test.resolve(&reference).await.unwrap(), digest);
    let pinned = reference.pinned(sha256(&serde_json::to_vec(&index(json!(all))).unwrap()));
    assert_eq!(test.resolve(&pinned).await.unwrap(), digest);

    let nested = index(json!([{"mediaType": INDEX, "digest": pinned.digest, "size": 7}]));
    let reference = test.document(INDEX, &nested);
    assert_eq!(test.resolve(&reference).await.unwrap(), digest);

    let foreign =
        index(json!([entry("linux", "arm64", &other), entry("unknown", "unknown", &other)]));
    let reference = test.document(INDEX, &foreign);
    let error = test.resolve(&reference).await.unwrap_err();
    assert_eq!(error.code(), "IMAGE_PLATFORM");
    assert!(error.to_string().ends_with("available: linux/arm64"), "{error}");

    let (reference, digest, _) =
        test.server.publish("team/arm", "1", &image().platform("linux", "arm64"));
    assert_eq!(test.get(&reference, &digest).await.unwrap_err().code(), "IMAGE_PLATFORM");
}

#[tokio::test]
async fn documents_that_are_no_image_are_refused() {
    let test = test();
    let descriptor = json!({"mediaType": "application/vnd.oci.image.config.v1+json",
                            "digest": sha256(b"x"), "size": 1});
    let manifest = json!({"schemaVersion": 2, "config": descriptor, "layers": []});
    let with = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        manifest
    };
    let layer = |media_type: &str, size: u64| {
        json!([{"mediaType": media_type, "digest": sha256(b"x"), "size": size,
                "urls": ["http://169.254.169.254/"]}])
    };
    let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
    let v1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for (media_type, document, code) in [
        (v1, json!({"schemaVersion": 1, "fsLayers": []}), "IMAGE_UNSUPPORTED"),
        (MANIFEST, json!({"schemaVersion": 1}), "IMAGE_UNSUPPORTED"),
        ("application/x-unknown", manifest.clone(), "IMAGE_UNSUPPORTED"),
        (MANIFEST, with(&|m| m["artifactType"] = json!("x/y")), "IMAGE_UNSUPPORTED"),
        (MANIFEST, with(&|m| m["config"]["mediaType"] = json!("x/y")), "IMAGE_UNSUPPORTED"),
        (MANIFEST, with(&|m| m["layers"] = layer("x/y", 1)), "IMAGE_UNSUPPORTED"),
        (MANIFEST, with(&|m| m["layers"] = layer(gzip, 1 << 40)), "IMAGE_TOO_LARGE"),
        (
            MANIFEST,
            with(&|m| m["layers"] = json!(vec![layer(gzip, 1)[0].clone(); 129])),
            "IMAGE_TOO_LARGE",
        ),
        (MANIFEST, with(&|m| m["config"]["size"] = json!(5 << 20)), "IMAGE_TOO_LARGE"),
        (MANIFEST, with(&|m| m["config"]["size"] = json!(-1)), "IMAGE_CONFIG_INVALID"),
        (MANIFEST, with(&|m| m["config"]["digest"] = json!("md5:1")), "IMAGE_CONFIG_INVALID"),
        (MANIFEST, with(&|m| m["mediaType"] = json!(INDEX)), "IMAGE_CONFIG_INVALID"),
        (MANIFEST, with(&|m| m["manifests"] = json!([])), "IMAGE_CONFIG_INVALID"),
        (MANIFEST, json!([]), "IMAGE_CONFIG_INVALID"),
        (INDEX, json!({"schemaVersion": 2, "manifests": []}), "IMAGE_PLATFORM"),
    ] {
        let reference = test.document(media_type, &document);
        let error = test.resolve(&reference).await.unwrap_err();
        assert_eq!(error.code(), code, "{document}: {error}");
    }
    assert!(test.server.seen("blobs").is_empty());
}

#[tokio::test]
async fn two_pulls_do_the_work_once() {
    let test = test();
    let (reference, digest, layer) = test.publish();
    let work = (0..8).map(|_| test.get(&reference, &digest));
    for result in futures_util::future::join_all(work).await {
        result.unwrap();
    }
    assert_eq!(test.server.seen(layer.as_str()).len(), 1);
    assert_eq!(test.server.seen("manifests").len(), 1);
    let other = Pull { namespace: "other".to_owned(), ..pull(&reference.pinned(digest.clone())) };
    test.store.pull(&other).await.unwrap();
    assert_eq!(test.server.seen(layer.as_str()).len(), 1, "another namespace unpacks, no more");
    assert!(test.store.layout("other", &digest).await.is_ok());
    for namespace in ["", "..", "a/b", "A"] {
        let bad = Pull { namespace: namespace.to_owned(), ..other.clone() };
        assert_eq!(test.store.pull(&bad).await.unwrap_err().code(), "INVALID_NAME");
    }
}

#[tokio::test]
async fn an_interrupted_pull_leaves_nothing_and_can_be_repeated() {
    let test = test();
    let (reference, digest, layer) = test.publish();
    test.server.next(layer.as_str(), Reply { silent: true, ..Reply::default() });
    let work = test.get(&reference, &digest);
    let ended = tokio::time::timeout(Duration::from_millis(200), work).await;
    assert!(ended.is_err(), "it cannot have ended");
    assert!(test.store.list().await.unwrap().is_empty());
    test.get(&reference, &digest).await.unwrap();
    assert_eq!(test.store.list().await.unwrap().len(), 1);
}

/// Polls `work` at most `polls` times, then drops it.
async fn drop_after(polls: usize, work: impl Future<Output = Result<(), Error>>) -> bool {
    let mut work = Box::pin(work);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Pending if left == 0 => Poll::Ready(false),
            other => other.map(|ended| ended.is_ok()),
        }
    })
    .await
}

#[tokio::test]
async fn a_pull_may_be_dropped_at_every_await_point() {
    let test = test();
    let (reference, digest, _) = test.publish();
    test.get(&reference, &digest).await.unwrap();
    for polls in 1.. {
        // Each in a namespace of its own, so that each unpacks.
        let namespace = format!("n{polls}");
        let pull = Pull { namespace, ..pull(&reference.pinned(digest.clone())) };
        let ended = drop_after(polls, test.store.pull(&pull)).await;
        test.store.pull(&pull).await.unwrap();
        test.store.layout(&pull.namespace, &digest).await.unwrap();
        if ended {
            assert!(polls > 2, "the unpacking and the publishing were waited for");
            return;
        }
    }
}

/// Hands what a job keeps to the test and never ends, as a process that is slow to die.
struct Lingers(tokio::sync::mpsc::Sender<Box<dyn std::any::Any + Send>>);

#[async_trait::async_trait]
impl Confine for Lingers {
    async fn unpack(&self, job: UnpackJob) -> Result<UnpackReport, Error> {
        self.0.send(job.keep).await.unwrap();
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_dropped_pull_leaves_its_directory_to_the_process_that_still_writes() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let (reference, digest, _) = server.publish("team/app", "1", &image());
    let (send, mut jobs) = tokio::sync::mpsc::channel(1);
    let clock = std::sync::Arc::new(ebb_kit::SystemClock::new());
    let config = ebb_images::local::Config::new(dir.path());
    let store = Local::open(config, std::sync::Arc::new(Lingers(send)), clock).unwrap();
    let pull = pull(&reference.pinned(digest));
    let keep = tokio::select! {
        ended = store.pull(&pull) => panic!("{ended:?}"),
        keep = jobs.recv() => keep.unwrap(),
    };
    let temporary = || std::fs::read_dir(dir.path().join("temp")).unwrap().count();
    assert_eq!(temporary(), 1, "the process still writes there");
    drop(keep);
    assert_eq!(temporary(), 0);
}

#[tokio::test]
async fn names_for_local_images_are_never_asked_for() {
    let test = test();
    for name in ["localhost/app:1", "ko.local/app", "dev.local/app:2", "kind.local/a"] {
        let error = test.resolve(&name.parse().unwrap()).await.unwrap_err();
        assert_eq!(error.code(), "IMAGE_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_pulled_image_keeps_its_name_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (server, root) = (Server::start(), dir.path().join("store"));
    let (reference, digest, _) = server.publish("team/app", "1", &image());
    let pinned = reference.pinned(digest.clone());
    let store = local(&root);
    store.pull(&pull(&pinned)).await.unwrap();
    // Only the registry that gave it names it.
    let claimed: Reference = format!("elsewhere.example/other@{digest}").parse().unwrap();
    store.pull(&pull(&claimed)).await.unwrap();
    drop(store);
    let store = local(&root);
    let listed = store.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].reference.as_ref(), Some(&pinned));
    store.pin(&digest, "revision").await.unwrap();
    let error = store.prune(Some(&claimed)).await.unwrap_err();
    assert_eq!(error.0.message, format!("image {digest} is in use"));
    store.unpin(&digest, "revision").await.unwrap();
    let error = store.prune(Some(&reference)).await.unwrap_err();
    assert_eq!(error.code(), "IMAGE_NOT_FOUND");
    assert!(error.0.hint.as_deref().is_some_and(|hint| hint.contains("ebb images list")));
    assert!(store.prune(Some(&pinned)).await.unwrap() > 0);
    assert!(store.list().await.unwrap().is_empty());
    // The list of a version that kept no such names is read, too.
    let saved = std::fs::read(root.join("images.json")).unwrap();
    let mut saved: serde_json::Value = serde_json::from_slice(&saved).unwrap();
    saved.as_object_mut().unwrap().remove("pulled").unwrap();
    drop(store);
    std::fs::write(root.join("images.json"), serde_json::to_vec(&saved).unwrap()).unwrap();
    local(&root).pull(&pull(&pinned)).await.unwrap();
}
