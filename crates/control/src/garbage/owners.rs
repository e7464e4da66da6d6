//! What became of the owners that an object names.

use ebb_model::k8s::apimachinery::pkg::apis::meta::v1::OwnerReference;
use ebb_model::{Resource, key};
use ebb_rules::collect::Owner;

use crate::error::Error;
use crate::events::{Level, Subject};
use crate::generic::{self, Generic};
use crate::reasons;
use crate::shared::Shared;

/// Records per page of a search.
const PAGE: usize = 500;

/// One state per owner that the object names.
pub(super) async fn states(
    shared: &Shared,
    resource: &Resource,
    object: &Generic,
) -> Result<Vec<Owner>, Error> {
    let mut states = Vec::new();
    for owner in &object.meta.owner_references {
        let (state, misplaced) = state(shared, object, owner).await?;
        if misplaced {
            tell(shared, resource, object, owner);
        }
        states.push(state);
    }
    Ok(states)
}

/// The kind of an owner, when it is served here in that version.
fn kind_of<'a>(shared: &'a Shared, owner: &OwnerReference) -> Option<&'a Resource> {
    let kinds = shared.config.resources.iter();
    kinds
        .into_iter()
        .find(|kind| kind.kind == owner.kind && kind.api_version() == owner.api_version)
}

/// What became of the owner, and whether it is somewhere where it cannot be the owner.
async fn state(
    shared: &Shared,
    object: &Generic,
    owner: &OwnerReference,
) -> Result<(Owner, bool), Error> {
    let Some(kind) = kind_of(shared, owner) else { return Ok((Owner::Unknown, false)) };
    let namespace = match (kind.namespaced, object.meta.namespace.as_deref()) {
        (true, None | Some("")) => return Ok((Owner::Invalid, true)),
        (true, Some(namespace)) => namespace,
        (false, _) => "",
    };
    let store = if kind.durable { &*shared.store } else { &*shared.live };
    let key = key::object(&kind.group, &kind.plural, namespace, &owner.name);
    if let Some(record) = store.get(&key).await?
        && let Some(meta) = generic::meta(&record).filter(|meta| meta.uid == owner.uid)
    {
        let deletion = meta.deletion();
        let waits = deletion.marked && deletion.foreground;
        return Ok((if waits { Owner::Waiting } else { Owner::Live }, false));
    }
    if shared.garbage.graph.is_gone(&owner.uid) {
        return Ok((Owner::Gone, false));
    }
    if let Some(elsewhere) = place(shared, kind, &owner.uid).await? {
        return Ok((Owner::Gone, elsewhere != namespace));
    }
    shared.garbage.graph.set_gone(&owner.uid);
    Ok((Owner::Gone, false))
}

/// The namespace in which an object of this kind with this identity is, if there is one. Reads all
/// of them, so it is asked only about owners that nobody saw go.
async fn place(shared: &Shared, kind: &Resource, uid: &str) -> Result<Option<String>, Error> {
    let store = if kind.durable { &*shared.store } else { &*shared.live };
    let prefix = generic::prefix(kind);
    let mut after: Option<String> = None;
    loop {
        let page = store.scan(&prefix, None, after.as_deref(), PAGE).await?;
        let mut metas = page.records.iter().filter_map(generic::meta);
        if let Some(meta) = metas.find(|meta| meta.uid == uid) {
            return Ok(Some(meta.namespace.unwrap_or_default()));
        }
        after = page.records.last().map(|record| record.key.clone());
        if !page.more || after.is_none() {
            return Ok(None);
        }
    }
}

fn tell(shared: &Shared, resource: &Resource, object: &Generic, owner: &OwnerReference) {
    let namespace = object.meta.namespace.clone().unwrap_or_default();
    let message = format!(
        "ownerRef [{}/{}, name: {}, uid: {}] does not exist in namespace {namespace:?}: an owner \
         is in the namespace of what it owns, or has none",
        owner.api_version, owner.kind, owner.name, owner.uid
    );
    let subject = Subject::of(resource, &object.meta);
    shared.events.record(&subject, Level::Warning, reasons::OWNER_REF_INVALID_NAMESPACE, &message);
}
