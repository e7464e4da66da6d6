//! What cells have in the host's network namespace, and clearing it away for a cell that is dead.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::message::Batch;
use super::socket::Socket;
use super::{check_cell, group, link, nft, ruleset};
use crate::Error;

/// Digits of a slot in the name of a link.
const SLOT_DIGITS: usize = 3;

/// What is there, by cell. Links count only if both name and group are a cell's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leavings {
    /// Names of the links of each cell that has any.
    pub(crate) links: BTreeMap<String, Vec<String>>,
    /// Cells that have a table of rules.
    pub(crate) tables: BTreeSet<String>,
}

impl Leavings {
    /// Looks.
    ///
    /// # Errors
    /// [`Error::System`].
    pub(crate) fn look() -> Result<Self, Error> {
        let mut found = Self::default();
        for link in link::list(&Socket::route()?)? {
            if let Some(cell) = cell_of_link(&link.name, link.group) {
                found.links.entry(cell.to_owned()).or_default().push(link.name);
            }
        }
        for table in nft::tables(&Socket::netfilter()?)? {
            if let Some(cell) = table.strip_prefix("ebb_").filter(|cell| check_cell(cell).is_ok()) {
                found.tables.insert(cell.to_owned());
            }
        }
        Ok(found)
    }
}

/// Deletes these links and then the table of `cell`; what is not there is a success.
///
/// # Errors
/// [`Error::System`].
pub(crate) fn clear(cell: &str, links: &[String]) -> Result<(), Error> {
    check_cell(cell)?;
    let route = Socket::route()?;
    let mut batch = Batch::new();
    let ours = |link: &link::Link| link.group != group(cell) || links.contains(&link.name);
    if links.len() > 1 && link::list(&route)?.iter().all(ours) {
        // In one step: one at a time, each waits for a grace period of the kernel.
        link::delete_group(&mut batch, group(cell));
    }
    for name in links {
        link::delete(&mut batch, name);
    }
    route.run(&batch)?;
    // The rules go last: no link is ever without them.
    Socket::netfilter()?.run(&ruleset::remove(cell)).map(drop)
}

/// Every IPv4 address of the host.
///
/// # Errors
/// [`Error::System`].
pub(crate) fn addresses() -> Result<Vec<(Ipv4Addr, u8)>, Error> {
    link::addresses(&Socket::route()?)
}

fn cell_of_link(name: &str, in_group: u32) -> Option<&str> {
    let rest = name.strip_prefix("eb")?;
    let (cell, slot) = rest.split_at_checked(6)?;
    let ours = check_cell(cell).is_ok()
        && slot.len() == SLOT_DIGITS
        && slot.bytes().all(|byte| byte.is_ascii_hexdigit())
        && in_group == group(cell);
    ours.then_some(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_cells_by_name_and_group() {
        let ours = group("0a1b2c");
        assert_eq!(cell_of_link("eb0a1b2c1f3", ours), Some("0a1b2c"));
        for (name, group) in [
            ("eb0a1b2c1f3", 0),
            ("eb0a1b2c1f3", group("0a1b2d")),
            ("eb0a1b2c1f", ours),
            ("eb0a1b2c1f33", ours),
            ("eb0a1b2cxyz", ours),
            ("eb0A1B2C1f3", ours),
            ("eth0", ours),
            ("ebé0a1b2c1f3", ours),
            ("eb", ours),
        ] {
            assert_eq!(cell_of_link(name, group), None, "{name} {group:x}");
        }
    }
}
