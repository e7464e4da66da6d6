//! Configuration of the native door.

use std::path::PathBuf;

use serde::Deserialize;

use crate::admission::Capacity;

/// Configuration of the native door.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Directory for the certificate authority, the admin token and uploads under way. Made with
    /// mode 0700 when it is not there.
    pub dir: PathBuf,
    /// Host names and addresses that the server certificate is good for, besides 127.0.0.1, ::1,
    /// localhost and the host's own name.
    pub names: Vec<String>,
    /// Largest request body in bytes, uploads excepted. Default 3 MiB, the limit of the
    /// Kubernetes API server.
    pub max_body_bytes: usize,
    /// Registries and repositories that images may come from, such as `ghcr.io/acme`, each with
    /// everything below it. Empty, the default: all.
    pub image_registries: Vec<String>,
    /// What the machine has, which no container may exceed; none, the default: no limit.
    pub capacity: Option<Capacity>,
    /// Objects at most of each kind in each namespace, Events excepted; 0, the default: no limit.
    pub max_objects: u64,
    /// Largest uploaded image archive in bytes. Default 16 GiB.
    pub max_upload_bytes: u64,
    /// Milliseconds that a client may take for the TLS handshake, and again for the head of a
    /// request. Default 10,000.
    pub handshake_timeout_ms: u64,
    /// Connections at once; further ones wait to be accepted. Default 1,000.
    pub max_connections: usize,
    /// Lists that may be read at once; a large one counts as several. Default 8.
    pub list_seats: u32,
    /// Requests for single objects that may be served at once. Default 128.
    pub object_seats: u32,
    /// Requests that may wait for a seat, of lists and of single objects each. Default 500.
    pub queue_length: u32,
    /// Milliseconds that a request may wait for a seat. Default 15,000, as in Kubernetes.
    pub queue_timeout_ms: u64,
    /// Milliseconds that requests under way get to end when the door shuts down. Default 5,000.
    pub shutdown_grace_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/var/lib/ebb/api"),
            names: Vec::new(),
            max_body_bytes: 3 << 20,
            image_registries: Vec::new(),
            capacity: None,
            max_objects: 0,
            max_upload_bytes: 16 << 30,
            handshake_timeout_ms: 10_000,
            max_connections: 1_000,
            list_seats: 8,
            object_seats: 128,
            queue_length: 500,
            queue_timeout_ms: 15_000,
            shutdown_grace_ms: 5_000,
        }
    }
}
