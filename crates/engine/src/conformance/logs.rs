//! Output.

use std::time::Duration;

use ebb_model::InstanceId;
use ebb_model::engine::{LogRecord, LogStream};

use super::{PATIENCE, Program, Suite};
use crate::{Io, LogQuery, Open};

impl Suite<'_> {
    pub(super) async fn output_is_kept_in_order(&mut self) {
        let mut lines: Vec<(LogStream, String)> =
            (0..20).map(|n| (LogStream::Stdout, format!("out {n}"))).collect();
        lines.extend((0..5).map(|n| (LogStream::Stderr, format!("error {n}"))));
        let (id, mut watcher) = self.ready(&Program::Prints(lines.clone())).await;
        // Followed: all there is, then what comes, to the end.
        let mut followed = self.logs(&id, LogQuery { follow: true, ..LogQuery::default() }).await;
        let mut all = Vec::new();
        while all.len() < lines.len() {
            all.push(next(&mut followed).await.expect("every line comes"));
        }
        self.stop(&id, Duration::from_secs(5)).await;
        assert_eq!(next(&mut followed).await, None, "the end is the end of the stream");
        watcher.exited(&id).await;
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            let got: Vec<_> = all.iter().filter(|r| r.stream == stream).map(text).collect();
            let want: Vec<_> =
                lines.iter().filter(|l| l.0 == stream).map(|l| l.1.clone()).collect();
            assert_eq!(got, want, "{stream:?} is in the order in which it was written");
        }
        let numbered = all.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1);
        assert!(numbered, "records have consecutive numbers");
        assert!(all.windows(2).all(|pair| pair[0].at <= pair[1].at), "and rising times");
        self.parts_of_output(&lines).await;
    }

    /// Tail and since, of an instance that ended by itself: its output is kept with its record.
    async fn parts_of_output(&mut self, lines: &[(LogStream, String)]) {
        let (id, mut watcher) = self.ready(&Program::Prints(lines.to_vec())).await;
        let mut followed = self.logs(&id, LogQuery { follow: true, ..LogQuery::default() }).await;
        for _ in lines {
            next(&mut followed).await.expect("every line comes");
        }
        let all = self.read(&id, LogQuery::default()).await;
        assert_eq!(all.len(), lines.len());
        for tail in [0, 1, 7, 1_000] {
            let want = &all[all.len().saturating_sub(tail)..];
            let tail = Some(tail as u64);
            assert_eq!(self.read(&id, LogQuery { tail, ..LogQuery::default() }).await, want);
        }
        let since = all[all.len() / 2].at;
        let want: Vec<_> = all.iter().filter(|record| record.at >= since).cloned().collect();
        let query = LogQuery { since: Some(since), ..LogQuery::default() };
        assert_eq!(self.read(&id, query).await, want);
        self.stop(&id, Duration::from_secs(5)).await;
        watcher.exited(&id).await;
    }

    async fn logs(
        &self,
        id: &InstanceId,
        query: LogQuery,
    ) -> tokio::sync::mpsc::Receiver<LogRecord> {
        let name = self.spec(&Program::Serves(80)).containers[0].name.clone();
        let open = self.engine.open(id, &name, Open::Logs(query)).await;
        let Io::Logs(records) = open.expect("logs can be opened");
        records
    }

    /// Everything up to the end of the stream.
    async fn read(&self, id: &InstanceId, query: LogQuery) -> Vec<LogRecord> {
        let mut records = self.logs(id, query).await;
        let mut all = Vec::new();
        while let Some(record) = next(&mut records).await {
            all.push(record);
        }
        all
    }
}

async fn next(records: &mut tokio::sync::mpsc::Receiver<LogRecord>) -> Option<LogRecord> {
    tokio::time::timeout(PATIENCE, records.recv()).await.expect("the stream goes on in time")
}

fn text(record: &LogRecord) -> String {
    String::from_utf8_lossy(&record.line).into_owned()
}
