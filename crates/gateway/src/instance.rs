//! An instance as the gateway knows it: its address, its load and its idle connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ebb_model::InstanceId;
use ebb_model::routing::Endpoint;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Config;
use crate::upstream::{Cut, Upstream};

/// An instance that takes requests, or took some that still run.
pub(crate) struct Instance {
    pub(crate) id: InstanceId,
    pub(crate) address: SocketAddr,
    /// Changed only under the lock of its revision, so the concurrency limit is exact.
    pub(crate) in_flight: AtomicU32,
    /// Changed only under the lock of its revision.
    pub(crate) trust: TrustCell,
    /// Notified when `in_flight` comes down to zero while the instance is drained.
    pub(crate) idle: Notify,
    lines: Mutex<Lines>,
}

/// Whether an instance is thought to take connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It gets requests.
    Full,
    /// It refused a connection a moment ago and gets none.
    None,
    /// It refused one; the next request may try.
    Probe,
    /// That request is on its way.
    Probing,
}

/// Holds a [`Trust`].
#[derive(Default)]
pub(crate) struct TrustCell(AtomicU8);

impl TrustCell {
    pub(crate) fn get(&self) -> Trust {
        match self.0.load(Ordering::Relaxed) {
            0 => Trust::Full,
            1 => Trust::None,
            2 => Trust::Probe,
            _ => Trust::Probing,
        }
    }

    pub(crate) fn set(&self, trust: Trust) {
        let number = match trust {
            Trust::Full => 0,
            Trust::None => 1,
            Trust::Probe => 2,
            Trust::Probing => 3,
        };
        self.0.store(number, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Lines {
    /// It takes no more connections back.
    closed: bool,
    /// Idle connections, the one used last at the end: it is taken first, so that the others
    /// grow old and are closed.
    idle: Vec<Upstream>,
    /// Every open connection, to cut it.
    open: Vec<Weak<Cut>>,
}

impl Instance {
    pub(crate) fn new(endpoint: Endpoint) -> Arc<Self> {
        Arc::new(Self {
            id: endpoint.id,
            address: endpoint.address,
            in_flight: AtomicU32::new(0),
            trust: TrustCell::default(),
            idle: Notify::new(),
            lines: Mutex::new(Lines::default()),
        })
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that idles and was not closed by the instance.
    pub(crate) fn take_idle(&self, config: &Config) -> Option<Upstream> {
        let now = Instant::now();
        let limit = Duration::from_millis(config.upstream_idle_ms);
        loop {
            let mut upstream = self.lines().idle.pop()?;
            if !upstream.is_stale(now, limit) && upstream.settle() {
                return Some(upstream);
            }
        }
    }

    /// A new connection.
    pub(crate) async fn connect(&self, config: &Config) -> std::io::Result<Upstream> {
        let limit = Duration::from_millis(config.connect_timeout_ms);
        let upstream = Upstream::connect(self.address, limit).await?;
        let mut lines = self.lines();
        if lines.closed {
            return Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        }
        if lines.open.len() == lines.open.capacity() {
            lines.open.retain(|cut| cut.strong_count() > 0);
        }
        lines.open.push(Arc::downgrade(upstream.cut()));
        Ok(upstream)
    }

    /// Takes a connection back, if it can carry another request.
    pub(crate) fn give_back(&self, mut upstream: Upstream, most: usize) {
        if !upstream.settle() {
            return;
        }
        upstream.rest();
        let mut lines = self.lines();
        if !lines.closed && lines.idle.len() < most {
            lines.idle.push(upstream);
        }
    }

    /// Closes connections that idled too long or were closed by the instance.
    pub(crate) fn sweep(&self, config: &Config) {
        let now = Instant::now();
        let limit = Duration::from_millis(config.upstream_idle_ms);
        let old = std::mem::take(&mut self.lines().idle);
        let mut live: Vec<Upstream> = old
            .into_iter()
            .filter_map(|mut up| (!up.is_stale(now, limit) && up.settle()).then_some(up))
            .collect();
        let mut lines = self.lines();
        if !lines.closed {
            live.append(&mut lines.idle);
            lines.idle = live;
        }
    }

    /// Closes idle connections, and takes none back from now on.
    pub(crate) fn close(&self) {
        let mut lines = self.lines();
        lines.closed = true;
        drop(std::mem::take(&mut lines.idle));
    }

    /// Closes every connection, at once.
    pub(crate) fn cut(&self) {
        self.close();
        let open = std::mem::take(&mut self.lines().open);
        for cut in open.iter().filter_map(Weak::upgrade) {
            cut.cut();
        }
    }

    pub(crate) fn load(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}
