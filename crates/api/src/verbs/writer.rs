//! Who writes: the field manager of a request, and what its write does to `managedFields`.

use ebb_model::{Fault, Kind as FaultKind};
use serde_json::{Value, json};

use crate::apply::managers::{Manager, Managers, Operation};
use crate::apply::write::{By, Scope, track_update};
use crate::context::{Context, Target};
use crate::meta;
use crate::registry::{Kind, Subresource};
use crate::schema;
use crate::status::Failure;

/// Longest name of a field manager in bytes, as in Kubernetes.
const MAX_NAME: usize = 128;

/// Who writes, through what, and when.
pub(crate) struct Writer {
    pub(crate) manager: Manager,
    pub(crate) scope: Scope,
    /// A new object before anything is in it.
    pub(crate) blank: Value,
    /// RFC 3339, whole seconds.
    pub(crate) now: String,
}

impl Writer {
    /// The writer of a request. Without a name for server-side apply there is none.
    ///
    /// # Errors
    /// 422 for a name that cannot be one, or none where there must be one. `options` is the kind
    /// that Kubernetes gives the parameters in that message.
    pub(crate) fn of(
        context: &Context,
        target: &Target,
        operation: Operation,
        options: &str,
    ) -> Result<Self, Failure> {
        let given = context.query.get("fieldManager");
        let faults = check(given.unwrap_or_default(), operation);
        if !faults.is_empty() {
            return Err(Failure::invalid_options(options, "meta.k8s.io", "", faults));
        }
        let name = given.map_or_else(|| printable(&context.agent), str::to_owned);
        let subresource = target.subresource.map_or("", Subresource::as_str);
        Ok(Self {
            manager: Manager {
                operation,
                name,
                api_version: target.kind.api_version(),
                subresource: subresource.to_owned(),
            },
            scope: scope(target),
            blank: blank(target.kind),
            now: context.app.deps.clock.now().to_rfc3339_seconds(),
        })
    }

    /// The write, for the algorithm.
    pub(crate) fn by(&self, kind: &Kind) -> By<'_> {
        By {
            node: schema::of(kind),
            manager: &self.manager,
            scope: self.scope,
            blank: &self.blank,
            now: &self.now,
        }
    }

    /// Writes `metadata.managedFields` of a new object, which holds what the client sent of it.
    pub(crate) fn record_create(&self, kind: &Kind, object: &mut Value) {
        let sent = meta::take_managers(object);
        let mut managers = sent.and_then(|sent| Managers::decode(&sent).ok()).unwrap_or_default();
        track_update(&self.by(kind), &mut managers, &self.blank, object);
        set(object, &managers);
    }

    /// Writes `metadata.managedFields` of a changed object, which holds what the client sent of it.
    pub(crate) fn record_update(&self, kind: &Kind, old: &Value, object: &mut Value) {
        let sent = meta::take_managers(object).filter(|_| self.manager.subresource.is_empty());
        let mut managers = known(old, sent.as_ref());
        // Nobody's fields are followed where nobody ever was: as in Kubernetes, the first apply
        // begins.
        if !managers.is_empty() {
            track_update(&self.by(kind), &mut managers, old, object);
        }
        set(object, &managers);
    }
}

fn check(name: &str, operation: Operation) -> Vec<Fault> {
    let fault = |message: String| {
        vec![Fault::new("INVALID_PARAMETER", FaultKind::Invalid, message).at("fieldManager")]
    };
    if name.is_empty() && operation == Operation::Apply {
        let required = "Required value: is required for apply patch";
        return fault(required.to_owned());
    }
    if name.len() > MAX_NAME {
        let message = format!("Too long: may not be more than {MAX_NAME} bytes");
        return fault(message);
    }
    if name.chars().any(char::is_control) {
        let message = format!("Invalid value: {name:?}: should only contain printable characters");
        return fault(message);
    }
    Vec::new()
}

/// The first word of a user agent, as far as it can be a name.
fn printable(agent: &str) -> String {
    let word = agent.split('/').next().unwrap_or_default();
    let mut name = String::new();
    for letter in word.chars().filter(|letter| !letter.is_control()) {
        if name.len() + letter.len_utf8() > MAX_NAME {
            break;
        }
        name.push(letter);
    }
    name
}

fn scope(target: &Target) -> Scope {
    match target.subresource {
        Some(Subresource::Status) => Scope::StatusOnly,
        _ if target.kind.status || has_status(target.kind) => Scope::WithoutStatus,
        _ => Scope::Whole,
    }
}

fn has_status(kind: &Kind) -> bool {
    kind.subresources.contains(&Subresource::Status)
}

/// The managers that a write starts from: what the client sent, so that it can change them; else
/// those of the object, so that a client that does not know them does not lose them.
pub(crate) fn known(old: &Value, sent: Option<&Value>) -> Managers {
    let there = || Managers::decode(&old["metadata"]["managedFields"]).unwrap_or_default();
    let Some(list) = sent.and_then(Value::as_array) else { return there() };
    if let [one] = list.as_slice()
        && one.as_object().is_some_and(|entry| entry.values().all(vacant))
    {
        return Managers::default();
    }
    match Managers::decode(&Value::Array(list.clone())) {
        Ok(managers) if !managers.is_empty() => managers,
        _ => there(),
    }
}

fn vacant(value: &Value) -> bool {
    value.is_null() || value.as_str().is_some_and(str::is_empty)
}

/// Writes `metadata.managedFields`.
pub(crate) fn set(object: &mut Value, managers: &Managers) {
    meta::take_managers(object);
    if !managers.is_empty() {
        object["metadata"]["managedFields"] = managers.encode();
    }
}

/// What a new object is compared with: in Kubernetes' own kinds, `spec` and `status` are there
/// before anything is in them.
fn blank(kind: &Kind) -> Value {
    let mut empty = json!({ "metadata": {} });
    if let (true, schema::Node::Struct { fields, .. }) = (kind.strategic, schema::of(kind)) {
        for field in ["spec", "status"] {
            if matches!(fields.get(field), Some(schema::Node::Struct { .. })) {
                empty[field] = json!({});
            }
        }
    }
    empty
}

/// Whether a write changes nothing: nothing in the object, and of its managers at most the times.
/// Then the object is as it was, times included.
pub(crate) fn changes_nothing(old: &Value, new: &mut Value) -> bool {
    if old == new {
        return true;
    }
    let managers = |object: &Value| Managers::decode(&object["metadata"]["managedFields"]);
    let (Ok(before), Ok(after)) = (managers(old), managers(new)) else { return false };
    if after.with_times_of(&before) != before {
        return false;
    }
    let written = meta::take_managers(new);
    if let Some(kept) = old["metadata"].get("managedFields") {
        new["metadata"]["managedFields"] = kept.clone();
    }
    if old == new {
        return true;
    }
    meta::take_managers(new);
    if let Some(written) = written {
        new["metadata"]["managedFields"] = written;
    }
    false
}
