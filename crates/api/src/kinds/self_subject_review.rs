//! SelfSubjectReview: who asks (`kubectl auth whoami`).

use ebb_model::k8s::api::authentication::v1::SelfSubjectReview;
use serde_json::{Value, json};

use super::REVIEW;
use crate::auth::Principal;
use crate::protobuf;
use crate::registry::{Kind, Type};

pub(crate) static KIND: Kind = Kind {
    group: "authentication.k8s.io",
    kind: "SelfSubjectReview",
    plural: "selfsubjectreviews",
    singular: "selfsubjectreview",
    answer: Some(answer),
    type_: Type::of::<SelfSubjectReview>(),
    protobuf: Some(protobuf::self_subject_review),
    ..REVIEW
};

fn answer(principal: Principal, review: &mut Value) {
    let group = match principal {
        Principal::Anonymous => "system:unauthenticated",
        Principal::Admin => "system:authenticated",
    };
    review["status"] = json!({ "userInfo": { "username": principal.name(), "groups": [group] } });
}
