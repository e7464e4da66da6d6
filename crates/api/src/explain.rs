//! Why a Service has the instances that it has.

use http::{Response, StatusCode};
use serde_json::json;

use crate::body::{self, Body};
use crate::context::{Context, Target};
use crate::platform::Explanation;
use crate::status::Failure;
use crate::verbs;

/// Answers the last decisions and cold requests; empty lists for a Service that controllers have
/// not seen yet.
pub(crate) async fn read(context: &Context, target: &Target) -> Result<Response<Body>, Failure> {
    verbs::get::record(context, target).await?;
    let platform = &context.app.deps.platform;
    let found = platform.explain(target.namespace(), target.name()).await.unwrap_or_default();
    let Explanation { decisions, cold_starts } = found;
    let value = json!({
        "kind": "Explanation",
        "apiVersion": "ebb.dev/v1",
        "metadata": { "namespace": target.namespace(), "name": target.name() },
        "decisions": decisions,
        "coldStarts": cold_starts,
    });
    Ok(body::json(StatusCode::OK, &value))
}
