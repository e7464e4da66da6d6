//! Configuration of the native door.

use std::path::PathBuf;

use serde::Deserialize;

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
    /// Largest uploaded image archive in bytes. Default 16 GiB.
    pub max_upload_bytes: u64,
    /// Milliseconds that a client may take for the TLS handshake, and again for the head of a
    /// request. Default 10,000.
    pub handshake_timeout_ms: u64,
    /// Connections at once; further ones wait to be accepted. Default 1,000.
    pub max_connections: usize,
    /// Milliseconds that requests under way get to end when the door shuts down. Default 5,000.
    pub shutdown_grace_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/var/lib/ebb/api"),
            names: Vec::new(),
            max_body_bytes: 3 << 20,
            max_upload_bytes: 16 << 30,
            handshake_timeout_ms: 10_000,
            max_connections: 1_000,
            shutdown_grace_ms: 5_000,
        }
    }
}
