//! An engine whose answers are lost: nothing runs that nobody knows of, and what is told is why it
//! failed, not what was done about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ebb_engine::sim::{Call, Sim};
use ebb_engine::{Act, Engine, Error, Events, Io, Open};
use ebb_model::InstanceId;
use ebb_model::engine::{ContainerSpec, InstanceSpec, InstanceStatus, RestartPolicy};
use ebb_model::image::{ImageConfig, RootFsLayout};

use crate::world::{Machine, NS, World, pass, template, until};

/// Starts what it is asked to, and does not say so for the next few.
struct Silent {
    inner: Sim,
    starts: AtomicU32,
}

#[async_trait]
impl Engine for Silent {
    async fn start(&self, id: &InstanceId, spec: InstanceSpec) -> Result<(), Error> {
        self.inner.start(id, spec).await?;
        let left = self
            .starts
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_or(Ok(()), |_| Err(Error::Unavailable("the answer was lost".to_owned())))
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), Error> {
        self.inner.stop(id, grace).await?;
        // Its end is told before all of it is cleared away.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }

    async fn act(&self, id: &InstanceId, act: Act) -> Result<(), Error> {
        self.inner.act(id, act).await
    }

    async fn open(&self, id: &InstanceId, container: &str, what: Open) -> Result<Io, Error> {
        self.inner.open(id, container, what).await
    }

    async fn list(&self) -> Result<Vec<InstanceStatus>, Error> {
        self.inner.list().await
    }

    async fn events(&self, since: u64) -> Result<Events, Error> {
        self.inner.events(since).await
    }
}

/// The end that stopping it brings about must not be taken for its failure.
#[tokio::test(start_paused = true)]
async fn a_start_whose_answer_is_lost_fails_for_that_and_leaves_nothing() {
    let mut machine = Machine::new();
    let starts = AtomicU32::new(u32::MAX);
    machine.engine = Arc::new(Silent { inner: machine.sim.clone(), starts });
    let world = World::on_machine(Arc::default(), machine).await;
    world.image("hello", &[]);
    world.deploy("hello", template("hello")).await;
    let ready = world.until_ready("hello", "False").await;
    assert!(ready.message.as_ref().is_some_and(|m| m.contains("the answer was lost")), "{ready:?}");
    let told = world.events().await;
    let crashed = told.iter().filter_map(|event| event.message.as_deref());
    let crashed: Vec<&str> = crashed.filter(|told| told.contains("signal")).collect();
    assert!(crashed.is_empty(), "{crashed:?}");
    until("nothing runs", async || world.running().await == 0).await;
    world.stop().await;
}

fn spec() -> InstanceSpec {
    let container = ContainerSpec {
        name: "user".to_owned(),
        rootfs: RootFsLayout { lowers: Vec::new(), config: ImageConfig::default() },
        argv: vec!["/app".to_owned()],
        env: Vec::new(),
        working_dir: "/".to_owned(),
        user: String::new(),
        port: Some(8080),
        limits: BTreeMap::new(),
        read_only: false,
    };
    InstanceSpec {
        namespace: NS.to_owned(),
        name: "stray-00001-abcdefgh".to_owned(),
        init: Vec::new(),
        containers: vec![container],
        restart_policy: RestartPolicy::Never,
        runtime: "ebb".to_owned(),
        grace_ms: 10_000,
        start_timeout_ms: 10_000,
        labels: BTreeMap::new(),
    }
}

/// What ran before, and could not be stopped at first, is stopped all the same.
#[tokio::test(start_paused = true)]
async fn a_stray_that_cannot_be_stopped_at_first_is_stopped_later() {
    let machine = Machine::new();
    let id = InstanceId::parse(&"0".repeat(26)).unwrap();
    machine.sim.start(&id, spec()).await.unwrap();
    machine.sim.fail_next(Call::Stop, 4);
    let world = World::on_machine(Arc::default(), machine).await;
    pass(120).await;
    assert_eq!(world.running().await, 0);
    world.stop().await;
}
