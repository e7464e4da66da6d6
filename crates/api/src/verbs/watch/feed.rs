//! A running watch.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ebb_store::{Change, Watcher};
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep};

use super::lines::{self, Type};
use crate::app::App;
use crate::context::{Target, View};
use crate::registry::Kind;
use crate::select::{Needs, Selector};
use crate::status::Failure;
use crate::storage;
use crate::table;
use crate::verbs::list::{Found, Pages};

/// How often a client that allows bookmarks hears where it stands. As in Kubernetes.
const BOOKMARK_EVERY: Duration = Duration::from_mins(1);
/// How long before its end a watch says once more where it stands. As in Kubernetes.
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// Bytes of lines that are sent together, when so many wait.
const CHUNK_BYTES: usize = 64 << 10;

/// What a watch is about.
pub(super) struct Options {
    pub(super) target: Target,
    pub(super) prefix: String,
    pub(super) selector: Selector,
    pub(super) view: View,
    pub(super) bookmarks: bool,
    /// Whether a bookmark tells the end of what is there at the beginning.
    pub(super) tell_end: bool,
    pub(super) timeout: Duration,
}

/// A running watch.
pub(super) struct Feed {
    app: Arc<App>,
    options: Options,
    columns_sent: bool,
    pending: Vec<u8>,
    stage: Stage,
    resumed: Option<Resumed>,
    /// Newest version of what the client was told.
    told: u64,
    bookmarks: Interval,
    last_bookmark: Option<Pin<Box<Sleep>>>,
    end: Pin<Box<Sleep>>,
}

enum Stage {
    /// What is there is being sent.
    Objects(Box<Pages>),
    /// What happens is being sent.
    Changes(Watcher),
    /// Nothing comes any more.
    Ended,
}

/// A watch that goes on from a version which the client saw. Objects that one commit changed share
/// its version, so the client may have seen some of them only: if there are several, it is told of
/// all of them again.
struct Resumed {
    version: u64,
    /// The first change of that version: not told as long as it is the only one.
    first: Option<Arc<Change>>,
}

/// What a running watch has to do next.
enum Step {
    Change(Option<Result<Arc<Change>, ebb_store::Error>>),
    Bookmark,
    End,
}

impl Feed {
    /// A watch that has not begun.
    pub(super) fn new(app: Arc<App>, options: Options) -> Self {
        let now = Instant::now();
        let mut bookmarks = tokio::time::interval_at(now + BOOKMARK_EVERY, BOOKMARK_EVERY);
        bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let timeout = options.timeout;
        let last = now + timeout - LAST_BOOKMARK.min(timeout / 2);
        Self {
            app,
            columns_sent: false,
            pending: Vec::new(),
            stage: Stage::Ended,
            resumed: None,
            told: 0,
            bookmarks,
            last_bookmark: options.bookmarks.then(|| Box::pin(tokio::time::sleep_until(last))),
            end: Box::pin(tokio::time::sleep_until(now + timeout)),
            options,
        }
    }

