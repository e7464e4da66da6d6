//! The container of a revision.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, ContainerPort, EnvVar, Probe, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{fault, forbidden, unsupported};
use crate::name::{check_label, check_subdomain};
use crate::{Fault, Reference, quantity};

/// Set by the platform in every container (features rows A2 and A4).
const RESERVED_ENV: &[&str] = &["PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"];
/// Longest value of an environment variable, in bytes (features row J1).
const ENV_VALUE_MAX: usize = 32 << 10;
/// Less memory than this starts no program.
const MEMORY_MIN: u64 = 4 << 20;
/// More than any machine has: a slip of the finger (256 TiB is what 48 bits of address reach).
const MEMORY_MAX: u64 = 256 << 40;
/// The same for processors, in thousandths of one.
const CPU_MAX_MILLI: u64 = 10_000_000;

/// What is wrong with a container at the path `at`.
pub(super) fn check(container: &Container, at: &str) -> Vec<Fault> {
    let mut faults: Vec<Fault> = unknown_to_us(container, at);
    faults.extend(forbidden::container(container, at));
    if !container.name.is_empty() {
        faults.extend(check_label(&container.name, &format!("{at}.name"), 63).err());
    }
    faults.extend(image(container, at));
    faults.extend(ports(container.ports.as_deref().unwrap_or_default(), at));
    faults.extend(env(container.env.as_deref().unwrap_or_default(), at));
    if let Some(wanted) = &container.resources {
        faults.extend(resources(wanted, &format!("{at}.resources")));
    }
    if let Some(probe) = &container.readiness_probe {
        let port = container.ports.iter().flatten().next().map(|port| port.container_port);
        faults.extend(readiness(probe, port, &format!("{at}.readinessProbe")));
    }
    if let Some(dir) = container.working_dir.as_deref().filter(|dir| !dir.is_empty()) {
        let ok = dir.starts_with('/') && dir.len() < 4_096 && !dir.contains('\0');
        if !ok {
            let message = format!("{dir:?} is not an absolute path");
            faults.push(fault("INVALID_VALUE", format!("{at}.workingDir"), message));
        }
    }
    for (field, list) in [("command", &container.command), ("args", &container.args)] {
        for (index, text) in list.iter().flatten().enumerate() {
            if text.contains('\0') {
                let message = "a NUL character cannot be passed to a program";
                faults.push(fault("INVALID_VALUE", format!("{at}.{field}[{index}]"), message));
            }
        }
    }
    faults
}

/// Fields that are known and not done.
fn unknown_to_us(container: &Container, at: &str) -> Vec<Fault> {
    let probe = "readiness is a TCP connection to the port; remove it";
    let remove = "remove it";
    let config = "give configuration as environment variables";
    let fields = [
        ("envFrom", container.env_from.is_some(), "name each variable under env"),
        ("lifecycle", container.lifecycle.is_some(), remove),
        ("livenessProbe", container.liveness_probe.is_some(), probe),
        ("startupProbe", container.startup_probe.is_some(), probe),
        ("resizePolicy", container.resize_policy.is_some(), remove),
        ("restartPolicy", container.restart_policy.is_some(), remove),
        ("restartPolicyRules", container.restart_policy_rules.is_some(), remove),
        (
            "securityContext",
            container.security_context.is_some(),
            "remove it; every instance runs \
             confined, without privileges on the host",
        ),
        ("stdin", container.stdin.is_some(), remove),
        ("stdinOnce", container.stdin_once.is_some(), remove),
        ("terminationMessagePath", container.termination_message_path.is_some(), remove),
        ("terminationMessagePolicy", container.termination_message_policy.is_some(), remove),
        ("tty", container.tty.is_some(), remove),
        ("volumeDevices", container.volume_devices.is_some(), remove),
        ("volumeMounts", container.volume_mounts.is_some(), config),
    ];
    let set = fields.into_iter().filter(|(_, set, _)| *set);
    set.map(|(field, _, hint)| unsupported(format!("{at}.{field}"), hint)).collect()
}

fn image(container: &Container, at: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let field = format!("{at}.image");
    match container.image.as_deref().filter(|image| !image.is_empty()) {
        None => {
            let message = "Required value: an image is needed";
            faults.push(fault("REQUIRED_FIELD", field, message));
        }
        Some(image) => {
            faults.extend(image.parse::<Reference>().err().map(|fault| fault.at(field)));
        }
    }
    let policy = container.image_pull_policy.as_deref();
    if !matches!(policy, None | Some("IfNotPresent" | "Always")) {
        faults.push(unsupported(
            format!("{at}.imagePullPolicy"),
            "write IfNotPresent or Always; either way the tag is resolved once, when the revision \
             is made",
        ));
    }
    faults
}

