//! One request that is wrong a thousand times costs, and answers, no more than a little.

use std::sync::Arc;

use bytes::Bytes;
use ebb_store::memory::Memory;
use http_body_util::BodyExt as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::world::{MAPS, World, config_map};

async fn send(world: &World, method: &str, path: &str, type_: &str, body: String) -> (u16, Bytes) {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", world.handle.token()))
        .header("content-type", type_);
    let request = request.body(Bytes::from(body)).unwrap();
    let response = world.direct().await.call(request).await;
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn what_is_wrong_often_is_named_a_hundred_times() {
    let world = World::new();
    let mut map = config_map("a", "1");
    map["metadata"]["finalizers"] = vec!["no key"; 100_000].into();
    let (status, answer) = send(&world, "POST", MAPS, "application/json", map.to_string()).await;
    assert_eq!(status, 422);
    assert!(answer.len() < 100_000, "{}", answer.len());
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["details"]["causes"].as_array().unwrap().len(), 100);
    assert!(answer["message"].as_str().unwrap().ends_with("and 99900 more]"));

    map["metadata"]["finalizers"] = vec!["x.y/z"; 100_000].into();
    let path = format!("{MAPS}/a?fieldManager=me");
    let (status, answer) =
        send(&world, "PATCH", &path, "application/apply-patch+yaml", map.to_string()).await;
    assert_eq!(status, 400);
    assert!(answer.len() < 100_000, "{}", answer.len());
    world.end().await;
}

/// Clients refuse answers with too many or too long headers, and would take a write for failed.
#[tokio::test]
async fn warnings_leave_the_head_of_an_answer_short() {
    let world = World::new();
    let mut map = config_map("a", "1");
    for n in 0..200 {
        map[format!("unknown{n}")] = json!(1);
    }
    let made = world.request(Method::POST, MAPS).json(&map).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let short = made.headers().get_all("warning").iter().count();
    assert_eq!(short, 80, "Python's HTTP library refuses more than 100 headers");
    let mut map = config_map("b", "1");
    for n in 0..100 {
        map[format!("{n}{}", "x".repeat(1_000))] = json!(1);
    }
    let made = world.request(Method::POST, MAPS).json(&map).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let bytes: usize = made.headers().get_all("warning").iter().map(http::HeaderValue::len).sum();
    assert!((1_000..8_000).contains(&bytes), "{bytes}");
    world.end().await;
}

/// Whoever holds the only connection and does not go cannot keep the door from closing.
#[tokio::test]
async fn the_door_closes_while_it_is_full() {
    let world = World::configured(Arc::new(Memory::new()), |config| {
        config.max_connections = 1;
        config.handshake_timeout_ms = 600_000;
        config.shutdown_grace_ms = 10;
    });
    let mut silent = TcpStream::connect(world.address).await.unwrap();
    silent.write_all(b"\x16").await.unwrap();
    // Taken in: the next one waits until this one goes.
    let _waits = TcpStream::connect(world.address).await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    world.shutdown.call();
    let closed = tokio::time::timeout(std::time::Duration::from_secs(20), world.tasks.join());
    closed.await.expect("the door closes");
}

/// A connection of a client that sends the body after the head, as many do.
async fn connect(world: &World) -> tokio_rustls::client::TlsStream<TcpStream> {
    use rustls::pki_types::pem::PemObject as _;
    let ca = rustls::pki_types::CertificateDer::from_pem_slice(world.handle.ca_pem().as_bytes());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let stream = TcpStream::connect(world.address).await.unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// What is answered before its body came leaves a connection that can be used, or says that it
/// cannot: else the next request on it is lost.
#[tokio::test]
async fn a_body_that_nobody_reads_breaks_no_connection() {
    let world = World::new();
    for (length, expect, kept) in
        [(10_000, "", true), (300_000, "", false), (10, "100-continue", false)]
    {
        let mut stream = connect(&world).await;
        let token = world.handle.token();
        let expect =
            if expect.is_empty() { String::new() } else { format!("expect: {expect}\r\n") };
        let head = format!(
            "POST /apis/none/v1/things HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-length: {length}\r\n{expect}\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        if expect.is_empty() {
            // The answer is ready by now, and must wait for this.
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            stream.write_all(&vec![b'x'; length.min(10_000)]).await.unwrap();
        }
        let mut answer = vec![0; 8_192];
        let read = tokio::io::AsyncReadExt::read(&mut stream, &mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        assert_eq!(!answer.contains("connection: close"), kept, "{length}: {answer}");
        if kept {
            let next = b"GET /version HTTP/1.1\r\nhost: x\r\n\r\n";
            stream.write_all(next).await.unwrap();
            let mut answer = [0; 12];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
        }
    }
    world.end().await;
}
