//! What namespaces do to other verbs: they must be there, and take their contents with them.
//! Emptying them is the work of a controller.

use std::sync::Arc;

use ebb_model::{Fault, Kind as FaultKind};
use ebb_store::{Commit, Error, Precondition, Record, Write};
use serde_json::{Value, json};

use super::delete::{Outcome, mark, mark_and_write};
use super::delete_options::Options;
use crate::app::App;
use crate::context::{Context, Target};
use crate::kinds::namespace::KIND;
use crate::status::Failure;
use crate::{kinds, meta, storage};

/// The namespace that is always there.
const DEFAULT: &str = "default";
/// Words of Kubernetes by which its clients know why they cannot make anything in a namespace.
const TERMINATING: &str = "NamespaceTerminating";

/// Makes the namespace `default` when it is not there.
pub(crate) async fn ensure_default(app: &Arc<App>) -> Result<(), Error> {
    let key = KIND.key("", DEFAULT);
    if app.store(&KIND).get(&key).await?.is_some() {
        return Ok(());
    }
    let mut object = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": DEFAULT }, "spec": {},
    });
    meta::prepare_create(&KIND, &mut object, app.deps.clock.now());
    (KIND.default)(&mut object);
    let made = app
        .store(&KIND)
        .commit(Commit {
            preconditions: vec![Precondition::Absent(key.clone())],
            writes: vec![Write::Put { key, value: storage::value(&KIND, &object) }],
            actor: "api".to_owned(),
            ..Commit::default()
        })
        .await;
    match made {
        Err(Error::Conflict { .. }) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether something of this name, which may be empty, can be made in the namespace of `target`.
///
/// # Errors
/// 404 when it is not there, 403 while it is being deleted.
pub(crate) async fn check_open(
    context: &Context,
    target: &Target,
    name: &str,
) -> Result<(), Failure> {
    let namespace = target.namespace();
    let found = context.app.store(&KIND).get(&KIND.key("", namespace)).await?;
    let record = found.ok_or_else(|| Failure::not_found(&KIND, namespace))?;
    if !meta::deleting(&storage::read(&KIND, &record)?) {
        return Ok(());
    }
    let why = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let code = "NAMESPACE_TERMINATING";
    let message = format!("namespace {namespace} is being terminated");
    let cause = Fault::new(TERMINATING, FaultKind::Denied, message).at("metadata.namespace");
    Err(Failure::forbidden(target.kind, name, code, &why).and(cause))
}

/// Marks the namespace. It goes when the controller has emptied it.
///
/// # Errors
/// 403 for the namespace that has to be there.
pub(crate) async fn terminate(
    context: &Context,
    target: &Target,
    options: &Options,
    record: &Record,
    object: Value,
) -> Result<Outcome, Failure> {
    if target.name() == DEFAULT {
        let why = "this namespace may not be deleted";
        return Err(Failure::forbidden(&KIND, target.name(), "PERMISSION_DENIED", why));
    }
    let mut after = object.clone();
    if !meta::deleting(&object) {
        mark(context, &mut after);
        // The controller takes it out when nothing is left.
        after["spec"] = json!({ "finalizers": [kinds::namespace::FINALIZER] });
        after["status"]["phase"] = json!("Terminating");
    }
    mark_and_write(context, target, options, record, (object, after)).await
}
