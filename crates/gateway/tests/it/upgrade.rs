//! Changing protocols.

use ebb_model::routing::RequestPolicy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::backend::{Echo, read_request, scripted};
use crate::world::{HOST, World, id, key, policy};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: hello.default.test\r\nConnection: keep-alive, Upgrade\r\n\
                       Upgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n";

/// Agrees to every upgrade and echoes in upper case.
async fn shouting(world: &World) -> std::net::SocketAddr {
    scripted(&world.tasks, |mut stream| async move {
        let request = read_request(&mut stream).await.unwrap();
        assert_eq!(request.header("connection"), Some("upgrade"));
        assert_eq!(request.header("upgrade"), Some("websocket"));
        assert_eq!(request.header("sec-websocket-key"), Some("abc"));
        assert!(stream.buffer().is_empty(), "no byte before 101");
        let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: yes\r\n\r\nHELLO ";
        stream.get_mut().write_all(agreed.as_bytes()).await.unwrap();
        let mut piece = [0; 1024];
        loop {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(n) => stream.get_mut().write_all(&piece[..n].to_ascii_uppercase()).await.unwrap(),
            }
        }
    })
    .await
}

#[tokio::test]
async fn both_sides_talk_and_the_place_is_held_as_long() {
    let world = World::new(policy()).await;
    let address = shouting(&world).await;
    world.add(1, address);
    let mut client = world.client().await;
    // What comes early waits for the agreement.
    client.send(format!("{UPGRADE}early ")).await;
    let head = client.head().await.unwrap();
    assert_eq!(head.status, 101);
    assert_eq!(head.header("upgrade"), Some("websocket"));
    assert_eq!(head.header("connection"), Some("upgrade"));
    assert_eq!(head.header("sec-websocket-accept"), Some("yes"));
    let mut said = [0; 12];
    client.stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HELLO EARLY ");
    for _ in 0..100 {
        client.send("GET / HTTP/1.1\n\0").await;
        let mut said = [0; 16];
        client.stream.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"GET / HTTP/1.1\n\0");
    }
    assert_eq!(world.load().in_flight, 1);
    drop(client);
    world.until(|load| load.in_flight == 0).await;
}

#[tokio::test]
async fn a_tunnel_ends_with_its_instance_and_with_its_time() {
    let world = World::new(RequestPolicy { timeout_ms: 200, ..policy() }).await;
    let address = shouting(&world).await;
    world.add(1, address);
    let mut client = world.client().await;
    client.send(UPGRADE).await;
    assert_eq!(client.head().await.unwrap().status, 101);
    assert_eq!(client.rest().await, b"HELLO ", "cut at the timeout");

    world.handle.set_routes(crate::world::routes(&[(key(), 100)], policy()));
    let mut client = world.client().await;
    client.send(UPGRADE).await;
    assert_eq!(client.head().await.unwrap().status, 101);
    world.handle.remove_endpoint(&key(), &id(1));
    assert_eq!(client.rest().await, b"HELLO ");
    world.until(|load| load.in_flight == 0).await;
}

#[tokio::test]
async fn an_instance_may_decline() {
    let world = World::new(policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    let mut client = world.client().await;
    client.send(format!("{UPGRADE}GET /next HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    assert_eq!(client.response().await.header("path"), Some("/chat"));
    assert_eq!(client.response().await.header("path"), Some("/next"), "read as a request");
    client.send(format!("{UPGRADE}\x01\x02\n")).await;
    assert_eq!(client.response().await.status, 200);
    client.response().await.assert_answer(400, "MALFORMED_REQUEST");
    assert_eq!(echo.seen().len(), 3);
}

#[tokio::test]
async fn http2_is_not_spoken_past_the_gateway() {
    let world = World::new(policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    let mut client = world.client().await;
    for request in [
        "GET /1 HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "GET /2 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket, H2C\r\n",
        "POST /3 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n",
        "GET /4 HTTP/1.1\r\nUpgrade: websocket\r\n",
        "GET /5 HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: websocket\r\n",
    ] {
        let body = if request.starts_with("POST") { "hi" } else { "" };
        client.send(format!("{request}Host: {HOST}\r\n\r\n{body}")).await;
        assert_eq!(client.response().await.status, 200, "{request}");
        let seen = echo.seen().pop().unwrap();
        assert_eq!((seen.header("upgrade"), seen.header("connection")), (None, None), "{seen:?}");
        assert_eq!(seen.header("http2-settings"), None);
    }
}
