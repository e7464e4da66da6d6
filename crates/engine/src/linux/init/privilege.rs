//! Giving up privileges, step by step and for good.

use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{Gid, Uid};

use crate::linux::caps;
use crate::linux::failure::{Failure, sandbox};
use crate::linux::seccomp;
use crate::sys::process;

/// Limits per process: name for messages, what, soft, hard.
const LIMITS: [(&str, Resource, u64, u64); 5] = [
    ("open files", Resource::Nofile, 16_384, 65_536),
    ("core size", Resource::Core, 0, 0),
    ("locked memory", Resource::Memlock, 64 * 1024, 64 * 1024),
    ("pending signals", Resource::Sigpending, 4_096, 4_096),
    ("message queue bytes", Resource::Msgqueue, 819_200, 819_200),
];
/// Instances are killed for memory before anything of the platform.
const OOM_SCORE: &[u8] = b"500";
/// Magic number of procfs (`PROC_SUPER_MAGIC` of `linux/magic.h`).
const PROC_MAGIC: u64 = 0x9fa0;

/// Makes this process, and what it will start, the first to be killed for memory. Written through
/// a descriptor that is known to be of procfs.
pub(crate) fn prefer_for_oom() {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open("/proc/self/oom_score_adj", flags, Mode::empty());
    let Ok(file) = file else { return };
    let of_proc = rustix::fs::fstatfs(&file)
        .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|magic| magic == PROC_MAGIC));
    if of_proc {
        let _ = rustix::io::write(&file, OOM_SCORE); // raising the score is always allowed
    }
}

/// Sets the limits per process, each at most what this process may set.
pub(crate) fn limit() -> Result<(), Failure> {
    for (name, resource, soft, hard) in LIMITS {
        let new = Rlimit { current: Some(soft), maximum: Some(hard) };
        if setrlimit(resource, new).is_ok() {
            continue;
        }
        // Without the right to raise a hard limit: as far as it goes.
        let most = getrlimit(resource).maximum.unwrap_or(hard).min(hard);
        let new = Rlimit { current: Some(soft.min(most)), maximum: Some(most) };
        setrlimit(resource, new).map_err(sandbox(format!("limit {name}")))?;
    }
    Ok(())
}

/// Becomes root of the user namespace `users`: from here on no right on the host is left.
pub(crate) fn enter(users: BorrowedFd<'_>) -> Result<(), Failure> {
    // Before the ids change: a new keyring belongs to who makes it, and ours is to be the host's
    // root's, whose keys nobody inside can use.
    process::new_session_keyring().map_err(sandbox("make a session keyring"))?;
    process::enter_namespace(users, libc::CLONE_NEWUSER)
        .map_err(sandbox("enter the user namespace"))?;
    rustix::thread::set_thread_groups(&[]).map_err(sandbox("drop supplementary groups"))?;
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(sandbox("change the group"))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(sandbox("change the user"))?;
    // Changing ids has cleared it.
    process::die_with_parent().map_err(sandbox("ask for the end with the shim"))
}

/// The capability set, no new privileges, the filter: what the program inherits.
pub(crate) fn confine(filter: &seccomp::Program) -> Result<(), Failure> {
    caps::apply_default().map_err(sandbox("drop capabilities"))?;
    rustix::thread::set_no_new_privs(true).map_err(sandbox("forbid new privileges"))?;
    filter.install().map_err(sandbox("install the system call filter"))
}
