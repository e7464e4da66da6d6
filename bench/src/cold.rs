//! Bench B1: how much slower than the bare program is the first answer of a service at zero?
//!
//! Three sides answer the same request with the same static server:
//! - `bare`: fork and exec on the host, then the request;
//! - `ebb`: the request to the gateway, of a service that has no instance;
//! - `runc`: `runc run` of the same root filesystem, then the request.
//!
//! A time runs from before the first step until the first byte of the body. Servers on the host are
//! asked again every 50 microseconds until they listen. The order of the sides rotates by round.

mod bare;
mod runc;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use ebb_e2e::api::ApiConnection;
use ebb_e2e::{Platform, now};
use serde::Serialize;
use serde_json::Value;

use crate::machine::Machine;
use crate::stats::{Ratio, Summary, median, ratio};
use crate::table::{self, milliseconds, row};

/// Longest wait for a server.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two attempts to connect.
const RETRY: Duration = Duration::from_micros(50);

/// Phases of a cold request, as the explanation names them.
const PHASES: [(&str, &str); 7] = [
    ("queue", "queueUs"),
    ("schedule", "scheduleUs"),
    ("rootfs", "rootfsUs"),
    ("create", "createUs"),
    ("start", "startUs"),
    ("ready", "readyUs"),
    ("first byte", "firstByteUs"),
];

#[derive(Args)]
pub(crate) struct Options {
    /// Rounds; each measures every side once
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(100..))]
    rounds: u32,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    rounds: u32,
    /// Microseconds until the first byte of the body.
    bare: Summary,
    ebb: Summary,
    runc: Option<Summary>,
    ebb_to_bare: Ratio,
    runc_to_ebb: Option<Ratio>,
    /// Medians of the phases of `ebb`, in microseconds, in order.
    phases: Vec<(String, f64)>,
}

/// Times of each side, in microseconds.
#[derive(Default)]
struct Samples {
    bare: Vec<f64>,
    ebb: Vec<f64>,
    runc: Vec<f64>,
    phases: Vec<Value>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let machine = Machine::look();
    let dir = tempfile::Builder::new().prefix("ebb-bench-").tempdir()?;
    let bare = bare::Side::new(dir.path())?;
    let runc = runc::Side::new(dir.path())?;
    if runc.is_none() {
        println!("NOT RUN: runc side: runc is not installed");
    }
    let ebb = Ebb::new()?;
    let samples = measure(options.rounds, &bare, &ebb, runc.as_ref())?;
    ebb.platform.stop()?;
    let report = report(options.rounds, &samples, machine.at_end());
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(())
}

fn measure(
    rounds: u32,
    bare: &bare::Side,
    ebb: &Ebb,
    runc: Option<&runc::Side>,
) -> Result<Samples> {
    let mut samples = Samples::default();
    for round in 0..rounds {
        for turn in 0..3 {
            match (round + turn) % 3 {
                0 => samples.bare.push(bare.once()?),
                1 => {
                    let (time, phases) = ebb.once()?;
                    samples.ebb.push(time);
                    samples.phases.push(phases);
                }
                _ => samples.runc.extend(runc.map(|runc| runc.once(round)).transpose()?),
            }
        }
        if (round + 1).is_multiple_of(50) {
            eprintln!("{} of {rounds} rounds", round + 1);
        }
    }
    Ok(samples)
}

/// The side that is asked through the gateway.
struct Ebb {
    platform: Platform,
}

const SERVICE: &str = "hello";
const PODS: &str = "/api/v1/namespaces/default/pods";

impl Ebb {
    fn new() -> Result<Self> {
        let platform = Platform::start()?;
        let image = platform.load_hello()?;
        platform.ebb(&["deploy", SERVICE, "--image", image])?.ok()?;
        let ebb = Self { platform };
        ebb.put_to_sleep(&mut ebb.platform.api()?.open()?)?;
        Ok(ebb)
    }

    /// One cold request: its time and its phases. Afterwards the service is at zero again.
    fn once(&self) -> Result<(f64, Value)> {
        let host = ebb_e2e::platform::host(SERVICE);
        let begin = now();
        let end = first_byte(self.platform.gateway, &host, begin)?;
        let mut api = self.platform.api()?.open()?;
        self.put_to_sleep(&mut api)?;
        let path = format!("/apis/ebb.dev/v1/namespaces/default/services/{SERVICE}/explain");
        let explanation = api.get(&path)?;
        let last = explanation["coldStarts"].as_array().and_then(|records| records.last());
        let phases = last.map_or(Value::Null, |record| record["phases"].clone());
        Ok((micros(end - begin), phases))
    }

