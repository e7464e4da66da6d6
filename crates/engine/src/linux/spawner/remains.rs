//! What the cells of this machine leave when they are killed, and who clears it.
//!
//! # What a kill leaves
//!
//! | killed | ends by itself | stays |
//! |---|---|---|
//! | daemon | nothing | everything; the spawner starts another, which ends the instances |
//! | spawner | the daemon (`PR_SET_PDEATHSIG`), the reserve (its shims hear the end of their socket), unpackers with their supervisors (`PR_SET_PDEATHSIG`) | instances and their shims, and what they need: groups, links, rules, user ids |
//! | a shim | its instance: the init has `PR_SET_PDEATHSIG` and hears the end of its socket, and its end is the end of the process id namespace | its groups, until the spawner finds it dead |
//! | everything at once | links (the kernel deletes them with their namespaces, in the background), mounts (all are in mount namespaces of the dead, none in the host's) | empty groups, the table of rules, `/run/ebb/CELL` |
//!
//! A cell's own next start ends what lives of it and removes everything. Until then any other
//! platform that starts on the machine clears what is left of cells that are proven dead, which
//! [`claims`](crate::linux::net::claims) decides. It takes all of a cell or nothing: as long as a
//! process lives in its groups, even though its owner is dead, the cell keeps its groups, its
//! links, its rules (which are what keeps the instance away from the host) and its block. We do
//! not end processes of another platform: a task may be about to end well, and only its own
//! platform knows. (One more case: on version 1 a frozen process that is killed dies only when it is
//! thawed, which its own platform does.)

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::Error;
use crate::linux::cgroup::Hierarchies;
use crate::linux::failure::step;
use crate::linux::net::claims::Machine;
use crate::linux::net::{self, Leavings, check_cell};

/// Traces of one dead cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traces {
    groups: Groups,
    links: bool,
    table: bool,
    run_dir: bool,
}

/// Control groups of a dead cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Groups {
    /// There is none.
    #[default]
    None,
    /// No process is in them.
    Empty,
    /// A process is in one of them.
    Occupied,
}

/// What is to be done about a dead cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing of it is there.
    Gone,
    /// Everything of it goes.
    Clear,
    /// Something of it lives, so all of it stays.
    Stay,
}

const fn decide(traces: Traces) -> Fate {
    // Links without groups: their namespaces are in use by processes that cannot be seen from here
    // (in another container), or are just being deleted; the next start knows.
    match traces.groups {
        Groups::Occupied => Fate::Stay,
        Groups::None if traces.links => Fate::Stay,
        Groups::None if !traces.table && !traces.run_dir => Fate::Gone,
        Groups::None | Groups::Empty => Fate::Clear,
    }
}

/// This machine, for [`Claim::take`](net::Claim::take).
pub(super) struct Host<'a> {
    pub(super) hierarchies: &'a Hierarchies,
    /// Where the run directories of cells are: `/run/ebb`.
    pub(super) run: PathBuf,
}

impl Machine for Host<'_> {
    fn clear(&mut self, dead: &BTreeSet<String>) -> Result<BTreeSet<String>, Error> {
        let mut kept = BTreeSet::new();
        if dead.is_empty() {
            return Ok(kept);
        }
        let leavings = Leavings::look()?;
        let groups = self.hierarchies.cells();
        for cell in dead {
            let traces = Traces {
                groups: self.groups(&groups, cell),
                links: leavings.links.contains_key(cell),
                table: leavings.tables.contains(cell),
                run_dir: fs::symlink_metadata(self.run.join(cell)).is_ok(),
            };
            let cleared = match decide(traces) {
                Fate::Gone => continue,
                Fate::Stay => {
                    tracing::warn!(cell, "instances of a killed platform still run");
                    false
                }
                Fate::Clear => self.clear_one(cell, &leavings).inspect_err(|error| {
                    tracing::warn!(cell, %error, "what a killed platform left cannot be removed");
                }).is_ok(),
            };
            if !cleared {
                kept.insert(cell.clone());
            }
        }
        Ok(kept)
    }

    fn addresses(&mut self) -> Result<Vec<(Ipv4Addr, u8)>, Error> {
        net::addresses()
    }
}

impl Host<'_> {
    fn groups(&self, found: &BTreeSet<String>, cell: &str) -> Groups {
        match found.contains(cell) {
            true if self.hierarchies.is_occupied(cell) => Groups::Occupied,
            true => Groups::Empty,
            false => Groups::None,
        }
    }

    /// Groups go last: as long as they are there, the next start sees that they are empty.
    fn clear_one(&self, cell: &str, leavings: &Leavings) -> Result<(), Error> {
        check_cell(cell)?;
        tracing::info!(cell, "removing what a killed platform left");
        net::clear(cell, leavings.links.get(cell).map_or(&[], Vec::as_slice))?;
        let run_dir = self.run.join(cell);
        match fs::remove_dir_all(&run_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(step(format!("remove the directory {}", run_dir.display()))(error));
            }
            _ => {}
        }
        self.hierarchies.remove_empty_cell(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_goes_whole_or_stays_whole() {
        let none = Traces::default();
        assert_eq!(decide(none), Fate::Gone);
        let all = Traces { groups: Groups::Empty, links: true, table: true, run_dir: true };
        let groups = Traces { groups: Groups::Empty, ..none };
        let (table, run_dir) = (Traces { table: true, ..none }, Traces { run_dir: true, ..none });
        for clear in [all, groups, table, run_dir] {
            assert_eq!(decide(clear), Fate::Clear, "{clear:?}");
        }
        for stay in [
            Traces { groups: Groups::Occupied, ..none },
            Traces { groups: Groups::Occupied, ..all },
            Traces { links: true, ..none },
            Traces { groups: Groups::None, ..all },
        ] {
            assert_eq!(decide(stay), Fate::Stay, "{stay:?}");
        }
    }
}
