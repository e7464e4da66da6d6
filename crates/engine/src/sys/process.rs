//! Making, replacing and ending processes.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

/// Exit code of a child whose function panicked.
pub(crate) const PANICKED: i32 = 70;

/// `CLONE_INTO_CGROUP` of `linux/sched.h`; the constant of `libc` is too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
/// Stack of a child of [`vfork`]: it makes a few system calls.
const VFORK_STACK_BYTES: usize = 128 * 1024;

/// A child process as its parent sees it.
#[derive(Debug)]
pub(crate) struct Child {
    /// Its process id.
    pub pid: i32,
    /// A descriptor of it.
    pub pidfd: OwnedFd,
}

/// What a new process gets besides a copy of this one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clone3<'a> {
    /// `CLONE_NEW*` flags.
    pub namespaces: i32,
    /// Directory of a version 2 control group that it is born in.
    pub into_cgroup: Option<BorrowedFd<'a>>,
}

/// Forks. The child runs `run` and ends with its answer as exit code; it never returns into the
/// caller's code, and a panic ends it with [`PANICKED`].
///
/// # Errors
/// What `clone3` says; also `EBUSY` when this process has more than one thread, because a copy of
/// one thread out of many may find locks that nobody will ever release.
pub(crate) fn fork(with: Clone3<'_>, run: impl FnOnce() -> i32) -> io::Result<Child> {
    if !single_threaded() {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let mut pidfd: RawFd = -1;
    // SAFETY: all fields are integers, for which zero is valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = u64::try_from(libc::CLONE_PIDFD | with.namespaces).unwrap_or(0);
    args.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    args.exit_signal = u64::try_from(libc::SIGCHLD).unwrap_or(0);
    if let Some(group) = with.into_cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::try_from(group.as_raw_fd()).unwrap_or(u64::MAX);
    }
    // SAFETY: no stack is given and memory is not shared, so this is a plain fork of a process
    // with one thread (checked above): the child owns a copy of everything. `args` and `pidfd`
    // live across the call.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match pid {
        ..0 => Err(io::Error::last_os_error()),
        0 => {
            let code = catch_unwind(AssertUnwindSafe(run)).unwrap_or(PANICKED);
            exit(code)
        }
        _ => {
            // SAFETY: the kernel stored a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            let pid = i32::try_from(pid).map_err(|_| io::ErrorKind::InvalidData)?;
            Ok(Child { pid, pidfd })
        }
    }
}

/// Runs `run` in a child that borrows this process's memory, and waits until the child has
/// executed a program or ended. Answers the child's process id.
///
/// `run` must do nothing but make system calls, write plain values that this process then reads,
/// and execute a program: it works on this process's own memory.
pub(crate) fn vfork(run: &mut dyn FnMut() -> i32) -> io::Result<i32> {
    extern "C" fn child(run: *mut libc::c_void) -> libc::c_int {
        // SAFETY: `vfork` passes a pointer to a live reference and waits until this has ended.
        let run = unsafe { &mut *run.cast::<&mut dyn FnMut() -> i32>() };
        let code = catch_unwind(AssertUnwindSafe(run)).unwrap_or(PANICKED);
        exit(code)
    }
    let mut stack = vec![0u128; VFORK_STACK_BYTES / size_of::<u128>()];
    let mut run = run;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack pointer is the aligned end of a live buffer that nobody else uses; this
    // process stands still (CLONE_VFORK) until the child has left its memory, so `run` and the
    // stack outlive their use and no two threads of execution touch them at once.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len());
        libc::clone(child, top.cast(), flags, (&raw mut run).cast())
    };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) }
}

/// Ends this process at once: no destructors, no buffers flushed.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: _exit takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

fn single_threaded() -> bool {
    // The count of links of the directory is 2 plus one per thread (proc(5)).
    rustix::fs::stat("/proc/self/task").map_or(true, |stat| stat.st_nlink == 3)
}

