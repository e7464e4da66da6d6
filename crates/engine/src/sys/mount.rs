//! Attributes of mounts (`mount_setattr`, Linux 5.12).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Read-only (`MOUNT_ATTR_RDONLY` of `linux/mount.h`).
pub(crate) const RDONLY: u64 = 0x1;
/// Set-user-id bits of files mean nothing (`MOUNT_ATTR_NOSUID`).
pub(crate) const NOSUID: u64 = 0x2;
/// Device files cannot be opened (`MOUNT_ATTR_NODEV`).
pub(crate) const NODEV: u64 = 0x4;
/// Owners of files are mapped (`MOUNT_ATTR_IDMAP`).
const IDMAP: u64 = 0x0010_0000;

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    users: u64,
}

/// Maps the owners of files in the detached mount `tree` through the user namespace `users`.
pub(crate) fn set_id_map(tree: BorrowedFd<'_>, users: BorrowedFd<'_>, set: u64) -> io::Result<()> {
    let users = u64::try_from(users.as_raw_fd()).unwrap_or(u64::MAX);
    set_attributes(tree, IDMAP | set, users)
}

/// Sets the attributes `set` (`MOUNT_ATTR_*`) on the mount that `tree` refers to.
pub(crate) fn set_attributes_of(tree: BorrowedFd<'_>, set: u64) -> io::Result<()> {
    set_attributes(tree, set, 0)
}

fn set_attributes(tree: BorrowedFd<'_>, set: u64, users: u64) -> io::Result<()> {
    let attributes = Attributes { set, clear: 0, propagation: 0, users };
    // SAFETY: the path is a NUL-terminated literal; `attributes` lives across the call and its
    // size is passed with it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
