//! The process beside an instance: one for each, a fork of the spawner, with one thread.
//!
//! It makes the sandbox ahead (control group, network, user namespace, an [`Init`] that waits in
//! the other namespaces), becomes an instance when it is ordered to, and then keeps the truth about
//! it: it reads the output, looks when the port accepts connections, stops and freezes, knows the
//! exact end, and removes everything. It outlives the daemon; its own end is the instance's end.

mod make;
mod outbox;
mod outputs;
mod probe;
mod record;
mod run;

pub(crate) use self::make::{group_name, user_namespace};

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use ebb_kit::SystemClock;

use crate::linux::cgroup::Hierarchies;
use crate::linux::logs::LogLimits;
use crate::linux::net::Block;
use crate::linux::protocol::{self, Order};
use crate::linux::seccomp;
use crate::sys::{fd, process, signal};

/// Exit code of a shim that could not make its sandbox and has left nothing.
pub(crate) const NOT_MADE: i32 = 2;

/// What a shim starts with.
#[derive(Debug)]
pub(crate) struct Shim {
    /// Socket to the spawner.
    pub(crate) spawner: OwnedFd,
    /// Number of the sandbox in its cell.
    pub(crate) slot: u16,
    /// What all shims of the cell share.
    pub(crate) cell: Rc<Cell>,
}

/// What all sandboxes of a cell share.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) run_dir: PathBuf,
    pub(crate) log_dir: PathBuf,
    pub(crate) logs: LogLimits,
    pub(crate) hierarchies: Hierarchies,
    pub(crate) block: Block,
    pub(crate) filter: Rc<seccomp::Program>,
}

impl Shim {
    /// Runs until the sandbox is gone; answers the exit code of this process: 0 when nothing is
    /// left, [`NOT_MADE`] when nothing ever was, another when the spawner must clean up.
    pub(crate) fn run(self) -> i32 {
        if let Err(error) = self.settle() {
            complain(self.slot, &error.to_string());
            return 1;
        }
        let made = make::make(&self.cell, self.slot);
        let sandbox = match made {
            Ok(sandbox) => sandbox,
            Err((failure, cleaned)) => {
                complain(self.slot, &failure.message);
                self.refuse(failure);
                return if cleaned { NOT_MADE } else { 1 };
            }
        };
        let clock = SystemClock::new();
        match protocol::receive::<Order>(&self.spawner) {
            Ok(Some((Order::Start { asked_us }, descriptors))) => {
                let Ok([spec, daemon]) = <[OwnedFd; 2]>::try_from(descriptors) else {
                    return i32::from(sandbox.remove().is_err());
                };
                let birth = run::Birth { spec, daemon, asked_us };
                run::run(&self.cell, self.spawner, sandbox, birth, &clock)
            }
            // The spawner is gone or does not need this sandbox.
            Ok(Some((Order::End, _)) | None) | Err(_) => i32::from(sandbox.remove().is_err()),
        }
    }

    /// Makes this process its own: nothing of the spawner's is kept.
    fn settle(&self) -> std::io::Result<()> {
        let _ = rustix::thread::set_name(c"ebb-shim"); // only for people
        rustix::process::setsid()?;
        signal::reset_all();
        signal::ignore(libc::SIGPIPE);
        // Found by its group before our copy of the claim is closed.
        self.cell.hierarchies.join_shims(&self.cell.name)?;
        fd::close_all_but(&mut [self.spawner.as_raw_fd()])?;
        let null = rustix::fs::open(
            "/dev/null",
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        for number in 0..2 {
            fd::place(null.as_fd(), number)?;
        }
        rustix::process::chdir("/")?;
        Ok(())
    }

    /// Tells whoever waits for this sandbox why there is none.
    fn refuse(&self, failure: crate::linux::failure::Failure) {
        let _ = rustix::io::ioctl_fionbio(&self.spawner, true);
        if let Ok(Some((Order::Start { .. }, descriptors))) = protocol::receive(&self.spawner)
            && let Some(daemon) = descriptors.get(1)
        {
            let record = ebb_model::engine::ExitRecord {
                start_failure: Some(failure.into()),
                ended: ebb_kit::Clock::now(&SystemClock::new()),
                ..Default::default()
            };
            let _ = protocol::send(daemon, &protocol::Report::Accepted, &[]);
            let _ = protocol::send(daemon, &protocol::Report::Exited(record), &[]);
        }
    }
}

/// Tells the operator; the only output of a shim.
fn complain(slot: u16, message: &str) {
    let line = format!("ebb: sandbox {slot}: {message}\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()); // nowhere else to go
}

/// Microseconds of the monotonic clock.
pub(crate) fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000 + nanos.unwrap_or(0) / 1000
}

/// Ends a child that was forked and waits for it.
fn end_child(child: &process::Child) {
    let _ = rustix::process::pidfd_send_signal(&child.pidfd, rustix::process::Signal::KILL);
    wait_for(child);
}

/// Waits until a child has ended and takes its status.
fn wait_for(child: &process::Child) {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    // ECHILD: taken already.
    let _ = protocol::retry(|| waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED));
}
