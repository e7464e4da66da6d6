//! The request timeout, and the times that a connection has.

use std::sync::Arc;

use ebb_gateway::Config;
use ebb_model::routing::RequestPolicy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use crate::backend::{Echo, read_request, scripted};
use crate::world::{HOST, World, policy};

fn short() -> RequestPolicy {
    RequestPolicy { timeout_ms: 100, ..policy() }
}

#[tokio::test]
async fn a_held_request_times_out() {
    let world = World::new(short()).await;
    let mut client = world.client().await;
    client.fetch("/").await.assert_answer(504, "TIMEOUT");
    assert_eq!((world.load().held, world.load().in_flight), (0, 0));
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    assert_eq!(client.fetch("/").await.status, 200);
    assert_eq!(echo.seen().len(), 1, "the one that timed out was not sent");
}

#[tokio::test]
async fn an_instance_that_does_not_answer_times_out_and_its_connection_is_closed() {
    let world = World::new(short()).await;
    let closed = Arc::new(Notify::new());
    let tells = Arc::clone(&closed);
    let address = scripted(&world.tasks, move |mut stream| {
        let closed = Arc::clone(&tells);
        async move {
            read_request(&mut stream).await.unwrap();
            let mut end = Vec::new();
            let _ = stream.read_to_end(&mut end).await;
            closed.notify_one();
        }
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    client.fetch("/").await.assert_answer(504, "TIMEOUT");
    closed.notified().await;
    client.fetch("/").await.assert_answer(504, "TIMEOUT");
    world.until(|load| load.in_flight == 0).await;
}

#[tokio::test]
async fn a_response_that_has_begun_is_cut_at_the_timeout() {
    let world = World::new(short()).await;
    let address = scripted(&world.tasks, |mut stream| async move {
        read_request(&mut stream).await.unwrap();
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    client.get("/").await;
    assert_eq!(client.head().await.unwrap().status, 200);
    let rest = client.rest().await;
    assert_eq!(rest, b"2\r\nok\r\n", "it does not look complete");
    world.until(|load| load.in_flight == 0).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_times_out() {
    let world = World::new(short()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    let mut client = world.client().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\n\r\nhel")).await;
    client.response().await.assert_answer(504, "TIMEOUT");
    assert_eq!(client.rest().await, b"");
    world.until(|load| load.in_flight == 0).await;
    assert_eq!(echo.seen(), []);
}

#[tokio::test]
async fn a_longer_timeout_is_not_shortened_by_an_earlier_request() {
    let world = World::new(short()).await;
    let echo = Echo::with_permits(&world.tasks, 0).await;
    let mut client = world.client().await;
    client.fetch("/").await.assert_answer(504, "TIMEOUT");
    world.handle.set_routes(crate::world::routes(&[(crate::world::key(), 100)], policy()));
    client.get("/").await;
    world.until(|load| load.held == 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    assert_eq!(world.load().held, 1, "it waits on");
    echo.permits.add_permits(1);
    world.add(1, echo.address);
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn a_head_that_does_not_come_is_refused() {
    let config = Config { header_timeout_ms: 50, ..Config::default() };
    let world = World::with(config, policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: hel").await;
    let refused = client.response().await;
    assert_eq!((refused.status, refused.header("ebb-reason")), (408, Some("HEADER_TIMEOUT")));
    assert_eq!(client.rest().await, b"");
    // Also after a good request, and a byte now and then does not help.
    let mut client = world.client().await;
    assert_eq!(client.fetch("/").await.status, 200);
    let (mut reading, mut writing) = client.stream.into_inner().into_split();
    world.tasks.spawn("drips", async move {
        loop {
            if writing.write_all(b"G").await.is_err() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    let mut answer = Vec::new();
    let _ = reading.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&answer));
    // Who says nothing is told nothing.
    let mut client = world.client().await;
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let config = Config { keep_alive_ms: 50, ..Config::default() };
    let world = World::with(config, policy()).await;
    let echo = Echo::with_permits(&world.tasks, 1).await;
    world.add(1, echo.address);
    let mut client = world.client().await;
    assert_eq!(client.fetch("/").await.status, 200);
    assert_eq!(client.rest().await, b"");
    // A request that is worked on is not idle.
    let mut client = world.client().await;
    client.get("/").await;
    world.until(|load| load.in_flight == 1).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    echo.permits.add_permits(1);
    assert_eq!(client.response().await.status, 200);
}
