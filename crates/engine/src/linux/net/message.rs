//! Netlink messages, written byte by byte: header, fixed part, attributes (netlink(7)).

/// Answer also on success; without it, silence is success.
pub(crate) const ACK: u16 = 0x4;
/// Fail if it exists.
pub(crate) const EXCL: u16 = 0x200;
/// Create it if it does not exist.
pub(crate) const CREATE: u16 = 0x400;
/// Put it after the others.
pub(crate) const APPEND: u16 = 0x800;
/// All objects (`NLM_F_ROOT | NLM_F_MATCH`).
pub(crate) const DUMP: u16 = 0x300;

const REQUEST: u16 = 0x1;
const NESTED: u16 = 0x8000;
/// Bytes of a message header and of an attribute header.
pub(crate) const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;

/// Messages that are sent together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    messages: Vec<Sent>,
}

/// What is remembered of a message, to understand its answer.
#[derive(Debug)]
pub(crate) struct Sent {
    /// What it asks for, for error messages.
    pub(crate) what: &'static str,
    /// An error that counts as success.
    pub(crate) tolerated: Option<rustix::io::Errno>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a message of type `kind`; `build` writes its fixed part and attributes. Its sequence
    /// number is its position, counted from 1.
    pub(crate) fn add(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        build: impl FnOnce(&mut Body<'_>),
    ) -> &mut Self {
        let start = self.bytes.len();
        self.messages.push(Sent { what, tolerated: None });
        let sequence = u32::try_from(self.messages.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(&0_u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&(flags | REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&0_u32.to_ne_bytes());
        build(&mut Body { bytes: &mut self.bytes });
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self
    }

    /// Lets `error` as the answer to the last message count as success.
    pub(crate) fn tolerate(&mut self, error: rustix::io::Errno) -> &mut Self {
        if let Some(last) = self.messages.last_mut() {
            last.tolerated = Some(error);
        }
        self
    }

    /// All messages, as they are sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The message with this sequence number.
    pub(crate) fn sent(&self, sequence: u32) -> Option<&Sent> {
        self.messages.get(usize::try_from(sequence).ok()?.checked_sub(1)?)
    }
}

/// The inside of a message or of a nested attribute.
pub(crate) struct Body<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Body<'_> {
    /// Writes bytes as they are, filled up to a multiple of four.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        while !self.bytes.len().is_multiple_of(4) {
            self.bytes.push(0);
        }
        self
    }

    /// Writes an attribute.
    pub(crate) fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.raw(value)
    }

    /// Writes a number in the machine's byte order, as the routing messages have them.
    pub(crate) fn put_u32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// Writes a number in network byte order, as the netfilter messages have them.
    pub(crate) fn put_be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// Writes a text with its final NUL.
    pub(crate) fn put_text(&mut self, kind: u16, text: &str) -> &mut Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.put(kind, &value)
    }

    /// Writes an attribute that holds attributes.
    pub(crate) fn nest(&mut self, kind: u16, build: impl FnOnce(&mut Body<'_>)) -> &mut Self {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&0_u16.to_ne_bytes());
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        build(&mut Body { bytes: self.bytes });
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self
    }
}

/// The attributes in `bytes`, as type and value; stops at the first that does not fit.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & !NESTED;
        let value = bytes.get(ATTRIBUTE_HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The number at `at`, in the machine's byte order.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The number at `at`, in the machine's byte order.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let mut batch = Batch::new();
        batch.add("x", 16, ACK, |m| {
            m.raw(&[7; 16]).put_text(3, "eth0").nest(18, |m| {
                m.put_u32(1, 5).put(2, &[1]);
            });
        });
        let bytes = batch.bytes();
        assert_eq!(u32_at(bytes, 0).map(|n| n as usize), Some(bytes.len()));
        assert_eq!(u16_at(bytes, 4), Some(16));
        assert_eq!(u16_at(bytes, 6), Some(ACK | REQUEST));
        let all: Vec<_> = attributes(&bytes[HEADER + 16..]).collect();
        assert_eq!(all[0], (3, b"eth0\0".as_slice()));
        assert_eq!(all[1].0, 18);
        let inner: Vec<_> = attributes(all[1].1).collect();
        assert_eq!(inner, [(1, 5_u32.to_ne_bytes().as_slice()), (2, &[1])]);
        assert_eq!(batch.sent(1).map(|s| s.what), Some("x"));
        assert!(batch.sent(0).is_none() && batch.sent(2).is_none());
    }

    #[test]
    fn cut_attributes_end_the_list() {
        for bytes in [&[][..], &[8, 0], &[8, 0, 1, 0, 9], &[3, 0, 1, 0, 9, 9, 9, 9]] {
            assert_eq!(attributes(bytes).count(), 0, "{bytes:?}");
        }
    }
}
