//! Change parts of one object.

use http::Response;

use super::update::{self, Change};
use crate::body::Body;
use crate::context::{Context, Target};
use crate::decode::{self, Tree};
use crate::status::Failure;
use crate::{meta, patch as form};

/// Applies a merge patch, or a strategic merge patch that means the same, to what is stored.
pub(crate) async fn patch(
    context: &Context,
    target: &Target,
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<Response<Body>, Failure> {
    let strategic = match content_type {
        Some("application/merge-patch+json") => false,
        Some("application/strategic-merge-patch+json") if target.kind.strategic => true,
        other => return Err(refuse(target, other)),
    };
    let changes = decode::json(bytes)?;
    if !changes.value.is_object() {
        return Err(Failure::bad_request("INVALID_JSON", "the patch is not an object"));
    }
    if strategic {
        form::check_strategic(&changes.value)?;
    }
    let versioned = meta::text(&changes.value, "resourceVersion").is_some();
    update::change(context, target, |old| {
        let mut value = old.clone();
        form::merge(&mut value, &changes.value);
        let tree = Tree { value, duplicates: changes.duplicates.clone() };
        Ok(Change { tree, versioned })
    })
    .await
}

fn refuse(target: &Target, content_type: Option<&str>) -> Failure {
    let message = match content_type {
        Some("application/apply-patch+yaml") => {
            "server-side apply is not served yet: use kubectl apply without --server-side, which \
             sends a merge patch"
                .to_owned()
        }
        Some("application/json-patch+json") => {
            "JSON patch is not served yet: send application/merge-patch+json".to_owned()
        }
        other => format!(
            "the body of the request was in an unknown format ({}): {} accepted",
            other.unwrap_or("no Content-Type"),
            if target.kind.strategic {
                "application/merge-patch+json and application/strategic-merge-patch+json are"
            } else {
                "application/merge-patch+json is"
            }
        ),
    };
    Failure::unsupported_media_type(message)
}
