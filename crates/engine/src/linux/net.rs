//! The network of instances: one namespace and one pair of links each, no bridge, one table of
//! packet filter rules per cell.
//!
//! An instance has one address, a route to the host's address on its link and a default route
//! through it. The host has a route to each instance. Both ends know each other's hardware address
//! for ever, so nothing is asked on the link. What instances may reach is said in [`ruleset`];
//! the host's links check besides that a packet's source is the instance of the link
//! (`rp_filter`). IPv6 is off on both ends.
//!
//! Everything speaks netlink itself: no process is started. It is made for a process with one
//! thread: [`Network::prepare`] moves the calling thread into the new namespace and back. Every
//! call opens its own socket (5 microseconds), so a fork can go on with a copy of [`Network`]
//! without reading the answers of others.

pub mod claims;
pub mod dns;
mod leavings;
mod link;
mod message;
mod nft;
pub mod ranges;
mod ruleset;
mod socket;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::thread::LinkNameSpaceType;

use crate::Error;
use crate::sys::netns;
pub use claims::Claim;
pub(crate) use leavings::{Leavings, addresses, clear};
use link::{Mac, Pair, Scope};
use message::Batch;
pub use ranges::{Block, Range};
pub use ruleset::REFUSED;
use socket::{Socket, system};

/// Name of the link inside of an instance.
const INSIDE: &str = "eth0";
/// `ENODEV`: there is no such link.
const NO_DEVICE: i32 = 19;
/// Settings of the host's end: packets come from where they would be sent to, and the host
/// answers questions about its address on that link only (`IPV4_DEVCONF_RP_FILTER`,
/// `_ARP_ANNOUNCE`, `_ARP_IGNORE`, `_SEND_REDIRECTS`, `_ACCEPT_REDIRECTS` of <linux/ip.h>).
const HOST_SETTINGS: [(u16, u32); 5] = [(8, 1), (18, 2), (19, 1), (6, 0), (4, 0)];
/// Settings inside of the namespace, written before its link exists.
const INSIDE_SETTINGS: [(&str, &str); 4] = [
    ("ipv4/ip_unprivileged_port_start", "0"),
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
    ("ipv6/conf/default/accept_ra", "0"),
];

/// What can be chosen about the network of a cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Networks that instances reach although they are private: a database in 10.0.0.0/8, say.
    pub allowed: Vec<(Ipv4Addr, u8)>,
}

/// The network of one cell.
#[derive(Debug)]
pub struct Network {
    cell: String,
    block: Block,
    host: OwnedFd,
    /// Set when the way back into the host's namespace failed: nothing may be done from here.
    astray: bool,
    forwarding_enabled: bool,
}

/// A network namespace, ready for an instance.
#[derive(Debug)]
pub struct Prepared {
    /// The namespace. It and its link end when nothing holds it.
    pub netns: OwnedFd,
    /// Address of the instance.
    pub address: Ipv4Addr,
    /// Name of the host's end of the link.
    pub link: String,
}

impl Network {
    /// Writes the packet filter table of `cell` (replacing one that is there, in one step) and
    /// switches packet forwarding on. `cell` is six hex digits. Links that are there stay.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a cell that is no cell; [`Error::System`].
    pub fn setup(cell: &str, claim: &Claim, config: &Config) -> Result<Self, Error> {
        check_cell(cell)?;
        let block = claim.block();
        let host = current_namespace()?;
        Socket::netfilter()?.run(&ruleset::install(cell, block, &config.allowed))?;
        let forwarding_enabled = enable_forwarding()?;
        let cell = cell.to_owned();
        Ok(Self { cell, block, host, astray: false, forwarding_enabled })
    }

    /// The network of a cell that is set up already, for another process of it: sockets must not
    /// be shared.
    pub(crate) fn attach(cell: &str, block: Block) -> Result<Self, Error> {
        let host = current_namespace()?;
        let cell = cell.to_owned();
        Ok(Self { cell, block, host, astray: false, forwarding_enabled: false })
    }

    /// Whether [`Network::setup`] had to switch `net.ipv4.ip_forward` on. It stays on: others on
    /// the host may rely on it by the time we end.
    pub const fn forwarding_enabled(&self) -> bool {
        self.forwarding_enabled
    }

    /// Ids and addresses of this cell.
    pub const fn block(&self) -> Block {
        self.block
    }

    /// The host's address: gateway and resolver of every instance.
    pub const fn host_address(&self) -> Ipv4Addr {
        self.block.host()
    }

