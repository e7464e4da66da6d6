//! What of a body nobody read. A request may be answered before its body has arrived: the path is
//! not there, or too many wait. The connection can serve another request only when the rest of the
//! body is read, too; where that is too much, the client is told that it ends.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

use crate::body::{Body, Sent};

/// Bytes that are read and dropped for the sake of the connection. As Go's server, and so
/// Kubernetes'.
const MAX_BYTES: usize = 256 << 10;
/// Time for that.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Where a body comes back to when it was not read to its end.
pub(crate) struct Leftover {
    back: oneshot::Receiver<Incoming>,
    /// Whether the client waits with the body until it is asked for it.
    waits: bool,
}

/// The body for the request, and where its rest comes to.
pub(crate) fn watched(headers: &HeaderMap, body: Incoming) -> (Sent, Leftover) {
    let (tell, back) = oneshot::channel();
    let watched = Watched { body: Some(body), tell: Some(tell) };
    (Sent::new(watched), Leftover { back, waits: headers.contains_key(EXPECT) })
}

impl Leftover {
    /// Reads what is left, if it is little; else says that the connection ends.
    pub(crate) async fn settle(mut self, mut response: Response<Body>) -> Response<Body> {
        let Ok(rest) = self.back.try_recv() else { return response };
        let read = !self.waits && tokio::time::timeout(MAX_WAIT, drop_all(rest)).await == Ok(true);
        if !read {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Whether the end came.
async fn drop_all(mut rest: Incoming) -> bool {
    let mut left = MAX_BYTES;
    while let Some(frame) = rest.frame().await {
        let Ok(frame) = frame else { return false };
        let length = frame.data_ref().map_or(0, Bytes::len);
        let Some(less) = left.checked_sub(length) else { return false };
        left = less;
    }
    true
}

struct Watched {
    /// None when it was given back.
    body: Option<Incoming>,
    tell: Option<oneshot::Sender<Incoming>>,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        Pin::new(body).poll_frame(context).map_err(std::io::Error::other)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let (Some(body), Some(tell)) = (self.body.take(), self.tell.take())
            && !body.is_end_stream()
        {
            // Nobody waits for it when the connection has ended.
            let _ = tell.send(body);
        }
    }
}
