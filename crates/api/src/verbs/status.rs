//! The `status` subresource: what controllers observed, apart from what was asked for.

use http::Response;
use http::request::Parts;

use super::{get, patch, update};
use crate::auth::Verb;
use crate::body::{self, Body, Sent};
use crate::context::{Context, Target};
use crate::dispatch::content_type;
use crate::status::Failure;

/// Answers one verb of it: the whole object each time, and a write changes its status only.
pub(crate) async fn serve(
    context: &Context,
    verb: Verb,
    target: &Target,
    parts: &Parts,
    sent: Sent,
) -> Result<Response<Body>, Failure> {
    if verb == Verb::Get {
        return get::get(context, target).await;
    }
    let bytes = body::read(sent, context.app.max_body_bytes).await?;
    let content_type = content_type(parts);
    match verb {
        Verb::Patch => patch::patch(context, target, content_type, &bytes).await,
        _ => update::update(context, target, content_type, &bytes).await,
    }
}
