//! The concurrency limit, and which instance a request is given to.

use ebb_gateway::Config;
use ebb_model::routing::RequestPolicy;

use crate::backend::Echo;
use crate::world::{World, id, key, policy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_concurrency_limit_is_exact_under_load() {
    let world = World::new(RequestPolicy { concurrency: 3, ..policy() }).await;
    let (a, b) =
        (Echo::with_permits(&world.tasks, 0).await, Echo::with_permits(&world.tasks, 0).await);
    world.add(1, a.address);
    world.add(2, b.address);
    let mut clients = Vec::new();
    for _ in 0..30 {
        let mut client = world.client().await;
        client.get("/").await;
        clients.push(client);
    }
    world.until(|load| load.held == 24 && load.in_flight == 6).await;
    assert_eq!(world.handle.in_flight(&key(), &id(1)), 3);
    assert_eq!(world.handle.in_flight(&key(), &id(2)), 3);
    a.permits.add_permits(1000);
    b.permits.add_permits(1000);
    let tasks = clients.into_iter().map(|mut client| async move {
        assert_eq!(client.response().await.status, 200);
        for _ in 0..50 {
            assert_eq!(client.fetch("/").await.status, 200);
        }
    });
    futures_util::future::join_all(tasks).await;
    assert!(a.most() <= 3 && b.most() <= 3, "{} and {} at once", a.most(), b.most());
    assert_eq!(a.seen().len() + b.seen().len(), 30 * 51);
    world.until(|load| load.held == 0 && load.in_flight == 0).await;
}

#[tokio::test]
async fn the_least_loaded_instance_is_chosen() {
    let world = World::new(policy()).await;
    let (a, b) =
        (Echo::with_permits(&world.tasks, 0).await, Echo::with_permits(&world.tasks, 0).await);
    world.add(1, a.address);
    world.add(2, b.address);
    let mut clients = Vec::new();
    for n in 0..10 {
        let mut client = world.client().await;
        client.get("/").await;
        world.until(|load| load.in_flight == n + 1).await;
        let (on_a, on_b) =
            (world.handle.in_flight(&key(), &id(1)), world.handle.in_flight(&key(), &id(2)));
        assert!(on_a.abs_diff(on_b) <= 1, "{on_a} and {on_b}");
        clients.push(client);
    }
    a.permits.add_permits(100);
    b.permits.add_permits(100);
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
}

#[tokio::test]
async fn an_instance_added_under_load_takes_from_the_queue_up_to_its_limit() {
    let world = World::new(RequestPolicy { concurrency: 2, ..policy() }).await;
    let mut clients = Vec::new();
    for n in 0..5 {
        let mut client = world.client().await;
        client.get("/").await;
        world.until(|load| load.held == n + 1).await;
        clients.push(client);
    }
    let (a, b) =
        (Echo::with_permits(&world.tasks, 0).await, Echo::with_permits(&world.tasks, 0).await);
    world.add(1, a.address);
    assert_eq!((world.load().held, world.load().in_flight), (3, 2));
    world.add(2, b.address);
    assert_eq!((world.load().held, world.load().in_flight), (1, 4));
    world.add(2, b.address);
    assert_eq!((world.load().held, world.load().in_flight), (1, 4), "added twice counts once");
    a.permits.add_permits(100);
    b.permits.add_permits(100);
    for client in &mut clients {
        assert_eq!(client.response().await.status, 200);
    }
}

#[tokio::test]
async fn connections_to_an_instance_are_reused() {
    let world = World::new(policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    for _ in 0..3 {
        let mut client = world.client().await;
        for _ in 0..20 {
            assert_eq!(client.fetch("/").await.status, 200);
        }
    }
    assert_eq!(echo.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn client_connections_are_limited() {
    let config = Config { max_connections: 2, ..Config::default() };
    let world = World::with(config, policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    let (mut a, mut b) = (world.client().await, world.client().await);
    assert_eq!(a.fetch("/").await.status, 200);
    assert_eq!(b.fetch("/").await.status, 200);
    let mut c = world.client().await;
    c.response().await.assert_answer(503, "OVERLOADED");
    drop(a);
    loop {
        let mut d = world.client().await;
        d.get("/").await;
        if d.head().await.is_some_and(|head| head.status == 200) {
            break;
        }
    }
    assert_eq!(b.fetch("/").await.status, 200);
}
