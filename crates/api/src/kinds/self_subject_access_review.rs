//! SelfSubjectAccessReview: whether whoever asks may do something (`kubectl auth can-i`).

use ebb_model::k8s::api::authorization::v1::SelfSubjectAccessReview;
use ebb_model::{Fault, Kind as FaultKind};
use serde_json::{Value, json};

use super::{REVIEW, typed};
use crate::access;
use crate::auth::Principal;
use crate::protobuf;
use crate::registry::{Kind, Type};

pub(crate) static KIND: Kind = Kind {
    kind: "SelfSubjectAccessReview",
    plural: "selfsubjectaccessreviews",
    singular: "selfsubjectaccessreview",
    answer: Some(answer),
    type_: Type::of::<SelfSubjectAccessReview>(),
    protobuf: Some(protobuf::self_subject_access_review),
    validate,
    ..REVIEW
};

fn answer(principal: Principal, review: &mut Value) {
    let Ok(asked) = typed::<SelfSubjectAccessReview>(review) else { return };
    review["status"] = json!(access::review(principal, &asked.spec));
}

fn validate(new: &Value, _old: Option<&Value>) -> Vec<Fault> {
    let given = |field: &str| !new["spec"][field].is_null();
    if given("resourceAttributes") != given("nonResourceAttributes") {
        return Vec::new();
    }
    let message = "exactly one of resourceAttributes and nonResourceAttributes must be given";
    vec![Fault::new("INVALID_VALUE", FaultKind::Invalid, message).at("spec")]
}
