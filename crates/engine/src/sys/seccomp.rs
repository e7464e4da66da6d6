//! Installing a system call filter (seccomp(2)).

use std::io;

use libc::{sock_filter, sock_fprog};

/// Puts every thread of the process under `program`, for good; it is inherited by everything that
/// the process starts. Needs no_new_privs or `CAP_SYS_ADMIN` in the user namespace.
///
/// # Errors
/// What the kernel said: `EACCES` without either, `EINVAL` for a program that it does not accept,
/// `ESRCH` when a thread could not be put under the filter.
pub(crate) fn install(program: &[sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // The kernel only reads through this pointer; its type lacks the `const`.
    let program = sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: `program` and the instructions that it points at live until the call returns, their
    // number is right, and the kernel copies them and writes nothing. The filter can end the
    // process or fail its system calls, but not break memory.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_TSYNC,
            &raw const program,
        )
    };
    match answer {
        0 => Ok(()),
        // The id of a thread that has another filter.
        1.. => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    type Call = (&'static str, libc::c_long, [libc::c_long; 5]);

    const NONE: libc::c_long = 0;
    const PATH: libc::c_long = -1; // replaced by a pointer to a path

    /// Calls to make; none of them has an effect where it is allowed.
    const CALLS: [Call; 22] = [
        ("getpid", libc::SYS_getpid, [NONE; 5]),
        ("openat", libc::SYS_openat, [-100, PATH, 0, 0, 0]),
        ("uname", libc::SYS_uname, [PATH, 0, 0, 0, 0]),
        ("socket unix", libc::SYS_socket, [1, 1, 0, 0, 0]),
        ("socket netlink route", libc::SYS_socket, [16, 3, 0, 0, 0]),
        ("socket alg", libc::SYS_socket, [38, 5, 0, 0, 0]),
        ("socket packet", libc::SYS_socket, [17, 3, 0, 0, 0]),
        ("socket netlink xfrm", libc::SYS_socket, [16, 3, 6, 0, 0]),
        ("socket raw", libc::SYS_socket, [2, 3, 1, 0, 0]),
        ("unshare user", libc::SYS_unshare, [0x1000_0000, 0, 0, 0, 0]),
        ("clone newuser", libc::SYS_clone, [0x1000_0011, 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [0, 0, 0, 0, 0]),
        ("mount", libc::SYS_mount, [0, 0, 0, 0, 0]),
        ("ptrace", libc::SYS_ptrace, [0, 0, 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0, 0, 0, 0, 0]),
        ("bpf", libc::SYS_bpf, [0, 0, 0, 0, 0]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, 0, 0, 0, 0]),
        ("tiocsti", libc::SYS_ioctl, [0, 0x5412, 0, 0, 0]),
        ("personality", libc::SYS_personality, [0x40000, 0, 0, 0, 0]),
        ("mknod block", libc::SYS_mknod, [0, 0o060_600, 0, 0, 0]),
        ("number 600", 600, [NONE; 5]),
        ("x32", 0x4000_0000 | libc::SYS_getpid, [NONE; 5]),
    ];

    /// Makes all calls in a child under the filter: name and errno of each, 0 for a success, the
    /// signal, negative, for the one that ended the child.
    pub(crate) fn under_filter(program: &[sock_filter]) -> Vec<(&'static str, i32)> {
        let mut pipe = [0; 2];
        // SAFETY: the two descriptors are written into an array of two.
        assert_eq!(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
        // SAFETY: the child makes system calls only and ends without returning.
        let child = unsafe { libc::fork() };
        if child == 0 {
            child_of(program, pipe[1]);
        }
        let mut answers = Vec::new();
        let mut status = 0;
        // SAFETY: closes our copy of a descriptor that is used nowhere else here, then reads
        // numbers of four bytes into a number of four bytes, then waits for our own child.
        unsafe {
            libc::close(pipe[1]);
            let mut number = 0_i32;
            while libc::read(pipe[0], (&raw mut number).cast(), 4) == 4 {
                answers.push((CALLS[answers.len()].0, number));
            }
            libc::close(pipe[0]);
            libc::waitpid(child, &raw mut status, 0);
        }
        if libc::WIFSIGNALED(status) {
            answers.push((CALLS[answers.len()].0, -libc::WTERMSIG(status)));
        }
        answers
    }

    fn child_of(program: &[sock_filter], out: i32) -> ! {
        let mut buffer = [0_u8; 512];
        buffer[..10].copy_from_slice(b"/dev/null\0");
        // SAFETY: prctl with numbers only; writes from a number of four bytes; the pointers given
        // to the calls point to a buffer larger than `struct utsname`; `_exit` does not return.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            if install(program).is_err() {
                libc::_exit(1);
            }
            for (_, number, a) in CALLS {
                let a = a.map(|a| if a == PATH { buffer.as_mut_ptr() as libc::c_long } else { a });
                let answer = libc::syscall(number, a[0], a[1], a[2], a[3], a[4]);
                let error = if answer < 0 { *libc::__errno_location() } else { 0 };
                libc::write(out, (&raw const error).cast(), 4);
            }
            libc::_exit(0)
        }
    }
}
