//! Time from executing `ebb up` until its ready line, with nothing stored and with a lot. Ready
//! means that every Service was looked at once and the routes are published.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Result;
use ebb_e2e::{Options, Platform};
use serde_json::Value;

use super::Timing;
use super::client::{self, MAPS, map, timed, worked};

/// Clients that write.
const WRITERS: usize = 32;

/// Where objects are counted: every kind of which there are many.
const COUNTED: [&str; 5] = [
    "/apis/serving.knative.dev/v1/services",
    "/apis/serving.knative.dev/v1/configurations",
    "/apis/serving.knative.dev/v1/revisions",
    "/apis/serving.knative.dev/v1/routes",
    "/api/v1/configmaps",
];

/// Objects that are stored.
pub(super) fn count(platform: &Platform) -> Result<u64> {
    let mut connection = platform.api()?.open()?;
    let mut sum = 0;
    for path in COUNTED {
        let list = connection.get(&format!("{path}?limit=1"))?;
        let here = list["items"].as_array().map_or(0, Vec::len);
        let rest = list["metadata"]["remainingItemCount"].as_u64();
        sum += match (rest, &list["metadata"]["continue"]) {
            (Some(rest), _) => rest + u64::try_from(here)?,
            (None, Value::String(_)) => {
                let all = connection.get(path)?;
                u64::try_from(all["items"].as_array().map_or(0, Vec::len))?
            }
            (None, _) => u64::try_from(here)?,
        };
    }
    Ok(sum)
}

/// Adds ConfigMaps, through the API, until there are so many objects.
pub(super) fn fill_up(platform: &Platform, objects: u64) -> Result<u64> {
    let there = count(platform)?;
    let more = usize::try_from(objects.saturating_sub(there))?;
    let api = platform.api()?;
    client::make_namespace(&api)?;
    client::parallel(&api, WRITERS, more, |connection, number| {
        let body = map(&format!("map-{number:06}"));
        worked(connection.send("POST", MAPS, Some(&body))?).map(drop)
    })?;
    count(platform)
}

/// A platform whose data stays, and whose gateway keeps its port: the URL of every Service has it
/// in its status, so another port would be a write for each of them.
pub(super) struct Home {
    data_dir: PathBuf,
    gateway: SocketAddr,
}

impl Home {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let gateway = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        Ok(Self { data_dir: dir.join("data"), gateway })
    }

    /// Starts it.
    pub(super) fn start(&self) -> Result<Platform> {
        let key = self.data_dir.with_extension("key").to_string_lossy().into_owned();
        let gateway = self.gateway.to_string();
        let flags = ["--key-file", &key, "--progress-deadline", "1", "--gateway", &gateway];
        let flags = flags.map(str::to_owned).into();
        Platform::start_with(&Options { data_dir: Some(self.data_dir.clone()), flags })
    }

    /// Starts and stops it again and again.
    pub(super) fn measure(&self, what: &str, rounds: usize) -> Result<Timing> {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let (time, platform) = timed(|| self.start())?;
            platform.stop()?;
            times.push(time);
        }
        Ok(Timing::new(what, "ebb", &times))
    }
}
