//! Every way in which a deployment fails: the code on the conditions, an event that says it, and
//! the revision before goes on serving.

use ebb_images::sim::Call;
use ebb_model::{Fault, Kind};
use serde_json::{Value, json};

use crate::world::{World, condition, pass, template, until};

/// Deploys a good revision, then a bad one, and checks that it failed with `code`.
async fn fails(world: &World, bad: Value, code: &str) -> String {
    world.image("good", &[]);
    world.deploy_ready("hello", "good").await;
    world.deploy("hello", bad).await;
    let ready = world.until_ready("hello", "False").await;
    assert_eq!(ready.reason.as_deref(), Some(code));
    let message = ready.message.unwrap();
    let service = world.service("hello").await;
    assert_eq!(condition(&service, "ConfigurationsReady").status, "False");
    assert_eq!(condition(&service, "RoutesReady").status, "True");
    assert_eq!(world.plane.targets("hello"), Some(vec![("hello-00001".to_owned(), 100)]));
    let status = service.status.unwrap();
    assert_eq!(status.latest_ready_revision_name.as_deref(), Some("hello-00001"));
    until("an event of the service", || async {
        world.events().await.iter().any(|event| {
            event.reason.as_deref() == Some(code)
                && event.type_.as_deref() == Some("Warning")
                && event.involved_object.kind.as_deref() == Some("Service")
        })
    })
    .await;
    world.hold("hello-00001", 1);
    until("the old one serves", || async { world.plane.endpoints("hello-00001") == 1 }).await;
    until("nothing of it runs", || async { world.plane.endpoints("hello-00002") == 0 }).await;
    message
}

fn with_env(image: &str, env: &Value) -> Value {
    json!({"spec": {"containers": [{"image": image, "env": env}]}})
}

