//! The reasons of decisions.

use std::fmt;

use ebb_model::Timestamp;

/// The rule that decided, with its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The revision was never ready: one instance must prove that it can be.
    Initial,
    /// Requests wait for an instance.
    HeldRequests {
        /// Requests that wait.
        held: u32,
        /// Requests being worked on.
        in_flight: u32,
        /// Requests that one instance is planned to take.
        concurrency: u32,
    },
    /// Requests are being worked on and none waits.
    InFlight {
        /// Requests being worked on.
        in_flight: u32,
        /// Requests that one instance is planned to take.
        concurrency: u32,
    },
    /// That many were needed a short while ago.
    RecentDemand {
        /// Instances that were needed at most within the idle window.
        peak: u32,
        /// When fewer will do, if demand stays as it is.
        until: Timestamp,
    },
    /// No request for the whole idle window.
    Idle {
        /// The idle window in milliseconds.
        idle_ms: u64,
    },
    /// The policy's least number.
    Min {
        /// That number.
        min: u32,
    },
    /// Somebody set the number by hand.
    Manual {
        /// That number.
        count: u32,
    },
    /// More would be needed than the policy allows.
    Max {
        /// Instances that would be needed.
        need: u32,
        /// Instances that are allowed.
        max: u32,
    },
    /// Starts failed; none is tried before `retry_at`.
    Backoff {
        /// Tries that failed in a row.
        failures: u32,
        /// When the next one is tried.
        retry_at: Timestamp,
        /// Instances that would be wanted.
        need: u32,
    },
    /// Starts failed; one is tried at a time until one becomes ready.
    OneAtATime {
        /// Tries that failed in a row.
        failures: u32,
        /// Instances that would be wanted.
        need: u32,
    },
}

impl Why {
    /// Stable name of the rule.
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::Initial => "initial-start",
            Self::HeldRequests { .. } => "held-requests",
            Self::InFlight { .. } => "in-flight",
            Self::RecentDemand { .. } => "recent-demand",
            Self::Idle { .. } => "idle",
            Self::Min { .. } => "min-scale",
            Self::Manual { .. } => "manual",
            Self::Max { .. } => "max-scale",
            Self::Backoff { .. } => "start-backoff",
            Self::OneAtATime { .. } => "one-at-a-time",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Initial => {
                f.write_str("the revision was never ready: one instance must prove that it can be")
            }
            Self::HeldRequests { held, in_flight, concurrency } => write!(
                f,
                "{held} requests wait and {in_flight} are being worked on, {concurrency} per instance"
            ),
            Self::InFlight { in_flight, concurrency } => {
                write!(f, "{in_flight} requests are being worked on, {concurrency} per instance")
            }
            Self::RecentDemand { peak, until } => write!(
                f,
                "{peak} were needed within the idle window, which ends {}",
                until.to_rfc3339()
            ),
            Self::Idle { idle_ms } => write!(f, "no request for {idle_ms} ms"),
            Self::Min { min } => write!(f, "at least {min} always run"),
            Self::Manual { count } => write!(f, "scaling is manual, to {count}"),
            Self::Max { need, max } => write!(f, "{need} would be needed, {max} are allowed"),
            Self::Backoff { failures, retry_at, need } => write!(
                f,
                "{failures} starts failed in a row, the next is tried {}; {need} would be wanted",
                retry_at.to_rfc3339()
            ),
            Self::OneAtATime { failures, need } => write!(
                f,
                "{failures} starts failed in a row, so one is tried at a time; {need} would be wanted"
            ),
        }
    }
}
