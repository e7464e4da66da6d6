//! One connection to an instance.
//!
//! hyper's client connection is a future that somebody must poll. Here it is polled by the
//! request that uses it, in the client connection's own task: no task per upstream connection,
//! and no wake-up of another task on the way there and back. Between requests nobody polls it;
//! whether the instance closed it meanwhile is seen when it is taken from the pool.

mod line;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::body::Outgoing;
pub(crate) use line::Cut;
use line::Line;

/// Largest head of a response in bytes.
const RESPONSE_HEAD_MAX: usize = 64 * 1024;

/// A connection to an instance, idle or used by one request.
pub(crate) struct Upstream {
    sender: SendRequest<Outgoing>,
    connection: Driven,
    cut: Arc<Cut>,
    /// Whether it has carried a request before.
    pub(crate) reused: bool,
    idle_since: Instant,
}

/// Why there is no response.
pub(crate) struct Failed {
    /// The request, when no byte of it was taken.
    pub(crate) unsent: Option<Request<Outgoing>>,
    pub(crate) error: hyper::Error,
}

impl Upstream {
    /// Connects to an instance.
    pub(crate) async fn connect(address: SocketAddr, limit: Duration) -> std::io::Result<Self> {
        let stream = tokio::time::timeout(limit, TcpStream::connect(address))
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        let cut = Arc::new(Cut::default());
        let line = TokioIo::new(Line::new(stream, Arc::clone(&cut)));
        let (sender, connection) = Builder::new()
            .max_buf_size(RESPONSE_HEAD_MAX)
            .handshake(line)
            .await
            .map_err(std::io::Error::other)?;
        let connection = Some(Box::pin(connection.with_upgrades()) as _);
        Ok(Self { sender, connection, cut, reused: false, idle_since: Instant::now() })
    }

    /// Breaks it off from elsewhere.
    pub(crate) const fn cut(&self) -> &Arc<Cut> {
        &self.cut
    }

    /// Moves bytes. Ready when the connection is over.
    pub(crate) fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        drive(&mut self.connection, cx)
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, Failed> {
        let mut answer = pin!(self.sender.try_send_request(request));
        // Only the connection can complete the answer, and it is polled right here, so the
        // answer needs no waker of its own; with one it would wake this task while it runs.
        let answer = std::future::poll_fn(|cx| {
            let over = drive(&mut self.connection, cx).is_ready();
            let mut silent = Context::from_waker(Waker::noop());
            match answer.as_mut().poll(&mut silent) {
                Poll::Pending if over => {
                    // The callback is resolved or dropped with the connection; look once more
                    // when woken by the runtime instead of trusting that it already was.
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                polled => polled,
            }
        });
        answer.await.map_err(|mut failed| Failed {
            unsent: failed.take_message(),
            error: failed.into_error(),
        })
    }

    /// Whether it can take a request now; drives it as far as that needs, waking nobody.
    pub(crate) fn settle(&mut self) -> bool {
        let mut silent = Context::from_waker(Waker::noop());
        self.drive(&mut silent).is_pending() && self.sender.is_ready()
    }

    /// Marks it idle from now.
    pub(crate) fn rest(&mut self) {
        self.reused = true;
        self.idle_since = Instant::now();
    }

    /// Whether it has idled longer than `limit`.
    pub(crate) fn is_stale(&self, now: Instant, limit: Duration) -> bool {
        now.saturating_duration_since(self.idle_since) > limit
    }
}

type Driven = Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>;

fn drive(connection: &mut Driven, cx: &mut Context<'_>) -> Poll<()> {
    let Some(future) = connection else { return Poll::Ready(()) };
    match future.as_mut().poll(cx) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(result) => {
            if let Err(error) = result {
                tracing::debug!(%error, "a connection to an instance broke");
            }
            *connection = None;
            Poll::Ready(())
        }
    }
}
