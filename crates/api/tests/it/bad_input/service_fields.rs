//! Fields of a Service that say what cannot be, or what nobody may have.

use reqwest::Method;
use serde_json::{Value, json};

use super::Refusal;
use crate::world::{SERVICES, World, service};

const CONFIGURATIONS: &str = "/apis/serving.knative.dev/v1/namespaces/default/configurations";

/// What is put where, the code, and the field that is named.
type Case<'a> = (&'a str, Value, &'a str, &'a str);

/// Puts each value at its path of a Service, and of a Configuration where it has that path too.
async fn refuse_each(root: &str, cases: &[Case<'_>]) {
    let world = World::new();
    for (path, value, code, field) in cases {
        let what = format!("{root}{path} = {value}");
        let what = what.chars().take(200).collect::<String>();
        let mut object = service("hello");
        put(&mut object, &format!("{root}{path}"), value.clone());
        let want = Refusal { status: 422, code, says: &[field] };
        let request = world.request(Method::POST, SERVICES).json(&object);
        world.refused(&what, request, want).await;
        if root.starts_with("/spec/template") {
            object["kind"] = json!("Configuration");
            let request = world.request(Method::POST, CONFIGURATIONS).json(&object);
            world.refused(&format!("{what} in a Configuration"), request, want).await;
        }
    }
    world.end().await;
}

/// Sets the value at a JSON pointer, making objects on the way.
fn put(object: &mut Value, pointer: &str, value: Value) {
    let mut at = object;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/");
        at = match part.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[part],
        };
    }
    *at = value;
}

#[tokio::test]
async fn scale() {
    let root = "/spec/template/metadata/annotations";
    let one = |name: &str, value: &str| json!({format!("autoscaling.knative.dev/{name}"): value});
    let both = |min: &str, max: &str| json!({"autoscaling.knative.dev/min-scale": min, "autoscaling.knative.dev/max-scale": max});
    let mut cases: Vec<Case<'_>> = vec![
        ("", both("3", "2"), "INVALID_ANNOTATION", "max-scale"),
        ("", both("10000", "9999"), "INVALID_ANNOTATION", "max-scale"),
    ];
    let wrong = [
        "-1",
        "1000000000000",
        "10001",
        "1.5",
        "1e3",
        "+1",
        "",
        " 1",
        "0x10",
        "NaN",
        "∞",
        "١",
        "1\0",
        "99999999999999999999999",
    ];
    for name in ["min-scale", "max-scale", "minScale", "maxScale"] {
        for value in wrong {
            cases.push(("", one(name, value), "INVALID_ANNOTATION", "autoscaling.knative.dev/"));
        }
    }
    for value in
        ["", "-1s", "5s", "2h", "60", "1d", "s", "1s1", "NaNs", "99999999999999999999h", "1.1.1s"]
    {
        cases.push(("", one("window", value), "INVALID_ANNOTATION", "window"));
    }
    for name in ["target", "metric", "class", "scale-down-delay", "nonsense"] {
        cases.push(("", one(name, "1"), "UNSUPPORTED_FIELD", "autoscaling.knative.dev/"));
    }
    refuse_each(root, &cases).await;
    let misplaced: [Case<'_>; 1] =
        [("", one("min-scale", "1"), "INVALID_ANNOTATION", "metadata.annotations")];
    refuse_each("/metadata/annotations", &misplaced).await;
}

#[tokio::test]
async fn quantities() {
    let root = "/spec/template/spec/containers/0/resources";
    let wrong = [
        "0", "0m", "-1", "NaN", "nan", "inf", "∞", "1e400", "", " 1", "1 ", "0x10", "1,5", "m",
        "1mm", "++1",
    ];
    let mut cases: Vec<Case<'_>> = Vec::new();
    for value in wrong {
        for field in ["limits", "requests"] {
            let at = if field == "limits" { "/limits" } else { "/requests" };
            cases.push((at, json!({"cpu": value}), "INVALID_QUANTITY", "cpu"));
            cases.push((at, json!({"memory": value}), "INVALID_QUANTITY", "memory"));
        }
    }
    for value in ["1Ki", "1KiB", "1024", "3Mi", "4MB", "1Zi", "99999999999999999999E"] {
        cases.push(("/limits", json!({"memory": value}), "INVALID_QUANTITY", "limits.memory"));
    }
    // More than any machine has is a slip of the finger; more than this one has is told in status.
    for (name, value) in
        [("cpu", "1000000000000"), ("cpu", "2000000"), ("memory", "16Ei"), ("memory", "1000Ti")]
    {
        cases.push(("/limits", json!({name: value}), "INVALID_QUANTITY", name));
    }
    let more = json!({"limits": {"memory": "64Mi"}, "requests": {"memory": "65Mi"}});
    cases.push(("", more, "INVALID_QUANTITY", "requests.memory"));
    for name in ["nvidia.com/gpu", "ephemeral-storage", "hugepages-2Mi", "pods", ""] {
        cases.push(("/limits", json!({name: "1"}), "UNSUPPORTED_FIELD", "limits"));
    }
    cases.push(("/claims", json!([{"name": "gpu"}]), "UNSUPPORTED_FIELD", "claims"));
    refuse_each(root, &cases).await;
}

