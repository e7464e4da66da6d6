//! Lease of coordination: who leads, and until when.

use ebb_model::k8s::api::coordination::v1::Lease;
use ebb_model::{Fault, Kind as FaultKind, Timestamp};
use serde_json::Value;

use super::{CORE, subdomain, typed};
use crate::protobuf;
use crate::registry::{Kind, Type};
use crate::table::{AGE, NAME, age, at, column};

pub(crate) static KIND: Kind = Kind {
    group: "coordination.k8s.io",
    kind: "Lease",
    plural: "leases",
    singular: "lease",
    put_creates: true,
    allow_unconditional_update: false,
    columns: &[NAME, column("Holder", "Who holds it."), AGE],
    cells,
    type_: Type::of::<Lease>(),
    protobuf: Some(protobuf::lease),
    validate,
    ..CORE
};

fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        at(object, "/metadata/name"),
        at(object, "/spec/holderIdentity"),
        age(object, "/metadata/creationTimestamp", now),
    ]
}

fn validate(new: &Value, _old: Option<&Value>) -> Vec<Fault> {
    let mut faults = subdomain(new);
    let lease: Lease = match typed(new) {
        Ok(lease) => lease,
        Err(fault) => {
            faults.push(fault);
            return faults;
        }
    };
    let spec = lease.spec.unwrap_or_default();
    let mut wrong = |field: &str, message: &str| {
        let fault = Fault::new("INVALID_VALUE", FaultKind::Invalid, message);
        faults.push(fault.at(format!("spec.{field}")));
    };
    if spec.lease_duration_seconds.is_some_and(|seconds| seconds <= 0) {
        wrong("leaseDurationSeconds", "must be greater than 0");
    }
    if spec.lease_transitions.is_some_and(|transitions| transitions < 0) {
        wrong("leaseTransitions", "must be greater than or equal to 0");
    }
    if spec.strategy.as_deref().is_some_and(|strategy| strategy != "OldestEmulationVersion") {
        wrong("strategy", "OldestEmulationVersion is allowed");
    }
    if spec.preferred_holder.as_deref().is_some_and(|holder| !holder.is_empty())
        && spec.strategy.as_deref().is_none_or(str::is_empty)
    {
        wrong("preferredHolder", "can be set only together with strategy");
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_strategies_are_checked() {
        let fields = |spec: Value| -> Vec<String> {
            let lease = json!({"metadata": {"name": "a"}, "spec": spec});
            let faults = validate(&lease, None);
            faults.into_iter().filter_map(|fault| fault.field).collect()
        };
        let good = json!({"holderIdentity": "me", "leaseDurationSeconds": 15,
            "renewTime": "2024-01-01T00:00:00.000000Z", "leaseTransitions": 0});
        assert!(fields(good).is_empty());
        assert!(fields(Value::Null).is_empty());
        let bad =
            json!({"leaseDurationSeconds": 0, "leaseTransitions": -1, "preferredHolder": "x"});
        let want = ["spec.leaseDurationSeconds", "spec.leaseTransitions", "spec.preferredHolder"];
        assert_eq!(fields(bad), want);
        assert_eq!(fields(json!({"strategy": "Newest"})), ["spec.strategy"]);
    }
}
