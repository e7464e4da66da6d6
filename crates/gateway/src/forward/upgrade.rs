//! Changing protocols: WebSocket and whatever else `Upgrade` names, but for HTTP/2.
//!
//! No byte of the new protocol passes before the instance has agreed with 101: until then the
//! gate keeps what the client sends early, and if the instance does not agree, those bytes are
//! read as the next request.

use std::sync::Arc;

use http::header::UPGRADE;
use http::{HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::{End, Exchange};
use crate::answer::Answer;
use crate::headers::{self, Client};
use crate::reply::{Reply, Source};

/// The client's side of a change of protocol.
pub(super) struct Wish(OnUpgrade);

impl Wish {
    /// Rewrites the header fields of a request, and takes its wish to change protocols. A
    /// request with a body cannot change them; it is answered without.
    pub(super) fn take(
        request: &mut Request<Incoming>,
        client: &Client,
        request_id: &HeaderValue,
    ) -> Option<Self> {
        let host = request.headers().get(http::header::HOST).cloned();
        let host = host.unwrap_or(HeaderValue::from_static(""));
        let able = request.version() == Version::HTTP_11
            && request.method() == Method::GET
            && request.body().is_end_stream();
        let asked = headers::to_instance(request.headers_mut(), &host, client, request_id);
        let protocol = asked.upgrade.filter(|_| able)?;
        headers::put_upgrade(request.headers_mut(), protocol);
        Some(Self(hyper::upgrade::on(request)))
    }
}

impl Exchange {
    /// The instance agreed: joins both connections until either ends or the request's time is
    /// over. The place at the instance is held as long.
    pub(super) fn switch(
        self,
        wish: Option<Wish>,
        mut response: Response<Incoming>,
        source: Source,
    ) -> Result<Response<Reply>, End> {
        let protocol = response.headers().get(UPGRADE).cloned();
        let (Some(Wish(client)), Some(protocol)) = (wish, protocol) else {
            let message = "the instance changed protocols without being asked to";
            return Err(Answer::upstream_invalid(message).into());
        };
        let instance = hyper::upgrade::on(&mut response);
        headers::to_client(response.headers_mut(), self.request_id.clone());
        headers::put_upgrade(response.headers_mut(), protocol);
        self.connection.gate.tunnel();
        let shared = Arc::clone(&self.shared);
        shared.tasks.spawn("gateway-tunnel", self.tunnel(client, instance, source));
        Ok(response.map(|_| Reply::empty()))
    }

    async fn tunnel(mut self, client: OnUpgrade, instance: OnUpgrade, mut source: Source) {
        let stopping = self.shared.tasks.shutdown().clone();
        let joined = async {
            let mut instance = std::pin::pin!(instance);
            let instance = std::future::poll_fn(|cx| {
                // The connection hands its socket over when it is polled; its end is not ours.
                let _ = source.upstream.drive(cx);
                instance.as_mut().poll(cx)
            });
            let (instance, client) = futures_util::future::try_join(instance, client).await?;
            let (mut instance, mut client) = (TokioIo::new(instance), TokioIo::new(client));
            let copied = tokio::io::copy_bidirectional(&mut client, &mut instance).await;
            Ok::<_, hyper::Error>(copied)
        };
        tokio::select! {
            ended = joined => tracing::debug!(?ended, "a tunnel ended"),
            () = std::future::poll_fn(|cx| self.deadline.poll(cx)) => {
                tracing::debug!("a tunnel ended: the request's time is over");
            }
            () = stopping.wait() => {}
        }
        drop(source);
    }
}
