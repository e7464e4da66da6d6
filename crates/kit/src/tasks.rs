//! Named tasks that are awaited at shutdown.

use std::future::Future;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

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
}

impl Tasks {
    /// Tasks that end with `shutdown`.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { tracker: TaskTracker::new(), shutdown, broken: Shutdown::new() }
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
        #[allow(clippy::disallowed_methods)] // this is the implementation behind the ban
        let handle = self.tracker.spawn(task.instrument(span));
        #[allow(clippy::disallowed_methods)]
        self.tracker.spawn(async move {
            if let Err(error) = handle.await
                && error.is_panic()
            {
                tracing::error!(task = name, %error, "a task panicked");
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
