//! The body of a response to a client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::deadline::Deadline;
use crate::gate::Gate;
use crate::revision::Permit;
use crate::upstream::Upstream;

/// A whole body, or one that streams from an instance.
pub(crate) struct Reply {
    content: Content,
    /// Opens the gate for the next request when the response has ended.
    turn: Option<Turn>,
}

enum Content {
    Whole(Bytes),
    Stream(Stream),
}

/// Why a response broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the instance broke the response off")]
    Upstream(#[source] hyper::Error),
    #[error("the request's time was over")]
    Timeout,
}

/// Opens the gate for the next request when it is dropped.
pub(crate) struct Turn(pub(crate) Arc<Gate>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.end_turn();
    }
}

impl Reply {
    pub(crate) const fn full(body: Bytes) -> Self {
        Self { content: Content::Whole(body), turn: None }
    }

    pub(crate) const fn empty() -> Self {
        Self::full(Bytes::new())
    }

    /// A body that streams from an instance. What the request holds is given back when the body
    /// has ended, which may be now.
    pub(crate) fn stream(body: Incoming, source: Source, deadline: Deadline) -> Self {
        if body.is_end_stream() {
            source.finish();
            return Self::empty();
        }
        let content = Content::Stream(Stream { body, source: Some(source), deadline });
        Self { content, turn: None }
    }

    pub(crate) fn with_turn(mut self, turn: Turn) -> Self {
        self.turn = Some(turn);
        self
    }
}

/// Where a body comes from, and the place that its request holds.
pub(crate) struct Source {
    pub(crate) upstream: Upstream,
    pub(crate) permit: Permit,
    /// Idle connections that the instance keeps.
    pub(crate) idle_most: usize,
}

impl Source {
    /// The response is complete: keeps the connection, then frees the place.
    fn finish(self) {
        self.permit.instance().give_back(self.upstream, self.idle_most);
    }
}

struct Stream {
    body: Incoming,
    /// None when the body has ended. Dropped earlier it closes the connection.
    source: Option<Source>,
    deadline: Deadline,
}

impl Stream {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        // Only the connection can bring a frame, and it is polled right here: see `Upstream`.
        let mut silent = Context::from_waker(Waker::noop());
        let mut polled = Pin::new(&mut self.body).poll_frame(&mut silent);
        if polled.is_pending() {
            let Some(source) = &mut self.source else { return Poll::Ready(None) };
            let over = source.upstream.drive(cx).is_ready();
            polled = Pin::new(&mut self.body).poll_frame(&mut silent);
            if polled.is_pending() && over {
                cx.waker().wake_by_ref();
            }
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if self.body.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.source = None;
                Poll::Ready(Some(Err(Broken::Upstream(error))))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => self.deadline.poll(cx).map(|()| {
                self.source = None;
                Some(Err(Broken::Timeout))
            }),
        }
    }

    fn finish(&mut self) {
        if let Some(source) = self.source.take() {
            source.finish();
        }
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.content {
            Content::Whole(body) if body.is_empty() => Poll::Ready(None),
            Content::Whole(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            Content::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(body) => body.is_empty(),
            Content::Stream(stream) => stream.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(body) => {
                SizeHint::with_exact(u64::try_from(body.len()).unwrap_or(u64::MAX))
            }
            Content::Stream(stream) => stream.body.size_hint(),
        }
    }
}
