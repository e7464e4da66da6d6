//! The gate before the HTTP parser: lets one well-formed, unambiguous request through at a time.
//!
//! hyper follows RFC 9112 where two framings contradict each other (it prefers one); here such a
//! request is refused, because the instance behind might prefer the other. So the gate reads
//! heads and chunked bodies strictly, in place in hyper's own buffer, and hands on only what it
//! has understood. On a violation hyper sees the end of the stream after the last good request;
//! once that is answered, [`Gate::finish`] writes the refusal and closes.
//!
//! It also keeps the two clocks that hyper cannot: the time for a head, and the idle time between
//! requests; and it sees a client go away while its request is held and its body unread.

mod chunks;
mod head;
mod io;

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::answer::Answer;
use chunks::Chunks;
use head::{Framing, Search};

pub(crate) use io::GateIo;

/// Bytes that are read ahead of hyper to see a client go away.
const AHEAD_MAX: usize = 16 * 1024;
/// Bytes read at once into the gate's own buffer.
const STEP: usize = 4 * 1024;
/// What is read and dropped after a refusal, so that the client reads it before a reset.
const LINGER_BYTES: usize = 256 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// Times that a connection is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) header: Duration,
    pub(crate) keep_alive: Duration,
}

/// What stands between one client's socket and hyper.
pub(crate) struct Gate {
    core: Mutex<Core>,
}

struct Core {
    stream: TcpStream,
    times: Times,
    /// Read from the socket and not handed on; the first `passed` bytes are checked.
    buffer: BytesMut,
    passed: usize,
    at: At,
    /// A request was let through and its response has not ended.
    busy: bool,
    /// A request was let through at some time.
    used: bool,
    /// No more requests: the client has closed, was refused, or was too slow.
    ended: bool,
    /// What the client is told before the connection is closed.
    refusal: Option<Refusal>,
    /// Who waits for the response to end, because a further request is here already.
    waiting: Option<Waker>,
    timer: Option<Pin<Box<Sleep>>>,
    deadline: Option<(Instant, Wait)>,
}

/// Why no more is read from a client.
struct Refusal {
    answer: Answer,
    /// It is about the body of a request that was let through: its response tells the client.
    in_body: bool,
}

/// Where in the stream of requests the next unchecked byte is.
#[derive(Clone, Copy, Debug)]
enum At {
    Head(Search),
    Length(u64),
    Chunks(Chunks),
    /// After an upgrade: no more requests, every byte passes.
    Tunnel,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    Idle,
    Head,
}

