//! File systems and space, in a directory that is removed at the end.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_fd,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};

use super::Probe;
use crate::sys;

/// Below this, images soon do not fit: 1 GiB.
const FREE_BYTES: u64 = 1 << 30;

/// A directory of ours that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(data: &Path) -> io::Result<Self> {
        let thread = rustix::thread::gettid().as_raw_nonzero();
        let name = format!(".ebb-probe-{}-{thread}", std::process::id());
        let dir = data.join(name);
        fs::create_dir(&dir)?;
        let scratch = Self(dir);
        for part in ["lower", "upper", "work"] {
            fs::create_dir(scratch.0.join(part))?;
        }
        fs::write(scratch.0.join("image"), vec![0; 16 * 1024])?;
        Ok(scratch)
    }

    fn path(&self, part: &str) -> PathBuf {
        self.0.join(part)
    }

    fn dir(&self, part: &str) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(self.path(part), flags, Mode::empty())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn all(data: &Path) -> Vec<Probe> {
    let mut all = Vec::new();
    match Scratch::new(data) {
        Ok(scratch) => {
            all.push(Probe::ok("data directory", format!("{} is writable", data.display())));
            all.extend([overlay(&scratch), overlay_by_descriptor(&scratch)]);
            all.extend([mapped_mount(&scratch), image_file(&scratch)]);
        }
        Err(error) => {
            let why = format!("{} is not writable: {error}", data.display());
            all.push(Probe::missing("data directory", why));
        }
    }
    all.extend([quota(data), swap(), space(data)]);
    all
}

/// Mounts without attaching, so nobody sees it and it ends with its descriptor.
fn mount(
    kind: &str,
    configure: impl FnOnce(&OwnedFd) -> rustix::io::Result<()>,
) -> rustix::io::Result<()> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    configure(&context)?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map(drop)
}

fn overlay(scratch: &Scratch) -> Probe {
    let answer = mount("overlay", |context| {
        fsconfig_set_string(context, "lowerdir", scratch.path("lower"))?;
        fsconfig_set_string(context, "upperdir", scratch.path("upper"))?;
        fsconfig_set_string(context, "workdir", scratch.path("work"))
    });
    Probe::needed("overlay", answer, "images cannot be run from this file system")
}

fn overlay_by_descriptor(scratch: &Scratch) -> Probe {
    let answer = mount("overlay", |context| {
        fsconfig_set_fd(context, "lowerdir+", scratch.dir("lower")?)?;
        fsconfig_set_fd(context, "upperdir", scratch.dir("upper")?)?;
        fsconfig_set_fd(context, "workdir", scratch.dir("work")?)
    });
    Probe::good("overlay by descriptor", answer, "layers are named by path, one step more each")
}

fn mapped_mount(scratch: &Scratch) -> Probe {
    let map = || -> io::Result<()> {
        let child = sys::probe::park(libc::CLONE_NEWUSER, None)?;
        let proc = PathBuf::from(format!("/proc/{}", child.pid()));
        // Any range will do; these ids are given to nobody.
        fs::write(proc.join("uid_map"), "0 1048576 65536")?;
        fs::write(proc.join("gid_map"), "0 1048576 65536")?;
        let users = fs::File::open(proc.join("ns/user"))?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(CWD, scratch.path("lower"), flags)?;
        sys::mount::set_id_map(tree.as_fd(), users.as_fd(), 0)
    };
    Probe::needed("id-mapped mounts", map(), "layers cannot be shared by instances here")
}

/// A file of zeros is no image: it is refused as one (EINVAL) where a file can be one at all, and
/// as not being a disk (ENOTBLK) elsewhere.
fn image_file(scratch: &Scratch) -> Probe {
    const NAME: &str = "EROFS from a file";
    let answer =
        mount("erofs", |context| fsconfig_set_string(context, "source", scratch.path("image")));
    match answer {
        Ok(()) | Err(Errno::INVAL) => Probe::ok(NAME, "works"),
        Err(error) => Probe::fallback(
            NAME,
            format!("{error}: an image is one directory per layer instead of one file"),
        ),
    }
}

fn quota(data: &Path) -> Probe {
    const NAME: &str = "project quota";
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if mount_options(&mounts, data).split(',').any(|option| option == "prjquota") {
        return Probe::ok(NAME, "on");
    }
    Probe::fallback(
        NAME,
        "off: what an instance writes counts as its memory, and is at most half of its limit",
    )
}

/// Options of the file system that `path` is on: those of the mount with the longest mount point
/// that contains it (proc(5), `/proc/pid/mountinfo`).
fn mount_options<'a>(mounts: &'a str, path: &Path) -> &'a str {
    let mut best = (0, "");
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(options)) = (left.split(' ').nth(4), right.split(' ').nth(2)) else {
            continue;
        };
        let length = point.len();
        // A later mount hides an earlier one on the same point.
        if path.starts_with(point) && length >= best.0 {
            best = (length, options);
        }
    }
    best.1
}

fn swap() -> Probe {
    const NAME: &str = "swap";
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    match swaps.lines().count() {
        0 | 1 => Probe::fallback(NAME, "none: idle instances keep their memory"),
        lines => Probe::ok(NAME, format!("{} areas", lines - 1)),
    }
}

fn space(data: &Path) -> Probe {
    const NAME: &str = "free disk";
    match rustix::fs::statvfs(data) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let text = format!("{} MiB free at {}", free >> 20, data.display());
            if free >= FREE_BYTES {
                Probe::ok(NAME, text)
            } else {
                Probe::fallback(NAME, format!("{text}: pulls fail once it is full"))
            }
        }
        Err(error) => Probe::missing(NAME, format!("{}: {error}", data.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_the_innermost_mount_count() {
        let mounts = "1 0 8:1 / / rw,relatime - ext4 /dev/a rw\n\
                      2 1 8:2 / /var rw shared:1 - xfs /dev/b rw,prjquota\n\
                      3 1 8:3 / /variable rw - ext4 /dev/c ro\n";
        assert_eq!(mount_options(mounts, Path::new("/var/lib/ebb")), "rw,prjquota");
        assert_eq!(mount_options(mounts, Path::new("/variables")), "rw");
        assert_eq!(mount_options("nonsense", Path::new("/")), "");
    }
}
