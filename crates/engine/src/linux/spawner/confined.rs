//! Running the confined function: hostile input is read by a process that can do nothing else.
//!
//! The spawner forks a supervisor, so that its loop never waits. The supervisor forks the confined
//! process into new namespaces, collects its standard output, and kills it when its time is over or
//! when nobody waits for it any more. It speaks only once the process is gone.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, MemfdFlags, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    mount_change, move_mount, open_tree, unmount,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Resource, Rlimit, WaitId, WaitIdOptions, setrlimit, waitid};

use super::Spawner;
use crate::linux::cgroup::{Group, Limits};
use crate::linux::failure::{Failure, sandbox};
use crate::linux::init::privilege;
use crate::linux::protocol::{self, ConfinedEnd, Report};
use crate::linux::seccomp;
use crate::linux::shim::{Cell, monotonic_us, user_namespace};
use crate::sys::mount::{NODEV, NOSUID, set_id_map};
use crate::sys::process::{self, Child, Clone3};
use crate::sys::{fd, signal};

/// Memory of a confined process: 256 MiB (security profile of the unpacker).
const MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// Processes of it, itself included.
const PIDS_MAX: u32 = 8;
/// Wall time that it has, in microseconds: 10 minutes.
const TIME_US: u64 = 600 * 1_000_000;
/// Most bytes of standard output that are kept; more ends it.
const OUTPUT_MAX: usize = 1024 * 1024;
/// Limits: processor seconds, largest file (16 GiB), open files, core size.
const LIMITS: [(Resource, u64); 4] = [
    (Resource::Cpu, 600),
    (Resource::Fsize, 16 << 30),
    (Resource::Nofile, 256),
    (Resource::Core, 0),
];
/// Processor time: as much as there is of four processors.
const CPU_MILLI: u64 = 4_000;

/// Who waits for a confined process.
#[derive(Debug)]
pub(super) struct Supervisor {
    /// Name of the confined process's control group.
    group: String,
    /// Connection on which the end is told.
    reply: OwnedFd,
}

impl Spawner {
    pub(super) fn run_confined(&mut self, args: Vec<String>, mut descriptors: Vec<OwnedFd>) {
        if descriptors.is_empty() {
            return;
        }
        let reply = descriptors.remove(0);
        self.confined_names += 1;
        let group = format!("u{}", self.confined_names);
        let job = Job {
            cell: Rc::clone(&self.cell),
            group: group.clone(),
            ids: self.cell.block.unpacker_ids(),
            main: self.config.confined,
            args,
            descriptors,
        };
        let with = Clone3 { namespaces: 0, into_cgroup: self.shims_group.birth() };
        let mut job = Some(job);
        let me = rustix::process::getpid();
        let child = process::fork(with, || match job.take() {
            Some(job) => job.supervise(me, &reply),
            None => 1,
        });
        match child {
            Ok(child) => {
                self.confined.insert(child.pid, Supervisor { group, reply });
            }
            Err(error) => tell(&reply, failed(format!("make a supervisor: {error}")), None),
        }
    }

    /// A supervisor has ended; its control group goes, whatever happened to it.
    pub(super) fn confined_ended(&mut self, supervisor: Supervisor) {
        for dir in self.cell.hierarchies.cell_dirs(&self.cell.name) {
            let dir = dir.join(&supervisor.group);
            crate::linux::cgroup::kill_all(&dir);
            if let Err(error) = crate::linux::cgroup::remove(&dir) {
                tracing::error!(%error, "a control group stays");
            }
        }
        // The daemon hears either the supervisor's report or, now, that there is none.
        drop(supervisor.reply);
        self.answer_reset();
    }
}

struct Job {
    cell: Rc<Cell>,
    group: String,
    ids: u32,
    main: fn(&[String], Vec<OwnedFd>) -> u8,
    args: Vec<String>,
    descriptors: Vec<OwnedFd>,
}

impl Job {
    fn supervise(self, spawner: Pid, reply: &OwnedFd) -> i32 {
        let _ = rustix::thread::set_name(c"ebb-confine"); // only for people
        let mut keep: Vec<i32> = self.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        keep.push(reply.as_raw_fd());
        let settled = rustix::process::setsid()
            .map_err(io::Error::from)
            // Before our copy of the claim is closed.
            .and_then(|_| process::die_with(spawner))
            .and_then(|()| fd::close_all_but(&mut keep));
        signal::reset_all();
        signal::ignore(libc::SIGPIPE);
        if let Err(error) = settled {
            tell(reply, failed(format!("settle: {error}")), None);
            return 1;
        }
        match self.run(reply) {
            Ok((end, output)) => tell(reply, end, Some(&output)),
            Err(failure) => tell(reply, failed(failure.message), None),
        }
        0
    }

