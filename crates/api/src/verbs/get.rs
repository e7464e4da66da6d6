//! Read one object.

use bytes::Bytes;
use ebb_store::Record;
use http::{Response, StatusCode};

use crate::body::{self, Body};
use crate::context::{Context, Target, View};
use crate::status::Failure;
use crate::verbs::{self, list};
use crate::{raw, storage};

/// The newest form of the object, which is no older than any version that was given out.
pub(crate) async fn get(context: &Context, target: &Target) -> Result<Response<Body>, Failure> {
    let asked = context.query.get("resourceVersion").map(storage::version).transpose()?;
    let found = context.app.store(target.kind).get(&target.key()).await?;
    if let Some(asked) = asked
        && found.as_ref().is_none_or(|record| record.version < asked)
    {
        let newest = context.app.store(target.kind).scan("/", None, None, 1).await?.version;
        list::check_not_older(context, newest)?;
    }
    let record = found.ok_or_else(|| Failure::not_found(target.kind, target.name()))?;
    let mut body = Vec::new();
    match context.view {
        View::Whole => raw::object(target.kind, &record, record.version, &mut body)?,
        View::Metadata => raw::partial(target.kind, &record, record.version, &mut body)?,
        View::Table(_) => {
            let object = storage::read(target.kind, &record)?;
            return Ok(verbs::object(context, target, StatusCode::OK, object));
        }
    }
    Ok(body::bytes(StatusCode::OK, Bytes::from(body), "application/json"))
}

/// The record of the object, or 404.
pub(crate) async fn record(context: &Context, target: &Target) -> Result<Record, Failure> {
    let found = context.app.store(target.kind).get(&target.key()).await?;
    found.ok_or_else(|| Failure::not_found(target.kind, target.name()))
}

/// Whether the object is there.
pub(crate) async fn exists(context: &Context, target: &Target) -> Result<bool, Failure> {
    Ok(context.app.store(target.kind).get(&target.key()).await?.is_some())
}