    /// Deletes every instance and waits until they are gone.
    fn put_to_sleep(&self, api: &mut ApiConnection) -> Result<()> {
        loop {
            let list = api.get(PODS)?;
            let mut pods = list["items"].as_array().into_iter().flatten();
            let Some(pod) = pods.find(|pod| lives(pod)) else { return Ok(()) };
            let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
            let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("0");
            let mut watcher = self.platform.api()?.open()?;
            let status = api.send("DELETE", &format!("{PODS}/{name}"), None)?.status();
            ensure!(matches!(status, 200 | 202 | 404), "deleting {name}: {status}");
            watcher.watch(&format!("{PODS}?watch=true&resourceVersion={version}"), |event| {
                let gone =
                    event["type"] == "DELETED" && event["object"]["metadata"]["name"] == name;
                gone.then_some(())
            })?;
        }
    }
}

/// Whether a Pod is of an instance that is there; those that have ended are shown for a while.
fn lives(pod: &Value) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// Connects, again and again until somebody listens, asks, and answers when the first byte of the
/// body was there.
fn first_byte(address: SocketAddr, host: &str, begin: Instant) -> Result<Instant> {
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) if begin.elapsed() > PATIENCE => return Err(error.into()),
            Err(_) => std::thread::sleep(RETRY),
        }
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
    let mut answer = Vec::with_capacity(1024);
    let mut buffer = [0; 1024];
    loop {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "closed before the first byte: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..count]);
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        if body.is_some_and(|body| answer.len() > body) {
            let end = now();
            let head = String::from_utf8_lossy(&answer);
            ensure!(head.starts_with("HTTP/1.1 200"), "not an answer: {head}");
            return Ok(end);
        }
    }
}

/// A port of loopback that nobody uses now.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn report(rounds: u32, samples: &Samples, machine: Machine) -> Report {
    let Samples { bare, ebb, runc, phases } = samples;
    let of_phase = |key: &str| {
        let values: Vec<f64> = phases.iter().filter_map(|phases| phases[key].as_f64()).collect();
        median(&values)
    };
    let has_runc = !runc.is_empty();
    Report {
        machine,
        rounds,
        bare: Summary::of(bare),
        ebb: Summary::of(ebb),
        runc: has_runc.then(|| Summary::of(runc)),
        ebb_to_bare: ratio(ebb, bare),
        runc_to_ebb: has_runc.then(|| ratio(runc, ebb)),
        phases: PHASES.map(|(name, key)| (name.to_owned(), of_phase(key))).into(),
    }
}

fn print(report: &Report) {
    println!("cold: from the request until the first byte of the body, {} rounds", report.rounds);
    println!("{}\n", report.machine.line());
    let mut rows = vec![row(["side", "p50", "p90", "p99"])];
    let sides = [
        ("bare fork+exec", Some(report.bare)),
        ("ebb, from zero", Some(report.ebb)),
        ("runc run", report.runc),
    ];
    for (name, summary) in sides {
        if let Some(Summary { p50, p90, p99, .. }) = summary {
            rows.push(row([name, &milliseconds(p50), &milliseconds(p90), &milliseconds(p99)]));
        }
    }
    table::print(&rows);
    println!();
    let mut rows = vec![row(["ratio of medians", "value", "95 % interval"])];
    for (name, ratio) in
        [("ebb / bare", Some(report.ebb_to_bare)), ("runc / ebb", report.runc_to_ebb)]
    {
        if let Some(Ratio { value, low, high }) = ratio {
            let interval = format!("{low:.2} to {high:.2}");
            rows.push(row([name, &format!("{value:.2}"), &interval]));
        }
    }
    table::print(&rows);
    println!();
    let mut rows = vec![row(["phase of ebb", "p50"])];
    rows.extend(report.phases.iter().map(|(name, p50)| row([name, &milliseconds(*p50)])));
    table::print(&rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sides_without_the_platform_answer() {
        let dir = tempfile::tempdir().unwrap();
        let time = bare::Side::new(dir.path()).unwrap().once().unwrap();
        assert!(time > 0.0);
        let runc = runc::Side::new(dir.path()).unwrap();
        match runc.filter(|_| rustix::process::geteuid().is_root()) {
            Some(runc) => assert!(runc.once(0).unwrap() > 0.0),
            None => ebb_e2e::not_run("bench cold: runc side", "it needs root and runc"),
        }
    }
}
