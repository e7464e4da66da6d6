//! The Node object: the machine as Kubernetes clients see it.

use std::collections::BTreeMap;

use ebb_model::k8s::api::core::v1::{
    Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo,
};
use ebb_model::k8s::apimachinery::pkg::api::resource::Quantity;
use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use ebb_model::quantity::{format_bytes, format_cpu_milli};
use ebb_model::{Timestamp, key};
use ebb_store::Store;

use crate::config::Config;
use crate::error::Error;
use crate::ids::Ids;
use crate::objects;
use crate::reasons;

/// Writes the Node object.
pub(crate) async fn write(live: &dyn Store, config: &Config, now: Timestamp) -> Result<(), Error> {
    let key = key::object("", "nodes", "", &config.node.name);
    objects::put_live(live, key, &node(config, now)).await
}

/// The identity of the Node: the same after every start, as what the Node owns must not lose its
/// owner when the daemon ends.
fn uid(config: &Config) -> String {
    let cell = u64::from_str_radix(&config.cell, 16).unwrap_or_default();
    Ids::new(Some(cell)).uid()
}

fn node(config: &Config, now: Timestamp) -> Node {
    let machine = &config.node;
    let labels = [
        ("kubernetes.io/hostname", machine.name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", &machine.architecture),
        ("ebb.dev/cell", &config.cell),
    ];
    let amounts = BTreeMap::from([
        ("cpu".to_owned(), Quantity(format_cpu_milli(machine.cpu_milli))),
        ("memory".to_owned(), Quantity(format_bytes(machine.memory_bytes))),
        ("pods".to_owned(), Quantity(machine.instances.to_string())),
    ]);
    let version = format!("ebb-{}", env!("CARGO_PKG_VERSION"));
    Node {
        metadata: ObjectMeta {
            name: Some(machine.name.clone()),
            uid: Some(uid(config)),
            creation_timestamp: Some(Time(now.to_jiff())),
            labels: Some(labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec::default()),
        status: Some(NodeStatus {
            capacity: Some(amounts.clone()),
            allocatable: Some(amounts),
            addresses: Some(vec![NodeAddress {
                type_: "Hostname".to_owned(),
                address: machine.name.clone(),
            }]),
            conditions: Some(vec![NodeCondition {
                type_: "Ready".to_owned(),
                status: "True".to_owned(),
                reason: Some(reasons::ENGINE_READY.to_owned()),
                message: Some("the engine runs instances".to_owned()),
                last_heartbeat_time: Some(Time(now.to_jiff())),
                last_transition_time: Some(Time(now.to_jiff())),
            }]),
            node_info: Some(NodeSystemInfo {
                architecture: machine.architecture.clone(),
                container_runtime_version: format!("ebb://{}", env!("CARGO_PKG_VERSION")),
                kernel_version: machine.kernel_version.clone(),
                kubelet_version: version,
                operating_system: "linux".to_owned(),
                os_image: machine.os_image.clone(),
                ..NodeSystemInfo::default()
            }),
            ..NodeStatus::default()
        }),
    }
}
