//! Requests that are wrong before anybody looks at the object: framing, methods, media types,
//! credentials, queries.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Refusal, WATCHDOG, check, refusal};
use crate::world::{MAPS, SECRETS, SERVICES, World, config_map};

/// Largest body of a request about objects.
const LIMIT: usize = 3 << 20;

/// A connection below HTTP, for bytes that no client library sends.
async fn connect(world: &World) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(world.handle.ca_pem().as_bytes()).unwrap();
    roots.add(ca).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    let config = Arc::new(config.with_no_client_auth());
    let tcp = TcpStream::connect(world.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(config).connect(name, tcp).await.unwrap()
}

/// Everything that the door says to `bytes` until it closes.
async fn say(world: &World, bytes: &[u8]) -> String {
    let mut stream = connect(world).await;
    // It may close before it has read everything; what it said counts.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    read(&mut stream).await
}

async fn read(stream: &mut TlsStream<TcpStream>) -> String {
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(WATCHDOG, stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection stays open: {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

fn head(world: &World, method: &str, path: &str, more: &str) -> String {
    let token = world.handle.token();
    format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{more}\r\n")
}

fn body_of(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer:?}"))
}

#[tokio::test]
async fn too_large_a_body() {
    let world = World::new();
    let json = "application/json";
    let want = Refusal { status: 413, code: "BODY_TOO_LARGE", says: &["3145728 bytes"] };
    world.refused("one byte over", world.raw(MAPS, json, vec![b' '; LIMIT + 1]), want).await;
    let want = refusal(400, "INVALID_JSON");
    world.refused("the limit itself", world.raw(MAPS, json, vec![b' '; LIMIT]), want).await;
    for (method, type_) in [
        (Method::PUT, json),
        (Method::PATCH, "application/merge-patch+json"),
        (Method::DELETE, json),
    ] {
        let request = world.request(method.clone(), &format!("{MAPS}/a"));
        let request = request.header("content-type", type_).body(vec![b' '; LIMIT + 1]);
        world.refused(method.as_str(), request, refusal(413, "BODY_TOO_LARGE")).await;
    }
    world.end().await;
}

#[tokio::test]
async fn chunks_without_an_end() {
    let world = World::new();
    let before = world.versions().await;
    let mut stream = connect(&world).await;
    let more = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    stream.write_all(head(&world, "POST", MAPS, more).as_bytes()).await.unwrap();
    let chunk = [b"10000\r\n".to_vec(), vec![b' '; 0x10000], b"\r\n".to_vec()].concat();
    let mut sent = 0usize;
    let mut answer = Vec::new();
    // The client reads and writes at once, as one that never ends its request would.
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        while writer.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
            assert!(sent < 64 * LIMIT, "it goes on reading");
        }
    };
    let read = async {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&answer);
            let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
            if body.is_some_and(|body| serde_json::from_str::<Value>(body).is_ok()) {
                break;
            }
        }
    };
    tokio::time::timeout(WATCHDOG, async { tokio::join!(write, read) }).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    check("chunks", &body_of(&answer), refusal(413, "BODY_TOO_LARGE"));
    assert_eq!(world.versions().await, before);
    assert_eq!(world.get("/version").await.0, 200);
    world.end().await;
}

