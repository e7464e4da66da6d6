//! The reading end, in the daemon.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use ebb_kit::Shutdown;
use ebb_model::engine::LogRecord;
use rustix::fs::inotify;
use tokio::io::AsyncReadExt;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

use super::{decode, segment_name, segment_number};
use crate::LogQuery;
use crate::sys::fd;

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Reads the output of one instance.
pub(crate) struct Reader {
    /// Directory of its segments.
    pub(crate) dir: PathBuf,
    /// What is wanted.
    pub(crate) query: LogQuery,
    /// Becomes true when nothing more will be written.
    pub(crate) ended: watch::Receiver<bool>,
    /// Where records go.
    pub(crate) send: mpsc::Sender<LogRecord>,
}

/// A place in the segments.
struct Cursor {
    dir: PathBuf,
    number: u64,
    file: Option<tokio::fs::File>,
    buffer: Vec<u8>,
    taken: usize,
}

impl Reader {
    /// Runs until everything wanted was sent, nobody wants it any more, or `shutdown`.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.wait() => {}
            result = self.read() => if let Err(error) = result {
                tracing::warn!(dir = %self.dir.display(), %error, "cannot read an output");
            }
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        // Before the first read, so that nothing falls between the two.
        let mut changes = if self.query.follow { Some(Changes::watch(&self.dir)?) } else { None };
        let mut cursor = Cursor::new(self.dir.clone());
        if let Some(tail) = self.query.tail {
            let tail = usize::try_from(tail).unwrap_or(usize::MAX);
            let mut last = VecDeque::new();
            while let Some(record) = cursor.next().await? {
                last.push_back(record);
                if last.len() > tail {
                    last.pop_front();
                }
            }
            for record in last {
                if !self.pass(record).await {
                    return Ok(());
                }
            }
        }
        loop {
            // Before reading, so that what is read afterwards is all there is.
            let ended = *self.ended.borrow_and_update();
            while let Some(record) = cursor.next().await? {
                if !self.pass(record).await {
                    return Ok(());
                }
            }
            let Some(changes) = changes.as_mut().filter(|_| !ended) else { return Ok(()) };
            tokio::select! {
                news = changes.next() => news?,
                result = self.ended.changed() => if result.is_err() { return Ok(()) },
                () = self.send.closed() => return Ok(()),
            }
        }
    }

    async fn pass(&self, record: LogRecord) -> bool {
        let wanted = self.query.since.is_none_or(|since| record.at >= since);
        !wanted || self.send.send(record).await.is_ok()
    }
}

impl Cursor {
    fn new(dir: PathBuf) -> Self {
        Self { dir, number: 0, file: None, buffer: Vec::new(), taken: 0 }
    }

    /// The next record; `None` when there is none yet.
    async fn next(&mut self) -> io::Result<Option<LogRecord>> {
        loop {
            match decode(&self.buffer[self.taken..]) {
                Ok(Some((record, length))) => {
                    self.taken += length;
                    return Ok(Some(record));
                }
                Ok(None) => {}
                // Not ours: go on with the next segment.
                Err(_) => (self.file, self.buffer, self.taken) = (None, Vec::new(), 0),
            }
            self.buffer.drain(..self.taken);
            self.taken = 0;
            if self.fill().await? == 0 && !self.advance().await? {
                return Ok(None);
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        let Some(file) = &mut self.file else { return Ok(0) };
        self.buffer.reserve(CHUNK);
        file.read_buf(&mut self.buffer).await
    }

    /// Opens the next segment, when there is one.
    async fn advance(&mut self) -> io::Result<bool> {
        let mut entries = match tokio::fs::read_dir(&self.dir).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let mut next: Option<u64> = None;
        while let Some(entry) = entries.next_entry().await? {
            let number = entry.file_name().to_str().and_then(segment_number);
            if let Some(number) = number.filter(|number| *number > self.number) {
                next = Some(next.map_or(number, |least| least.min(number)));
            }
        }
        let Some(next) = next else { return Ok(false) };
        // The writer made the next segment after its last record in this one: read that first.
        if self.fill().await? > 0 {
            return Ok(true);
        }
        match tokio::fs::File::open(self.dir.join(segment_name(next))).await {
            Ok(file) => self.file = Some(file),
            // It was just deleted as the oldest; there is a newer one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.file = None,
            Err(error) => return Err(error),
        }
        // Half a record at the end of a segment was never finished.
        (self.number, self.buffer, self.taken) = (next, Vec::new(), 0);
        Ok(true)
    }
}

/// Tells when something in a directory changed.
struct Changes(Option<AsyncFd<OwnedFd>>);

impl Changes {
    /// Watches `dir`; one that does not exist never changes.
    fn watch(dir: &PathBuf) -> io::Result<Self> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let watcher = inotify::init(flags)?;
        let what = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE;
        match inotify::add_watch(&watcher, dir, what) {
            Err(rustix::io::Errno::NOENT) => return Ok(Self(None)),
            other => other?,
        };
        Ok(Self(Some(fd::awaited(watcher)?)))
    }

    async fn next(&mut self) -> io::Result<()> {
        let Some(watcher) = &mut self.0 else { return std::future::pending().await };
        let mut ready = watcher.readable().await?;
        let mut events = [0u8; 4096];
        while rustix::io::read(ready.get_inner(), &mut events).is_ok_and(|length| length > 0) {}
        ready.clear_ready();
        Ok(())
    }
}
