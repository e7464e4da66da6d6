//! How a cell gets its block, and who may clear away what a dead cell left.
//!
//! # Files
//!
//! In [`CLAIMS`], on a tmpfs, because none of it means anything after a restart of the machine:
//!
//! - `gate`: who starts holds its lock while it chooses. So one starter chooses at a time.
//! - `0` to `63`: one per block. Its text is the **record**: the cell that has the block or had it
//!   last. Its lock is the **claim**: held by the spawner of that cell from its start to the end of
//!   its process, whatever ends it.
//!
//! # States of a block
//!
//! | record | lock | the block is |
//! |---|---|---|
//! | none | free | free: nobody had it, or its holder ended before it began |
//! | cell | held | held: the cell lives |
//! | cell | free, no file of this cell is locked | the cell is **dead**; what it left is known by its name |
//! | cell | free, another file of this cell is locked | as free: the cell lives on with another block |
//!
//! A record is the only proof that a cell lived on this machine, and the free lock beside it the
//! only proof that it lives no more: process ids are used again, and a cell without a record may
//! run in another container with a `/run` of its own. So a record is replaced only after
//! everything that its dead cell left is gone. A block whose dead cell has left processes behind
//! (see `spawner::remains`) stays as it is: they still have its addresses and user ids.
//!
//! # Order of locks
//!
//! The data directory, then the gate, then blocks. The gate is waited for, with a bound; blocks are
//! only tried, and only by who holds the gate, so a failed try always means a holder and a look
//! never stands in another's way. Under the gate, in this order: look at all blocks, clear what
//! dead cells left, read the host's addresses (those of the dead are gone by then), choose, write
//! the record. Nobody who holds the gate waits for another lock.
//!
//! What follows: a cell that starts is either seen as living by everybody who starts after it, or
//! waits at the gate while what it left is cleared, and has made nothing yet. So nobody's rules are
//! taken away while it lives.
//!
//! A lock belongs to the open file and thus to every fork that has a copy. A fork of the spawner
//! closes its copy only when it can be found by other means: in the cell's control group, or bound
//! to end with its parent. In this way a free lock also says: all that is left can be seen.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::ranges::{BLOCKS, Block, Range};
use super::socket::system;
use crate::Error;
use crate::linux::cgroup::pause;

/// Where claims are kept.
pub const CLAIMS: &str = "/run/ebb/ranges";
/// Name of the file whose holder chooses.
const GATE: &str = "gate";
/// Tries to pass the gate and the time between them: 30 s in all. Clearing what a large platform
/// left takes seconds.
const GATE_TRIES: u32 = 6_000;
const GATE_PAUSE: Duration = Duration::from_millis(5);
/// Tries to find our own cell ended, 1 s in all: the fork of a spawner that was just killed holds
/// its claim for a moment.
const OWN_TRIES: u32 = 100;
const OWN_PAUSE: Duration = Duration::from_millis(10);

/// What a claim needs to know and to do outside of its files. Called under the gate.
pub(crate) trait Machine {
    /// Removes what these dead cells left. Answers those of which something is left.
    ///
    /// # Errors
    /// [`Error::System`] when the machine cannot be looked at.
    fn clear(&mut self, dead: &BTreeSet<String>) -> Result<BTreeSet<String>, Error>;

    /// The host's addresses with the lengths of their prefixes.
    ///
    /// # Errors
    /// [`Error::System`].
    fn addresses(&mut self) -> Result<Vec<(Ipv4Addr, u8)>, Error>;
}

/// A block that is ours until this is dropped. The lock belongs to the open file: a process that
/// was forked meanwhile must close its copy, or it keeps the block claimed.
#[derive(Debug)]
pub struct Claim {
    block: Block,
    _lock: File,
}