impl Gate {
    pub(crate) fn new(stream: TcpStream, times: Times) -> Arc<Self> {
        Arc::new(Self {
            core: Mutex::new(Core {
                stream,
                times,
                buffer: BytesMut::new(),
                passed: 0,
                at: At::Head(Search::default()),
                busy: false,
                used: false,
                ended: false,
                refusal: None,
                waiting: None,
                timer: None,
                deadline: None,
            }),
        })
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The response of the request that was let through has ended: the next may come.
    pub(crate) fn end_turn(&self) {
        let mut core = self.core();
        core.busy = false;
        if let Some(waker) = core.waiting.take() {
            waker.wake();
        }
    }

    /// From now on every byte passes.
    pub(crate) fn tunnel(&self) {
        self.core().at = At::Tunnel;
    }

    /// Why the body of the current request was refused, if it was.
    pub(crate) fn refusal(&self) -> Option<Answer> {
        self.core().refusal.as_ref().map(|refusal| refusal.answer.clone())
    }

    /// Ready when the client has gone away. For the time in which hyper does not read because
    /// nobody wants the request's body yet.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut core = self.core();
        while !core.ended && core.buffer.len() < AHEAD_MAX {
            match core.poll_fill(cx) {
                Poll::Ready(Ok(0) | Err(_)) => core.ended = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        if core.ended { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Watches the times of the connection; to be polled whenever the connection was. Ready once,
    /// when one is over: the gate has closed then, and hyper must be polled to see it.
    pub(crate) fn poll_deadline(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.core().poll_deadline(cx)
    }

    /// Tells the client why it was refused, if it was, and closes.
    pub(crate) async fn finish(self: Arc<Self>, request_id: &str) {
        let Some(gate) = Arc::into_inner(self) else { return };
        let core = gate.core.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some(refusal) = core.refusal else { return };
        let mut stream = core.stream;
        let Answer { code, message, .. } = &refusal.answer;
        tracing::debug!(code, message, "refused a connection");
        let farewell = async {
            if !refusal.in_body {
                stream.write_all(&refusal.answer.raw(request_id)).await?;
            }
            stream.shutdown().await?;
            let mut drop = [0; 4096];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match stream.read(&mut drop).await? {
                    0 => break,
                    n => left = left.saturating_sub(n),
                }
            }
            Ok::<(), std::io::Error>(())
        };
        // Whether the client still listens is not known, and nothing depends on it.
        let _ = tokio::time::timeout(LINGER, farewell).await;
    }
}

impl Core {
    /// Reads into the gate's own buffer.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let start = self.buffer.len();
        self.buffer.resize(start + STEP, 0);
        let mut space = ReadBuf::new(&mut self.buffer[start..]);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut space);
        let read = space.filled().len();
        self.buffer.truncate(start + read);
        polled.map_ok(|()| read)
    }

    /// Checks `data`, which comes next in the stream, and answers how many bytes of it may pass.
    fn check(&mut self, data: &[u8]) -> usize {
        let mut passed = 0;
        while passed < data.len() && !self.ended {
            let rest = &data[passed..];
            match self.check_part(rest) {
                Ok(0) => break,
                Ok(n) => passed += n,
                Err(refusal) => self.refuse(refusal),
            }
        }
        passed
    }

    fn check_part(&mut self, data: &[u8]) -> Result<usize, Answer> {
        match &mut self.at {
            At::Tunnel => Ok(data.len()),
            At::Length(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                *left -= u64::try_from(n).unwrap_or_default();
                if *left == 0 {
                    self.at = At::Head(Search::default());
                }
                Ok(n)
            }
            At::Chunks(chunks) => {
                let n = chunks.read(data)?;
                if *chunks == Chunks::Done {
                    self.at = At::Head(Search::default());
                }
                Ok(n)
            }
            At::Head(_) if self.busy => Ok(0),
            At::Head(search) => {
                let Some(head) = search.read(data)? else { return Ok(0) };
                self.busy = true;
                self.used = true;
                self.deadline = None;
                self.at = match head.framing {
                    Framing::Empty => At::Head(Search::default()),
                    Framing::Length(n) => At::Length(n),
                    Framing::Chunked => At::Chunks(Chunks::START),
                };
                Ok(head.length)
            }
        }
    }

    fn refuse(&mut self, answer: Answer) {
        let in_body = !matches!(self.at, At::Head(_));
        self.refusal.get_or_insert(Refusal { answer, in_body });
        self.ended = true;
    }

    /// Reads checked bytes into hyper's buffer; nothing means the end of the stream.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        loop {
            if self.passed == 0 && !self.buffer.is_empty() {
                let buffer = std::mem::take(&mut self.buffer);
                self.passed = self.check(&buffer);
                self.buffer = buffer;
            }
            if self.passed > 0 {
                let n = self.passed.min(out.remaining());
                out.put_slice(&self.buffer[..n]);
                self.buffer.advance(n);
                self.passed -= n;
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return self.poll_end(cx);
            }
            if !self.buffer.is_empty() && self.between_requests() {
                self.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let read = if self.buffer.is_empty() {
                self.poll_in_place(cx, out)
            } else {
                self.poll_fill(cx)
            };
            match read {
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(_)) if !out.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether a whole request was let through and the next must wait for its response.
    const fn between_requests(&self) -> bool {
        self.busy && matches!(self.at, At::Head(_))
    }

    /// Reads straight into hyper's buffer, checks there, and takes back what may not pass yet.
    fn poll_in_place(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<usize>> {
        let start = out.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, out) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
        let read = out.filled().len() - start;
        if read > 0 {
            let passed = self.check(&out.filled()[start..]);
            self.buffer.extend_from_slice(&out.filled()[start + passed..]);
            out.set_filled(start + passed);
        }
        Poll::Ready(Ok(read))
    }

    /// The end of the stream, once the responses before a refusal are out. In the middle of a
    /// body a refusal is an error, so that nobody takes the body for complete.
    fn poll_end(&mut self, cx: &Context<'_>) -> Poll<std::io::Result<()>> {
        match (&self.refusal, self.busy, &self.at) {
            (Some(_), true, At::Head(_)) => {
                self.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
            (Some(refusal), true, _) => {
                let message = refusal.answer.message.clone();
                Poll::Ready(Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message)))
            }
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Watches the time for a head, or between requests. Ready once, when it is over.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.busy || self.ended || !matches!(self.at, At::Head(_)) {
            return Poll::Pending;
        }
        let wait = if self.buffer.is_empty() && self.used { Wait::Idle } else { Wait::Head };
        let deadline = match self.deadline {
            Some((deadline, same)) if same == wait => deadline,
            _ => {
                let time =
                    if wait == Wait::Idle { self.times.keep_alive } else { self.times.header };
                let deadline = Instant::now() + time;
                self.deadline = Some((deadline, wait));
                deadline
            }
        };
        // The timer of an earlier request is left to fire early and set anew then: setting it
        // for every request costs more than a needless wake-up every few seconds.
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                if !self.buffer.is_empty() {
                    let limit = u64::try_from(self.times.header.as_millis()).unwrap_or(u64::MAX);
                    self.refuse(Answer::header_timeout(limit));
                }
                self.ended = true;
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
