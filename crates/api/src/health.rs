//! Whether the server lives and is ready. Who gets an answer has the answer: there is one check.

use http::{Response, StatusCode};

use crate::body::{self, Body};
use crate::context::Query;

/// Every path of it; each has the check `ping` below it.
pub(crate) const PATHS: [&str; 3] = ["healthz", "livez", "readyz"];

/// `ok`, or with `verbose` each check on a line.
pub(crate) fn answer(path: &'static str, query: &Query) -> Response<Body> {
    if !query.has("verbose") {
        return body::text(StatusCode::OK, "ok");
    }
    let text = format!("[+]ping ok\n{path} check passed\n");
    body::bytes(StatusCode::OK, text.into(), "text/plain; charset=utf-8")
}
