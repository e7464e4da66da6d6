//! The writing end, in the shim.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ebb_model::Timestamp;
use ebb_model::engine::{LogRecord, LogStream};

use super::{LINE_MAX, LogLimits, encode, segment_name};

/// Segments per instance; the cap is shared by so many.
const SEGMENTS: u64 = 10;

/// Writes the output of one instance.
#[derive(Debug)]
pub(crate) struct Writer {
    dir: PathBuf,
    limits: LogLimits,
    segment: Segment,
    seq: u64,
    /// What came after the last newline, by stream.
    partial: [Vec<u8>; 2],
    budget: Budget,
    dropped: u64,
    lost: bool,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    file: File,
    bytes: u64,
}

/// A token bucket in bytes.
#[derive(Debug)]
struct Budget {
    bytes: u64,
    at: Timestamp,
}

impl Writer {
    /// Makes the directory and the first segment.
    pub(crate) fn make(dir: PathBuf, limits: LogLimits, now: Timestamp) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(0o700).recursive(true).create(&dir)?;
            }
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let segment = Segment::make(&dir, 1)?;
        let budget = Budget { bytes: limits.burst_bytes, at: now };
        let partial = [Vec::new(), Vec::new()];
        Ok(Self { dir, limits, segment, seq: 0, partial, budget, dropped: 0, lost: false })
    }

    /// Takes what was read from `stream` at `now`.
    pub(crate) fn take(&mut self, stream: LogStream, bytes: &[u8], now: Timestamp) {
        let mut records = Vec::with_capacity(bytes.len() + 64);
        let mut partial = std::mem::take(&mut self.partial[index(stream)]);
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = LINE_MAX - partial.len();
            let part = &rest[..rest.len().min(room)];
            if let Some(end) = part.iter().position(|byte| *byte == b'\n') {
                partial.extend_from_slice(&part[..end]);
                rest = &rest[end + 1..];
            } else {
                partial.extend_from_slice(part);
                rest = &rest[part.len()..];
                if partial.len() < LINE_MAX {
                    break;
                }
            }
            self.record(stream, std::mem::take(&mut partial), now, &mut records);
        }
        self.partial[index(stream)] = partial;
        self.write(&records);
    }

    /// Writes what is left without a newline: nothing more comes from `stream`.
    pub(crate) fn end(&mut self, stream: LogStream, now: Timestamp) {
        let partial = std::mem::take(&mut self.partial[index(stream)]);
        let mut records = Vec::new();
        if !partial.is_empty() {
            self.record(stream, partial, now, &mut records);
        }
        self.mark_dropped(now, &mut records);
        self.write(&records);
    }

    /// Takes `bytes` more from the budget, as much as there is; answers what is left of it.
    pub(crate) fn pay(&mut self, bytes: u64, now: Timestamp) -> u64 {
        self.budget.earn(now, &self.limits);
        self.budget.bytes = self.budget.bytes.saturating_sub(bytes);
        self.budget.bytes
    }

    fn record(&mut self, stream: LogStream, line: Vec<u8>, at: Timestamp, into: &mut Vec<u8>) {
        let size = line.len() as u64 + 32;
        if !self.budget.spend(size, at, &self.limits) {
            self.seq += 1;
            self.dropped += 1;
            return;
        }
        self.mark_dropped(at, into);
        self.seq += 1;
        encode(&LogRecord { seq: self.seq, at, stream, line }, into);
    }

    /// Says once that records were dropped, when the first one is kept again.
    fn mark_dropped(&mut self, at: Timestamp, into: &mut Vec<u8>) {
        if self.dropped == 0 {
            return;
        }
        let line = format!(
            "[ebb] {} lines were dropped: more than {} bytes per second",
            self.dropped, self.limits.rate_bytes
        );
        self.dropped = 0;
        self.seq += 1;
        let stream = LogStream::Stderr;
        encode(&LogRecord { seq: self.seq, at, stream, line: line.into_bytes() }, into);
    }

    fn write(&mut self, records: &[u8]) {
        if records.is_empty() {
            return;
        }
        // The program must go on when the disk is full: what cannot be written is lost, and the
        // segment, which may end in half a record now, is left.
        let share = (self.limits.kept_bytes / SEGMENTS).max(1);
        if self.lost || self.segment.bytes >= share {
            match Segment::make(&self.dir, self.segment.number + 1) {
                Ok(next) => {
                    self.segment = next;
                    self.lost = false;
                    if let Some(oldest) = self.segment.number.checked_sub(SEGMENTS) {
                        let _ = std::fs::remove_file(self.dir.join(segment_name(oldest)));
                    }
                }
                Err(_) if self.lost => return,
                Err(_) => {}
            }
        }
        match self.segment.file.write_all(records) {
            Ok(()) => self.segment.bytes += records.len() as u64,
            Err(_) => self.lost = true,
        }
    }
}

impl Segment {
    fn make(dir: &Path, number: u64) -> io::Result<Self> {
        let path = dir.join(segment_name(number));
        let file = File::options().append(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { number, file, bytes: 0 })
    }
}

impl Budget {
    fn earn(&mut self, now: Timestamp, limits: &LogLimits) {
        let passed = now.since(self.at).as_micros();
        let earned = passed.saturating_mul(u128::from(limits.rate_bytes)) / 1_000_000;
        if earned > 0 {
            let earned = u64::try_from(earned).unwrap_or(u64::MAX);
            self.bytes = self.bytes.saturating_add(earned).min(limits.burst_bytes);
            self.at = now;
        }
    }

    fn spend(&mut self, bytes: u64, now: Timestamp, limits: &LogLimits) -> bool {
        self.earn(now, limits);
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => false,
        }
    }
}

fn index(stream: LogStream) -> usize {
    match stream {
        LogStream::Stdout => 0,
        LogStream::Stderr => 1,
    }
}
