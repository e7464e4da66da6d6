//! What can be set.

use serde::{Deserialize, Serialize};

/// Limits of the gateway. Every field has a default; unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Client connections at once; further ones are answered 503 and closed. Default 20,000.
    pub max_connections: usize,
    /// Milliseconds from the first byte of a request head (or from the connection, for the first
    /// request) until the head must be complete. Default 10,000.
    pub header_timeout_ms: u64,
    /// Milliseconds that a client connection may idle between requests. Default 75,000, as nginx.
    pub keep_alive_ms: u64,
    /// Milliseconds until a connection to an instance must be there. Default 1,000.
    pub connect_timeout_ms: u64,
    /// Idle connections kept per instance. Default 128.
    pub idle_upstreams: usize,
    /// Milliseconds that a connection to an instance may idle. Default 60,000.
    pub upstream_idle_ms: u64,
    /// Milliseconds that requests in flight may take to end after shutdown was called.
    /// Default 30,000.
    pub drain_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            header_timeout_ms: 10_000,
            keep_alive_ms: 75_000,
            connect_timeout_ms: 1_000,
            idle_upstreams: 128,
            upstream_idle_ms: 60_000,
            drain_ms: 30_000,
        }
    }
}
