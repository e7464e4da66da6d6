//! The root of the platform's process tree: small, one thread, no parser, no database.
//!
//! It holds the listening sockets, keeps a few sandboxes ready, hands them out on the daemon's
//! request, and starts the daemon again when it dies. Its only loop waits for signals (children
//! that ended, the request to stop) and for the daemon's messages. Whatever takes time (making a
//! sandbox, removing one) happens in the shims, which are its forks.

mod confined;
mod daemon;
mod remains;
mod requests;
mod sandboxes;
mod teardown;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::WaitOptions;

use crate::Error;
use crate::linux::cgroup::{Group, Hierarchies, SHIMS};
use crate::linux::devices;
use crate::linux::failure::step;
use crate::linux::logs::LogLimits;
use crate::linux::net::claims::CLAIMS;
use crate::linux::net::{self, Claim, Network, Range};
use crate::linux::protocol;
use crate::linux::seccomp;
use crate::linux::shim::{Cell, monotonic_us};
use crate::sys::signal;

/// Exit codes of a daemon that must not be started again, because what it was given cannot work:
/// the range of `sysexits.h`. The spawner ends with the same code.
pub const FATAL: std::ops::RangeInclusive<u8> = 64..=79;
/// Quiet time after a start before a sandbox is made for the next, in microseconds: the instance
/// that is just starting needs the processors more.
const REFILL_AFTER_US: u64 = 3_000;
/// Time between tries to make a sandbox after one failed, in microseconds.
const RETRY_AFTER_US: u64 = 1_000_000;

/// What the spawner runs.
#[derive(Debug)]
pub struct SpawnerConfig {
    /// Six hex digits that name everything outside of the data directory.
    pub cell: String,
    /// Directory for sockets and start locks, `/run/ebb/<cell>`. Made, and removed at the end.
    pub run_dir: PathBuf,
    /// Directory for the output of instances. Made; it stays.
    pub log_dir: PathBuf,
    /// Arguments of the daemon, such as `__daemon`.
    pub daemon_args: Vec<String>,
    /// Listening sockets for the daemon, by name.
    pub listeners: Vec<(String, OwnedFd)>,
    /// Whether a daemon that ended is started again, unless it ended with one of [`FATAL`] or 0.
    pub restart: bool,
    /// Addresses that cells take their blocks from.
    pub range: Range,
    /// What instances may reach.
    pub network: net::Config,
    /// Sandboxes that are kept ready.
    pub reserve: usize,
    /// Bounds of the output of each instance.
    pub logs: LogLimits,
    /// Time that the daemon has to end after SIGTERM.
    pub grace: Duration,
    /// What confined processes run: given the arguments and the descriptors of the request,
    /// answers the exit code; 71 is reserved for processes that could not be confined. It must not
    /// start threads.
    pub confined: fn(&[String], Vec<OwnedFd>) -> u8,
}

impl SpawnerConfig {
    /// Defaults: restart, four sandboxes ready, 30 s of grace, nothing private reachable.
    ///
    /// # Errors
    /// None in practice: the default range is valid.
    pub fn new(cell: &str, log_dir: PathBuf, confined: fn(&[String], Vec<OwnedFd>) -> u8) -> Self {
        Self {
            cell: cell.to_owned(),
            run_dir: PathBuf::from("/run/ebb").join(cell),
            log_dir,
            daemon_args: Vec::new(),
            listeners: Vec::new(),
            restart: true,
            range: Range::default(),
            network: net::Config::default(),
            reserve: 4,
            logs: LogLimits::default(),
            grace: Duration::from_secs(30),
            confined,
        }
    }
}

