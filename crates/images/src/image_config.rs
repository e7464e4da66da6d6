//! The strict reader of image configurations (OCI image specification, "config").

use std::collections::BTreeMap;

use ebb_model::Digest;
use ebb_model::image::ImageConfig;
use serde::Deserialize;

use crate::Error;
use crate::error::config_invalid;
use crate::shown::{json, shown};

/// What is read from an image configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// How a container runs.
    pub(crate) run: ImageConfig,
    /// Digests of the uncompressed layers, lowest first.
    pub(crate) diff_ids: Vec<Digest>,
    /// `os/architecture`; absent where the image does not say.
    pub(crate) platform: Option<String>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<Run>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

/// The fields that decide how a container runs. `Healthcheck`, `Volumes`, `OnBuild` and the rest
/// are not read: a service's manifest decides about probes and volumes.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Run {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    exposed_ports: Option<BTreeMap<String, serde_json::Value>>,
    stop_signal: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

/// Longest path or user text, in bytes (`PATH_MAX`).
const TEXT_MAX: usize = 4096;

/// Reads a configuration.
///
/// # Errors
/// `IMAGE_CONFIG_INVALID`, naming the field.
pub(crate) fn parse(bytes: &[u8]) -> Result<Config, Error> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| {
        config_invalid(format!("the image configuration is not valid: {}", json(&error)))
    })?;
    if document.rootfs.kind != "layers" {
        let kind = shown(&document.rootfs.kind);
        return Err(config_invalid(format!("rootfs.type is {kind}, and only layers is allowed")));
    }
    let platform = match (document.os.as_str(), document.architecture.as_str()) {
        ("", "") => None,
        (os, architecture) => Some(format!("{os}/{architecture}")),
    };
    Ok(Config {
        run: run(document.config.unwrap_or_default())?,
        diff_ids: document.rootfs.diff_ids.unwrap_or_default(),
        platform,
    })
}

fn run(raw: Run) -> Result<ImageConfig, Error> {
    let entrypoint = raw.entrypoint.unwrap_or_default();
    let cmd = raw.cmd.unwrap_or_default();
    for word in entrypoint.iter().chain(&cmd) {
        no_nul("Entrypoint and Cmd", word)?;
    }
    let env = raw.env.unwrap_or_default();
    let env = env.iter().map(|pair| variable(pair)).collect::<Result<_, _>>()?;
    let ports = raw.exposed_ports.unwrap_or_default();
    let mut exposed = Vec::new();
    for text in ports.keys() {
        exposed.extend(tcp_port(text)?);
    }
    exposed.sort_unstable();
    exposed.dedup();
    Ok(ImageConfig {
        entrypoint,
        cmd,
        env,
        working_dir: working_dir(&raw.working_dir.unwrap_or_default())?,
        user: short("User", raw.user.unwrap_or_default())?,
        exposed_tcp_ports: exposed,
        stop_signal: stop_signal(raw.stop_signal.unwrap_or_default())?,
        labels: raw.labels.unwrap_or_default(),
    })
}

fn variable(pair: &str) -> Result<(String, String), Error> {
    no_nul("Env", pair)?;
    match pair.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => {
            Err(config_invalid(format!("Env has {}, and only NAME=value is allowed", shown(pair))))
        }
    }
}

/// A port of `ExposedPorts`, when it is of protocol TCP.
fn tcp_port(text: &str) -> Result<Option<u16>, Error> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    match (number.parse::<u16>(), protocol) {
        (Ok(port), "tcp") if digits && port > 0 => Ok(Some(port)),
        (Ok(port), "udp" | "sctp") if digits && port > 0 => Ok(None),
        _ => Err(config_invalid(format!(
            "ExposedPorts has {}, and only 1 to 65535 with /tcp, /udp or /sctp is allowed",
            shown(text)
        ))),
    }
}

/// Absolute, or empty; a relative directory is below the root, as with every other runtime.
fn working_dir(text: &str) -> Result<String, Error> {
    let text = short("WorkingDir", text.to_owned())?;
    Ok(match text.as_str() {
        "" => text,
        absolute if absolute.starts_with('/') => text,
        relative => format!("/{relative}"),
    })
}

/// `SIGTERM`, `TERM`, `SIGRTMIN+3` or `15` (docker's `StopSignal` forms).
fn stop_signal(text: String) -> Result<String, Error> {
    const NAMES: &[&str] = &[
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "IOT", "BUS", "FPE", "KILL", "USR1", "SEGV",
        "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CLD", "CONT", "STOP", "TSTP", "TTIN",
        "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "POLL", "PWR", "SYS",
    ];
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |prefix: &str| {
        let rest = name.strip_prefix(prefix)?;
        let number = if rest.is_empty() { "0" } else { &rest[1..] };
        number.parse::<u8>().ok().filter(|number| *number <= 30)
    };
    let known = text.is_empty()
        || NAMES.contains(&name)
        || text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number))
        || real_time("RTMIN").is_some()
        || real_time("RTMAX").is_some();
    if !known {
        return Err(config_invalid(format!("StopSignal {} is not a signal", shown(&text))));
    }
    Ok(text)
}

fn short(field: &str, text: String) -> Result<String, Error> {
    no_nul(field, &text)?;
    if text.len() > TEXT_MAX {
        return Err(config_invalid(format!("{field} is longer than {TEXT_MAX} bytes")));
    }
    Ok(text)
}

fn no_nul(field: &str, text: &str) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(config_invalid(format!("{field} contains a NUL byte")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
