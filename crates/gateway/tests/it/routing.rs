//! From a host to a revision.

use std::sync::Arc;

use ebb_model::RevisionKey;
use ebb_model::routing::{Endpoint, RouteEntry, RouteTable};

use crate::backend::Echo;
use crate::world::{World, id, key, policy, routes};

#[tokio::test]
async fn an_unknown_host_has_no_route() {
    let world = World::new(policy()).await;
    let mut client = world.client().await;
    for host in ["other.test", "default.test", "x.hello.default.test", "[::1]:80"] {
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        client.response().await.assert_answer(404, "NO_ROUTE");
    }
    world.handle.set_routes(RouteTable::default());
    client.fetch("/").await.assert_answer(404, "NO_ROUTE");
}

#[tokio::test]
async fn a_service_without_a_ready_revision_says_so() {
    let world = World::new(policy()).await;
    world.handle.set_routes(routes(&[], policy()));
    let mut client = world.client().await;
    client.fetch("/").await.assert_answer(503, "REVISION_NOT_READY");
    world.handle.set_routes(routes(&[(key(), 0)], policy()));
    client.fetch("/").await.assert_answer(503, "REVISION_NOT_READY");
}

#[tokio::test]
async fn a_stopped_service_says_so_and_asks_for_no_instance() {
    let world = World::new(policy()).await;
    let backend = Echo::start(&world.tasks).await;
    world.add(1, backend.address);
    let mut table = routes(&[(key(), 100)], policy());
    for entry in table.hosts.values_mut() {
        *entry = Arc::new(RouteEntry { stopped: true, ..RouteEntry::clone(entry) });
    }
    world.handle.set_routes(table);
    let mut client = world.client().await;
    client.fetch("/").await.assert_answer(503, "SERVICE_STOPPED");
    assert_eq!(backend.seen().len(), 0);
    world.handle.set_routes(routes(&[(key(), 100)], policy()));
    assert_eq!(client.fetch("/").await.status, 200);
}

#[tokio::test]
async fn shares_are_exact_and_survive_new_routes() {
    let world = World::new(policy()).await;
    let (a, b) = (Echo::start(&world.tasks).await, Echo::start(&world.tasks).await);
    let other = RevisionKey::new("default", "hello-00002");
    world.add(1, a.address);
    world.handle.add_endpoint(&other, Endpoint { id: id(2), address: b.address });
    let split = || routes(&[(key(), 90), (other.clone(), 10)], policy());
    world.handle.set_routes(split());
    let mut client = world.client().await;
    for n in 0..300 {
        assert_eq!(client.fetch("/").await.status, 200);
        if n % 7 == 0 {
            world.handle.set_routes(split());
        }
    }
    assert_eq!((a.seen().len(), b.seen().len()), (270, 30));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_routes_under_load_loses_and_misroutes_nothing() {
    let world = World::new(policy()).await;
    let (a, b) = (Echo::start(&world.tasks).await, Echo::start(&world.tasks).await);
    let other = RevisionKey::new("default", "hello-00002");
    world.add(1, a.address);
    world.handle.add_endpoint(&other, Endpoint { id: id(2), address: b.address });
    let clients = (0..8).map(|_| async {
        let mut client = world.client().await;
        for _ in 0..200 {
            assert_eq!(client.fetch("/").await.status, 200);
        }
    });
    let flips = async {
        for n in 0..400 {
            let to = if n % 2 == 0 { key() } else { other.clone() };
            world.handle.set_routes(routes(&[(to, 100)], policy()));
            tokio::task::yield_now().await;
        }
    };
    futures_util::future::join(futures_util::future::join_all(clients), flips).await;
    assert_eq!(a.seen().len() + b.seen().len(), 1600);
    assert!(Arc::strong_count(&a) > 0);
}
