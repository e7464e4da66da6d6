//! One run of wrk, and the CPU time that the proxy spent meanwhile.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// What one run found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) requests_per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    /// CPU time of the proxy per request, in microseconds; 0 without a proxy.
    pub(super) cpu_us: f64,
}

pub(super) fn run(
    url: &str,
    host: &str,
    connections: u32,
    seconds: u32,
    pids: &[u32],
) -> Result<Run> {
    let before = cpu_micros(pids)?;
    let output = Command::new("wrk")
        .args(["-t1", "--latency", &format!("-c{connections}"), &format!("-d{seconds}s")])
        .args(["-H", &format!("Host: {host}"), url])
        .stdin(Stdio::null())
        .output()
        .context("cannot run wrk")?;
    let cpu = cpu_micros(pids)? - before;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed: {text}");
    parse(&text, cpu).with_context(|| format!("wrk against {url} said:\n{text}"))
}

fn parse(text: &str, cpu: f64) -> Result<Run> {
    let clean = !text.contains("Non-2xx") && !text.contains("Socket errors");
    ensure!(clean, "some requests failed");
    let after = |label: &str| {
        let line = text.lines().map(str::trim).find_map(|line| line.strip_prefix(label));
        line.map(str::trim).with_context(|| format!("no line {label:?}"))
    };
    let total = text.lines().find_map(|line| line.split_once(" requests in "));
    let total: f64 = total.context("no total")?.0.trim().parse()?;
    Ok(Run {
        requests_per_second: after("Requests/sec:")?.parse()?,
        p50_us: time_micros(after("50%")?)?,
        p99_us: time_micros(after("99%")?)?,
        cpu_us: cpu / total,
    })
}

/// `12.34us`, `1.23ms` or `1.23s` in microseconds.
fn time_micros(text: &str) -> Result<f64> {
    let units = [("us", 1.0), ("ms", 1e3), ("s", 1e6), ("m", 6e7)];
    let found = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (number, factor) = found.with_context(|| format!("not a time: {text}"))?;
    Ok(number.trim().parse::<f64>()? * factor)
}

/// User and system time of the processes, in microseconds (proc(5), stat, fields 14 and 15).
fn cpu_micros(pids: &[u32]) -> Result<f64> {
    let mut ticks = 0_u32;
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields = stat.rsplit_once(')').context("no name in stat")?.1.split_whitespace();
        for field in fields.skip(11).take(2) {
            ticks += field.parse::<u32>()?;
        }
    }
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second())?;
    Ok(f64::from(ticks) * 1e6 / f64::from(per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 3s test @ http://127.0.0.1:1/\n  1 threads and 32 connections\n  \
        Thread Stats   Avg      Stdev     Max   +/- Stdev\n    Latency   239.85us   67.67us   1.02ms   71.36%\n  \
        Latency Distribution\n     50%  236.00us\n     75%  272.00us\n     90%  315.00us\n     99%    1.50ms\n  \
        40000 requests in 3.00s, 51.37MB read\nRequests/sec: 134552.06\nTransfer/sec: 17.12MB\n";

    #[test]
    fn what_wrk_says_is_understood() {
        let run = parse(SAID, 400_000.0).unwrap();
        let found = [run.requests_per_second, run.p50_us, run.p99_us, run.cpu_us];
        assert_eq!(found.map(|value| format!("{value}")), ["134552.06", "236", "1500", "10"]);
        assert!(parse(&format!("{SAID}Non-2xx or 3xx responses: 3\n"), 0.0).is_err());
    }
}
