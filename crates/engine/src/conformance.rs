//! What every engine must do, as a suite to run against one: [`all`] panics with the first promise
//! that is broken. The programs that it runs are made by a [`Fixture`], since only who builds an
//! engine knows what is in its images.

mod lifecycle;
mod logs;
mod refused;
mod watcher;

use std::sync::Arc;
use std::time::Duration;

use ebb_model::InstanceId;
use ebb_model::engine::{ExitRecord, InstanceSpec, LogStream};

use crate::Engine;
use watcher::Watcher;

/// Longest that anything in the suite may take; it decides nothing but when to give up.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program that the suite needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// Accepts TCP connections on this port and runs until SIGTERM, which ends it at once.
    Serves(u16),
    /// Ends with this code at once. It has a port in its spec, or has not.
    Exits(u8, Option<u16>),
    /// Ends by this signal at once.
    Dies(i32),
    /// Runs until SIGTERM and never listens on this port, which its spec has.
    NeverListens(u16),
    /// Accepts TCP connections on this port, does nothing at SIGTERM.
    IgnoresTerm(u16),
    /// Writes these lines and runs until SIGTERM. Its spec has no port.
    Prints(Vec<(LogStream, String)>),
    /// Is not in its image.
    Missing,
}

/// Makes specs of programs for one engine.
pub trait Fixture: Send + Sync {
    /// A spec that runs `program` in one container. Time to start and grace may be anything from
    /// 10 s up; the suite sets what matters.
    fn spec(&self, program: &Program) -> InstanceSpec;

    /// Whether endpoints can be connected to from here.
    fn reachable(&self) -> bool;

    /// A number that is different for every run against the same engine.
    fn run(&self) -> u32 {
        std::process::id()
    }
}

/// Runs the suite. The engine may have other instances; they are left alone.
pub async fn all(engine: Arc<dyn Engine>, fixture: &dyn Fixture) {
    let mut suite = Suite { engine, fixture, ids: 0 };
    suite.serves_until_it_is_stopped().await;
    suite.every_exit_code_is_told().await;
    suite.every_signal_is_told().await;
    suite.an_early_exit_is_never_ready().await;
    suite.a_program_that_never_listens_is_given_up().await;
    suite.a_missing_program_is_a_start_failure().await;
    suite.the_kill_follows_the_grace().await;
    suite.freezing_and_signals_act().await;
    suite.events_are_resumed().await;
    suite.output_is_kept_in_order().await;
    suite.what_is_not_there_is_said().await;
    suite.wrong_specs_are_refused_by_field().await;
    suite.nothing_runs_at_the_end().await;
}

/// One run of the suite.
struct Suite<'a> {
    engine: Arc<dyn Engine>,
    fixture: &'a dyn Fixture,
    ids: u32,
}

impl Suite<'_> {
    /// An id that was not used before.
    fn id(&mut self) -> InstanceId {
        self.ids += 1;
        let text = format!("01conf{:010}{:010}", self.fixture.run(), self.ids);
        InstanceId::parse(&text).expect("26 characters")
    }

    fn is_ours(&self, id: &InstanceId) -> bool {
        id.as_str().starts_with(&format!("01conf{:010}", self.fixture.run()))
    }

    fn spec(&self, program: &Program) -> InstanceSpec {
        self.fixture.spec(program)
    }

    async fn watcher(&self) -> Watcher {
        Watcher::new(&self.engine).await
    }

    /// Starts it and answers how it ended.
    async fn run_to_end(&mut self, spec: InstanceSpec) -> ExitRecord {
        let mut watcher = self.watcher().await;
        let id = self.id();
        self.engine.start(&id, spec).await.expect("it starts");
        watcher.exited(&id).await
    }

    /// Starts it and waits until it is ready.
    async fn ready(&mut self, program: &Program) -> (InstanceId, Watcher) {
        let mut watcher = self.watcher().await;
        let id = self.id();
        self.engine.start(&id, self.spec(program)).await.expect("it starts");
        watcher.ready(&id).await;
        (id, watcher)
    }

    /// Stops it, in time.
    async fn stop(&self, id: &InstanceId, grace: Duration) {
        let stopped = tokio::time::timeout(PATIENCE, self.engine.stop(id, grace)).await;
        stopped.expect("stop answers").expect("stop succeeds");
    }

    async fn nothing_runs_at_the_end(&mut self) {
        let left = self.engine.list().await.expect("it lists");
        let running = |s: &&ebb_model::engine::InstanceStatus| {
            self.is_ours(&s.id) && s.state != ebb_model::engine::State::Exited
        };
        assert_eq!(left.iter().find(running), None, "an instance was left running");
    }
}

#[cfg(test)]
mod tests;