#[tokio::test]
async fn framing_that_is_wrong() {
    let world = World::new();
    let before = world.versions().await;
    let object = config_map("a", "1").to_string();
    let type_ = "Content-Type: application/json\r\nConnection: close\r\n";
    let whole =
        |more: &str, body: &str| head(&world, "POST", MAPS, &format!("{type_}{more}")) + body;
    let length = object.len();
    for (what, bytes) in [
        (
            "two lengths",
            whole(&format!("Content-Length: {length}\r\nContent-Length: 1\r\n"), &object),
        ),
        ("a negative length", whole("Content-Length: -1\r\n", &object)),
        ("a length in hex", whole("Content-Length: 0x10\r\n", &object)),
        ("a length that overflows", whole("Content-Length: 99999999999999999999\r\n", &object)),
        (
            "a chunk size that overflows",
            whole("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"),
        ),
        ("a chunk size that is none", whole("Transfer-Encoding: chunked\r\n", "xyz\r\n")),
        ("no host", "GET /version HTTP/1.1\r\n\r\n{}".to_owned()),
        (
            "a bare carriage return",
            "GET /version HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n".to_owned(),
        ),
        ("a NUL in a header", "GET /version HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n".to_owned()),
        ("a NUL in the path", head(&world, "GET", "/api/v1/\0", "Connection: close\r\n")),
        ("a space in the path", head(&world, "GET", "/api /v1", "Connection: close\r\n")),
        ("HTTP/9.9", "GET /version HTTP/9.9\r\nHost: x\r\n\r\n".to_owned()),
        ("HTTP/2 by force", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("garbage", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned()),
        ("1,000 headers", head(&world, "GET", "/version", &"A: b\r\n".repeat(1_000))),
        (
            "a header of 1 MiB",
            head(&world, "GET", "/version", &format!("A: {}\r\n", "b".repeat(1 << 20))),
        ),
        ("a path of 1 MiB", head(&world, "GET", &format!("/{}", "a".repeat(1 << 20)), "")),
    ] {
        let answer = say(&world, bytes.as_bytes()).await;
        let status = answer.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..3));
        // Closing without a word is an answer to what is not HTTP.
        let fine =
            answer.is_empty() || status == Some("4") || (what == "no host" && status == Some("2"));
        assert!(fine, "{what}: {answer}");
        assert_eq!(world.versions().await, before, "{what}: something was written");
    }
    let smuggled = format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n");
    let answer = say(&world, whole(&smuggled, &object).as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "length and chunks: {answer}");
    assert_eq!(world.versions().await, before, "length and chunks: something was written");
    assert_eq!(world.get("/version").await.0, 200);
    world.end().await;
}

