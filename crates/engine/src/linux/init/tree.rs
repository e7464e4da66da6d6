//! The mounts of an instance.
//!
//! They are made on a tmpfs of their own, away from any image, and moved into the root file system
//! when there is one. So no path of an image takes part in any mount.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dev, FileType, Mode, OFlags, ResolveFlags, makedev};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_bind, mount_change,
    mount_remount, move_mount, unmount,
};

use crate::linux::failure::{Failure, sandbox};

/// Files and directories that show nothing (security profile: what Docker masks, and more).
const MASKED: [&str; 19] = [
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "proc/kallsyms",
    "proc/kmsg",
    "proc/kpagecgroup",
    "proc/kpagecount",
    "proc/kpageflags",
    "proc/key-users",
    "proc/sysrq-trigger",
    "sys/firmware",
    "sys/devices/virtual/powercap",
];
/// Paths that cannot be written.
const READ_ONLY: [&str; 4] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys"];
/// Character devices: name, major, minor (`Documentation/admin-guide/devices.txt` of Linux).
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
/// Symbolic links in `/dev`.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

const NOTHING: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// What is ready to be moved into a root file system.
#[derive(Debug)]
pub(super) struct Trees {
    proc: OwnedFd,
    sys: OwnedFd,
    dev: OwnedFd,
}

/// Makes the trees in a mount namespace that holds nothing else afterwards. `stage` is a directory
/// of the host.
pub(super) fn make(stage: &Path) -> Result<Trees, Failure> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(sandbox("make the mounts private"))?;
    let scratch = filesystem(
        "tmpfs",
        &[("size", "64k"), ("nr_inodes", "64"), ("mode", "0755")],
        MountAttrFlags::MOUNT_ATTR_NOSUID,
    )?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&scratch, "", CWD, stage, flags).map_err(sandbox("attach the scratch tmpfs"))?;
    rustix::process::fchdir(&scratch).map_err(sandbox("enter the scratch tmpfs"))?;
    for name in ["proc", "sys", "dev", "empty"] {
        rustix::fs::mkdir(name, Mode::from_raw_mode(0o555)).map_err(sandbox("make a directory"))?;
    }
    let proc = filesystem("proc", &[("hidepid", "invisible")], NOTHING)?;
    attach(&proc, "proc")?;
    let sys = filesystem("sysfs", &[], NOTHING.union(MountAttrFlags::MOUNT_ATTR_RDONLY))?;
    attach(&sys, "sys")?;
    let dev = devices()?;
    mask()?;
    leave_host(&scratch)?;
    Ok(Trees { proc, sys, dev })
}

/// Moves the trees into `root`, lays it over the scratch root and enters it.
///
/// The scratch root stays below, out of reach: it is empty, nothing of the host has been in this
/// mount namespace since [`make`], and to get below a root needs a right that nothing inside has.
/// Taking it away would cost an expedited grace period of the kernel, milliseconds on a busy
/// machine, in the middle of every start.
///
/// A root file system that is read-only gets a `/tmp` for so many bytes.
pub(super) fn move_in(
    trees: Trees,
    root: &OwnedFd,
    temporary_bytes: Option<u64>,
) -> Result<(), Failure> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(root, "", CWD, "/", flags).map_err(sandbox("attach the root file system"))?;
    for (tree, name) in [(trees.proc, "proc"), (trees.sys, "sys"), (trees.dev, "dev")] {
        let onto = mount_point(root, name).map_err(sandbox(format!("open /{name}")))?;
        let flags = flags | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&tree, "", &onto, "", flags).map_err(sandbox(format!("mount /{name}")))?;
    }
    if let Some(bytes) = temporary_bytes {
        let size = bytes.to_string();
        let options = [("size", size.as_str()), ("nr_inodes", "65536"), ("mode", "1777")];
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let temporary = filesystem("tmpfs", &options, attributes)?;
        let onto = mount_point(root, "tmp").map_err(sandbox("open /tmp"))?;
        let flags = flags | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&temporary, "", &onto, "", flags).map_err(sandbox("mount /tmp"))?;
    }
    rustix::process::fchdir(root).map_err(sandbox("enter the root file system"))?;
    rustix::process::chroot(".").map_err(sandbox("enter the root file system"))
}

