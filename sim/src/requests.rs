//! Every request of a client: that each was answered, or lost with a daemon, in time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::lock;
use crate::trace::Trace;

/// The longest that a request may take: the request timeout, and what a daemon needs to start.
const LIMIT: Duration = Duration::from_mins(16);

/// Requests under way, and how the others ended.
pub(crate) struct Requests {
    trace: Trace,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    open: BTreeMap<u64, (String, Instant)>,
    ended: BTreeMap<String, u32>,
}

impl Requests {
    /// None yet.
    pub(crate) fn new(trace: Trace) -> Self {
        Self { trace, inner: Mutex::default() }
    }

    /// A request was sent.
    pub(crate) fn begin(&self, host: &str) -> u64 {
        let mut inner = lock(&self.inner);
        inner.next += 1;
        let number = inner.next;
        inner.open.insert(number, (host.to_owned(), Instant::now()));
        number
    }

    /// It was answered, or its connection was lost.
    pub(crate) fn end(&self, number: u64, status: Option<u16>) {
        let mut inner = lock(&self.inner);
        let Some((host, _)) = inner.open.remove(&number) else { return };
        let what = status.map_or_else(|| "lost".to_owned(), |status| status.to_string());
        *inner.ended.entry(what.clone()).or_default() += 1;
        drop(inner);
        self.trace.log(format!("request {number} to {host}: {what}"));
    }

    /// How many ended how since the last call.
    pub(crate) fn take(&self) -> BTreeMap<String, u32> {
        std::mem::take(&mut lock(&self.inner).ended)
    }

    /// Requests under way.
    pub(crate) fn open(&self) -> usize {
        lock(&self.inner).open.len()
    }

    /// No request is older than any may be.
    pub(crate) fn check(&self) {
        let mut inner = lock(&self.inner);
        let old: Vec<u64> = inner
            .open
            .iter()
            .filter(|(_, (_, since))| since.elapsed() > LIMIT)
            .map(|(number, _)| *number)
            .collect();
        for number in old {
            if let Some((host, _)) = inner.open.remove(&number) {
                let what = format!("request {number} to {host} was neither answered nor timed out");
                self.trace.violation("every request ends in time", what);
            }
        }
    }
}
