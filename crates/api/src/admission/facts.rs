//! What must be known of other objects to judge one: looked up before admission and handed to it, so
//! that admission itself reads nothing.
//!
//! It is as of the moment of the look. What goes a moment later is told by a condition, like
//! everything that changes after a write.

use std::collections::BTreeSet;

use ebb_model::{Fault, name};
use serde_json::Value;

use crate::context::{Context, Target};
use crate::registry::Kind;
use crate::status::Failure;
use crate::storage;

/// Records read from the store at a time.
const CHUNK: usize = 500;

/// What validation has to know of the objects that belong to one.
pub(crate) struct Lookup {
    /// Their kind; they are in its namespace, and their names begin with its name and a hyphen.
    pub(crate) kind: &'static Kind,
    /// Their label that says its name.
    pub(crate) label: &'static str,
    /// Whether they matter to the new form of the object, given the old one: most writes are about
    /// something else and look at nothing.
    pub(crate) matters: fn(&Value, Option<&Value>) -> bool,
    /// What is wrong with the new form, given the old one and the names of those that there are.
    pub(crate) check: fn(&Value, Option<&Value>, &BTreeSet<String>) -> Vec<Fault>,
}

/// What was found; nothing when nobody looked, because nothing depends on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts(Option<BTreeSet<String>>);

impl Facts {
    /// What is wrong with an object by what was found.
    pub(super) fn check(&self, kind: &Kind, new: &Value, old: Option<&Value>) -> Vec<Fault> {
        match (&kind.lookup, &self.0) {
            (Some(lookup), Some(names)) => (lookup.check)(new, old, names),
            _ => Vec::new(),
        }
    }
}

/// Looks up what the kind of `target` needs to judge `new`, which was not judged yet and may be
/// anything, under the name that it has or shall have.
///
/// # Errors
/// 503 when the store does not answer.
pub(crate) async fn facts(
    context: &Context,
    target: &Target,
    new: &Value,
    old: Option<&Value>,
) -> Result<Facts, Failure> {
    let Some(lookup) = &target.kind.lookup else { return Ok(Facts::default()) };
    let owner = target.name.as_deref().or_else(|| new["metadata"]["name"].as_str());
    let owner = owner.unwrap_or_default();
    if !(lookup.matters)(new, old) {
        return Ok(Facts::default());
    }
    let mut names = BTreeSet::new();
    if name::check_subdomain(owner, "").is_err() {
        return Ok(Facts(Some(names)));
    }
    let prefix = format!("{}{owner}-", lookup.kind.prefix(target.namespace.as_deref()));
    let mut after: Option<String> = None;
    loop {
        let store = context.app.store(lookup.kind);
        let scan = store.scan(&prefix, None, after.as_deref(), CHUNK).await?;
        for record in &scan.records {
            let object = storage::read(lookup.kind, record)?;
            if object["metadata"]["labels"][lookup.label] == owner {
                names.extend(object["metadata"]["name"].as_str().map(str::to_owned));
            }
        }
        match scan.records.last() {
            Some(last) if scan.more => after = Some(last.key.clone()),
            _ => return Ok(Facts(Some(names))),
        }
    }
}
