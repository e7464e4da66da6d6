//! Keeping the number of managers small.

use std::collections::BTreeMap;

use super::managers::{Manager, Managers, Operation, Owned};

/// Entries of operation `Update` that one object has at most, as in Kubernetes.
pub(crate) const MAX_UPDATERS: usize = 10;
/// Name of the manager that the oldest ones become.
const ANCIENT: &str = "ancient-changes";

/// Merges the oldest managers that updated into one per version, until there are few enough.
pub(crate) fn cap(managers: &mut Managers) {
    let mut updaters: Vec<(Manager, Owned)> = managers
        .iter()
        .filter(|(manager, _)| manager.operation == Operation::Update)
        .map(|(manager, owned)| (manager.clone(), owned.clone()))
        .collect();
    let mut left = updaters.len();
    updaters.sort_by(|a, b| a.1.time.cmp(&b.1.time).then_with(|| a.0.cmp(&b.0)));
    let mut first: BTreeMap<String, Manager> = BTreeMap::new();
    for (manager, owned) in updaters {
        if left <= MAX_UPDATERS {
            return;
        }
        let Some(oldest) = first.get(&manager.api_version) else {
            first.insert(manager.api_version.clone(), manager);
            continue;
        };
        let bucket = Manager {
            operation: Operation::Update,
            name: ANCIENT.to_owned(),
            api_version: manager.api_version.clone(),
            subresource: String::new(),
        };
        let before = managers.remove(&bucket).or_else(|| managers.remove(oldest));
        managers.remove(&manager);
        let mut fields = before.map(|before| before.fields).unwrap_or_default();
        fields.absorb(&owned.fields);
        managers.set(&bucket, Owned { time: owned.time, fields });
        left -= 1;
    }
}
