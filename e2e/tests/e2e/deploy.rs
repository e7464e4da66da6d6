//! Deploying `hello` and nginx, with `ebb` and with kubectl.

use std::io::{Read, Write};

use ebb_e2e::http::{Request, connect, send};
use ebb_e2e::platform::host;
use ebb_e2e::{Platform, cache_dir, debian, image, not_run};

use crate::support::can_run;

#[test]
fn hello_through_ebb() {
    if !can_run("hello_through_ebb") {
        return;
    }
    let platform = Platform::start().unwrap();
    let image = platform.load_hello().unwrap();
    let deploy = ["deploy", "hello", "--image", image, "--env", "GREETING=good day"];
    let url = platform.ebb(&deploy).unwrap().ok().unwrap();
    let port = platform.gateway.port();
    assert_eq!(url.trim(), format!("http://hello.default.localhost:{port}"));

    let answer = platform.get("hello", "/").unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text(), "Hello from hello, revision hello-00001.\n");
    let variables = [
        ("PORT", "8080"),
        ("K_SERVICE", "hello"),
        ("K_REVISION", "hello-00001"),
        ("K_CONFIGURATION", "hello"),
        ("GREETING", "good day"),
    ];
    for (name, value) in variables {
        let answer = platform.get("hello", &format!("/env?{name}")).unwrap();
        assert_eq!(answer.text(), value, "{name}");
    }

    let list = platform.ebb(&["services", "list"]).unwrap().ok().unwrap();
    assert!(list.contains("hello") && list.contains("True"), "{list}");
    let describe = platform.ebb(&["services", "describe", "hello"]).unwrap().ok().unwrap();
    assert!(describe.contains("hello-00001"), "{describe}");
    assert_eq!(platform.get("hello", "/log?a+line+of+its+own").unwrap().status(), 200);
    let logs = platform.ebb(&["logs", "hello"]).unwrap().ok().unwrap();
    assert!(logs.contains("listening on port 8080"), "{logs}");
    assert!(logs.contains("a line of its own"), "{logs}");
    let explain = platform.ebb(&["explain", "service/hello", "-o", "json"]).unwrap();
    let explanation = explain.json().unwrap();
    assert!(explanation["decisions"].as_array().is_some_and(|d| !d.is_empty()), "{explanation}");

    let again = ["deploy", "hello", "--image", image, "--env", "GREETING=good night"];
    platform.ebb(&again).unwrap().ok().unwrap();
    assert_eq!(platform.get("hello", "/env?GREETING").unwrap().text(), "good night");
    assert!(platform.get("hello", "/").unwrap().text().contains("hello-00002"));

    platform.ebb(&["services", "delete", "hello"]).unwrap().ok().unwrap();
    let gone = platform.get("hello", "/").unwrap();
    assert_eq!(gone.status(), 404);
    assert_eq!(gone.head.header("ebb-reason"), Some("NO_ROUTE"), "{:?}", gone.head);
    let missing = platform.ebb(&["services", "describe", "hello"]).unwrap();
    assert_eq!(missing.code, Some(6), "{missing:?}");
    platform.stop().unwrap();
}

#[test]
fn hello_through_kubectl() {
    if !can_run("hello_through_kubectl") {
        return;
    }
    let platform = Platform::start().unwrap();
    platform.load_hello().unwrap();
    let manifest = format!(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata:\n  name: hello\nspec:\n  \
         template:\n    spec:\n      containers:\n        - image: {}\n",
        image::HELLO
    );
    let Some(applied) = platform.kubectl(&["apply", "-f", "-"], &manifest).unwrap() else {
        not_run("hello_through_kubectl", "kubectl is not installed");
        return;
    };
    let applied = applied.ok().unwrap();
    assert!(applied.contains("created"), "{applied}");
    let kubectl = |arguments: &[&str]| platform.kubectl(arguments, "").unwrap().unwrap();
    kubectl(&["wait", "ksvc/hello", "--for=condition=Ready", "--timeout=60s"]).ok().unwrap();
    let url = kubectl(&["get", "ksvc", "hello", "-o", "jsonpath={.status.url}"]).ok().unwrap();
    assert!(url.starts_with("http://hello.default.localhost"), "{url}");
    assert!(platform.get("hello", "/").unwrap().text().contains("hello-00001"));

    // The same once more makes no second revision.
    platform.kubectl(&["apply", "-f", "-"], &manifest).unwrap().unwrap().ok().unwrap();
    let table = kubectl(&["get", "ksvc"]).ok().unwrap();
    assert!(table.contains("hello") && table.contains("URL"), "{table}");
    let revisions = kubectl(&["get", "revisions", "-o", "name"]).ok().unwrap();
    assert_eq!(revisions.trim(), "revision.serving.knative.dev/hello-00001");
    let described = kubectl(&["describe", "ksvc", "hello"]).ok().unwrap();
    assert!(described.contains("RoutesReady"), "{described}");
    let pods = kubectl(&["get", "pods", "-o", "name"]).ok().unwrap();
    let pod = pods.lines().next().unwrap();
    let logs = kubectl(&["logs", pod]).ok().unwrap();
    assert!(logs.contains("listening on port 8080"), "{logs}");

    let wrong = manifest.replace("containers:", "containerz:");
    let refused = platform.kubectl(&["apply", "-f", "-"], &wrong).unwrap().unwrap();
    assert_ne!(refused.code, Some(0));
    assert!(refused.stderr.contains("containerz"), "{refused:?}");
    kubectl(&["delete", "ksvc", "hello"]).ok().unwrap();
    // What belongs to it goes after it.
    kubectl(&["wait", "--for=delete", "routes.serving.knative.dev/hello"]).ok().unwrap();
    assert_eq!(platform.get("hello", "/").unwrap().status(), 404);
    platform.stop().unwrap();
}

