//! From a revision and its images to what the engine runs.

use std::collections::BTreeMap;

use ebb_model::engine::{ContainerSpec, InstanceSpec, RestartPolicy};
use ebb_model::image::{ImageConfig, RootFsLayout};
use ebb_model::k8s::api::core::v1::Container;
use ebb_model::knative::{LABEL_CONFIGURATION, LABEL_SERVICE, Revision};
use ebb_model::{Fault, Kind, reserve};

use crate::env::{self, Env, Sources};
use crate::policy;

/// Name of a container that has none, as in Knative.
pub(crate) const CONTAINER: &str = "user-container";
/// Port when neither the manifest nor the image says one.
const PORT: u16 = 8080;

/// Everything that an instance of the revision is made from.
pub(crate) struct Parts<'a> {
    pub(crate) revision: &'a Revision,
    /// One per container, in their order.
    pub(crate) layouts: Vec<RootFsLayout>,
    pub(crate) sources: &'a Sources,
    /// Time from start to ready, in milliseconds.
    pub(crate) start_timeout_ms: u64,
}

/// What the engine runs. The name is that of the revision; each instance gets its own.
///
/// # Errors
/// `IMAGE_NO_COMMAND` when nothing says what to run, and those of [`env::resolve`].
pub(crate) fn build(parts: Parts<'_>) -> Result<InstanceSpec, Fault> {
    let revision = parts.revision;
    let serving = serving(&revision.spec.containers);
    let mut containers = Vec::new();
    for (at, (container, layout)) in revision.spec.containers.iter().zip(parts.layouts).enumerate()
    {
        let port = (at == serving).then(|| port(container, &layout.config));
        containers.push(one(revision, container, layout, port, parts.sources)?);
    }
    let runtime = revision.spec.runtime_class_name.clone();
    Ok(InstanceSpec {
        namespace: revision.metadata.namespace.clone().unwrap_or_default(),
        name: revision.metadata.name.clone().unwrap_or_default(),
        init: Vec::new(),
        containers,
        restart_policy: RestartPolicy::Never,
        runtime: runtime.unwrap_or_else(|| "ebb".to_owned()),
        grace_ms: policy::grace_ms(revision),
        start_timeout_ms: parts.start_timeout_ms,
        labels: revision.metadata.labels.clone().unwrap_or_default(),
    })
}

/// Name of a container.
pub(crate) fn container_name(container: &Container) -> &str {
    if container.name.is_empty() { CONTAINER } else { &container.name }
}

/// Which container takes requests: the one with a port, else the first.
pub(crate) fn serving(containers: &[Container]) -> usize {
    let has_port = |c: &Container| c.ports.as_ref().is_some_and(|ports| !ports.is_empty());
    containers.iter().position(has_port).unwrap_or(0)
}

/// Port that takes requests: the manifest's, else the only one that the image exposes, else 8080.
pub(crate) fn port(container: &Container, image: &ImageConfig) -> u16 {
    let declared = container.ports.iter().flatten().next();
    let declared = declared.and_then(|port| u16::try_from(port.container_port).ok());
    declared.filter(|port| *port != 0).unwrap_or(match image.exposed_tcp_ports[..] {
        [only] => only,
        _ => PORT,
    })
}

fn one(
    revision: &Revision,
    container: &Container,
    layout: RootFsLayout,
    port: Option<u16>,
    sources: &Sources,
) -> Result<ContainerSpec, Fault> {
    let label = |name| {
        let labels = revision.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(name)).cloned().unwrap_or_default()
    };
    let mut promised = Vec::new();
    if let Some(port) = port {
        promised.push(("PORT", port.to_string()));
    }
    promised.push(("K_SERVICE", label(LABEL_SERVICE)));
    promised.push(("K_CONFIGURATION", label(LABEL_CONFIGURATION)));
    promised.push(("K_REVISION", revision.metadata.name.clone().unwrap_or_default()));
    let environment = env::resolve(container, &layout.config.env, &promised, sources)?;
    let argv = argv(container, &layout.config, &environment.own);
    if argv.is_empty() {
        return Err(Fault::new(
            "IMAGE_NO_COMMAND",
            Kind::Invalid,
            format!(
                "the image {} says neither ENTRYPOINT nor CMD: set command on the container, or \
                 build the image with one",
                container.image.as_deref().unwrap_or_default()
            ),
        ));
    }
    let working_dir = container.working_dir.clone().unwrap_or_default();
    let working_dir = [working_dir, layout.config.working_dir.clone(), "/".to_owned()]
        .into_iter()
        .find(|dir| !dir.is_empty())
        .unwrap_or_default();
    let security = container.security_context.as_ref();
    Ok(ContainerSpec {
        name: container_name(container).to_owned(),
        argv,
        env: environment.all.into_pairs(),
        working_dir,
        user: user(container, &layout.config),
        port,
        limits: limits(container)?,
        read_only: security.and_then(|s| s.read_only_root_filesystem) == Some(true),
        rootfs: layout,
    })
}

/// Program and arguments (Kubernetes, "Define a Command and Arguments for a Container"): a command
/// replaces the image's ENTRYPOINT and CMD, arguments alone replace its CMD.
fn argv(container: &Container, image: &ImageConfig, env: &Env) -> Vec<String> {
    let given = |list: &Option<Vec<String>>| list.clone().filter(|list| !list.is_empty());
    let expand = |list: Vec<String>| list.iter().map(|arg| env::expand(arg, env)).collect();
    match (given(&container.command), given(&container.args)) {
        (Some(command), args) => expand([command, args.unwrap_or_default()].concat()),
        (None, Some(args)) => [image.entrypoint.clone(), expand(args)].concat(),
        (None, None) => [image.entrypoint.clone(), image.cmd.clone()].concat(),
    }
}

/// User: the manifest's ids, else the image's `User`.
fn user(container: &Container, image: &ImageConfig) -> String {
    let security = container.security_context.as_ref();
    let (uid, gid) = (security.and_then(|s| s.run_as_user), security.and_then(|s| s.run_as_group));
    match (uid, gid) {
        (Some(uid), Some(gid)) => format!("{uid}:{gid}"),
        (Some(uid), None) => uid.to_string(),
        (None, Some(gid)) => {
            let name = image.user.split(':').next().filter(|name| !name.is_empty());
            format!("{}:{gid}", name.unwrap_or("0"))
        }
        (None, None) => image.user.clone(),
    }
}

/// Limits by resource name.
fn limits(container: &Container) -> Result<BTreeMap<String, u64>, Fault> {
    let resources = container.resources.as_ref();
    let [cpu, memory] = ["cpu", "memory"].map(|name| {
        let [request, limit] = [
            resources.and_then(|r| r.requests.as_ref()),
            resources.and_then(|r| r.limits.as_ref()),
        ]
        .map(|amounts| amounts.and_then(|amounts| amounts.get(name)).map(|q| q.0.as_str()));
        (request, limit)
    });
    Ok(BTreeMap::from([
        ("cpu".to_owned(), reserve::cpu_milli(cpu.0, cpu.1)?),
        ("memory".to_owned(), reserve::memory_bytes(memory.0, memory.1)?),
    ]))
}

#[cfg(test)]
mod tests;
