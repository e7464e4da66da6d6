//! Unpacks one layer, a hostile archive until proven otherwise, into an empty directory.
//!
//! How it works: `stream` uncompresses under limits and hashes; `entries` reads the archive
//! block by block and refuses what two readers could understand differently; `path` checks names;
//! `tree` and `apply` touch the target only by descriptor, through `openat2` with
//! `RESOLVE_IN_ROOT`, so that no link of the image leads outside, whatever it says.
//!
//! It runs in a confined process ([`child_main`]) that someone else starts: no network, a user
//! namespace with the ids 0 to 65,535, a seccomp filter, bounded memory. System calls that it needs
//! besides those of every program: openat2, mkdirat, mknodat, symlinkat, linkat, unlinkat, fchown,
//! fchownat, fchmod, utimensat, fsetxattr, newfstatat, readlinkat, getdents64 and prlimit64, and
//! for [`child_main`] also pidfd_open and pidfd_getfd.
//!
//! What it does not do: it never marks a directory as opaque, because that takes a `trusted`
//! attribute; it reports those directories, and the content store marks them.

mod apply;
mod entries;
pub(crate) mod limits;
mod path;
mod pax;
mod stream;
mod tree;
mod unconfined;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ebb_model::{Fault, Kind};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};

pub use unconfined::Unconfined;

use crate::error::storage;
use crate::shown::{plain_up_to, shown};
use crate::{Error, UnpackReport};

/// What the process writes to its standard output: one line of JSON.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Output {
    Done(UnpackReport),
    Failed { error: Fault },
}

/// The confined process: reads the blob on descriptor 3, writes below the directory on descriptor
/// 4, and prints an [`UnpackReport`] or `{"error": Fault}` as JSON. Answers the exit code: 0 when
/// the layer is unpacked, otherwise 1.
///
/// It takes the descriptors over by `pidfd_getfd`, the only way by number that is safe code. Where
/// a seccomp filter refuses that call, whoever owns the descriptors calls [`child`].
pub fn child_main(compression: &str) -> u8 {
    match inherited(3).and_then(|blob| Ok((blob, inherited(4)?))) {
        Ok((blob, target)) => child(blob, target, compression),
        Err(errno) => {
            let error = storage("taking over the descriptors of a layer", &errno.into());
            say(&Output::Failed { error: error.into() })
        }
    }
}

/// The same with the descriptors given: the compressed layer, and the empty directory.
pub fn child(blob: OwnedFd, target: OwnedFd, compression: &str) -> u8 {
    let result = limit_process()
        .map_err(|errno| storage("setting limits", &errno.into()))
        .and_then(|()| unpack(File::from(blob), target, compression));
    match result {
        Ok(report) => say(&Output::Done(report)),
        Err(error) => say(&Output::Failed { error: error.into() }),
    }
}

/// Prints the output; answers the exit code that belongs to it.
fn say(output: &Output) -> u8 {
    let Ok(mut line) = serde_json::to_vec(output) else { return 1 };
    line.push(b'\n');
    let mut stdout = std::io::stdout();
    let said = stdout.write_all(&line).and_then(|()| stdout.flush());
    u8::from(said.is_err() || matches!(output, Output::Failed { .. }))
}

/// What the output of the confined process means; `stdout` is everything that it wrote there.
///
/// # Errors
/// The failure that it reported, or `UNPACK_FAILED` when it ended without saying anything.
pub fn report(stdout: &[u8]) -> Result<UnpackReport, Error> {
    match serde_json::from_slice(stdout) {
        Ok(Output::Done(mut report)) => {
            report.warnings.truncate(limits::WARNINGS_MAX);
            for warning in &mut report.warnings {
                *warning = plain_up_to(TEXT_MAX, warning);
            }
            Ok(report)
        }
        Ok(Output::Failed { error }) => Err(checked(error)),
        Err(_) => Err(Error::new(
            "UNPACK_FAILED",
            Kind::Internal,
            "the process that unpacks a layer ended without a result",
        )
        .hint("it is ended when it needs too much memory or time; try a smaller layer")),
    }
}

/// Unpacks `blob` into the empty directory `target`.
pub(crate) fn unpack(
    blob: impl Read,
    target: OwnedFd,
    compression: &str,
) -> Result<UnpackReport, Error> {
    let mut entries = entries::Entries::new(stream::Stream::new(blob, compression)?);
    let mut apply = apply::Apply::new(target);
    while let Some(entry) = entries.next()? {
        apply.entry(&entry, &mut entries)?;
    }
    apply.finish()?;
    let mut stream = entries.into_stream();
    // Whatever decoder and archive did not need: it is part of the digest.
    let mut rest = [0; 8 << 10];
    if stream.read(&mut rest)? > 0 {
        return Err(invalid("there is data behind the end of the archive"));
    }
    let (diff_id, size_bytes) = stream.finish();
    let opaque = apply.tree.opaque.iter().map(|path| BASE64_STANDARD.encode(path)).collect();
    let (made, warnings) = (apply.made, apply.warnings);
    Ok(UnpackReport { diff_id, entries: made, size_bytes, warnings, opaque })
}

/// Takes a descriptor over by number without unsafe code: the kernel duplicates it for us.
fn inherited(number: i32) -> Result<OwnedFd, Errno> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let pidfd = pidfd_open(getpid(), PidfdFlags::empty())?;
    pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty())
}

/// Own limits below those that the caller set: address space for a 128 MiB zstd window and the
/// program itself, descriptors for removing the deepest tree, and ten minutes of processor time.
fn limit_process() -> Result<(), Errno> {
    let limits = [
        (Resource::As, 1 << 30),
        (Resource::Fsize, limits::FILE_MAX),
        (Resource::Nofile, 1024),
        (Resource::Cpu, 600),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        let hard = rustix::process::getrlimit(resource).maximum;
        let limit = hard.map_or(limit, |hard| hard.min(limit));
        let limit = Rlimit { current: Some(limit), maximum: Some(limit) };
        rustix::process::setrlimit(resource, limit)?;
    }
    Ok(())
}

/// An archive that breaks the rules.
fn invalid(message: impl Into<String>) -> Error {
    Error::new("IMAGE_LAYER_INVALID", Kind::Invalid, message)
        .hint("build the image again with a current tool such as docker, podman or buildah")
}

/// A system call failed: because of what the archive asks for, or because of the machine.
fn io_error(path: &[u8], errno: Errno) -> Error {
    match errno {
        Errno::NOTDIR
        | Errno::ISDIR
        | Errno::LOOP
        | Errno::MLINK
        | Errno::INVAL
        | Errno::EXIST
        | Errno::NOENT
        | Errno::XDEV
        | Errno::ILSEQ
        | Errno::NAMETOOLONG => invalid(format!("{} cannot be made: {errno}", shown(path))),
        errno => storage(&format!("unpacking {}", shown(path)), &errno.into()),
    }
}

/// What a confined process says is as foreign as the layer that it read: a fault in it may have
/// given the process away. So texts are escaped and cut, and a code is a code.
fn checked(mut fault: Fault) -> Error {
    let code = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if fault.code.is_empty() || fault.code.len() > 40 || !fault.code.bytes().all(code) {
        "UNPACK_FAILED".clone_into(&mut fault.code);
    }
    fault.message = plain_up_to(TEXT_MAX, &fault.message);
    fault.hint = fault.hint.map(|hint| plain_up_to(TEXT_MAX, &hint));
    fault.field = None;
    fault.into()
}

/// Characters of a sentence of the confined process; the longest names two entries.
const TEXT_MAX: usize = 5000;