    const fn kind(&self) -> &'static Kind {
        self.options.target.kind
    }

    /// Goes on with what happened after `version`. What is wrong is told as an event, as clients
    /// expect it, and the watch ends.
    pub(super) async fn follow(&mut self, version: u64) {
        let store = self.app.store(self.kind());
        let watcher = store.watch(&self.options.prefix, version).await;
        match watcher {
            Ok(watcher) => self.stage = Stage::Changes(watcher),
            Err(error) => self.fail(error.into()),
        }
    }

    /// Goes on from `version`, as [`Resumed`] says.
    pub(super) async fn resume(&mut self, version: u64) {
        self.follow(version).await;
        if !matches!(self.stage, Stage::Changes(_)) {
            return;
        }
        let store = self.app.store(self.kind());
        match store.watch(&self.options.prefix, version.saturating_sub(1)).await {
            Ok(watcher) => {
                self.resumed = Some(Resumed { version, first: None });
                self.stage = Stage::Changes(watcher);
            }
            // The oldest version that is retained: what its commit changed is not known any more.
            // Where nothing was committed since, a new list would bring the client back to here.
            Err(error @ ebb_store::Error::Compacted { .. }) => {
                match store.scan(&self.options.prefix, None, None, 1).await {
                    Ok(now) if now.version == version => {}
                    Ok(_) => self.fail(error.into()),
                    Err(error) => self.fail(error.into()),
                }
            }
            Err(error) => self.fail(error.into()),
        }
    }

    /// Where the client stands. Never behind what it has already: none where it was told a part
    /// of a commit, whose version it has, and whose other changes would be missed from there on.
    fn stands(&self, progress: u64) -> Option<u64> {
        let resumed = self.resumed.as_ref().map_or(0, |resumed| resumed.version);
        let version = progress.max(resumed);
        (version >= self.told).then_some(version)
    }

    /// The changes that the client has to be told of, now that this one came.
    fn told(&mut self, change: Arc<Change>) -> [Option<Arc<Change>>; 2] {
        match self.resumed.take() {
            Some(resumed) if change.event().version() <= resumed.version => {
                if let Some(first) = resumed.first {
                    return [Some(first), Some(change)];
                }
                self.resumed = Some(Resumed { first: Some(change), ..resumed });
                [None, None]
            }
            _ => [Some(change), None],
        }
    }

    /// Begins with objects: `first`, and what `pages` has more.
    pub(super) async fn begin_with(&mut self, first: &[Found], pages: Pages) {
        self.stage = Stage::Objects(Box::new(pages));
        if let Err(failure) = self.objects(first).await {
            self.fail(failure);
        }
    }

    async fn objects(&mut self, found: &[Found]) -> Result<(), Failure> {
        for one in found {
            let kind = self.kind();
            let (view, version) = (self.options.view, one.record.version);
            match (view, &one.object) {
                (View::Whole | View::Metadata, _) => {
                    lines::write(kind, &one.record, version, Type::Added, view, &mut self.pending)?;
                }
                (View::Table(_), Some(object)) => self.row(Type::Added, object),
                (View::Table(_), None) => self.row(Type::Added, &storage::read(kind, &one.record)?),
            }
        }
        let Stage::Objects(pages) = &self.stage else { return Ok(()) };
        if pages.ended() {
            let version = pages.version();
            if self.options.tell_end && self.options.bookmarks {
                self.bookmark(version, true);
            }
            // The seats of the list are given back with the pages.
            self.stage = Stage::Ended;
            self.follow(version).await;
        }
        Ok(())
    }

    /// The next lines; none at the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.pending.is_empty() {
                return Some(Bytes::from(std::mem::take(&mut self.pending)));
            }
            if let Stage::Objects(pages) = &mut self.stage {
                let sent = match pages.next().await {
                    Ok(found) => self.objects(&found.unwrap_or_default()).await,
                    Err(failure) => Err(failure),
                };
                if let Err(failure) = sent {
                    self.fail(failure);
                }
                continue;
            }
            match self.step().await {
                Step::Change(Some(Ok(change))) => {
                    if let Some(line) = self.changes(change) {
                        return Some(line);
                    }
                }
                Step::Change(Some(Err(error))) => self.fail(error.into()),
                Step::Bookmark => {
                    if let Stage::Changes(watcher) = &self.stage
                        && let Some(version) = self.stands(watcher.progress())
                    {
                        self.bookmark(version, false);
                    }
                }
                Step::Change(None) | Step::End => return None,
            }
        }
    }

    async fn step(&mut self) -> Step {
        let Stage::Changes(watcher) = &mut self.stage else { return Step::End };
        let wanted = self.options.bookmarks;
        let last = async {
            match &mut self.last_bookmark {
                Some(sleep) => sleep.as_mut().await,
                None => std::future::pending().await,
            }
        };
        // The changes come last: a busy watch ends in time, and says where it stands, too.
        let (step, was_last) = tokio::select! {
            biased;
            () = self.app.shutdown.wait() => (Step::End, false),
            () = self.end.as_mut() => (Step::End, false),
            () = last => (Step::Bookmark, true),
            _ = self.bookmarks.tick(), if wanted => (Step::Bookmark, false),
            change = watcher.next_shared() => (Step::Change(change), false),
        };
        if was_last {
            self.last_bookmark = None;
        }
        step
    }

    /// Handles a change and those that wait behind it. A single line that others want too is
    /// answered as it is; several are put together.
    fn changes(&mut self, first: Arc<Change>) -> Option<Bytes> {
        let mut told = self.told(first);
        let mut single: Option<Bytes> = None;
        loop {
            for change in told.iter().flatten() {
                self.told = change.event().version();
                match self.change(change) {
                    Ok(None) => {}
                    Ok(Some(line)) if single.is_none() && self.pending.is_empty() => {
                        single = Some(line);
                    }
                    Ok(Some(line)) => {
                        if let Some(before) = single.take() {
                            self.pending.extend_from_slice(&before);
                        }
                        self.pending.extend_from_slice(&line);
                    }
                    Err(failure) => {
                        self.pending.splice(0..0, single.take().unwrap_or_default());
                        self.fail(failure);
                        return None;
                    }
                }
            }
            let Stage::Changes(watcher) = &mut self.stage else { return single };
            if self.pending.len() >= CHUNK_BYTES {
                return single;
            }
            match watcher.next_shared().now_or_never().flatten() {
                Some(Ok(next)) => told = self.told(next),
                Some(Err(error)) => {
                    self.pending.splice(0..0, single.take().unwrap_or_default());
                    self.fail(error.into());
                    return None;
                }
                None => return single,
            }
        }
    }

    /// Turns a change into what it means for those who see only selected objects. Rows go to
    /// `pending` at once, as their columns are sent once only.
    fn change(&mut self, change: &Change) -> Result<Option<Bytes>, Failure> {
        let kind = self.kind();
        let Options { target, selector, .. } = &self.options;
        let name = target.name.as_deref().or_else(|| selector.name());
        if name.is_some_and(|name| change.event().key().rsplit('/').next() != Some(name)) {
            return Ok(None);
        }
        let (before, after) = if selector.needs() == Needs::Nothing {
            let (before, after) = lines::sides(change);
            (before.is_some(), after.is_some())
        } else {
            lines::selected(kind, change, |object| selector.matches(object))?
        };
        let Some(type_) = Type::of(before, after) else { return Ok(None) };
        let view = self.options.view;
        if !matches!(view, View::Table(_)) {
            return lines::line(kind, change, type_, view).map(Some);
        }
        self.row(type_, &lines::object(kind, change, type_)?);
        Ok(None)
    }

    fn row(&mut self, type_: Type, object: &Value) {
        let View::Table(include) = self.options.view else { return };
        let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
        let columns = !std::mem::replace(&mut self.columns_sent, true);
        let (objects, now) = (std::slice::from_ref(object), self.app.deps.clock.now());
        let table = table::table(self.kind(), objects, &metadata, include, columns, now);
        self.line(&json!({ "type": type_.as_str(), "object": table }));
    }

    fn bookmark(&mut self, version: u64, end: bool) {
        let mut object = lines::bookmark(self.kind(), version, end);
        if self.options.view == View::Metadata {
            object = table::partial(&object);
        }
        if matches!(self.options.view, View::Table(_)) {
            let row = json!({ "cells": [], "object": object });
            let metadata = json!({ "resourceVersion": version.to_string() });
            object = table::from_rows(&[], &[row], &metadata, false);
        }
        self.line(&json!({ "type": "BOOKMARK", "object": object }));
    }

    /// Tells the failure and ends the watch.
    fn fail(&mut self, failure: Failure) {
        let failure = match failure.reason {
            // A slow watcher lists again, as one whose version is too old does.
            "ServiceUnavailable" => Failure::expired(failure.message.clone()),
            _ => failure,
        };
        self.line(&json!({ "type": "ERROR", "object": failure.to_json() }));
        self.stage = Stage::Ended;
    }

    fn line(&mut self, event: &Value) {
        self.pending.extend_from_slice(event.to_string().as_bytes());
        self.pending.push(b'\n');
    }
}
