//! One request, from its head to the head of its response.

mod attempt;
mod upgrade;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ebb_model::Timestamp;
use ebb_model::routing::ColdRequest;
use http::header::{HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::body::Outgoing;
use crate::connection::Connection;
use crate::deadline::Deadline;
use crate::headers;
use crate::reply::{Reply, Source, Turn};
use crate::revision::{Entry, Permit};
use crate::route::Target;
use crate::shared::Shared;

/// The client went away: nobody reads an answer.
#[derive(Debug, thiserror::Error)]
#[error("the client went away")]
pub(crate) struct Gone;

/// Why there is no response of an instance.
enum End {
    Answer(Answer),
    Gone,
}

impl From<Answer> for End {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

/// A request on its way.
struct Exchange {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    target: Target,
    deadline: Deadline,
    arrived: Timestamp,
    request_id: HeaderValue,
    /// Set when no instance was ready: microseconds from arrival until one was asked for.
    cold: Option<u64>,
    /// It was sent a second time, after an instance may have seen the first.
    resent: bool,
}

/// Answers one request.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Gone> {
    let turn = Turn(Arc::clone(&connection.gate));
    let request_id = shared.ids.accept(request.headers().get(crate::names::X_REQUEST_ID));
    let ended = match Exchange::begin(shared, connection, &request, &request_id) {
        Ok((exchange, entry)) => exchange.run(request, entry).await,
        Err(answer) => Err(End::Answer(answer)),
    };
    match ended {
        Ok(response) => Ok(response.map(|reply| reply.with_turn(turn))),
        Err(End::Answer(answer)) => {
            tracing::debug!(code = answer.code, message = answer.message, "answered a request");
            Ok(answer.response(request_id).map(|reply| reply.with_turn(turn)))
        }
        Err(End::Gone) => Err(Gone),
    }
}

impl Exchange {
    fn begin(
        shared: Arc<Shared>,
        connection: Arc<Connection>,
        request: &Request<Incoming>,
        request_id: &HeaderValue,
    ) -> Result<(Self, Entry), Answer> {
        let arrived = shared.clock.now();
        // The gate lets no request without a readable Host through.
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let (target, entry) = shared.enter(host.unwrap_or_default(), arrived)?;
        let at = Instant::now() + Duration::from_millis(target.policy.timeout_ms);
        let deadline = Deadline::new(at, &connection.timer);
        let request_id = request_id.clone();
        let (cold, resent) = (None, false);
        let exchange =
            Self { shared, connection, target, deadline, arrived, request_id, cold, resent };
        Ok((exchange, entry))
    }

    async fn run(
        mut self,
        mut request: Request<Incoming>,
        entry: Entry,
    ) -> Result<Response<Reply>, End> {
        let upgrade = upgrade::Wish::take(&mut request, &self.connection.client, &self.request_id);
        let request = outgoing(request);
        let permit = self.place(entry).await?;
        let sent = self.send(permit, request).await?;
        self.report_cold(&sent);
        let (mut response, source) = (sent.response, sent.source);
        if response.status() == http::StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(upgrade, response, source);
        }
        headers::to_client(response.headers_mut(), self.request_id);
        *response.version_mut() = Version::HTTP_11;
        let deadline = self.deadline;
        Ok(response.map(|body| Reply::stream(body, source, deadline)))
    }

    /// Waits for a place at an instance.
    async fn place(&mut self, entry: Entry) -> Result<Permit, End> {
        let (mut waiter, cold) = match entry {
            Entry::Send(permit) => return Ok(permit),
            Entry::Refused(answer) => return Err(answer.into()),
            Entry::Wait { waiter, cold } => (waiter, cold),
        };
        if cold && self.cold.is_none() {
            self.cold = Some(micros(self.shared.clock.now().since(self.arrived)));
        }
        self.shared.activator.activate(&self.target.revision.key);
        poll_fn(|cx| {
            if let Poll::Ready(grant) = waiter.poll(cx) {
                return Poll::Ready(grant.map_err(End::Answer));
            }
            if self.deadline.poll(cx).is_ready() {
                return Poll::Ready(Err(self.timeout()));
            }
            self.connection.gate.poll_gone(cx).map(|()| Err(End::Gone))
        })
        .await
    }

    fn timeout(&self) -> End {
        Answer::timeout(self.target.policy.timeout_ms).into()
    }

    /// The first byte of a cold request's response has come.
    fn report_cold(&self, sent: &Sent) {
        let Some(queue_us) = self.cold else { return };
        let now = self.shared.clock.now();
        self.shared.activator.cold_request(ColdRequest {
            revision: self.target.revision.key.clone(),
            instance: sent.source.permit.instance().id.clone(),
            arrived: self.arrived,
            queue_us,
            held_us: micros(sent.at.since(self.arrived)),
            first_byte_us: micros(now.since(sent.at)),
        });
    }
}

/// A response has begun.
struct Sent {
    response: Response<Incoming>,
    source: Source,
    /// When the request was given to the instance.
    at: Timestamp,
}

/// Makes the client's request the one to the instance, but for its header fields.
fn outgoing(request: Request<Incoming>) -> Request<Outgoing> {
    let (mut parts, body) = request.into_parts();
    parts.version = Version::HTTP_11;
    if parts.uri.authority().is_some() {
        // Absolute form is for proxies; its authority is the same as in Host.
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = parts.uri.path_and_query().cloned();
        parts.uri = Uri::from_parts(uri).unwrap_or_else(|_| Uri::from_static("/"));
    }
    if !body.is_end_stream() && body.size_hint().exact().is_none() {
        parts.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    Request::from_parts(parts, Outgoing::Client(body))
}

/// Whether doing it twice is doing it once (RFC 9110, 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