#[tokio::test]
async fn concurrency_and_time() {
    let root = "/spec/template/spec";
    let mut cases: Vec<Case<'_>> = Vec::new();
    for value in [-1_i64, 1_001, 1_000_000_000_000, i64::MIN, i64::MAX] {
        cases.push((
            "/containerConcurrency",
            json!(value),
            "INVALID_VALUE",
            "containerConcurrency",
        ));
    }
    for value in [-1_i64, 0, 3_601, 1_000_000_000_000, i64::MIN] {
        cases.push(("/timeoutSeconds", json!(value), "INVALID_VALUE", "timeoutSeconds"));
    }
    let at = "/terminationGracePeriodSeconds";
    cases.push((at, json!(-1), "INVALID_VALUE", "terminationGracePeriodSeconds"));
    cases.push((at, json!(3_601), "INVALID_VALUE", "terminationGracePeriodSeconds"));
    cases.push(("/runtimeClassName", json!("gvisor"), "RUNTIME_CLASS_UNKNOWN", "runtimeClassName"));
    cases.push(("/runtimeClassName", json!("../ebb"), "RUNTIME_CLASS_UNKNOWN", "runtimeClassName"));
    cases.push(("/serviceAccountName", json!("root"), "UNSUPPORTED_FIELD", "serviceAccountName"));
    cases.push((
        "/imagePullSecrets",
        json!([{"name": "../x"}]),
        "INVALID_NAME",
        "imagePullSecrets[0]",
    ));
    cases.push(("/containers", json!([]), "REQUIRED_FIELD", "containers"));
    refuse_each(root, &cases).await;
}

#[tokio::test]
async fn traffic() {
    let world = World::new();
    let latest = |percent: i64| json!({"latestRevision": true, "percent": percent});
    let to = |name: &str, percent: i64| json!({"revisionName": name, "percent": percent});
    for (traffic, field) in [
        (json!([latest(99)]), "spec.traffic"),
        (json!([latest(101)]), "spec.traffic[0].percent"),
        (json!([latest(50), to("hello-00001", 49)]), "spec.traffic"),
        (json!([latest(50), to("hello-00001", 51)]), "spec.traffic"),
        (json!([latest(110), to("hello-00001", -10)]), "spec.traffic[1].percent"),
        (json!([latest(0)]), "spec.traffic"),
        (json!([latest(i64::MAX), to("hello-00001", i64::MAX)]), "spec.traffic[0].percent"),
        (json!([latest(i64::MIN), to("hello-00001", i64::MIN)]), "spec.traffic[0].percent"),
        (json!([latest(50), latest(50)]), "spec.traffic[1]"),
        (json!([to("hello-00001", 50), to("hello-00001", 50)]), "spec.traffic[1]"),
        (
            json!([{"latestRevision": true, "revisionName": "hello-00001", "percent": 100}]),
            "latestRevision",
        ),
        (json!([{"latestRevision": false, "percent": 100}]), "revisionName"),
    ] {
        let mut object = service("hello");
        object["spec"]["traffic"] = traffic.clone();
        let request = world.request(Method::POST, SERVICES).json(&object);
        let want = Refusal { status: 422, code: "INVALID_TRAFFIC", says: &[field] };
        world.refused(&traffic.to_string(), request, want).await;
    }
    for name in ["..", "A", "a/b", "🦀", ""] {
        let mut object = service("hello");
        object["spec"]["traffic"] = json!([to(name, 100)]);
        let request = world.request(Method::POST, SERVICES).json(&object);
        let want =
            Refusal { status: 422, code: "INVALID_NAME", says: &["spec.traffic[0].revisionName"] };
        world.refused(name, request, want).await;
    }
    world.end().await;
}