impl Claim {
    /// Clears what dead cells left and claims a block for `cell`: the one it had before if that is
    /// free, otherwise the first that no cell needs and none of whose addresses is on this host.
    ///
    /// # Errors
    /// [`Error::CellInUse`] when the cell lives; [`Error::Exhausted`] when no block is free;
    /// [`Error::Unavailable`] when another start does not end; [`Error::System`].
    pub(crate) fn take(
        dir: &Path,
        cell: &str,
        range: Range,
        machine: &mut dyn Machine,
    ) -> Result<Self, Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| system(format!("making {}", dir.display()), error))?;
        let mut tries = 1;
        loop {
            match Self::try_take(dir, cell, range, machine) {
                Err(Error::CellInUse(_)) if tries < OWN_TRIES => pause(OWN_PAUSE),
                other => return other,
            }
            tries += 1;
        }
    }

    fn try_take(
        dir: &Path,
        cell: &str,
        range: Range,
        machine: &mut dyn Machine,
    ) -> Result<Self, Error> {
        let _gate = pass_gate(dir)?;
        let mut slips =
            (0..BLOCKS).map(|n| Slip::look(dir, n)).collect::<Result<Vec<Slip>, Error>>()?;
        let living = slips.iter().filter(|slip| slip.lock.is_none());
        let living: BTreeSet<String> = living.filter_map(|slip| slip.record.clone()).collect();
        if living.contains(cell) {
            return Err(Error::CellInUse(cell.to_owned()));
        }
        let known = slips.iter().filter_map(|slip| slip.record.clone());
        let dead = known.filter(|one| one != cell && !living.contains(one)).collect();
        let kept = machine.clear(&dead)?;
        let on_host = machine.addresses()?;
        let Some(chosen) = choose(&slips, cell, range, &kept, &on_host) else {
            return Err(Error::Exhausted(format!(
                "all {BLOCKS} ranges of addresses are in use; another address range can be \
                 configured"
            )));
        };
        let slip = slips.swap_remove(chosen);
        let block = range.block(slip.n);
        let lock = slip.write(dir, cell)?;
        Ok(Self { block, _lock: lock })
    }

    /// What was claimed.
    pub const fn block(&self) -> Block {
        self.block
    }
}

/// The file of one block, as the holder of the gate sees it.
struct Slip {
    n: u8,
    /// The cell that has or had the block.
    record: Option<String>,
    /// The locked file; none while another process has it locked.
    lock: Option<File>,
}

impl Slip {
    fn look(dir: &Path, n: u8) -> Result<Self, Error> {
        let path = dir.join(n.to_string());
        let failed = |error| system(format!("looking at {}", path.display()), error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let mut text = String::new();
        // What is not text is not a cell.
        let read = Read::by_ref(&mut file).take(64).read_to_string(&mut text);
        match read {
            Err(error) if error.kind() != io::ErrorKind::InvalidData => return Err(failed(error)),
            _ => {}
        }
        let record = super::check_cell(&text).is_ok().then_some(text);
        let lock = try_lock(&file).map_err(failed)?.then_some(file);
        Ok(Self { n, record, lock })
    }

    /// Makes it ours.
    fn write(self, dir: &Path, cell: &str) -> Result<File, Error> {
        let failed =
            |error| system(format!("claiming {}", dir.join(self.n.to_string()).display()), error);
        let mut file = self.lock.ok_or_else(|| failed(io::ErrorKind::WouldBlock.into()))?;
        if self.record.as_deref() != Some(cell) {
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(cell.as_bytes()))
                .map_err(failed)?;
        }
        Ok(file)
    }
}

/// Which of the blocks `cell` gets, as an index; `kept` are dead cells that still need theirs.
fn choose(
    slips: &[Slip],
    cell: &str,
    range: Range,
    kept: &BTreeSet<String>,
    on_host: &[(Ipv4Addr, u8)],
) -> Option<usize> {
    let free = |slip: &Slip| slip.lock.is_some();
    // Instances of a cell outlive its spawner, so its old block is taken in spite of their
    // addresses; and another cell's old block is refused because of them.
    let own = |slip: &Slip| free(slip) && slip.record.as_deref() == Some(cell);
    let other = |slip: &Slip| {
        let needed = slip.record.as_ref().is_some_and(|before| kept.contains(before));
        let block = range.block(slip.n);
        free(slip) && !needed && !on_host.iter().any(|network| block.overlaps(*network))
    };
    slips.iter().position(own).or_else(|| slips.iter().position(other))
}

/// Waits until no one else chooses; nobody else does while the answer is held.
fn pass_gate(dir: &Path) -> Result<File, Error> {
    let path = dir.join(GATE);
    let failed = |error| system(format!("locking {}", path.display()), error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(failed)?;
    for _ in 0..GATE_TRIES {
        if try_lock(&file).map_err(failed)? {
            return Ok(file);
        }
        pause(GATE_PAUSE);
    }
    Err(Error::Unavailable(format!(
        "another platform on this machine has not finished its start: it holds {}",
        path.display()
    )))
}

/// Locks a file for this open file alone; `false` when another has it locked.
fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
pub(super) mod tests;
