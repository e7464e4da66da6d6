//! Requests that wait for an instance.

use ebb_model::routing::RequestPolicy;

use crate::backend::Echo;
use crate::client::Client;
use crate::world::{World, id, key, policy};

#[tokio::test]
async fn the_first_request_waits_for_the_first_instance_and_is_reported_cold() {
    let world = World::new(policy()).await;
    let mut client = world.client().await;
    client.get("/cold").await;
    world.recorder.activated(1).await;
    assert_eq!((world.load().held, world.load().in_flight), (1, 0));
    assert_eq!(world.recorder.cold(), []);

    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    assert_eq!(client.response().await.status, 200);
    let cold = world.recorder.cold();
    assert_eq!(cold.len(), 1);
    assert_eq!((&cold[0].revision, &cold[0].instance), (&key(), &id(1)));
    assert!(cold[0].queue_us <= cold[0].held_us, "{cold:?}");

    assert_eq!(client.fetch("/warm").await.status, 200);
    assert_eq!(world.recorder.cold().len(), 1, "a warm request is not cold");
    assert_eq!(world.recorder.activations(), 1, "a warm request wakes nobody");
}

#[tokio::test]
async fn every_held_request_asks_once_and_all_are_sent_together() {
    let world = World::new(policy()).await;
    let mut clients = Vec::new();
    for n in 0..50 {
        let mut client = world.client().await;
        client.get(&format!("/{n}")).await;
        clients.push(client);
    }
    world.recorder.activated(50).await;
    assert_eq!(world.recorder.activations(), 50);
    assert_eq!(world.load().held, 50);
    let echo = Echo::with_permits(&world.tasks, 0).await;
    world.add(1, echo.address);
    assert_eq!((world.load().held, world.load().in_flight), (0, 50), "given at once");
    echo.permits.add_permits(50);
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    world.until(|load| load.in_flight == 0).await;
    assert_eq!(world.recorder.activations(), 50);
}

#[tokio::test]
async fn first_come_first_served() {
    let world = World::new(RequestPolicy { concurrency: 1, ..policy() }).await;
    let mut clients = Vec::new();
    for n in 0..20_usize {
        let mut client = world.client().await;
        client.get(&format!("/{n}")).await;
        world.recorder.activated(n + 1).await;
        clients.push(client);
    }
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
    let paths: Vec<_> = echo.seen().iter().map(|seen| seen.path().to_owned()).collect();
    assert_eq!(paths, (0..20).map(|n| format!("/{n}")).collect::<Vec<_>>());
    assert_eq!(echo.most(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_queue_at_once() {
    let world = World::new(policy()).await;
    let bodies = [
        "GET / HTTP/1.1\r\nHost: hello.default.test\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: hello.default.test\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: hello.default.test\r\nContent-Length: 50\r\n\r\nhello",
        "POST / HTTP/1.1\r\nHost: hello.default.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: hello.default.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
    ];
    for (n, request) in bodies.into_iter().enumerate() {
        let mut client = world.client().await;
        client.send(request).await;
        world.recorder.activated(n + 1).await;
        assert_eq!(world.load().held, 1);
        drop(client);
        world.until(|load| load.held == 0).await;
    }
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    assert_eq!(world.client().await.fetch("/").await.status, 200);
    assert_eq!(echo.seen().len(), 1, "nothing was sent for those who left");
}

#[tokio::test]
async fn a_body_that_came_while_the_request_was_held_is_whole() {
    let world = World::new(policy()).await;
    let mut client = world.client().await;
    let body = vec![b'x'; 100_000];
    client
        .send("POST / HTTP/1.1\r\nHost: hello.default.test\r\nContent-Length: 100000\r\n\r\n")
        .await;
    client.send(&body).await;
    world.recorder.activated(1).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    assert_eq!(client.response().await.body, body);
    assert_eq!(client.fetch("/next").await.status, 200, "the connection is in step");
}

#[tokio::test]
async fn beyond_the_hold_limit_it_is_overloaded() {
    let world = World::new(RequestPolicy { hold_limit: 2, ..policy() }).await;
    let (mut a, mut b) = (world.client().await, world.client().await);
    a.get("/a").await;
    b.get("/b").await;
    world.recorder.activated(2).await;
    let mut c = world.client().await;
    c.fetch("/c").await.assert_answer(503, "OVERLOADED");
    assert_eq!(world.recorder.activations(), 2, "a refused request wakes nobody");
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    assert_eq!(a.response().await.status, 200);
    assert_eq!(b.response().await.status, 200);
    assert_eq!(c.fetch("/c").await.status, 200, "the same connection, later");
}

#[tokio::test]
async fn held_requests_fail_with_the_reason_that_control_gives() {
    let world = World::new(policy()).await;
    let mut clients: Vec<Client> = Vec::new();
    for n in 0..3 {
        let mut client = world.client().await;
        client.get("/").await;
        world.recorder.activated(n + 1).await;
        clients.push(client);
    }
    world.handle.fail_held(&key(), "IMAGE_NOT_FOUND", "the image is not there any more");
    for client in &mut clients {
        client.response().await.assert_answer(503, "IMAGE_NOT_FOUND");
    }
    assert_eq!(world.load().held, 0);
}
