//! Mounting layers and the writable layer as one file system.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, fsconfig_create, fsconfig_set_fd, fsmount, fsopen, mount, mount_change,
    move_mount, open_tree,
};

use super::Writable;
use crate::sys::mount::{RDONLY, set_attributes_of};
use crate::sys::process;

/// Directory that exists everywhere and is hidden by the scratch tmpfs in a private namespace.
const SCRATCH: &str = "/tmp";

/// One file system out of `lowers` (uppermost first) and the writable layer, detached.
pub(super) fn overlay(
    lowers: &[OwnedFd],
    writable: &Writable,
    read_only: bool,
) -> io::Result<OwnedFd> {
    let root = match by_descriptor(lowers, writable) {
        // EINVAL: descriptors as layers came with Linux 6.13, layers that are in no mount
        // namespace with 6.15.
        Err(Errno::INVAL | Errno::NOSYS) => by_path(lowers, writable)?,
        other => other?,
    };
    if read_only {
        set_attributes_of(root.as_fd(), RDONLY)?;
    }
    Ok(root)
}

fn by_descriptor(lowers: &[OwnedFd], writable: &Writable) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for lower in lowers {
        fsconfig_set_fd(&context, "lowerdir+", lower)?;
    }
    fsconfig_set_fd(&context, "upperdir", &writable.upper)?;
    fsconfig_set_fd(&context, "workdir", &writable.work)?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// For older kernels: layers must be attached in this process's mount namespace, which becomes a
/// private one for that, and are named by path.
pub(super) fn by_path(lowers: &[OwnedFd], writable: &Writable) -> io::Result<OwnedFd> {
    process::new_namespaces(libc::CLONE_NEWNS)?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount("tmpfs", SCRATCH, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, None)?;
    let attach = |mount: &OwnedFd, name: &str| -> io::Result<()> {
        let path = format!("{SCRATCH}/{name}");
        rustix::fs::mkdir(&path, Mode::from_raw_mode(0o700))?;
        Ok(move_mount(mount, "", CWD, &path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
    };
    for (number, lower) in lowers.iter().enumerate() {
        attach(lower, &number.to_string())?;
    }
    attach(&writable.mount, "w")?;
    let lowerdir: Vec<String> =
        lowers.iter().map(|lower| format!("/proc/self/fd/{}", lower.as_raw_fd())).collect();
    let options = format!(
        "lowerdir={},upperdir={SCRATCH}/w/upper,workdir={SCRATCH}/w/work",
        lowerdir.join(":")
    );
    let options = std::ffi::CString::new(options)?;
    let root = format!("{SCRATCH}/root");
    rustix::fs::mkdir(&root, Mode::from_raw_mode(0o700))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("overlay", &root, "overlay", flags, options.as_c_str())?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, &root, flags)?)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rustix::fs::OFlags;

    use super::*;

    /// What kernels before 6.15 take; this one takes it, too.
    #[test]
    fn layers_by_path_are_the_same_file_system() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let layer = tempfile::tempdir().unwrap();
        let [upper, lower] = ["upper", "lower"].map(|name| layer.path().join(name));
        std::fs::create_dir(&upper).unwrap();
        std::fs::create_dir(&lower).unwrap();
        std::fs::write(lower.join("file"), "text").unwrap();
        // The mount namespace is of the thread that makes it.
        let made = std::thread::spawn(move || {
            let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
            let writable = Writable::make(1 << 20, Ipv4Addr::LOCALHOST).unwrap();
            let lowers = [upper, lower].map(|path| open_tree(CWD, path, flags).unwrap());
            let root = by_path(&lowers, &writable).unwrap();
            let open = |name| rustix::fs::openat(&root, name, OFlags::RDONLY, Mode::empty());
            let mut text = [0u8; 8];
            let read = rustix::io::read(open("file").unwrap(), &mut text).unwrap();
            (text[..read].to_vec(), open("etc/resolv.conf").is_ok(), open("dev").is_ok())
        });
        assert_eq!(made.join().unwrap(), (b"text".to_vec(), true, true));
    }
}
