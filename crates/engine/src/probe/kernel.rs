//! Kernel, rights, namespaces, processes.

use std::fs;
use std::io;

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, ResolveFlags, SealFlags};
use rustix::process::{Resource, getrlimit};

use super::Probe;
use crate::sys;

/// Oldest kernel: what is not probed is known to work from here on.
const FLOOR: (u32, u32) = (6, 1);
/// Open files that an instance may have: `RLIMIT_NOFILE` of its program.
const OPEN_FILES: u64 = 65_536;

/// Capabilities that making sandboxes takes (numbers of <linux/capability.h>).
const CAPABILITIES: [(u8, &str); 11] = [
    (0, "CAP_CHOWN"),
    (1, "CAP_DAC_OVERRIDE"),
    (3, "CAP_FOWNER"),
    (5, "CAP_KILL"),
    (6, "CAP_SETGID"),
    (7, "CAP_SETUID"),
    (8, "CAP_SETPCAP"),
    (12, "CAP_NET_ADMIN"),
    (19, "CAP_SYS_PTRACE"),
    (21, "CAP_SYS_ADMIN"),
    (27, "CAP_MKNOD"),
];

const NAMESPACES: [(&str, i32); 7] = [
    ("user namespace", libc::CLONE_NEWUSER),
    ("mount namespace", libc::CLONE_NEWNS),
    ("pid namespace", libc::CLONE_NEWPID),
    ("network namespace", libc::CLONE_NEWNET),
    ("ipc namespace", libc::CLONE_NEWIPC),
    ("uts namespace", libc::CLONE_NEWUTS),
    ("cgroup namespace", libc::CLONE_NEWCGROUP),
];

pub(super) fn all() -> Vec<Probe> {
    let mut all = vec![version(), architecture(), rights()];
    all.extend(NAMESPACES.map(|(name, flag)| {
        Probe::needed(name, sys::probe::park(flag, None).map(drop), "instances need all seven")
    }));
    all.extend([seccomp(), pidfd(), exit_info(), memfd(), openat2()]);
    all.extend([open_files(), oom_score(), kvm()]);
    all
}

fn version() -> Probe {
    const NAME: &str = "kernel";
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= FLOOR => {
            Probe::ok(NAME, format!("Linux {release}"))
        }
        _ => Probe::missing(
            NAME,
            format!("Linux {release}; at least {}.{} is needed", FLOOR.0, FLOOR.1),
        ),
    }
}

fn architecture() -> Probe {
    const NAME: &str = "architecture";
    let machine = rustix::system::uname().machine().to_string_lossy().into_owned();
    if cfg!(target_arch = "x86_64") && machine == "x86_64" {
        Probe::ok(NAME, machine)
    } else {
        Probe::missing(NAME, format!("{machine}; the system call filter exists for x86_64 only"))
    }
}

fn rights() -> Probe {
    const NAME: &str = "root";
    let held = sys::caps::held().map_or(0, |(effective, ..)| effective);
    let lacking: Vec<&str> = CAPABILITIES
        .iter()
        .filter(|(number, _)| held & (1 << number) == 0)
        .map(|(_, name)| *name)
        .collect();
    if !lacking.is_empty() {
        return Probe::missing(NAME, format!("lacks {}: run as root", lacking.join(", ")));
    }
    if !rustix::process::geteuid().is_root() {
        return Probe::missing(NAME, "the user is not root: run as root");
    }
    Probe::ok(NAME, "root, with every capability that is needed")
}

fn seccomp() -> Probe {
    let needed = [libc::SECCOMP_RET_KILL_PROCESS, libc::SECCOMP_RET_ERRNO];
    let there = needed.into_iter().all(sys::probe::has_seccomp_action);
    let answer = if there { Ok(()) } else { Err("not in this kernel") };
    Probe::needed("seccomp", answer, "programs would have every system call")
}

fn pidfd() -> Probe {
    let flags = rustix::process::PidfdFlags::empty();
    let answer = rustix::process::pidfd_open(rustix::process::getpid(), flags).map(drop);
    Probe::needed("pidfd", answer, "processes cannot be told apart by number alone")
}

fn exit_info() -> Probe {
    const NAME: &str = "PIDFD_INFO_EXIT";
    match sys::probe::park(0, None) {
        Ok(child) if child.tells_exit() => Probe::ok(NAME, "works"),
        Ok(_) => Probe::fallback(
            NAME,
            "needs Linux 6.15: the exit code of an instance whose shim was killed is lost",
        ),
        Err(error) => Probe::missing(NAME, format!("no process can be made: {error}")),
    }
}

fn memfd() -> Probe {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW;
    let answer = rustix::fs::memfd_create("ebb-probe", flags)
        .and_then(|file| rustix::fs::fcntl_add_seals(file, seals));
    Probe::needed(
        "sealed memory files",
        answer,
        "an instance could overwrite the platform's binary",
    )
}

fn openat2() -> Probe {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let answer = rustix::fs::openat2(CWD, "/", flags, Mode::empty(), within).map(drop);
    Probe::needed("openat2", answer, "paths of images could lead out of them")
}

fn open_files() -> Probe {
    const NAME: &str = "open files";
    let most = getrlimit(Resource::Nofile).maximum;
    match most {
        Some(most) if most < OPEN_FILES => Probe::fallback(
            NAME,
            format!("the hard limit is {most}: instances get that instead of {OPEN_FILES}"),
        ),
        Some(most) => Probe::ok(NAME, format!("the hard limit is {most}")),
        None => Probe::ok(NAME, "there is no hard limit"),
    }
}

/// Asked of a child, so that our own score stays.
fn oom_score() -> Probe {
    let write = |child: sys::probe::Parked| {
        fs::write(format!("/proc/{}/oom_score_adj", child.pid()), "-900")
    };
    let answer: io::Result<()> = sys::probe::park(0, None).and_then(write);
    let without = "without memory, the platform may be killed before its instances";
    Probe::good("negative oom_score_adj", answer, without)
}

fn kvm() -> Probe {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let answer = rustix::fs::open("/dev/kvm", flags, Mode::empty()).map(drop);
    Probe::good("/dev/kvm", answer, "runtime classes with virtual machines are not available")
}