    fn run(mut self, reply: &OwnedFd) -> Result<(ConfinedEnd, Vec<u8>), Failure> {
        let users = user_namespace(self.ids).map_err(sandbox("make a user namespace"))?;
        for descriptor in &mut self.descriptors {
            if is_directory(descriptor).map_err(sandbox("look at a descriptor"))? {
                *descriptor = mapped(descriptor, &users).map_err(sandbox("map the directory"))?;
            }
        }
        let system = |error: crate::Error| Failure::sandbox(error.to_string());
        let hierarchies = &self.cell.hierarchies;
        let group =
            Group::make(hierarchies, &self.cell.name, &self.group, PIDS_MAX).map_err(system)?;
        let limits = Limits { memory_bytes: MEMORY_BYTES, cpu_milli: CPU_MILLI };
        group.limit(limits).map_err(sandbox("set the limits"))?;
        let doors = group.doors().map_err(system)?;
        let (output, output_end) = pipe_with(PipeFlags::CLOEXEC).map_err(sandbox("a pipe"))?;
        let with = Clone3 {
            namespaces: libc::CLONE_NEWNS
                | libc::CLONE_NEWPID
                | libc::CLONE_NEWNET
                | libc::CLONE_NEWIPC
                | libc::CLONE_NEWUTS,
            into_cgroup: group.birth(),
        };
        let inside = Inside { doors, users, stage: &self.cell.run_dir };
        let child = process::fork(with, || {
            match inside.enter(&output_end, &self.descriptors).and_then(|()| self.handed()) {
                Ok(descriptors) => i32::from((self.main)(&self.args, descriptors)),
                Err(failure) => {
                    let _ = rustix::io::write(&output_end, failure.message.as_bytes());
                    NEVER_RUN
                }
            }
        })
        .map_err(sandbox("make the process"))?;
        drop(output_end);
        let (bytes, end) = collect(&output, &child, reply);
        if end != End::Itself || !group.kill() {
            let kill = rustix::process::Signal::KILL;
            let _ = rustix::process::pidfd_send_signal(&child.pidfd, kill); // it may have ended
        }
        let id = || WaitId::PidFd(child.pidfd.as_fd());
        let status = protocol::retry(|| waitid(id(), WaitIdOptions::EXITED));
        let status = status.map_err(sandbox("wait for the process"))?;
        let (code, signal) = status
            .map_or((None, None), |status| (status.exit_status(), status.terminating_signal()));
        if code == Some(NEVER_RUN) {
            return Err(Failure::sandbox(String::from_utf8_lossy(&bytes).into_owned()));
        }
        let output_bytes = bytes.len() as u64;
        let timed_out = end == End::TimedOut;
        Ok((ConfinedEnd { code, signal, timed_out, failure: None, output_bytes }, bytes))
    }
}

impl Job {
    /// The request's descriptors, from inside, under their new numbers.
    fn handed(&self) -> Result<Vec<OwnedFd>, Failure> {
        (3..)
            .take(self.descriptors.len())
            .map(|number| fd::take_inherited(number).map_err(sandbox("take over a descriptor")))
            .collect()
    }
}

/// Exit code of a process that could not be confined.
const NEVER_RUN: i32 = 71;

/// The confined process, from inside.
struct Inside<'a> {
    doors: Vec<OwnedFd>,
    users: OwnedFd,
    stage: &'a std::path::Path,
}

impl Inside<'_> {
    fn enter(&self, output: &OwnedFd, descriptors: &[OwnedFd]) -> Result<(), Failure> {
        process::die_with_parent().map_err(sandbox("ask for the end with the supervisor"))?;
        for door in &self.doors {
            rustix::io::write(door, b"0").map_err(sandbox("join a control group"))?;
        }
        process::new_namespaces(libc::CLONE_NEWCGROUP)
            .map_err(sandbox("make a control group namespace"))?;
        privilege::prefer_for_oom();
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let null = rustix::fs::open("/dev/null", flags, Mode::empty())
            .map_err(sandbox("open /dev/null"))?;
        // Closed with all others below, by number.
        let null = std::mem::ManuallyDrop::new(null);
        empty_root(self.stage).map_err(sandbox("make an empty root"))?;
        for (resource, limit) in LIMITS {
            let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
            setrlimit(resource, limit).map_err(sandbox("limit the process"))?;
        }
        privilege::enter(self.users.as_fd())?;
        place_all(&null, output, descriptors).map_err(sandbox("place the descriptors"))?;
        has_reader().map_err(sandbox("find the supervisor alive"))?;
        privilege::confine(&seccomp::Program::confined())
    }
}

