//! Ranges of user ids and addresses: each running cell has its own block of them; how it gets one
//! is said in [`claims`](super::claims).
//!
//! Block `n` of 64 gives the user ids from 2^20 + n * 501 * 65,536 on (500 slots of 65,536 ids and
//! one more range for the unpacker) and the `n`-th 64th of the address range, by default a /16 of
//! 100.64.0.0/10 (RFC 6598, addresses that no site's own network should use).

use std::net::Ipv4Addr;

use crate::Error;

/// Blocks that the ranges are divided into.
pub const BLOCKS: u8 = 64;
/// Instances that one cell runs at most at once.
pub const SLOTS: u16 = 500;
/// Ids of one instance: as many as an image can name (16 bits).
pub const IDS: u32 = 65_536;
/// First id of all: far above every id that a host gives to people and services.
const FIRST_ID: u32 = 1 << 20;

/// The address range that all cells of a host share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    base: Ipv4Addr,
    prefix: u8,
}

impl Default for Range {
    fn default() -> Self {
        Self { base: Ipv4Addr::new(100, 64, 0, 0), prefix: 10 }
    }
}

impl Range {
    /// The range `base/prefix`. A prefix of 8 to 16 leaves each cell the addresses it needs.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another prefix or for bits that are set outside the prefix.
    pub fn new(base: Ipv4Addr, prefix: u8) -> Result<Self, Error> {
        let invalid = |message: &str| {
            Err(Error::Invalid { field: "addresses".to_owned(), message: message.to_owned() })
        };
        if !(8..=16).contains(&prefix) {
            return invalid("the prefix must be 8 to 16 bits long");
        }
        if base.to_bits() & !mask(prefix) != 0 {
            return invalid("the address has bits set outside its prefix");
        }
        Ok(Self { base, prefix })
    }

    /// Block `n`, counted from 0.
    pub(super) fn block(self, n: u8) -> Block {
        let prefix = self.prefix + 6;
        let base = self.base.to_bits() + (u32::from(n) << (32 - prefix));
        Block { n, subnet: (Ipv4Addr::from_bits(base), prefix) }
    }
}

/// The bits of a prefix.
pub(crate) const fn mask(prefix: u8) -> u32 {
    if prefix == 0 { 0 } else { u32::MAX << (32 - prefix) }
}

/// Ids and addresses of one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    n: u8,
    subnet: (Ipv4Addr, u8),
}

impl Block {
    /// Its number, 0 to 63.
    pub const fn number(self) -> u8 {
        self.n
    }

    /// First of the 65,536 ids of a slot; none for a slot above the last.
    pub fn ids(self, slot: u16) -> Option<u32> {
        (slot < SLOTS).then(|| self.first_id() + u32::from(slot) * IDS)
    }

    /// First of the 65,536 ids of the unpacker.
    pub fn unpacker_ids(self) -> u32 {
        self.first_id() + u32::from(SLOTS) * IDS
    }

    fn first_id(self) -> u32 {
        FIRST_ID + u32::from(self.n) * (u32::from(SLOTS) + 1) * IDS
    }

    /// Its addresses, as base and length of the prefix.
    pub const fn subnet(self) -> (Ipv4Addr, u8) {
        self.subnet
    }

    /// The host's own address in it: what instances see as their gateway and resolver.
    pub const fn host(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.subnet.0.to_bits() + 1)
    }

    /// Address of a slot; none for a slot above the last.
    pub fn address(self, slot: u16) -> Option<Ipv4Addr> {
        (slot < SLOTS).then(|| Ipv4Addr::from_bits(self.subnet.0.to_bits() + 2 + u32::from(slot)))
    }

    /// Whether it shares an address with the network `address/prefix`.
    pub(super) fn overlaps(self, (address, prefix): (Ipv4Addr, u8)) -> bool {
        let shorter = mask(prefix.min(self.subnet.1));
        address.to_bits() & shorter == self.subnet.0.to_bits() & shorter
    }
}

/// Some block, for trying things out where its addresses cannot meet others.
pub(crate) fn rehearsal_block() -> Block {
    Range::default().block(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap_and_fit() {
        let range = Range::default();
        let last = range.block(BLOCKS - 1);
        assert_eq!(last.subnet(), (Ipv4Addr::new(100, 127, 0, 0), 16));
        assert_eq!(last.host(), Ipv4Addr::new(100, 127, 0, 1));
        assert_eq!(last.address(0), Some(Ipv4Addr::new(100, 127, 0, 2)));
        assert_eq!(last.address(499), Some(Ipv4Addr::new(100, 127, 1, 245)));
        assert_eq!(last.address(500), None);
        assert_eq!(last.ids(500), None);
        // Signed 32-bit ids are what some file systems and tools can hold.
        assert!(last.unpacker_ids() + IDS <= i32::MAX.cast_unsigned());
        for n in 1..BLOCKS {
            let (before, after) = (range.block(n - 1), range.block(n));
            assert_eq!(before.unpacker_ids() + IDS, after.ids(0).unwrap());
            assert!(!after.overlaps((before.host(), 16)));
            assert!(after.overlaps((before.host(), 8)));
        }
    }

    #[test]
    fn small_and_crooked_ranges_are_refused() {
        assert!(Range::new(Ipv4Addr::new(10, 0, 0, 0), 8).is_ok());
        let small = Range::new(Ipv4Addr::new(172, 16, 0, 0), 16).unwrap();
        assert_eq!(small.block(1).subnet(), (Ipv4Addr::new(172, 16, 4, 0), 22));
        assert!(Range::new(Ipv4Addr::new(172, 16, 0, 0), 17).is_err());
        assert!(Range::new(Ipv4Addr::new(172, 16, 0, 0), 10).is_err());
    }
}
