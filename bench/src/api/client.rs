//! What the parts of the bench share: several clients at once, and names of paths.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use ebb_e2e::api::{Api, ApiConnection};
use ebb_e2e::http::Response;
use ebb_e2e::now;
use serde_json::{Value, json};

/// Services of the namespace `default`.
pub(super) const SERVICES: &str = "/apis/serving.knative.dev/v1/namespaces/default/services";
/// ConfigMaps of a namespace that holds nothing else: a changed ConfigMap makes controllers look
/// at every revision of its namespace.
pub(super) const MAPS: &str = "/api/v1/namespaces/more/configmaps";

/// Calls `work` with the numbers below `count`, by so many clients with a connection each.
pub(super) fn parallel(
    api: &Api,
    clients: usize,
    count: usize,
    work: impl Fn(&mut ApiConnection, usize) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let client = || {
        let mut connection = api.open()?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            work(&mut connection, number)?;
        }
    };
    join(clients, client)
}

/// Runs the same in so many threads; the first failure of one is that of all.
pub(super) fn join(threads: usize, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        running.into_iter().try_for_each(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => anyhow::bail!("a client panicked"),
        })
    })
}

/// The answer, when it says that it worked.
pub(super) fn worked(response: Response) -> Result<Response> {
    ensure!(response.status() < 300, "{}: {}", response.status(), response.text());
    Ok(response)
}

/// Microseconds that `work` takes.
pub(super) fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
    let begin = now();
    let result = work()?;
    Ok((micros(begin.elapsed()), result))
}

pub(super) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Makes the namespace of [`MAPS`].
pub(super) fn make_namespace(api: &Api) -> Result<()> {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "more"}});
    worked(api.send("POST", "/api/v1/namespaces", Some(&body))?).map(drop)
}

/// A small ConfigMap.
pub(super) fn map(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"greeting": "hello", "text": "x".repeat(200)},
    })
}

/// Resident memory of a process, in bytes.
pub(super) fn resident(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    Ok(kib.unwrap_or(0) * 1024)
}

/// Numbers that look random and are the same in every run.
pub(super) fn scattered(number: usize, below: usize) -> usize {
    number.wrapping_mul(2_654_435_761) % below.max(1)
}
