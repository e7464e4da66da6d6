//! ConfigMap and Secret.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::Value;

use super::fault;
use crate::Fault;

/// Largest sum of all values, in bytes. As in Kubernetes.
const DATA_MAX: usize = 1 << 20;

fn check_key(key: &str, field: &str) -> Option<Fault> {
    let ok = !key.is_empty()
        && key.len() <= 253
        && key != "."
        && !key.starts_with("..")
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    (!ok).then(|| {
        let message = format!(
            "{key:?} is not allowed as a key: use at most 253 letters, digits, '-', '_' and '.', \
             not starting with \"..\""
        );
        fault("INVALID_NAME", format!("{field}[{key}]"), message)
    })
}

fn check_size(size: usize) -> Option<Fault> {
    (size > DATA_MAX).then(|| {
        let message = format!("{size} bytes are too many: {DATA_MAX} in all are allowed");
        fault("OBJECT_TOO_LARGE", "data", message)
    })
}

fn immutable(field: &str) -> Fault {
    fault("IMMUTABLE_FIELD", field, "field is immutable when `immutable` is set")
}

/// What is wrong with a ConfigMap.
pub fn config_map(new: &ConfigMap, old: Option<&ConfigMap>) -> Vec<Fault> {
    let texts = new.data.iter().flatten();
    let blobs = new.binary_data.iter().flatten();
    let mut faults: Vec<Fault> = texts
        .clone()
        .filter_map(|(key, _)| check_key(key, "data"))
        .chain(blobs.clone().filter_map(|(key, _)| check_key(key, "binaryData")))
        .collect();
    let names: BTreeSet<&String> = texts.clone().map(|(key, _)| key).collect();
    for (key, _) in blobs.clone().filter(|(key, _)| names.contains(key)) {
        let message = format!("{key:?} is in data too: a key may be in one of them only");
        faults.push(fault("DUPLICATE_KEY", format!("binaryData[{key}]"), message));
    }
    let size = texts.map(|(_, text)| text.len()).sum::<usize>();
    faults.extend(check_size(size + blobs.map(|(_, blob)| blob.0.len()).sum::<usize>()));
    if let Some(old) = old.filter(|old| old.immutable == Some(true)) {
        let fields = [
            ("immutable", new.immutable != Some(true)),
            ("data", new.data != old.data),
            ("binaryData", new.binary_data != old.binary_data),
        ];
        faults.extend(fields.iter().filter(|(_, changed)| *changed).map(|(f, _)| immutable(f)));
    }
    faults
}

/// Entries that a type of Secret must have.
fn required(type_: &str) -> &'static [&'static str] {
    match type_ {
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    }
}

/// What is wrong with a Secret. No value of it is in any message.
pub fn secret(new: &Secret, old: Option<&Secret>) -> Vec<Fault> {
    let data = new.data.iter().flatten();
    let mut faults: Vec<Fault> =
        data.clone().filter_map(|(key, _)| check_key(key, "data")).collect();
    faults.extend(check_size(data.map(|(_, value)| value.0.len()).sum()));
    let type_ = new.type_.as_deref().unwrap_or("Opaque");
    for key in required(type_) {
        let value = new.data.as_ref().and_then(|data| data.get(*key));
        let field = format!("data[{key}]");
        match value {
            None => {
                let message = format!("Required value: a Secret of type {type_} has it");
                faults.push(fault("REQUIRED_FIELD", field, message));
            }
            Some(value) if key.starts_with(".docker") => {
                let object = serde_json::from_slice::<Value>(&value.0).is_ok_and(|v| v.is_object());
                if !object {
                    let message = "it is not a JSON object, as Docker's configuration file is";
                    faults.push(fault("INVALID_VALUE", field, message));
                }
            }
            Some(_) => {}
        }
    }
    if let Some(old) = old {
        if old.type_.is_some() && new.type_ != old.type_ {
            faults.push(fault("IMMUTABLE_FIELD", "type", "the type of a Secret cannot be changed"));
        }
        if old.immutable == Some(true) {
            let fields =
                [("immutable", new.immutable != Some(true)), ("data", new.data != old.data)];
            faults.extend(fields.iter().filter(|(_, changed)| *changed).map(|(f, _)| immutable(f)));
        }
    }
    faults
}
