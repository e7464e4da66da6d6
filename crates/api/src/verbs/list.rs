//! Read many objects, all of one version.
//!
//! What fits into one page of the store is answered whole. What does not is sent as it is read,
//! page by page, so that a list of everything needs no more memory than a short one.

mod answer;
mod options;
mod pages;
mod token;

use http::Response;
use serde_json::Value;

use crate::body::Body;
use crate::context::{Context, Target};
use crate::select::Selector;
use crate::status::Failure;
use crate::storage;

pub(crate) use options::{check_not_older, options_fault, selector};
pub(crate) use pages::{Found, Pages};

/// Records read from the store at a time.
const PAGE: usize = 500;

/// Answers a list or its next page.
pub(crate) async fn list(context: &Context, target: &Target) -> Result<Response<Body>, Failure> {
    let options = options::Options::of(context, target)?;
    answer::answer(context, target, options).await
}

/// What a list of whole objects would answer, read at once.
pub(crate) struct Whole {
    pub(crate) objects: Vec<Value>,
    /// Metadata of the list: its version, and what follows it.
    pub(crate) metadata: Value,
    pub(crate) selector: Selector,
}

/// Reads what a list with the options of this request would show.
///
/// # Errors
/// As those of a list.
pub(crate) async fn whole(context: &Context, target: &Target) -> Result<Whole, Failure> {
    let options = options::Options::of(context, target)?;
    let options::Options { selector, limit, at, after, remaining, continued, .. } = options;
    let failed = |failure| answer::expired(failure, continued, after.as_ref());
    let pages = Pages::new(context, target, selector.clone()).from(at, after.clone());
    let mut pages = pages.limit(limit).remaining(remaining);
    let objects = objects(target, &mut pages).await.map_err(failed)?;
    check_not_older(context, pages.version())?;
    let metadata = answer::metadata(&pages).await.map_err(failed)?;
    Ok(Whole { objects, metadata, selector })
}

async fn objects(target: &Target, pages: &mut Pages) -> Result<Vec<Value>, Failure> {
    let mut objects = Vec::new();
    while let Some(found) = pages.next().await? {
        for one in found {
            objects.push(match one.object {
                Some(object) => object,
                None => storage::read(target.kind, &one.record)?,
            });
        }
    }
    Ok(objects)
}

/// Prefix of the keys that can be meant.
pub(crate) fn prefix(target: &Target, selector: &Selector) -> String {
    let name = target.name.as_deref().or_else(|| selector.name());
    match (name, &target.namespace) {
        (Some(name), Some(namespace)) => target.kind.key(namespace, name),
        (Some(name), None) if !target.kind.namespaced => target.kind.key("", name),
        _ if target.kind.namespaced => target.kind.prefix(target.namespace.as_deref()),
        _ => target.kind.prefix(Some("")),
    }
}