#[tokio::test]
async fn a_body_that_does_not_come() {
    let world = World::new();
    let before = world.versions().await;
    let object = config_map("a", "1").to_string();
    let more =
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", object.len() + 1);
    let mut stream = connect(&world).await;
    stream.write_all(head(&world, "POST", MAPS, &more).as_bytes()).await.unwrap();
    stream.write_all(object.as_bytes()).await.unwrap();
    // The last byte is missing and the client says that it is done.
    stream.shutdown().await.unwrap();
    let answer = read(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(world.versions().await, before);
    let mut silent = connect(&world).await;
    silent.write_all(head(&world, "POST", MAPS, &more).as_bytes()).await.unwrap();
    drop(silent);
    assert_eq!(world.get("/version").await.0, 200);
    assert_eq!(world.versions().await, before);
    world.end().await;
}

#[tokio::test]
async fn content_types() {
    let world = World::new();
    let object = config_map("a", "1").to_string();
    let one = format!("{MAPS}/a");
    for type_ in [
        "text/plain",
        "text/html",
        "application/xml",
        "application/toml",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "json",
        "",
        "*/*",
        ";charset=utf-8",
        "application/merge-patch+json",
        "application/cbor",
    ] {
        let want =
            Refusal { status: 415, code: "UNSUPPORTED_MEDIA_TYPE", says: &["application/json"] };
        let request = |method: Method, path: &str| {
            world.request(method, path).header("content-type", type_).body(object.clone())
        };
        world.refused(type_, request(Method::POST, MAPS), want).await;
        world.refused(type_, request(Method::PUT, &one), want).await;
        if type_ != "application/merge-patch+json" {
            world.refused(type_, request(Method::PATCH, &one), refusal(415, want.code)).await;
        }
    }
    let bytes = reqwest::header::HeaderValue::from_bytes(b"application/json\xff").unwrap();
    let request = world.request(Method::POST, MAPS).header("content-type", bytes);
    let want = refusal(415, "UNSUPPORTED_MEDIA_TYPE");
    world.refused("bytes", request.body(object.clone()), want).await;
    for type_ in [None, Some("application/json"), Some("application/yaml")] {
        let request = world.request(Method::PATCH, &one).body("{}");
        let request = match type_ {
            Some(type_) => request.header("content-type", type_),
            None => request,
        };
        world.refused("a patch must say its form", request, want).await;
    }
    let strategic = world.request(Method::PATCH, &format!("{SERVICES}/a")).body("{}");
    let strategic = strategic.header("content-type", "application/strategic-merge-patch+json");
    world.refused("strategic merge of a kind of ours", strategic, want).await;
    // Without any, a body is JSON: that is what the Python client sends.
    let made = world.request(Method::POST, MAPS).body(object.clone()).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let other = config_map("b", "1").to_string();
    let made = world.raw(MAPS, "Application/JSON; charset=utf-8", other).send().await.unwrap();
    assert_eq!(made.status(), 201, "media types know no case");
    world.end().await;
}

#[tokio::test]
async fn methods_that_a_path_does_not_have() {
    let world = World::new();
    let one = format!("{MAPS}/a");
    let pod = "/api/v1/namespaces/default/pods/p";
    let image = "/apis/ebb.dev/v1/images";
    for (method, path, allow) in [
        ("POST", one.as_str(), "DELETE, GET, PATCH, PUT"),
        ("PUT", MAPS, "DELETE, GET, POST"),
        ("PATCH", MAPS, "DELETE, GET, POST"),
        ("BREW", MAPS, "DELETE, GET, POST"),
        ("TRACE", MAPS, "DELETE, GET, POST"),
        ("OPTIONS", &one, "DELETE, GET, PATCH, PUT"),
        ("get", &one, "DELETE, GET, PATCH, PUT"),
        ("POST", "/version", "GET, HEAD"),
        ("DELETE", "/api", "GET, HEAD"),
        ("PUT", "/openapi/v3", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/api/v1/nodes", "GET"),
        ("DELETE", "/api/v1/nodes/n", "GET"),
        ("PUT", pod, "DELETE, GET"),
        ("POST", &format!("{pod}/log"), "GET"),
        ("PUT", image, "GET, DELETE"),
        ("GET", &format!("{image}/load"), "POST"),
    ] {
        let what = format!("{method} {path}");
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let before = world.versions().await;
        let response = world.request(method, path).body("{}").send().await.unwrap();
        assert_eq!(response.status(), 405, "{what}");
        let allowed = response.headers()["allow"].to_str().unwrap().to_owned();
        let refused = response.json().await.unwrap();
        check(&what, &refused, refusal(405, "METHOD_NOT_ALLOWED"));
        let set = |text: &str| {
            let mut all: Vec<_> = text.split(", ").map(str::to_owned).collect();
            all.sort();
            all
        };
        assert_eq!(set(&allowed), set(allow), "{what}");
        assert_eq!(world.versions().await, before, "{what}");
    }
    world.end().await;
}

#[tokio::test]
async fn credentials_that_are_none() {
    let world = World::new();
    let token = world.handle.token().to_owned();
    let part = |json: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json)
    };
    let (none, head) =
        (part(r#"{"alg":"none"}"#), part(r#"{"alg":"HS256","kid":"../../dev/null"}"#));
    let (admin, other) = (part(r#"{"sub":"admin","exp":1}"#), part(r#"{"aud":"other"}"#));
    let wrong = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer x".to_owned(),
        format!("Bearer {}", &token[1..]),
        format!("Bearer {token}0"),
        format!("Bearer {}", token.to_uppercase() + "x"),
        format!("Basic {token}"),
        token.clone(),
        format!("Bearer {none}.{admin}."),
        format!("Bearer {head}.{other}.{}", part("signature")),
        format!("Bearer {}", "a".repeat(30_000)),
    ];
    for header in &wrong {
        for (method, path) in [(Method::GET, SECRETS), (Method::POST, MAPS), (Method::GET, "/x")] {
            let request = world.http.request(method, world.url(path)).body("{}");
            let request = request.header("authorization", header);
            world.refused(header, request, refusal(401, "UNAUTHENTICATED")).await;
        }
    }
    let strangers = world.http.request(Method::POST, world.url(MAPS)).json(&config_map("a", "1"));
    world.refused("no token", strangers, refusal(401, "UNAUTHENTICATED")).await;
    // A cookie or a parameter is no credential, wherever a page makes a browser send it from.
    let url = world.url(&format!("{MAPS}?access_token={token}"));
    let request = world.http.post(url).header("cookie", format!("token={token}"));
    let request = request.header("origin", "https://elsewhere.example").json(&config_map("a", "1"));
    world.refused("a cookie", request, refusal(401, "UNAUTHENTICATED")).await;
    let response = world.request(Method::GET, MAPS).header("origin", "https://elsewhere.example");
    let response = response.send().await.unwrap();
    assert!(!response.headers().contains_key("access-control-allow-origin"));
    world.end().await;
}

#[tokio::test]
async fn parameters_that_say_nothing() {
    let world = World::new();
    for (query, code) in [
        ("limit=-1", "INVALID_PARAMETER"),
        ("limit=ten", "INVALID_PARAMETER"),
        ("limit=1e3", "INVALID_PARAMETER"),
        ("limit=99999999999999999999", "INVALID_PARAMETER"),
        ("watch=maybe", "INVALID_PARAMETER"),
        ("%zz=1", "INVALID_PARAMETER"),
        ("a=%ff", "INVALID_PARAMETER"),
        ("resourceVersion=abc", "INVALID_RESOURCE_VERSION"),
        ("resourceVersion=-1", "INVALID_RESOURCE_VERSION"),
        ("resourceVersion=1.5", "INVALID_RESOURCE_VERSION"),
        ("watch=1&resourceVersion=x", "INVALID_RESOURCE_VERSION"),
        ("watch=1&timeoutSeconds=-1", "INVALID_PARAMETER"),
        ("continue=x", "INVALID_CONTINUE"),
        ("continue=%00%00", "INVALID_CONTINUE"),
        ("continue=eyJ2ZXJzaW9uIjoxfQ", "INVALID_CONTINUE"),
        ("fieldSelector=spec.nonsense=1", "INVALID_SELECTOR"),
        ("fieldSelector=nonsense", "INVALID_SELECTOR"),
        ("labelSelector=a+in+(b", "INVALID_SELECTOR"),
        ("labelSelector=(a%2B)%2B%24", "INVALID_SELECTOR"),
        ("labelSelector=%3D", "INVALID_SELECTOR"),
        ("labelSelector=a%3D%C3%A9", "INVALID_SELECTOR"),
        ("labelSelector=%00", "INVALID_SELECTOR"),
    ] {
        let request = world.request(Method::GET, &format!("{MAPS}?{query}"));
        world.refused(query, request, refusal(400, code)).await;
    }
    for query in ["dryRun=Some", "dryRun=true", "fieldValidation=Maybe", "dryRun=all"] {
        let body = config_map("a", "1").to_string();
        let request = world.raw(&format!("{MAPS}?{query}"), "application/json", body);
        world.refused(query, request, refusal(400, "INVALID_PARAMETER")).await;
    }
    world.end().await;
}

/// Selectors with very many, very long or very deep parts are answered like any other.
#[tokio::test]
async fn selector_bombs() {
    let world = World::new();
    assert_eq!(world.post(MAPS, &config_map("a", "1")).await.0, 201);
    let many: Vec<String> = (0..6_000).map(|n| format!("v{n}")).collect();
    let (many, comma) = (many.join("%2C"), "%2C");
    for (what, selector, want) in [
        ("6,000 values", format!("app+in+({many})"), 200),
        ("6,000 requirements", many.clone(), 200),
        ("commas only", comma.repeat(12_000), 200),
        ("parentheses", "(".repeat(50_000), 400),
        ("closed ones", format!("{}{}", "(".repeat(20_000), ")".repeat(20_000)), 400),
        ("a key of 50,000", "a".repeat(50_000), 400),
        ("a value of 50,000", format!("app%3D{}", "a".repeat(50_000)), 400),
        ("repetitions", format!("{}%24", "(a%2B)%2B".repeat(2_000)), 400),
        ("not not", "!".repeat(50_000), 400),
    ] {
        let path = format!("{MAPS}?labelSelector={selector}");
        let asked = tokio::time::timeout(WATCHDOG, world.get(&path)).await;
        let (status, answer) = asked.unwrap_or_else(|_| panic!("{what}: no answer"));
        assert_eq!(status, want, "{what}: {answer}");
    }
    let fields = vec!["metadata.name%3Da"; 2_000].join("%2C");
    let (status, answer) = world.get(&format!("{MAPS}?fieldSelector={fields}")).await;
    assert_eq!((status.as_u16(), answer["items"].as_array().unwrap().len()), (200, 1));
    world.end().await;
}

#[tokio::test]
async fn page_tokens_of_another_list() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        assert_eq!(world.post(MAPS, &config_map(name, "1")).await.0, 201);
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        assert_eq!(world.post(SECRETS, &secret).await.0, 201);
    }
    let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}});
    assert_eq!(world.post("/api/v1/namespaces", &space).await.0, 201);
    let (_, page) = world.get(&format!("{SECRETS}?limit=1")).await;
    let token = page["metadata"]["continue"].as_str().unwrap().to_owned();
    let others = "/api/v1/namespaces/other/secrets";
    let mut forged = token.clone().into_bytes();
    forged.reverse();
    let forged = String::from_utf8(forged).unwrap();
    let half = token[..token.len() / 2].to_owned();
    for (path, token) in [(MAPS, &token), (others, &token), (SECRETS, &forged), (SECRETS, &half)] {
        let request = world.request(Method::GET, &format!("{path}?limit=1&continue={token}"));
        world.refused(path, request, refusal(400, "INVALID_CONTINUE")).await;
    }
    let (status, next) = world.get(&format!("{SECRETS}?limit=1&continue={token}")).await;
    assert_eq!((status.as_u16(), &next["items"][0]["metadata"]["name"]), (200, &json!("b")));
    world.end().await;
}

