//! Remove one object.

use ebb_store::{Error, Precondition, Record, Write};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::delete_options::Options;
use super::{commit, get, namespace, object, pod, revision};
use crate::admission;
use crate::body::{self, Body};
use crate::context::{Context, Target};
use crate::kinds;
use crate::registry::Kind;
use crate::status::Failure;
use crate::{meta, storage};

/// How often a deletion is tried again when a change came between.
const TRIES: usize = 8;

/// What a deletion did.
pub(crate) enum Outcome {
    /// The object is gone; as it was.
    Gone(Value),
    /// The object waits for its finalizers; as it is.
    Marked(Value),
    /// Somebody else changed the object meanwhile: nothing was done.
    Changed,
}

/// Removes the object, or marks it when somebody must act first. Controllers remove what belongs
/// to it.
pub(crate) async fn delete(
    context: &Context,
    target: &Target,
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<Response<Body>, Failure> {
    let options = Options::read(context, content_type, bytes)?;
    let _turn = context.app.turns.take(target.key()).await;
    for _ in 0..TRIES {
        let record = get::record(context, target).await?;
        let found = storage::read(target.kind, &record)?;
        options.check(target, &record, &found)?;
        if is(target.kind, &kinds::revision::KIND) {
            revision::check_unrouted(context, target).await?;
        }
        match one(context, target, &options, &record, found).await? {
            Outcome::Gone(object) if is(target.kind, &kinds::pod::KIND) => {
                return Ok(super::object(context, target, StatusCode::OK, object));
            }
            Outcome::Gone(object) => return Ok(success(target, &object)),
            Outcome::Marked(marked) => {
                let marking = !is(target.kind, &kinds::namespace::KIND) && options.cascades;
                let status = if marking { StatusCode::ACCEPTED } else { StatusCode::OK };
                return Ok(object(context, target, status, marked));
            }
            Outcome::Changed => {}
        }
    }
    Err(Failure::conflict(target.kind, target.name(), "it is being changed all the time"))
}

/// Deletes one object as far as that goes now, given its record.
pub(crate) async fn one(
    context: &Context,
    target: &Target,
    options: &Options,
    record: &Record,
    object: Value,
) -> Result<Outcome, Failure> {
    admission::delete(&context.app.hooks, target.kind, &object)?;
    if is(target.kind, &kinds::pod::KIND) {
        return pod::stop(context, target, options, record, object).await;
    }
    if is(target.kind, &kinds::namespace::KIND) {
        return namespace::terminate(context, target, options, record, object).await;
    }
    let mut after = object.clone();
    options.propagate(&mut after);
    if !meta::has_finalizers(&after) {
        let key = record.key.clone();
        return write(context, target, options, record, Write::Delete { key }, object).await;
    }
    mark(context, &mut after);
    mark_and_write(context, target, options, record, (object, after)).await
}

/// Writes the marked form of an object when it differs from what is stored.
pub(crate) async fn mark_and_write(
    context: &Context,
    target: &Target,
    options: &Options,
    record: &Record,
    (before, after): (Value, Value),
) -> Result<Outcome, Failure> {
    if after == before {
        return Ok(Outcome::Marked(after));
    }
    let value = storage::value(target.kind, &after);
    let put = Write::Put { key: record.key.clone(), value };
    write(context, target, options, record, put, after).await
}

pub(super) async fn write(
    context: &Context,
    target: &Target,
    options: &Options,
    record: &Record,
    write: Write,
    mut object: Value,
) -> Result<Outcome, Failure> {
    let gone = matches!(write, Write::Delete { .. });
    if !options.dry_run {
        let unchanged = vec![Precondition::Version(record.key.clone(), record.version)];
        let commit = commit(context, unchanged, vec![write]);
        match context.app.store(target.kind).commit(commit).await {
            Ok(version) if !gone => storage::set_version(&mut object, version),
            Ok(_) => {}
            Err(Error::Conflict { .. }) => return Ok(Outcome::Changed),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(if gone { Outcome::Gone(object) } else { Outcome::Marked(object) })
}

/// Says in the object that it is being deleted, if it does not say so yet.
pub(crate) fn mark(context: &Context, object: &mut Value) {
    if meta::deleting(object) {
        return;
    }
    let now = context.app.deps.clock.now().to_rfc3339_seconds();
    object["metadata"]["deletionTimestamp"] = json!(now);
    object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
}

/// Whether `kind` is that one.
pub(crate) fn is(kind: &'static Kind, other: &'static Kind) -> bool {
    std::ptr::eq(kind, &raw const *other)
}

/// Says that the object is gone.
fn success(target: &Target, object: &Value) -> Response<Body> {
    let mut details = json!({ "name": target.name(), "kind": target.kind.plural });
    if !target.kind.group.is_empty() {
        details["group"] = json!(target.kind.group);
    }
    if let Some(uid) = meta::text(object, "uid") {
        details["uid"] = json!(uid);
    }
    let status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
        "code": 200,
    });
    body::json(StatusCode::OK, &status)
}