/// A directory of the writable layer, reached without following anything.
fn mount_point(root: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    rustix::fs::openat2(root, name, flags, Mode::empty(), how)
}

/// Makes `root`, an attached mount, the root of this mount namespace and drops the old one.
fn leave_host(root: &OwnedFd) -> Result<(), Failure> {
    rustix::process::fchdir(root).map_err(sandbox("enter the scratch root"))?;
    rustix::process::pivot_root(".", ".").map_err(sandbox("make the scratch root the root"))?;
    // The old root now lies on top of the new one.
    unmount(".", UnmountFlags::DETACH).map_err(sandbox("drop the host's root"))?;
    rustix::process::chdir("/").map_err(sandbox("enter the scratch root"))
}

fn filesystem(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, Failure> {
    let make = || -> rustix::io::Result<OwnedFd> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
        for (key, value) in options {
            fsconfig_set_string(&context, *key, *value)?;
        }
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    make().map_err(sandbox(format!("make a {kind}")))
}

fn attach(mount: &OwnedFd, at: &str) -> Result<(), Failure> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(mount, "", CWD, at, flags).map_err(sandbox(format!("attach {at}")))
}

/// `/dev`: a tmpfs with device files of our own, never the image's.
fn devices() -> Result<OwnedFd, Failure> {
    let options = [("size", "64k"), ("nr_inodes", "64"), ("mode", "0755")];
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let dev = filesystem("tmpfs", &options, attributes)?;
    let fill = || -> rustix::io::Result<()> {
        for (name, major, minor) in DEVICES {
            let device: Dev = makedev(major, minor);
            let mode = Mode::from_raw_mode(0o666);
            rustix::fs::mknodat(&dev, name, FileType::CharacterDevice, mode, device)?;
            rustix::fs::chmodat(&dev, name, mode, rustix::fs::AtFlags::empty())?;
        }
        for (name, target) in LINKS {
            rustix::fs::symlinkat(target, &dev, name)?;
        }
        rustix::fs::mkdirat(&dev, "pts", Mode::from_raw_mode(0o755))?;
        rustix::fs::mkdirat(&dev, "shm", Mode::from_raw_mode(0o755))
    };
    fill().map_err(sandbox("fill /dev"))?;
    attach(&dev, "dev")?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let terminals = [("ptmxmode", "0666"), ("mode", "0620")];
    attach(&filesystem("devpts", &terminals, attributes)?, "dev/pts")?;
    let shared = [("size", "64m"), ("nr_inodes", "65536"), ("mode", "1777")];
    attach(&filesystem("tmpfs", &shared, NOTHING)?, "dev/shm")?;
    Ok(dev)
}

/// Hides and protects paths of procfs and sysfs; those that this kernel does not have are fine.
fn mask() -> Result<(), Failure> {
    // How hot a processor is tells what the neighbours do.
    let processors = std::fs::read_dir("sys/devices/system/cpu").into_iter().flatten().flatten();
    let hot = processors.map(|entry| entry.path().join("thermal_throttle"));
    for path in MASKED.iter().map(PathBuf::from).chain(hot) {
        let Ok(stat) = rustix::fs::lstat(&path) else { continue };
        let (path, shown) = (&path, path.display());
        let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let over = if directory { "empty" } else { "dev/null" };
        mount_bind(over, path).map_err(sandbox(format!("mask /{shown}")))?;
        if directory {
            let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID;
            mount_remount(path, flags | MountFlags::NODEV | MountFlags::NOEXEC, "")
                .map_err(sandbox(format!("make /{shown} read-only")))?;
        }
    }
    for path in READ_ONLY {
        if rustix::fs::lstat(path).is_err() {
            continue;
        }
        mount_bind(path, path).map_err(sandbox(format!("protect /{path}")))?;
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID;
        mount_remount(path, flags | MountFlags::NODEV | MountFlags::NOEXEC, "")
            .map_err(sandbox(format!("make /{path} read-only")))?;
    }
    Ok(())
}
