//! The output of an instance: written by its shim into a ring of files, read by the daemon.
//!
//! A directory per instance holds segments `<number>.log`; the oldest is deleted when there are too
//! many. A record is, in little endian: length of what follows (4 bytes), sequence number (8),
//! microseconds since the Unix epoch (8), stream (1), the line. A torn record at the end of the
//! last segment is one that is just being written.

pub(crate) mod follow;
pub(crate) mod write;

use ebb_model::Timestamp;
use ebb_model::engine::{LogRecord, LogStream};

/// Longest line; a longer one is split.
pub(crate) const LINE_MAX: usize = 64 * 1024;
/// Bytes of a record before its line, without the length.
const FIXED: usize = 17;

/// Bounds of the output of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Most bytes that are kept of one instance, 100 MiB by default.
    pub kept_bytes: u64,
    /// Bytes per second that are kept for ever, 1 MiB by default.
    pub rate_bytes: u64,
    /// Bytes that may come at once, 10 MiB by default.
    pub burst_bytes: u64,
}

impl Default for LogLimits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self { kept_bytes: 100 * MIB, rate_bytes: MIB, burst_bytes: 10 * MIB }
    }
}

fn encode(record: &LogRecord, into: &mut Vec<u8>) {
    let length = u32::try_from(FIXED + record.line.len()).unwrap_or(u32::MAX);
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&record.seq.to_le_bytes());
    into.extend_from_slice(&record.at.as_micros().to_le_bytes());
    into.push(match record.stream {
        LogStream::Stdout => 1,
        LogStream::Stderr => 2,
    });
    into.extend_from_slice(&record.line);
}

/// The first record in `bytes` and its length; `None` when it is not complete.
///
/// # Errors
/// A segment that no shim wrote.
fn decode(bytes: &[u8]) -> Result<Option<(LogRecord, usize)>, Damaged> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Damaged)?;
    if !(FIXED..=FIXED + LINE_MAX).contains(&length) {
        return Err(Damaged);
    }
    let Some(record) = rest.get(..length) else { return Ok(None) };
    let (seq, record) = record.split_first_chunk::<8>().ok_or(Damaged)?;
    let (at, record) = record.split_first_chunk::<8>().ok_or(Damaged)?;
    let (stream, line) = record.split_first().ok_or(Damaged)?;
    let stream = match stream {
        1 => LogStream::Stdout,
        2 => LogStream::Stderr,
        _ => return Err(Damaged),
    };
    let record = LogRecord {
        seq: u64::from_le_bytes(*seq),
        at: Timestamp::from_micros(u64::from_le_bytes(*at)),
        stream,
        line: line.to_vec(),
    };
    Ok(Some((record, 4 + length)))
}

/// A segment holds something else than records.
#[derive(Debug)]
struct Damaged;

/// Name of segment `number`.
fn segment_name(number: u64) -> String {
    format!("{number:010}.log")
}

/// Number of the segment called `name`.
fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(".log")?.parse().ok()
}

#[cfg(test)]
mod tests;
