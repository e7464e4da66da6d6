//! Capabilities of the calling thread (capabilities(7), capset(2), prctl(2)).

use std::io;

/// Gives up every capability that is not in `keep`, a bit per capability: bounding, permitted and
/// effective become `keep`, inheritable and ambient become empty. It cannot be taken back.
///
/// # Errors
/// What the kernel said; `EPERM` when `keep` has one that the thread does not have, or when it may
/// not drop from the bounding set (`CAP_SETPCAP`).
pub(crate) fn keep_only(keep: u64) -> io::Result<()> {
    // SAFETY: prctl with PR_CAP_AMBIENT takes numbers only.
    let answer =
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    check(answer.into())?;
    for capability in 0..64_u64 {
        // SAFETY: prctl with PR_CAPBSET_READ takes numbers only.
        let held = unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) };
        // An error says that the kernel has no capability of this number, nor of a higher one.
        if held < 0 {
            break;
        }
        if held == 1 && keep & (1 << capability) == 0 {
            // SAFETY: prctl with PR_CAPBSET_DROP takes numbers only.
            let answer = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
            check(answer.into())?;
        }
    }
    set(keep)
}

/// `struct __user_cap_header_struct` of <linux/capability.h>.
#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// `struct __user_cap_data_struct` of <linux/capability.h>; version 3 has two, low bits first.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

fn set(keep: u64) -> io::Result<()> {
    let half = |bits: u64| {
        let bits = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
        Data { effective: bits, permitted: bits, inheritable: 0 }
    };
    let mut header = Header { version: VERSION_3, pid: 0 };
    let data = [half(keep), half(keep >> 32)];
    // SAFETY: `header` and the two `data` of version 3 have the layout of <linux/capability.h> and
    // live until the call returns; the kernel writes at most the version into `header`.
    let answer = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) };
    check(answer)
}

fn check(answer: libc::c_long) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Effective, permitted and inheritable capabilities of the calling thread.
///
/// # Errors
/// What the kernel said; there is no reason for it to say anything.
pub(crate) fn held() -> io::Result<(u64, u64, u64)> {
    let mut header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: `header` has the layout of <linux/capability.h>; `data` has the two elements that
    // version 3 fills, and both live until the call returns.
    let answer = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    check(answer)?;
    let join = |of: fn(&Data) -> u32| u64::from(of(&data[0])) | (u64::from(of(&data[1])) << 32);
    Ok((join(|d| d.effective), join(|d| d.permitted), join(|d| d.inheritable)))
}
