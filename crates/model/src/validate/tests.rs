//! Tests of validation, one file per idea.

mod annotations;
mod any;
mod changes;
mod container;
mod keys;
mod service;
mod traffic;

use serde_json::{Value, json};

use super::*;
use crate::knative::Service;

fn base() -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": "hello", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": [{"image": "hello"}]}}},
    })
}

/// The base with something set at a JSON pointer below the template's spec or elsewhere.
fn with(pointer: &str, value: Value) -> Service {
    let mut object = base();
    let mut node = &mut object;
    for part in pointer.trim_start_matches('/').split('/') {
        node = match part.parse::<usize>() {
            Ok(index) => &mut node[index],
            Err(_) => &mut node[part],
        };
    }
    *node = value;
    let mut service: Service = serde_json::from_value(object).unwrap();
    default_service(&mut service);
    service
}

fn found(service_: &Service) -> Vec<(String, String)> {
    service(service_, None)
        .into_iter()
        .map(|fault| (fault.code, fault.field.unwrap_or_default()))
        .collect()
}

const SPEC: &str = "/spec/template/spec";
const CONTAINER: &str = "/spec/template/spec/containers/0";
const NOTES: &str = "/spec/template/metadata/annotations";
