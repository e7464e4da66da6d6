//! Replace one object; also what patching shares with it.

use ebb_model::{Fault, Kind as FaultKind};
use ebb_store::{Error, Precondition, Write};
use http::{Response, StatusCode};
use serde_json::Value;

use super::writer::{self, Writer};
use super::{body_tree, commit, create, get, object, warn};
use crate::admission::{self, Admitted, Strictness};
use crate::apply::managers::{Managers, Operation};
use crate::body::Body;
use crate::context::{Context, Target};
use crate::decode::Tree;
use crate::registry::Subresource;
use crate::status::Failure;
use crate::{meta, storage};

/// How often a change without a version is tried again when a controller's came between; those of
/// clients wait for their turn.
const TRIES: usize = 8;

/// What an object shall become.
pub(crate) struct Change {
    pub(crate) tree: Tree,
    /// Whether the client named the version that it saw.
    pub(crate) versioned: bool,
    /// Whether it has to.
    pub(crate) must_be: bool,
    /// Who owns what then, when that is known already.
    pub(crate) managers: Option<Managers>,
}

/// Replaces the object by the body.
pub(crate) async fn update(
    context: &Context,
    target: &Target,
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<Response<Body>, Failure> {
    let tree = body_tree(target.kind, content_type, bytes)?;
    let versioned = meta::text(&tree.value, "resourceVersion").is_some();
    if target.kind.put_creates && !versioned && !get::exists(context, target).await? {
        create::check_allowed(context, target)?;
        match create::create(context, target, content_type, bytes).await {
            // Somebody else was faster: then this is a change of theirs.
            Err(failure) if failure.reason == "AlreadyExists" => {}
            answer => return answer,
        }
    }
    let (value, duplicates) = (tree.value, tree.duplicates);
    change(context, target, "UpdateOptions", |_old| {
        let tree = Tree { value: value.clone(), duplicates: duplicates.clone() };
        Ok(Change {
            tree,
            versioned,
            must_be: !target.kind.allow_unconditional_update,
            managers: None,
        })
    })
    .await
}

/// Changes the object to what `make` says, given what it is, and answers it.
pub(crate) async fn change<F>(
    context: &Context,
    target: &Target,
    options: &str,
    make: F,
) -> Result<Response<Body>, Failure>
where
    F: Fn(&Value) -> Result<Change, Failure>,
{
    let changed = changed(context, target, options, make).await?;
    let response = object(context, target, StatusCode::OK, changed.object);
    Ok(warn(response, &changed.warnings))
}

/// Changes the object to what `make` says, given what it is. A change that changes nothing writes
/// nothing. `options` is the kind that Kubernetes gives the parameters in messages.
pub(crate) async fn changed<F>(
    context: &Context,
    target: &Target,
    options: &str,
    make: F,
) -> Result<Admitted, Failure>
where
    F: Fn(&Value) -> Result<Change, Failure>,
{
    let kind = target.kind;
    let strictness = Strictness::of(&context.query)?;
    let dry_run = context.query.dry_run()?;
    let writer = Writer::of(context, target, Operation::Update, options)?;
    // From here on nothing waits for the client.
    let _turn = context.app.turns.take(target.key()).await;
    for _ in 0..TRIES {
        let record = get::record(context, target).await?;
        let old = storage::read(kind, &record)?;
        let Change { tree, versioned, must_be, managers } = make(&old)?;
        if versioned {
            let asked = meta::text(&tree.value, "resourceVersion").unwrap_or_default();
            if storage::version(asked)? != record.version {
                return Err(stale(target));
            }
        }
        let admit = match target.subresource {
            Some(Subresource::Status) => admission::update_status,
            _ => admission::update,
        };
        let facts = admission::facts(context, target, &tree.value, Some(&old)).await?;
        let admitted = admit(&context.app.hooks, kind, tree, strictness, (&old, &facts))?;
        if must_be && !versioned {
            return Err(unconditional(target));
        }
        let mut new = admitted.object;
        storage::set_version(&mut new, record.version);
        match managers {
            Some(managers) => writer::set(&mut new, &managers),
            None => writer.record_update(kind, &old, &mut new),
        }
        let nothing = writer::changes_nothing(&old, &mut new);
        check_size(context, &old, &new)?;
        if !nothing && !dry_run {
            let key = target.key();
            let gone = meta::deleting(&old) && !meta::has_finalizers(&new);
            let write = if gone {
                Write::Delete { key: key.clone() }
            } else {
                Write::Put { key: key.clone(), value: storage::value(kind, &new) }
            };
            let unchanged = vec![Precondition::Version(key, record.version)];
            let commit = commit(context, unchanged, vec![write]);
            match context.app.store(kind).commit(commit).await {
                Ok(version) => storage::set_version(&mut new, version),
                Err(Error::Conflict { .. }) if versioned => return Err(stale(target)),
                Err(Error::Conflict { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        return Ok(Admitted { object: new, warnings: admitted.warnings });
    }
    Err(stale(target))
}

/// Many patches, each small enough, make no object that is too large.
fn check_size(context: &Context, old: &Value, new: &Value) -> Result<(), Failure> {
    let limit = context.app.max_body_bytes;
    let after = new.to_string().len();
    if after > limit && after > old.to_string().len() {
        let message = format!("the object would be larger than the limit of {limit} bytes");
        return Err(Failure::too_large_result("OBJECT_TOO_LARGE", message));
    }
    Ok(())
}

/// 422: a change must say what it is a change of.
fn unconditional(target: &Target) -> Failure {
    let message = "Invalid value: 0x0: must be specified for an update";
    let fault = Fault::new("INVALID_RESOURCE_VERSION", FaultKind::Invalid, message);
    let fault = fault.at("metadata.resourceVersion");
    Failure::invalid(target.kind, target.name(), vec![fault])
}

/// 409: others were faster.
pub(crate) fn stale(target: &Target) -> Failure {
    Failure::conflict(
        target.kind,
        target.name(),
        "the object has been modified; please apply your changes to the latest version and try \
         again",
    )
}