/// Arguments and environment as `execve` takes them, allocated ahead so that nothing is allocated
/// between `vfork` and `execve`.
#[derive(Debug)]
pub(crate) struct Program {
    argv: Words,
    env: Words,
}

/// Strings and the array of pointers to them.
#[derive(Debug)]
struct Words {
    /// Into `_strings`, whose bytes do not move when this value does; then a null pointer.
    pointers: Vec<*const libc::c_char>,
    _strings: Vec<CString>,
}

impl Words {
    fn new(words: &[String]) -> io::Result<Self> {
        let convert = |word: &String| -> io::Result<CString> { Ok(CString::new(word.as_str())?) };
        let strings = words.iter().map(convert).collect::<io::Result<Vec<_>>>()?;
        let pointers = strings.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect();
        Ok(Self { pointers, _strings: strings })
    }

    const fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

impl Program {
    /// From `argv` and `NAME=value` strings.
    ///
    /// # Errors
    /// `InvalidInput` when one contains a NUL byte.
    pub(crate) fn new(argv: &[String], env: &[String]) -> io::Result<Self> {
        Ok(Self { argv: Words::new(argv)?, env: Words::new(env)? })
    }

    /// Replaces this process with the file `path`; answers why that was refused.
    pub(crate) fn execute(&self, path: &CStr) -> io::Error {
        // SAFETY: both arrays end with a null pointer and point to strings that live in `self`.
        unsafe { libc::execve(path.as_ptr(), self.argv.as_ptr(), self.env.as_ptr()) };
        io::Error::last_os_error()
    }

    /// Replaces this process with the open file `file`; answers why that was refused.
    pub(crate) fn execute_fd(&self, file: BorrowedFd<'_>) -> io::Error {
        // SAFETY: as in `execute`; the empty path is a NUL-terminated literal.
        unsafe {
            libc::syscall(
                libc::SYS_execveat,
                file.as_raw_fd(),
                c"".as_ptr(),
                self.argv.as_ptr(),
                self.env.as_ptr(),
                libc::AT_EMPTY_PATH,
            )
        };
        io::Error::last_os_error()
    }
}

/// Arms `SIGKILL` for this process at the end of its parent. Cleared by a change of ids.
pub(crate) fn die_with_parent() -> io::Result<()> {
    let kill = rustix::process::Signal::KILL;
    Ok(rustix::process::set_parent_process_death_signal(Some(kill))?)
}

/// The same, where the parent is `parent` in this process id namespace.
///
/// # Errors
/// Also `ESRCH` when it has ended already: nothing would end this process then.
pub(crate) fn die_with(parent: rustix::process::Pid) -> io::Result<()> {
    die_with_parent()?;
    if rustix::process::getppid() == Some(parent) {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(libc::ESRCH))
}

/// A new, empty session keyring, so that no key of whoever started the platform is inherited.
pub(crate) fn new_session_keyring() -> io::Result<()> {
    /// `KEYCTL_JOIN_SESSION_KEYRING` of `linux/keyctl.h`.
    const JOIN: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; nothing else is passed.
    let done = unsafe { libc::syscall(libc::SYS_keyctl, JOIN, ptr::null::<libc::c_char>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Enters the namespace that `namespace` refers to; `kind` is its `CLONE_NEW*` flag.
pub(crate) fn enter_namespace(namespace: BorrowedFd<'_>, kind: i32) -> io::Result<()> {
    // SAFETY: setns takes integers only.
    if unsafe { libc::setns(namespace.as_raw_fd(), kind) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Leaves the namespaces of `kinds` (`CLONE_NEW*` flags) for new ones.
pub(crate) fn new_namespaces(kinds: i32) -> io::Result<()> {
    // SAFETY: unshare takes an integer; none of the flags used here shares or splits memory or
    // descriptors.
    if unsafe { libc::unshare(kinds) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
