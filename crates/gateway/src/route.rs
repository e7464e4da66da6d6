//! From a host to a revision.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ebb_model::RevisionKey;
use ebb_model::routing::{RequestPolicy, RouteEntry, RouteTable};
use ebb_rules::split;

use crate::answer::Answer;
use crate::revision::Revision;

/// Every route, with the revisions found already. Replaced as a whole; requests read it without
/// a lock.
#[derive(Default)]
pub(crate) struct Table {
    hosts: HashMap<String, Host>,
}

struct Host {
    entry: Arc<RouteEntry>,
    /// Beside `entry.targets`.
    revisions: Vec<Arc<Revision>>,
    /// Numbers the requests of the host, across replacements of the table.
    count: Arc<AtomicU64>,
}

/// Where a request goes.
pub(crate) struct Target {
    pub(crate) revision: Arc<Revision>,
    pub(crate) policy: RequestPolicy,
}

impl Table {
    /// A table of `routes`; `revision` finds or makes the revision of a key.
    pub(crate) fn build(
        &self,
        routes: RouteTable,
        mut revision: impl FnMut(&RevisionKey) -> Arc<Revision>,
    ) -> Self {
        let host = |(name, entry): (String, Arc<RouteEntry>)| {
            let known = self.hosts.get(&name);
            let count = known.map_or_else(Arc::default, |host| Arc::clone(&host.count));
            let revisions = entry.targets.iter().map(|t| revision(&t.revision)).collect();
            (name, Host { entry, revisions, count })
        };
        Self { hosts: routes.hosts.into_iter().map(host).collect() }
    }

    /// Every revision that takes requests, with its policy.
    pub(crate) fn revisions(&self) -> impl Iterator<Item = (&Arc<Revision>, RequestPolicy)> {
        self.hosts.values().flat_map(|host| {
            host.revisions.iter().zip(host.entry.targets.iter().map(|target| target.policy))
        })
    }

    /// Where the next request for `host` goes, the value of a `Host` field.
    pub(crate) fn pick(&self, host: &str) -> Result<Target, Answer> {
        let name = host_name(host);
        let found = if name.bytes().any(|b| b.is_ascii_uppercase()) {
            self.hosts.get(&name.to_ascii_lowercase())
        } else {
            self.hosts.get(name)
        };
        let Some(found) = found else { return Err(Answer::no_route(name)) };
        if found.entry.stopped {
            return Err(Answer::stopped(&found.entry.namespace, &found.entry.service));
        }
        let n = found.count.fetch_add(1, Ordering::Relaxed);
        let at = split::index(&found.entry.targets, n);
        match at.and_then(|i| Some((found.revisions.get(i)?, found.entry.targets.get(i)?))) {
            Some((revision, target)) => {
                Ok(Target { revision: Arc::clone(revision), policy: target.policy })
            }
            None => Err(Answer::not_ready(&found.entry.namespace, &found.entry.service)),
        }
    }
}

/// The name in a `Host` value: without port, and without the dot that makes it absolute.
fn host_name(host: &str) -> &str {
    let end = match host.rfind(']') {
        Some(bracket) => bracket + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let name = &host[..end];
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::host_name;

    #[test]
    fn host_names() {
        for (host, name) in [
            ("a.b", "a.b"),
            ("a.b:80", "a.b"),
            ("a.b.", "a.b"),
            ("a.b.:8080", "a.b"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(host_name(host), name);
        }
    }
}