    /// Makes the network namespace and the links of `slot`. When it fails, nothing is left.
    ///
    /// # Errors
    /// [`Error::Exhausted`] for a slot that does not exist; [`Error::System`], also when the slot
    /// is in use.
    pub fn prepare(&mut self, slot: u16) -> Result<Prepared, Error> {
        let none = || Error::Exhausted(format!("a cell has {} network slots", ranges::SLOTS));
        let address = self.block.address(slot).ok_or_else(none)?;
        let name = self.link(slot);
        let (netns, inside) = self.make_namespace()?;
        let pair = Pair {
            name: &name,
            mac: mac(self.block.host()),
            group: group(&self.cell),
            peer_name: INSIDE,
            peer_mac: mac(address),
            peer_namespace: netns.as_fd(),
        };
        let mut batch = Batch::new();
        link::make_pair(&mut batch, &pair);
        link::get(&mut batch, &name);
        let route = Socket::route()?;
        let answers = route.run(&batch)?;
        let made = answers.iter().find_map(|answer| link::parse(&answer.body));
        let made = made.ok_or_else(|| system("looking for a link", io::ErrorKind::NotFound))?;
        let wired = self.wire_host(&route, &made, address).and_then(|()| {
            let mut batch = Batch::new();
            let host = self.block.host();
            link::up(&mut batch, 1, &[]);
            link::address(&mut batch, made.peer, address, Scope::Everywhere);
            link::up(&mut batch, made.peer, &[]);
            link::route(&mut batch, made.peer, host, address);
            link::default_route(&mut batch, made.peer, host);
            link::neighbour(&mut batch, made.peer, host, mac(host));
            inside.run(&batch).map(drop)
        });
        match wired {
            Ok(()) => Ok(Prepared { netns, address, link: name }),
            Err(error) => {
                // The first failure is what matters.
                let _ = self.release(slot);
                Err(error)
            }
        }
    }

