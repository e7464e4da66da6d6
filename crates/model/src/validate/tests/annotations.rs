//! Annotations that mean something here.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

#[test]
fn annotations_of_the_autoscaler() {
    for (key, value, code) in [
        ("min-scale", "-1", "INVALID_ANNOTATION"),
        ("min-scale", "1.5", "INVALID_ANNOTATION"),
        ("min-scale", "", "INVALID_ANNOTATION"),
        ("min-scale", "+1", "INVALID_ANNOTATION"),
        ("max-scale", "1000000000000", "INVALID_ANNOTATION"),
        ("maxScale", "x", "INVALID_ANNOTATION"),
        ("initial-scale", "0", "INVALID_ANNOTATION"),
        ("initial-scale", "3", "UNSUPPORTED_FIELD"),
        ("window", "5s", "INVALID_ANNOTATION"),
        ("window", "2h", "INVALID_ANNOTATION"),
        ("window", "sixty", "INVALID_ANNOTATION"),
        ("target", "10", "UNSUPPORTED_FIELD"),
        ("class", "hpa.autoscaling.knative.dev", "UNSUPPORTED_FIELD"),
    ] {
        let key = format!("autoscaling.knative.dev/{key}");
        let got = found(&with(NOTES, json!({key.clone(): value})));
        let at = format!("spec.template.metadata.annotations[{key}]");
        assert_eq!(got, [(code.to_owned(), at)], "{key}={value}");
    }
    let both = with(NOTES, json!({MIN_SCALE: "3", MAX_SCALE: "2"}));
    assert_eq!(found(&both).len(), 1);
}

#[test]
fn the_scaling_mode_of_a_service() {
    const MODE: &str = "run.googleapis.com/scalingMode";
    const COUNT: &str = "run.googleapis.com/manualInstanceCount";
    let at = |annotations: Value| found(&with("/metadata/annotations", annotations));
    for right in [
        json!({MODE: "automatic"}),
        json!({MODE: "manual", COUNT: "0"}),
        json!({MODE: "manual", COUNT: "1000"}),
        json!({"run.googleapis.com/ingress": "all"}),
    ] {
        assert_eq!(at(right.clone()), [], "{right}");
    }
    for (wrong, key) in [
        (json!({MODE: "Manual"}), MODE),
        (json!({MODE: "off", COUNT: "1"}), MODE),
        (json!({MODE: "manual"}), COUNT),
        (json!({MODE: "manual", COUNT: "1001"}), COUNT),
        (json!({MODE: "manual", COUNT: "-1"}), COUNT),
        (json!({MODE: "manual", COUNT: "+1"}), COUNT),
        (json!({MODE: "manual", COUNT: ""}), COUNT),
        (json!({MODE: "manual", COUNT: "99999999999"}), COUNT),
        (json!({COUNT: "1"}), COUNT),
        (json!({MODE: "automatic", COUNT: "1"}), COUNT),
    ] {
        let want = [("INVALID_ANNOTATION".to_owned(), format!("metadata.annotations[{key}]"))];
        assert_eq!(at(wrong.clone()), want, "{wrong}");
    }
}

#[test]
fn durations_as_in_go() {
    for (text, millis) in [
        ("0", 0),
        ("60s", 60_000),
        ("1m30s", 90_000),
        ("1.5h", 5_400_000),
        ("500ms", 500),
        (".5s", 500),
        ("1h0m0s", 3_600_000),
    ] {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for bad in ["", "1", "s", "-1s", "1 s", "1d", "1.2.3s", ".s", "99999999999999999999h"] {
        assert_eq!(parse_duration(bad), None, "{bad}");
    }
}
