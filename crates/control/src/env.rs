//! The environment of a container, in Kubernetes' order: what the image sets, then `envFrom`, then
//! `env`, then what the platform promises (`PORT`, `K_SERVICE`, `K_CONFIGURATION`, `K_REVISION`).

use std::collections::BTreeMap;

use ebb_model::k8s::api::core::v1::{ConfigMap, Container, EnvFromSource, EnvVar, Secret};
use ebb_model::{Fault, Kind};

/// `PATH` of a container whose image sets none; the one that container runtimes agree on.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Secrets and config maps of the namespace that the container names, by name.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) secrets: BTreeMap<String, Secret>,
    pub(crate) config_maps: BTreeMap<String, ConfigMap>,
}

/// Names of what a container takes from the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) secrets: Vec<String>,
    pub(crate) config_maps: Vec<String>,
}

impl Wanted {
    pub(crate) fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.config_maps.is_empty()
    }
}

/// Which secrets and config maps the containers name.
pub(crate) fn wanted(containers: &[Container]) -> Wanted {
    let mut wanted = Wanted::default();
    for container in containers {
        for source in container.env_from.iter().flatten() {
            wanted.secrets.extend(source.secret_ref.as_ref().map(|r| r.name.clone()));
            wanted.config_maps.extend(source.config_map_ref.as_ref().map(|r| r.name.clone()));
        }
        for from in container.env.iter().flatten().filter_map(|var| var.value_from.as_ref()) {
            wanted.secrets.extend(from.secret_key_ref.as_ref().map(|r| r.name.clone()));
            wanted.config_maps.extend(from.config_map_key_ref.as_ref().map(|r| r.name.clone()));
        }
    }
    wanted
}

/// Variables by name, in the order in which each name was first set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env(Vec<(String, String)>);

impl Env {
    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }
}

/// What a container runs with: all of it, and the part that `$(NAME)` in its command can name.
pub(crate) struct Environment {
    pub(crate) all: Env,
    pub(crate) own: Env,
}

/// The environment of `container` on an image that sets `image_env`; `promised` comes last and
/// cannot be overridden.
///
/// # Errors
/// `SECRET_NOT_FOUND` and `CONFIGMAP_NOT_FOUND` for a source or key that is not there and not
/// optional; `UNSUPPORTED_FIELD` for a source of another kind.
pub(crate) fn resolve(
    container: &Container,
    image_env: &[(String, String)],
    promised: &[(&str, String)],
    sources: &Sources,
) -> Result<Environment, Fault> {
    let mut own = Env::default();
    for source in container.env_from.iter().flatten() {
        take_all(&mut own, source, sources)?;
    }
    for var in container.env.iter().flatten() {
        let value = match &var.value_from {
            None => Some(expand(var.value.as_deref().unwrap_or_default(), &own)),
            Some(_) => value_from(var, sources)?,
        };
        if let Some(value) = value {
            own.set(&var.name, value);
        }
    }
    for (name, value) in promised {
        own.set(name, value.clone());
    }
    let mut all = Env::default();
    for (name, value) in image_env.iter().chain(&own.0) {
        all.set(name, value.clone());
    }
    if all.get("PATH").is_none() {
        all.set("PATH", PATH.to_owned());
    }
    Ok(Environment { all, own })
}

fn take_all(env: &mut Env, from: &EnvFromSource, sources: &Sources) -> Result<(), Fault> {
    let prefix = from.prefix.as_deref().unwrap_or_default();
    if let Some(wanted) = &from.secret_ref {
        match sources.secrets.get(&wanted.name) {
            Some(secret) => {
                for (name, value) in secret.data.iter().flatten() {
                    env.set(&format!("{prefix}{name}"), text(&wanted.name, name, &value.0)?);
                }
            }
            None if wanted.optional == Some(true) => {}
            None => return Err(secret_missing(&wanted.name, None)),
        }
    }
    if let Some(wanted) = &from.config_map_ref {
        match sources.config_maps.get(&wanted.name) {
            Some(map) => {
                for (name, value) in map.data.iter().flatten() {
                    env.set(&format!("{prefix}{name}"), value.clone());
                }
            }
            None if wanted.optional == Some(true) => {}
            None => return Err(config_map_missing(&wanted.name, None)),
        }
    }
    Ok(())
}

/// The value of a variable that names its source; none when that is optional and not there.
fn value_from(var: &EnvVar, sources: &Sources) -> Result<Option<String>, Fault> {
    let from = var.value_from.as_ref();
    if let Some(wanted) = from.and_then(|from| from.secret_key_ref.as_ref()) {
        let data = sources.secrets.get(&wanted.name).and_then(|secret| secret.data.as_ref());
        return match data.and_then(|data| data.get(&wanted.key)) {
            Some(value) => text(&wanted.name, &wanted.key, &value.0).map(Some),
            None if wanted.optional == Some(true) => Ok(None),
            None => Err(secret_missing(&wanted.name, Some(&wanted.key))),
        };
    }
    if let Some(wanted) = from.and_then(|from| from.config_map_key_ref.as_ref()) {
        let data = sources.config_maps.get(&wanted.name).and_then(|map| map.data.as_ref());
        return match data.and_then(|data| data.get(&wanted.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if wanted.optional == Some(true) => Ok(None),
            None => Err(config_map_missing(&wanted.name, Some(&wanted.key))),
        };
    }
    let message = format!(
        "the variable {} takes its value from a source that is not supported: use value, \
         secretKeyRef or configMapKeyRef",
        var.name
    );
    Err(Fault::new("UNSUPPORTED_FIELD", Kind::Invalid, message))
}

fn text(secret: &str, key: &str, value: &[u8]) -> Result<String, Fault> {
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => {
            let message = format!(
                "the key {key:?} of secret {secret:?} is not text, so it cannot be a variable"
            );
            Err(Fault::new("SECRET_NOT_TEXT", Kind::Invalid, message))
        }
    }
}

pub(crate) fn secret_missing(name: &str, key: Option<&str>) -> Fault {
    missing("SECRET_NOT_FOUND", "secret", name, key)
}

fn config_map_missing(name: &str, key: Option<&str>) -> Fault {
    missing("CONFIGMAP_NOT_FOUND", "config map", name, key)
}

fn missing(code: &str, kind: &str, name: &str, key: Option<&str>) -> Fault {
    let message = match key {
        Some(key) => format!(
            "the {kind} {name:?} with the key {key:?} does not exist: create it, or mark the \
             reference optional"
        ),
        None => {
            format!("the {kind} {name:?} does not exist: create it, or mark the reference optional")
        }
    };
    Fault::new(code, Kind::NotFound, message)
}

/// Replaces `$(NAME)` by the variable; `$$` stands for `$`, and a name that is not set stays as it
/// is (Kubernetes, "Define dependent environment variables").
pub(crate) fn expand(text: &str, env: &Env) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        if let Some(after) = tail.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = tail.strip_prefix('(').and_then(|t| t.split_once(')')) {
            if let Some(value) = env.get(name) {
                out.push_str(value);
            } else {
                out.push_str("$(");
                out.push_str(name);
                out.push(')');
            }
            rest = after;
        } else {
            out.push('$');
            rest = tail;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