/// The nginx archive, or none after saying why.
fn nginx(test: &str) -> Option<std::path::PathBuf> {
    if let Some(why) = debian::why_not() {
        not_run(test, why);
        return None;
    }
    match debian::nginx_image(&cache_dir()) {
        Ok(archive) => Some(archive),
        Err(error) => {
            not_run(test, &format!("Debian's packages cannot be fetched: {error:#}"));
            None
        }
    }
}

#[test]
fn nginx_on_port_80() {
    if !can_run("nginx_on_port_80") {
        return;
    }
    let Some(archive) = nginx("nginx_on_port_80") else { return };
    let platform = Platform::start().unwrap();
    platform.load(&archive).unwrap();
    // No port is given: the image exposes exactly one.
    platform.ebb(&["deploy", "web", "--image", debian::NGINX]).unwrap().ok().unwrap();
    let answer = platform.get("web", "/").unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (200, debian::NGINX_PAGE));
    assert_eq!(platform.get("web", "/none").unwrap().status(), 404);
    let logs = platform.ebb(&["logs", "web"]).unwrap().ok().unwrap();
    assert!(logs.contains("GET / HTTP/1.1"), "the access log goes to standard output: {logs}");

    let manifest = format!(
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {{name: web2}}\nspec: \
         {{template: {{spec: {{containers: [{{image: '{}', ports: [{{containerPort: 80}}]}}]}}}}}}\n",
        debian::NGINX
    );
    match platform.kubectl(&["apply", "-f", "-"], &manifest).unwrap() {
        None => not_run("nginx_on_port_80 through kubectl", "kubectl is not installed"),
        Some(applied) => {
            applied.ok().unwrap();
            let wait = ["wait", "ksvc/web2", "--for=condition=Ready", "--timeout=60s"];
            platform.kubectl(&wait, "").unwrap().unwrap().ok().unwrap();
            assert_eq!(platform.get("web2", "/").unwrap().text(), debian::NGINX_PAGE);
        }
    }
    platform.stop().unwrap();
}

#[test]
fn requests_are_forwarded_honestly() {
    if !can_run("requests_are_forwarded_honestly") {
        return;
    }
    let platform = Platform::start().unwrap();
    let image = platform.load_hello().unwrap();
    platform.ebb(&["deploy", "hello", "--image", image]).unwrap().ok().unwrap();

    // A client's own word about where it comes from is not believed.
    let host = host("hello");
    let request = Request {
        method: "GET",
        path: "/headers",
        host: &host,
        headers: vec![
            ("X-Forwarded-For", "192.0.2.1".to_owned()),
            ("Forwarded", "for=192.0.2.1".to_owned()),
        ],
        ..Request::default()
    };
    let head = send(platform.gateway, &request).unwrap().text().to_lowercase();
    assert!(!head.contains("192.0.2.1"), "{head}");
    assert!(head.contains("x-forwarded-for: 127.0.0.1"), "{head}");
    assert!(head.contains("x-forwarded-proto: http"), "{head}");
    assert!(head.contains("forwarded: ") && head.contains("for=127.0.0.1"), "{head}");
    assert!(head.contains(&format!("host: {host}")), "{head}");

    streams_both_ways(&platform, &host);
    let bytes = platform.get("hello", "/bytes?n=3000000").unwrap();
    assert_eq!(bytes.body.len(), 3_000_000);
    platform.stop().unwrap();
}

/// Each piece comes back before the next is sent: nobody between waits for the whole body.
fn streams_both_ways(platform: &Platform, host: &str) {
    let mut stream = connect(platform.gateway).unwrap();
    let head = format!("POST /echo HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut seen = String::new();
    for word in ["first", "second", "third"] {
        write!(stream, "{:x}\r\n{word}\r\n", word.len()).unwrap();
        while !seen.contains(word) {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "closed after {seen:?}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
}
