//! Output of a Pod's container.

use bytes::Bytes;
use ebb_engine::{Io, LogQuery, Open};
use ebb_kit::Shutdown;
use ebb_model::engine::LogRecord;
use ebb_model::{InstanceId, Timestamp};
use futures_util::stream;
use http::Response;
use tokio::sync::mpsc::Receiver;

use crate::body::{self, Body};
use crate::context::{Context, Query, Target};
use crate::status::Failure;
use crate::verbs;

/// Answers the output, and with `follow` goes on until the container ends.
pub(crate) async fn read(context: &Context, target: &Target) -> Result<Response<Body>, Failure> {
    let query = &context.query;
    if query.flag("previous")? {
        return Err(Failure::bad_request(
            "UNSUPPORTED_FIELD",
            "previous is not served: a container is never started again in its instance; read \
             the log of its own Pod",
        ));
    }
    if let Some(stream) = query.get("stream").filter(|stream| *stream != "All") {
        return Err(Failure::bad_request(
            "UNSUPPORTED_FIELD",
            format!("stream={stream} is not served: both outputs are read together"),
        ));
    }
    verbs::get::record(context, target).await?;
    let (id, container) = instance(context, target).await?;
    if let Some(asked) = query.get("container").filter(|asked| **asked != container) {
        return Err(Failure::bad_request(
            "CONTAINER_NOT_FOUND",
            format!("container {asked} is not valid for pod {}: it has {container}", target.name()),
        ));
    }
    let what = Open::Logs(LogQuery {
        follow: query.flag("follow")?,
        tail: query.number("tailLines")?,
        since: since(query, context.app.deps.clock.now())?,
    });
    let left = query.number("limitBytes")?;
    let timestamps = query.flag("timestamps")?;
    let opened = context.app.deps.engine.open(&id, &container, what).await;
    let Io::Logs(records) = opened.map_err(ebb_model::Fault::from)?;
    let shutdown = context.app.shutdown.clone();
    let feed = Feed { records, timestamps, left, shutdown };
    let lines =
        stream::unfold(feed, |mut feed| async move { feed.next().await.map(|line| (line, feed)) });
    Ok(body::stream(lines, "text/plain"))
}

async fn instance(context: &Context, target: &Target) -> Result<(InstanceId, String), Failure> {
    let (namespace, name) = (target.namespace(), target.name());
    let found = context.app.deps.platform.instance_of_pod(namespace, name).await;
    found.ok_or_else(|| Failure::not_found(target.kind, name))
}

fn since(query: &Query, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
    match (query.number("sinceSeconds")?, query.get("sinceTime")) {
        (Some(_), Some(_)) => Err(Failure::bad_request(
            "INVALID_PARAMETER",
            "at most one of sinceTime and sinceSeconds may be given",
        )),
        (Some(seconds), None) => {
            let before = seconds.saturating_mul(1_000_000);
            Ok(Some(Timestamp::from_micros(now.as_micros().saturating_sub(before))))
        }
        (None, Some(text)) => {
            let micros = text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond);
            let micros = micros.and_then(|micros| u64::try_from(micros).ok());
            let micros = micros.ok_or_else(|| {
                Failure::bad_request(
                    "INVALID_PARAMETER",
                    format!("sinceTime={text:?} is not an RFC 3339 time"),
                )
            })?;
            Ok(Some(Timestamp::from_micros(micros)))
        }
        (None, None) => Ok(None),
    }
}

struct Feed {
    records: Receiver<LogRecord>,
    timestamps: bool,
    /// Bytes that may still be sent.
    left: Option<u64>,
    shutdown: Shutdown,
}

impl Feed {
    async fn next(&mut self) -> Option<Bytes> {
        if self.left == Some(0) {
            return None;
        }
        let record = tokio::select! {
            biased;
            record = self.records.recv() => record?,
            () = self.shutdown.wait() => return None,
        };
        let mut line = Vec::with_capacity(record.line.len() + 32);
        if self.timestamps {
            line.extend_from_slice(record.at.to_rfc3339().as_bytes());
            line.push(b' ');
        }
        line.extend_from_slice(&record.line);
        line.push(b'\n');
        if let Some(left) = &mut self.left {
            line.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= u64::try_from(line.len()).unwrap_or(*left).min(*left);
        }
        Some(Bytes::from(line))
    }
}
