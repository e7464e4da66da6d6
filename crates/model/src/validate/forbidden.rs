//! What would reach out of the sandbox: refused by its own name, besides the field that it is in,
//! so that nobody waits for it to be supported one day.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, SecurityContext, VolumeMount};
use serde_json::Value;

use super::fault;
use crate::Fault;
use crate::knative::RevisionSpec;

/// Trees of the sandbox itself: nothing is mounted there or below.
const OWN_TREES: &[&str] = &["/dev", "/proc", "/sys"];
/// Longest path that the kernel takes (`PATH_MAX` with its end).
const PATH_MAX: usize = 4_095;

/// What is forbidden in a revision's own fields, which are at the path `at`.
pub(super) fn pod(spec: &RevisionSpec, at: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let volumes = spec.volumes.as_ref().and_then(Value::as_array).into_iter().flatten();
    for (index, volume) in volumes.enumerate() {
        if volume.get("hostPath").is_some_and(|path| !path.is_null()) {
            faults.push(forbidden(format!("{at}.volumes[{index}].hostPath"), "a path of its host"));
        }
    }
    let at = format!("{at}.securityContext");
    let context = spec.security_context.as_ref().unwrap_or(&Value::Null);
    if context["sysctls"].as_array().is_some_and(|list| !list.is_empty()) {
        faults.push(forbidden(format!("{at}.sysctls"), "settings of its host's kernel"));
    }
    for field in ["seccompProfile", "appArmorProfile"] {
        if context[field]["type"] == "Unconfined" {
            faults.push(forbidden(format!("{at}.{field}"), "fewer limits than others"));
        }
    }
    faults
}

/// What is forbidden in a container at the path `at`, and where nothing can be mounted.
pub(super) fn container(container: &Container, at: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if let Some(context) = &container.security_context {
        faults.extend(privileges(context, &format!("{at}.securityContext")));
    }
    if container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        faults.push(forbidden(format!("{at}.volumeDevices"), "a device of its host"));
    }
    faults.extend(mounts(container.volume_mounts.as_deref().unwrap_or_default(), at));
    faults
}

fn forbidden(field: String, what: &str) -> Fault {
    let message = format!("this is not allowed: an instance never gets {what}");
    fault("FORBIDDEN_FIELD", field, message).hint("remove it")
}

fn privileges(context: &SecurityContext, at: &str) -> Vec<Fault> {
    let added = context.capabilities.as_ref().and_then(|capabilities| capabilities.add.as_ref());
    let unconfined = |type_: Option<&str>| type_ == Some("Unconfined");
    let fields = [
        ("privileged", context.privileged == Some(true)),
        ("allowPrivilegeEscalation", context.allow_privilege_escalation == Some(true)),
        ("capabilities.add", added.is_some_and(|added| !added.is_empty())),
        ("procMount", context.proc_mount.as_deref() == Some("Unmasked")),
        ("seccompProfile", unconfined(context.seccomp_profile.as_ref().map(|p| p.type_.as_str()))),
        ("appArmorProfile", {
            unconfined(context.app_armor_profile.as_ref().map(|p| p.type_.as_str()))
        }),
    ];
    let set = fields.into_iter().filter(|(_, set)| *set);
    set.map(|(field, _)| forbidden(format!("{at}.{field}"), "privileges on its host")).collect()
}

fn mounts(mounts: &[VolumeMount], at: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, mount) in mounts.iter().enumerate() {
        let field = format!("{at}.volumeMounts[{index}].mountPath");
        let path = mount.mount_path.as_str();
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let plain = format!("/{}", parts.join("/"));
        let own = |tree: &&&str| plain == **tree || plain.starts_with(&format!("{tree}/"));
        let why = if !path.starts_with('/') || path.len() > PATH_MAX || path.contains('\0') {
            Some("an absolute path is needed".to_owned())
        } else if parts.iter().any(|part| matches!(*part, "." | "..")) {
            Some("a path without \".\" and \"..\" is needed".to_owned())
        } else if parts.is_empty() {
            Some("nothing can be mounted over the whole file system".to_owned())
        } else if let Some(tree) = OWN_TREES.iter().find(own) {
            Some(format!("nothing can be mounted in {tree}"))
        } else if !seen.insert(plain.clone()) {
            Some("something else is mounted there already".to_owned())
        } else {
            None
        };
        faults.extend(why.map(|why| fault("INVALID_MOUNT", field, format!("{path:?}: {why}"))));
    }
    faults
}
