//! Descriptors that are known by number.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use tokio::io::unix::AsyncFd;

/// Takes over the descriptor `number`, which the process that executed this one left open for it,
/// and sets close-on-exec. Each number can be taken once: afterwards it carries that flag.
///
/// # Errors
/// `EBADF` when it is not open, or was taken before.
pub(crate) fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number < 3 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: F_GETFD takes no pointer; a number that is not open answers EBADF.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: as above, with an integer argument.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the number is open (checked above) and nobody in this process owns it: every
    // descriptor that this process opens has close-on-exec set, and this one had not.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes `number` a copy of `from`, without close-on-exec, closing what was there.
///
/// Only for a process that is about to execute or to run nothing but its confined function: the
/// owner of the old `number`, if there is one, must not be used or dropped afterwards.
pub(crate) fn place(from: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    if from.as_raw_fd() == number {
        // SAFETY: F_SETFD takes an integer; the descriptor is open, it is borrowed.
        let done = unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
        return if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    }
    // SAFETY: dup2 takes integers; `from` is open, it is borrowed.
    if unsafe { libc::dup2(from.as_raw_fd(), number) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sets close-on-exec on every descriptor from `first` on.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    range(first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

/// Closes every descriptor from 3 on but those in `keep`.
///
/// Only for a process that was forked just now: whatever owned the closed descriptors must be
/// forgotten, not dropped.
pub(crate) fn close_all_but(keep: &mut [RawFd]) -> io::Result<()> {
    keep.sort_unstable();
    let mut first = 3;
    for number in keep.iter().filter_map(|number| u32::try_from(*number).ok()) {
        if number > first {
            range(first, number - 1, 0)?;
        }
        first = first.max(number + 1);
    }
    range(first, u32::MAX, 0)
}

fn range(first: u32, last: u32, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: close_range takes integers only. Which descriptors may be closed is the contract of
    // the functions above.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Moves the descriptors `first` and following, `count` of them, to 0 and following, without
/// close-on-exec, closing what was there.
///
/// Only for a process that is about to run nothing but its confined function, as [`place`].
pub(crate) fn move_down(first: RawFd, count: i32) -> io::Result<()> {
    for number in 0..count {
        // SAFETY: dup2 takes integers; one that is not open answers EBADF.
        if unsafe { libc::dup2(first + number, number) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The descriptor under tokio; it must be non-blocking.
///
/// # Panics
/// Outside of a runtime.
pub(crate) fn awaited(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: `OwnedFd` owns its descriptor: it stays open and the same until it is dropped, and
    // `AsyncFd` owns the `OwnedFd`.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}
