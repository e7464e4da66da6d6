//! The socket to an instance, which can be cut from elsewhere.

use std::io::{Error, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Cuts one connection. An instance that is gone may have taken its network with it, and then no
/// packet ever says that the connection is over.
#[derive(Default)]
pub(crate) struct Cut {
    done: AtomicBool,
    reader: AtomicWaker,
}

impl Cut {
    /// Breaks the connection off. What it has received already can still be read.
    pub(crate) fn cut(&self) {
        self.done.store(true, Ordering::Release);
        self.reader.wake();
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Error> {
        self.reader.register(cx.waker());
        if self.done.load(Ordering::Acquire) {
            return Poll::Ready(Error::new(ErrorKind::ConnectionReset, "the instance is gone"));
        }
        Poll::Pending
    }
}

pub(super) struct Line {
    stream: TcpStream,
    cut: Arc<Cut>,
}

impl Line {
    pub(super) const fn new(stream: TcpStream, cut: Arc<Cut>) -> Self {
        Self { stream, cut }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, out) {
            Poll::Pending => self.cut.poll(cx).map(Err),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
