//! Read many objects, in pages of one version.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::TABLE;
use crate::body::{self, Body};
use crate::context::{Context, Target};
use crate::select::Selector;
use crate::status::Failure;
use crate::table::{self, Include};
use crate::{meta, storage};

/// Records read from the store at a time.
const CHUNK: usize = 500;

/// Where the next page starts. Given to the client as an opaque text.
#[derive(Debug, Serialize, Deserialize)]
struct Continue {
    version: u64,
    after: String,
}

/// Objects as of one version.
pub(crate) struct Page {
    pub(crate) objects: Vec<Value>,
    pub(crate) version: u64,
    next: Option<String>,
}

/// Answers a list or its next page.
pub(crate) async fn list(context: &Context, target: &Target) -> Result<Response<Body>, Failure> {
    let selector = selector(context, target)?;
    let limit = context.query.number("limit")?.unwrap_or(0);
    let limit = match usize::try_from(limit).unwrap_or(usize::MAX) {
        0 => usize::MAX,
        limit => limit,
    };
    let (at, after) = start(context, target)?;
    let page = page(context, target, &selector, (at, after), limit).await?;
    check_not_older(context, page.version)?;
    let mut metadata = json!({ "resourceVersion": page.version.to_string() });
    if let Some(next) = page.next {
        metadata["continue"] = json!(next);
    }
    if context.table {
        let include = Include::of(&context.query)?;
        let now = context.app.deps.clock.now();
        let table = table::table(target.kind, &page.objects, &metadata, include, true, now);
        return Ok(body::json_as(StatusCode::OK, &table, TABLE));
    }
    let list = json!({
        "kind": format!("{}List", target.kind.kind),
        "apiVersion": target.kind.api_version(),
        "metadata": metadata,
        "items": page.objects,
    });
    Ok(body::json(StatusCode::OK, &list))
}

/// What the query selects.
pub(crate) fn selector(context: &Context, target: &Target) -> Result<Selector, Failure> {
    let query = &context.query;
    Selector::parse(target.kind, query.get("labelSelector"), query.get("fieldSelector"))
}

/// Prefix of the keys that can be meant.
pub(crate) fn prefix(target: &Target, selector: &Selector) -> String {
    let name = target.name.as_deref().or_else(|| selector.name());
    match (name, &target.namespace) {
        (Some(name), Some(namespace)) => target.kind.key(namespace, name),
        (Some(name), None) if !target.kind.namespaced => target.kind.key("", name),
        _ if target.kind.namespaced => target.kind.prefix(target.namespace.as_deref()),
        _ => target.kind.prefix(Some("")),
    }
}

/// Whether the object is the one that the path names, if it names one.
pub(crate) fn named(target: &Target, object: &Value) -> bool {
    target.name.as_deref().is_none_or(|name| meta::text(object, "name") == Some(name))
}

/// Version and key that the page starts at.
fn start(context: &Context, target: &Target) -> Result<(Option<u64>, Option<String>), Failure> {
    let query = &context.query;
    if let Some(token) = query.get("continue") {
        let prefix = target.kind.prefix(target.namespace.as_deref());
        let decoded = URL_SAFE_NO_PAD.decode(token).ok();
        let decoded = decoded.and_then(|bytes| serde_json::from_slice::<Continue>(&bytes).ok());
        // A token for another collection would be harmless, as the prefix is ours; it is refused
        // because it can only be a mistake.
        let Some(from) = decoded.filter(|from| from.after.starts_with(&prefix)) else {
            return Err(Failure::bad_request(
                "INVALID_CONTINUE",
                "continue is not a token that this list gave out",
            ));
        };
        return Ok((Some(from.version), Some(from.after)));
    }
    let exact = query.get("resourceVersionMatch") == Some("Exact");
    let version = query.get("resourceVersion").map(storage::version).transpose()?;
    Ok((version.filter(|version| exact && *version > 0), None))
}

/// A client that saw a version must not be shown an older one.
fn check_not_older(context: &Context, version: u64) -> Result<(), Failure> {
    let asked = context.query.get("resourceVersion").map(storage::version).transpose()?;
    match asked.filter(|asked| *asked > version) {
        Some(asked) => Err(ebb_store::Error::FutureVersion { asked, newest: version }.into()),
        None => Ok(()),
    }
}

/// Reads at most `limit` selected objects from `start` on, all as of one version.
pub(crate) async fn page(
    context: &Context,
    target: &Target,
    selector: &Selector,
    start: (Option<u64>, Option<String>),
    limit: usize,
) -> Result<Page, Failure> {
    let store = context.app.store(target.kind);
    let prefix = prefix(target, selector);
    let (mut version, mut after) = start;
    let mut objects = Vec::new();
    loop {
        let want = CHUNK.min(limit.saturating_sub(objects.len()).max(1));
        let scan = store.scan(&prefix, version, after.as_deref(), want).await?;
        version = Some(scan.version);
        for record in &scan.records {
            let object = storage::read(target.kind, record)?;
            if selector.matches(&object) && named(target, &object) {
                objects.push(object);
            }
        }
        let last = scan.records.last().map(|record| record.key.clone());
        let (Some(last), true) = (last, scan.more) else {
            return Ok(Page { objects, version: scan.version, next: None });
        };
        if objects.len() >= limit {
            let token = Continue { version: scan.version, after: last };
            let json = serde_json::to_vec(&token).map_err(|e| Failure::internal(e.to_string()))?;
            let next = Some(URL_SAFE_NO_PAD.encode(json));
            return Ok(Page { objects, version: scan.version, next });
        }
        after = Some(last);
    }
}