fn ports(ports: &[ContainerPort], at: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if ports.len() > 1 {
        let message = "more than one container port is set: only a single port is allowed";
        faults.push(fault("INVALID_PORT", format!("{at}.ports"), message));
    }
    for (index, port) in ports.iter().enumerate() {
        let at = |field: &str| format!("{at}.ports[{index}].{field}");
        let number = port.container_port;
        if !(1..=65_535).contains(&number) {
            let message = format!("{number} is not a port: 1 to 65535 is allowed");
            faults.push(fault("INVALID_PORT", at("containerPort"), message));
        }
        match port.name.as_deref().unwrap_or_default() {
            "" | "http1" => {}
            "h2c" => faults.push(unsupported(
                at("name"),
                "write http1 or leave it out: requests reach the instance by HTTP/1.1",
            )),
            other => {
                let message = format!(
                    "port name {other:?} is not allowed: leave it out or write \
                     http1"
                );
                faults.push(fault("INVALID_PORT", at("name"), message));
            }
        }
        if !matches!(port.protocol.as_deref(), None | Some("TCP")) {
            faults.push(fault("INVALID_PORT", at("protocol"), "only TCP is allowed"));
        }
        for (field, set) in
            [("hostPort", port.host_port.is_some()), ("hostIP", port.host_ip.is_some())]
        {
            if set {
                let message = "an instance has no port of its host";
                faults.push(fault("FORBIDDEN_FIELD", at(field), message).hint("remove it"));
            }
        }
    }
    faults
}

fn env(env: &[EnvVar], at: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, variable) in env.iter().enumerate() {
        let at = format!("{at}.env[{index}]");
        let name = variable.name.as_str();
        if RESERVED_ENV.contains(&name) {
            let message = format!(
                "{name:?} is a reserved environment variable: the platform sets \
                 it"
            );
            faults.push(fault("RESERVED_ENV", format!("{at}.name"), message).hint("remove it"));
        }
        let ok = !name.is_empty()
            && name.len() <= 512
            && !name.as_bytes()[0].is_ascii_digit()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if !ok {
            let message = format!(
                "{name:?} is not the name of an environment variable: use \
                 letters, digits, '_', '-' and '.', not starting with a digit"
            );
            faults.push(fault("INVALID_NAME", format!("{at}.name"), message));
        }
        if !seen.insert(name) {
            let message = format!("{name:?} is given twice");
            faults.push(fault("DUPLICATE_KEY", format!("{at}.name"), message));
        }
        faults.extend(env_value(variable, &at));
    }
    faults
}

fn env_value(variable: &EnvVar, at: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let value = variable.value.as_deref().unwrap_or_default();
    if value.len() > ENV_VALUE_MAX || value.contains('\0') {
        let message = format!("a value has at most {ENV_VALUE_MAX} bytes and no NUL character");
        faults.push(fault("INVALID_VALUE", format!("{at}.value"), message));
    }
    let Some(from) = &variable.value_from else { return faults };
    let at = format!("{at}.valueFrom");
    if !value.is_empty() {
        faults.push(fault("INVALID_VALUE", &at, "may not be given when value is not empty"));
    }
    let hint = "use value, secretKeyRef or configMapKeyRef";
    for (field, set) in [
        ("fieldRef", from.field_ref.is_some()),
        ("resourceFieldRef", from.resource_field_ref.is_some()),
        ("fileKeyRef", from.file_key_ref.is_some()),
    ] {
        if set {
            faults.push(unsupported(format!("{at}.{field}"), hint));
        }
    }
    let secret = from.secret_key_ref.as_ref().map(|r| ("secretKeyRef", &r.name, &r.key));
    let config = from.config_map_key_ref.as_ref().map(|r| ("configMapKeyRef", &r.name, &r.key));
    if secret.is_some() && config.is_some() {
        faults.push(fault("INVALID_VALUE", &at, "may not have more than one field at a time"));
    }
    for (field, name, key) in secret.into_iter().chain(config) {
        faults.extend(check_subdomain(name, &format!("{at}.{field}.name")).err());
        if key.is_empty() {
            let message = "Required value: the key of an entry is needed";
            faults.push(fault("REQUIRED_FIELD", format!("{at}.{field}.key"), message));
        }
    }
    let nothing = secret_or_config_missing(variable);
    if nothing {
        faults.push(fault("REQUIRED_FIELD", at, "must name one source").hint(hint));
    }
    faults
}

