//! Remove many objects.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::delete::{self, Outcome, is};
use super::delete_options::Options;
use super::{list, revision};
use crate::body::{self, Body};
use crate::context::{Context, Target};
use crate::kinds;
use crate::status::Failure;
use crate::{meta, storage};

/// How often an object is tried again that is being changed.
const TRIES: usize = 8;

/// Removes the objects that a list with the same options would show, and answers that list: the
/// objects as they were before. With `limit`, so many at most; `continue` then leads to the rest of
/// what there was.
pub(crate) async fn delete(
    context: &Context,
    target: &Target,
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<Response<Body>, Failure> {
    let options = Options::read(context, content_type, bytes)?;
    options.check_none()?;
    let list::Whole { objects, metadata, selector } = list::whole(context, target).await?;
    let targets: Vec<Target> = objects.iter().map(|object| named(target, object)).collect();
    if is(target.kind, &kinds::revision::KIND) {
        // All or nothing: one that takes requests stays, and then so do the others.
        for target in &targets {
            revision::check_unrouted(context, target).await?;
        }
    }
    for target in &targets {
        remove(context, target, &options, |object| selector.matches(object)).await?;
    }
    let list = json!({
        "kind": format!("{}List", target.kind.kind),
        "apiVersion": target.kind.api_version(),
        "metadata": metadata,
        "items": objects,
    });
    Ok(body::json(StatusCode::OK, &list))
}

/// The target of one object of a collection.
fn named(target: &Target, object: &Value) -> Target {
    let text = |field: &str| meta::text(object, field).map(str::to_owned);
    Target { namespace: text("namespace"), name: text("name"), ..target.clone() }
}

/// Removes one object, if it is still there and still selected.
async fn remove(
    context: &Context,
    target: &Target,
    options: &Options,
    selected: impl Fn(&Value) -> bool,
) -> Result<(), Failure> {
    let store = context.app.store(target.kind);
    for _ in 0..TRIES {
        let Some(record) = store.get(&target.key()).await? else { return Ok(()) };
        let object = storage::read(target.kind, &record)?;
        if !selected(&object) {
            return Ok(());
        }
        match delete::one(context, target, options, &record, object).await {
            Ok(Outcome::Gone(_) | Outcome::Marked(_)) => return Ok(()),
            Ok(Outcome::Changed) => {}
            // Somebody else was faster.
            Err(failure) if failure.status == StatusCode::NOT_FOUND => return Ok(()),
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::conflict(target.kind, target.name(), "it is being changed all the time"))
}
