//! A new network namespace for the calling thread.

use std::io;

use rustix::thread::UnshareFlags;

/// Moves the calling thread into a new, empty network namespace.
///
/// # Errors
/// What the kernel said; without `CAP_SYS_ADMIN` that is `EPERM`.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: the call is unsafe only because of CLONE_FILES, which would take descriptors away
    // from other threads. CLONE_NEWNET changes which network the thread's new sockets belong to,
    // and nothing else; no memory is touched.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
    Ok(())
}
