//! The uncompressed bytes of a layer: bounded, and hashed on the way.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use ebb_model::Digest;
use flate2::bufread::GzDecoder;
use sha2::{Digest as _, Sha256};

use super::limits::{ARCHIVE_MAX, GZIP_MEMBERS_MAX, RATIO_FROM, RATIO_MAX, ZSTD_WINDOW_LOG_MAX};
use crate::Error;
use crate::error::{corrupt_layer, too_large, unsupported};
use crate::shown::plain;

/// Size of the buffer in front of the decoder.
const BUFFER: usize = 256 << 10;

/// Uncompressed bytes, with their hash and the limits of a layer.
pub(super) struct Stream<R: Read> {
    decoder: Decoder<BufReader<Counted<R>>>,
    consumed: Rc<Cell<u64>>,
    produced: u64,
    hash: Sha256,
}

enum Decoder<R: BufRead> {
    Plain(R),
    Gzip(Box<Gzip<R>>),
    Zstd(Box<zstd::Decoder<'static, R>>),
    /// An empty blob: a layer without entries.
    Empty,
}

/// gzip members one after the other. Own loop, because `MultiGzDecoder` does not count them.
struct Gzip<R: BufRead> {
    member: Option<GzDecoder<R>>,
    members: u64,
}

struct Counted<R> {
    inner: R,
    consumed: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.consumed.set(self.consumed.get() + read as u64);
        Ok(read)
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = self.member.as_mut() {
            let read = member.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            // The member ended and its checksum was right.
            let Some(member) = self.member.take() else { break };
            let mut rest = member.into_inner();
            if rest.fill_buf()?.is_empty() {
                break;
            }
            self.members += 1;
            if self.members > GZIP_MEMBERS_MAX {
                return Err(io::Error::other(TooManyMembers));
            }
            self.member = Some(GzDecoder::new(rest));
        }
        Ok(0)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("too many gzip members")]
struct TooManyMembers;

impl<R: Read> Stream<R> {
    /// `compression` is `gzip`, `zstd` or `none`.
    pub(super) fn new(blob: R, compression: &str) -> Result<Self, Error> {
        let consumed = Rc::new(Cell::new(0));
        let counted = Counted { inner: blob, consumed: Rc::clone(&consumed) };
        let mut reader = BufReader::with_capacity(BUFFER, counted);
        let empty = reader.fill_buf().map_err(|error| failed(&error))?.is_empty();
        let decoder = match compression {
            "none" => Decoder::Plain(reader),
            "gzip" | "zstd" if empty => Decoder::Empty,
            "gzip" => {
                let member = Some(GzDecoder::new(reader));
                Decoder::Gzip(Box::new(Gzip { member, members: 1 }))
            }
            "zstd" => {
                let mut decoder =
                    zstd::Decoder::with_buffer(reader).map_err(|error| failed(&error))?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|error| failed(&error))?;
                Decoder::Zstd(Box::new(decoder))
            }
            other => return Err(unsupported(format!("the compression {other:?} is not known"))),
        };
        Ok(Self { decoder, consumed, produced: 0, hash: Sha256::new() })
    }

    /// Some bytes; 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let read = match &mut self.decoder {
            Decoder::Plain(reader) => reader.read(buffer),
            Decoder::Gzip(reader) => reader.read(buffer),
            Decoder::Zstd(reader) => reader.read(buffer),
            Decoder::Empty => Ok(0),
        };
        let read = read.map_err(|error| failed(&error))?;
        self.produced += read as u64;
        if self.produced > ARCHIVE_MAX {
            return Err(too_large("the uncompressed layer", ARCHIVE_MAX, self.produced));
        }
        let ratio = self.produced / self.consumed.get().max(1);
        if self.produced > RATIO_FROM && ratio > RATIO_MAX {
            return Err(too_large("the compression ratio of a layer", RATIO_MAX, ratio));
        }
        self.hash.update(&buffer[..read]);
        Ok(read)
    }

    /// Fills `buffer` as far as there are bytes.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// Digest and number of the bytes that were read.
    pub(super) fn finish(self) -> (Digest, u64) {
        (Digest::from_sha256(self.hash.finalize().into()), self.produced)
    }
}

fn failed(error: &io::Error) -> Error {
    if error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<TooManyMembers>) {
        return too_large("the number of gzip members", GZIP_MEMBERS_MAX, GZIP_MEMBERS_MAX + 1);
    }
    let text = error.to_string();
    // The zstd library says this, without a kind of its own, when a frame wants a larger window.
    if text.contains("requires too much memory") {
        let limit = 1 << ZSTD_WINDOW_LOG_MAX;
        return Error::new(
            "IMAGE_TOO_LARGE",
            ebb_model::Kind::Invalid,
            format!("the zstd window of a layer is above the limit of {limit} bytes"),
        )
        .hint("compress the image again without `--ultra` and `--long`");
    }
    corrupt_layer(format!("a layer cannot be uncompressed: {}", plain(&text)))
}
