//! Ending tasks where they wait, as the end of their process would: for simulation.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::task::AbortHandle;

/// Ended tasks are forgotten when so many handles have gathered, at the earliest.
const SWEEP: usize = 256;

/// Sees every poll of tasks, and ends them at the await point where they are.
pub trait Gate: Send + Sync + Debug {
    /// The task is about to go on. False: it is dropped where it waits, and never goes on.
    fn enter(&self, task: &'static str) -> bool;

    /// The task panicked.
    fn panicked(&self, task: &'static str, message: &str);
}

/// The gate of some tasks, and what ends those of them that nothing wakes.
#[derive(Clone, Debug)]
pub(crate) struct Gated {
    pub(crate) gate: Arc<dyn Gate>,
    handles: Arc<Mutex<Handles>>,
}

#[derive(Debug)]
struct Handles {
    open: Vec<AbortHandle>,
    sweep_at: usize,
}

impl Gated {
    pub(crate) fn new(gate: Arc<dyn Gate>) -> Self {
        let handles = Handles { open: Vec::new(), sweep_at: SWEEP };
        Self { gate, handles: Arc::new(Mutex::new(handles)) }
    }

    /// The task, seen by the gate.
    pub(crate) fn wrap<F>(&self, name: &'static str, task: F) -> Wrapped
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Wrapped { gate: self.gate.clone(), name, task: Some(Box::pin(task)) }
    }

    pub(crate) fn keep(&self, handle: AbortHandle) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        if handles.open.len() >= handles.sweep_at {
            handles.open.retain(|handle| !handle.is_finished());
            handles.sweep_at = SWEEP.max(handles.open.len() * 2);
        }
        handles.open.push(handle);
    }

    /// Ends every task where it waits.
    pub(crate) fn kill(&self) {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        for handle in handles.open.drain(..) {
            handle.abort();
        }
    }
}

/// A task behind a gate.
pub(crate) struct Wrapped {
    gate: Arc<dyn Gate>,
    name: &'static str,
    task: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Future for Wrapped {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.gate.enter(self.name) {
            self.task = None;
        }
        match &mut self.task {
            Some(task) => task.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}