#[tokio::test]
async fn environment() {
    let root = "/spec/template/spec/containers/0/env";
    let named = |name: &str| json!([{"name": name, "value": "x"}]);
    let mut cases: Vec<Case<'_>> = Vec::new();
    for name in
        ["A=B", "=", "", "1A", "A B", "A\0B", "A\nB", "é", "🦀", "$(A)", " A", &"A".repeat(513)]
    {
        cases.push(("", named(name), "INVALID_NAME", "env[0].name"));
    }
    for name in ["PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"] {
        cases.push(("", named(name), "RESERVED_ENV", "env[0].name"));
    }
    let twice = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
    cases.push(("", twice, "DUPLICATE_KEY", "env[1].name"));
    cases.push(("", json!([{"name": "A", "value": "a\0b"}]), "INVALID_VALUE", "env[0].value"));
    let long = "x".repeat((32 << 10) + 1);
    cases.push(("", json!([{"name": "A", "value": long}]), "INVALID_VALUE", "env[0].value"));
    let from = |source: Value| json!([{"name": "A", "valueFrom": source}]);
    cases.push(("", from(json!({})), "REQUIRED_FIELD", "env[0].valueFrom"));
    cases.push((
        "",
        from(json!({"secretKeyRef": {"name": "s", "key": ""}})),
        "REQUIRED_FIELD",
        "key",
    ));
    cases.push((
        "",
        from(json!({"secretKeyRef": {"name": "../s", "key": "k"}})),
        "INVALID_NAME",
        "name",
    ));
    cases.push((
        "",
        from(json!({"configMapKeyRef": {"name": "", "key": "k"}})),
        "INVALID_NAME",
        "name",
    ));
    refuse_each(root, &cases).await;

    let world = World::new();
    let mut object = service("hello");
    // What a loader of the container reads is the container's own business, and so is a newline.
    object["spec"]["template"]["spec"]["containers"][0]["env"] = json!([
        {"name": "LD_PRELOAD", "value": "/x.so"}, {"name": "TEXT", "value": "a\nb"},
        {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "not-there-yet", "key": "k"}}},
    ]);
    let (status, made) = world.post(SERVICES, &object).await;
    assert_eq!(status, 201, "{made}");
    world.end().await;
}

#[tokio::test]
async fn ports() {
    let root = "/spec/template/spec/containers/0/ports";
    let port = |number: i64| json!([{"containerPort": number}]);
    let mut cases: Vec<Case<'_>> = Vec::new();
    for number in [0_i64, -1, 65_536, 2_147_483_647] {
        cases.push(("", port(number), "INVALID_PORT", "ports[0].containerPort"));
    }
    let two = json!([{"containerPort": 80}, {"containerPort": 80}]);
    cases.push(("", two, "INVALID_PORT", "ports"));
    let more = |field: &str, value: Value| json!([{"containerPort": 80, field: value}]);
    cases.push(("", more("name", json!("web")), "INVALID_PORT", "ports[0].name"));
    cases.push(("", more("name", json!("../x")), "INVALID_PORT", "ports[0].name"));
    cases.push(("", more("protocol", json!("UDP")), "INVALID_PORT", "ports[0].protocol"));
    cases.push(("", more("protocol", json!("tcp")), "INVALID_PORT", "ports[0].protocol"));
    cases.push(("", more("hostPort", json!(80)), "FORBIDDEN_FIELD", "ports[0].hostPort"));
    cases.push(("", more("hostIP", json!("0.0.0.0")), "FORBIDDEN_FIELD", "ports[0].hostIP"));
    refuse_each(root, &cases).await;
}

#[tokio::test]
async fn images() {
    let root = "/spec/template/spec/containers/0/image";
    let mut cases: Vec<Case<'_>> = vec![("", json!(""), "REQUIRED_FIELD", "image")];
    for image in [
        "UPPER",
        "a b",
        "a/../b",
        "../a",
        "/a",
        "a:",
        ":a",
        "a@",
        "a@sha256:short",
        "a@md5:abc",
        "http://a/b",
        "a:b:c",
        "a\0",
        "🦀",
        "-",
        "a//b",
        &"a".repeat(5_000),
        "a:../../etc",
        "a@sha256:../../x",
    ] {
        cases.push(("", json!(image), "IMAGE_REFERENCE_INVALID", "containers[0].image"));
    }
    refuse_each(root, &cases).await;
}

