//! `metadata.ownerReferences`: what garbage collection goes by.

use ebb_model::{Fault, Kind as FaultKind};
use serde_json::Value;

/// What is wrong with the owners that an object names.
pub(crate) fn check(object: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let mut controllers = 0;
    for (index, owner) in owners.enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                let message = "Required value: must not be empty";
                let fault = Fault::new("REQUIRED_FIELD", FaultKind::Invalid, message);
                faults.push(fault.at(format!("metadata.ownerReferences[{index}].{field}")));
            }
        }
        controllers += usize::from(owner["controller"] == true);
    }
    if controllers > 1 {
        let message = "only one owner can have controller set to true";
        let fault = Fault::new("INVALID_VALUE", FaultKind::Invalid, message);
        faults.push(fault.at("metadata.ownerReferences"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_owner_is_named_in_full_and_one_controls() {
        let owner = |controller: bool| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "u",
                   "controller": controller})
        };
        let fields = |owners: Value| -> Vec<String> {
            let faults = check(&json!({"metadata": {"ownerReferences": owners}}));
            faults.into_iter().filter_map(|fault| fault.field).collect()
        };
        assert!(fields(json!([owner(true), owner(false)])).is_empty());
        assert_eq!(fields(json!([owner(true), owner(true)])), ["metadata.ownerReferences"]);
        let mut nameless = owner(false);
        nameless["uid"] = json!("");
        assert_eq!(fields(json!([nameless])), ["metadata.ownerReferences[0].uid"]);
    }
}
