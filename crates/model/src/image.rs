//! What an image is once it is local: its configuration and the layers of its root filesystem.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Digest, Reference, Timestamp};

/// The part of an OCI image configuration that decides how a container runs
/// (OCI image specification, "config", section "Properties").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ImageConfig {
    /// `Entrypoint`: the program and its first arguments.
    pub entrypoint: Vec<String>,
    /// `Cmd`: default arguments, or the program where there is no entrypoint.
    pub cmd: Vec<String>,
    /// `Env`: `NAME=value` pairs in the image's order.
    pub env: Vec<(String, String)>,
    /// `WorkingDir`; empty means `/`.
    pub working_dir: String,
    /// `User`: `uid`, `uid:gid`, `name` or `name:group`; empty means root.
    pub user: String,
    /// `ExposedPorts` of protocol TCP, ascending.
    pub exposed_tcp_ports: Vec<u16>,
    /// `StopSignal`, such as `SIGQUIT`; empty means `SIGTERM`.
    pub stop_signal: String,
    /// `Labels`. For display only: nothing that the platform does depends on them.
    pub labels: BTreeMap<String, String>,
}

/// How to build a root filesystem: plain data, nothing is mounted yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootFsLayout {
    /// Read-only directories, uppermost first, as overlayfs wants them. Files are owned by the
    /// ids of the image (0 to 65,535); the engine mounts them with an id map.
    pub lowers: Vec<PathBuf>,
    /// Configuration of the image.
    pub config: ImageConfig,
}

/// One image in the local store, as `ebb images list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageSummary {
    /// Name and tag, or the name with digest that it was pulled by; absent when nothing names it.
    pub reference: Option<Reference>,
    /// Digest of the image manifest.
    pub digest: Digest,
    /// Bytes of manifest, configuration and compressed layers.
    pub size_bytes: u64,
    /// When it became complete in this store.
    pub created: Timestamp,
    /// How many owners pin it.
    pub pins: u32,
}
