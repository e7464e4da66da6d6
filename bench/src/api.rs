//! Bench: how the API behaves with much stored in it, and what a durable write costs.
//!
//! - 10,000 Services stored: lists, one, applies, 100 watchers, memory of the daemon;
//! - from applying a new template to a sleeping service until it is ready;
//! - commits per second, against a loop of write and fdatasync of the same bytes in the same rounds;
//! - time to start with nothing and with 100,000 objects stored.
//!
//! Clients are threads of this process with kept TLS connections, on the same processors as the
//! platform. Where etcd is installed it is the peer, with the caveats of [`etcd`].

mod client;
mod commits;
mod etcd;
mod ready;
mod startup;
mod stored;

use std::path::Path;

use anyhow::Result;
use clap::Args;
use ebb_e2e::Platform;
use serde::Serialize;

use crate::machine::Machine;
use crate::stats::Summary;
use crate::table::{self, milliseconds, row};
use commits::Commits;
use etcd::Etcd;
use startup::Home;

#[derive(Args)]
pub(crate) struct Options {
    /// Services that are stored
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..))]
    services: u32,
    /// Objects that are stored when the start is measured
    #[arg(long, default_value_t = 100_000)]
    objects: u32,
    /// A hundredth of everything and few rounds: whether it works, not what it costs
    #[arg(long)]
    quick: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// How much of everything.
struct Sizes {
    services: usize,
    objects: u64,
    /// Rounds of what is quick, less quick, and slow.
    many: usize,
    few: usize,
    fewest: usize,
    commit_rounds: usize,
    commits: usize,
}

impl Sizes {
    fn of(options: &Options) -> Result<Self> {
        let services = usize::try_from(options.services)?;
        let objects = u64::from(options.objects);
        Ok(if options.quick {
            let (services, objects) = ((services / 100).max(10), objects / 100);
            let (commit_rounds, commits) = (2, 200);
            Self { services, objects, many: 50, few: 20, fewest: 3, commit_rounds, commits }
        } else {
            let (commit_rounds, commits) = (6, 2_000);
            Self { services, objects, many: 2_000, few: 300, fewest: 20, commit_rounds, commits }
        })
    }
}

/// How long something took, in microseconds.
#[derive(Debug, Serialize)]
struct Timing {
    what: String,
    side: &'static str,
    summary: Summary,
}

impl Timing {
    fn new(what: &str, side: &'static str, times: &[f64]) -> Self {
        Self { what: what.to_owned(), side, summary: Summary::of(times) }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    quick: bool,
    services: usize,
    /// Seconds until every Service was stored, and until controllers had nothing more to do.
    stored_s: f64,
    settled_s: f64,
    /// Objects that this makes, and bytes of the whole list of Services.
    objects: u64,
    list_bytes: usize,
    /// Resident memory of the daemon: when nothing was stored, when controllers were done, and
    /// after all requests and watches.
    memory_bytes: [u64; 3],
    /// What the peer says of itself; none when it is not installed.
    peer: Option<String>,
    timings: Vec<Timing>,
    commits: Vec<Commits>,
    /// Objects stored when the start was measured.
    objects_at_start: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = Machine::look();
    let sizes = Sizes::of(options)?;
    let dir = tempfile::Builder::new().prefix("ebb-bench-").tempdir()?;
    let etcd = Etcd::start(dir.path())?;
    if etcd.is_none() {
        println!("NOT RUN: etcd side: etcd is not installed");
    }
    let mut report = measure(&sizes, etcd.as_ref(), dir.path(), machine)?;
    report.quick = options.quick;
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn measure(sizes: &Sizes, etcd: Option<&Etcd>, dir: &Path, machine: Machine) -> Result<Report> {
    let home = Home::new(dir)?;
    let mut timings = vec![home.measure("start, nothing stored", sizes.fewest.min(5))?];
    eprintln!("started with nothing; storing {} services", sizes.services);

    let platform = home.start()?;
    let daemon = platform.daemon_pid()?;
    let empty = client::resident(daemon)?;
    let (stored, settled) = stored::fill(&platform, sizes.services)?;
    let full = client::resident(daemon)?;
    eprintln!("stored and settled; measuring requests");
    timings.extend(stored::requests(&platform, sizes)?);
    timings.extend(stored::fan_out(&platform, sizes.few)?);
    let after = client::resident(daemon)?;
    let list_bytes = stored::list_bytes(&platform)?;
    let objects = startup::count(&platform)?;
    let value = stored::sample(&platform)?;
    if let Some(etcd) = etcd {
        eprintln!("the same with etcd");
        timings.extend(etcd.requests(&value, sizes)?);
        timings.extend(etcd.fan_out(&value, sizes.few)?);
    }
    eprintln!("storing up to {} objects", sizes.objects);
    let objects_at_start = startup::fill_up(&platform, sizes.objects)?;
    platform.stop()?;
    timings.push(home.measure("start, everything stored", sizes.fewest.min(5))?);

    eprintln!("applying to a sleeping service");
    let platform = Platform::start()?;
    timings.extend(ready::measure(&platform, sizes.few.min(100))?);
    eprintln!("committing");
    let commits = commits::measure(&platform, etcd, sizes.commit_rounds, sizes.commits)?;
    platform.stop()?;
    Ok(Report {
        machine: machine.at_end(),
        quick: false,
        services: sizes.services,
        stored_s: stored.as_secs_f64(),
        settled_s: settled.as_secs_f64(),
        objects,
        list_bytes,
        memory_bytes: [empty, full, after],
        peer: etcd.map(|etcd| etcd.version.clone()),
        timings,
        commits,
        objects_at_start,
    })
}

fn print(report: &Report) {
    let Report { services, objects, stored_s, settled_s, .. } = report;
    let scale = if report.quick { " (quick: not to be quoted)" } else { "" };
    println!("api: {services} services stored, {objects} objects in all{scale}");
    println!("{}\n", report.machine.line());
    println!("stored in {stored_s:.1} s, controllers done after {settled_s:.1} s");
    let [empty, full, after] = report.memory_bytes.map(mebibytes);
    println!("daemon: {empty} empty, {full} with all stored, {after} after all requests");
    let at_start = report.objects_at_start;
    println!("whole list: {}; start with {at_start} objects", mebibytes(report.list_bytes as u64));
    if let Some(peer) = &report.peer {
        println!("peer: {peer}, a bare key-value store with fsync, no API server above it");
    }
    println!();
    let mut rows = vec![row(["what", "side", "p50", "p99", "count"])];
    for Timing { what, side, summary } in &report.timings {
        let Summary { p50, p99, count, .. } = *summary;
        let cells = [milliseconds(p50), milliseconds(p99), count.to_string()];
        rows.push(row([what, side, &cells[0], &cells[1], &cells[2]]));
    }
    table::print(&rows);
    println!();
    let head = ["clients", "commits/s", "raw fdatasync/s", "commits per raw sync", "etcd puts/s"];
    let mut rows = vec![row(head)];
    for found in &report.commits {
        let etcd =
            found.etcd_per_second.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
        rows.push(row([
            &found.clients.to_string(),
            &format!("{:.0}", found.per_second),
            &format!("{:.0}", found.raw_per_second),
            &format!("{:.2}", found.per_raw_sync),
            &etcd,
        ]));
    }
    table::print(&rows);
}

fn mebibytes(bytes: u64) -> String {
    let kibibytes = u32::try_from(bytes >> 10).unwrap_or(u32::MAX);
    format!("{:.1} MiB", f64::from(kibibytes) / 1024.0)
}
