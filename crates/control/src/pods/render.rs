//! From what is known about an instance to its Pod object.

use std::time::Duration;

use ebb_model::Timestamp;
use ebb_model::engine::ExitRecord;
use ebb_model::k8s::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, Pod, PodCondition, PodIP, PodSpec, PodStatus,
};
use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use ebb_model::knative::{LABEL_REVISION, Revision};

use super::{Ended, View};
use crate::conditions::{FALSE, TRUE};
use crate::instance_spec::{container_name, serving};
use crate::{meta, policy};

/// Name of the container that takes requests.
pub(super) fn main_container(revision: &Revision) -> String {
    let containers = &revision.spec.containers;
    let container = containers.get(serving(containers));
    container.map(|container| container_name(container).to_owned()).unwrap_or_default()
}

pub(super) fn pod(view: &View, name: &str, node: &str) -> Pod {
    let revision = &view.template.revision;
    Pod {
        metadata: metadata(view, name),
        spec: Some(spec(revision, node)),
        status: Some(status(view)),
    }
}

fn metadata(view: &View, name: &str) -> ObjectMeta {
    let of = &view.template.revision.metadata;
    let revision = of.name.clone().unwrap_or_default();
    let own = Duration::from_millis(policy::grace_ms(&view.template.revision));
    let period = view.period.unwrap_or(own);
    let stopping = view.stopping.filter(|_| view.ended.is_none());
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: of.namespace.clone(),
        uid: Some(view.uid.clone()),
        creation_timestamp: Some(time(view.created)),
        deletion_timestamp: stopping.map(|since| time(since.plus(period))),
        deletion_grace_period_seconds: stopping.and_then(|_| i64::try_from(period.as_secs()).ok()),
        labels: Some(meta::labels(of, &[("app", &revision), (LABEL_REVISION, &revision)])),
        annotations: of.annotations.clone(),
        owner_references: Some(vec![meta::owner("Revision", of)]),
        ..ObjectMeta::default()
    }
}

/// The revision's containers without the values of their environment, which may be secret.
fn spec(revision: &Revision, node: &str) -> PodSpec {
    let containers = revision.spec.containers.iter().map(|container| Container {
        name: container_name(container).to_owned(),
        image: container.image.clone(),
        command: container.command.clone(),
        args: container.args.clone(),
        ports: container.ports.clone(),
        resources: container.resources.clone(),
        working_dir: container.working_dir.clone(),
        ..Container::default()
    });
    PodSpec {
        containers: containers.collect(),
        node_name: Some(node.to_owned()),
        restart_policy: Some("Never".to_owned()),
        runtime_class_name: revision.spec.runtime_class_name.clone(),
        termination_grace_period_seconds: i64::try_from(policy::grace_ms(revision) / 1000).ok(),
        ..PodSpec::default()
    }
}

fn status(view: &View) -> PodStatus {
    let (phase, reason) = phase(view);
    let ip = view.ready.and_then(|(_, endpoint)| endpoint).map(|at| at.ip().to_string());
    let containers = view.template.revision.spec.containers.iter();
    PodStatus {
        phase: Some(phase.to_owned()),
        reason: reason.map(str::to_owned),
        message: message(view),
        conditions: Some(conditions(view)),
        container_statuses: Some(containers.map(|c| container_status(view, c)).collect()),
        pod_ip: ip.clone(),
        pod_ips: ip.map(|ip| vec![PodIP { ip }]),
        start_time: Some(time(view.created)),
        qos_class: Some("Burstable".to_owned()),
        ..PodStatus::default()
    }
}

/// Phase of the pod, and the reason for it where it failed.
fn phase(view: &View) -> (&'static str, Option<&'static str>) {
    match &view.ended {
        Some(ended) => match reason(view, ended) {
            "Completed" => ("Succeeded", None),
            reason => ("Failed", Some(reason)),
        },
        None if view.started.is_some() => ("Running", None),
        None => ("Pending", None),
    }
}

/// Why the container ended, in Kubernetes' words. An instance that was told to stop and did is
/// complete, whatever signal it took.
fn reason(view: &View, ended: &Ended) -> &'static str {
    match &ended.record {
        None => "Completed",
        Some(record) if record.oom => "OOMKilled",
        Some(record) if record.start_failure.is_some() => "StartError",
        Some(record) if record.code == Some(0) || view.stopping.is_some() => "Completed",
        Some(_) => "Error",
    }
}

fn message(view: &View) -> Option<String> {
    let record = view.ended.as_ref()?.record.as_ref()?;
    record.start_failure.as_ref().map(|failure| failure.message.clone())
}

fn conditions(view: &View) -> Vec<PodCondition> {
    let is_ready = view.ready.is_some() && view.ended.is_none() && view.stopping.is_none();
    // One that never was ready is not ready since it was made.
    let ready_since = view.ready.map_or(view.created, |(at, _)| {
        let ended = view.ended.as_ref().map(|ended| ended.at);
        view.stopping.into_iter().chain(ended).min().unwrap_or(at)
    });
    let condition = |type_: &str, status: bool, since| PodCondition {
        type_: type_.to_owned(),
        status: if status { TRUE } else { FALSE }.to_owned(),
        last_transition_time: Some(time(since)),
        ..PodCondition::default()
    };
    vec![
        condition("PodScheduled", true, view.created),
        condition("Initialized", true, view.created),
        condition("ContainersReady", is_ready, ready_since),
        condition("Ready", is_ready, ready_since),
    ]
}

fn container_status(view: &View, container: &Container) -> ContainerStatus {
    let name = container_name(container);
    let status = view.template.revision.status.as_ref();
    let mut images = status.iter().flat_map(|status| &status.container_statuses);
    let digest = images.find(|image| image.name == name).map(|image| image.image_digest.clone());
    let is_ready = view.ready.is_some() && view.ended.is_none();
    ContainerStatus {
        name: name.to_owned(),
        image: container.image.clone().unwrap_or_default(),
        image_id: digest.unwrap_or_default(),
        container_id: Some(format!("ebb://{}", view.id)),
        ready: is_ready,
        started: Some(view.ended.is_none() && view.started.is_some()),
        restart_count: 0,
        state: Some(state(view)),
        ..ContainerStatus::default()
    }
}

fn state(view: &View) -> ContainerState {
    match (&view.ended, view.started) {
        (Some(ended), _) => ContainerState {
            terminated: Some(terminated(view, ended)),
            ..ContainerState::default()
        },
        (None, Some(started)) => {
            let running = ContainerStateRunning { started_at: Some(time(started)) };
            ContainerState { running: Some(running), ..ContainerState::default() }
        }
        (None, None) => {
            let reason = Some("ContainerCreating".to_owned());
            let waiting = ContainerStateWaiting { reason, message: None };
            ContainerState { waiting: Some(waiting), ..ContainerState::default() }
        }
    }
}

fn terminated(view: &View, ended: &Ended) -> ContainerStateTerminated {
    let record = ended.record.clone().unwrap_or_default();
    ContainerStateTerminated {
        container_id: Some(format!("ebb://{}", view.id)),
        exit_code: exit_code(&record),
        signal: record.signal,
        reason: Some(reason(view, ended).to_owned()),
        message: message(view),
        started_at: Some(time(view.started.unwrap_or(view.created))),
        finished_at: Some(time(ended.at)),
    }
}

/// Exit code as a shell would say it: 128 and the signal where a signal ended it.
fn exit_code(record: &ExitRecord) -> i32 {
    record.code.or_else(|| record.signal.map(|signal| 128 + signal)).unwrap_or(0)
}

fn time(at: Timestamp) -> Time {
    Time(at.to_jiff())
}
