//! Many stored Services: reading, changing and watching them.
//!
//! Each Service names an image of a registry that nobody is, so its first revision fails after the
//! shortest progress deadline, before anything is started, and is not tried again, not by a restart
//! either: the Service, its Configuration, its Revision and its Route are stored with their status,
//! and nothing runs. The measuring begins when nothing is written any more.

use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ebb_e2e::api::{Api, ApiConnection};
use ebb_e2e::{Platform, now};
use serde_json::{Value, json};

use super::client::{self, SERVICES, micros, scattered, timed, worked};
use super::{Sizes, Timing};

/// An image of a port of loopback on which nobody listens: refused at once.
const ABSENT: &str = "127.0.0.1:1/absent/image:1";
/// Clients that store the Services.
const WRITERS: usize = 16;
/// Without a write for that long, the controllers are done.
const QUIET: Duration = Duration::from_secs(2);
/// Longest wait for that.
const PATIENCE: Duration = Duration::from_mins(20);
/// After that long, an event will not come any more.
pub(super) const LOST: Duration = Duration::from_secs(30);
/// Clients that watch.
pub(super) const WATCHERS: usize = 100;

pub(super) fn name(number: usize) -> String {
    format!("service-{number:06}")
}

fn service(number: usize) -> Value {
    json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": name(number), "labels": {"part": (number % 10).to_string()}},
        "spec": {"template": {"spec": {"containers": [{
            "image": ABSENT,
        }]}}},
    })
}

/// Stores the Services; answers how long that took, and until the controllers were done.
pub(super) fn fill(platform: &Platform, count: usize) -> Result<(Duration, Duration)> {
    let api = platform.api()?;
    let begin = now();
    client::parallel(&api, WRITERS, count, |connection, number| {
        let response = connection.send("POST", SERVICES, Some(&service(number)))?;
        worked(response).map(drop)
    })?;
    let stored = begin.elapsed();
    settle(&api, begin)?;
    Ok((stored, begin.elapsed().saturating_sub(QUIET)))
}

/// Waits until nothing is written any more.
fn settle(api: &Api, begin: Instant) -> Result<()> {
    let mut connection = api.open()?;
    let (mut version, mut since) = (String::new(), now());
    while since.elapsed() < QUIET {
        ensure!(begin.elapsed() < PATIENCE, "the controllers are not done");
        std::thread::sleep(Duration::from_millis(100));
        let list = connection.get(&format!("{SERVICES}?limit=1"))?;
        let newest = list["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if newest != version {
            newest.clone_into(&mut version);
            since = now();
        }
    }
    Ok(())
}

/// One Service as it is stored.
pub(super) fn sample(platform: &Platform) -> Result<Vec<u8>> {
    let response = platform.api()?.send("GET", &format!("{SERVICES}/{}", name(0)), None)?;
    Ok(worked(response)?.body)
}

/// Bytes of the whole list.
pub(super) fn list_bytes(platform: &Platform) -> Result<usize> {
    Ok(worked(platform.api()?.send("GET", SERVICES, None)?)?.body.len())
}

/// Reading and changing.
pub(super) fn requests(platform: &Platform, sizes: &Sizes) -> Result<Vec<Timing>> {
    let mut api = platform.api()?.open()?;
    let count = sizes.services;
    let mut all = Vec::new();
    let mut add = |what: &str, times: Vec<f64>| all.push(Timing::new(what, "ebb", &times));
    add("list, first page of 500", repeat(sizes.few, |_| get(&mut api, &first_page()))?);
    add("list, all at once", repeat(sizes.fewest, |_| get(&mut api, SERVICES))?);
    add("list, all in pages of 500", repeat(sizes.fewest, |_| pages(&mut api))?);
    add("get one", repeat(sizes.many, |n| get(&mut api, &path(scattered(n, count))))?);
    add("apply one, server-side", repeat(sizes.few, |n| apply(&mut api, scattered(n, count), n))?);
    add(
        "apply one, merge patch",
        repeat(sizes.few, |n| change(&mut api, scattered(n, count), &format!("m{n}")))?,
    );
    Ok(all)
}

