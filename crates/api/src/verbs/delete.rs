//! Remove one object.

use ebb_store::{Error, Precondition, Record, Write};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{commit, get, namespace, object, revision, warn};
use crate::body::{self, Body};
use crate::context::{Context, Target};
use crate::kinds;
use crate::status::Failure;
use crate::{decode, meta, storage};

/// How often a deletion is tried again when a change came between.
const TRIES: usize = 8;

/// What a client says about a deletion, in the body or in the query.
#[derive(Debug, Default)]
pub(crate) struct Options {
    uid: Option<String>,
    version: Option<String>,
    pub(crate) dry_run: bool,
    /// A grace period of the client's own choice.
    grace: bool,
}

impl Options {
    fn read(context: &Context, content_type: Option<&str>, bytes: &[u8]) -> Result<Self, Failure> {
        let body = match content_type {
            _ if bytes.is_empty() => Value::Null,
            None | Some("application/json") => decode::json(bytes)?.value,
            Some("application/yaml") => decode::yaml(bytes)?.value,
            Some(other) => {
                return Err(Failure::unsupported_media_type(format!(
                    "delete options as {other} are not taken: application/json is"
                )));
            }
        };
        let query = &context.query;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let policy = text(&body["propagationPolicy"]);
        let policy = policy.or_else(|| query.get("propagationPolicy").map(str::to_owned));
        let orphan = body["orphanDependents"] == true || query.flag("orphanDependents")?;
        match policy.as_deref() {
            None | Some("Background" | "Foreground") if !orphan => {}
            _ => {
                return Err(Failure::bad_request(
                    "UNSUPPORTED_FIELD",
                    "what belongs to an object is always removed with it: propagationPolicy \
                     Background or Foreground is allowed",
                ));
            }
        }
        let dry_run = body["dryRun"].as_array().is_some_and(|list| !list.is_empty());
        Ok(Self {
            uid: text(&body["preconditions"]["uid"]),
            version: text(&body["preconditions"]["resourceVersion"]),
            dry_run: dry_run || query.dry_run()?,
            grace: body["gracePeriodSeconds"].is_number()
                || query.number("gracePeriodSeconds")?.is_some(),
        })
    }

    /// Whether the object is still the one that the client means.
    fn check(&self, target: &Target, record: &Record, object: &Value) -> Result<(), Failure> {
        let uid = meta::text(object, "uid");
        if self.uid.is_some() && self.uid.as_deref() != uid {
            let why = format!("the UID in the precondition differs from {}", uid.unwrap_or("none"));
            return Err(Failure::conflict(target.kind, target.name(), &why));
        }
        if let Some(version) = &self.version
            && storage::version(version)? != record.version
        {
            let why = format!(
                "the ResourceVersion in the precondition ({version}) does not match the \
                 ResourceVersion in record ({})",
                record.version
            );
            return Err(Failure::conflict(target.kind, target.name(), &why));
        }
        Ok(())
    }
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
    for _ in 0..TRIES {
        let record = get::record(context, target).await?;
        let object = storage::read(target.kind, &record)?;
        options.check(target, &record, &object)?;
        if std::ptr::eq(target.kind, &raw const kinds::pod::KIND) {
            return pod(context, target, &options, object).await;
        }
        if std::ptr::eq(target.kind, &raw const kinds::namespace::KIND) {
            return namespace::delete(context, target, &options, &object).await;
        }
        if std::ptr::eq(target.kind, &raw const kinds::revision::KIND) {
            revision::check_unrouted(context, target).await?;
        }
        if options.dry_run {
            return Ok(success(target, &object));
        }
        match remove(context, target, &record, &object).await {
            Ok(Some(marked)) => {
                return super::object(context, target, StatusCode::OK, marked);
            }
            Ok(None) => return Ok(success(target, &object)),
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::conflict(target.kind, target.name(), "it is being changed all the time"))
}

/// Removes the object; answers it when it was only marked, because it has finalizers.
pub(crate) async fn remove(
    context: &Context,
    target: &Target,
    record: &Record,
    object: &Value,
) -> Result<Option<Value>, Error> {
    let (kind, key) = (target.kind, record.key.clone());
    let store = context.app.store(kind);
    let unchanged = vec![Precondition::Version(key.clone(), record.version)];
    if !meta::has_finalizers(object) {
        let write = Write::Delete { key };
        store.commit(commit(context, unchanged, vec![write])).await?;
        return Ok(None);
    }
    let mut marked = object.clone();
    if !meta::deleting(object) {
        mark(context, &mut marked);
        let write = Write::Put { key, value: storage::value(kind, &marked) };
        let version = store.commit(commit(context, unchanged, vec![write])).await?;
        storage::set_version(&mut marked, version);
    }
    Ok(Some(marked))
}

/// Says in the object that it is being deleted.
pub(crate) fn mark(context: &Context, object: &mut Value) {
    let now = context.app.deps.clock.now().to_rfc3339_seconds();
    object["metadata"]["deletionTimestamp"] = json!(now);
    object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
}

/// Stops the instance. Its Pod goes when the instance has ended; clients get the Pod.
async fn pod(
    context: &Context,
    target: &Target,
    options: &Options,
    mut pod: Value,
) -> Result<Response<Body>, Failure> {
    if !options.dry_run {
        context.app.deps.platform.stop_pod(target.namespace(), target.name()).await?;
    }
    mark(context, &mut pod);
    let grace = "gracePeriodSeconds is not honoured: the grace period of the revision applies";
    let warnings = if options.grace { vec![grace.to_owned()] } else { Vec::new() };
    Ok(warn(object(context, target, StatusCode::OK, pod)?, &warnings))
}

/// Says that the object is gone.
pub(crate) fn success(target: &Target, object: &Value) -> Response<Body> {
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