/// Runs until it is told to stop by SIGTERM or SIGINT, or the daemon ends for good; answers the
/// exit code for the process. Afterwards nothing of the cell is left but its output files.
///
/// # Errors
/// [`Error`] when the platform could not be set up; nothing is left then either.
pub fn run(config: SpawnerConfig) -> Result<u8, Error> {
    let (cell, run_dir) = (config.cell.clone(), config.run_dir.clone());
    let hierarchies = Hierarchies::detect()?;
    // While it is held, to the end of this function, no other spawner of this cell runs and nobody
    // clears anything of it: what is there now is left over.
    let claim = claim(&config, &hierarchies)?;
    let set_up = Spawner::set_up(config, &claim, hierarchies.clone());
    let mut spawner = set_up.inspect_err(|_| {
        // What the failed step says matters more than what cannot be removed after it.
        let _ = teardown::remove_leftovers(&cell, &hierarchies);
        let _ = std::fs::remove_dir_all(&run_dir);
    })?;
    let code = spawner.work();
    let cleaned = spawner.tear_down();
    let code = code?;
    cleaned.map(|()| code)
}

/// Claims a block for the cell, and clears what dead cells left.
fn claim(config: &SpawnerConfig, hierarchies: &Hierarchies) -> Result<Claim, Error> {
    let claims = Path::new(CLAIMS);
    let run = claims.parent().unwrap_or(claims).to_owned();
    let mut host = remains::Host { hierarchies, run };
    Claim::take(claims, &config.cell, config.range, &mut host)
}

/// A second wall behind `nodev` and the missing capability, so its absence is told, not fatal.
fn restrict_devices(hierarchies: &Hierarchies, cell: &str) {
    let dirs = hierarchies.cell_dirs(cell);
    if !dirs.iter().any(|dir| devices::restrict(dir).is_ok()) {
        tracing::warn!("devices are not restricted by control group on this machine");
    }
}

/// State of the loop.
struct Spawner {
    config: SpawnerConfig,
    cell: Rc<Cell>,
    network: Network,
    /// Control group of the shims, so that all of them can be found and ended.
    shims_group: Group,
    signals: OwnedFd,
    daemon: Option<daemon::Daemon>,
    daemon_fails: u32,
    daemon_at_us: Option<u64>,
    sandboxes: sandboxes::Sandboxes,
    /// Confined processes by the process id of who waits for them.
    confined: BTreeMap<i32, confined::Supervisor>,
    confined_names: u64,
    /// Ids of started instances, oldest first, whose locks are kept.
    started: VecDeque<String>,
    /// Who waits until every instance has ended.
    resetting: Vec<OwnedFd>,
    reset_until_us: Option<u64>,
    refill_at_us: u64,
    stopping: Option<Stopping>,
}

/// How far the end is.
#[derive(Clone, Copy, Debug)]
struct Stopping {
    code: u8,
    /// When the daemon is killed; none once it is: only its end is waited for then.
    kill_at_us: Option<u64>,
}

impl Stopping {
    /// Whether the daemon is to be killed at `now_us`; says so once.
    fn take_kill(&mut self, now_us: u64) -> bool {
        let due = self.kill_at_us.is_some_and(|at| now_us >= at);
        if due {
            self.kill_at_us = None;
        }
        due
    }
}