#[tokio::test(start_paused = true)]
async fn image_faults_that_stay() {
    for (code, kind, call) in [
        ("IMAGE_PULL_DENIED", Kind::Denied, Call::Resolve),
        ("IMAGE_CORRUPT", Kind::Invalid, Call::Pull),
        ("IMAGE_TOO_LARGE", Kind::Invalid, Call::Pull),
    ] {
        let world = World::new().await;
        world.image("good", &[]);
        world.deploy_ready("hello", "good").await;
        world.image("bad", &[("A", "b")]);
        world.images.fail(call, &Fault::new(code, kind, "no"), 1);
        fails(&world, template("bad"), code).await;
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn image_not_found() {
    let world = World::new().await;
    fails(&world, template("missing"), "IMAGE_NOT_FOUND").await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn image_without_command() {
    let world = World::new().await;
    let config = ebb_model::image::ImageConfig::default();
    world.images.publish(&"empty".parse().unwrap(), config);
    fails(&world, template("empty"), "IMAGE_NO_COMMAND").await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_down_is_asked_until_it_answers() {
    let world = World::new().await;
    world.image("hello", &[]);
    let down = Fault::new("REGISTRY_UNAVAILABLE", Kind::Unavailable, "no answer");
    world.images.fail(Call::Resolve, &down, 4);
    world.deploy("hello", template("hello")).await;
    until("says why it waits", || async {
        condition(&world.service("hello").await, "Ready").reason.as_deref()
            == Some("REGISTRY_UNAVAILABLE")
    })
    .await;
    assert_eq!(condition(&world.service("hello").await, "Ready").status, "Unknown");
    world.until_ready("hello", "True").await;
    assert_eq!(world.images.calls(Call::Resolve), 5);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_stays_down_fails_at_the_deadline() {
    let world = World::new().await;
    world.image("hello", &[]);
    let down = Fault::new("REGISTRY_UNAVAILABLE", Kind::Unavailable, "no answer");
    world.images.fail(Call::Resolve, &down, 10_000);
    let begin = tokio::time::Instant::now();
    world.deploy("hello", template("hello")).await;
    let ready = world.until_ready("hello", "False").await;
    assert_eq!(ready.reason.as_deref(), Some("REGISTRY_UNAVAILABLE"));
    let took = begin.elapsed().as_secs();
    assert!((600..605).contains(&took), "{took} s");
    assert!(world.images.calls(Call::Resolve) < 40, "with backoff");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn programs_that_do_not_start() {
    for (env, code, part) in [
        (vec![("SIM_START_FAILURE", "START_FAILED")], "START_FAILED", "cannot be started"),
        (vec![("SIM_NEVER_READY", "1")], "NEVER_READY", ""),
        (
            vec![("SIM_EXIT_CODE", "3"), ("SIM_READY_MS", "100"), ("SIM_STDERR", "no|database")],
            "EXITED_EARLY",
            "with code 3 before it listened on port 8080",
        ),
        (vec![("SIM_OOM", "1"), ("SIM_READY_MS", "100")], "OOM_KILLED", "512Mi"),
    ] {
        let world = World::new().await;
        world.image("bad", &env);
        let message = fails(&world, template("bad"), code).await;
        assert!(message.contains(part), "{message}");
        if code == "EXITED_EARLY" {
            assert!(message.contains("last output: no | database"), "{message}");
        }
        let pods = world.pods().await;
        let bad =
            pods.iter().find(|p| p.metadata.name.as_ref().unwrap().starts_with("hello-00002"));
        assert_eq!(bad.unwrap().status.as_ref().unwrap().phase.as_deref(), Some("Failed"));
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_fails_until_it_is_there() {
    let world = World::new().await;
    let from = json!({"secretKeyRef": {"name": "db", "key": "password"}});
    world.image("bad", &[]);
    let env = json!([{"name": "PASSWORD", "valueFrom": from}]);
    let message = fails(&world, with_env("bad", &env), "SECRET_NOT_FOUND").await;
    assert!(message.contains("\"db\""), "{message}");
    let secret = json!({"metadata": {"name": "db", "namespace": "default"},
                        "data": {"password": "aGVsbG8="}});
    world.put("/core/secrets/default/db".to_owned(), &secret).await;
    world.until_ready("hello", "True").await;
    until("moved", || async { world.plane.targets("hello").unwrap()[0].0 == "hello-00002" }).await;
    let running = world.instances(ebb_model::engine::State::Ready).await;
    let new = running.iter().find(|i| i.spec.name.starts_with("hello-00002")).unwrap();
    let password = ("PASSWORD".to_owned(), "hello".to_owned());
    assert!(new.spec.containers[0].env.contains(&password));
    let pods = serde_json::to_string(&world.pods().await).unwrap();
    assert!(!pods.contains("PASSWORD"), "no environment in pods");
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_no_text_fails_until_it_is() {
    let world = World::new().await;
    let from = json!({"secretKeyRef": {"name": "db", "key": "password"}});
    let secret = |data: &str| json!({"metadata": {"name": "db", "namespace": "default"}, "data": {"password": data}});
    world.put("/core/secrets/default/db".to_owned(), &secret("/w==")).await;
    world.image("bad", &[]);
    let env = json!([{"name": "PASSWORD", "valueFrom": from}]);
    fails(&world, with_env("bad", &env), "SECRET_NOT_TEXT").await;
    world.put("/core/secrets/default/db".to_owned(), &secret("aGVsbG8=")).await;
    world.until_ready("hello", "True").await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_platform_itself_is_tried_again() {
    let world = World::new().await;
    world.image("hello", &[]);
    let fault = Fault::new("ENGINE_FAILED", Kind::Internal, "no");
    world.images.fail(Call::Pull, &fault, 2);
    world.deploy_ready("hello", "hello").await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_pull_secret_is_named() {
    let world = World::new().await;
    let bad = json!({"spec": {"containers": [{"image": "good"}],
                              "imagePullSecrets": [{"name": "registry"}]}});
    let message = fails(&world, bad, "SECRET_NOT_FOUND").await;
    assert!(message.contains("registry"), "{message}");
    world.stop().await;
}

/// What a template names is looked for at the deploy, before anything is started.
#[tokio::test(start_paused = true)]
async fn nothing_is_started_without_its_secret() {
    let env = json!([{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "k"}}}]);
    let pull = json!({"spec": {"containers": [{"image": "bad"}],
                               "imagePullSecrets": [{"name": "db"}]}});
    for bad in [with_env("bad", &env), pull] {
        let world = World::new().await;
        world.image("bad", &[]);
        world.deploy("hello", bad.clone()).await;
        let ready = world.until_ready("hello", "False").await;
        assert_eq!(ready.reason.as_deref(), Some("SECRET_NOT_FOUND"), "{bad}");
        assert_eq!(world.engine.starts(), 0, "{bad}");
        assert!(world.pods().await.is_empty(), "{bad}");
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_config_map_is_named() {
    let world = World::new().await;
    let from = json!({"configMapKeyRef": {"name": "settings", "key": "mode"}});
    let env = json!([{"name": "MODE", "valueFrom": from}]);
    fails(&world, with_env("good", &env), "CONFIGMAP_NOT_FOUND").await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_without_room_is_tried_again() {
    let world = World::new().await;
    world.image("hello", &[]);
    world.engine.fail_next(ebb_engine::sim::Call::Start, 2);
    world.deploy("hello", template("hello")).await;
    world.until_ready("hello", "True").await;
    pass(1).await;
    assert_eq!(world.running().await, 1);
    world.stop().await;
}
