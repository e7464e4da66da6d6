//! Follow changes, one JSON event per line.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ebb_kit::{Clock, Shutdown};
use ebb_model::{Fault, Kind as FaultKind};
use ebb_store::{WatchEvent, Watcher};
use futures_util::stream;
use http::Response;
use serde_json::{Value, json};
use tokio::time::{Interval, MissedTickBehavior, Sleep};

use super::list;
use crate::body::{self, Body};
use crate::context::{Context, Target};
use crate::registry::Kind;
use crate::select::Selector;
use crate::status::Failure;
use crate::storage;
use crate::table::{self, Include};

/// How often a client that allows bookmarks hears where it stands. As in Kubernetes.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// A watch without `timeoutSeconds` ends after this, plus up to as much again: as in Kubernetes,
/// so that clients do not all come back at once.
const DEFAULT_TIMEOUT_SECONDS: u64 = 1_800;

/// Answers a watch. Without a version, or with version 0, every object that is there comes first.
pub(crate) async fn watch(context: &Context, target: &Target) -> Result<Response<Body>, Failure> {
    let query = &context.query;
    if query.flag("sendInitialEvents")? {
        let fault =
            Fault::new("UNSUPPORTED_FIELD", FaultKind::Invalid, "Forbidden: not served yet")
                .hint("list first, then watch from the version of the list");
        let faults = vec![fault.at("sendInitialEvents")];
        return Err(Failure::invalid(target.kind, "", faults));
    }
    let selector = list::selector(context, target)?;
    let jitter = rand::random_range(0..DEFAULT_TIMEOUT_SECONDS);
    let timeout = query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0);
    let timeout = timeout.unwrap_or(DEFAULT_TIMEOUT_SECONDS + jitter).min(86_400);
    let since = query.get("resourceVersion").map(storage::version).transpose()?.unwrap_or(0);
    let table = if context.table { Some(Include::of(query)?) } else { None };
    let (objects, since) = match since {
        0 => {
            let all = list::page(context, target, &selector, (None, None), usize::MAX).await?;
            (all.objects, all.version)
        }
        since => (Vec::new(), since),
    };
    let prefix = list::prefix(target, &selector);
    let watcher = context.app.store(target.kind).watch(&prefix, since).await;
    let mut bookmarks = tokio::time::interval(BOOKMARK_EVERY);
    bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    bookmarks.reset();
    let mut feed = Feed {
        target: target.clone(),
        selector,
        table,
        columns_sent: false,
        clock: Arc::clone(&context.app.deps.clock),
        pending: VecDeque::new(),
        watcher: None,
        seen: since,
        bookmarks: query.flag("allowWatchBookmarks")?.then_some(bookmarks),
        end: Box::pin(tokio::time::sleep(Duration::from_secs(timeout))),
        shutdown: context.app.shutdown.clone(),
    };
    for object in objects {
        feed.send("ADDED", &object);
    }
    match watcher {
        Ok(watcher) => feed.watcher = Some(watcher),
        // Told as an event, as clients expect it; the stream then ends.
        Err(error) => feed.fail(error.into()),
    }
    let chunks =
        stream::unfold(
            feed,
            |mut feed| async move { feed.next().await.map(|chunk| (chunk, feed)) },
        );
    Ok(body::stream(chunks, "application/json"))
}

/// A running watch.
struct Feed {
    target: Target,
    selector: Selector,
    table: Option<Include>,
    columns_sent: bool,
    clock: Arc<dyn Clock>,
    pending: VecDeque<Bytes>,
    /// None when no further event comes.
    watcher: Option<Watcher>,
    /// Version of the last event that was read, selected or not.
    seen: u64,
    bookmarks: Option<Interval>,
    end: Pin<Box<Sleep>>,
    shutdown: Shutdown,
}

/// What a running watch has to do next.
enum Step {
    Event(Option<Result<WatchEvent, ebb_store::Error>>),
    Bookmark,
    End,
}

impl Feed {
    /// The next line; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.pending.pop_front() {
                return Some(chunk);
            }
            match self.step().await {
                Step::Event(Some(Ok(event))) => {
                    if let Err(failure) = self.event(&event) {
                        self.fail(failure);
                    }
                }
                Step::Event(Some(Err(error))) => self.fail(error.into()),
                Step::Bookmark => self.bookmark(),
                Step::Event(None) | Step::End => return None,
            }
        }
    }

    async fn step(&mut self) -> Step {
        let Some(watcher) = &mut self.watcher else { return Step::End };
        let tick = async {
            match &mut self.bookmarks {
                Some(interval) => drop(interval.tick().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.shutdown.wait() => Step::End,
            event = watcher.next() => Step::Event(event),
            () = self.end.as_mut() => Step::End,
            () = tick => Step::Bookmark,
        }
    }

    /// Turns a change into what it means for those who see only selected objects.
    fn event(&mut self, event: &WatchEvent) -> Result<(), Failure> {
        self.seen = event.version();
        let kind = self.target.kind;
        let (before, after) = match event {
            WatchEvent::Put { record, previous } => {
                let before = previous.as_ref().map(|r| storage::read(kind, r)).transpose()?;
                (before, Some(storage::read(kind, record)?))
            }
            WatchEvent::Delete { previous, .. } => (Some(storage::read(kind, previous)?), None),
        };
        let before = before.filter(|object| self.selects(object));
        let after = after.filter(|object| self.selects(object));
        match (before, after) {
            (None, Some(object)) => self.send("ADDED", &object),
            (Some(_), Some(object)) => self.send("MODIFIED", &object),
            (Some(mut object), None) => {
                // The last form that was selected, at the version at which it left.
                storage::set_version(&mut object, self.seen);
                self.send("DELETED", &object);
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn selects(&self, object: &Value) -> bool {
        self.selector.matches(object) && list::named(&self.target, object)
    }

    fn send(&mut self, type_: &str, object: &Value) {
        let object = match self.table {
            None => object.clone(),
            Some(include) => {
                let version = object["metadata"]["resourceVersion"].clone();
                let metadata = json!({ "resourceVersion": version });
                let columns = !std::mem::replace(&mut self.columns_sent, true);
                let objects = std::slice::from_ref(object);
                let now = self.clock.now();
                table::table(self.target.kind, objects, &metadata, include, columns, now)
            }
        };
        self.line(&json!({ "type": type_, "object": object }));
    }

    fn bookmark(&mut self) {
        let object = bookmark(self.target.kind, self.seen);
        if self.table.is_some() {
            let row = json!({ "cells": [], "object": object });
            let metadata = json!({ "resourceVersion": self.seen.to_string() });
            let table = table::from_rows(&[], &[row], &metadata, false);
            self.line(&json!({ "type": "BOOKMARK", "object": table }));
        } else {
            self.line(&json!({ "type": "BOOKMARK", "object": object }));
        }
    }

    /// Tells the failure and ends the watch.
    fn fail(&mut self, failure: Failure) {
        let failure = match failure.reason {
            // A slow watcher lists again, as one whose version is too old does.
            "ServiceUnavailable" => Failure::expired(failure.message.clone()),
            _ => failure,
        };
        self.line(&json!({ "type": "ERROR", "object": failure.to_json() }));
        self.watcher = None;
    }

    fn line(&mut self, event: &Value) {
        self.pending.push_back(Bytes::from(format!("{event}\n")));
    }
}

fn bookmark(kind: &Kind, version: u64) -> Value {
    json!({
        "kind": kind.kind,
        "apiVersion": kind.api_version(),
        "metadata": { "resourceVersion": version.to_string(), "creationTimestamp": null },
    })
}
