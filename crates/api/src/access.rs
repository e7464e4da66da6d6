//! What a principal may do, as Kubernetes' reviews ask it. Every answer is `authorize`'s, the same
//! that a request gets.

use std::collections::BTreeMap;

use ebb_model::k8s::api::authorization::v1::{
    NonResourceAttributes, NonResourceRule, ResourceAttributes, ResourceRule,
    SelfSubjectAccessReviewSpec, SubjectAccessReviewStatus, SubjectRulesReviewStatus,
};
use http::Method;

use crate::auth::{Principal, Resource, Verb, authorize};
use crate::context::Query;
use crate::registry::{ALL, KINDS};
use crate::{images, route};

/// Whether `principal` may do what a review asks about.
pub(crate) fn review(
    principal: Principal,
    spec: &SelfSubjectAccessReviewSpec,
) -> SubjectAccessReviewStatus {
    let allowed = match (&spec.resource_attributes, &spec.non_resource_attributes) {
        (Some(resource), None) => may_touch(principal, resource),
        (None, Some(path)) => may_ask(principal, path),
        // Both or none: nothing is asked about, so nothing is allowed.
        _ => false,
    };
    let reason = if allowed { "the holder of the admin token may do everything" } else { "" };
    SubjectAccessReviewStatus {
        allowed,
        reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
        ..SubjectAccessReviewStatus::default()
    }
}

/// The verbs that a name means: itself, or every verb for `*` and for a name that no request has,
/// which so is allowed to those only who may do everything.
fn verbs(name: Option<&str>) -> Vec<Verb> {
    let named = ALL.iter().find(|verb| Some(verb.as_str()) == name);
    named.map_or_else(|| ALL.to_vec(), |verb| vec![*verb])
}

fn may_touch(principal: Principal, asked: &ResourceAttributes) -> bool {
    let given = |text: &'_ Option<String>| text.clone().filter(|text| !text.is_empty());
    let resource = match (given(&asked.resource), given(&asked.subresource)) {
        (resource, None) => resource.unwrap_or_default(),
        (resource, Some(part)) => format!("{}/{part}", resource.unwrap_or_default()),
    };
    let (namespace, name) = (given(&asked.namespace), given(&asked.name));
    let resource = Resource::Object {
        group: asked.group.as_deref().unwrap_or_default(),
        resource,
        namespace: namespace.as_deref(),
        name: name.as_deref(),
    };
    verbs(asked.verb.as_deref())
        .into_iter()
        .all(|verb| authorize(principal, verb, &resource).is_ok())
}

fn may_ask(principal: Principal, asked: &NonResourceAttributes) -> bool {
    let path = asked.path.as_deref().unwrap_or_default();
    let route = route::resolve(&Method::GET, path, &Query::default());
    // What is not there is judged like what says what is there.
    let resource = route.as_ref().map_or(Resource::Discovery, |route| route.access().1);
    verbs(asked.verb.as_deref())
        .into_iter()
        .all(|verb| authorize(principal, verb, &resource).is_ok())
}

