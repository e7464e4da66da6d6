//! Replace one object; also what patching shares with it.

use ebb_store::{Error, Precondition, Write};
use http::{Response, StatusCode};
use serde_json::Value;

use super::{body_tree, commit, get, object, warn};
use crate::admission::{self, Strictness};
use crate::body::Body;
use crate::context::{Context, Target};
use crate::decode::Tree;
use crate::status::Failure;
use crate::{meta, storage};

/// How often a change without a version is tried again when another one came between.
const TRIES: usize = 8;

/// What an object shall become.
pub(crate) struct Change {
    pub(crate) tree: Tree,
    /// Whether the client named the version that it saw.
    pub(crate) versioned: bool,
}

/// Replaces the object by the body.
pub(crate) async fn update(
    context: &Context,
    target: &Target,
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<Response<Body>, Failure> {
    let tree = body_tree(content_type, bytes)?;
    let versioned = meta::text(&tree.value, "resourceVersion").is_some();
    let (value, duplicates) = (tree.value, tree.duplicates);
    change(context, target, |_old| {
        let tree = Tree { value: value.clone(), duplicates: duplicates.clone() };
        Ok(Change { tree, versioned })
    })
    .await
}

/// Changes the object to what `make` says, given what it is. A change that changes nothing writes
/// nothing.
pub(crate) async fn change<F>(
    context: &Context,
    target: &Target,
    make: F,
) -> Result<Response<Body>, Failure>
where
    F: Fn(&Value) -> Result<Change, Failure>,
{
    let kind = target.kind;
    let strictness = Strictness::of(&context.query)?;
    let dry_run = context.query.dry_run()?;
    for _ in 0..TRIES {
        let record = get::record(context, target).await?;
        let old = storage::read(kind, &record)?;
        let Change { tree, versioned } = make(&old)?;
        if versioned {
            let asked = meta::text(&tree.value, "resourceVersion").unwrap_or_default();
            if storage::version(asked)? != record.version {
                return Err(stale(target));
            }
        }
        let admitted = admission::update(kind, tree, strictness, &old)?;
        let mut new = admitted.object;
        storage::set_version(&mut new, record.version);
        if new != old && !dry_run {
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
        let response = object(context, target, StatusCode::OK, new)?;
        return Ok(warn(response, &admitted.warnings));
    }
    Err(stale(target))
}

fn stale(target: &Target) -> Failure {
    Failure::conflict(
        target.kind,
        target.name(),
        "the object has been modified; please apply your changes to the latest version and try \
         again",
    )
}
