//! Starting the daemon, and starting it again.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::process::{Signal, WaitStatus, pidfd_send_signal};

use super::{FATAL, Spawner};
use crate::Error;
use crate::linux::failure::step;
use crate::linux::inherited::{HOST_VARIABLE, LISTENERS_VARIABLE, SPAWNER_VARIABLE};
use crate::linux::shim::monotonic_us;
use crate::linux::{protocol, reexec};
use crate::sys::process::{self, Child, Clone3};
use crate::sys::{fd, signal};

/// Wait before the first restart; doubles with each failure in a row.
const WAIT_FIRST_US: u64 = 100_000;
/// Longest wait before a restart.
const WAIT_MAX_US: u64 = 10_000_000;
/// A daemon that ran for so long did not fail at the start.
const HEALTHY_AFTER_US: u64 = 60_000_000;

/// The running daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    /// Socket to it; none once it has closed its end, which it does at its own end.
    pub(super) socket: Option<OwnedFd>,
    started_us: u64,
}

impl Daemon {
    pub(super) const fn pid(&self) -> i32 {
        self.child.pid
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        let _ = pidfd_send_signal(&self.child.pidfd, Signal::TERM); // it may have ended
    }

    /// Ends it.
    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(&self.child.pidfd, Signal::KILL); // it may have ended
    }
}

impl Spawner {
    pub(super) fn start_daemon(&mut self, now_us: u64) {
        self.daemon_at_us = None;
        match self.fork_daemon(now_us) {
            Ok(daemon) => self.daemon = Some(daemon),
            Err(error) => {
                tracing::error!(%error, "cannot start the daemon");
                self.daemon_fails += 1;
                self.daemon_at_us = Some(now_us + wait_us(self.daemon_fails));
            }
        }
    }

    fn fork_daemon(&self, started_us: u64) -> Result<Daemon, Error> {
        let (ours, theirs) = protocol::pair().map_err(step("make a connection"))?;
        let program = reexec::own_program()?;
        let mut env: Vec<String> = reexec::environment()
            .into_iter()
            .filter(|pair| !pair.starts_with(SPAWNER_VARIABLE))
            .filter(|pair| !pair.starts_with(LISTENERS_VARIABLE))
            .filter(|pair| !pair.starts_with(HOST_VARIABLE))
            .collect();
        env.push(format!("{SPAWNER_VARIABLE}={}", theirs.as_raw_fd()));
        env.push(format!("{HOST_VARIABLE}={}", self.network.host_address()));
        let listeners: Vec<String> = self
            .config
            .listeners
            .iter()
            .map(|(name, socket)| format!("{name}:{}", socket.as_raw_fd()))
            .collect();
        env.push(format!("{LISTENERS_VARIABLE}={}", listeners.join(",")));
        let listeners = &self.config.listeners;
        let me = rustix::process::getpid();
        let child = process::fork(Clone3::default(), || {
            let handed = || -> std::io::Result<()> {
                // Before our copy of the claim is closed, which executing does.
                process::die_with(me)?;
                rustix::process::setsid()?;
                signal::reset_all();
                fd::close_on_exec_from(3)?;
                fd::place(theirs.as_fd(), theirs.as_raw_fd())?;
                for (_, socket) in listeners {
                    fd::place(socket.as_fd(), socket.as_raw_fd())?;
                }
                Ok(())
            };
            if handed().is_ok() {
                let _ = reexec::execute(program.as_fd(), &self.config.daemon_args, &env);
            }
            1
        })
        .map_err(step("make the daemon's process"))?;
        Ok(Daemon { child, socket: Some(ours), started_us })
    }

    pub(super) fn daemon_ended(&mut self, status: WaitStatus) {
        let Some(daemon) = self.daemon.take() else { return };
        if self.stopping.is_some() {
            return;
        }
        let code = status.exit_status().and_then(|code| u8::try_from(code).ok());
        match code {
            Some(code) if code == 0 || FATAL.contains(&code) => return self.stop(code),
            _ if !self.config.restart => return self.stop(code.unwrap_or(1)),
            _ => {}
        }
        let now_us = monotonic_us();
        if now_us - daemon.started_us >= HEALTHY_AFTER_US {
            self.daemon_fails = 0;
        }
        self.daemon_fails += 1;
        tracing::error!(?code, signal = status.terminating_signal(), "the daemon ended");
        self.daemon_at_us = Some(now_us + wait_us(self.daemon_fails));
    }
}

fn wait_us(fails: u32) -> u64 {
    let doublings = fails.saturating_sub(1).min(16);
    (WAIT_FIRST_US << doublings).min(WAIT_MAX_US)
}
