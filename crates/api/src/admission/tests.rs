//! Tests of the pipeline.

use std::sync::Mutex;

use ebb_model::Kind as FaultKind;
use serde_json::json;

use super::hooks::{Policy, Quota};
use super::*;
use crate::kinds::{configmap, service};

/// Remembers what it was asked, and answers what it was made to.
#[derive(Default)]
struct Recorder {
    asked: Mutex<Vec<(Operation, String, bool, bool)>>,
    findings: Findings,
}

impl Policy for Recorder {
    fn review(&self, review: &Review<'_>) -> Findings {
        let (old, new) = (review.old.is_some(), review.new.is_some());
        self.asked.lock().unwrap().push((review.operation, review.resource.to_owned(), old, new));
        self.findings.clone()
    }
}

fn policies(findings: Findings) -> (Arc<Recorder>, Hooks) {
    let recorder = Arc::new(Recorder { findings, ..Recorder::default() });
    let hooks = Hooks { policies: vec![recorder.clone()], quotas: Vec::new() };
    (recorder, hooks)
}

fn denied(code: &str) -> Findings {
    let fault = Fault::new(code, FaultKind::Denied, "no").at("data");
    Findings { faults: vec![fault], warnings: vec!["not shown".to_owned()] }
}

fn config_map(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn make(hooks: &Hooks, kind: &Kind, value: Value, objects: u64) -> Result<Admitted, Failure> {
    let place = Place {
        namespace: Some("n"),
        name: None,
        usage: Usage { objects },
        facts: &Facts::default(),
    };
    let tree = Tree { value, duplicates: Vec::new() };
    create(hooks, kind, tree, Strictness::Strict, &place, Timestamp::default())
}

fn change(hooks: &Hooks, kind: &Kind, value: Value, old: &Value) -> Result<Admitted, Failure> {
    let tree = Tree { value, duplicates: Vec::new() };
    update(hooks, kind, tree, Strictness::Strict, (old, &Facts::default()))
}

fn code(failure: &Failure) -> (u16, String) {
    let code = failure.to_json()["details"]["causes"][0]["reason"].clone();
    (failure.status.as_u16(), code.as_str().unwrap_or_default().to_owned())
}

#[test]
fn policies_see_every_write_after_it_was_found_right() {
    let warned = Findings { faults: Vec::new(), warnings: vec!["mind".to_owned()] };
    let (recorder, hooks) = policies(warned);
    assert_eq!(
        make(&hooks, &configmap::KIND, config_map(&json!({"../": "x"})), 0).unwrap_err().status,
        422
    );
    assert!(recorder.asked.lock().unwrap().is_empty());
    let made = make(&hooks, &configmap::KIND, config_map(&json!({"a": "1"})), 0).unwrap();
    assert_eq!(made.warnings, ["mind"]);
    let changed = change(&hooks, &configmap::KIND, config_map(&json!({"a": "2"})), &made.object);
    assert_eq!(changed.unwrap().warnings, ["mind"]);
    delete(&hooks, &configmap::KIND, &made.object).unwrap();
    let maps = || "configmaps".to_owned();
    let want = [
        (Operation::Create, maps(), false, true),
        (Operation::Update, maps(), true, true),
        (Operation::Delete, maps(), true, false),
    ];
    assert_eq!(*recorder.asked.lock().unwrap(), want);
}

#[test]
fn what_a_policy_refuses_is_forbidden_with_its_code() {
    let (_, hooks) = policies(denied("NOT_HERE"));
    let none = Hooks::default();
    let made = make(&none, &configmap::KIND, config_map(&json!({})), 0).unwrap().object;
    let want = (403, "NOT_HERE".to_owned());
    assert_eq!(code(&make(&hooks, &configmap::KIND, config_map(&json!({})), 0).unwrap_err()), want);
    let failure = change(&hooks, &configmap::KIND, config_map(&json!({})), &made).unwrap_err();
    assert_eq!(code(&failure), want);
    assert_eq!(failure.message, r#"configmaps "a" is forbidden: data: no"#);
    assert_eq!(code(&delete(&hooks, &configmap::KIND, &made).unwrap_err()), want);
}

/// Refuses the third of what it counts.
struct Two;

impl Quota for Two {
    fn counts(&self, group: &str, resource: &str) -> bool {
        (group, resource) == ("", "configmaps")
    }

    fn check(&self, _review: &Review<'_>, usage: Usage) -> Option<Fault> {
        let fault = || Fault::new("QUOTA_EXCEEDED", FaultKind::Exhausted, "exceeded quota: two");
        (usage.objects >= 2).then(fault)
    }
}

#[test]
fn quotas_judge_what_is_made_and_counted_only() {
    let hooks = Hooks { policies: Vec::new(), quotas: vec![Arc::new(Two)] };
    assert!(hooks.counts("", "configmaps") && !hooks.counts("", "secrets"));
    let made = make(&hooks, &configmap::KIND, config_map(&json!({})), 1).unwrap();
    let failure = make(&hooks, &configmap::KIND, config_map(&json!({})), 2).unwrap_err();
    assert_eq!(code(&failure), (429, "QUOTA_EXCEEDED".to_owned()));
    assert!(failure.into_response().headers().contains_key("retry-after"));
    assert!(change(&hooks, &configmap::KIND, config_map(&json!({"a": "1"})), &made.object).is_ok());
}

fn configured(image_registries: &[&str], max_objects: u64) -> Hooks {
    let image_registries = image_registries.iter().map(|text| (*text).to_owned()).collect();
    Hooks::default().with(&Config { image_registries, max_objects, ..Config::default() })
}

#[test]
fn the_number_of_objects_is_limited_when_configured() {
    assert!(configured(&[], 0).quotas.is_empty());
    let hooks = configured(&[], 3);
    assert!(hooks.counts("serving.knative.dev", "services") && !hooks.counts("", "events"));
    assert!(make(&hooks, &configmap::KIND, config_map(&json!({})), 2).is_ok());
    let failure = make(&hooks, &configmap::KIND, config_map(&json!({})), 3).unwrap_err();
    assert_eq!(code(&failure), (429, "QUOTA_EXCEEDED".to_owned()));
    for part in ["exceeded quota", "used: configmaps=3", "limited: configmaps=3", "\"n\""] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
}

fn deploy(image: &str) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": {"name": "a"},
        "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
    })
}

