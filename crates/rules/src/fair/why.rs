//! Why a request runs, waits or is refused.

use std::fmt;
use std::time::Duration;

/// Why a request runs, waits or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its seats were free and nobody was before it.
    SeatsFree {
        /// Seats that others had.
        taken: u32,
        /// Seats of the level.
        seats: u32,
    },
    /// Its seats are not free, or others were before it.
    SeatsTaken {
        /// Seats that others have.
        taken: u32,
        /// Seats of the level.
        seats: u32,
        /// Requests that wait before it.
        ahead: usize,
    },
    /// As many wait as may.
    QueueFull {
        /// Requests that may wait.
        queued: u32,
    },
    /// Its turn did not come in time.
    WaitedTooLong {
        /// Longest time that a request waits.
        wait: Duration,
    },
    /// It had its seats for as long as it may.
    LeaseOver {
        /// Longest time that a request keeps its seats.
        lease: Duration,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SeatsFree { taken, seats } => {
                write!(f, "{taken} of {seats} seats were taken, which left enough")
            }
            Self::SeatsTaken { taken, seats, ahead } => {
                write!(f, "{taken} of {seats} seats are taken and {ahead} requests wait before it")
            }
            Self::QueueFull { queued } => write!(f, "{queued} requests wait already"),
            Self::WaitedTooLong { wait } => {
                write!(f, "no seat became free within {} ms", wait.as_millis())
            }
            Self::LeaseOver { lease } => {
                write!(f, "it was not done within {} ms", lease.as_millis())
            }
        }
    }
}
