//! Turns what is read into a list or a table: whole, or as it comes.

use std::sync::Arc;

use bytes::Bytes;
use ebb_kit::Clock;
use futures_util::stream;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::options::{Options, check_not_older};
use super::token::Continue;
use super::{Found, PAGE, Pages};
use crate::body::{self, Body};
use crate::context::{Context, Target, View};
use crate::gzip::Large;
use crate::registry::Kind;
use crate::status::Failure;
use crate::table::{self, Include};
use crate::verbs::TABLE;
use crate::{raw, storage};

/// Answers a list. The first page is read before, so that what is wrong is still said as a Status.
pub(super) async fn answer(
    context: &Context,
    target: &Target,
    options: Options,
) -> Result<Response<Body>, Failure> {
    let Options { selector, limit, at, after, remaining, continued, view } = options;
    let form = Form { kind: target.kind, view, clock: Arc::clone(&context.app.deps.clock) };
    let content_type = if matches!(view, View::Table(_)) { TABLE } else { "application/json" };
    let pages = Pages::new(context, target, selector).from(at, after.clone()).limit(limit);
    let mut pages = pages.remaining(remaining);
    let (mut items, mut count) = (Vec::new(), 0);
    while let Some(found) = pages.next().await.map_err(|f| expired(f, continued, after.as_ref()))? {
        check_not_older(context, pages.version())?;
        form.items(&found, &mut count, &mut items)?;
        if count >= PAGE {
            break;
        }
    }
    if pages.ended() {
        let metadata = metadata(&pages).await.map_err(|f| expired(f, continued, after.as_ref()))?;
        let body = form.whole(&metadata, &items);
        return Ok(body::bytes(StatusCode::OK, Bytes::from(body), content_type));
    }
    let known = limit == usize::MAX;
    let known_now = if known { Some(metadata(&pages).await?) } else { None };
    let mut head = form.head(known_now.as_ref());
    head.append(&mut items);
    let rest = Rest { form, pages, count, known, first: Some(head), ended: false };
    let chunks = stream::unfold(rest, |mut rest| async move {
        let chunk = rest.next().await?;
        Some((chunk, rest))
    });
    let mut response = body::try_stream(chunks, content_type);
    response.extensions_mut().insert(Large);
    Ok(response)
}

/// A page whose version is gone is told how to get the rest without it.
pub(super) fn expired(failure: Failure, continued: bool, after: Option<&String>) -> Failure {
    let Some(after) = after.filter(|_| continued) else { return failure };
    match failure.reason {
        "Expired" => {
            let token = Continue { version: 0, after: after.clone(), remaining: None };
            token.encode().map_or(failure, Failure::expired_continue)
        }
        // Nobody was given a version that is not there yet.
        "Timeout" => Continue::invalid(),
        _ => failure,
    }
}

/// The metadata of the list so far.
pub(super) async fn metadata(pages: &Pages) -> Result<Value, Failure> {
    let version = pages.version();
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if let Some(after) = pages.rest() {
        let remaining = pages.count().await?;
        if let Some(remaining) = remaining {
            metadata["remainingItemCount"] = json!(remaining);
        }
        let token = Continue { version, after: after.to_owned(), remaining };
        metadata["continue"] = json!(token.encode()?);
    }
    Ok(metadata)
}

/// A list that is sent as it is read.
struct Rest {
    form: Form,
    pages: Pages,
    count: usize,
    /// Whether the metadata stand at the beginning. They can when there is no limit, and so nothing
    /// to continue with.
    known: bool,
    first: Option<Vec<u8>>,
    ended: bool,
}

impl Rest {
    /// The next piece; an error breaks the answer off, so that nobody takes it for whole.
    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(Bytes::from(first)));
        }
        if self.ended {
            return None;
        }
        let piece = self.piece().await;
        self.ended |= piece.is_err();
        Some(piece.map_err(|failure| {
            tracing::debug!(reason = failure.message, "a list was broken off");
            std::io::Error::other(failure.message.clone())
        }))
    }

    async fn piece(&mut self) -> Result<Bytes, Failure> {
        let mut items = Vec::new();
        if let Some(found) = self.pages.next().await? {
            self.form.items(&found, &mut self.count, &mut items)?;
        }
        if self.pages.ended() {
            self.ended = true;
            let metadata = if self.known { None } else { Some(metadata(&self.pages).await?) };
            Form::tail(metadata.as_ref(), &mut items);
        }
        Ok(Bytes::from(items))
    }
}

/// How a list is written.
struct Form {
    kind: &'static Kind,
    view: View,
    clock: Arc<dyn Clock>,
}

impl Form {
    fn whole(&self, metadata: &Value, items: &[u8]) -> Vec<u8> {
        let mut body = self.head(Some(metadata));
        body.extend_from_slice(items);
        Self::tail(None, &mut body);
        body
    }

    /// Everything before the first item.
    fn head(&self, metadata: Option<&Value>) -> Vec<u8> {
        let metadata = metadata.map(|value| format!(",\"metadata\":{value}")).unwrap_or_default();
        let (kind, version) = match self.view {
            View::Whole => (self.kind.kind, self.kind.api_version()),
            View::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            View::Table(_) => {
                let columns = table::definitions(self.kind.columns);
                return format!(
                    "{{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/v1\"{metadata},\
                     \"columnDefinitions\":{columns},\"rows\":["
                )
                .into_bytes();
            }
        };
        format!("{{\"kind\":\"{kind}List\",\"apiVersion\":\"{version}\"{metadata},\"items\":[")
            .into_bytes()
    }

    /// Everything after the last item.
    fn tail(metadata: Option<&Value>, out: &mut Vec<u8>) {
        out.push(b']');
        if let Some(metadata) = metadata {
            out.extend_from_slice(format!(",\"metadata\":{metadata}").as_bytes());
        }
        out.push(b'}');
    }

    /// Appends items or rows, with a comma before each but the very first.
    fn items(&self, found: &[Found], count: &mut usize, out: &mut Vec<u8>) -> Result<(), Failure> {
        for one in found {
            if *count > 0 {
                out.push(b',');
            }
            *count += 1;
            match self.view {
                View::Whole => raw::object(self.kind, &one.record, one.record.version, out)?,
                View::Metadata => raw::partial(self.kind, &one.record, one.record.version, out)?,
                View::Table(include) => self.row(one, include, out)?,
            }
        }
        Ok(())
    }

    fn row(&self, one: &Found, include: Include, out: &mut Vec<u8>) -> Result<(), Failure> {
        let now = self.clock.now();
        let cells = Value::from(match &one.object {
            Some(object) => (self.kind.cells)(object, now),
            None => (self.kind.cells)(&storage::read(self.kind, &one.record)?, now),
        });
        out.extend_from_slice(format!("{{\"cells\":{cells}").as_bytes());
        match include {
            Include::None => {}
            Include::Metadata => {
                out.extend_from_slice(b",\"object\":");
                raw::partial(self.kind, &one.record, one.record.version, out)?;
            }
            Include::Object => {
                out.extend_from_slice(b",\"object\":");
                raw::object(self.kind, &one.record, one.record.version, out)?;
            }
        }
        out.push(b'}');
        Ok(())
    }
}
