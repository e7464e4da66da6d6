//! Process 1 of an instance: a fork of the shim in the instance's namespaces.
//!
//! First it makes everything that is the same for every instance (its own procfs, sysfs and
//! devices, in a root of its own that holds nothing of the host) and waits. Then it gets a mounted
//! root file system and a spec, moves in, gives up every privilege of the host for good, executes
//! the program as its child, and stays: it passes signals on, reaps, and ends as the program ends.
//! Its end is the end of every process of the instance.

pub(crate) mod privilege;
mod program;
mod tree;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Gid, Uid};
use rustix::process::{WaitOptions, WaitStatus};

use crate::linux::failure::{Failure, sandbox};
use crate::linux::protocol::{self, InitOrder, InitReport, Start};
use crate::linux::rootfs::writable_bytes;
use crate::linux::seccomp;
use crate::linux::shim::monotonic_us;
use crate::linux::users::{self, User};
use crate::sys::{process, signal};

/// What an init starts with. All descriptors are closed on exec.
#[derive(Debug)]
pub(crate) struct Init {
    /// Socket to the shim.
    pub(crate) shim: OwnedFd,
    /// Files to write `0` to, to join control groups.
    pub(crate) doors: Vec<OwnedFd>,
    /// Network namespace.
    pub(crate) network: OwnedFd,
    /// User namespace.
    pub(crate) users: OwnedFd,
    /// Id on the host of user 0 inside.
    pub(crate) ids: u32,
    /// System call filter for the program.
    pub(crate) filter: Rc<seccomp::Program>,
    /// Directory of the host that is hidden while the trees are made; any one will do.
    pub(crate) stage: PathBuf,
}

impl Init {
    /// Runs until the instance has ended; answers the exit code of this process, which says
    /// nothing: the end of the program goes to the shim.
    pub(crate) fn run(self) -> i32 {
        let trees = match self.prepare() {
            Ok(trees) => trees,
            Err(failure) => return self.fail(failure),
        };
        if self.report(&InitReport::Prepared).is_err() {
            return 1;
        }
        let (start, root, outputs) = match self.order() {
            Ok(Some(order)) => order,
            Ok(None) => return 0, // the shim is gone, or never needed this sandbox
            Err(failure) => return self.fail(failure),
        };
        match self.begin(&start, trees, root, outputs) {
            Ok((pid, signals)) => self.stay(pid, &signals),
            Err(failure) => self.fail(failure),
        }
    }

    fn prepare(&self) -> Result<tree::Trees, Failure> {
        process::die_with_parent().map_err(sandbox("ask for the end with the shim"))?;
        // The name only helps people who look at the process list.
        let _ = rustix::thread::set_name(c"ebb-init");
        for door in &self.doors {
            rustix::io::write(door, b"0").map_err(sandbox("join a control group"))?;
        }
        process::enter_namespace(self.network.as_fd(), libc::CLONE_NEWNET)
            .map_err(sandbox("enter the network namespace"))?;
        process::new_namespaces(libc::CLONE_NEWCGROUP)
            .map_err(sandbox("make a control group namespace"))?;
        privilege::prefer_for_oom();
        tree::make(&self.stage)
    }

    /// Waits for the order to run.
    fn order(&self) -> Result<Option<Order>, Failure> {
        let received = protocol::receive::<InitOrder>(&self.shim);
        let Some((order, descriptors)) = received.map_err(sandbox("hear from the shim"))? else {
            return Ok(None);
        };
        let (InitOrder::Run, Ok([spec, root, out, err])) =
            (order, <[OwnedFd; 4]>::try_from(descriptors))
        else {
            return Err(Failure::sandbox("the shim gave another order than to run"));
        };
        let start = protocol::read_file(spec).map_err(sandbox("read the spec"))?;
        Ok(Some((start, root, [out, err])))
    }

    /// Moves in and executes the program; answers its process id and the descriptor of signals.
    fn begin(
        &self,
        start: &Start,
        trees: tree::Trees,
        root: OwnedFd,
        outputs: [OwnedFd; 2],
    ) -> Result<(i32, OwnedFd), Failure> {
        let Some(container) = start.spec.containers.first() else {
            return Err(Failure::sandbox("the spec has no container"));
        };
        let user = users::resolve(&container.user, root.as_fd())?;
        let temporary_bytes = container.read_only.then(|| writable_bytes(container));
        tree::move_in(trees, &root, temporary_bytes)?;
        let rooted_us = monotonic_us();
        let host = hostname(&start.spec.name);
        rustix::system::sethostname(host.as_bytes()).map_err(sandbox("set the host name"))?;
        privilege::limit()?;
        self.give(&outputs, &user)?;
        privilege::enter(self.users.as_fd())?;
        let input = program::null()?;
        program::enter_working_dir(&container.working_dir, root.as_fd())?;
        drop(root);
        let prepared = program::Prepared::new(container, user, input, outputs)?;
        let signals = signal::as_descriptor(&[libc::SIGCHLD]);
        let signals = signals.map_err(sandbox("watch for ending processes"))?;
        privilege::confine(&self.filter)?;
        let pid = prepared.execute()?;
        let report = InitReport::Started { rooted_us, executed_us: monotonic_us() };
        self.report(&report).map_err(sandbox("report to the shim"))?;
        Ok((pid, signals))
    }

    /// Makes the program's user the owner of its outputs, so that it can open `/dev/stdout`.
    fn give(&self, outputs: &[OwnedFd; 2], user: &User) -> Result<(), Failure> {
        let (uid, gid) = (Uid::from_raw(self.ids + user.uid), Gid::from_raw(self.ids + user.gid));
        outputs.iter().try_for_each(|output| {
            rustix::fs::fchown(output, Some(uid), Some(gid))
                .map_err(sandbox("give the outputs to the program's user"))
        })
    }

    /// Reaps and passes signals on until the program has ended.
    fn stay(&self, program: i32, signals: &OwnedFd) -> i32 {
        loop {
            let mut polled =
                [PollFd::new(&self.shim, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
            if protocol::retry(|| rustix::event::poll(&mut polled, None)).is_err() {
                return 1;
            }
            let (from_shim, from_children) =
                (!polled[0].revents().is_empty(), !polled[1].revents().is_empty());
            if from_shim {
                match protocol::receive::<InitOrder>(&self.shim) {
                    Ok(Some((InitOrder::Signal(number), _))) => {
                        let _ = signal::send(program, number); // it may have ended
                    }
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return 1,
                }
            }
            if from_children {
                signal::drain(signals);
                if let Some(status) = reap(program) {
                    let code = status.exit_status();
                    let signal = status.terminating_signal();
                    let _ = self.report(&InitReport::Exited { code, signal });
                    return 0;
                }
            }
        }
    }

    fn report(&self, report: &InitReport) -> io::Result<()> {
        protocol::send(&self.shim, report, &[])
    }

    fn fail(&self, failure: Failure) -> i32 {
        // When the shim is gone nobody is left to tell.
        let _ = self.report(&InitReport::Failed(failure.into()));
        1
    }
}

type Order = (Start, OwnedFd, [OwnedFd; 2]);

/// Host name for an instance's name: the kernel takes 64 bytes.
pub(crate) fn hostname(name: &str) -> &str {
    name.get(..63).unwrap_or(name)
}

/// Takes every process that has ended; answers how `program` ended, if it did.
fn reap(program: i32) -> Option<WaitStatus> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == program {
            ended = Some(status);
        }
    }
    ended
}