    /// Whether `slot` has no link. Once an instance has ended and nothing holds its namespace, the
    /// kernel deletes its link by itself, in the background, in about 30 ms: this is how a
    /// process that has other things to do waits for it. Takes about 10 microseconds.
    pub fn is_free(&self, slot: u16) -> Result<bool, Error> {
        self.check_here()?;
        let mut batch = Batch::new();
        link::get(&mut batch, &self.link(slot));
        match Socket::route()?.run(&batch) {
            Ok(answers) => Ok(answers.is_empty()),
            Err(Error::System { source, .. }) if source.raw_os_error() == Some(NO_DEVICE) => {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes the link of `slot` now, and with it the instance's end. A slot without a link is a
    /// success, at once; otherwise the kernel waits for a grace period: about 35 ms, in which the
    /// caller does nothing else. [`Network::is_free`] is the way without waiting.
    pub fn release(&mut self, slot: u16) -> Result<(), Error> {
        if self.is_free(slot)? {
            return Ok(());
        }
        let mut batch = Batch::new();
        link::delete(&mut batch, &self.link(slot));
        Socket::route()?.run(&batch).map(drop)
    }

    /// Deletes every link of the cell and its table.
    pub fn teardown(self) -> Result<(), Error> {
        self.check_here()?;
        clean(&Socket::route()?, &self.cell)
    }

    /// Name of the host's link of `slot`: 11 of the 15 characters that a link name may have.
    fn link(&self, slot: u16) -> String {
        format!("{}{slot:03x}", ruleset::prefix(&self.cell))
    }

    fn check_here(&self) -> Result<(), Error> {
        if self.astray {
            let message = "the process has lost its way back into the host's network namespace";
            return Err(Error::Unavailable(message.to_owned()));
        }
        Ok(())
    }

    /// Makes a namespace with its settings and a socket in it, and comes back.
    fn make_namespace(&mut self) -> Result<(OwnedFd, Socket), Error> {
        self.check_here()?;
        netns::unshare_network().map_err(|error| system("making a network namespace", error))?;
        let made = fill_namespace();
        let network = Some(LinkNameSpaceType::Network);
        if let Err(errno) = rustix::thread::move_into_link_name_space(self.host.as_fd(), network) {
            self.astray = true;
            return Err(system("going back to the host's network namespace", errno));
        }
        made
    }

    fn wire_host(&self, route: &Socket, made: &link::Link, address: Ipv4Addr) -> Result<(), Error> {
        // Before the link is up, or it would get a link-local address.
        set(&format!("ipv6/conf/{}/disable_ipv6", made.name), "1")?;
        let mut batch = Batch::new();
        link::up(&mut batch, made.index, &HOST_SETTINGS);
        link::address(&mut batch, made.index, self.block.host(), Scope::Link);
        link::route(&mut batch, made.index, address, self.block.host());
        link::neighbour(&mut batch, made.index, address, mac(address));
        route.run(&batch).map(drop)
    }
}

/// Deletes every link and the table that a cell left behind. Nothing to delete is a success.
///
/// # Errors
/// [`Error::Invalid`] for a cell that is no cell; [`Error::System`].
pub fn cleanup_leftovers(cell: &str) -> Result<(), Error> {
    check_cell(cell)?;
    clean(&Socket::route()?, cell)
}

fn clean(route: &Socket, cell: &str) -> Result<(), Error> {
    // All links in one step: one at a time, each waits for a grace period of the kernel.
    let mut batch = Batch::new();
    link::delete_group(&mut batch, group(cell));
    route.run(&batch)?;
    let prefix = ruleset::prefix(cell);
    let left = link::list(route)?;
    let mut batch = Batch::new();
    for link in left.iter().filter(|link| link.name.starts_with(&prefix)) {
        link::delete(&mut batch, &link.name);
    }
    route.run(&batch)?;
    // The rules go last: no link is ever without them.
    Socket::netfilter()?.run(&ruleset::remove(cell)).map(drop)
}

/// Tries out a filter table and a pair of links in a network namespace of the calling thread, which
/// should end afterwards. Answers for both, in this order.
pub(crate) fn rehearse() -> (Result<(), Error>, Result<(), Error>) {
    const CELL: &str = "000000";
    let prepared = netns::unshare_network()
        .map_err(|error| system("making a network namespace", error))
        .and_then(|()| current_namespace());
    let here = match prepared {
        Ok(here) => here,
        Err(error) => {
            let second = Error::Unavailable(error.to_string());
            return (Err(error), Err(second));
        }
    };
    let block = ranges::rehearsal_block();
    let filter = Socket::netfilter()
        .and_then(|socket| socket.run(&ruleset::install(CELL, block, &[])))
        .map(drop);
    let pair = Pair {
        name: "ebprobe0",
        mac: mac(block.host()),
        group: group(CELL),
        peer_name: "ebprobe1",
        peer_mac: mac(block.host()),
        peer_namespace: here.as_fd(),
    };
    let mut batch = Batch::new();
    link::make_pair(&mut batch, &pair);
    let link = Socket::route().and_then(|socket| socket.run(&batch)).map(drop);
    (filter, link)
}

/// The settings of a new namespace, itself, and a socket in it; run inside of it.
fn fill_namespace() -> Result<(OwnedFd, Socket), Error> {
    let netns = current_namespace()?;
    let socket = Socket::route()?;
    for (name, value) in INSIDE_SETTINGS {
        set(name, value)?;
    }
    Ok((netns, socket))
}

/// The network namespace of the calling thread.
fn current_namespace() -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open("/proc/thread-self/ns/net", flags, Mode::empty())
        .map_err(|errno| system("opening the network namespace", errno))
}

/// Writes a setting of the network namespace that the thread is in. A kernel without IPv6 has no
/// settings of it, and nothing to switch off.
fn set(name: &str, value: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/net/{name}");
    match fs::write(&path, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && name.starts_with("ipv6/") => {
            Ok(())
        }
        other => other.map_err(|error| system(format!("writing {path}"), error)),
    }
}

/// Lets the host pass packets on; answers whether it did not do so before.
fn enable_forwarding() -> Result<bool, Error> {
    let path = "/proc/sys/net/ipv4/ip_forward";
    let now = fs::read_to_string(path).map_err(|error| system(format!("reading {path}"), error))?;
    if now.trim() == "1" {
        return Ok(false);
    }
    set("ipv4/ip_forward", "1").map(|()| true)
}

/// Refuses what is not six lower-case hex digits.
pub(crate) fn check_cell(cell: &str) -> Result<(), Error> {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if cell.len() == 6 && cell.bytes().all(digit) {
        return Ok(());
    }
    let message = format!("{cell:?} is not a cell: six hex digits are");
    Err(Error::Invalid { field: "cell".to_owned(), message })
}

/// Group of a cell's links: a letter of ours and the cell's 24 bits. 0 is everybody's.
fn group(cell: &str) -> u32 {
    0xeb00_0000 | u32::from_str_radix(cell, 16).unwrap_or_default()
}

/// Hardware address of the end of a link that has `address`: locally administered, different for
/// each end.
fn mac(address: Ipv4Addr) -> Mac {
    let [a, b, c, d] = address.octets();
    [0x02, 0xeb, a, b, c, d]
}

#[cfg(test)]
mod tests;