impl Spawner {
    fn set_up(
        config: SpawnerConfig,
        claim: &Claim,
        hierarchies: Hierarchies,
    ) -> Result<Self, Error> {
        teardown::remove_leftovers(&config.cell, &hierarchies)?;
        teardown::make_directories(&config)?;
        let network = Network::setup(&config.cell, claim, &config.network)?;
        hierarchies.make_cell(&config.cell)?;
        restrict_devices(&hierarchies, &config.cell);
        let shims_group = Group::make(&hierarchies, &config.cell, SHIMS, 16_384)?;
        let cell = Rc::new(Cell {
            name: config.cell.clone(),
            run_dir: config.run_dir.clone(),
            log_dir: config.log_dir.clone(),
            logs: config.logs,
            hierarchies,
            block: network.block(),
            filter: Rc::new(seccomp::Program::instance()),
        });
        let signals = signal::as_descriptor(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT])
            .map_err(step("watch for signals"))?;
        signal::ignore(libc::SIGPIPE);
        signal::ignore(libc::SIGHUP);
        teardown::protect_from_oom();
        Ok(Self {
            config,
            cell,
            network,
            shims_group,
            signals,
            daemon: None,
            daemon_fails: 0,
            daemon_at_us: Some(0),
            sandboxes: sandboxes::Sandboxes::new(),
            confined: BTreeMap::new(),
            confined_names: 0,
            started: VecDeque::new(),
            resetting: Vec::new(),
            reset_until_us: None,
            refill_at_us: 0,
            stopping: None,
        })
    }

    /// The loop; answers the exit code once it is time to tear down.
    fn work(&mut self) -> Result<u8, Error> {
        loop {
            let now_us = monotonic_us();
            self.attend(now_us);
            if let Some(stopping) = self.stopping
                && self.daemon.is_none()
            {
                return Ok(stopping.code);
            }
            let due_us = self.due_us();
            let wait = due_us.map(|due| Duration::from_micros(due.saturating_sub(now_us)));
            let timeout = wait.and_then(|wait| Timespec::try_from(wait).ok());
            let (signals, messages) = {
                let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN)];
                if let Some(socket) = self.daemon.as_ref().and_then(|d| d.socket.as_ref()) {
                    polled.push(PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN));
                }
                protocol::retry(|| poll(&mut polled, timeout.as_ref()))
                    .map_err(step("wait for something to do"))?;
                let hot = |fd: &PollFd<'_>| !fd.revents().is_empty();
                (hot(&polled[0]), polled.get(1).is_some_and(hot))
            };
            if messages {
                self.hear_daemon();
            }
            if signals {
                self.take_signals();
            }
        }
    }

    /// Does what is due by the clock.
    fn attend(&mut self, now_us: u64) {
        if let Some(stopping) = &mut self.stopping {
            if stopping.take_kill(now_us)
                && let Some(daemon) = &self.daemon
            {
                daemon.kill();
            }
            return;
        }
        if self.daemon.is_none() && self.daemon_at_us.is_some_and(|at| now_us >= at) {
            self.start_daemon(now_us);
        }
        if self.reset_until_us.is_some_and(|until| now_us >= until) {
            self.reset_until_us = None;
            self.sandboxes.kill_used();
        }
        if self.sandboxes.ready() < self.config.reserve && now_us >= self.refill_at_us {
            self.refill_at_us = match self.make_sandbox() {
                Ok(()) => now_us,
                Err(_) => now_us + RETRY_AFTER_US,
            };
        }
    }

    fn due_us(&self) -> Option<u64> {
        if let Some(stopping) = self.stopping {
            return stopping.kill_at_us;
        }
        let refill = (self.sandboxes.ready() < self.config.reserve).then_some(self.refill_at_us);
        let daemon = self.daemon_at_us.filter(|_| self.daemon.is_none());
        [refill, daemon, self.reset_until_us].into_iter().flatten().min()
    }

    fn take_signals(&mut self) {
        for number in signal::drain(&self.signals) {
            if number == libc::SIGTERM || number == libc::SIGINT {
                self.stop(0);
            }
        }
        // One SIGCHLD may stand for several children.
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            if self.daemon.as_ref().is_some_and(|daemon| daemon.pid() == pid) {
                self.daemon_ended(status);
            } else if let Some(supervisor) = self.confined.remove(&pid) {
                self.confined_ended(supervisor);
            } else {
                self.sandbox_ended(pid, status.exit_status());
            }
        }
    }

    /// Begins the end. Told again, it stops waiting for the daemon.
    fn stop(&mut self, code: u8) {
        let now_us = monotonic_us();
        let grace_us = u64::try_from(self.config.grace.as_micros()).unwrap_or(u64::MAX);
        self.stopping = Some(match self.stopping {
            Some(before) => Stopping { kill_at_us: Some(now_us), ..before },
            None => Stopping { code, kill_at_us: Some(now_us.saturating_add(grace_us)) },
        });
        if let Some(daemon) = &self.daemon {
            daemon.terminate();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_is_told_to_end_is_killed_once() {
        let mut stopping = Stopping { code: 0, kill_at_us: Some(10) };
        assert!(!stopping.take_kill(9));
        assert!(stopping.take_kill(10));
        // Nothing is due any more, so the loop waits for the signal of its end.
        assert_eq!(stopping.kill_at_us, None);
        assert!(!stopping.take_kill(11));
    }
}
