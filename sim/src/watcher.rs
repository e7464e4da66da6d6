//! A client that lists and watches: what it pieces together has to be what a list says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::Value as Json;

use crate::daemon::Daemon;
use crate::lock;
use crate::objects::{full_name, text};
use crate::world::World;

/// One client that follows the Services, or another kind.
pub(crate) struct Follower {
    world: Arc<World>,
    path: &'static str,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Versions by name.
    objects: BTreeMap<String, u64>,
    /// Version up to which everything was seen; none: to be listed anew.
    version: Option<u64>,
    /// Names of which something was told at that version.
    at_version: BTreeSet<String>,
    /// Version from which the watch went on: what its commit changed may be told again.
    resumed: Option<u64>,
    /// Earlier versions, with what there was.
    earlier: Vec<(u64, BTreeMap<String, u64>)>,
}

/// Earlier versions that are kept.
const EARLIER: usize = 6;
/// Time that a client gets to be where everything is. Less than a watch lasts: it must not be a new
/// list that shows what a watch should have told.
const CATCH_UP: Duration = Duration::from_secs(30);

impl Follower {
    /// Begins to follow what is under `path`.
    pub(crate) fn start(world: &Arc<World>, path: &'static str) -> Arc<Self> {
        let follower = Arc::new(Self { world: world.clone(), path, seen: Mutex::default() });
        let runs = follower.clone();
        world.tasks.spawn("watcher", async move { runs.run().await });
        follower
    }

    async fn run(&self) {
        loop {
            match self.world.daemon() {
                Some(daemon) if daemon.is_up() => self.follow(&daemon).await,
                _ => {}
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Where to go on: mostly where it was, sometimes where it was before that.
    fn since(&self) -> Option<u64> {
        let mut seen = lock(&self.seen);
        seen.version?;
        if !seen.earlier.is_empty() && self.world.chance.one_in(4) {
            let at = self.world.chance.below(seen.earlier.len() as u64);
            let mut later = seen.earlier.split_off(usize::try_from(at).unwrap_or_default());
            (seen.version, seen.objects) = (Some(later[0].0), std::mem::take(&mut later[0].1));
            seen.at_version.clear();
        }
        seen.resumed = seen.version;
        seen.version
    }

    /// Lists where that is needed, then watches until that ends.
    async fn follow(&self, daemon: &Daemon) {
        let since = match self.since() {
            Some(since) => since,
            None => match self.list(daemon).await {
                Some(since) => since,
                None => return,
            },
        };
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion={since}",
            self.path
        );
        let opened = tokio::select! {
            biased;
            () = daemon.cut.ended() => return,
            opened = daemon.watch(&path) => opened,
        };
        let Some(mut body) = opened else {
            // The daemon may be another one, which does not know the version.
            self.world.trace.log(format!("{}: no watch from {since}", self.path));
            lock(&self.seen).version = None;
            return;
        };
        self.world.trace.log(format!("{}: watches from {since}", self.path));
        let mut buffer = Vec::new();
        loop {
            let frame = tokio::select! {
                biased;
                () = daemon.cut.ended() => return,
                frame = body.frame() => frame,
            };
            let Some(Ok(frame)) = frame else { return };
            buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| &data[..]));
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                self.take(&serde_json::from_slice(&line).unwrap_or_default());
                if self.world.chance.fault(|rates| rates.client_away) {
                    self.world.trace.log(format!("{}: the client goes away", self.path));
                    return;
                }
            }
        }
    }

    async fn list(&self, daemon: &Daemon) -> Option<u64> {
        let (version, objects) = self.listed(daemon).await?;
        let mut seen = lock(&self.seen);
        seen.objects = objects;
        seen.version = Some(version);
        seen.at_version.clear();
        seen.earlier.clear();
        // What the commit of that version changed may be told again.
        seen.resumed = Some(version);
        Some(version)
    }

    /// What a list says, and as of which version.
    async fn listed(&self, daemon: &Daemon) -> Option<(u64, BTreeMap<String, u64>)> {
        let reply = daemon.call("GET", self.path, &Json::Null, None).await;
        if !reply.ok() {
            return None;
        }
        let version = text(&reply.body, "/metadata/resourceVersion").parse().ok()?;
        let items = reply.body["items"].as_array().into_iter().flatten();
        Some((version, items.map(|item| (full_name(item), own_version(item))).collect()))
    }

    fn take(&self, event: &Json) {
        let object = &event["object"];
        let (name, version) = (full_name(object), own_version(object));
        let mut seen = lock(&self.seen);
        let last = seen.version.unwrap_or_default();
        let what = text(event, "/type");
        if what == "ERROR" {
            let code = &object["code"];
            self.world.trace.log(format!("{}: the watch ends with {code}", self.path));
            seen.version = None;
            return;
        }
        // One commit may change many objects, each of them once.
        if last < version {
            seen.at_version.clear();
            if version.is_multiple_of(4) {
                let before = (last, seen.objects.clone());
                seen.earlier.push(before);
                let more = seen.earlier.len().saturating_sub(EARLIER);
                seen.earlier.drain(..more);
            }
        }
        let told_again = seen.resumed == Some(version);
        let again = what != "BOOKMARK" && !seen.at_version.insert(name.clone()) && !told_again;
        if version < last || again {
            let what = format!("{}: {what} {name} at {version} after {last}", self.path);
            self.world.trace.violation("watch sees commits in order", what);
        }
        let known = match what {
            "ADDED" => seen.objects.insert(name.clone(), version).is_none(),
            "MODIFIED" => seen.objects.insert(name.clone(), version).is_some(),
            "DELETED" => seen.objects.remove(&name).is_some(),
            _ => true,
        };
        if !known && !told_again {
            let what = format!("{}: {what} {name} at {version}", self.path);
            self.world.trace.violation("watch tells what changed", what);
        }
        seen.version = Some(version);
    }

    /// What was pieced together is what a list says now.
    pub(crate) async fn check(&self) {
        let Some(daemon) = self.world.daemon() else { return };
        let (mut pieced, mut listed) = <(BTreeMap<_, _>, BTreeMap<_, _>)>::default();
        // A client that was just sent away, or went back in time, gets there again.
        for _ in 0..CATCH_UP.as_secs() {
            let Some((_, found)) = self.listed(&daemon).await else { return };
            (pieced, listed) = (lock(&self.seen).objects.clone(), found);
            if pieced == listed {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if pieced != listed {
            let only = |of: &BTreeMap<String, u64>, not: &BTreeMap<String, u64>| {
                let own = of.iter().filter(|(name, version)| not.get(*name) != Some(*version));
                own.map(|(name, version)| format!("{name}@{version}")).collect::<Vec<_>>()
            };
            let (more, less) = (only(&pieced, &listed), only(&listed, &pieced));
            let what = format!("{}: pieced together {more:?}, listed {less:?}", self.path);
            self.world.trace.violation("watch misses nothing", what);
        }
    }
}

fn own_version(object: &Json) -> u64 {
    text(object, "/metadata/resourceVersion").parse().unwrap_or_default()
}
