//! The seam: what an engine promises.

use std::time::Duration;

use async_trait::async_trait;
use ebb_model::InstanceId;
use ebb_model::engine::{EngineEvent, InstanceSpec, InstanceStatus, LogRecord};

use crate::Error;

/// Runs instances. Every method is idempotent by instance id.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Starts an instance; answers when the start is under way. Whether it became ready, or why
    /// not, is said by [`Engine::events`]. A second start with the same id changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a spec that this engine cannot run, naming the field;
    /// [`Error::Exhausted`] when the host has no room.
    async fn start(&self, id: &InstanceId, spec: InstanceSpec) -> Result<(), Error>;

    /// SIGTERM (or the image's stop signal), then kill after `grace`. Answers when the instance
    /// has ended and nothing of it is left. An id that is not known is a success.
    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<(), Error>;

    /// Acts on a running instance.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unsupported`] for an act that this engine cannot do.
    async fn act(&self, id: &InstanceId, act: Act) -> Result<(), Error>;

    /// Opens a stream of a container.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Unsupported`] for a stream that this engine does not have.
    async fn open(&self, id: &InstanceId, container: &str, what: Open) -> Result<Io, Error>;

    /// Every instance that runs or whose exit record is kept.
    async fn list(&self) -> Result<Vec<InstanceStatus>, Error>;

    /// Events with a sequence number greater than `since`, then new ones as they happen.
    ///
    /// # Errors
    /// [`Error::EventsLost`] when `since` is older than what is kept: list again.
    async fn events(&self, since: u64) -> Result<Events, Error>;
}

/// An act on a running instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send a signal to its main process.
    Signal(i32),
    /// Stop the processor time of the whole instance.
    Freeze,
    /// Let it run again.
    Thaw,
}

/// What to open of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// Its output.
    Logs(LogQuery),
}

/// Which part of a container's output to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Go on with new lines until the container ends.
    pub follow: bool,
    /// Only the last so many lines.
    pub tail: Option<u64>,
    /// Only lines read at or after this time.
    pub since: Option<ebb_model::Timestamp>,
}

/// An open stream of a container.
#[derive(Debug)]
pub enum Io {
    /// Log records in order; the channel closes at the end.
    Logs(tokio::sync::mpsc::Receiver<LogRecord>),
}

/// The receiving end of an engine's events. Bounded; a reader that does not keep up sees the
/// channel close and resumes with the last sequence number that it saw.
pub type Events = tokio::sync::mpsc::Receiver<EngineEvent>;
