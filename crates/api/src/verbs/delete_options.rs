//! What a client says about a deletion, in the body or in the query.

use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::DeleteOptions;
use ebb_model::{Fault, Kind as FaultKind};
use ebb_store::Record;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::context::{Context, Query, Target};
use crate::kinds::CORE;
use crate::registry::Kind;
use crate::status::Failure;
use crate::{decode, meta, protobuf, storage};

/// Finalizer of an object whose dependents are let go before it goes.
pub(crate) const ORPHAN: &str = "orphan";
/// Finalizer of an object that waits until its dependents are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// Longest time that a Pod can be given: 68 years, so that it ends at a time that can be written.
const PERIOD_MAX_S: u32 = i32::MAX.unsigned_abs();

/// What becomes of the dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// The options, checked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    uid: Option<String>,
    version: Option<String>,
    /// None: as the object's finalizers say.
    propagation: Option<Propagation>,
    /// Whether the client used the old field to ask for the dependents to go, too.
    pub(crate) cascades: bool,
    pub(crate) dry_run: bool,
    /// Seconds that a Pod is given by the client, at most [`PERIOD_MAX_S`].
    pub(crate) period_s: Option<u32>,
}

impl Options {
    /// Reads them. What the body says goes before what the query says.
    ///
    /// # Errors
    /// 415 and 400 for what cannot be read, 422 naming the field for what is not allowed.
    pub(crate) fn read(
        context: &Context,
        content_type: Option<&str>,
        bytes: &[u8],
    ) -> Result<Self, Failure> {
        let given = body(content_type, bytes)?;
        let query = &context.query;
        let mut faults = Vec::new();
        let propagation = propagation(&given, query, &mut faults)?;
        let mut dry_run = query.dry_run()?;
        for (index, stage) in given.dry_run.iter().flatten().enumerate() {
            dry_run = true;
            if stage != "All" {
                let field = format!("dryRun[{index}]");
                faults.push(unsupported(stage, "All").at(field));
            }
        }
        if given.ignore_store_read_error_with_cluster_breaking_potential == Some(true) {
            let message = "an object that cannot be read is not deleted here: false is allowed";
            let fault = Fault::new("UNSUPPORTED_FIELD", FaultKind::Invalid, message);
            faults.push(fault.at("ignoreStoreReadErrorWithClusterBreakingPotential"));
        }
        if !faults.is_empty() {
            return Err(Failure::invalid(&KIND, "", faults));
        }
        let preconditions = given.preconditions.unwrap_or_default();
        let old = match given.orphan_dependents {
            Some(orphan) => Some(orphan),
            None => flag(query, "orphanDependents")?,
        };
        Ok(Self {
            uid: preconditions.uid,
            version: preconditions.resource_version,
            propagation,
            cascades: old == Some(false),
            dry_run,
            period_s: given.grace_period_seconds.or(seconds(query)?).map(period),
        })
    }

    /// Whether the object is still the one that the client means.
    ///
    /// # Errors
    /// 409 when it is another one, or another version of it.
    pub(crate) fn check(
        &self,
        target: &Target,
        record: &Record,
        object: &Value,
    ) -> Result<(), Failure> {
        let uid = meta::text(object, "uid").unwrap_or_default();
        if let Some(asked) = self.uid.as_deref().filter(|asked| *asked != uid) {
            let why = format!(
                "Precondition failed: UID in precondition: {asked}, UID in object meta: {uid}"
            );
            return Err(Failure::conflict(target.kind, target.name(), &why));
        }
        if let Some(version) = &self.version
            && storage::version(version)? != record.version
        {
            let why = format!(
                "Precondition failed: ResourceVersion in precondition: {version}, \
                 ResourceVersion in object meta: {}",
                record.version
            );
            return Err(Failure::conflict(target.kind, target.name(), &why));
        }
        Ok(())
    }

    /// Collections are deleted whatever they are made of by then.
    ///
    /// # Errors
    /// 422 when there are preconditions.
    pub(crate) fn check_none(&self) -> Result<(), Failure> {
        if self.uid.is_none() && self.version.is_none() {
            return Ok(());
        }
        let message = "a collection has neither a UID nor a version: no precondition is allowed";
        let fault = Fault::new("FORBIDDEN_FIELD", FaultKind::Invalid, message);
        Err(Failure::invalid(&KIND, "", vec![fault.at("preconditions")]))
    }

