//! Read one object.

use ebb_store::Record;
use http::{Response, StatusCode};

use crate::body::Body;
use crate::context::{Context, Target};
use crate::status::Failure;
use crate::{storage, verbs};

/// The newest form of the object. Every `resourceVersion` that a client may ask for at least is
/// satisfied by it.
pub(crate) async fn get(context: &Context, target: &Target) -> Result<Response<Body>, Failure> {
    let record = record(context, target).await?;
    let object = storage::read(target.kind, &record)?;
    verbs::object(context, target, StatusCode::OK, object)
}

/// The record of the object, or 404.
pub(crate) async fn record(context: &Context, target: &Target) -> Result<Record, Failure> {
    let found = context.app.store(target.kind).get(&target.key()).await?;
    found.ok_or_else(|| Failure::not_found(target.kind, target.name()))
}
