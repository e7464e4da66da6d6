//! Instances and the gateway itself stop without breaking what is under way.

use std::time::Duration;

use ebb_gateway::Config;

use crate::backend::Echo;
use crate::client::Client;
use crate::world::{World, id, key, policy};

#[tokio::test]
async fn a_draining_instance_ends_what_it_began_and_gets_no_more() {
    let world = World::new(policy()).await;
    let (old, new) = (Echo::with_permits(&world.tasks, 0).await, Echo::start(&world.tasks).await);
    world.add(1, old.address);
    let mut client = world.client().await;
    client.get("/begun").await;
    world.until(|load| load.in_flight == 1).await;

    let (handle, key) = (world.handle.clone(), key());
    let draining = async { handle.drain_endpoint(&key, &id(1), Duration::from_secs(30)).await };
    let mut draining = std::pin::pin!(draining);
    assert!(futures_util::poll!(&mut draining).is_pending());
    world.add(2, new.address);
    assert_eq!(world.client().await.fetch("/new").await.status, 200);
    assert_eq!((old.seen().len(), new.seen().len()), (1, 1));
    assert!(futures_util::poll!(&mut draining).is_pending());
    assert_eq!(world.handle.in_flight(&key, &id(1)), 1, "still counted");

    old.permits.add_permits(1);
    assert_eq!(client.response().await.status, 200);
    draining.await;
    assert_eq!(world.handle.in_flight(&key, &id(1)), 0);
    world.handle.remove_endpoint(&key, &id(1));
    assert_eq!(client.fetch("/after").await.status, 200);
    assert_eq!(old.seen().len(), 1);
}

#[tokio::test]
async fn draining_ends_at_its_limit() {
    let world = World::new(policy()).await;
    let echo = Echo::with_permits(&world.tasks, 0).await;
    world.add(1, echo.address);
    let mut client = world.client().await;
    client.get("/").await;
    world.until(|load| load.in_flight == 1).await;
    world.handle.drain_endpoint(&key(), &id(1), Duration::from_millis(20)).await;
    assert_eq!(world.load().in_flight, 1, "it goes on until it is removed");
    world.handle.remove_endpoint(&key(), &id(1));
    client.response().await.assert_answer(502, "UPSTREAM_CLOSED");
    // Of what is not there nothing is waited for.
    world.handle.drain_endpoint(&key(), &id(9), Duration::from_secs(30)).await;
}

#[tokio::test]
async fn requests_are_held_when_the_only_instance_drains() {
    let world = World::new(policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    world.handle.drain_endpoint(&key(), &id(1), Duration::from_secs(30)).await;
    let mut client = world.client().await;
    client.get("/").await;
    world.recorder.activated(1).await;
    assert_eq!(world.load().held, 1);
    world.add(2, echo.address);
    assert_eq!(client.response().await.status, 200);
    assert_eq!(world.recorder.cold().len(), 1);
}

#[tokio::test]
async fn shutdown_ends_what_is_in_flight_and_closes() {
    let world = World::new(policy()).await;
    let echo = Echo::with_permits(&world.tasks, 1).await;
    world.add(1, echo.address);
    let mut idle = world.client().await;
    assert_eq!(idle.fetch("/").await.status, 200);
    let mut busy = world.client().await;
    busy.get("/").await;
    world.until(|load| load.in_flight == 1).await;
    world.shutdown.call();
    assert_eq!(idle.rest().await, b"", "an idle connection is closed");
    echo.permits.add_permits(1);
    assert_eq!(busy.response().await.status, 200);
    assert_eq!(busy.rest().await, b"");
    world.ended.notified().await;
    assert!(tokio::net::TcpStream::connect(world.address).await.is_err());
}

#[tokio::test]
async fn shutdown_does_not_wait_for_ever() {
    let config = Config { drain_ms: 50, ..Config::default() };
    let world = World::with(config, policy()).await;
    let mut client = Client::connect(world.address).await;
    client.get("/held").await;
    world.recorder.activated(1).await;
    world.shutdown.call();
    world.ended.notified().await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(world.load().held, 0);
}
