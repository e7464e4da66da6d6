//! Reads what is selected, page by page, all as of one version.

use std::sync::Arc;

use ebb_store::{Record, Scan};
use serde_json::Value;

use super::{PAGE, prefix};
use crate::app::App;
use crate::context::{Context, Target};
use crate::priority::Seat;
use crate::registry::Kind;
use crate::select::{Needs, Selector};
use crate::status::Failure;
use crate::{raw, storage};

/// A record that is selected.
pub(crate) struct Found {
    pub(crate) record: Record,
    /// The object, when the selector needed all of it.
    pub(crate) object: Option<Value>,
}

/// A read of many objects under way.
pub(crate) struct Pages {
    app: Arc<App>,
    pub(crate) kind: &'static Kind,
    selector: Selector,
    prefix: String,
    /// The one name that is meant, if there is one.
    name: Option<String>,
    /// One namespace after the other is asked for the name, instead of reading all objects.
    leap: bool,
    at: Option<u64>,
    after: Option<String>,
    left: usize,
    more: bool,
    ended: bool,
    /// Records that were read since the first, whether or not they are selected; none when the
    /// read did not begin with the first.
    read: Option<u64>,
    seat: Option<Arc<Seat>>,
    /// How many objects follow behind the key that this began with, when that is known.
    remaining: Option<u64>,
    /// Objects that were selected so far.
    given: u64,
}

impl Pages {
    /// Everything that is selected, as of now.
    pub(crate) fn new(context: &Context, target: &Target, selector: Selector) -> Self {
        let name = target.name.as_deref().or_else(|| selector.name()).map(str::to_owned);
        let kind = target.kind;
        Self {
            app: Arc::clone(&context.app),
            kind,
            prefix: prefix(target, &selector),
            leap: name.is_some() && kind.namespaced && target.namespace.is_none(),
            name,
            selector,
            at: None,
            after: None,
            left: usize::MAX,
            more: false,
            ended: false,
            read: Some(0),
            seat: context.seat.clone(),
            remaining: None,
            given: 0,
        }
    }

    /// As of version `at`, behind the key `after`.
    pub(crate) fn from(mut self, at: Option<u64>, after: Option<String>) -> Self {
        self.read = after.is_none().then_some(0);
        (self.at, self.after) = (at, after);
        self
    }

    /// At most `limit` objects.
    pub(crate) const fn limit(mut self, limit: usize) -> Self {
        self.left = limit;
        self
    }

    /// How many objects follow behind `after`, when that was counted before.
    pub(crate) const fn remaining(mut self, remaining: Option<u64>) -> Self {
        self.remaining = remaining;
        self
    }

    /// How many objects follow when the limit came before the end; none where selectors leave some
    /// out. All pages show one version, so only the first counts, and the others take away.
    ///
    /// # Errors
    /// 410 when the version is not kept any longer.
    pub(super) async fn count(&self) -> Result<Option<u64>, Failure> {
        let (Some(rest), Some(at)) = (self.rest(), self.at) else { return Ok(None) };
        if !self.selector.is_empty() || self.name.is_some() {
            return Ok(None);
        }
        if let Some(remaining) = self.remaining {
            return Ok(Some(remaining.saturating_sub(self.given)).filter(|count| *count > 0));
        }
        let store = self.app.store(self.kind);
        Ok(Some(match self.read {
            // The store knows by heart how many there are, not how many there are behind a key.
            Some(read) => store.count(&self.prefix, at, None).await?.saturating_sub(read),
            None => store.count(&self.prefix, at, Some(rest)).await?,
        }))
    }

    /// The version that all pages show; 0 before the first.
    pub(crate) fn version(&self) -> u64 {
        self.at.unwrap_or(0)
    }

    /// Whether the next page is none.
    pub(crate) const fn ended(&self) -> bool {
        self.ended
    }

    /// The key to go on behind, when the limit came before the end.
    pub(crate) fn rest(&self) -> Option<&str> {
        self.after.as_deref().filter(|_| self.ended && self.more)
    }

