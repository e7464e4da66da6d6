//! Bench B9: what does the gateway cost a warm request?
//!
//! Three ways to one and the same instance: through the gateway, through nginx as reverse proxy
//! with kept upstream connections and as many workers, and directly. Load is made by wrk.

mod nginx;
mod wrk;

use anyhow::{Context, Result};
use clap::Args;
use ebb_e2e::{Platform, process};
use serde::Serialize;

use crate::machine::{self, Machine};
use crate::stats::median;
use crate::table::{self, row};
use wrk::Run;

const SERVICE: &str = "hello";
/// Connections at once.
const CONNECTIONS: [u32; 2] = [1, 32];

#[derive(Args)]
pub(crate) struct Options {
    /// Rounds; each measures every side once
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(5..))]
    rounds: u32,
    /// Seconds of load per side and round
    #[arg(long, default_value_t = 3)]
    seconds: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// One way to the instance.
struct Side {
    name: &'static str,
    url: String,
    /// Processes whose CPU time the requests cost.
    pids: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    rounds: u32,
    seconds: u32,
    workers: usize,
    rows: Vec<Row>,
}

/// Medians over the rounds.
#[derive(Debug, Serialize)]
struct Row {
    side: &'static str,
    connections: u32,
    requests_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    /// CPU time of the proxy per request, in microseconds; none for the direct way.
    cpu_us: Option<f64>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let missing: Vec<_> = ["wrk", "nginx"].into_iter().filter(|name| !process::has(name)).collect();
    if !missing.is_empty() {
        println!("NOT RUN: bench proxy: not installed: {}", missing.join(", "));
        return Ok(());
    }
    let machine = Machine::look();
    let dir = tempfile::Builder::new().prefix("ebb-bench-").tempdir()?;
    let platform = Platform::start()?;
    let image = platform.load_hello()?;
    let scale = ["--min", "1", "--max", "1", "--concurrency", "0"];
    let deploy = [["deploy", SERVICE, "--image", image].as_slice(), &scale].concat();
    platform.ebb(&deploy)?.ok()?;
    let instance = instance(&platform)?;
    let nginx = nginx::Nginx::start(dir.path(), &instance)?;
    let sides = [
        Side {
            name: "ebb gateway",
            url: format!("http://{}/", platform.gateway),
            pids: vec![platform.daemon_pid()?],
        },
        Side { name: "nginx", url: nginx.url(), pids: nginx.workers()? },
        Side { name: "direct", url: format!("http://{instance}/"), pids: Vec::new() },
    ];
    let rows = measure(options, &sides)?;
    drop(nginx);
    platform.stop()?;
    let (rounds, seconds) = (options.rounds, options.seconds);
    let report =
        Report { machine: machine.at_end(), rounds, seconds, workers: machine::cpus(), rows };
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

/// Address of the one instance.
fn instance(platform: &Platform) -> Result<String> {
    let pods = platform.api()?.get("/api/v1/namespaces/default/pods")?;
    let ip = pods["items"][0]["status"]["podIP"].as_str().context("no instance has an address")?;
    Ok(format!("{ip}:8080"))
}

fn measure(options: &Options, sides: &[Side]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let mut runs: Vec<Vec<Run>> = sides.iter().map(|_| Vec::new()).collect();
        for _ in 0..options.rounds {
            for (side, runs) in sides.iter().zip(&mut runs) {
                let host = ebb_e2e::platform::host(SERVICE);
                runs.push(wrk::run(&side.url, &host, connections, options.seconds, &side.pids)?);
            }
        }
        for (side, runs) in sides.iter().zip(&runs) {
            let of = |value: fn(&Run) -> f64| median(&runs.iter().map(value).collect::<Vec<_>>());
            rows.push(Row {
                side: side.name,
                connections,
                requests_per_second: of(|run| run.requests_per_second),
                p50_us: of(|run| run.p50_us),
                p99_us: of(|run| run.p99_us),
                cpu_us: (!side.pids.is_empty()).then(|| of(|run| run.cpu_us)),
            });
        }
    }
    Ok(rows)
}

fn print(report: &Report) {
    let Report { rounds, seconds, workers, rows, machine } = report;
    println!("proxy: medians of {rounds} rounds of {seconds} s per side, {workers} workers each");
    println!("{}\n", machine.line());
    let head = ["side", "connections", "requests/s", "p50", "p99", "CPU per request"];
    let mut lines = vec![row(head)];
    for found in rows {
        let cpu = found.cpu_us.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.1} us"));
        lines.push(row([
            found.side,
            &found.connections.to_string(),
            &format!("{:.0}", found.requests_per_second),
            &format!("{:.0} us", found.p50_us),
            &format!("{:.0} us", found.p99_us),
            &cpu,
        ]));
    }
    table::print(&lines);
}
