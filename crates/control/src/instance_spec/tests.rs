use serde_json::{Value, json};

use super::*;

fn revision(container: &Value) -> Revision {
    serde_json::from_value(json!({
        "metadata": {"name": "hello-00001", "namespace": "default",
                     "labels": {LABEL_SERVICE: "hello", LABEL_CONFIGURATION: "hello"}},
        "spec": {"containers": [container]},
    }))
    .unwrap()
}

fn image() -> ImageConfig {
    ImageConfig {
        entrypoint: vec!["/entry".to_owned()],
        cmd: vec!["default".to_owned()],
        ..ImageConfig::default()
    }
}

fn spec(container: &Value, image: ImageConfig) -> Result<InstanceSpec, Fault> {
    let revision = revision(container);
    let layouts = vec![RootFsLayout { lowers: Vec::new(), config: image }];
    let sources = Sources::default();
    build(Parts { revision: &revision, layouts, sources: &sources, start_timeout_ms: 240_000 })
}

#[allow(clippy::needless_pass_by_value)] // reads better in the tables
fn first(container: Value, image: ImageConfig) -> ContainerSpec {
    spec(&container, image).unwrap().containers.remove(0)
}

#[test]
fn argv_table() {
    for (container, want) in [
        (json!({"name": "c"}), vec!["/entry", "default"]),
        (json!({"name": "c", "args": ["x"]}), vec!["/entry", "x"]),
        (json!({"name": "c", "command": ["/own"]}), vec!["/own"]),
        (json!({"name": "c", "command": ["/own"], "args": ["x"]}), vec!["/own", "x"]),
        (json!({"name": "c", "command": [], "args": []}), vec!["/entry", "default"]),
        (json!({"name": "c", "args": ["--port=$(PORT)"]}), vec!["/entry", "--port=8080"]),
        (
            json!({"name": "c", "command": ["$(X)", "$$(X)"], "env": [{"name": "X", "value": "1"}]}),
            vec!["1", "$(X)"],
        ),
    ] {
        assert_eq!(first(container.clone(), image()).argv, want, "{container}");
    }
}

#[test]
fn an_image_without_command_needs_one() {
    let fault = spec(&json!({"name": "c", "image": "empty"}), ImageConfig::default()).unwrap_err();
    assert_eq!(fault.code, "IMAGE_NO_COMMAND");
    let given = json!({"name": "c", "command": ["/own"]});
    assert_eq!(first(given, ImageConfig::default()).argv, ["/own"]);
}

#[test]
fn port_table() {
    let exposing = |ports: &[u16]| ImageConfig { exposed_tcp_ports: ports.to_vec(), ..image() };
    for (container, image, want) in [
        (json!({"name": "c"}), exposing(&[]), 8080),
        (json!({"name": "c"}), exposing(&[80]), 80),
        (json!({"name": "c"}), exposing(&[80, 443]), 8080),
        (json!({"name": "c", "ports": [{"containerPort": 3000}]}), exposing(&[80]), 3000),
        (json!({"name": "c", "ports": []}), exposing(&[80]), 80),
    ] {
        let spec = first(container.clone(), image);
        assert_eq!(spec.port, Some(want), "{container}");
        assert!(spec.env.contains(&("PORT".to_owned(), want.to_string())));
    }
}

#[test]
fn the_identity_is_in_the_environment() {
    let env = first(json!({"name": "c"}), image()).env;
    for (name, want) in
        [("K_SERVICE", "hello"), ("K_CONFIGURATION", "hello"), ("K_REVISION", "hello-00001")]
    {
        assert!(env.contains(&(name.to_owned(), want.to_owned())), "{name}");
    }
}

#[test]
fn limits_table() {
    for (resources, cpu, memory) in [
        (json!({}), 1000, 512 << 20),
        (json!({"limits": {"cpu": "250m", "memory": "64Mi"}}), 250, 64 << 20),
        (json!({"requests": {"cpu": "2", "memory": "1Gi"}}), 2000, 1 << 30),
        (json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "500m"}}), 500, 512 << 20),
    ] {
        let limits = first(json!({"name": "c", "resources": resources}), image()).limits;
        assert_eq!(limits["cpu"], cpu, "{resources}");
        assert_eq!(limits["memory"], memory, "{resources}");
    }
    let fault = spec(&json!({"name": "c", "resources": {"limits": {"cpu": "x"}}}), image());
    assert_eq!(fault.unwrap_err().code, "INVALID_QUANTITY");
}

#[test]
fn working_dir_and_user_come_from_the_manifest_then_the_image() {
    let image =
        || ImageConfig { working_dir: "/srv".to_owned(), user: "app:staff".to_owned(), ..image() };
    let plain = first(json!({"name": "c"}), image());
    assert_eq!((plain.working_dir.as_str(), plain.user.as_str()), ("/srv", "app:staff"));
    let security = json!({"runAsUser": 7, "runAsGroup": 8, "readOnlyRootFilesystem": true});
    let own = json!({"name": "c", "workingDir": "/own", "securityContext": security});
    let own = first(own, image());
    assert_eq!((own.working_dir.as_str(), own.user.as_str()), ("/own", "7:8"));
    assert!(own.read_only);
    let group = first(json!({"name": "c", "securityContext": {"runAsGroup": 8}}), image());
    assert_eq!(group.user, "app:8");
    assert_eq!(
        first(json!({"name": "c"}), ImageConfig { user: String::new(), ..image() }).user,
        ""
    );
}

#[test]
fn a_container_without_name_gets_one() {
    assert_eq!(first(json!({"name": ""}), image()).name, CONTAINER);
}
