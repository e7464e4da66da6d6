//! Executing the program of an instance.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ebb_model::engine::ContainerSpec;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::thread::{Gid, Uid};

use crate::linux::failure::{Failure, sandbox};
use crate::linux::users::User;
use crate::sys::{fd, process, signal};

mod diagnose;

/// Search path for a program without a slash, when the environment has none; Docker's default.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Standard input of every program.
pub(super) fn null() -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open("/dev/null", flags, Mode::empty()).map_err(sandbox("open /dev/null"))
}

/// Enters the working directory, making what is missing of it. Everything is resolved inside of
/// `root`, and no magic link of procfs is followed (CVE-2024-21626).
pub(super) fn enter_working_dir(path: &str, root: BorrowedFd<'_>) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::new(
            "START_FAILED",
            format!("the working directory {path} cannot be entered: {error}"),
        )
    };
    let open = |path: &str| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(
            root,
            if path.is_empty() { "." } else { path },
            flags,
            Mode::empty(),
            how,
        )
    };
    let directory = match open(path) {
        Err(Errno::NOENT) => {
            let mut made = String::new();
            let mut directory = open("").map_err(|errno| failed(errno.into()))?;
            for part in path.split('/').filter(|part| !part.is_empty()) {
                made = format!("{made}/{part}");
                directory = match open(&made) {
                    Err(Errno::NOENT) => {
                        rustix::fs::mkdirat(&directory, part, Mode::from_raw_mode(0o755))
                            .map_err(|errno| failed(errno.into()))?;
                        open(&made)
                    }
                    other => other,
                }
                .map_err(|errno| failed(errno.into()))?;
            }
            directory
        }
        other => other.map_err(|errno| failed(errno.into()))?,
    };
    rustix::process::fchdir(&directory).map_err(|errno| failed(errno.into()))?;
    let here = rustix::process::getcwd(Vec::new()).map_err(|errno| failed(errno.into()))?;
    if here.as_bytes().starts_with(b"/") {
        return Ok(());
    }
    // The kernel says "(unreachable)" of a directory outside of the root.
    Err(failed(io::Error::other("it lies outside of the root file system")))
}

/// A program with everything that it needs, allocated ahead.
pub(super) struct Prepared {
    call: process::Program,
    /// Files to try, in order.
    paths: Vec<CString>,
    name: String,
    search: String,
    user: User,
    groups: Vec<Gid>,
    stdio: [OwnedFd; 3],
}

/// The step of the child that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Descriptors,
    Ids,
    Execute,
}

impl Prepared {
    /// Prepares the program of `container`, to run as `user`.
    pub(super) fn new(
        container: &ContainerSpec,
        user: User,
        input: OwnedFd,
        [out, err]: [OwnedFd; 2],
    ) -> Result<Self, Failure> {
        let name = container.argv.first().cloned().unwrap_or_default();
        let env: Vec<String> =
            container.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let search = container.env.iter().rev().find(|(name, _)| name == "PATH");
        let search = search.map_or(PATH_DEFAULT, |(_, value)| value.as_str()).to_owned();
        let paths = if name.contains('/') {
            vec![name.clone()]
        } else {
            let dirs = search.split(':').map(|dir| if dir.is_empty() { "." } else { dir });
            dirs.map(|dir| format!("{dir}/{name}")).collect()
        };
        let paths = paths.into_iter().map(CString::new).collect::<Result<_, _>>();
        let wrong = |error: io::Error| Failure::new("START_FAILED", error.to_string());
        Ok(Self {
            call: process::Program::new(&container.argv, &env).map_err(wrong)?,
            paths: paths.map_err(|error| wrong(error.into()))?,
            groups: user.groups.iter().map(|gid| Gid::from_raw(*gid)).collect(),
            name,
            search,
            user,
            stdio: [input, out, err],
        })
    }

    /// Executes it in a child; answers the child's process id once it runs.
    pub(super) fn execute(&self) -> Result<i32, Failure> {
        let mut failed = None;
        let pid = process::vfork(&mut || {
            failed = Some(self.child());
            127
        })
        .map_err(sandbox("make a process for the program"))?;
        match failed {
            None => Ok(pid),
            Some((Step::Execute, error)) => Err(diagnose::explain(
                &self.name,
                &self.search,
                &self.paths,
                (self.user.uid, error),
            )),
            Some((step, error)) => {
                Err(Failure::sandbox(format!("{step:?} of the program: {error}")))
            }
        }
    }

    /// Runs in the child, on the parent's memory; returns only with what went wrong.
    fn child(&self) -> (Step, io::Error) {
        signal::reset_all();
        let _ = rustix::process::setsid(); // cannot fail in a new process
        for (number, descriptor) in (0..).zip(&self.stdio) {
            if let Err(error) = fd::place(descriptor.as_fd(), number) {
                return (Step::Descriptors, error);
            }
        }
        if let Err(error) = fd::close_on_exec_from(3) {
            return (Step::Descriptors, error);
        }
        let (uid, gid) = (Uid::from_raw(self.user.uid), Gid::from_raw(self.user.gid));
        let ids = rustix::thread::set_thread_groups(&self.groups)
            .and_then(|()| rustix::thread::set_thread_res_gid(gid, gid, gid))
            .and_then(|()| rustix::thread::set_thread_res_uid(uid, uid, uid));
        if let Err(errno) = ids {
            return (Step::Ids, errno.into());
        }
        // As execvp(3): a file that may not be executed does not end the search, but is told.
        let mut told = io::Error::from_raw_os_error(libc::ENOENT);
        for path in &self.paths {
            let error = self.call.execute(path);
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                Some(libc::EACCES) => told = error,
                _ => return (Step::Execute, error),
            }
        }
        (Step::Execute, told)
    }
}
