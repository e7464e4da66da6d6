//! The system calls that a program may make.
//!
//! Two thirds of the kernel's calls are allowed: the list of moby's default profile, without what
//! reads or changes other processes (`ptrace`, `process_vm_*`, `kcmp`, `pidfd_getfd`,
//! `process_madvise`), what extends or watches the kernel (`bpf`, `perf_event_open`,
//! `userfaultfd`, `io_uring_*`, `fanotify_*`), key rings, `modify_ldt`, `vmsplice`, file handles,
//! `memfd_secret`, quotas, mounts, namespaces and `chroot`. Some are allowed with some arguments
//! only. A known call that is not allowed fails with EPERM, one that is newer than the table with
//! ENOSYS, so that programs fall back. Calls of another architecture or of the 32-bit interfaces
//! (`int 0x80`, x32) end the program: their arguments cannot be judged here.
//!
//! Of sockets, only unix, IPv4, IPv6 and rtnetlink exist: the others are what most holes of the
//! last years were found in. Raw ones are refused where they mean raw packets; rtnetlink has no
//! such meaning, and the C library lists addresses through a "raw" one.
//!
//! The program is a binary search over ranges of numbers, so the kernel, which runs it once for
//! every call number when it is installed, is done in a fraction of the time that a list takes.
//!
//! x86-64 only; another architecture needs a table of its own, and is refused by
//! [`Program::install`].

mod assemble;
mod table;

use std::io;

use libc::sock_filter;

use crate::sys;

/// A filter, ready to be installed.
#[derive(Clone, Debug)]
pub struct Program(Vec<sock_filter>);

impl Program {
    /// The filter of instances.
    pub fn instance() -> Self {
        Self(assemble::program(&assemble::ranges()))
    }

    /// The filter of confined processes, which read hostile archives: as for instances, but
    /// without sockets, new programs and signals to others. Device nodes may be asked for,
    /// because a layer says "removed" with one of number 0:0, the only one that the kernel lets a
    /// user namespace make.
    pub(crate) fn confined() -> Self {
        use assemble::Verdict;
        // EPERM; numbers as in the table.
        let refused = Verdict::Fail(1);
        Self(assemble::program(&assemble::ranges_with(|number, verdict| match number {
            // socket, connect, accept, bind, listen, socketpair; execve; kill, tkill, tgkill;
            // accept4, execveat, pidfd_send_signal, pidfd_open.
            41..=43 | 49 | 50 | 53 | 59 | 62 | 200 | 234 | 288 | 322 | 424 | 434 => refused,
            // mknod, mknodat.
            133 | 259 => Verdict::Allow,
            _ => verdict,
        })))
    }

    /// Its instructions.
    pub fn instructions(&self) -> &[sock_filter] {
        &self.0
    }

    /// Puts this process under the filter, for good, and all that it will start. Needs
    /// no_new_privs or `CAP_SYS_ADMIN` in the user namespace.
    ///
    /// # Errors
    /// `ENOSYS` on another architecture than x86-64; otherwise what the kernel said.
    pub fn install(&self) -> io::Result<()> {
        if cfg!(target_arch = "x86_64") {
            sys::seccomp::install(&self.0)
        } else {
            Err(io::Error::from_raw_os_error(libc::ENOSYS))
        }
    }
}

#[cfg(test)]
mod tests;
