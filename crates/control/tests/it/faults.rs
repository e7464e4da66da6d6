//! A store that fails: nothing is lost, everything is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ebb_control::Config;
use ebb_images::ImageStore as _;
use ebb_model::key;
use ebb_store::fault::{Call, Faulty};
use ebb_store::memory::Memory;
use ebb_store::{Change, Commit, Error, Record, Scan, Source, Store, Watcher};
use serde_json::json;

use crate::world::{GROUP, NS, World, pass, template};

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

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_keeps_no_daemon_from_starting() {
    let store = Arc::new(Memory::new());
    let broken = json!({"metadata": {"name": "hello-00001", "namespace": NS}, "spec": 5});
    let service = json!({"metadata": {"name": "hello", "namespace": NS, "generation": 1, "uid": "u"},
        "spec": {"template": template("hello")}});
    let objects = [("services", "hello", &service), ("revisions", "hello-00001", &broken)];
    let writes = objects.map(|(resource, name, object)| {
        ebb_store::json::put(&key::object(GROUP, resource, NS, name), object).unwrap()
    });
    store.commit(Commit { writes: writes.into(), ..Commit::default() }).await.unwrap();
    let start = World::with(store, Config::default());
    let world = tokio::time::timeout(Duration::from_mins(10), start).await.expect("it starts");
    world.image("other", &[]);
    world.deploy_ready("other", "other").await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_revision_deleted_while_the_store_is_away_is_let_go_all_the_same() {
    let (faulty, world) = world().await;
    for image in ["one", "two"] {
        world.image(image, &[("A", image)]);
        world.deploy_ready("hello", image).await;
    }
    pass(120).await;
    let pins = async || world.images.list().await.unwrap().iter().map(|i| i.pins).sum::<u32>();
    assert_eq!(pins().await, 2);
    world.delete("revisions", "hello-00001").await;
    faulty.fail_always(Call::Get, Error::Unavailable("away".to_owned()));
    pass(5).await;
    faulty.heal();
    pass(60).await;
    assert_eq!(pins().await, 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn many_changes_of_what_services_read_are_looked_at_together() {
    let (faulty, world) = world().await;
    pass(1).await;
    let before = faulty.calls(Call::Scan);
    for n in 0..1_000 {
        let name = format!("map-{n}");
        let map = json!({"metadata": {"name": name, "namespace": NS}});
        world.put(key::object("", "configmaps", NS, &name), &map).await;
    }
    pass(1).await;
    let scans = faulty.calls(Call::Scan) - before;
    assert!(scans < 100, "{scans}");
    world.stop().await;
}

/// A store whose watches end at once, as those of one whose writer broke.
struct Ending(Memory, AtomicU32);

#[async_trait]
impl Store for Ending {
    async fn get(&self, key: &str) -> Result<Option<Record>, Error> {
        self.0.get(key).await
    }

    async fn scan(
        &self,
        prefix: &str,
        at: Option<u64>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Scan, Error> {
        self.0.scan(prefix, at, after, limit).await
    }

    async fn count(&self, prefix: &str, at: u64, after: Option<&str>) -> Result<u64, Error> {
        self.0.count(prefix, at, after).await
    }

    async fn commit(&self, commit: Commit) -> Result<u64, Error> {
        self.0.commit(commit).await
    }

    async fn watch(&self, _: &str, _: u64) -> Result<Watcher, Error> {
        if self.1.fetch_add(1, Ordering::Relaxed) > 10_000 {
            std::future::pending::<()>().await;
        }
        Ok(ended())
    }
}

fn ended() -> Watcher {
    struct Ended;
    #[async_trait]
    impl Source for Ended {
        async fn next(&mut self) -> Option<Result<Arc<Change>, Error>> {
            None
        }

        fn progress(&self) -> u64 {
            0
        }
    }
    Watcher::new(Ended)
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_are_not_begun_again_at_once() {
    let store = Arc::new(Ending(Memory::new(), AtomicU32::new(0)));
    let world = World::with(store.clone(), Config::default()).await;
    pass(60).await;
    let watches = store.1.load(Ordering::Relaxed);
    assert!((10..200).contains(&watches), "{watches}");
    world.stop().await;
}