fn repeat(rounds: usize, mut once: impl FnMut(usize) -> Result<f64>) -> Result<Vec<f64>> {
    (0..rounds).map(&mut once).collect()
}

fn path(number: usize) -> String {
    format!("{SERVICES}/{}", name(number))
}

fn first_page() -> String {
    format!("{SERVICES}?limit=500")
}

fn get(api: &mut ApiConnection, path: &str) -> Result<f64> {
    Ok(timed(|| worked(api.send("GET", path, None)?))?.0)
}

/// The time is that of the requests; reading the token of the next page counts too.
fn pages(api: &mut ApiConnection) -> Result<f64> {
    let all = || {
        let mut path = first_page();
        loop {
            let page = worked(api.send("GET", &path, None)?)?;
            let Some(token) = token(&page.body) else { return Ok(()) };
            path = format!("{SERVICES}?limit=500&continue={token}");
        }
    };
    Ok(timed(all)?.0)
}

/// The token of the next page, found without reading the page.
fn token(page: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\"continue\":\"";
    let at = page.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let end = page[at..].iter().position(|byte| *byte == b'"')? + at;
    let token = String::from_utf8(page[at..end].to_vec()).ok()?;
    (!token.is_empty()).then_some(token)
}

fn marked(mark: &str) -> Value {
    json!({"metadata": {"annotations": {"bench/mark": mark}}})
}

fn apply(api: &mut ApiConnection, number: usize, mark: usize) -> Result<f64> {
    let mut body = marked(&format!("a{mark}"));
    body["apiVersion"] = json!("serving.knative.dev/v1");
    body["kind"] = json!("Service");
    body["metadata"]["name"] = json!(name(number));
    let path = format!("{}?fieldManager=bench&force=true", path(number));
    let send = || worked(api.patch(&path, "application/apply-patch+yaml", &body)?);
    Ok(timed(send)?.0)
}

fn change(api: &mut ApiConnection, number: usize, mark: &str) -> Result<f64> {
    let (path, body) = (path(number), marked(mark));
    let send = || worked(api.patch(&path, "application/merge-patch+json", &body)?);
    Ok(timed(send)?.0)
}

/// From sending a change until the last of many watchers has its event; also until the answer.
/// The first round brings every watcher up to date and does not count.
pub(super) fn fan_out(platform: &Platform, rounds: usize) -> Result<Vec<Timing>> {
    let api = platform.api()?;
    let page = api.get(&format!("{SERVICES}?limit=1"))?;
    let version = page["metadata"]["resourceVersion"].as_str().context("a list has a version")?;
    let path = format!("{SERVICES}?watch=true&resourceVersion={version}");
    let (seen, all_seen) = mpsc::sync_channel(WATCHERS);
    let (mut last, mut answered) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| -> Result<()> {
        for _ in 0..WATCHERS {
            let (api, path, seen) = (&api, &path, seen.clone());
            scope.spawn(move || watch(api, path, rounds + 1, &seen));
        }
        let mut writer = api.open()?;
        for round in 0..=rounds {
            let begin = now();
            change(&mut writer, 0, &format!("w{round}"))?;
            let answer = begin.elapsed();
            let mut latest = begin;
            for _ in 0..WATCHERS {
                let at = all_seen.recv_timeout(LOST).context("a watcher saw nothing")?;
                latest = latest.max(at);
            }
            if round > 0 {
                answered.push(micros(answer));
                last.push(micros(latest.duration_since(begin)));
            }
        }
        Ok(())
    })?;
    Ok(vec![
        Timing::new("change, until it is answered", "ebb", &answered),
        Timing::new("change, until the last of 100 watchers has it", "ebb", &last),
    ])
}

/// Follows every round and says when each was seen.
fn watch(api: &Api, path: &str, rounds: usize, seen: &SyncSender<Instant>) -> Result<()> {
    let mut connection = api.open()?;
    let mut round = 0;
    connection.watch_lines(path, |line| {
        let mark = format!("\"bench/mark\":\"w{round}\"");
        if line.windows(mark.len()).any(|window| window == mark.as_bytes()) {
            seen.send(now())?;
            round += 1;
        }
        Ok((round == rounds).then_some(()))
    })
}
