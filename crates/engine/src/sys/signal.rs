//! Signals as descriptors, and signal masks.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};

/// Blocks `signals` and answers a descriptor that becomes readable when one of them is pending.
pub(crate) fn as_descriptor(signals: &[i32]) -> io::Result<OwnedFd> {
    let set = set_of(signals);
    change_mask(libc::SIG_BLOCK, &set)?;
    // SAFETY: -1 asks for a new descriptor; `set` lives across the call.
    let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: signalfd just made this descriptor, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes the pending signals out of a descriptor of [`as_descriptor`].
pub(crate) fn drain(signals: impl AsFd) -> Vec<i32> {
    const SIZE: usize = size_of::<libc::signalfd_siginfo>();
    let mut taken = Vec::new();
    let mut buffer = [0u8; SIZE];
    while let Ok(SIZE) = rustix::io::read(&signals, &mut buffer) {
        // The number is the first field, `ssi_signo`, an unsigned 32-bit integer (signalfd(2)).
        let number = u32::from_ne_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]);
        taken.extend(i32::try_from(number));
    }
    taken
}

/// Unblocks every signal and gives every standard signal its default action, as a program expects
/// it. Actions other than "ignore" are reset by `execve` anyway; ebb never ignores others.
pub(crate) fn reset_all() {
    for number in 1..=31 {
        // SAFETY: SIG_DFL is valid for every signal; the two that cannot be changed answer
        // EINVAL, which changes nothing.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    let none = set_of(&[]);
    let _ = change_mask(libc::SIG_SETMASK, &none); // cannot fail with a valid `how`
}

/// Ignores `number`.
pub(crate) fn ignore(number: i32) {
    // SAFETY: SIG_IGN is valid for every signal that can be ignored; others answer EINVAL.
    unsafe { libc::signal(number, libc::SIG_IGN) };
}

/// Sends signal `number` to process `pid`, which must be above 0: never a group, never everybody.
pub(crate) fn send(pid: i32, number: i32) -> io::Result<()> {
    if pid <= 0 {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // SAFETY: kill takes integers only.
    if unsafe { libc::kill(pid, number) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set; sigaddset only reads and writes it and
    // refuses numbers that are no signals.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for number in signals {
            libc::sigaddset(set.as_mut_ptr(), *number);
        }
        set.assume_init()
    }
}

fn change_mask(how: i32, set: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: both pointers are valid or null for the length of the call.
    let error = unsafe { libc::pthread_sigmask(how, set, std::ptr::null_mut()) };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}
