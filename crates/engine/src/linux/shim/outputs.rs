//! Reading what an instance prints.
//!
//! An instance pays for its output with its log budget. Once that is spent, its pipes are left
//! alone until the next piece can be kept, but never longer than [`HOLD_MAX`]: the program then
//! waits in its write, so what it prints costs this process, which is outside of the instance's
//! limits, no more than its rate.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ebb_model::Timestamp;
use ebb_model::engine::LogStream;

use crate::linux::logs::LogLimits;
use crate::linux::logs::write::Writer;

/// Bytes read from an output at once: the size of a pipe.
const CHUNK: usize = 64 * 1024;
/// Longest time that the pipes are left alone (security profile: a program waits for at most about
/// 100 ms for its log).
const HOLD_MAX: Duration = Duration::from_millis(100);
/// Shortest: less would be one wake-up per line.
const HOLD_MIN: Duration = Duration::from_millis(1);
/// Tokens that make the next piece likely to be kept: as much as is read at once, and as much again
/// for what each line costs besides its bytes.
const PIECE: u64 = 2 * CHUNK as u64;
/// Bytes that a read costs besides what it brings, so that many small writes cost what they are:
/// at most 4,096 reads per second at the default rate.
const READ_COST: u64 = 256;

/// Standard output and standard error of an instance, and where they go.
#[derive(Debug)]
pub(super) struct Outputs {
    pipes: [Option<OwnedFd>; 2],
    logs: Option<Writer>,
    limits: LogLimits,
    /// Used again for every read; empty until the first.
    buffer: Vec<u8>,
    held_until_us: Option<u64>,
}

impl Outputs {
    /// Reads nothing yet.
    pub(super) const fn new(limits: LogLimits) -> Self {
        Self { pipes: [None, None], logs: None, limits, buffer: Vec::new(), held_until_us: None }
    }

    /// Begins with these pipes, which must not wait. Without `logs` what is read is thrown away.
    pub(super) fn begin(&mut self, pipes: [OwnedFd; 2], logs: Option<Writer>) {
        self.pipes = pipes.map(Some);
        self.logs = logs;
    }

    /// The pipes to wait for at `now_us`.
    pub(super) fn interests(&self, now_us: u64) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        let held = self.held_until_us.is_some_and(|until| now_us < until);
        let pipes = self.pipes.iter().enumerate().filter(move |_| !held);
        pipes.filter_map(|(number, pipe)| Some((number, pipe.as_ref()?.as_fd())))
    }

    /// When the pipes are to be waited for again, if they are not at `now_us`.
    pub(super) fn due_us(&self, now_us: u64) -> Option<u64> {
        self.held_until_us.filter(|until| now_us < *until)
    }

    /// Reads once from pipe `number`.
    pub(super) fn read(&mut self, number: usize, now: Timestamp, now_us: u64) {
        // Both may have been ready when the first one spent the budget.
        if self.due_us(now_us).is_some() {
            return;
        }
        match self.take(number, now) {
            Ok(0) => self.close(number, now),
            Ok(length) => {
                let hold = self.hold(length, now);
                let hold_us = u64::try_from(hold.as_micros()).unwrap_or(0);
                self.held_until_us = (hold_us > 0).then_some(now_us + hold_us);
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(_) => self.close(number, now),
        }
    }

    /// Reads what is left, once nobody writes any more: at most what fits into the pipes.
    pub(super) fn drain(&mut self, now: Timestamp) {
        for number in 0..self.pipes.len() {
            while let Ok(1..) = self.take(number, now) {}
            self.close(number, now);
        }
    }

    fn take(&mut self, number: usize, now: Timestamp) -> rustix::io::Result<usize> {
        let Some(pipe) = &self.pipes[number] else { return Ok(0) };
        if self.buffer.is_empty() {
            self.buffer.resize(CHUNK, 0);
        }
        let length = rustix::io::read(pipe, &mut *self.buffer)?;
        if let Some(logs) = &mut self.logs {
            logs.take(stream(number), &self.buffer[..length], now);
        }
        Ok(length)
    }

    fn close(&mut self, number: usize, now: Timestamp) {
        if self.pipes[number].take().is_some()
            && let Some(logs) = &mut self.logs
        {
            logs.end(stream(number), now);
        }
    }

    /// How long to leave the pipes alone after a read of `length` bytes.
    fn hold(&mut self, length: usize, now: Timestamp) -> Duration {
        let missing = match &mut self.logs {
            Some(logs) => {
                let left = logs.pay(READ_COST, now);
                PIECE.min(self.limits.burst_bytes).saturating_sub(left)
            }
            // Nothing is kept, so nothing is owed; but reading costs the same.
            None => u64::try_from(length).unwrap_or(u64::MAX).saturating_add(READ_COST),
        };
        if missing == 0 {
            return Duration::ZERO;
        }
        let wait_us = missing.saturating_mul(1_000_000) / self.limits.rate_bytes.max(1);
        Duration::from_micros(wait_us).clamp(HOLD_MIN, HOLD_MAX)
    }
}

