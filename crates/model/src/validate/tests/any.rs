//! Whatever is sent is answered.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Any JSON, with the field names that matter more likely.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[0-9.]{1,4}(m|Mi|s|h)?".prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("metadata"),
        Just("name"),
        Just("spec"),
        Just("template"),
        Just("containers"),
        Just("image"),
        Just("ports"),
        Just("containerPort"),
        Just("env"),
        Just("valueFrom"),
        Just("resources"),
        Just("limits"),
        Just("cpu"),
        Just("memory"),
        Just("traffic"),
        Just("percent"),
        Just("annotations"),
        Just(WINDOW),
        Just(MIN_SCALE),
        Just("status"),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(|entries| {
                entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_answered(value in any_json()) {
        if let Ok(mut service_) = serde_json::from_value::<Service>(value) {
            let _ = service(&service_, None);
            default_service(&mut service_);
            let once = service_.clone();
            default_service(&mut service_);
            prop_assert_eq!(&once, &service_);
            for fault in service(&service_, Some(&once)) {
                prop_assert!(fault.field.is_some(), "{:?}", fault);
            }
        }
    }

    #[test]
    fn any_template_is_answered(spec in any_json(), notes in any_json()) {
        let value = json!({"metadata": {"name": "a"}, "spec": {"template":
            {"metadata": {"annotations": notes}, "spec": spec}}});
        if let Ok(service_) = serde_json::from_value::<Service>(value) {
            let _ = service(&service_, None);
        }
    }

    #[test]
    fn any_duration_is_answered(text in "[0-9.nuµmsh]{0,70}") {
        let _ = parse_duration(&text);
    }
}
