//! Running from a sealed copy of the own program file.
//!
//! What runs as root must not be changeable through the file it was started from (CVE-2019-5736
//! overwrote a runtime through `/proc/self/exe`). So the spawner is executed from a memory file that
//! the kernel refuses to change, and everything that it starts comes from the same file.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};

use crate::Error;
use crate::linux::failure::step;
use crate::sys::{fd, process};

/// Name of the running program as other tools show it.
const NAME: &str = "ebb";

/// Replaces this process by the same program, run from a sealed memory file with `args` (without
/// the program's name) and the same environment. The descriptors in `keep` stay open under their
/// numbers, for [`inherited`].
///
/// # Errors
/// [`Error::System`] naming the step; it returns only then.
pub fn sealed(args: &[String], keep: &[BorrowedFd<'_>]) -> Result<Infallible, Error> {
    let file = sealed_copy()?;
    for descriptor in keep {
        fd::place(*descriptor, descriptor.as_raw_fd()).map_err(step("keep a descriptor open"))?;
    }
    execute(file.as_fd(), args, &environment())
}

/// Takes over a descriptor that the process that executed this one kept open under `number`. Works
/// once for each number.
///
/// # Errors
/// [`Error::System`] when it is not open or was taken before.
pub fn inherited(number: i32) -> Result<OwnedFd, Error> {
    fd::take_inherited(number).map_err(step(format!("take over descriptor {number}")))
}

/// The running program file, for executing it again.
pub(crate) fn own_program() -> Result<OwnedFd, Error> {
    let file = File::open("/proc/self/exe").map_err(step("open the own program file"))?;
    Ok(file.into())
}

/// Replaces this process by `program`; returns only with the reason why not.
pub(crate) fn execute(
    program: BorrowedFd<'_>,
    args: &[String],
    env: &[String],
) -> Result<Infallible, Error> {
    let words: Vec<String> = std::iter::once(NAME.to_owned()).chain(args.iter().cloned()).collect();
    let call = process::Program::new(&words, env).map_err(step("build the arguments"))?;
    Err(step("execute the own program")(call.execute_fd(program)))
}

/// This process's environment as `NAME=value`; entries that are not UTF-8 are left out.
pub(crate) fn environment() -> Vec<String> {
    std::env::vars_os()
        .filter_map(|(name, value)| {
            Some(format!("{}={}", name.into_string().ok()?, value.into_string().ok()?))
        })
        .collect()
}

fn sealed_copy() -> Result<OwnedFd, Error> {
    let mut source = File::from(own_program()?);
    let copy = rustix::fs::memfd_create(NAME, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(step("make a memory file"))?;
    let mut copy = File::from(copy);
    std::io::copy(&mut source, &mut copy).map_err(step("copy the own program"))?;
    let seals = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&copy, seals).map_err(step("seal the copy"))?;
    // A file that is open for writing cannot be executed (ETXTBSY): reopen it for reading.
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    let readable = File::open(path).map_err(step("reopen the sealed copy"))?;
    drop(copy);
    Ok(readable.into())
}
