//! Follows a chunked body strictly, byte by byte where it has structure and by whole runs where
//! it has data.

use super::head::is_token;
use crate::answer::Answer;

/// Most bytes of one chunk's size line. Extensions are allowed, and dropped when forwarded.
const SIZE_LINE_MAX: usize = 1024;
/// Most bytes of all trailer fields.
const TRAILERS_MAX: usize = 8 * 1024;

/// Where in a chunked body the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// In the digits of a size; how many there were, and the size so far.
    Size {
        digits: u8,
        size: u64,
    },
    /// In the extensions after a size; bytes of the line so far.
    Extension {
        size: u64,
        line: usize,
    },
    /// After the CR of a size line.
    SizeLf {
        size: u64,
    },
    /// In data.
    Data {
        left: u64,
    },
    /// After data: its CR, then its LF.
    DataCr,
    DataLf,
    /// At the start of a trailer line; bytes of trailers so far.
    LineStart {
        total: usize,
    },
    /// In a trailer's name, then in its value.
    Name {
        total: usize,
    },
    Value {
        total: usize,
    },
    /// After the CR of a trailer line.
    ValueLf {
        total: usize,
    },
    /// After the CR of the empty line that ends the body.
    EndLf,
    /// The body has ended.
    Done,
}

impl Chunks {
    pub(crate) const START: Self = Self::Size { digits: 0, size: 0 };

    /// Reads what belongs to the body and answers how many bytes that were: all of them, or fewer
    /// when the body has ended.
    pub(crate) fn read(&mut self, data: &[u8]) -> Result<usize, Answer> {
        let mut at = 0;
        while at < data.len() && *self != Self::Done {
            if let Self::Data { left } = *self {
                let rest = u64::try_from(data.len() - at).unwrap_or(u64::MAX);
                let run = left.min(rest);
                at += usize::try_from(run).unwrap_or(usize::MAX);
                *self = if run == left { Self::DataCr } else { Self::Data { left: left - run } };
            } else {
                *self = self.step(data[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(self, byte: u8) -> Result<Self, Answer> {
        let next = match (self, byte) {
            (Self::Size { digits, size }, _) if byte.is_ascii_hexdigit() && digits < 15 => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Self::Size { digits: digits + 1, size: size * 16 + u64::from(digit) }
            }
            (Self::Size { digits: 1.., size } | Self::Extension { size, .. }, b'\r') => {
                Self::SizeLf { size }
            }
            (Self::Size { digits: 1.., size }, b';' | b' ' | b'\t') => {
                Self::Extension { size, line: 1 }
            }
            (Self::Extension { size, line }, b'\t' | b' '..=b'~') if line < SIZE_LINE_MAX => {
                Self::Extension { size, line: line + 1 }
            }
            (Self::SizeLf { size: 0 }, b'\n') => Self::LineStart { total: 0 },
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::START,
            (Self::LineStart { .. }, b'\r') => Self::EndLf,
            (Self::LineStart { total } | Self::Name { total }, _)
                if is_token(byte) && total < TRAILERS_MAX =>
            {
                Self::Name { total: total + 1 }
            }
            (Self::Name { total }, b':') => Self::Value { total: total + 1 },
            (Self::Value { total }, b'\r') => Self::ValueLf { total: total + 1 },
            (Self::Value { total }, b'\t' | b' '..=b'~' | 0x80..) if total < TRAILERS_MAX => {
                Self::Value { total: total + 1 }
            }
            (Self::ValueLf { total }, b'\n') => Self::LineStart { total: total + 1 },
            (Self::EndLf, b'\n') => Self::Done,
            _ => return Err(Answer::malformed("the chunked body is not well-formed")),
        };
        Ok(next)
    }
}