/// What would reach out of the sandbox, and what is not done yet: refused by its name.
#[tokio::test]
async fn what_nobody_may_have() {
    let host_path = json!([{"name": "v", "hostPath": {"path": "/"}}]);
    let empty = json!([{"name": "v", "emptyDir": {}}]);
    let cases: Vec<Case<'_>> = vec![
        ("/hostNetwork", json!(true), "FORBIDDEN_FIELD", "spec.template.spec.hostNetwork"),
        ("/hostPID", json!(true), "FORBIDDEN_FIELD", "spec.template.spec.hostPID"),
        ("/hostIPC", json!(true), "FORBIDDEN_FIELD", "spec.template.spec.hostIPC"),
        ("/hostAliases", json!([{"ip": "127.0.0.1"}]), "FORBIDDEN_FIELD", "hostAliases"),
        ("/nodeName", json!("node"), "FORBIDDEN_FIELD", "nodeName"),
        ("/volumes", host_path, "FORBIDDEN_FIELD", "spec.template.spec.volumes[0].hostPath"),
        ("/volumes", empty, "UNSUPPORTED_FIELD", "spec.template.spec.volumes"),
        ("/volumes", json!("x"), "UNSUPPORTED_FIELD", "spec.template.spec.volumes"),
        (
            "/securityContext",
            json!({"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]}),
            "FORBIDDEN_FIELD",
            "spec.template.spec.securityContext.sysctls",
        ),
        ("/securityContext", json!({"runAsUser": 1}), "UNSUPPORTED_FIELD", "securityContext"),
        ("/initContainers", json!([{"name": "a"}]), "UNSUPPORTED_FIELD", "initContainers"),
        ("/shareProcessNamespace", json!(true), "UNSUPPORTED_FIELD", "shareProcessNamespace"),
        (
            "/priorityClassName",
            json!("system-node-critical"),
            "UNSUPPORTED_FIELD",
            "priorityClassName",
        ),
        ("/nodeSelector", json!({"a": "b"}), "UNSUPPORTED_FIELD", "nodeSelector"),
        ("/tolerations", json!([{}]), "UNSUPPORTED_FIELD", "tolerations"),
    ];
    refuse_each("/spec/template/spec", &cases).await;

    let at = "containers[0].securityContext";
    let cases: Vec<Case<'_>> = vec![
        ("/privileged", json!(true), "FORBIDDEN_FIELD", "containers[0].securityContext.privileged"),
        ("/allowPrivilegeEscalation", json!(true), "FORBIDDEN_FIELD", "allowPrivilegeEscalation"),
        ("/capabilities", json!({"add": ["SYS_ADMIN"]}), "FORBIDDEN_FIELD", "capabilities.add"),
        ("/procMount", json!("Unmasked"), "FORBIDDEN_FIELD", "procMount"),
        ("/seccompProfile", json!({"type": "Unconfined"}), "FORBIDDEN_FIELD", "seccompProfile"),
        ("/runAsUser", json!(0), "UNSUPPORTED_FIELD", at),
        ("/readOnlyRootFilesystem", json!(true), "UNSUPPORTED_FIELD", at),
    ];
    refuse_each("/spec/template/spec/containers/0/securityContext", &cases).await;

    let device = json!([{"name": "v", "devicePath": "/dev/sda"}]);
    let mut cases: Vec<Case<'_>> = vec![
        ("/volumeDevices", device, "FORBIDDEN_FIELD", "containers[0].volumeDevices"),
        ("/lifecycle", json!({}), "UNSUPPORTED_FIELD", "containers[0].lifecycle"),
        ("/livenessProbe", json!({}), "UNSUPPORTED_FIELD", "containers[0].livenessProbe"),
        ("/envFrom", json!([]), "UNSUPPORTED_FIELD", "containers[0].envFrom"),
        ("/tty", json!(true), "UNSUPPORTED_FIELD", "containers[0].tty"),
        ("/workingDir", json!("../x"), "INVALID_VALUE", "containers[0].workingDir"),
        ("/workingDir", json!("/a\0"), "INVALID_VALUE", "containers[0].workingDir"),
        ("/command", json!(["a\0"]), "INVALID_VALUE", "containers[0].command[0]"),
        ("/args", json!(["a", "\0"]), "INVALID_VALUE", "containers[0].args[1]"),
        ("/name", json!("../x"), "INVALID_NAME", "containers[0].name"),
    ];
    for path in ["/", "/proc", "/dev/../proc", "relative", "", "/a\0", "//", "/sys/fs", "/dev"] {
        let mount = json!([{"name": "v", "mountPath": path}]);
        cases.push(("/volumeMounts", mount, "INVALID_MOUNT", "volumeMounts[0].mountPath"));
    }
    let twice = json!([{"name": "v", "mountPath": "/a"}, {"name": "w", "mountPath": "/a/"}]);
    cases.push(("/volumeMounts", twice, "INVALID_MOUNT", "volumeMounts[1].mountPath"));
    let fine = json!([{"name": "v", "mountPath": "/data"}]);
    cases.push(("/volumeMounts", fine, "UNSUPPORTED_FIELD", "containers[0].volumeMounts"));
    refuse_each("/spec/template/spec/containers/0", &cases).await;
}

/// A command is a list: what is no list is refused with the place and what is expected there.
#[tokio::test]
async fn a_command_as_one_text() {
    let world = World::new();
    for field in ["command", "args", "env", "ports"] {
        let mut object = service("hello");
        object["spec"]["template"]["spec"]["containers"][0][field] = json!("run me");
        let request = world.request(Method::POST, SERVICES).json(&object);
        let at = format!("spec.template.spec.containers[0].{field}");
        let want = Refusal { status: 400, code: "INVALID_VALUE", says: &[&at, "run me"] };
        world.refused(field, request, want).await;
    }
    world.end().await;
}