#[test]
fn images_come_from_allowed_places() {
    assert!(configured(&[], 0).policies.is_empty());
    let hooks = configured(&["ghcr.io/acme/", "docker.io/library"], 0);
    for image in [
        "nginx",
        "docker.io/library/nginx:1",
        "ghcr.io/acme/a",
        "ghcr.io/acme/a/b@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        assert!(make(&hooks, &service::KIND, deploy(image), 0).is_ok(), "{image}");
    }
    for image in ["ghcr.io/acme-evil/a", "ghcr.io/other", "quay.io/nginx", "me/nginx"] {
        let failure = make(&hooks, &service::KIND, deploy(image), 0).unwrap_err();
        assert_eq!(code(&failure), (403, "IMAGE_POLICY_DENIED".to_owned()), "{image}");
        for part in
            ["api.image_registries", "spec.template.spec.containers[0].image", "ghcr.io/acme"]
        {
            assert!(failure.message.contains(part), "{}", failure.message);
        }
    }
}

#[test]
fn an_image_that_runs_already_stays_allowed() {
    let old = make(&Hooks::default(), &service::KIND, deploy("quay.io/old"), 0).unwrap().object;
    let hooks = configured(&["ghcr.io/acme"], 0);
    let mut labelled = deploy("quay.io/old");
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert!(change(&hooks, &service::KIND, labelled, &old).is_ok());
    assert!(change(&hooks, &service::KIND, deploy("quay.io/new"), &old).is_err());
}

#[test]
fn what_is_not_read_is_not_judged() {
    let (recorder, hooks) = policies(Findings::default());
    let unknown =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "x": 1});
    assert_eq!(make(&hooks, &configmap::KIND, unknown, 0).unwrap_err().status, 400);
    assert!(recorder.asked.lock().unwrap().is_empty());
}