const fn stream(number: usize) -> LogStream {
    if number == 0 { LogStream::Stdout } else { LogStream::Stderr }
}

#[cfg(test)]
mod tests {
    use rustix::pipe::{PipeFlags, pipe_with};

    use super::*;

    const LIMITS: LogLimits =
        LogLimits { kept_bytes: 1 << 30, rate_bytes: 1 << 20, burst_bytes: 256 << 10 };

    fn at(us: u64) -> Timestamp {
        Timestamp::from_micros(us)
    }

    fn outputs(logs: Option<Writer>) -> (Outputs, OwnedFd) {
        let flags = PipeFlags::CLOEXEC | PipeFlags::NONBLOCK;
        let ((out, out_end), (err, _)) = (pipe_with(flags).unwrap(), pipe_with(flags).unwrap());
        let mut outputs = Outputs::new(LIMITS);
        outputs.begin([out, err], logs);
        (outputs, out_end)
    }

    fn watched(outputs: &Outputs, now_us: u64) -> usize {
        outputs.interests(now_us).count()
    }

    #[test]
    fn a_flood_is_read_at_its_rate_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::make(dir.path().join("x"), LIMITS, at(0)).unwrap();
        let (mut outputs, end) = outputs(Some(writer));
        let line = [[b'x'; 1023].as_slice(), b"\n"].concat();
        let (mut now_us, mut written, mut wakes) = (0, 0_u64, 0_u64);
        // Four seconds of a program that writes as fast as it can.
        while now_us < 4_000_000 {
            while let Ok(length) = rustix::io::write(&end, &line) {
                written += length as u64;
            }
            assert_eq!(watched(&outputs, now_us), 2);
            outputs.read(0, at(now_us), now_us);
            wakes += 1;
            if let Some(due_us) = outputs.due_us(now_us) {
                assert!(due_us - now_us <= 100_000, "{}", due_us - now_us);
                assert_eq!(watched(&outputs, now_us), 0);
                // A pipe that was ready at the same time waits, too.
                outputs.read(1, at(now_us), now_us);
                now_us = due_us;
            }
        }
        assert!(wakes < 100, "{wakes}");
        let most = LIMITS.burst_bytes + 4 * LIMITS.rate_bytes + 2 * CHUNK as u64;
        assert!(written < most && written > most - (1 << 20), "{written}");
        drop(end);
        outputs.drain(at(now_us));
        let bytes: u64 = std::fs::read_dir(dir.path().join("x"))
            .unwrap()
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum();
        // A record is its line and 21 bytes.
        assert_eq!(bytes, written / 1024 * (1023 + 21));
    }

    #[test]
    fn many_small_writes_are_gathered() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::make(dir.path().join("x"), LIMITS, at(0)).unwrap();
        let (mut outputs, end) = outputs(Some(writer));
        // One byte per microsecond, and never a newline.
        let (mut now_us, mut wakes) = (0, 0_u32);
        while now_us < 2_000_000 {
            rustix::io::write(&end, b"x").unwrap();
            now_us += 1;
            if watched(&outputs, now_us) > 0 {
                outputs.read(0, at(now_us), now_us);
                wakes += 1;
            }
        }
        assert!(wakes < 12_000, "{wakes}");
    }

    #[test]
    fn what_is_thrown_away_is_read_slowly_too() {
        let (mut outputs, end) = outputs(None);
        rustix::io::write(&end, &[b'x'; 4096]).unwrap();
        outputs.read(0, at(0), 0);
        assert_eq!(outputs.due_us(0), Some((4096 + READ_COST) * 1_000_000 / LIMITS.rate_bytes));
        drop(end);
        // The fork of another test may hold a copy for a moment.
        for _ in 0..1000 {
            outputs.read(0, at(10_000), 10_000);
            if watched(&outputs, 10_000) == 1 {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(watched(&outputs, 10_000), 1, "only standard error is open");
    }
}
