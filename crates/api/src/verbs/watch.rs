//! Follow changes, one JSON event per line.

mod feed;
mod lines;

use std::time::Duration;

use futures_util::stream;
use http::Response;

use super::list::{self, Pages, options_fault};
use crate::body::{self, Body};
use crate::context::{Context, Query, Target};
use crate::status::Failure;
use crate::storage;

/// A watch without `timeoutSeconds` ends after this, plus up to as much again: as in Kubernetes,
/// so that clients do not all come back at once.
const DEFAULT_TIMEOUT_SECONDS: u64 = 1_800;
/// Longest time of a watch.
const MAX_TIMEOUT_SECONDS: u64 = 86_400;

/// How a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Every object that is there comes first.
    Objects {
        /// Whether the client is told when that was all.
        tell_end: bool,
    },
    /// What happens from now on.
    Newest,
    /// What happened since this version.
    Since(u64),
}

impl Start {
    /// # Errors
    /// 422 for options that do not go together, 400 for values that cannot be read. The rules are
    /// those of Kubernetes' `ListOptions` for watches.
    fn of(query: &Query) -> Result<Self, Failure> {
        let asked = query.get("sendInitialEvents").is_some();
        let how = query.get("resourceVersionMatch");
        let mut faults = Vec::new();
        let mut fault = |what, why| faults.push(options_fault("resourceVersionMatch", what, why));
        if asked && how != Some("NotOlderThan") {
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            fault("Forbidden", why);
        }
        if how.is_some() && !asked {
            let why =
                "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            fault("Forbidden", why);
        }
        if how.is_some_and(|how| how != "NotOlderThan") {
            fault("Unsupported value", "only \"NotOlderThan\" is supported for watch");
        }
        if how.is_some() && query.get("continue").is_some() {
            fault("Forbidden", "resourceVersionMatch is forbidden when continue is provided");
        }
        if !faults.is_empty() {
            return Err(Failure::invalid_options("ListOptions", "meta.k8s.io", "", faults));
        }
        let version = query.get("resourceVersion").map(storage::version).transpose()?;
        let version = version.filter(|version| *version > 0);
        let initial = query.flag("sendInitialEvents")?;
        Ok(match (asked, version) {
            (true, _) if initial => Self::Objects { tell_end: true },
            (true, None) => Self::Newest,
            (false, None) => Self::Objects { tell_end: false },
            (_, Some(version)) => Self::Since(version),
        })
    }
}

/// Whether the watch begins with a list of everything.
///
/// # Errors
/// As the watch itself.
pub(crate) fn starts_with_list(query: &Query) -> Result<bool, Failure> {
    Ok(matches!(Start::of(query)?, Start::Objects { .. }))
}

/// Answers a watch.
pub(crate) async fn watch(context: &Context, target: &Target) -> Result<Response<Body>, Failure> {
    let query = &context.query;
    let start = Start::of(query)?;
    let selector = list::selector(context, target)?;
    // Neither limits nor changes anything of a watch, as in Kubernetes; checked all the same.
    query.number("limit")?;
    let timeout = query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0);
    let jitter = crate::entropy::below(DEFAULT_TIMEOUT_SECONDS);
    let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT_SECONDS + jitter).min(MAX_TIMEOUT_SECONDS);
    let options = feed::Options {
        target: target.clone(),
        prefix: list::prefix(target, &selector),
        selector: selector.clone(),
        view: context.view,
        bookmarks: query.flag("allowWatchBookmarks")?,
        tell_end: start == Start::Objects { tell_end: true },
        timeout: Duration::from_secs(timeout),
    };
    let app = std::sync::Arc::clone(&context.app);
    let mut feed = feed::Feed::new(app, options);
    match start {
        Start::Since(version) => feed.resume(version).await,
        Start::Newest => {
            let newest = context.app.store(target.kind).scan("/", None, None, 1).await?.version;
            feed.follow(newest).await;
        }
        Start::Objects { .. } => {
            let mut pages = Pages::new(context, target, selector);
            // Read before anything is answered, so that what is wrong is said as a Status.
            let first = pages.next().await?.unwrap_or_default();
            list::check_not_older(context, pages.version())?;
            feed.begin_with(&first, pages).await;
        }
    }
    let chunks =
        stream::unfold(
            feed,
            |mut feed| async move { feed.next().await.map(|chunk| (chunk, feed)) },
        );
    Ok(body::stream(chunks, "application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_watch_begins() {
        let not_older = "resourceVersionMatch=NotOlderThan";
        for (query, want) in [
            (String::new(), Start::Objects { tell_end: false }),
            ("resourceVersion=0".to_owned(), Start::Objects { tell_end: false }),
            ("resourceVersion=7".to_owned(), Start::Since(7)),
            (format!("sendInitialEvents=true&{not_older}"), Start::Objects { tell_end: true }),
            (
                format!("sendInitialEvents=true&{not_older}&resourceVersion=7"),
                Start::Objects { tell_end: true },
            ),
            (format!("sendInitialEvents=false&{not_older}"), Start::Newest),
            (format!("sendInitialEvents=false&{not_older}&resourceVersion=7"), Start::Since(7)),
        ] {
            let query = Query::parse(&query).unwrap();
            assert_eq!(Start::of(&query).unwrap(), want, "{query:?}");
        }
        for bad in [
            "sendInitialEvents=true",
            "sendInitialEvents=false",
            "sendInitialEvents=true&resourceVersionMatch=Exact",
            "resourceVersionMatch=NotOlderThan&resourceVersion=7",
            "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x",
        ] {
            let failure = Start::of(&Query::parse(bad).unwrap()).unwrap_err();
            assert_eq!((failure.status.as_u16(), failure.reason), (422, "Invalid"), "{bad}");
            let start = "ListOptions.meta.k8s.io \"\" is invalid: ";
            assert!(failure.message.starts_with(start), "{}", failure.message);
        }
    }
}
