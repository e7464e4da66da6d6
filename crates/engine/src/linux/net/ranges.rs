//! Ranges of user ids and addresses: each running cell has its own, claimed by a file lock.
//!
//! Block `n` of 64 gives the user ids from 2^20 + n * 501 * 65,536 on (500 slots of 65,536 ids and
//! one more range for the unpacker) and the `n`-th 64th of the address range, by default a /16 of
//! 100.64.0.0/10 (RFC 6598, addresses that no site's own network should use).

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::socket::{Socket, system};
use super::{link, ruleset};
use crate::Error;

/// Where claims are kept: on a tmpfs, since they mean nothing after a restart of the machine.
pub const CLAIMS: &str = "/run/ebb/ranges";
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
    fn block(self, n: u8) -> Block {
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

    fn overlaps(self, (address, prefix): (Ipv4Addr, u8)) -> bool {
        let shorter = mask(prefix.min(self.subnet.1));
        address.to_bits() & shorter == self.subnet.0.to_bits() & shorter
    }
}

/// Some block, for trying things out where its addresses cannot meet others.
pub(crate) fn rehearsal_block() -> Block {
    Range::default().block(0)
}

/// A block that is ours until this is dropped. The lock belongs to the open file: a process that
/// was forked meanwhile must close its copy, or it keeps the block claimed.
#[derive(Debug)]
pub struct Claim {
    block: Block,
    /// The cell that had the block before and is gone.
    before: Option<String>,
    _lock: File,
}

impl Claim {
    /// Claims a block for `cell`: the one it had before if that is free, otherwise the first that
    /// no cell holds and none of whose addresses is on this host.
    ///
    /// # Errors
    /// [`Error::Exhausted`] when no block is free; [`Error::System`] for the file system.
    pub fn take(cell: &str, range: Range) -> Result<Self, Error> {
        let addresses = link::addresses(&Socket::route()?)?;
        let claim = Self::take_in(Path::new(CLAIMS), cell, range, &addresses)?;
        if let Some(before) = &claim.before {
            // One that was killed leaves its rules, and they refuse packets to what is ours now.
            Socket::netfilter()?.run(&ruleset::remove(before))?;
        }
        Ok(claim)
    }

    /// As [`Claim::take`], with the claims in `dir` and the host's addresses given.
    pub(super) fn take_in(
        dir: &Path,
        cell: &str,
        range: Range,
        on_host: &[(Ipv4Addr, u8)],
    ) -> Result<Self, Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| system(format!("making {}", dir.display()), error))?;
        // Instances of a cell outlive its spawner, so its old block is taken in spite of their
        // addresses; and another cell's old block is refused because of them.
        for own in [true, false] {
            for n in 0..BLOCKS {
                let block = range.block(n);
                if !own && on_host.iter().any(|network| block.overlaps(*network)) {
                    continue;
                }
                if let Some((lock, before)) = lock(&dir.join(n.to_string()), cell, own)? {
                    let before = before.filter(|before| before != cell && !is_held(dir, before));
                    return Ok(Self { block, before, _lock: lock });
                }
            }
        }
        Err(Error::Exhausted(format!(
            "all {BLOCKS} ranges of addresses are in use; another address range can be configured"
        )))
    }

    /// What was claimed.
    pub const fn block(&self) -> Block {
        self.block
    }
}

/// Whether a process holds a block for `cell`.
fn is_held(dir: &Path, cell: &str) -> bool {
    (0..BLOCKS).any(|n| {
        let path = dir.join(n.to_string());
        let names_it = fs::read_to_string(&path).is_ok_and(|holder| holder == cell);
        let locked = |file: File| matches!(file.try_lock(), Err(TryLockError::WouldBlock));
        names_it && File::open(&path).is_ok_and(locked)
    })
}

/// Locks the file of a block and writes the cell into it; answers the cell that it named before.
/// None if another process holds it, or if only `own` blocks are wanted and the file names another
/// cell.
fn lock(path: &Path, cell: &str, own: bool) -> Result<Option<(File, Option<String>)>, Error> {
    let step = || format!("claiming {}", path.display());
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(!own)
        .truncate(false)
        .mode(0o600)
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if own && error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(system(step(), error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(system(step(), error)),
    }
    let mut holder = String::new();
    Read::by_ref(&mut file)
        .take(64)
        .read_to_string(&mut holder)
        .map_err(|error| system(step(), error))?;
    if own {
        return Ok((holder == cell).then_some((file, None)));
    }
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(cell.as_bytes()));
    written.map_err(|error| system(step(), error))?;
    Ok(Some((file, super::check_cell(&holder).is_ok().then_some(holder))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &[(Ipv4Addr, u8)] = &[];

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

    #[test]
    fn two_cells_have_two_blocks_and_a_cell_finds_its_own_again() {
        let dir = tempfile::tempdir().unwrap();
        let take = |cell: &str| Claim::take_in(dir.path(), cell, Range::default(), NONE).unwrap();
        let (a, b) = (take("aaaaaa"), take("bbbbbb"));
        assert_eq!((a.block().number(), b.block().number()), (0, 1));
        drop(a);
        drop(b);
        assert_eq!(take("bbbbbb").block().number(), 1);
        assert_eq!(take("cccccc").block().number(), 0);
    }

    #[test]
    fn who_takes_a_block_learns_whose_rules_may_be_left() {
        let dir = tempfile::tempdir().unwrap();
        let take = |cell: &str| Claim::take_in(dir.path(), cell, Range::default(), NONE).unwrap();
        let a = take("aaaaaa");
        assert_eq!(a.before, None);
        drop(a);
        let b = take("bbbbbb");
        assert_eq!((b.block().number(), b.before.as_deref()), (0, Some("aaaaaa")));
        drop(b);
        assert_eq!(take("bbbbbb").before, None, "its own rules are replaced anyway");

        // It lives on with another block: its rules are its own business.
        fs::write(dir.path().join("1"), "bbbbbb").unwrap();
        let alive = take("bbbbbb");
        let c = take("cccccc");
        assert_eq!((c.block().number(), c.before.as_deref()), (1, None));
        drop((alive, c));

        fs::write(dir.path().join("0"), "../../x").unwrap();
        assert_eq!(take("dddddd").before, None, "no cell has such a name");
    }

    #[test]
    fn addresses_on_the_host_are_skipped_but_not_by_their_own_cell() {
        let dir = tempfile::tempdir().unwrap();
        let range = Range::default();
        let host = [(Ipv4Addr::new(100, 64, 0, 1), 32), (Ipv4Addr::new(100, 66, 3, 3), 15)];
        let claim = Claim::take_in(dir.path(), "aaaaaa", range, &host).unwrap();
        assert_eq!(claim.block().number(), 1);
        drop(claim);
        let host = [(Ipv4Addr::new(100, 65, 0, 1), 32)];
        assert_eq!(Claim::take_in(dir.path(), "aaaaaa", range, &host).unwrap().block().number(), 1);
        assert_eq!(Claim::take_in(dir.path(), "bbbbbb", range, &host).unwrap().block().number(), 0);
    }

    #[test]
    fn no_block_left_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let host = [(Ipv4Addr::new(100, 100, 0, 1), 8)];
        let error = Claim::take_in(dir.path(), "aaaaaa", Range::default(), &host).unwrap_err();
        assert_eq!(error.code(), "HOST_EXHAUSTED");
    }
}
