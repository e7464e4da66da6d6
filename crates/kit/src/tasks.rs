//! Named tasks that are awaited at shutdown.

use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::gate::{Gate, Gated};

/// Says when to stop. Cheap to clone; every clone hears the same call.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A shutdown that was not called yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls it. Calling again changes nothing.
    pub fn call(&self) {
        self.0.cancel();
    }

    /// Whether it was called.
    pub fn called(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Answers when it is called.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// A shutdown that follows this one and can be called by itself.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}

/// Spawns tasks by name and waits for them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: Shutdown,
    broken: Shutdown,
    gated: Option<Gated>,
}

impl Tasks {
    /// Tasks that end with `shutdown`.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, ..Self::default() }
    }

    /// The same behind a gate, which sees every poll: for simulation.
    pub fn gated(shutdown: Shutdown, gate: Arc<dyn Gate>) -> Self {
        Self { shutdown, gated: Some(Gated::new(gate)), ..Self::default() }
    }

    /// Ends every task where it waits, as the end of the process would. Only tasks behind a gate
    /// can be ended so; nothing happens to others.
    pub fn kill(&self) {
        if let Some(gated) = &self.gated {
            gated.kill();
        }
    }

    /// The shutdown that these tasks follow.
    pub const fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Runs `task` under `name`. The task itself ends when the shutdown is called; one that
    /// panics is logged with its name.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.supervise(name, task, None);
    }

    /// The same for a task without which the process does not do its work: when it panics,
    /// [`Tasks::broken`] answers, and the process had better end and be started again.
    pub fn spawn_essential<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.supervise(name, task, Some(self.broken.clone()));
    }

    /// Answers when an essential task has panicked.
    pub async fn broken(&self) {
        self.broken.wait().await;
    }

    fn supervise<F>(&self, name: &'static str, task: F, broken: Option<Shutdown>)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let span = tracing::debug_span!("task", name);
        let gate = self.gated.as_ref().map(|gated| gated.gate.clone());
        #[allow(clippy::disallowed_methods)] // this is the implementation behind the ban
        let handle = match &self.gated {
            None => self.tracker.spawn(task.instrument(span)),
            Some(gated) => {
                let handle = self.tracker.spawn(gated.wrap(name, task).instrument(span));
                gated.keep(handle.abort_handle());
                handle
            }
        };
        #[allow(clippy::disallowed_methods)]
        self.tracker.spawn(async move {
            if let Err(error) = handle.await
                && error.is_panic()
            {
                tracing::error!(task = name, %error, "a task panicked");
                if let Some(gate) = gate {
                    gate.panicked(name, &error.to_string());
                }
                if let Some(broken) = broken {
                    broken.call();
                }
            }
        });
    }

    /// Waits until every task has ended.
    pub async fn join(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn join_waits_for_tasks_that_follow_the_shutdown() {
        let tasks = Tasks::new(Shutdown::new());
        let (done, was_done) = tokio::sync::oneshot::channel();
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("waits", async move {
            shutdown.wait().await;
            done.send(()).unwrap();
        });
        tasks.spawn("panics", async { panic!("on purpose") });
        tasks.shutdown().call();
        tasks.join().await;
        assert!(was_done.await.is_ok());
    }

    /// Lets so many polls pass.
    #[derive(Debug, Default)]
    struct Count(std::sync::atomic::AtomicU32);

    impl Gate for Count {
        fn enter(&self, _: &'static str) -> bool {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2
        }

        fn panicked(&self, _: &'static str, _: &str) {}
    }

    #[tokio::test]
    async fn a_gate_ends_tasks_where_they_wait() {
        let tasks = Tasks::gated(Shutdown::new(), Arc::new(Count::default()));
        let (_open, never) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn("waits", async move { drop(never.await) });
        let (done, ended) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn("goes on", async move {
            tokio::task::yield_now().await;
            let _ = done.send(());
        });
        assert!(ended.await.is_err(), "it was not polled again after its first wait");
        tasks.kill();
        tasks.join().await;
    }

    #[tokio::test]
    async fn only_an_essential_task_breaks_the_process() {
        let tasks = Tasks::new(Shutdown::new());
        tasks.spawn("panics", async { panic!("on purpose") });
        tasks.join().await;
        assert!(!tasks.broken.called());
        let tasks = Tasks::new(Shutdown::new());
        tasks.spawn_essential("panics", async { panic!("on purpose") });
        tasks.broken().await;
    }
}
