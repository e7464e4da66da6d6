//! One client connection.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use ebb_kit::Shutdown;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::deadline::Timer;
use crate::forward;
use crate::gate::{Gate, GateIo, Times};
use crate::headers::Client;
use crate::shared::Shared;

/// What the requests of one client connection share.
pub(crate) struct Connection {
    pub(crate) gate: Arc<Gate>,
    pub(crate) client: Client,
    pub(crate) timer: Arc<Timer>,
}

/// Serves a client until it or the gateway closes.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    closing: Shutdown,
) {
    let times = Times {
        header: Duration::from_millis(shared.config.header_timeout_ms),
        keep_alive: Duration::from_millis(shared.config.keep_alive_ms),
    };
    let gate = Gate::new(stream, times);
    let connection = Arc::new(Connection {
        gate: Arc::clone(&gate),
        client: Client::new(peer.ip()),
        timer: Arc::new(Timer::default()),
    });
    serve_http(&shared, &connection, &closing).await;
    drop(connection);
    let request_id = shared.ids.fresh();
    gate.finish(request_id.to_str().unwrap_or_default()).await;
}

async fn serve_http(shared: &Arc<Shared>, connection: &Arc<Connection>, closing: &Shutdown) {
    let io = TokioIo::new(GateIo(Arc::clone(&connection.gate)));
    let service =
        service_fn(|request| forward::serve(Arc::clone(shared), Arc::clone(connection), request));
    let served = http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(io, service)
        .with_upgrades();
    let mut served = pin!(served);
    let mut called = pin!(closing.wait());
    let mut limit = pin!(tokio::time::sleep(Duration::ZERO));
    // `closing` is polled once, to be woken by it; asking it at every wake-up would take a
    // lock that all connections share. The task's waker stays the same.
    let mut asked = false;
    let mut draining = false;
    let ended = poll_fn(|cx| {
        if !asked {
            asked = true;
            // Whether it was called already is read below, from the flag.
            let _ = called.as_mut().poll(cx);
        }
        if !draining && shared.stopping.load(Ordering::Acquire) {
            draining = true;
            served.as_mut().graceful_shutdown();
            let drain = Duration::from_millis(shared.config.drain_ms);
            limit.as_mut().reset(tokio::time::Instant::now() + drain);
        }
        if draining && limit.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Poll::Ready(ended) = served.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            if connection.gate.poll_deadline(cx).is_pending() {
                return Poll::Pending;
            }
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a client connection broke");
    }
}