/// Everything that `principal` may do in a namespace.
pub(crate) fn rules(principal: Principal, namespace: Option<&str>) -> SubjectRulesReviewStatus {
    let mut by_verbs: BTreeMap<(&str, Vec<&str>), Vec<String>> = BTreeMap::new();
    for (group, resource, namespaced, verbs) in resources() {
        let namespace = namespace.filter(|_| namespaced);
        let what = Resource::Object { group, resource, namespace, name: None };
        let may = |verb: &&Verb| authorize(principal, **verb, &what).is_ok();
        let mut verbs: Vec<&str> = verbs.iter().filter(may).map(|verb| verb.as_str()).collect();
        verbs.sort_unstable();
        if let Resource::Object { resource, .. } = what
            && !verbs.is_empty()
        {
            by_verbs.entry((group, verbs)).or_default().push(resource);
        }
    }
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let resource_rules = by_verbs.into_iter().map(|((group, verbs), resources)| ResourceRule {
        api_groups: Some(vec![group.to_owned()]),
        resource_names: None,
        resources: Some(resources),
        verbs: owned(&verbs),
    });
    let paths: [(Resource<'_>, &[&str]); 2] = [
        (
            Resource::Open,
            &["/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*", "/version"],
        ),
        (Resource::Discovery, &["/", "/api", "/api/*", "/apis", "/apis/*", "/openapi/*"]),
    ];
    let may_ask = paths.iter().filter(|(what, _)| authorize(principal, Verb::Get, what).is_ok());
    let non_resource_rules = may_ask.map(|(_, paths)| NonResourceRule {
        non_resource_urls: Some(owned(paths)),
        verbs: owned(&[Verb::Get.as_str()]),
    });
    SubjectRulesReviewStatus {
        resource_rules: resource_rules.collect(),
        non_resource_rules: non_resource_rules.collect(),
        incomplete: false,
        evaluation_error: None,
    }
}

/// Group, resource, whether it lies in a namespace, and verbs of everything that the door has.
fn resources() -> Vec<(&'static str, String, bool, &'static [Verb])> {
    let mut all = Vec::new();
    for kind in KINDS {
        all.push((kind.group, kind.plural.to_owned(), kind.namespaced, kind.verbs));
        all.extend(kind.subresources.iter().map(|part| {
            let resource = format!("{}/{}", kind.plural, part.as_str());
            (kind.group, resource, kind.namespaced, part.verbs())
        }));
    }
    all.push((
        images::GROUP,
        "images".to_owned(),
        false,
        &[Verb::Create, Verb::Delete, Verb::List],
    ));
    all.push((images::GROUP, "services/explain".to_owned(), true, &[Verb::Get]));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(verb: &str, group: &str, resource: &str) -> SelfSubjectAccessReviewSpec {
        let attributes = ResourceAttributes {
            verb: Some(verb.to_owned()),
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            ..ResourceAttributes::default()
        };
        SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        }
    }

    fn path(path: &str) -> SelfSubjectAccessReviewSpec {
        let attributes =
            NonResourceAttributes { path: Some(path.to_owned()), verb: Some("get".to_owned()) };
        SelfSubjectAccessReviewSpec {
            non_resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        }
    }

    #[test]
    fn the_answer_is_that_of_authorize() {
        for verb in ["get", "create", "deletecollection", "*", "impersonate"] {
            let asked = resource(verb, "serving.knative.dev", "services");
            assert!(review(Principal::Admin, &asked).allowed, "{verb}");
            assert!(!review(Principal::Anonymous, &asked).allowed, "{verb}");
        }
        for (asked, anonymous) in [("/healthz", true), ("/apis", false), ("/nowhere", false)] {
            assert!(review(Principal::Admin, &path(asked)).allowed, "{asked}");
            assert_eq!(review(Principal::Anonymous, &path(asked)).allowed, anonymous, "{asked}");
        }
        assert!(!review(Principal::Admin, &SelfSubjectAccessReviewSpec::default()).allowed);
    }

    #[test]
    fn the_rules_name_every_resource_and_nothing_for_anonymous() {
        let all = rules(Principal::Admin, Some("default"));
        for (group, resource, _, verbs) in resources() {
            let found = all.resource_rules.iter().find(|rule| {
                rule.api_groups.as_ref().is_some_and(|groups| groups.iter().any(|g| g == group))
                    && rule.resources.as_ref().is_some_and(|all| all.contains(&resource))
            });
            assert_eq!(found.map(|rule| rule.verbs.len()), Some(verbs.len()), "{resource}");
        }
        let none = rules(Principal::Anonymous, Some("default"));
        assert!(none.resource_rules.is_empty());
        assert_eq!(none.non_resource_rules.len(), 1);
    }
}
