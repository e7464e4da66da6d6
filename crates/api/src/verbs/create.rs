//! Make one object.

use ebb_store::{Error, Precondition, Write};
use http::{Response, StatusCode};

use super::{body_tree, commit, namespace, object, warn};
use crate::admission::{self, Place, Strictness};
use crate::body::Body;
use crate::context::{Context, Target};
use crate::decode::Tree;
use crate::registry::Backing;
use crate::status::Failure;
use crate::{kinds, meta, storage};

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
    let tree = body_tree(content_type, bytes)?;
    if target.kind.namespaced {
        namespace::check_open(context, target).await?;
    }
    let generated = meta::text(&tree.value, "name").is_none();
    for _ in 0..NAME_TRIES {
        let tree = Tree { value: tree.value.clone(), duplicates: tree.duplicates.clone() };
        match attempt(context, target, tree, strictness).await {
            Err(failure) if generated && failure.reason == "AlreadyExists" => {}
            answer => return answer,
        }
    }
    Err(Failure::internal("no free name was found for metadata.generateName"))
}

async fn attempt(
    context: &Context,
    target: &Target,
    tree: Tree,
    strictness: Strictness,
) -> Result<Response<Body>, Failure> {
    let kind = target.kind;
    let now = context.app.deps.clock.now();
    let place = Place { namespace: target.namespace.as_deref(), name: None };
    let mut admitted = admission::create(kind, tree, strictness, &place, now)?;
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
    let response = object(context, target, StatusCode::CREATED, admitted.object)?;
    Ok(warn(response, &admitted.warnings))
}
