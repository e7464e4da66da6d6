//! What every running part needs and no part should write twice: the clock, shutdown, supervised
//! named tasks, backoff and counters. At most 1,500 lines.

#![forbid(unsafe_code)]

mod backoff;
mod clock;
mod counter;
mod gate;
mod tasks;

pub use backoff::Backoff;
pub use clock::{Clock, ManualClock, SystemClock};
pub use counter::{Counter, Gauge};
pub use gate::Gate;
pub use tasks::{Shutdown, Tasks};