fn secret_or_config_missing(variable: &EnvVar) -> bool {
    variable.value_from.as_ref().is_some_and(|from| {
        from.secret_key_ref.is_none()
            && from.config_map_key_ref.is_none()
            && from.field_ref.is_none()
            && from.resource_field_ref.is_none()
            && from.file_key_ref.is_none()
    })
}

/// Amounts of a resource, in the unit that comparing needs.
fn amount(name: &str, quantity: &Quantity) -> Result<u64, Fault> {
    if name == "cpu" {
        quantity::parse_cpu_milli(&quantity.0)
    } else {
        quantity::parse_bytes(&quantity.0)
    }
}

fn resources(wanted: &ResourceRequirements, at: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if wanted.claims.is_some() {
        faults.push(unsupported(format!("{at}.claims"), "remove it"));
    }
    let limits = amounts(wanted.limits.as_ref(), &format!("{at}.limits"), &mut faults);
    let requests = amounts(wanted.requests.as_ref(), &format!("{at}.requests"), &mut faults);
    for (name, request) in &requests {
        if let Some(limit) = limits.get(name)
            && request > limit
        {
            let message = format!("the request of {name} is greater than its limit");
            faults.push(fault("INVALID_QUANTITY", format!("{at}.requests.{name}"), message));
        }
    }
    faults
}

fn amounts<'a>(
    map: Option<&'a BTreeMap<String, Quantity>>,
    at: &str,
    faults: &mut Vec<Fault>,
) -> BTreeMap<&'a str, u64> {
    let mut amounts = BTreeMap::new();
    for (name, quantity) in map.into_iter().flatten() {
        let field = format!("{at}.{name}");
        if !matches!(name.as_str(), "cpu" | "memory") {
            faults.push(unsupported(field, "cpu and memory can be given"));
            continue;
        }
        let most = if name == "memory" { MEMORY_MAX } else { CPU_MAX_MILLI };
        match amount(name, quantity) {
            Err(fault) => faults.push(fault.at(field)),
            Ok(0) => {
                faults.push(fault("INVALID_QUANTITY", field, "it must be greater than zero"));
            }
            Ok(bytes) if name == "memory" && bytes < MEMORY_MIN => {
                let message = format!("{} is too little memory: 4Mi is the least", quantity.0);
                faults.push(fault("INVALID_QUANTITY", field, message));
            }
            Ok(value) if value > most => {
                let message = format!(
                    "{} is more than any machine has: at most 256Ti of memory and 10000 processors \
                     can be given",
                    quantity.0
                );
                faults.push(fault("INVALID_QUANTITY", field, message));
            }
            Ok(value) => drop(amounts.insert(name.as_str(), value)),
        }
    }
    amounts
}

/// The probe that Knative writes by default is what this platform does anyway: connect to the
/// port. Anything else would be a promise that is not kept.
fn readiness(probe: &Probe, port: Option<i32>, at: &str) -> Vec<Fault> {
    let hint = "remove it, or write tcpSocket with the container's port (or 0) only; readiness is \
         a TCP connection to the port";
    let ours = match &probe.tcp_socket {
        Some(tcp) => {
            let same = match &tcp.port {
                IntOrString::Int(0) => true,
                IntOrString::Int(number) => port == Some(*number),
                IntOrString::String(name) => name.is_empty(),
            };
            same && tcp.host.as_deref().unwrap_or_default().is_empty()
        }
        None => false,
    };
    let mut others = vec![
        ("exec", probe.exec.is_some()),
        ("grpc", probe.grpc.is_some()),
        ("httpGet", probe.http_get.is_some()),
        ("initialDelaySeconds", probe.initial_delay_seconds.unwrap_or(0) != 0),
        ("failureThreshold", probe.failure_threshold.unwrap_or(3) != 3),
        ("periodSeconds", probe.period_seconds.is_some()),
        ("timeoutSeconds", probe.timeout_seconds.unwrap_or(1) != 1),
        ("terminationGracePeriodSeconds", probe.termination_grace_period_seconds.is_some()),
    ];
    others.retain(|(_, set)| *set);
    let mut faults: Vec<Fault> =
        others.iter().map(|(field, _)| unsupported(format!("{at}.{field}"), hint)).collect();
    // `successThreshold: 1` is what one connection is.
    if probe.success_threshold.unwrap_or(1) != 1 {
        faults.push(unsupported(format!("{at}.successThreshold"), hint));
    }
    if !ours && faults.is_empty() {
        faults.push(unsupported(format!("{at}.tcpSocket"), hint));
    }
    faults
}
