//! The one thread that writes.

use std::sync::Arc;
use std::time::Duration;

use ebb_model::Timestamp;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::apply::{self, Applied};
use super::{compact, read};
use crate::hub::Hub;
use crate::{Commit, Error, Options, Write};

/// Most commits in one transaction: enough to share an `fsync` among all that wait under load.
const GROUP_MAX: usize = 256;

/// Most bytes of values in one transaction (8 MiB), beyond the first commit, so that a small commit
/// does not wait for many large ones.
const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Longest time between two looks for old versions, while there are commits.
const COMPACT_EVERY_MAX: Duration = Duration::from_secs(30);

/// A commit and who waits for it.
pub(super) struct Request {
    pub(super) commit: Commit,
    pub(super) answer: oneshot::Sender<Result<u64, Error>>,
}

/// What the writer thread owns.
pub(super) struct Writer {
    connection: Connection,
    hub: Arc<Hub>,
    options: Options,
    newest: u64,
    compacted: u64,
    compact_next: Timestamp,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        hub: Arc<Hub>,
        options: Options,
    ) -> Result<Self, Error> {
        let read::Marks { newest, compacted } = read::marks(&connection)?;
        let compact_next = options.clock.now();
        Ok(Self { connection, hub, options, newest, compacted, compact_next })
    }

    /// Commits until every sender is gone and the queue is empty.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut bytes = 0;
            let mut group = vec![first];
            while group.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
                let Ok(request) = requests.try_recv() else { break };
                bytes += size(&request.commit);
                group.push(request);
            }
            self.group(group);
            self.compact();
        }
    }

    fn group(&mut self, group: Vec<Request>) {
        let commits: Vec<&Commit> = group.iter().map(|request| &request.commit).collect();
        let results = match self.transaction(&commits) {
            Ok(results) => results,
            // One of them may be too large for what is left of the disk: let the others pass.
            Err(Error::DiskFull(_)) if commits.len() > 1 => {
                commits.iter().map(|commit| self.alone(commit)).collect()
            }
            Err(error) => commits.iter().map(|_| Err(error.clone())).collect(),
        };
        for (request, result) in group.into_iter().zip(results) {
            if let Ok(applied) = &result
                && applied.fresh
            {
                self.newest = applied.version;
                self.hub.publish(applied.version, &applied.events);
            }
            // Nobody waits any more when the caller was dropped.
            let _ = request.answer.send(result.map(|applied| applied.version));
        }
    }

    fn alone(&mut self, commit: &Commit) -> Result<Applied, Error> {
        let applied = self.transaction(&[commit])?.pop();
        applied.unwrap_or_else(|| Err(Error::Unavailable("the commit was lost".to_owned())))
    }

    /// One transaction: either every result holds, or nothing happened and there is one error.
    fn transaction(&mut self, commits: &[&Commit]) -> Result<Vec<Result<Applied, Error>>, Error> {
        let now = self.options.clock.now();
        let mut newest = read::marks(&self.connection)?.newest;
        let mut transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut results = Vec::with_capacity(commits.len());
        for commit in commits {
            let savepoint = transaction.savepoint()?;
            let result = apply::commit(&savepoint, newest + 1, now, commit);
            match &result {
                Ok(applied) => {
                    savepoint.commit()?;
                    newest = newest.max(applied.version);
                }
                // Refused before anything was written.
                Err(Error::Conflict { .. }) => savepoint.finish()?,
                // The disk, not the commit: SQLite may have rolled everything back already.
                Err(error) => return Err(error.clone()),
            }
            results.push(result);
        }
        apply::mark_newest(&transaction, newest)?;
        transaction.commit()?;
        Ok(results)
    }

    fn compact(&mut self) {
        let now = self.options.clock.now();
        let retention = self.options.retention;
        let slack = (retention.versions / 10).max(1);
        let many = self.newest - self.compacted > retention.versions.saturating_add(slack);
        if !many && now < self.compact_next {
            return;
        }
        self.compact_next = now.plus(COMPACT_EVERY_MAX.min(retention.age / 10));
        match compact::step(&mut self.connection, retention, now) {
            Ok(compact::Step { compacted, more }) => {
                self.compacted = compacted;
                if more {
                    self.compact_next = now;
                }
            }
            Err(error) => tracing::warn!(%error, "old versions of the store could not be removed"),
        }
    }
}

impl Drop for Writer {
    /// Also when the thread panics: then a watch ends instead of waiting for ever.
    fn drop(&mut self) {
        self.hub.close();
    }
}

fn size(commit: &Commit) -> usize {
    let bytes = |write: &Write| match write {
        Write::Put { value, .. } => value.data.len(),
        Write::Delete { .. } => 0,
    };
    commit.writes.iter().map(bytes).sum()
}

#[cfg(test)]
mod tests;
