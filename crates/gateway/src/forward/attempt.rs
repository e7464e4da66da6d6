//! Sends a request to the instance that has a place for it, and again where that is safe.
//!
//! As long as no byte of it reached an instance it is safe, as often as its time allows: it goes
//! back to its place in the queue and to whichever instance is next. An instance that refused it
//! gets nothing for a while and then one request at a time until it takes one, so a dead instance
//! costs few attempts however many requests wait.
//!
//! Once more, and never twice, it is sent after an instance may have seen it: when its method is
//! idempotent, it has no body, and a connection that had idled in the pool was closed under it
//! before any byte of a response. So a request is done twice only where twice is as good as once.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;

use super::{End, Exchange, Sent, is_idempotent};
use crate::answer::Answer;
use crate::body::Outgoing;
use crate::instance::Instance;
use crate::reply::Source;
use crate::revision::Permit;
use crate::upstream::Upstream;

/// How long an instance that refused a connection gets no requests. Control hears of a dead one
/// within milliseconds and removes it; this bridges that, and an instance that restarts its
/// listener.
const SUSPECT: Duration = Duration::from_secs(1);

/// What became of one attempt on one connection.
enum Outcome {
    Answered(Response<Incoming>),
    /// No byte of it was taken, or doing it again is safe.
    Again(Request<Outgoing>),
    Failed(End),
}

impl Exchange {
    pub(super) async fn send(
        &mut self,
        mut permit: Permit,
        mut request: Request<Outgoing>,
    ) -> Result<Sent, End> {
        loop {
            let at = self.shared.clock.now();
            let instance = Arc::clone(permit.instance());
            if let Some(mut upstream) = instance.take_idle(&self.shared.config) {
                self.target.revision.trust(&instance);
                match self.attempt(&mut upstream, request).await {
                    Outcome::Answered(response) => {
                        return Ok(self.sent(response, upstream, permit, at));
                    }
                    Outcome::Again(same) => request = same,
                    Outcome::Failed(end) => return Err(end),
                }
            }
            match self.connect(&instance).await? {
                Ok(mut upstream) => {
                    self.target.revision.trust(&instance);
                    match self.attempt(&mut upstream, request).await {
                        Outcome::Answered(response) => {
                            return Ok(self.sent(response, upstream, permit, at));
                        }
                        Outcome::Again(same) => request = same,
                        Outcome::Failed(end) => return Err(end),
                    }
                }
                Err(error) => {
                    tracing::debug!(instance = %instance.id, %error, "an instance took no connection");
                }
            }
            self.distrust(&instance);
            permit = self.place(self.target.revision.reenter(permit)).await?;
        }
    }

    fn sent(
        &self,
        response: Response<Incoming>,
        upstream: Upstream,
        permit: Permit,
        at: ebb_model::Timestamp,
    ) -> Sent {
        let idle_most = self.shared.config.idle_upstreams;
        Sent { response, source: Source { upstream, permit, idle_most }, at }
    }

    async fn connect(&mut self, instance: &Instance) -> Result<std::io::Result<Upstream>, End> {
        let shared = Arc::clone(&self.shared);
        let mut connecting = pin!(instance.connect(&shared.config));
        poll_fn(|cx| {
            if let Poll::Ready(connected) = connecting.as_mut().poll(cx) {
                return Poll::Ready(Ok(connected));
            }
            self.deadline.poll(cx).map(|()| Err(self.timeout()))
        })
        .await
    }

    /// Sends the request on one connection, within the request's time.
    async fn attempt(&mut self, upstream: &mut Upstream, request: Request<Outgoing>) -> Outcome {
        let spare = (upstream.reused && !self.resent).then(|| spare(&request)).flatten();
        let ended = {
            let mut exchange = pin!(upstream.exchange(request));
            poll_fn(|cx| {
                if let Poll::Ready(ended) = exchange.as_mut().poll(cx) {
                    return Poll::Ready(Ok(ended));
                }
                self.deadline.poll(cx).map(|()| Err(self.timeout()))
            })
            .await
        };
        let failed = match ended {
            Err(end) => return Outcome::Failed(end),
            Ok(Ok(response)) => return Outcome::Answered(response),
            Ok(Err(failed)) => failed,
        };
        match (failed.unsent, spare) {
            (Some(request), _) => Outcome::Again(request),
            (None, Some(spare)) if is_closed_early(&failed.error) => {
                self.resent = true;
                Outcome::Again(spare)
            }
            (None, _) => Outcome::Failed(self.explain(&failed.error)),
        }
    }

    /// What the client is told when an instance took the request and gave no response.
    fn explain(&self, error: &hyper::Error) -> End {
        if error.is_user() {
            // The request's own body broke off: refused by the gate, or the client is gone.
            return self.connection.gate.refusal().map_or(End::Gone, End::Answer);
        }
        if error.is_parse() || error.is_parse_too_large() {
            let message = format!("the response of the instance is not valid HTTP: {error}");
            return Answer::upstream_invalid(message).into();
        }
        Answer::upstream_closed("the instance closed the connection without a response").into()
    }

    /// Gives an instance no requests for a while.
    fn distrust(&self, instance: &Arc<Instance>) {
        if !self.target.revision.suspect(instance) {
            return;
        }
        let (revision, instance) = (Arc::clone(&self.target.revision), Arc::clone(instance));
        let shutdown = self.shared.tasks.shutdown().clone();
        self.shared.tasks.spawn("gateway-suspect", async move {
            tokio::select! {
                () = tokio::time::sleep(SUSPECT) => revision.probe(&instance),
                () = shutdown.wait() => {}
            }
        });
    }
}

/// A copy of a request that may be sent a second time.
fn spare(request: &Request<Outgoing>) -> Option<Request<Outgoing>> {
    if !is_idempotent(request.method()) || !request.body().is_end_stream() {
        return None;
    }
    let mut spare = Request::new(Outgoing::Empty);
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.headers_mut() = request.headers().clone();
    Some(spare)
}

/// Whether the connection ended before any byte of a response.
fn is_closed_early(error: &hyper::Error) -> bool {
    error.is_incomplete_message() || error.is_canceled() || error.is_closed() || is_io(error)
}

fn is_io(error: &hyper::Error) -> bool {
    std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}
