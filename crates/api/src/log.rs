//! Output of a Pod's container: the options of Kubernetes' `PodLogOptions`.

mod options;

use bytes::Bytes;
use ebb_engine::{Io, LogQuery, Open};
use ebb_kit::Shutdown;
use ebb_model::InstanceId;
use ebb_model::engine::{LogRecord, LogStream};
use futures_util::stream;
use http::Response;
use tokio::sync::mpsc::Receiver;

use crate::body::{self, Body};
use crate::context::{Context, Target};
use crate::status::Failure;
use crate::verbs;
use options::Options;

/// Bytes of lines that are sent together, when so many wait.
const CHUNK_BYTES: usize = 64 << 10;

/// Answers the output, and with `follow` goes on until the container ends.
pub(crate) async fn read(context: &Context, target: &Target) -> Result<Response<Body>, Failure> {
    let options = Options::of(&context.query, target, context.app.deps.clock.now())?;
    verbs::get::record(context, target).await?;
    let (id, container) = instance(context, target).await?;
    if let Some(asked) = options.container.as_ref().filter(|asked| **asked != container) {
        return Err(Failure::bad_request(
            "CONTAINER_NOT_FOUND",
            format!("container {asked} is not valid for pod {}: it has {container}", target.name()),
        ));
    }
    if options.previous {
        // A container is started once in its instance, so none was there before it.
        return Err(Failure::bad_request(
            "PREVIOUS_CONTAINER_NOT_FOUND",
            format!(
                "previous terminated container {container:?} in pod {:?} not found",
                target.name()
            ),
        ));
    }
    let Options { follow, tail, since, limit, timestamps, stream, .. } = options;
    let what = Open::Logs(LogQuery { follow, tail, since });
    let opened = context.app.deps.engine.open(&id, &container, what).await;
    let Io::Logs(records) = opened.map_err(ebb_model::Fault::from)?;
    let shutdown = context.app.shutdown.clone();
    let feed = Feed { records, timestamps, stream, left: limit, shutdown };
    let lines =
        stream::unfold(feed, |mut feed| async move { feed.next().await.map(|line| (line, feed)) });
    Ok(body::stream(lines, "text/plain"))
}

async fn instance(context: &Context, target: &Target) -> Result<(InstanceId, String), Failure> {
    let (namespace, name) = (target.namespace(), target.name());
    let found = context.app.deps.platform.instance_of_pod(namespace, name).await;
    found.ok_or_else(|| Failure::not_found(target.kind, name))
}

struct Feed {
    records: Receiver<LogRecord>,
    timestamps: bool,
    /// The one output that is wanted; none for both.
    stream: Option<LogStream>,
    /// Bytes that may still be sent.
    left: Option<u64>,
    shutdown: Shutdown,
}

impl Feed {
    /// The next lines; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let mut lines = Vec::new();
        while lines.is_empty() {
            if self.left == Some(0) {
                return None;
            }
            let record = tokio::select! {
                biased;
                () = self.shutdown.wait() => return None,
                record = self.records.recv() => record?,
            };
            self.line(&record, &mut lines);
        }
        while lines.len() < CHUNK_BYTES
            && self.left != Some(0)
            && let Ok(record) = self.records.try_recv()
        {
            self.line(&record, &mut lines);
        }
        Some(Bytes::from(lines))
    }

    fn line(&mut self, record: &LogRecord, lines: &mut Vec<u8>) {
        if self.stream.is_some_and(|wanted| wanted != record.stream) {
            return;
        }
        let start = lines.len();
        if self.timestamps {
            lines.extend_from_slice(record.at.to_rfc3339().as_bytes());
            lines.push(b' ');
        }
        lines.extend_from_slice(&record.line);
        lines.push(b'\n');
        if let Some(left) = &mut self.left {
            let end = start.saturating_add(usize::try_from(*left).unwrap_or(usize::MAX));
            lines.truncate(end);
            let sent = u64::try_from(lines.len() - start).unwrap_or(*left);
            *left = left.saturating_sub(sent);
        }
    }
}
