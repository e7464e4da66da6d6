use ebb_model::knative::{RevisionStatus, TrafficTarget};
use serde_json::{Value, json};

use super::*;
use crate::conditions::{FALSE, TRUE, UNKNOWN};

fn service(generation: i64, template: &Value) -> Service {
    serde_json::from_value(json!({
        "metadata": {"name": "hello", "namespace": "default", "uid": "u", "generation": generation,
                     "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}",
                                     "team": "a"}},
        "spec": {"template": template},
    }))
    .unwrap()
}

fn template(image: &str) -> Value {
    json!({"spec": {"containers": [{"image": image}]}})
}

fn stored<T>(object: T) -> Stored<T> {
    Stored { object, version: 1 }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn make(observed: &Observed) -> Plan {
    plan(observed, &Config::default(), || "uid".to_owned(), at(1))
}

fn first(template: &Value) -> Observed {
    let service = stored(service(1, template));
    Observed {
        service,
        configuration: None,
        route: None,
        revisions: Vec::new(),
        others: Others::default(),
        route_taken: false,
    }
}

/// What would be observed if the plan had been carried out.
fn carried_out(observed: &Observed, plan: &Plan) -> Observed {
    let mut next = observed.clone();
    next.service.object.status = Some(plan.status.clone());
    next.configuration = Some(stored(plan.history.configuration.clone()));
    next.route = Some(stored(route(plan).clone()));
    next.revisions.extend(plan.history.new_revision.clone().map(stored));
    next
}

fn route(plan: &Plan) -> &Route {
    &plan.routing.as_ref().unwrap().0
}

fn verdict(observed: &mut Observed, revision: &str, verdict: &Verdict) {
    let found = observed.revisions.iter_mut().find(|r| meta::name(&r.object) == revision);
    let status = found.unwrap().object.status.get_or_insert_with(RevisionStatus::default);
    revision::set_progress(&mut status.conditions, verdict, at(2));
}

fn ready(plan: &Plan) -> Verdict {
    Verdict::of(&plan.status.conditions, READY)
}

fn targets(plan: &Plan) -> Vec<(&str, u8)> {
    plan.routing
        .as_ref()
        .unwrap()
        .1
        .targets
        .iter()
        .map(|t| (t.revision.name.as_str(), t.percent))
        .collect()
}

#[test]
fn a_plan_that_is_carried_out_wants_nothing_more() {
    let observed = first(&template("a"));
    let plan = make(&observed);
    let again = carried_out(&observed, &plan);
    let next = make(&again);
    assert!(next.history.new_revision.is_none());
    assert_eq!(next.history.configuration, plan.history.configuration);
    assert_eq!(route(&next), route(&plan));
    assert_eq!(next.status, plan.status);
}

#[test]
fn ready_follows_the_revision() {
    let mut observed = first(&template("a"));
    let plan = make(&observed);
    assert_eq!(ready(&plan).status, UNKNOWN);
    assert_eq!(plan.history.new_revision.as_ref().map(meta::name), Some("hello-00001"));
    assert_eq!(targets(&plan), []);
    observed = carried_out(&observed, &plan);
    for (said, status) in [
        (Verdict::failed("START_FAILED", "no"), FALSE),
        (Verdict::unknown("PullingImage", "pulling"), UNKNOWN),
        (Verdict::ok(), TRUE),
    ] {
        verdict(&mut observed, "hello-00001", &said);
        let plan = make(&observed);
        assert_eq!(ready(&plan).status, status);
        assert_eq!(ready(&plan).reason, said.reason);
        assert_eq!(targets(&plan).len(), usize::from(said.is_true()));
    }
}

#[test]
fn a_new_template_is_a_new_revision_and_nothing_else_is() {
    let mut observed = first(&template("a"));
    observed = carried_out(&observed, &make(&observed));
    verdict(&mut observed, "hello-00001", &Verdict::ok());
    let mut labels = observed.clone();
    labels.service.object.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
    let plan = make(&labels);
    assert!(plan.history.new_revision.is_none());
    assert_eq!(plan.history.configuration.metadata.generation, Some(1));
    assert_eq!(plan.history.configuration.metadata.labels.unwrap()["a"], "b");

    observed.service.object = service(2, &template("b"));
    let plan = make(&observed);
    let new = plan.history.new_revision.as_ref().unwrap();
    assert_eq!(meta::name(new), "hello-00002");
    assert_eq!(meta::configuration_generation(&new.metadata), 2);
    assert_eq!(plan.history.configuration.metadata.generation, Some(2));
    assert_eq!(plan.status.observed_generation, 2);
    assert_eq!(ready(&plan).status, UNKNOWN, "never ready for a generation that is not");
    assert_eq!(targets(&plan), [("hello-00001", 100)]);
    let mut observed = carried_out(&observed, &plan);
    verdict(&mut observed, "hello-00002", &Verdict::failed("IMAGE_NOT_FOUND", "no"));
    let plan = make(&observed);
    assert_eq!(ready(&plan).reason.as_deref(), Some("IMAGE_NOT_FOUND"));
    assert_eq!(Verdict::of(&plan.status.conditions, ROUTES_READY).status, TRUE);
    assert_eq!(targets(&plan), [("hello-00001", 100)]);
}

#[test]
fn names_of_revisions() {
    for (name, code) in [
        ("hello-blue", None),
        ("hello", Some("INVALID_NAME")),
        ("hello-", Some("INVALID_NAME")),
        ("other-1", Some("INVALID_NAME")),
        ("hellox-1", Some("INVALID_NAME")),
        ("hello-Blue", Some("INVALID_NAME")),
        ("", None),
    ] {
        let mut named = template("a");
        named["metadata"] = json!({"name": name});
        let plan = make(&first(&named));
        assert_eq!(ready(&plan).reason.as_deref().filter(|r| r.contains('_')), code, "{name}");
        assert_eq!(plan.history.new_revision.is_some(), code.is_none(), "{name}");
    }
}

#[test]
fn annotations_of_kubectl_stay_where_they_are() {
    let plan = make(&first(&template("a")));
    let annotations = plan.history.configuration.metadata.annotations.unwrap();
    assert_eq!(annotations.keys().collect::<Vec<_>>(), ["team"]);
}

#[test]
fn traffic_table() {
    let mut observed = first(&template("a"));
    observed = carried_out(&observed, &make(&observed));
    verdict(&mut observed, "hello-00001", &Verdict::ok());
    observed.service.object = service(2, &template("b"));
    observed = carried_out(&observed, &make(&observed));
    verdict(&mut observed, "hello-00002", &Verdict::ok());
    observed = carried_out(&observed, &make(&observed));
    let named = |name: &str, percent| TrafficTarget {
        revision_name: Some(name.to_owned()),
        percent: Some(percent),
        ..TrafficTarget::default()
    };
    let latest = |percent| TrafficTarget {
        latest_revision: Some(true),
        percent: Some(percent),
        ..TrafficTarget::default()
    };
    let now = vec![("hello-00002", 100)];
    for (traffic, want, reason) in [
        (vec![], now.clone(), None),
        (vec![latest(100)], now.clone(), None),
        (vec![named("hello-00001", 100)], vec![("hello-00001", 100)], None),
        (
            vec![named("hello-00001", 25), latest(75)],
            vec![("hello-00001", 25), ("hello-00002", 75)],
            None,
        ),
        (vec![named("hello-00001", 0), latest(100)], now.clone(), None),
        (vec![named("hello-00007", 50), latest(50)], now, Some("RevisionMissing")),
    ] {
        let mut asked = observed.clone();
        asked.service.object.spec.traffic.clone_from(&traffic);
        let plan = make(&asked);
        assert_eq!(targets(&plan), want, "{traffic:?}");
        assert_eq!(ready(&plan).reason.as_deref(), reason, "{traffic:?}");
    }
}

#[test]
fn garbage_is_old_and_unused() {
    let mut observed = first(&template("0"));
    for n in 1..=30 {
        observed.service.object = service(n, &template(&n.to_string()));
        observed.service.object.spec.traffic = vec![
            TrafficTarget {
                revision_name: Some("hello-00001".to_owned()),
                percent: Some(100),
                ..TrafficTarget::default()
            };
            usize::from(n > 1)
        ];
        observed = carried_out(&observed, &make(&observed));
        verdict(&mut observed, &format!("hello-{n:05}"), &Verdict::ok());
    }
    let garbage = make(&observed).history.garbage;
    let want: Vec<String> = (2..=9).rev().map(|n| format!("hello-{n:05}")).collect();
    assert_eq!(garbage, want, "neither the latest, nor the routed first, nor the newest 20 others");
}

#[test]
fn a_configuration_that_is_made_again_goes_on_where_it_was() {
    let mut observed = first(&template("a"));
    observed = carried_out(&observed, &make(&observed));
    verdict(&mut observed, "hello-00001", &Verdict::ok());
    observed.service.object = service(2, &template("b"));
    observed = carried_out(&observed, &make(&observed));
    verdict(&mut observed, "hello-00002", &Verdict::ok());
    observed.configuration = None;
    for (image, generation, new) in [("b", 2, false), ("c", 3, true)] {
        observed.service.object = service(3, &template(image));
        let uid = || "another".to_owned();
        let plan = plan(&observed, &Config::default(), uid, at(1));
        assert_eq!(plan.history.configuration.metadata.generation, Some(generation), "{image}");
        assert_eq!(plan.history.new_revision.is_some(), new, "{image}");
        assert_eq!(plan.history.adopted.len(), 2, "{image}");
        assert_eq!(targets(&plan), [("hello-00002", 100)], "{image}");
        let owned = |r: &Stored<Revision>| meta::is_owned_by(&r.object.metadata, Some("another"));
        assert!(plan.history.adopted.iter().all(owned), "{image}");
    }
}

#[test]
fn a_route_of_somebody_else_is_not_written() {
    let mut observed = first(&template("a"));
    observed.route_taken = true;
    let plan = make(&observed);
    assert!(plan.routing.is_none());
    assert_eq!(ready(&plan).reason.as_deref(), Some("NotOwned"));
    let said =
        Verdict::of(&taken(&observed.service.object, "Configuration", at(1)).conditions, READY);
    assert_eq!((said.status, said.reason.as_deref()), (FALSE, Some("NotOwned")));
}

#[test]
fn a_revision_of_somebody_else_keeps_its_name() {
    let mut observed = first(&template("a"));
    observed.others.taken.insert("hello-00001".to_owned());
    let plan = make(&observed);
    assert!(plan.history.new_revision.is_none());
    assert_eq!(ready(&plan).reason.as_deref(), Some("REVISION_NAME_TAKEN"));
}
