//! The lines of a watch. Each is made once for all who want the same.

use std::sync::OnceLock;

use bytes::Bytes;
use ebb_store::{Change, Record, WatchEvent};
use serde_json::{Value, json};

use crate::context::View;
use crate::registry::Kind;
use crate::status::Failure;
use crate::{raw, storage};

type Once<T> = OnceLock<Result<T, Failure>>;

/// What was made of one change so far, kept beside it for all its watchers.
#[derive(Default)]
struct Notes {
    before: Once<Value>,
    after: Once<Value>,
    added: Once<Bytes>,
    modified: Once<Bytes>,
    deleted: Once<Bytes>,
}

/// What a change means to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Added,
    Modified,
    Deleted,
}

impl Type {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }

    /// What it means to somebody who sees only what is selected.
    pub(super) const fn of(before: bool, after: bool) -> Option<Self> {
        match (before, after) {
            (false, true) => Some(Self::Added),
            (true, true) => Some(Self::Modified),
            (true, false) => Some(Self::Deleted),
            (false, false) => None,
        }
    }
}

/// The record before a change and the one after it.
pub(super) const fn sides(change: &Change) -> (Option<&Record>, Option<&Record>) {
    match change.event() {
        WatchEvent::Put { record, previous } => (previous.as_ref(), Some(record)),
        WatchEvent::Delete { previous, .. } => (Some(previous), None),
    }
}

/// Whether `selects` takes the object before and after a change.
pub(super) fn selected(
    kind: &Kind,
    change: &Change,
    selects: impl Fn(&Value) -> bool,
) -> Result<(bool, bool), Failure> {
    let notes = change.notes::<Notes>();
    let check = |record: Option<&Record>, kept: &Once<Value>| match record {
        None => Ok(false),
        Some(record) => match kept.get_or_init(|| storage::read(kind, record)) {
            Ok(object) => Ok(selects(object)),
            Err(failure) => Err(failure.clone()),
        },
    };
    let (before, after) = sides(change);
    Ok((check(before, &notes.before)?, check(after, &notes.after)?))
}

/// The object that an event shows: the one after the change, or the last form that was selected at
/// the version at which it left.
pub(super) fn object(kind: &Kind, change: &Change, type_: Type) -> Result<Value, Failure> {
    let (before, after) = sides(change);
    let shown = if type_ == Type::Deleted { before } else { after };
    let record = shown.ok_or_else(|| Failure::internal("a change of nothing"))?;
    let mut object = storage::read(kind, record)?;
    storage::set_version(&mut object, change.event().version());
    Ok(object)
}

/// The line of a change, as `view` wants it.
pub(super) fn line(
    kind: &Kind,
    change: &Change,
    type_: Type,
    view: View,
) -> Result<Bytes, Failure> {
    let notes = change.notes::<Notes>();
    let (before, after) = sides(change);
    let (kept, shown) = match type_ {
        Type::Added => (&notes.added, after),
        Type::Modified => (&notes.modified, after),
        Type::Deleted => (&notes.deleted, before),
    };
    let make = || {
        let record = shown.ok_or_else(|| Failure::internal("a change of nothing"))?;
        let mut line = Vec::new();
        write(kind, record, change.event().version(), type_, view, &mut line)?;
        Ok(Bytes::from(line))
    };
    // Most want it whole: only that is kept.
    if view == View::Whole { kept.get_or_init(make).clone() } else { make() }
}

/// Appends the line of an object.
pub(super) fn write(
    kind: &Kind,
    record: &Record,
    version: u64,
    type_: Type,
    view: View,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    for text in ["{\"type\":\"", type_.as_str(), "\",\"object\":"] {
        out.extend_from_slice(text.as_bytes());
    }
    match view {
        View::Metadata => raw::partial(kind, record, version, out)?,
        View::Whole | View::Table(_) => raw::object(kind, record, version, out)?,
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// The object of a bookmark. `end` tells that all that was there was sent.
pub(super) fn bookmark(kind: &Kind, version: u64, end: bool) -> Value {
    let mut bookmark = json!({
        "kind": kind.kind,
        "apiVersion": kind.api_version(),
        "metadata": { "resourceVersion": version.to_string(), "creationTimestamp": null },
    });
    if end {
        bookmark["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
    }
    bookmark
}
