//! The root file system of an instance: the image's layers, read-only and with mapped owners, below
//! a tmpfs of its own. Made by the shim from paths of the host; the instance's init gets only the
//! mounted result, by descriptor.
//!
//! No path of the image is ever followed here: what must exist in the root (mount points,
//! `/etc/hosts` and its neighbours) is made in the empty upper directory before the layers are
//! put below it, so whatever an image has in that place, a symbolic link say, is hidden.

mod attach;

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use ebb_model::engine::ContainerSpec;
use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_reconfigure, fsconfig_set_string, fsmount, fsopen, fspick, open_tree,
};

use crate::linux::failure::{Failure, sandbox};
use crate::sys::mount as attributes;

/// Memory limit of a spec that names none: 512 MiB.
const MEMORY_DEFAULT_BYTES: u64 = 512 * 1024 * 1024;
/// Most inodes of the writable layer (a choice; a disk quota would be the same).
const INODES_MAX: &str = "200000";
/// Size of the writable layer until the memory limit is known.
const SIZE_BEFORE: &str = "1m";
/// Mount points that are made in the writable layer.
const MOUNT_POINTS: [&str; 3] = ["proc", "sys", "dev"];

/// The writable layer: a tmpfs with `upper` and `work`.
#[derive(Debug)]
pub(crate) struct Writable {
    mount: OwnedFd,
    upper: OwnedFd,
    work: OwnedFd,
    etc: OwnedFd,
    ids: u32,
}

impl Writable {
    /// Makes it, before it is known which instance it is for. `ids` is the id on the host of user
    /// 0 inside; the resolver is asked for names.
    pub(crate) fn make(ids: u32, resolver: Ipv4Addr) -> Result<Self, Failure> {
        let mount = make_tmpfs().map_err(sandbox("make the writable layer"))?;
        let make = |parent: BorrowedFd<'_>, name: &str, mode: u32| {
            directory(parent, name, mode, ids)
                .map_err(sandbox(format!("make {name} in the writable layer")))
        };
        let upper = make(mount.as_fd(), "upper", 0o755)?;
        let work = make(mount.as_fd(), "work", 0o700)?;
        for name in MOUNT_POINTS {
            make(upper.as_fd(), name, 0o755)?;
        }
        make(upper.as_fd(), "tmp", 0o1777)?;
        let etc = make(upper.as_fd(), "etc", 0o755)?;
        let writable = Self { mount, upper, work, etc, ids };
        writable.file("resolv.conf", &format!("nameserver {resolver}\noptions ndots:1\n"))?;
        Ok(writable)
    }

    /// Mounts the root file system; what is mounted is in no mount namespace yet.
    pub(crate) fn mount(&self, root: &Root<'_>) -> Result<OwnedFd, Failure> {
        self.resize(root.size_bytes).map_err(sandbox("set the size of the writable layer"))?;
        let own = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
        self.file("hosts", &format!("{own}{}\t{}\n", root.address, root.hostname))?;
        self.file("hostname", &format!("{}\n", root.hostname))?;
        let lowers = root
            .lowers
            .iter()
            .map(|lower| {
                lower_layer(lower, root.users)
                    .map_err(sandbox(format!("take layer {}", lower.display())))
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.imitate(&lowers).map_err(sandbox("copy attributes of the image's directories"))?;
        attach::overlay(&lowers, self, root.read_only)
            .map_err(sandbox(format!("mount {} layers as one file system", lowers.len())))
    }

    fn resize(&self, bytes: u64) -> rustix::io::Result<()> {
        let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
        let picked = fspick(&self.mount, "", flags)?;
        fsconfig_set_string(&picked, "size", bytes.to_string())?;
        fsconfig_reconfigure(&picked)
    }

    /// Writes a file below `etc`, owned by the instance's root.
    fn file(&self, name: &str, text: &str) -> Result<(), Failure> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let write = || -> rustix::io::Result<()> {
            let file = rustix::fs::openat(&self.etc, name, flags, Mode::from_raw_mode(0o644))?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?; // whatever the umask is
            let (uid, gid) = (Uid::from_raw(self.ids), Gid::from_raw(self.ids));
            rustix::fs::fchown(&file, Some(uid), Some(gid))?;
            rustix::io::write(&file, text.as_bytes())?;
            Ok(())
        };
        write().map_err(sandbox(format!("write /etc/{name}")))
    }

    /// Gives the root directory and `/etc` the owner and mode that the image gives them: the
    /// uppermost directory decides, and that is ours.
    fn imitate(&self, lowers: &[OwnedFd]) -> rustix::io::Result<()> {
        if let Some(first) = lowers.first() {
            copy_attributes(&self.upper, &rustix::fs::fstat(first)?)?;
        }
        for lower in lowers {
            match rustix::fs::statat(lower, "etc", AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                    return copy_attributes(&self.etc, &stat);
                }
                // Anything else hides the directories below it.
                Ok(_) => return Ok(()),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// What the root file system of one instance is made of.
#[derive(Debug)]
pub(crate) struct Root<'a> {
    /// Layers, uppermost first.
    pub(crate) lowers: &'a [PathBuf],
    /// User namespace of the instance, whose map the owners in the layers get.
    pub(crate) users: BorrowedFd<'a>,
    /// Most bytes of the writable layer.
    pub(crate) size_bytes: u64,
    /// Name of the instance.
    pub(crate) hostname: &'a str,
    /// Address of the instance.
    pub(crate) address: Ipv4Addr,
    /// Whether writing is refused.
    pub(crate) read_only: bool,
}

/// Most memory of an instance, in bytes.
pub(crate) fn memory_bytes(container: &ContainerSpec) -> u64 {
    container.limits.get("memory").copied().unwrap_or(MEMORY_DEFAULT_BYTES)
}

/// Most bytes that an instance may write. They count as its memory: at half of the limit a program
/// that writes too much hears so (`ENOSPC`) before it is killed for memory.
pub(crate) fn writable_bytes(container: &ContainerSpec) -> u64 {
    memory_bytes(container) / 2
}

fn make_tmpfs() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [("size", SIZE_BEFORE), ("nr_inodes", INODES_MAX), ("mode", "0700")] {
        fsconfig_set_string(&context, key, value)?;
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn directory(
    parent: BorrowedFd<'_>,
    name: &str,
    mode: u32,
    ids: u32,
) -> rustix::io::Result<OwnedFd> {
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    rustix::fs::fchown(&directory, Some(Uid::from_raw(ids)), Some(Gid::from_raw(ids)))?;
    rustix::fs::fchmod(&directory, Mode::from_raw_mode(mode))?;
    Ok(directory)
}

fn copy_attributes(to: &OwnedFd, from: &Stat) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(from.st_uid), Gid::from_raw(from.st_gid));
    rustix::fs::fchown(to, Some(uid), Some(gid))?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(from.st_mode & 0o7777))
}

/// A detached, read-only copy of the mount of a layer, with the owners of its files mapped.
fn lower_layer(path: &PathBuf, users: BorrowedFd<'_>) -> std::io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let tree = open_tree(CWD, path, flags)?;
    let set = attributes::RDONLY | attributes::NOSUID | attributes::NODEV;
    attributes::set_id_map(tree.as_fd(), users, set)?;
    Ok(tree)
}
