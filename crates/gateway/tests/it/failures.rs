//! Instances that close, refuse, or talk nonsense at odd moments.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ebb_model::routing::RequestPolicy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::backend::{Echo, read_request, scripted};
use crate::world::{HOST, World, id, key, policy};

#[tokio::test]
async fn nonsense_is_an_invalid_response() {
    for nonsense in [
        "garbage\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok".to_owned(),
        "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n".to_owned(),
        "HTTP/1.1 999999 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(1024 * 1024)),
    ] {
        let world = World::new(policy()).await;
        let start = nonsense[..nonsense.len().min(60)].to_owned();
        let address = scripted(&world.tasks, move |mut stream| {
            let nonsense = nonsense.clone();
            async move {
                read_request(&mut stream).await.unwrap();
                // The gateway may close in the middle of it.
                let _ = stream.get_mut().write_all(nonsense.as_bytes()).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
        .await;
        world.add(1, address);
        let response = world.client().await.fetch("/").await;
        assert_eq!(response.header("ebb-reason"), Some("UPSTREAM_INVALID"), "{start:?}");
        response.assert_answer(502, "UPSTREAM_INVALID");
        world.until(|load| load.in_flight == 0).await;
    }
}

#[tokio::test]
async fn a_close_without_a_response_is_told_and_not_repeated() {
    let world = World::new(policy()).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&count);
    let address = scripted(&world.tasks, move |mut stream| {
        let count = Arc::clone(&counts);
        async move {
            read_request(&mut stream).await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    client.fetch("/").await.assert_answer(502, "UPSTREAM_CLOSED");
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi")).await;
    client.response().await.assert_answer(502, "UPSTREAM_CLOSED");
    assert_eq!(count.load(Ordering::SeqCst), 2, "each was done once");
}

#[tokio::test]
async fn a_half_response_never_looks_complete() {
    for half in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n",
    ] {
        let world = World::new(policy()).await;
        let address = scripted(&world.tasks, move |mut stream| async move {
            read_request(&mut stream).await.unwrap();
            stream.get_mut().write_all(half.as_bytes()).await.unwrap();
        })
        .await;
        world.add(1, address);
        let mut client = world.client().await;
        client.get("/").await;
        let rest = client.rest().await;
        let rest = String::from_utf8_lossy(&rest);
        assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
        world.until(|load| load.in_flight == 0).await;
    }
}

/// A connection that closes as the next request is written to it: the request is sent again on
/// a new one when it is safe, and only then.
#[tokio::test]
async fn a_pooled_connection_that_closes_is_replaced_when_that_is_safe() {
    let world = World::new(policy()).await;
    let seen = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&seen);
    // Answers the first request of each connection and closes at the second, having read it.
    let address = scripted(&world.tasks, move |mut stream| {
        let seen = Arc::clone(&counts);
        async move {
            read_request(&mut stream).await.unwrap();
            seen.fetch_add(1, Ordering::SeqCst);
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
            if read_request(&mut stream).await.is_some() {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    assert_eq!(client.fetch("/1").await.status, 200);
    assert_eq!(client.fetch("/2").await.status, 200, "GET is sent again");
    assert_eq!(seen.load(Ordering::SeqCst), 3);
    client.send(format!("POST /3 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi")).await;
    client.response().await.assert_answer(502, "UPSTREAM_CLOSED");
    assert_eq!(seen.load(Ordering::SeqCst), 4, "POST is not");
}

/// A connection that was closed while it idled is not used, even for what must not be repeated.
#[tokio::test]
async fn a_connection_that_closed_while_idle_is_not_used() {
    let world = World::new(policy()).await;
    let closed = Arc::new(tokio::sync::Notify::new());
    let tells = Arc::clone(&closed);
    let address = scripted(&world.tasks, move |mut stream| {
        let closed = Arc::clone(&tells);
        async move {
            read_request(&mut stream).await.unwrap();
            stream
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await
                .unwrap();
            drop(stream);
            closed.notify_one();
        }
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    for n in 0..20 {
        client
            .send(format!("POST /{n} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi"))
            .await;
        assert_eq!(client.response().await.status, 200, "{n}");
        closed.notified().await;
        // The close has left the instance; let the runtime see it.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_refused_connection_goes_to_another_instance() {
    let world = World::new(policy()).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let echo = Echo::start(&world.tasks).await;
    world.add(1, dead);
    world.add(2, echo.address);
    let mut client = world.client().await;
    for _ in 0..10 {
        assert_eq!(client.fetch("/").await.status, 200);
    }
    assert_eq!(echo.seen().len(), 10);
}

#[tokio::test]
async fn a_refused_connection_waits_for_the_replacement() {
    let world = World::new(policy()).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    world.add(1, dead);
    let mut client = world.client().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi")).await;
    world.recorder.activated(1).await;
    assert_eq!((world.load().held, world.load().in_flight), (1, 0));
    world.handle.remove_endpoint(&key(), &id(1));
    let echo = Echo::start(&world.tasks).await;
    world.add(2, echo.address);
    assert_eq!(client.response().await.text(), "hi");
}

async fn nobody() -> std::net::SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A request that was not sent is not lost, however many instances refuse it one after the other.
#[tokio::test]
async fn a_request_outlives_several_dead_instances() {
    let world = World::new(policy()).await;
    for n in 1..=3 {
        world.add(n, nobody().await);
    }
    let mut client = world.client().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi")).await;
    world.recorder.activated(1).await;
    for n in 4..=6 {
        world.add(n, nobody().await);
        world.recorder.activated(n - 2).await;
    }
    assert_eq!((world.load().held, world.load().in_flight), (1, 0));
    let echo = Echo::start(&world.tasks).await;
    world.add(7, echo.address);
    assert_eq!(client.response().await.text(), "hi");
    assert_eq!(echo.seen().len(), 1);
    world.until(|load| load.in_flight == 0).await;
}

/// The only instance is dead. After the first round one request tries each second; without that
/// pause there would be thousands of attempts.
#[tokio::test]
async fn an_instance_that_keeps_refusing_costs_the_time_of_the_request_and_few_attempts() {
    let world = World::new(RequestPolicy { timeout_ms: 1_500, ..policy() }).await;
    world.add(1, nobody().await);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = world.client().await;
        client.get("/").await;
        clients.push(client);
    }
    for client in &mut clients {
        client.response().await.assert_answer(504, "TIMEOUT");
    }
    let activations = world.recorder.activations();
    assert!((20..=42).contains(&activations), "{activations} times back to the queue");
    assert_eq!((world.load().held, world.load().in_flight), (0, 0));
}

#[tokio::test]
async fn removing_an_instance_fails_what_it_works_on() {
    let world = World::new(policy()).await;
    let echo = Echo::with_permits(&world.tasks, 0).await;
    world.add(1, echo.address);
    let mut client = world.client().await;
    client.get("/").await;
    world.until(|_| echo.now() == 1).await;
    world.handle.remove_endpoint(&key(), &id(1));
    client.response().await.assert_answer(502, "UPSTREAM_CLOSED");
    assert_eq!(world.load().in_flight, 0);
    assert_eq!(world.handle.in_flight(&key(), &id(1)), 0);
}

#[tokio::test]
async fn an_early_response_is_passed_on_and_the_rest_of_the_body_dropped() {
    let world = World::new(policy()).await;
    let address = scripted(&world.tasks, |mut stream| async move {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await.unwrap();
        let answer =
            "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!";
        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    client
        .send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1000000\r\n\r\nstart"))
        .await;
    let response = client.response().await;
    assert_eq!((response.status, response.text().as_str()), (413, "no!"));
    world.until(|load| load.in_flight == 0).await;
}
