//! Packet sockets of [`protocol`](super::protocol) under tokio.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::unix::AsyncFd;

use crate::linux::protocol;
use crate::sys::fd;

/// A packet socket that is awaited.
#[derive(Debug)]
pub(crate) struct Packets(AsyncFd<OwnedFd>);

impl Packets {
    /// Over an open packet socket.
    ///
    /// # Errors
    /// What the kernel says; also outside of a runtime.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self(fd::awaited(socket)?))
    }

    /// Sends one message, waiting while the queue is full.
    pub(crate) async fn send<M: Serialize + Sync>(
        &self,
        message: &M,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        loop {
            match protocol::send(self.0.get_ref().as_fd(), message, descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.0.writable().await?.clear_ready();
                }
                other => return other,
            }
        }
    }

    /// Says that nothing more will be sent; what comes can still be received.
    pub(crate) fn end_sending(&self) {
        // The other end may have gone, and then knows.
        let _ = rustix::net::shutdown(self.0.get_ref(), rustix::net::Shutdown::Write);
    }

    /// The next message; `None` when the other end is gone. Cancelling it loses nothing.
    pub(crate) async fn receive<M: DeserializeOwned>(
        &self,
    ) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        loop {
            let mut ready = self.0.readable().await?;
            match protocol::receive(self.0.get_ref().as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                other => return other,
            }
        }
    }
}
