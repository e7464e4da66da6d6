//! SelfSubjectReview: who asks (`kubectl auth whoami`).

use ebb_model::k8s::api::authentication::v1::SelfSubjectReview;
use serde_json::{Value, json};

use super::CORE;
use crate::auth::{Principal, Verb};
use crate::protobuf;
use crate::registry::{Backing, Kind, Type};

pub(crate) static KIND: Kind = Kind {
    group: "authentication.k8s.io",
    kind: "SelfSubjectReview",
    plural: "selfsubjectreviews",
    singular: "selfsubjectreview",
    namespaced: false,
    verbs: &[Verb::Create],
    backing: Backing::Answered,
    answer: Some(answer),
    refused: "a review is answered, not stored: send it with POST",
    type_: Type::of::<SelfSubjectReview>(),
    protobuf: Some(protobuf::self_subject_review),
    ..CORE
};

fn answer(principal: Principal, review: &mut Value) {
    let group = match principal {
        Principal::Anonymous => "system:unauthenticated",
        Principal::Admin => "system:authenticated",
    };
    review["status"] = json!({ "userInfo": { "username": principal.name(), "groups": [group] } });
}
