//! Answer an object that is not stored.

use http::{Response, StatusCode};

use super::{body_tree, warn};
use crate::admission::{self, Strictness};
use crate::body::{self, Body};
use crate::context::{Context, Target};
use crate::registry::Answer;
use crate::status::Failure;

/// Reads the object like any other, and gives it back with what the server says to it. There is
/// nothing to keep, so `dryRun` changes nothing.
pub(crate) fn answer(
    context: &Context,
    target: &Target,
    answer: Answer,
    content_type: Option<&str>,
    bytes: &[u8],
) -> Result<Response<Body>, Failure> {
    let strictness = Strictness::of(&context.query)?;
    context.query.dry_run()?;
    let tree = body_tree(target.kind, content_type, bytes)?;
    let mut admitted = admission::answered(target.kind, tree, strictness)?;
    answer(context.principal, &mut admitted.object);
    Ok(warn(body::json(StatusCode::CREATED, &admitted.object), &admitted.warnings))
}
