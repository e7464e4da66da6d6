//! Shares of a Service and of a Route, and which revisions they may go to.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

#[test]
fn shares_of_traffic() {
    for (traffic, at) in [
        (json!([{"latestRevision": true, "percent": 99}]), "spec.traffic"),
        (json!([{"latestRevision": true, "percent": 101}]), "spec.traffic[0].percent"),
        (
            json!([{"latestRevision": true, "revisionName": "a-1", "percent": 100}]),
            "spec.traffic[0].latestRevision",
        ),
        (json!([{"latestRevision": false, "percent": 100}]), "spec.traffic[0].revisionName"),
        (
            json!([{"revisionName": "a", "percent": 50}, {"revisionName": "a", "percent": 50}]),
            "spec.traffic[1]",
        ),
        (json!([{"latestRevision": true, "percent": 100, "tag": "x"}]), "spec.traffic[0].tag"),
        (json!([{"latestRevision": true, "percent": 100, "url": "x"}]), "spec.traffic[0].url"),
        (json!([{"revisionName": "A", "percent": 100}]), "spec.traffic[0].revisionName"),
    ] {
        let got = found(&with("/spec/traffic", traffic.clone()));
        assert_eq!(got.first().map(|(_, field)| field.as_str()), Some(at), "{traffic}: {got:?}");
    }
    let negative = json!([{"revisionName": "a", "percent": 110}, {"latestRevision": true,
        "percent": -10}]);
    assert_eq!(found(&with("/spec/traffic", negative)).len(), 2);
}

#[test]
fn shares_of_a_route() {
    for (traffic, at) in [
        (json!([{"configurationName": "a", "percent": 100}]), None),
        (
            json!([{"configurationName": "a", "percent": 60}, {"configurationName": "b",
            "latestRevision": true, "percent": 30}, {"revisionName": "c-1", "percent": 10}]),
            None,
        ),
        (json!([]), Some("spec.traffic")),
        (json!([{"percent": 100}]), Some("spec.traffic[0]")),
        (
            json!([{"configurationName": "a", "revisionName": "b", "percent": 100}]),
            Some("spec.traffic[0]"),
        ),
        (
            json!([{"revisionName": "a", "latestRevision": true, "percent": 100}]),
            Some("spec.traffic[0].latestRevision"),
        ),
        (
            json!([{"configurationName": "a", "latestRevision": false, "percent": 100}]),
            Some("spec.traffic[0].latestRevision"),
        ),
        (
            json!([{"configurationName": "a", "percent": 50}, {"configurationName": "a",
            "percent": 50}]),
            Some("spec.traffic[1]"),
        ),
        (
            json!([{"configurationName": "a", "percent": 100, "tag": "x"}]),
            Some("spec.traffic[0].tag"),
        ),
    ] {
        let value = json!({"metadata": {"name": "a"}, "spec": {"traffic": traffic}});
        let faults = route(&serde_json::from_value(value).unwrap(), None);
        assert_eq!(faults.first().and_then(|f| f.field.as_deref()), at, "{traffic}: {faults:?}");
    }
}

fn to(names: &[&str]) -> Service {
    let shares: Vec<Value> = names.iter().map(|name| json!({"revisionName": name})).collect();
    with("/spec/traffic", json!(shares))
}

/// Field and hint of every fault of a service with the revisions `known`.
fn missing(new: &Service, old: Option<&Service>, known: &[&str]) -> Vec<(String, String)> {
    let known: BTreeSet<String> = known.iter().map(|name| (*name).to_owned()).collect();
    let faults = traffic_revisions(new, old, &known).into_iter();
    faults
        .map(|fault| {
            assert_eq!(fault.code, "REVISION_NOT_FOUND");
            (fault.field.unwrap_or_default(), fault.hint.unwrap_or_default())
        })
        .collect()
}

#[test]
fn a_share_goes_to_a_revision_that_there_is() {
    let two = to(&["hello-00001", "hello-00002"]);
    assert_eq!(missing(&two, None, &["hello-00001", "hello-00002", "hello-00003"]), []);
    let second = "spec.traffic[1].revisionName".to_owned();
    let found = missing(&two, None, &["hello-00001"]);
    assert_eq!(found, [(second, "did you mean hello-00001?".to_owned())]);
    let found = missing(&to(&["elsewhere"]), None, &["hello-00001"]);
    assert!(found[0].1.contains("kubectl get revisions"), "{found:?}");
    assert_eq!(missing(&to(&[]), None, &[]), [], "the latest is not looked for");
    assert_eq!(missing(&to(&["../x", ""]), None, &[]), [], "the name was refused already");
}

#[test]
fn a_share_goes_to_what_the_template_names_or_where_it_went_before() {
    let mut new = to(&["hello-blue"]);
    assert_eq!(missing(&new, None, &[]).len(), 1);
    assert_eq!(missing(&new, Some(&new), &[]), [], "it may have gone since");
    assert_eq!(missing(&new, Some(&to(&["hello-red"])), &[]).len(), 1);
    let metadata = new.spec.template.metadata.get_or_insert_default();
    metadata.name = Some("hello-blue".to_owned());
    assert_eq!(missing(&new, None, &[]), []);
}
