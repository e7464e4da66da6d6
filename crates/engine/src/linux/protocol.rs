//! What the processes say to each other: one message per packet of a `SOCK_SEQPACKET` socket, a
//! version byte and then postcard; descriptors travel beside (`SCM_RIGHTS`). Large data (the spec of
//! an instance) travels in a memory file.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ebb_model::Timestamp;
use ebb_model::engine::{ExitRecord, InstanceSpec, StartFailure, StartPhases, State};
use rustix::fs::MemfdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// First byte of every message and memory file. Both ends are the same program file, so another
/// value can only come from a shim of an older platform.
pub(crate) const VERSION: u8 = 1;
/// Largest message; larger data goes into a memory file.
const MESSAGE_MAX: usize = 64 * 1024;
/// Most descriptors in one message.
pub(crate) const DESCRIPTORS_MAX: usize = 16;
/// Largest memory file: arguments and environment are at most 128 KiB each, layers at most some
/// hundred paths.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// From the daemon to the spawner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Start an instance. Descriptors: memory file with a [`Start`], the instance's connection,
    /// on which everything else is said, refusals included.
    Start {
        /// The instance.
        id: String,
    },
    /// Run the confined function with `args`. Descriptors: a connection for the one
    /// [`Report::Confined`], then those that the function sees as 3, 4, and so on.
    Confined {
        /// What the function is given.
        args: Vec<String>,
    },
    /// End every instance. Descriptor: a connection for the one [`Report::Done`].
    Reset,
}

/// Everything about an instance that its shim needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    /// The instance.
    pub id: String,
    /// What to run.
    pub spec: InstanceSpec,
    /// When the daemon was asked for it.
    pub created: Timestamp,
}

/// From the spawner to a shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Become this instance. Descriptors: memory file with a [`Start`], the instance's connection.
    Start {
        /// When the spawner was asked, in microseconds of the monotonic clock.
        asked_us: u64,
    },
    /// End the instance, if there is one, and go.
    End,
}

/// From the daemon to a shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Command {
    /// Repeated in the answer.
    pub number: u64,
    /// What to do.
    pub act: Act,
}

/// What a shim can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Say how it is.
    State,
    /// Send a signal to the main process.
    Signal(i32),
    /// SIGTERM or the image's stop signal, kill after so many milliseconds.
    Stop {
        /// Time between the two.
        grace_ms: u64,
    },
    /// Stop its processor time.
    Freeze,
    /// Let it run again.
    Thaw,
    /// The exit record has been taken over: the shim can go.
    Acknowledge,
}

/// From a shim, or about one from the spawner, to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The shim has the spec; the start is under way.
    Accepted,
    /// There is no room for the instance.
    NoRoom(String),
    /// An instance with this id was started before.
    Repeated,
    /// Its program runs.
    Started,
    /// It accepts connections.
    Ready {
        /// Where; none when it has no port.
        endpoint: Option<SocketAddr>,
        /// How long the steps took.
        phases: StartPhases,
    },
    /// The kernel killed a process of it for memory.
    Oom,
    /// It ended, and nothing of it is left.
    Exited(ExitRecord),
    /// Answer to [`Act::State`].
    State {
        /// Number of the command.
        number: u64,
        /// What it is.
        status: Status,
    },
    /// The command was carried out.
    Done {
        /// Number of the command.
        number: u64,
    },
    /// The command failed.
    Failed {
        /// Number of the command.
        number: u64,
        /// What failed.
        message: String,
    },
    /// How a confined function ended.
    Confined(ConfinedEnd),
}

/// How an instance is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// The instance.
    pub id: String,
    /// Its state.
    pub state: State,
    /// Memory in use, in bytes.
    pub memory_bytes: u64,
    /// Processor time so far, in nanoseconds.
    pub cpu_ns: u64,
}

/// How a confined function ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConfinedEnd {
    /// Exit code, when it ended by itself.
    pub code: Option<i32>,
    /// Signal, when one ended it.
    pub signal: Option<i32>,
    /// Whether its time was over.
    pub timed_out: bool,
    /// Why it was never run.
    pub failure: Option<String>,
    /// Bytes of its standard output, which are in the memory file beside.
    pub output_bytes: u64,
}

/// From a shim to its init.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InitOrder {
    /// Run the program. Descriptors: memory file with a [`Start`], the mounted root file system,
    /// writing ends for standard output and standard error.
    Run,
    /// Send a signal to the program.
    Signal(i32),
}

/// From an init to its shim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InitReport {
    /// Everything that does not depend on the instance is done.
    Prepared,
    /// The program was executed. Times are in microseconds of the monotonic clock.
    Started {
        /// When the root file system was in place.
        rooted_us: u64,
        /// When the program was executed.
        executed_us: u64,
    },
    /// It could not be.
    Failed(StartFailure),
    /// The program ended.
    Exited {
        /// Exit code, when it ended by itself.
        code: Option<i32>,
        /// Signal, when one ended it.
        signal: Option<i32>,
    },
}

/// Sends one message with descriptors.
///
/// # Errors
/// `EPIPE` or `ECONNRESET` when nobody is there; `EAGAIN` when the queue of a non-blocking socket
/// is full.
pub(crate) fn send<M: Serialize>(
    socket: impl AsFd,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = encode(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let parts = [IoSlice::new(&bytes)];
    retry(|| rustix::net::sendmsg(&socket, &parts, &mut ancillary, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Receives one message with its descriptors; `None` when the other end is gone.
///
/// # Errors
/// `EAGAIN` on a non-blocking socket without a message; `InvalidData` for a message that is cut
/// off, of another version or not understood.
pub(crate) fn receive<M: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut bytes = vec![0u8; MESSAGE_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let message = loop {
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(&socket, &mut parts, &mut ancillary, flags) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            descriptors.extend(received);
        }
    }
    if message.bytes == 0 {
        return Ok(None);
    }
    if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message was cut off"));
    }
    Ok(Some((decode(&bytes[..message.bytes])?, descriptors)))
}

/// A memory file with `data`, to be read with [`read_file`].
pub(crate) fn memory_file<M: Serialize>(data: &M) -> io::Result<OwnedFd> {
    let bytes = encode_unbounded(data)?;
    let file = rustix::fs::memfd_create("ebb-message", MemfdFlags::CLOEXEC)?;
    let mut file = File::from(file);
    io::Write::write_all(&mut file, &bytes)?;
    Ok(file.into())
}

/// What is in a memory file.
///
/// # Errors
/// `InvalidData` when it is too large, of another version or not understood.
pub(crate) fn read_file<M: DeserializeOwned>(file: OwnedFd) -> io::Result<M> {
    let mut file = File::from(file);
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::with_capacity(4096);
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    decode(&bytes)
}

/// A connected pair of packet sockets.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Repeats a system call that a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

fn encode<M: Serialize>(message: &M) -> io::Result<Vec<u8>> {
    let bytes = encode_unbounded(message)?;
    if bytes.len() > MESSAGE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a message is too large"));
    }
    Ok(bytes)
}

fn encode_unbounded<M: Serialize>(message: &M) -> io::Result<Vec<u8>> {
    postcard::to_extend(message, vec![VERSION])
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn decode<M: DeserializeOwned>(bytes: &[u8]) -> io::Result<M> {
    let wrong = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            postcard::from_bytes(rest).map_err(|error| wrong(error.to_string()))
        }
        Some((other, _)) => Err(wrong(format!("message of version {other}, not {VERSION}"))),
        None => Err(wrong("an empty message".into())),
    }
}

#[cfg(test)]
mod tests;
