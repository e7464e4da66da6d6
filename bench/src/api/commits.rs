//! Commits per second: clients that create ConfigMaps, against a loop that writes the same bytes
//! into a file, one after the other, and calls fdatasync after each. The platform commits with `synchronous=FULL`, so
//! one client alone cannot be faster than the loop; many can, because one sync serves all the
//! commits that wait for it.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use ebb_e2e::{Platform, now};
use serde::Serialize;

use super::client::{self, MAPS, map, worked};
use super::etcd::Etcd;
use crate::stats::median;

/// Clients at once.
const CLIENTS: [usize; 3] = [1, 8, 64];

/// Medians over the rounds.
#[derive(Debug, Serialize)]
pub(super) struct Commits {
    pub(super) clients: usize,
    /// Commits per second of the platform.
    pub(super) per_second: f64,
    /// Syncs per second of the loop, in the same rounds.
    pub(super) raw_per_second: f64,
    /// Commits of the platform for each sync that the loop makes in the same time: above 1, one
    /// sync serves several commits.
    pub(super) per_raw_sync: f64,
    /// Puts of the same bytes per second of the peer, in the same rounds.
    pub(super) etcd_per_second: Option<f64>,
}

/// Every round runs the loop and the platform for so many commits, the loop first and last by
/// turns.
pub(super) fn measure(
    platform: &Platform,
    etcd: Option<&Etcd>,
    rounds: usize,
    commits: usize,
) -> Result<Vec<Commits>> {
    client::make_namespace(&platform.api()?)?;
    let bytes = stored(platform)?;
    let mut all = Vec::new();
    for clients in CLIENTS {
        let (mut ours, mut raw, mut peer) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..rounds {
            let ours_now = || create(platform, clients, commits, round);
            let raw_now = || sync_loop(platform.data_dir(), &bytes, commits);
            if round % 2 == 0 {
                raw.push(raw_now()?);
                ours.push(ours_now()?);
            } else {
                ours.push(ours_now()?);
                raw.push(raw_now()?);
            }
            peer.extend(etcd.map(|etcd| etcd.per_second(clients, commits, &bytes)).transpose()?);
        }
        let ratios: Vec<f64> = ours.iter().zip(&raw).map(|(ours, raw)| ours / raw).collect();
        all.push(Commits {
            clients,
            per_second: median(&ours),
            raw_per_second: median(&raw),
            per_raw_sync: median(&ratios),
            etcd_per_second: (!peer.is_empty()).then(|| median(&peer)),
        });
    }
    Ok(all)
}

/// What is stored of one ConfigMap, as near as a client can know.
fn stored(platform: &Platform) -> Result<Vec<u8>> {
    let response = platform.api()?.send("POST", MAPS, Some(&map("sample")))?;
    Ok(worked(response)?.body)
}

fn create(platform: &Platform, clients: usize, commits: usize, round: usize) -> Result<f64> {
    let api = platform.api()?;
    let begin = now();
    client::parallel(&api, clients, commits, |connection, number| {
        let name = format!("map-{clients}-{round}-{number}");
        worked(connection.send("POST", MAPS, Some(&map(&name)))?).map(drop)
    })?;
    Ok(per_second(commits, begin.elapsed()))
}

/// In the data directory, so on the same file system.
fn sync_loop(dir: &Path, bytes: &[u8], commits: usize) -> Result<f64> {
    let path = dir.join("bench-raw");
    let mut file = File::create(&path)?;
    // As databases keep their logs: the file has its size before, so that a sync is about the
    // bytes alone and not about the file's length too.
    for _ in 0..commits {
        file.write_all(bytes)?;
    }
    file.sync_all()?;
    file.rewind()?;
    let begin = now();
    for _ in 0..commits {
        file.write_all(bytes)?;
        file.sync_data().context("fdatasync")?;
    }
    let time = begin.elapsed();
    std::fs::remove_file(&path)?;
    Ok(per_second(commits, time))
}

fn per_second(count: usize, time: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / time.as_secs_f64()
}