    /// What was selected on the next page, maybe nothing; none at the end.
    ///
    /// # Errors
    /// 410 when the version is not kept any longer; 503 when the seat of this request is lost, as
    /// the client takes too long to read.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Found>>, Failure> {
        if self.ended {
            return Ok(None);
        }
        if self.seat.as_ref().is_some_and(|seat| !seat.lent()) {
            self.ended = true;
            let error = ebb_store::Error::Unavailable("the client reads too slowly".to_owned());
            return Err(error.into());
        }
        let found = if self.leap { self.leap().await } else { self.page().await };
        if found.is_err() {
            self.ended = true;
        }
        // Others run between two pages.
        tokio::task::yield_now().await;
        found.map(Some)
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, want: usize) -> Result<Scan, Failure> {
        Ok(self.app.store(self.kind).scan(prefix, self.at, after, want).await?)
    }

    async fn page(&mut self) -> Result<Vec<Found>, Failure> {
        // The key of a name is the first of all keys that start like it.
        let named = self.name.is_some();
        let want = match (named, self.selector.is_empty()) {
            (true, _) => 1,
            // One page more than the limit is never needed when everything is selected.
            (false, true) => PAGE.min(self.left.max(1)),
            (false, false) => PAGE,
        };
        let scan = self.scan(&self.prefix, self.after.as_deref(), want).await?;
        self.at = Some(scan.version);
        self.more = scan.more && !named;
        self.ended = !self.more;
        let last = scan.records.len();
        let mut found = Vec::with_capacity(last);
        for (record, place) in scan.records.into_iter().zip(1..) {
            self.read = self.read.map(|read| read + 1);
            self.after = Some(record.key.clone());
            found.extend(self.select(record)?);
            if found.len() >= self.left {
                self.more = self.more || place < last;
                self.ended = true;
                break;
            }
        }
        self.left -= found.len();
        self.given += u64::try_from(found.len()).unwrap_or(u64::MAX);
        if let (Some(read), true, None) = (self.read, self.ended && !self.more, &self.name) {
            self.app.priority.saw(&self.prefix, read);
        }
        Ok(found)
    }

    /// The object of the name in the next namespace that has objects of this kind.
    async fn leap(&mut self) -> Result<Vec<Found>, Failure> {
        let all = self.kind.prefix(None);
        let first = self.scan(&all, self.after.as_deref(), 1).await?;
        self.at = Some(first.version);
        let namespace = first.records.first().and_then(|record| {
            record.key.strip_prefix(&all).and_then(|rest| rest.split('/').next()).map(str::to_owned)
        });
        let Some(namespace) = namespace else {
            (self.more, self.ended) = (false, true);
            return Ok(Vec::new());
        };
        let key = self.kind.key(&namespace, self.name.as_deref().unwrap_or_default());
        let behind = self.after.as_ref().is_some_and(|after| *after >= key);
        // No name has such a character: it is behind all objects of the namespace.
        self.after = Some(format!("{}\u{10ffff}", self.kind.prefix(Some(&namespace))));
        if behind {
            return Ok(Vec::new());
        }
        let scan = self.scan(&key, None, 1).await?;
        let mut found = Vec::new();
        for record in scan.records {
            found.extend(self.select(record)?);
        }
        self.left -= found.len();
        if self.left == 0 {
            (self.more, self.ended, self.after) = (true, true, Some(key));
        }
        Ok(found)
    }

    fn select(&self, record: Record) -> Result<Option<Found>, Failure> {
        let named = |name: &String| record.key.rsplit('/').next() == Some(name.as_str());
        if !self.name.as_ref().is_none_or(named) {
            return Ok(None);
        }
        let object = match self.selector.needs() {
            Needs::Nothing => return Ok(Some(Found { record, object: None })),
            Needs::Metadata => raw::outline(self.kind, &record)?,
            Needs::Everything => storage::read(self.kind, &record)?,
        };
        let whole = self.selector.needs() == Needs::Everything;
        let selected = self.selector.matches(&object);
        Ok(selected.then(|| Found { record, object: whole.then_some(object) }))
    }
}
