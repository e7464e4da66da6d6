//! What the engine runs and what it reports: the data of the engine seam.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::image::RootFsLayout;
use crate::{InstanceId, Timestamp};

/// Everything that is needed to run one instance. Shaped like a Pod: containers share network,
/// ipc and volumes; exactly one of them takes requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceSpec {
    /// Namespace that owns it.
    pub namespace: String,
    /// Name inside the instance (`hostname`) and of its Pod.
    pub name: String,
    /// Containers that run to completion, in order, before the others start.
    pub init: Vec<ContainerSpec>,
    /// Containers that run together.
    pub containers: Vec<ContainerSpec>,
    /// What happens when a container ends.
    pub restart_policy: RestartPolicy,
    /// Isolation tier, `ebb` by default (`runtimeClassName`).
    pub runtime: String,
    /// Time between SIGTERM and kill, in milliseconds.
    pub grace_ms: u64,
    /// Time from start to ready after which the start has failed, in milliseconds.
    pub start_timeout_ms: u64,
    /// Display data carried into list and events; decides nothing.
    pub labels: BTreeMap<String, String>,
}

/// One container of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Name, a DNS label.
    pub name: String,
    /// Its root filesystem.
    pub rootfs: RootFsLayout,
    /// Program and arguments, already resolved from image and overrides; never empty.
    pub argv: Vec<String>,
    /// Complete environment, in order.
    pub env: Vec<(String, String)>,
    /// Absolute working directory inside the root filesystem.
    pub working_dir: String,
    /// User as in the image configuration's `User`; empty means root of the user namespace.
    pub user: String,
    /// TCP port that it must accept connections on to be ready; none: ready when started.
    pub port: Option<u16>,
    /// Limits by resource name: `cpu` in thousandths of a CPU, `memory` in bytes, also
    /// `nvidia.com/gpu`. A name that the engine does not know is refused.
    pub limits: BTreeMap<String, u64>,
    /// Mount the root filesystem read-only.
    pub read_only: bool,
}

/// What happens when a container ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Never: the instance ends with it. The scaler decides about a replacement.
    Never,
    /// Started again, with backoff.
    Always,
    /// Started again, with backoff, unless it ended with code 0.
    OnFailure,
}

/// State of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Being made; not ready.
    Starting,
    /// Accepts requests.
    Ready,
    /// Told to stop.
    Stopping,
    /// Ended; its exit record is known.
    Exited,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExitRecord {
    /// Exit code, when it ended by itself.
    pub code: Option<i32>,
    /// Signal number, when a signal ended it.
    pub signal: Option<i32>,
    /// Whether the kernel killed it for memory.
    pub oom: bool,
    /// Why it never ran, when it could not be started: a stable code and a sentence.
    pub start_failure: Option<StartFailure>,
    /// Largest memory use in bytes; 0 when unknown.
    pub peak_memory_bytes: u64,
    /// CPU time used, in nanoseconds.
    pub cpu_ns: u64,
    /// When it ended.
    pub ended: Timestamp,
}

/// Why a container never ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    /// Stable code, such as `START_FAILED`, `IMAGE_USER_INVALID`, `NEVER_READY`.
    pub code: String,
    /// What went wrong: the path and what the kernel said, with a hint.
    pub message: String,
}

/// Time that each step of a start took, in microseconds; the engine's part of a cold request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartPhases {
    /// Attaching the root filesystem.
    pub rootfs_us: u64,
    /// Making namespaces, cgroup, network and the trees in it.
    pub create_us: u64,
    /// From there until `exec` succeeded.
    pub start_us: u64,
    /// From `exec` until its port accepted a connection.
    pub ready_us: u64,
}

/// Something that happened to an instance. Sequence numbers rise by one per engine and are never
/// reused within one life of the engine, so a reader can resume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineEvent {
    /// Position in the engine's event stream.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Which instance.
    pub id: InstanceId,
    /// What happened.
    pub what: EngineEventKind,
}

/// What happened to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineEventKind {
    /// Its program runs.
    Started,
    /// It accepts connections at `endpoint`.
    Ready {
        /// Address that the gateway connects to; none when it has no port.
        endpoint: Option<SocketAddr>,
        /// How long the steps of its start took.
        phases: StartPhases,
    },
    /// The kernel killed a process of it for memory.
    Oom,
    /// It ended, and nothing of it is left.
    Exited(ExitRecord),
}

/// An instance as the engine's list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Which instance.
    pub id: InstanceId,
    /// What it was started with.
    pub spec: InstanceSpec,
    /// Its state.
    pub state: State,
    /// Where it takes requests, once ready.
    pub endpoint: Option<SocketAddr>,
    /// When it was started.
    pub created: Timestamp,
    /// How it ended, once it has.
    pub exit: Option<ExitRecord>,
    /// Memory in use now, in bytes; 0 when unknown.
    pub memory_bytes: u64,
    /// CPU time used so far, in nanoseconds; 0 when unknown.
    pub cpu_ns: u64,
}

/// Which of its outputs a container wrote a line to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of a container's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Rises by one per record of the container; a gap says that records were dropped.
    pub seq: u64,
    /// When the shim read it.
    pub at: Timestamp,
    /// Which output.
    pub stream: LogStream,
    /// The line without its newline; at most 64 KiB, longer lines are split.
    pub line: Vec<u8>,
}
