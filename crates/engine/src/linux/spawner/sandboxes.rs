//! Sandboxes: those that are ready, those that are used.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::process::{Signal, pidfd_send_signal};

use super::Spawner;
use crate::Error;
use crate::linux::cgroup;
use crate::linux::failure::step;
use crate::linux::net::ranges::SLOTS;
use crate::linux::protocol::{self, Order};
use crate::linux::shim::{NOT_MADE, Shim, group_name, monotonic_us};
use crate::sys::process::{self, Child, Clone3};

/// All sandboxes of the cell.
#[derive(Debug)]
pub(super) struct Sandboxes {
    free: BTreeSet<u16>,
    ready: VecDeque<Sandbox>,
    used: BTreeMap<i32, Sandbox>,
}

/// One sandbox, by its shim.
#[derive(Debug)]
pub(super) struct Sandbox {
    slot: u16,
    shim: Child,
    /// Socket to the shim.
    pub(super) socket: OwnedFd,
}

impl Sandboxes {
    pub(super) fn new() -> Self {
        let free = (0..SLOTS).collect();
        Self { free, ready: VecDeque::new(), used: BTreeMap::new() }
    }

    /// How many are ready.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// How many run an instance.
    pub(super) fn used(&self) -> usize {
        self.used.len()
    }

    /// Takes one out of the reserve.
    pub(super) fn take(&mut self) -> Option<Sandbox> {
        self.ready.pop_front()
    }

    /// Keeps one that was given an instance.
    pub(super) fn keep(&mut self, sandbox: Sandbox) {
        self.used.insert(sandbox.shim.pid, sandbox);
    }

    /// Orders every instance to end.
    pub(super) fn end_used(&self) {
        self.used.values().for_each(Sandbox::end);
    }

    /// Orders every sandbox to end.
    pub(super) fn end_all(&self) {
        self.end_used();
        self.ready.iter().for_each(Sandbox::end);
    }

    /// Kills the shims of those that have not obeyed; their instances end with them.
    pub(super) fn kill_used(&self) {
        for sandbox in self.used.values() {
            let _ = pidfd_send_signal(&sandbox.shim.pidfd, Signal::KILL); // it may have ended
        }
    }

    /// Whether there is none at all.
    pub(super) fn none(&self) -> bool {
        self.used.is_empty() && self.ready.is_empty()
    }

    fn remove(&mut self, pid: i32) -> Option<Sandbox> {
        if let Some(sandbox) = self.used.remove(&pid) {
            return Some(sandbox);
        }
        let index = self.ready.iter().position(|sandbox| sandbox.shim.pid == pid)?;
        self.ready.remove(index)
    }
}

impl Sandbox {
    fn end(&self) {
        let _ = protocol::send(&self.socket, &Order::End, &[]); // it may have ended
    }
}

impl Spawner {
    /// Starts making a sandbox for the reserve.
    pub(super) fn make_sandbox(&mut self) -> Result<(), Error> {
        let sandbox = self.fork_shim()?;
        self.sandboxes.ready.push_back(sandbox);
        Ok(())
    }

    /// Starts making a sandbox; orders that it is given now wait for it.
    pub(super) fn fork_shim(&mut self) -> Result<Sandbox, Error> {
        let slot = self.sandboxes.free.pop_first().ok_or_else(|| {
            Error::Exhausted(format!("all {SLOTS} sandboxes of this platform are in use"))
        })?;
        let made = self.fork_shim_for(slot);
        if made.is_err() {
            self.sandboxes.free.insert(slot);
        }
        made
    }

    fn fork_shim_for(&self, slot: u16) -> Result<Sandbox, Error> {
        let (ours, theirs) = protocol::pair().map_err(step("make a connection"))?;
        let mut shim = Some(Shim { spawner: theirs, slot, cell: Rc::clone(&self.cell) });
        let with = Clone3 { namespaces: 0, into_cgroup: self.shims_group.birth() };
        let child = process::fork(with, || shim.take().map_or(1, Shim::run));
        let child = child.map_err(step("make a shim"))?;
        Ok(Sandbox { slot, shim: child, socket: ours })
    }

    /// A shim has ended; one that did not end well leaves its traces to us.
    pub(super) fn sandbox_ended(&mut self, pid: i32, code: Option<i32>) {
        let Some(sandbox) = self.sandboxes.remove(pid) else { return };
        let mut clean = true;
        if code != Some(0) {
            // Whatever the reason is, it may be there for a while.
            self.refill_at_us = monotonic_us() + super::RETRY_AFTER_US;
        }
        if !matches!(code, Some(0 | NOT_MADE)) {
            let name = group_name(sandbox.slot);
            let dirs = self.cell.hierarchies.cell_dirs(&self.cell.name);
            for dir in dirs {
                let dir = dir.join(&name);
                cgroup::kill_all(&dir);
                clean &= cgroup::remove(&dir).is_ok();
            }
            clean &= self.network.release(sandbox.slot).is_ok();
        }
        if clean {
            self.sandboxes.free.insert(sandbox.slot);
        } else {
            tracing::error!(slot = sandbox.slot, "a sandbox cannot be removed; its slot is lost");
        }
        self.answer_reset();
    }
}
