//! Make one object.

use ebb_store::{Error, Precondition, Write};
use http::{Response, StatusCode};
use serde_json::Value;

use super::writer::Writer;
use super::{body_tree, commit, namespace, object, warn};
use crate::admission::{self, Place, Strictness};
use crate::apply::managers::Operation;
use crate::auth::{Verb, authorize};
use crate::body::Body;
use crate::context::{Context, Target};
use crate::decode::Tree;
use crate::registry::Backing;
use crate::status::Failure;
use crate::{kinds, meta, route, storage};

/// How often another name is made when a generated one is taken.
const NAME_TRIES: usize = 5;

/// Admits and commits a new object: its key must be free and its namespace there, in one commit.
pub(crate) async fn create(
    context: &Context,
    target: &Target,
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<Response<Body>, Failure> {
    let strictness = Strictness::of(&context.query)?;
    let writer = Writer::of(context, target, Operation::Update, "CreateOptions")?;
    let tree = body_tree(target.kind, content_type, bytes)?;
    let generated = target.name.is_none() && meta::text(&tree.value, "name").is_none();
    let mut tries = if generated { NAME_TRIES } else { 1 };
    loop {
        tries -= 1;
        let tree = Tree { value: tree.value.clone(), duplicates: tree.duplicates.clone() };
        let record = |object: &mut Value| writer.record_create(target.kind, object);
        match make(context, target, tree, strictness, &record).await {
            Err(failure) if tries > 0 && failure.reason == "AlreadyExists" => {}
            answer => return answer,
        }
    }
}

/// Whether the request may make its object. For those that were allowed to change it only: applying
/// and, for some kinds, replacing make what is not there.
///
/// # Errors
/// What [`authorize`] says.
pub(super) fn check_allowed(context: &Context, target: &Target) -> Result<(), Failure> {
    Ok(authorize(context.principal, Verb::Create, &route::made(target))?)
}

/// Admits and commits one form of a new object. `record` writes its `managedFields`.
///
/// # Errors
/// 409 `AlreadyExists` when its name is taken; what admission says.
pub(crate) async fn make(
    context: &Context,
    target: &Target,
    tree: Tree,
    strictness: Strictness,
    record: &(dyn Fn(&mut Value) + Sync),
) -> Result<Response<Body>, Failure> {
    let kind = target.kind;
    if kind.namespaced {
        let name = target.name.as_deref().or_else(|| meta::text(&tree.value, "name"));
        namespace::check_open(context, target, name.unwrap_or_default()).await?;
    }
    let now = context.app.deps.clock.now();
    // Held until the commit is done.
    let (usage, _under_way) = admission::usage(context, target).await?;
    let facts = &admission::facts(context, target, &tree.value, None).await?;
    let (namespace, name) = (target.namespace.as_deref(), target.name.as_deref());
    let place = Place { namespace, name, usage, facts };
    let hooks = &context.app.hooks;
    let mut admitted = admission::create(hooks, kind, tree, strictness, &place, now)?;
    record(&mut admitted.object);
    let name = meta::text(&admitted.object, "name").unwrap_or_default().to_owned();
    let key = kind.key(target.namespace(), &name);
    let store = context.app.store(kind);
    if context.query.dry_run()? {
        if store.get(&key).await?.is_some() {
            return Err(Failure::already_exists(kind, &name));
        }
    } else {
        let mut preconditions = vec![Precondition::Absent(key.clone())];
        if kind.namespaced && kind.backing == Backing::Durable {
            let owner = kinds::namespace::KIND.key("", target.namespace());
            preconditions.push(Precondition::Exists(owner));
        }
        let value = storage::value(kind, &admitted.object);
        let writes = vec![Write::Put { key: key.clone(), value }];
        let version = match store.commit(commit(context, preconditions, writes)).await {
            Ok(version) => version,
            Err(Error::Conflict { key: taken }) if taken == key => {
                return Err(Failure::already_exists(kind, &name));
            }
            Err(Error::Conflict { .. }) => {
                return Err(Failure::not_found(&kinds::namespace::KIND, target.namespace()));
            }
            Err(error) => return Err(error.into()),
        };
        storage::set_version(&mut admitted.object, version);
    }
    let response = object(context, target, StatusCode::CREATED, admitted.object);
    Ok(warn(response, &admitted.warnings))
}

#[cfg(test)]
mod tests;
