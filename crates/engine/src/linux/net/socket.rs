//! A netlink socket that sends a batch and understands the answers.
//!
//! The kernel works on a message inside `send`, so every answer is in the socket when `send`
//! returns: answers are read without waiting until there is none left.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

use super::message::{Batch, HEADER, u16_at, u32_at};
use crate::Error;

const ERROR: u16 = 2;
/// First message type that is not a control message.
const FIRST_TYPE: u16 = 16;
/// Larger than any part of a dump: the kernel fills at most 32 KiB at a time.
const BUFFER: usize = 64 * 1024;

/// A socket of one netlink protocol, in the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
}

/// An answer that carries data.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Message type.
    pub(crate) kind: u16,
    /// What follows the header.
    pub(crate) body: Vec<u8>,
}

impl Socket {
    /// Opens a socket for links, addresses and routes.
    pub(crate) fn route() -> Result<Self, Error> {
        Self::open(None)
    }

    /// Opens a socket for packet filters.
    pub(crate) fn netfilter() -> Result<Self, Error> {
        Self::open(Some(rustix::net::netlink::NETFILTER))
    }

    fn open(protocol: Option<Protocol>) -> Result<Self, Error> {
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(family, kind, flags, protocol)
            .map_err(|errno| system("opening a netlink socket", errno))?;
        Ok(Self { fd })
    }

    /// Sends the batch and reads its answers.
    ///
    /// # Errors
    /// [`Error::System`] with what the first refused message asked for.
    pub(crate) fn run(&self, batch: &Batch) -> Result<Vec<Answer>, Error> {
        if batch.bytes().is_empty() {
            return Ok(Vec::new());
        }
        rustix::net::send(&self.fd, batch.bytes(), SendFlags::empty())
            .map_err(|errno| system("sending to netlink", errno))?;
        let mut answers = Vec::new();
        let mut refused = None;
        let mut buffer = vec![0; BUFFER];
        loop {
            let length = match rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(system("reading from netlink", errno)),
            };
            let error = read(&buffer[..length], batch, &mut answers);
            refused = refused.or(error);
        }
        refused.map_or(Ok(answers), Err)
    }
}

/// Takes the messages in `bytes` apart; answers the first error.
fn read(mut bytes: &[u8], batch: &Batch, answers: &mut Vec<Answer>) -> Option<Error> {
    let mut refused = None;
    while let (Some(length), Some(kind), Some(sequence)) =
        (u32_at(bytes, 0), u16_at(bytes, 4), u32_at(bytes, 8))
    {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = bytes.get(HEADER..length) else { break };
        if kind == ERROR {
            let code = u32_at(body, 0).unwrap_or_default().cast_signed();
            let number = code.wrapping_neg();
            let sent = batch.sent(sequence);
            let tolerated = sent.and_then(|sent| sent.tolerated).map(Errno::raw_os_error);
            if number != 0 && tolerated != Some(number) && refused.is_none() {
                let step = sent.map_or("talking to netlink", |sent| sent.what);
                refused = Some(system(step, io::Error::from_raw_os_error(number)));
            }
        } else if kind >= FIRST_TYPE {
            answers.push(Answer { kind, body: body.to_vec() });
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    refused
}

/// An error of the kernel during `step`.
pub(crate) fn system(step: impl Into<String>, source: impl Into<io::Error>) -> Error {
    Error::System { step: step.into(), source: source.into() }
}
