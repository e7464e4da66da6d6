//! Making a sandbox before it is known what will run in it.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};

use super::{Cell, end_child, wait_for};
use crate::Error;
use crate::linux::cgroup::Group;
use crate::linux::failure::{Failure, sandbox};
use crate::linux::init::Init;
use crate::linux::net::Network;
use crate::linux::net::ranges::IDS;
use crate::linux::protocol::{self, InitReport};
use crate::linux::rootfs::Writable;
use crate::sys::fd;
use crate::sys::process::{self, Child, Clone3};

/// Processor limit of a spec that names none, in thousandths: one processor.
pub(super) const CPU_DEFAULT_MILLI: u64 = 1_000;
/// Most processes and threads of an instance.
const PIDS_MAX: u32 = 512;

/// A sandbox that waits for an instance.
#[derive(Debug)]
pub(super) struct Sandbox {
    pub(super) slot: u16,
    pub(super) group: Group,
    pub(super) network: Network,
    pub(super) address: Ipv4Addr,
    pub(super) users: OwnedFd,
    pub(super) writable: Writable,
    pub(super) init: Child,
    /// Socket to the init.
    pub(super) channel: OwnedFd,
}

/// Makes the sandbox `slot`. A failure says whether nothing is left of it.
pub(super) fn make(cell: &Rc<Cell>, slot: u16) -> Result<Sandbox, (Failure, bool)> {
    let failed = |error: Error| (Failure::sandbox(error.to_string()), true);
    let name = group_name(slot);
    let group = Group::make(&cell.hierarchies, &cell.name, &name, PIDS_MAX)
        .map_err(|error| (Failure::sandbox(error.to_string()), false))?;
    let mut network = match Network::attach(&cell.name, cell.block).map_err(failed) {
        Ok(network) => network,
        Err((failure, _)) => return Err((failure, group.remove().is_ok())),
    };
    let prepared = match network.prepare(slot).map_err(failed) {
        Ok(prepared) => prepared,
        Err((failure, _)) => return Err((failure, group.remove().is_ok())),
    };
    match populate(cell, slot, &group, prepared.netns, network.host_address()) {
        Ok(Populated { users, writable, init, channel }) => {
            let address = prepared.address;
            Ok(Sandbox { slot, group, network, address, users, writable, init, channel })
        }
        Err(failure) => {
            let cleaned = group.remove().is_ok() & network.release(slot).is_ok();
            Err((failure, cleaned))
        }
    }
}

/// Name of the control group of a slot.
pub(crate) fn group_name(slot: u16) -> String {
    format!("s{slot}")
}

struct Populated {
    users: OwnedFd,
    writable: Writable,
    init: Child,
    channel: OwnedFd,
}

fn populate(
    cell: &Rc<Cell>,
    slot: u16,
    group: &Group,
    network: OwnedFd,
    resolver: Ipv4Addr,
) -> Result<Populated, Failure> {
    let ids = cell.block.ids(slot).ok_or_else(|| Failure::sandbox("no ids for this slot"))?;
    let users = user_namespace(ids).map_err(sandbox("make a user namespace"))?;
    // Most instances have this one, and then a start does not have to set it.
    group.limit_cpu(CPU_DEFAULT_MILLI).map_err(sandbox("limit the processor time"))?;
    let doors = group.doors().map_err(|error| Failure::sandbox(error.to_string()))?;
    let (ours, theirs) = protocol::pair().map_err(sandbox("make a connection"))?;
    let with = Clone3 {
        namespaces: libc::CLONE_NEWNS
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS,
        into_cgroup: group.birth(),
    };
    let mut keep = vec![theirs.as_raw_fd(), network.as_raw_fd(), users.as_raw_fd()];
    keep.extend(doors.iter().map(AsRawFd::as_raw_fd));
    let for_init = users.try_clone().map_err(sandbox("copy a descriptor"))?;
    keep.push(for_init.as_raw_fd());
    let init = Init {
        shim: theirs,
        doors,
        network,
        users: for_init,
        ids,
        filter: Rc::clone(&cell.filter),
        stage: cell.run_dir.clone(),
    };
    let mut init = Some(init);
    let child = process::fork(with, || {
        let Some(init) = init.take() else { return 1 };
        if fd::close_all_but(&mut keep).is_err() {
            return 1;
        }
        init.run()
    })
    .map_err(sandbox("make the first process"))?;
    drop(init);
    let writable = Writable::make(ids, resolver).and_then(|writable| {
        prepared(&ours)?;
        Ok(writable)
    });
    match writable {
        Ok(writable) => Ok(Populated { users, writable, init: child, channel: ours }),
        Err(failure) => {
            end_child(&child);
            Err(failure)
        }
    }
}

/// Waits until the init has done its part.
fn prepared(init: &OwnedFd) -> Result<(), Failure> {
    let report = protocol::receive::<InitReport>(init);
    match report.map_err(sandbox("hear from the first process"))? {
        Some((InitReport::Prepared, _)) => Ok(()),
        Some((InitReport::Failed(failure), _)) => Err(Failure::sandbox(failure.message)),
        _ => Err(Failure::sandbox("the first process ended at once")),
    }
}

/// A user namespace in which ids 0 to 65,535 are `ids` and following on the host.
pub(crate) fn user_namespace(ids: u32) -> std::io::Result<OwnedFd> {
    // A namespace needs a process in it until there is a descriptor of it.
    let with = Clone3 { namespaces: libc::CLONE_NEWUSER, into_cgroup: None };
    let me = rustix::process::getpid();
    let child = process::fork(with, || {
        if process::die_with(me).is_ok() {
            rustix::event::pause();
        }
        0
    })?;
    let map = format!("0 {ids} {IDS}\n");
    let path = |file: &str| format!("/proc/{}/{file}", child.pid);
    let made = std::fs::write(path("uid_map"), &map)
        .and_then(|()| std::fs::write(path("gid_map"), &map))
        .and_then(|()| {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            Ok(rustix::fs::open(path("ns/user"), flags, Mode::empty())?)
        });
    end_child(&child);
    made
}

impl Sandbox {
    /// Kills what runs in it and removes everything of it.
    pub(super) fn remove(mut self) -> Result<(), Error> {
        self.kill();
        wait_for(&self.init);
        drop((self.writable, self.channel));
        let group = self.group.remove();
        self.network.release(self.slot).and(group)
    }

    /// Kills every process in it.
    pub(super) fn kill(&self) {
        if !self.group.kill() {
            // A frozen process does not die on version 1.
            let _ = self.group.freeze(false);
        }
        // Its end is the end of every process in its process id namespace.
        let kill = rustix::process::Signal::KILL;
        let _ = rustix::process::pidfd_send_signal(&self.init.pidfd, kill); // it may have ended
    }

    /// The same sandbox's first process as a descriptor.
    pub(super) fn channel(&self) -> std::os::fd::BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