    /// Gives the object the finalizer that stands for what becomes of its dependents, as
    /// Kubernetes does: one policy excludes the others.
    pub(crate) fn propagate(&self, object: &mut Value) {
        let Some(propagation) = self.propagation else { return };
        let before = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        let ours = |finalizer: &Value| *finalizer == ORPHAN || *finalizer == FOREGROUND;
        let mut after: Vec<Value> = before.into_iter().filter(|f| !ours(f)).collect();
        match propagation {
            Propagation::Background => {}
            Propagation::Foreground => after.push(json!(FOREGROUND)),
            Propagation::Orphan => after.push(json!(ORPHAN)),
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            if after.is_empty() {
                metadata.remove("finalizers");
            } else {
                metadata.insert("finalizers".to_owned(), Value::Array(after));
            }
        }
    }
}

fn body(content_type: Option<&str>, bytes: &[u8]) -> Result<DeleteOptions, Failure> {
    let value = match content_type {
        _ if bytes.is_empty() => return Ok(DeleteOptions::default()),
        None | Some("application/json") => decode::json(bytes)?.value,
        Some("application/yaml" | "application/x-yaml" | "text/yaml") => decode::yaml(bytes)?.value,
        Some(protobuf::CONTENT_TYPE) => protobuf::delete_options(bytes)?,
        Some(other) => {
            return Err(Failure::unsupported_media_type(format!(
                "delete options as {other} are not taken: application/json, application/yaml and \
                 {} are",
                protobuf::CONTENT_TYPE
            )));
        }
    };
    if value.is_null() {
        return Ok(DeleteOptions::default());
    }
    match value["kind"].as_str() {
        None | Some("" | "DeleteOptions") if value.is_object() => {}
        _ => {
            let message = "the body of a deletion is an object of kind DeleteOptions";
            return Err(Failure::bad_request("UNSUPPORTED_VERSION", message));
        }
    }
    DeleteOptions::deserialize(&value)
        .map_err(|error| Failure::bad_request("INVALID_VALUE", format!("DeleteOptions: {error}")))
}

fn propagation(
    given: &DeleteOptions,
    query: &Query,
    faults: &mut Vec<Fault>,
) -> Result<Option<Propagation>, Failure> {
    let policy = given.propagation_policy.as_deref().or_else(|| query.get("propagationPolicy"));
    let old = match given.orphan_dependents {
        Some(orphan) => Some(orphan),
        None => flag(query, "orphanDependents")?,
    };
    if policy.is_some() && old.is_some() {
        let message = "orphanDependents and propagationPolicy cannot both be set";
        let fault = Fault::new("INVALID_VALUE", FaultKind::Invalid, message);
        faults.push(fault.at("propagationPolicy"));
    }
    Ok(match (policy, old) {
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (None, None) => None,
        (Some(other), _) => {
            let fault = unsupported(other, "Foreground, Background or Orphan");
            faults.push(fault.at("propagationPolicy"));
            None
        }
    })
}

/// `gracePeriodSeconds` of the query.
fn seconds(query: &Query) -> Result<Option<i64>, Failure> {
    let Some(text) = query.get("gracePeriodSeconds") else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let message = format!("gracePeriodSeconds={text:?} is not a whole number");
        Failure::bad_request("INVALID_PARAMETER", message)
    })
}

/// A negative period means one second, as in Kubernetes.
fn period(seconds: i64) -> u32 {
    u32::try_from(if seconds < 0 { 1 } else { seconds }).unwrap_or(PERIOD_MAX_S).min(PERIOD_MAX_S)
}

/// A flag that may be absent, which is not the same as false.
fn flag(query: &Query, name: &str) -> Result<Option<bool>, Failure> {
    let value = query.flag(name)?;
    Ok(query.get(name).map(|_| value))
}

fn unsupported(given: &str, allowed: &str) -> Fault {
    let message = format!("Unsupported value: {given:?}: {allowed} is allowed");
    Fault::new("INVALID_VALUE", FaultKind::Invalid, message)
}

/// What a failure names that is about the options and not about an object.
const KIND: Kind =
    Kind { group: "meta.k8s.io", kind: "DeleteOptions", plural: "deleteoptions", ..CORE };