/// Client libraries resolve dots in a path; what they would send is sent here as it is.
#[tokio::test]
async fn dots_in_a_path() {
    let world = World::new();
    let before = world.versions().await;
    for part in [
        "..", "%2e%2e", ".", "%2e", "../a", "a/..", "a/../b", "%2E%2e/a", "..%2f..", "...",
        "a%2f..",
    ] {
        for method in ["GET", "DELETE", "PUT"] {
            let path = format!("{MAPS}/{part}");
            let asked = head(&world, method, &path, "Connection: close\r\n");
            let answer = say(&world, asked.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 404 "), "{method} {path}: {answer}");
            check(&path, &body_of(&answer), refusal(404, "NOT_FOUND"));
            let up = format!("/api/v1/namespaces/{part}/configmaps");
            let asked = head(&world, method, &up, "Connection: close\r\n");
            let answer = say(&world, asked.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 40"), "{method} {up}: {answer}");
            assert_eq!(world.versions().await, before, "{path}: something was written");
        }
    }
    world.end().await;
}

/// One client after the other that opens a connection and says nothing takes nobody's place.
#[tokio::test]
async fn half_a_head() {
    let world = World::new();
    let mut waiting = Vec::new();
    for part in ["", "GET", "GET /version HTTP/1.1\r\nHost"] {
        let mut stream = connect(&world).await;
        stream.write_all(part.as_bytes()).await.unwrap();
        waiting.push(stream);
    }
    let answered = tokio::time::timeout(Duration::from_secs(20), world.get("/version")).await;
    assert_eq!(answered.unwrap().0, 200);
    drop(waiting);
    world.end().await;
}
