//! `metadata.managedFields`: who owns which fields.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::set::Set;

/// The only form of sets of fields that there is.
const FIELDS_TYPE: &str = "FieldsV1";

/// How a manager came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    /// By server-side apply: what it leaves out is removed.
    Apply,
    /// By any other write.
    Update,
}

impl Operation {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who owns fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Manager {
    /// How.
    pub(crate) operation: Operation,
    /// Name that the client gave itself.
    pub(crate) name: String,
    /// Version that it wrote.
    pub(crate) api_version: String,
    /// Subresource through which it wrote; empty for the object itself.
    pub(crate) subresource: String,
}

/// What makes it another owner. One that applies stays the same in another version.
type Key = (Operation, String, String, String);

impl Manager {
    fn key(&self) -> Key {
        let version = match self.operation {
            Operation::Apply => String::new(),
            Operation::Update => self.api_version.clone(),
        };
        (self.operation, self.name.clone(), version, self.subresource.clone())
    }
}

/// What one manager owns, since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    /// RFC 3339 time of the last change of the set, as text; absent in hand-made entries.
    pub(crate) time: Option<String>,
    /// Its fields.
    pub(crate) fields: Set,
}

/// Every manager of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Managers(BTreeMap<Key, (Manager, Owned)>);

impl Managers {
    /// From `metadata.managedFields`.
    ///
    /// # Errors
    /// What is wrong with an entry.
    pub(crate) fn decode(list: &Value) -> Result<Self, String> {
        let mut managers = Self::default();
        for entry in list.as_array().into_iter().flatten() {
            let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            let operation = match entry["operation"].as_str() {
                Some("Apply") => Operation::Apply,
                Some("Update") => Operation::Update,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            let (name, api_version) = (text("manager"), text("apiVersion"));
            if api_version.is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            if entry["fieldsType"] != FIELDS_TYPE {
                return Err(format!("fieldsType must be `{FIELDS_TYPE}`"));
            }
            let fields = match entry.get("fieldsV1") {
                None | Some(Value::Null) => Set::default(),
                Some(fields) => Set::decode(fields)?,
            };
            let subresource = text("subresource");
            let manager = Manager { operation, name, api_version, subresource };
            let time = Some(text("time")).filter(|time| !time.is_empty());
            managers.set(&manager, Owned { time, fields });
        }
        Ok(managers)
    }

    /// As `metadata.managedFields`: those that apply first, then by time.
    pub(crate) fn encode(&self) -> Value {
        let mut entries: Vec<(&Manager, &Owned)> = self.iter().collect();
        entries.sort_by_key(|(manager, owned)| {
            (manager.operation, &owned.time, &manager.name, &manager.api_version)
        });
        let entries = entries.into_iter().map(|(manager, owned)| {
            let mut entry = json!({
                "manager": manager.name,
                "operation": manager.operation.as_str(),
                "apiVersion": manager.api_version,
                "fieldsType": FIELDS_TYPE,
                "fieldsV1": owned.fields.encode(),
            });
            if let Some(time) = &owned.time {
                entry["time"] = json!(time);
            }
            if !manager.subresource.is_empty() {
                entry["subresource"] = json!(manager.subresource);
            }
            entry
        });
        entries.collect()
    }

    /// Whether nobody owns anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every manager with what it owns.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Manager, &Owned)> {
        self.0.values().map(|(manager, owned)| (manager, owned))
    }

    /// What a manager owns.
    #[cfg(test)]
    pub(crate) fn get(&self, manager: &Manager) -> Option<&Owned> {
        self.0.get(&manager.key()).map(|(_, owned)| owned)
    }

    /// Takes a manager out.
    pub(crate) fn remove(&mut self, manager: &Manager) -> Option<Owned> {
        self.0.remove(&manager.key()).map(|(_, owned)| owned)
    }

    /// Makes a manager own exactly this.
    pub(crate) fn set(&mut self, manager: &Manager, owned: Owned) {
        self.0.insert(manager.key(), (manager.clone(), owned));
    }

    /// Takes fields from every manager but one; those that own nothing then are no managers.
    pub(crate) fn take(&mut self, fields: &Set, but: Option<&Manager>) {
        let but = but.map(Manager::key);
        for (key, (_, owned)) in &mut self.0 {
            if but.as_ref() != Some(key) {
                owned.fields = owned.fields.difference(fields);
            }
        }
        self.0.retain(|_, (_, owned)| !owned.fields.is_empty());
    }

    /// Everything that anybody owns.
    pub(crate) fn union(&self) -> Set {
        let mut all = Set::default();
        self.iter().for_each(|(_, owned)| all.absorb(&owned.fields));
        all
    }

    /// The same with the times of `before` wherever the fields are those of before.
    pub(crate) fn with_times_of(&self, before: &Self) -> Self {
        let mut kept = self.clone();
        for (key, (_, owned)) in &mut kept.0 {
            let old = before.0.get(key).map(|(_, old)| old);
            if let Some(old) = old.filter(|old| old.fields == owned.fields) {
                owned.time.clone_from(&old.time);
            }
        }
        kept
    }
}
