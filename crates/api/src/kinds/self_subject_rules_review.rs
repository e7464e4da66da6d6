//! SelfSubjectRulesReview: everything that whoever asks may do in a namespace
//! (`kubectl auth can-i --list`).

use ebb_model::k8s::api::authorization::v1::SelfSubjectRulesReview;
use serde_json::{Value, json};

use super::CORE;
use crate::access;
use crate::auth::{Principal, Verb};
use crate::protobuf;
use crate::registry::{Backing, Kind, Type};

pub(crate) static KIND: Kind = Kind {
    group: "authorization.k8s.io",
    kind: "SelfSubjectRulesReview",
    plural: "selfsubjectrulesreviews",
    singular: "selfsubjectrulesreview",
    namespaced: false,
    verbs: &[Verb::Create],
    backing: Backing::Answered,
    answer: Some(answer),
    refused: "a review is answered, not stored: send it with POST",
    type_: Type::of::<SelfSubjectRulesReview>(),
    protobuf: Some(protobuf::self_subject_rules_review),
    ..CORE
};

fn answer(principal: Principal, review: &mut Value) {
    let namespace = review["spec"]["namespace"].as_str().filter(|text| !text.is_empty());
    review["status"] = json!(access::rules(principal, namespace));
}
