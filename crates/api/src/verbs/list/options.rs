//! What a list is asked for: checked by the rules of Kubernetes' `ListOptions`.

use ebb_model::{Fault, Kind as FaultKind};

use super::token::Continue;
use crate::context::{Context, Query, Target, View};
use crate::select::Selector;
use crate::status::Failure;
use crate::storage;

/// What a list is asked for.
pub(super) struct Options {
    pub(super) selector: Selector,
    /// Most objects of the answer; `usize::MAX` for all.
    pub(super) limit: usize,
    /// The version to show; none for the newest.
    pub(super) at: Option<u64>,
    /// Key that the page starts behind.
    pub(super) after: Option<String>,
    /// How many objects follow that key, as the page before said.
    pub(super) remaining: Option<u64>,
    /// Whether this is a later page at the version of the first.
    pub(super) continued: bool,
    /// How the objects are shown.
    pub(super) view: View,
}

impl Options {
    /// # Errors
    /// 422 for options that do not go together, 400 for values that cannot be read.
    pub(super) fn of(context: &Context, target: &Target) -> Result<Self, Failure> {
        let query = &context.query;
        check(query)?;
        let selector = selector(context, target)?;
        let limit = query.number("limit")?.filter(|limit| *limit > 0);
        // How long a client waits is its own business; here it is checked only.
        query.number("timeoutSeconds")?;
        let version = query.get("resourceVersion").map(storage::version).transpose()?;
        let (mut at, mut after, mut remaining) = (None, None, None);
        if let Some(token) = query.get("continue") {
            let prefix = target.kind.prefix(target.namespace.as_deref());
            let token = Continue::decode(token, &prefix)?;
            at = Some(token.version).filter(|version| *version > 0);
            after = Some(token.after);
            remaining = token.remaining;
        } else if exact(query, limit.is_some()) {
            at = version.filter(|version| *version > 0);
        }
        let continued = after.is_some() && at.is_some();
        let limit = usize::try_from(limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        Ok(Self { selector, limit, at, after, remaining, continued, view: context.view })
    }
}

/// Whether the version asked for is the one to show. A first page with a version and nothing else
/// said means that too, as it always has.
fn exact(query: &Query, limited: bool) -> bool {
    match query.get("resourceVersionMatch") {
        Some(how) => how == "Exact",
        None => limited,
    }
}

fn check(query: &Query) -> Result<(), Failure> {
    let version = query.get("resourceVersion");
    let continues = query.get("continue").is_some();
    let mut faults = Vec::new();
    if let Some(how) = query.get("resourceVersionMatch") {
        let mut forbid =
            |why: &str| faults.push(options_fault("resourceVersionMatch", "Forbidden", why));
        if version.is_none() {
            forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if continues {
            forbid("resourceVersionMatch is forbidden when continue is provided");
        }
        if how == "Exact" && version == Some("0") {
            forbid("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
        if !matches!(how, "Exact" | "NotOlderThan") {
            let what = format!("{how:?}: supported values: \"Exact\", \"NotOlderThan\"");
            faults.push(options_fault("resourceVersionMatch", "Unsupported value", &what));
        }
    }
    if query.get("sendInitialEvents").is_some() {
        let why = "sendInitialEvents is forbidden for list";
        faults.push(options_fault("sendInitialEvents", "Forbidden", why));
    }
    if !faults.is_empty() {
        return Err(Failure::invalid_options("ListOptions", "meta.k8s.io", "", faults));
    }
    if continues && version.is_some_and(|version| version != "0") {
        return Err(Failure::bad_request(
            "INVALID_PARAMETER",
            "specifying resource version is not allowed when using continue",
        ));
    }
    Ok(())
}

/// One thing that is wrong with the options of a request.
pub(crate) fn options_fault(field: &str, what: &str, why: &str) -> Fault {
    Fault::new("INVALID_PARAMETER", FaultKind::Invalid, format!("{what}: {why}")).at(field)
}

/// What the query selects.
pub(crate) fn selector(context: &Context, target: &Target) -> Result<Selector, Failure> {
    let query = &context.query;
    Selector::parse(target.kind, query.get("labelSelector"), query.get("fieldSelector"))
}

/// A client that saw a version must not be shown an older one.
pub(crate) fn check_not_older(context: &Context, version: u64) -> Result<(), Failure> {
    let asked = context.query.get("resourceVersion").map(storage::version).transpose()?;
    match asked.filter(|asked| *asked > version) {
        Some(asked) => Err(ebb_store::Error::FutureVersion { asked, newest: version }.into()),
        None => Ok(()),
    }
}