/// Puts the descriptors where the function expects them, and closes all others.
fn place_all(null: &OwnedFd, output: &OwnedFd, descriptors: &[OwnedFd]) -> io::Result<()> {
    // First out of the way of each other: above every number that is used.
    let first = 64;
    let sources = [null, output, null].into_iter().chain(descriptors);
    let count = 3 + i32::try_from(descriptors.len()).unwrap_or(i32::MAX - 3);
    for (number, source) in (first..).zip(sources) {
        let high = rustix::io::fcntl_dupfd_cloexec(source, number)?;
        // Its owner must not close it: the number itself is what counts.
        let _ = std::os::fd::IntoRawFd::into_raw_fd(high);
    }
    fd::move_down(first, count)?;
    fd::close_all_but(&mut (3..count).collect::<Vec<i32>>())
}

/// Whether somebody reads our standard output. The supervisor alone does: one that died before
/// we asked to end with it would leave us behind.
fn has_reader() -> io::Result<()> {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    protocol::retry(|| poll(&mut polled, Some(&Timespec::default())))?;
    if polled[0].revents().contains(PollFlags::ERR) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    Ok(())
}

fn empty_root(stage: &std::path::Path) -> rustix::io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [("size", "4k"), ("nr_inodes", "2"), ("mode", "0555")] {
        fsconfig_set_string(&context, key, value)?;
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_RDONLY;
    let root = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    move_mount(&root, "", CWD, stage, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::fchdir(&root)?;
    rustix::process::pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

fn is_directory(descriptor: &OwnedFd) -> rustix::io::Result<bool> {
    let stat = rustix::fs::fstat(descriptor)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// The directory as a mount of its own, in which files are owned by the ids of `users`.
fn mapped(directory: &OwnedFd, users: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(directory, "", flags)?;
    set_id_map(tree.as_fd(), users.as_fd(), NOSUID | NODEV)?;
    // Opened again, because a descriptor of the tree itself cannot be read.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(&tree, ".", flags, Mode::empty())?)
}

/// Why a confined process is not read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It has ended.
    Itself,
    /// It has used up its time or its output.
    TimedOut,
    /// Nobody waits for it any more: the daemon has closed its end of the connection, or died.
    Abandoned,
}

/// Reads what the process prints until it ends or is to be ended.
fn collect(output: &OwnedFd, child: &Child, reply: &OwnedFd) -> (Vec<u8>, End) {
    let until_us = monotonic_us() + TIME_US;
    let mut bytes = Vec::new();
    let mut open = true;
    loop {
        let left_us = until_us.saturating_sub(monotonic_us());
        let timeout = Timespec::try_from(std::time::Duration::from_micros(left_us)).ok();
        let mut polled = vec![
            // Nobody says anything on it: it is readable when the other end has closed.
            PollFd::new(reply, PollFlags::IN | PollFlags::RDHUP),
            PollFd::new(&child.pidfd, PollFlags::IN),
        ];
        if open {
            polled.push(PollFd::new(output, PollFlags::IN));
        }
        match protocol::retry(|| poll(&mut polled, timeout.as_ref())) {
            Ok(0) | Err(_) => return (bytes, End::TimedOut),
            Ok(_) => {}
        }
        let hot = |number: usize| polled.get(number).is_some_and(|fd| !fd.revents().is_empty());
        let (abandoned, ended, readable) = (hot(0), hot(1), hot(2));
        if abandoned {
            return (bytes, End::Abandoned);
        }
        if !readable {
            // What it has printed is read before its end is seen.
            if ended {
                return (bytes, End::Itself);
            }
            continue;
        }
        let mut buffer = vec![0u8; 64 * 1024];
        match rustix::io::read(output, &mut buffer) {
            // It prints no more, and may go on.
            Ok(0) | Err(_) => open = false,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
        }
        if bytes.len() > OUTPUT_MAX {
            bytes.truncate(OUTPUT_MAX);
            return (bytes, End::TimedOut);
        }
    }
}

fn failed(message: String) -> ConfinedEnd {
    ConfinedEnd {
        code: None,
        signal: None,
        timed_out: false,
        failure: Some(message),
        output_bytes: 0,
    }
}

fn tell(reply: &OwnedFd, end: ConfinedEnd, output: Option<&[u8]>) {
    let file = output.and_then(|bytes| {
        let file = rustix::fs::memfd_create("ebb-output", MemfdFlags::CLOEXEC).ok()?;
        let mut file = File::from(file);
        file.write_all(bytes).ok()?;
        Some(OwnedFd::from(file))
    });
    let descriptors: Vec<_> = file.iter().map(AsFd::as_fd).collect();
    // A daemon that is gone needs no answer.
    let _ = protocol::send(reply, &Report::Confined(end), &descriptors);
}
