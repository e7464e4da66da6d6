//! What namespaces do to other verbs: they must be there, and take their contents with them.

use std::sync::Arc;

use ebb_store::{Commit, Error, Precondition, Write};
use http::Response;
use serde_json::{Value, json};

use super::delete::{Options, mark, remove, success};
use super::{commit, get};
use crate::app::App;
use crate::body::Body;
use crate::context::{Context, Target};
use crate::kinds::namespace::KIND;
use crate::registry::{Backing, KINDS, Kind};
use crate::status::Failure;
use crate::{kinds, meta, storage};

/// The namespace that is always there.
const DEFAULT: &str = "default";
/// How often the contents are removed again when something new came meanwhile.
const ROUNDS: usize = 5;
/// Objects read at a time.
const CHUNK: usize = 500;

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

/// Whether something can be made in the namespace of `target`.
///
/// # Errors
/// 404 when it is not there, 403 while it is being deleted.
pub(crate) async fn check_open(context: &Context, target: &Target) -> Result<(), Failure> {
    let namespace = target.namespace();
    let found = context.app.store(&KIND).get(&KIND.key("", namespace)).await?;
    let record = found.ok_or_else(|| Failure::not_found(&KIND, namespace))?;
    if meta::deleting(&storage::read(&KIND, &record)?) {
        let why = format!("namespace {namespace:?} is being deleted, nothing can be made in it");
        let code = "NAMESPACE_TERMINATING";
        return Err(Failure::forbidden(target.kind, target.name(), code, &why));
    }
    Ok(())
}

/// Marks the namespace, removes what is in it, then the namespace. A deletion that is broken off
/// is taken up by the next one.
pub(crate) async fn delete(
    context: &Context,
    target: &Target,
    options: &Options,
    object: &Value,
) -> Result<Response<Body>, Failure> {
    let name = target.name();
    if name == DEFAULT {
        let why = "this namespace may not be deleted";
        return Err(Failure::forbidden(&KIND, name, "PERMISSION_DENIED", why));
    }
    if options.dry_run {
        return Ok(success(target, object));
    }
    terminate(context, target).await?;
    for _ in 0..ROUNDS {
        for kind in contents() {
            empty(context, kind, name).await?;
        }
        let record = get::record(context, target).await?;
        let durable = contents().filter(|kind| kind.backing == Backing::Durable);
        let preconditions =
            durable.map(|kind| Precondition::PrefixEmpty(kind.prefix(Some(name)))).collect();
        let write = Write::Delete { key: record.key };
        match context.app.store(&KIND).commit(commit(context, preconditions, vec![write])).await {
            Ok(_) => return Ok(success(target, object)),
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let why = "it still holds objects that wait for their finalizers; remove those first";
    Err(Failure::conflict(&KIND, name, why))
}

/// Namespaced kinds that are removed with a namespace: Services first, so that nothing new is
/// made from them. Pods are left to the controllers, which stop the instances first.
fn contents() -> impl Iterator<Item = &'static Kind> {
    let service = std::iter::once(&kinds::service::KIND);
    let rest = KINDS.iter().copied().filter(|kind| {
        kind.namespaced
            && !std::ptr::eq(*kind, &raw const kinds::service::KIND)
            && !std::ptr::eq(*kind, &raw const kinds::pod::KIND)
    });
    service.chain(rest)
}

async fn terminate(context: &Context, target: &Target) -> Result<(), Failure> {
    for _ in 0..ROUNDS {
        let record = get::record(context, target).await?;
        let mut object = storage::read(&KIND, &record)?;
        if meta::deleting(&object) {
            return Ok(());
        }
        mark(context, &mut object);
        object["status"]["phase"] = json!("Terminating");
        let unchanged = vec![Precondition::Version(record.key.clone(), record.version)];
        let write = Write::Put { key: record.key, value: storage::value(&KIND, &object) };
        match context.app.store(&KIND).commit(commit(context, unchanged, vec![write])).await {
            Ok(_) => return Ok(()),
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::conflict(&KIND, target.name(), "it is being changed all the time"))
}

/// Removes every object of `kind` in `namespace`; what has finalizers is marked and stays.
async fn empty(context: &Context, kind: &'static Kind, namespace: &str) -> Result<(), Failure> {
    let prefix = kind.prefix(Some(namespace));
    let mut after: Option<String> = None;
    loop {
        let store = context.app.store(kind);
        let scan = store.scan(&prefix, None, after.as_deref(), CHUNK).await?;
        for record in &scan.records {
            let object = storage::read(kind, record)?;
            let name = meta::text(&object, "name").map(str::to_owned);
            let target = Target { kind, namespace: Some(namespace.to_owned()), name };
            match remove(context, &target, record, &object).await {
                // Changed meanwhile: the next round sees it.
                Ok(_) | Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        after = scan.records.last().map(|record| record.key.clone());
        if !scan.more || after.is_none() {
            return Ok(());
        }
    }
}
