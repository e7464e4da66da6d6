//! What may not change.

use serde_json::{Value, json};

use super::*;
use crate::knative::Revision;

#[test]
fn a_revision_does_not_change() {
    let made = |value: Value| -> Revision { serde_json::from_value(value).unwrap() };
    let old = made(json!({"metadata": {"labels": {"serving.knative.dev/service": "a"}}}));
    let mut new = old.clone();
    new.metadata.labels.as_mut().unwrap().insert("team".to_owned(), "b".to_owned());
    assert_eq!(revision(&new, &old), []);
    new.spec.timeout_seconds = Some(1);
    new.metadata.labels = None;
    let fields: Vec<_> = revision(&new, &old).into_iter().map(|f| (f.code, f.field)).collect();
    let want = |field: &str| ("REVISION_IMMUTABLE".to_owned(), Some(field.to_owned()));
    assert_eq!(fields, [want("spec"), want("metadata.labels")]);
}

#[test]
fn what_may_not_change() {
    let named = |image: &str| {
        let mut service = with(CONTAINER, json!({"image": image}));
        let metadata = service.spec.template.metadata.get_or_insert_default();
        metadata.name = Some("hello-v1".to_owned());
        service
    };
    assert!(service(&named("a"), Some(&named("a"))).is_empty());
    let faults = service(&named("b"), Some(&named("a")));
    assert_eq!((faults.len(), faults[0].code.as_str()), (1, "IMMUTABLE_FIELD"));
    let by = |creator: &str| {
        with("/metadata/annotations", json!({"serving.knative.dev/creator": creator}))
    };
    assert_eq!(service(&by("a"), Some(&by("b")))[0].code, "IMMUTABLE_FIELD");
}
