//! A store that fails: nothing is lost, everything is tried again.

use std::sync::Arc;

use ebb_control::Config;
use ebb_store::fault::{Call, Faulty};
use ebb_store::memory::Memory;
use ebb_store::{Error, Store};

use crate::world::{World, pass, template};

async fn world() -> (Arc<Faulty>, World) {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let world = World::with(faulty.clone(), Config::default()).await;
    (faulty, world)
}

fn conflict() -> Error {
    Error::Conflict { key: "/x".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn every_commit_may_meet_a_conflict() {
    for nth in 2..10 {
        let (faulty, world) = world().await;
        world.image("hello", &[]);
        faulty.fail(Call::Commit, nth, conflict());
        world.deploy_ready("hello", "hello").await;
        assert_eq!(world.keys("revisions").await, ["hello-00001"], "{nth}");
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_every_commit_may_be_lost() {
    for nth in 2..10 {
        let (faulty, world) = world().await;
        world.image("hello", &[]);
        faulty.lose_answer(Call::Commit, nth, Error::Unavailable("lost".to_owned()));
        world.deploy_ready("hello", "hello").await;
        assert_eq!(world.keys("revisions").await, ["hello-00001"], "{nth}");
        assert_eq!(world.engine.starts(), 1, "{nth}");
        world.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_delays_and_loses_nothing() {
    let (faulty, world) = world().await;
    world.image("hello", &[]);
    world.deploy("hello", template("hello")).await;
    for call in [Call::Get, Call::Scan, Call::Commit] {
        faulty.fail_always(call, Error::Unavailable("away".to_owned()));
    }
    pass(120).await;
    faulty.heal();
    world.until_ready("hello", "True").await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_watch_is_replaced() {
    let memory = Arc::new(Memory::new());
    let faulty = Arc::new(Faulty::new(memory.clone()));
    faulty.fail(Call::Watch, 1, Error::Unavailable("no".to_owned()));
    faulty.fail(Call::Watch, 2, Error::Lagged);
    let world = World::with(faulty.clone() as Arc<dyn Store>, Config::default()).await;
    world.image("hello", &[]);
    world.deploy_ready("hello", "hello").await;
    world.stop().await;
}
