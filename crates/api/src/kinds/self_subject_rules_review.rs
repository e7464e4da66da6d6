//! SelfSubjectRulesReview: everything that whoever asks may do in a namespace
//! (`kubectl auth can-i --list`).

use ebb_model::k8s::api::authorization::v1::SelfSubjectRulesReview;
use serde_json::{Value, json};

use super::REVIEW;
use crate::access;
use crate::auth::Principal;
use crate::protobuf;
use crate::registry::{Kind, Type};

pub(crate) static KIND: Kind = Kind {
    kind: "SelfSubjectRulesReview",
    plural: "selfsubjectrulesreviews",
    singular: "selfsubjectrulesreview",
    answer: Some(answer),
    type_: Type::of::<SelfSubjectRulesReview>(),
    protobuf: Some(protobuf::self_subject_rules_review),
    ..REVIEW
};

fn answer(principal: Principal, review: &mut Value) {
    let namespace = review["spec"]["namespace"].as_str().filter(|text| !text.is_empty());
    review["status"] = json!(access::rules(principal, namespace));
}
