//! What the gateway knows: routes from host to revisions, and endpoints of revisions.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{InstanceId, RevisionKey, Timestamp};

/// Every route, as one snapshot that replaces the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTable {
    /// By host name in lower case, without port.
    pub hosts: BTreeMap<String, Arc<RouteEntry>>,
}

/// Where requests for one host go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteEntry {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Revisions with their share in percent, in the order of `status.traffic`; shares sum to 100.
    /// Empty: the Service exists and has no revision that was ever ready.
    pub targets: Vec<RouteTarget>,
    /// The Service was scaled to no instances by hand: its requests are refused.
    #[serde(default)]
    pub stopped: bool,
}

/// One revision that takes a share of a host's requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTarget {
    /// Which revision.
    pub revision: RevisionKey,
    /// Share in percent.
    pub percent: u8,
    /// How its requests are held and sent.
    pub policy: RequestPolicy,
}

/// How requests of one revision are held and sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestPolicy {
    /// Requests that one instance takes at once; 0 means no limit.
    pub concurrency: u32,
    /// Time from arrival to the end of the response, in milliseconds; then 504.
    pub timeout_ms: u64,
    /// Requests that may be held for the revision at once; then 503.
    pub hold_limit: u32,
}

/// An instance that takes requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Which instance.
    pub id: InstanceId,
    /// Where it listens.
    pub address: SocketAddr,
}

/// What happens at a revision just now, read from the gateway's own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Requests that wait for an instance.
    pub held: u32,
    /// Requests that an instance works on.
    pub in_flight: u32,
    /// When the last request arrived or ended; none when there was none yet.
    pub last_active: Option<Timestamp>,
}

/// The gateway's part of a cold request, reported when its first byte was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColdRequest {
    /// Which revision had no ready instance.
    pub revision: RevisionKey,
    /// Instance that answered it.
    pub instance: InstanceId,
    /// When the request arrived.
    pub arrived: Timestamp,
    /// From arrival until the gateway asked for an instance, in microseconds.
    pub queue_us: u64,
    /// From arrival until it was sent to an instance, in microseconds.
    pub held_us: u64,
    /// From there until the first byte of the response came back, in microseconds.
    pub first_byte_us: u64,
}

/// A cold request, whole: where its time went, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ColdPhases {
    /// From arrival until the gateway asked for an instance.
    pub queue_us: u64,
    /// Until the engine was told to start one.
    pub schedule_us: u64,
    /// Attaching the root filesystem.
    pub rootfs_us: u64,
    /// Making namespaces, cgroup, network and the trees in it.
    pub create_us: u64,
    /// Until `exec` succeeded.
    pub start_us: u64,
    /// Until its port accepted a connection and the gateway knew.
    pub ready_us: u64,
    /// Until the first byte of the response came back.
    pub first_byte_us: u64,
}

impl ColdPhases {
    /// Sum of all phases, in microseconds.
    pub const fn total_us(&self) -> u64 {
        self.queue_us
            + self.schedule_us
            + self.rootfs_us
            + self.create_us
            + self.start_us
            + self.ready_us
            + self.first_byte_us
    }
}
