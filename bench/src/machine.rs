//! What the figures were measured on.

use std::fs;

use serde::Serialize;

/// The machine, and how busy it was.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Kernel release.
    pub(crate) kernel: String,
    /// Model of the processor.
    pub(crate) cpu: String,
    /// Processors that we may use.
    pub(crate) cpus: usize,
    /// Load averages of 1, 5 and 15 minutes at the start.
    pub(crate) load_at_start: String,
    /// The same at the end.
    pub(crate) load_at_end: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name"));
        Self {
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu: model.unwrap_or("").trim_start_matches([' ', '\t', ':']).to_owned(),
            cpus: cpus(),
            load_at_start: load(),
            load_at_end: String::new(),
        }
    }

    /// The same with the load of now as that of the end.
    pub(crate) fn at_end(mut self) -> Self {
        self.load_at_end = load();
        self
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let Self { kernel, cpu, cpus, load_at_start, load_at_end } = self;
        format!(
            "Linux {kernel}, {cpus} x {cpu}, load {load_at_start} at start, {load_at_end} at end"
        )
    }
}

/// Processors that we may use.
pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn load() -> String {
    read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
