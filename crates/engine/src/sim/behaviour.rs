//! How a simulated instance behaves.

use std::time::Duration;

use ebb_model::engine::{InstanceSpec, LogStream, StartFailure};

/// When and how a simulated program ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Killed by the kernel for memory.
    Oom,
}

/// What a simulated instance does. The default: ready at once, runs until it is stopped, ends by
/// SIGTERM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// The program cannot be started at all.
    pub start_failure: Option<StartFailure>,
    /// Time from start to `Started`, in addition to the engine's own.
    pub create_time: Duration,
    /// Time from `Started` until it accepts connections, in addition to the engine's own.
    pub ready_time: Duration,
    /// It never accepts a connection.
    pub never_ready: bool,
    /// It ends by itself so long after `Started`.
    pub ends: Option<(Duration, Ending)>,
    /// It ends after so many requests; only seen where the engine serves its endpoints.
    pub ends_after_requests: Option<(u64, Ending)>,
    /// How long each request takes; only seen where the engine serves its endpoints.
    pub request_time: Duration,
    /// SIGTERM does nothing; only the kill after the grace period ends it.
    pub ignores_term: bool,
    /// What it writes once it has started.
    pub lines: Vec<(LogStream, String)>,
}

impl Behaviour {
    /// Reads the behaviour out of the environment of the first container, so that a test can say
    /// it in an image or a Service: `SIM_START_FAILURE=<code>`, `SIM_CREATE_MS`, `SIM_READY_MS`,
    /// `SIM_NEVER_READY=1`, `SIM_EXIT_CODE` or `SIM_EXIT_SIGNAL` or `SIM_OOM=1` (with
    /// `SIM_EXIT_AFTER_MS`, 0 by default, or `SIM_EXIT_AFTER_REQUESTS`), `SIM_REQUEST_MS`,
    /// `SIM_IGNORE_TERM=1`, `SIM_STDOUT` and `SIM_STDERR` (lines separated by `|`). A value that
    /// is no number counts as 0.
    pub fn from_env(spec: &InstanceSpec) -> Self {
        let env = spec.containers.first().map(|c| c.env.as_slice()).unwrap_or_default();
        let text = |name: &str| env.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let number = |name: &str| text(name).map(|v| v.parse::<u64>().unwrap_or_default());
        let millis = |name: &str| Duration::from_millis(number(name).unwrap_or_default());
        let signed = |name: &str| text(name).map(|v| v.parse::<i32>().unwrap_or_default());
        let ending = signed("SIM_EXIT_CODE")
            .map(Ending::Code)
            .or_else(|| signed("SIM_EXIT_SIGNAL").map(Ending::Signal))
            .or_else(|| text("SIM_OOM").map(|_| Ending::Oom));
        let requests = number("SIM_EXIT_AFTER_REQUESTS");
        let lines = |name: &str, stream| -> Vec<(LogStream, String)> {
            let text = text(name).unwrap_or_default();
            text.split('|').filter(|l| !l.is_empty()).map(|l| (stream, l.to_owned())).collect()
        };
        let mut all = lines("SIM_STDOUT", LogStream::Stdout);
        all.extend(lines("SIM_STDERR", LogStream::Stderr));
        Self {
            start_failure: text("SIM_START_FAILURE").map(|code| StartFailure {
                code: code.to_owned(),
                message: "the simulated program cannot be started".to_owned(),
            }),
            create_time: millis("SIM_CREATE_MS"),
            ready_time: millis("SIM_READY_MS"),
            never_ready: text("SIM_NEVER_READY").is_some(),
            ends: if requests.is_none() {
                ending.map(|ending| (millis("SIM_EXIT_AFTER_MS"), ending))
            } else {
                None
            },
            ends_after_requests: requests.zip(ending.or(Some(Ending::Code(1)))),
            request_time: millis("SIM_REQUEST_MS"),
            ignores_term: text("SIM_IGNORE_TERM").is_some(),
            lines: all,
        }
    }
}
