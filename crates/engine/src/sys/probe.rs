//! Small questions to the kernel that are asked by doing the thing.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `CLONE_INTO_CGROUP` of <linux/sched.h>.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A child that does nothing but wait. It ends with this value.
#[derive(Debug)]
pub(crate) struct Parked {
    pid: i32,
    pidfd: OwnedFd,
}

/// Makes a child with `flags` (`CLONE_NEW*`), perhaps in a control group. Unlike a general fork
/// this is safe in a process with many threads: the child makes one system call, again and again.
///
/// # Errors
/// What `clone3` said.
pub(crate) fn park(flags: i32, into_cgroup: Option<BorrowedFd<'_>>) -> io::Result<Parked> {
    let mut pidfd = -1;
    // SAFETY: all fields are integers, for which zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::from((flags | libc::CLONE_PIDFD).cast_unsigned());
    args.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    if let Some(group) = into_cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(group.as_raw_fd().cast_unsigned());
    }
    // SAFETY: without a stack and without shared memory this is a fork; `args` and `pidfd` live
    // across the call, in the parent.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    if pid == 0 {
        loop {
            // SAFETY: waits for a signal; takes no lock and no memory, and never returns into
            // code of ours, so it does not matter what the other threads held.
            unsafe { libc::pause() };
        }
    }
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel stored a new descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Parked { pid: i32::try_from(pid).unwrap_or(i32::MAX), pidfd })
}

impl Parked {
    /// Its process id.
    pub(crate) const fn pid(&self) -> i32 {
        self.pid
    }

    /// Ends it and answers whether its exit can be read from its descriptor afterwards
    /// (`PIDFD_INFO_EXIT`).
    pub(crate) fn tells_exit(&self) -> bool {
        self.end();
        tells_exit(&self.pidfd)
    }

    fn end(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
        let id = rustix::process::WaitId::PidFd(std::os::fd::AsFd::as_fd(&self.pidfd));
        let _ = rustix::process::waitid(id, rustix::process::WaitIdOptions::EXITED);
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.end();
    }
}

/// `struct pidfd_info` of <linux/pidfd.h>, first version.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

fn tells_exit(pidfd: &OwnedFd) -> bool {
    /// `PIDFD_GET_INFO`: `_IOWR(0xff, 11, struct pidfd_info)`.
    const GET_INFO: libc::Ioctl = 0xc040_ff0b;
    const EXIT: u64 = 1 << 3;
    let mut info = PidfdInfo { mask: EXIT, ..PidfdInfo::default() };
    // SAFETY: `info` has the size that the request's number says and lives across the call.
    let answer = unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, &raw mut info) };
    answer == 0 && info.mask & EXIT != 0
}

/// Whether the kernel knows the seccomp action `action` (`SECCOMP_RET_*`).
pub(crate) fn has_seccomp_action(action: u32) -> bool {
    // SAFETY: the kernel reads four bytes from `action`, which lives across the call.
    let answer = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action)
    };
    answer == 0
}
