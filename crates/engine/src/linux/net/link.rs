//! Links, addresses, routes and neighbours by rtnetlink(7), as messages to add to a batch.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::message::{Batch, Body, CREATE, DUMP, EXCL, attributes, u32_at};
use super::socket::Socket;
use crate::Error;

const AF_INET: u8 = 2;

// Message types of <linux/rtnetlink.h>.
const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const GETLINK: u16 = 18;
const SETLINK: u16 = 19;
const NEWADDR: u16 = 20;
const GETADDR: u16 = 22;
const NEWROUTE: u16 = 24;
const NEWNEIGH: u16 = 28;

// Attributes of <linux/if_link.h>.
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_GROUP: u16 = 27;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_INET_CONF: u16 = 1;
/// Do not count packets for the answer.
const RTEXT_FILTER_SKIP_STATS: u32 = 8;

const IFF_UP: u32 = 1;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// A pair of links, one in this namespace, one in another.
pub(crate) struct Pair<'a> {
    /// Name of the one here.
    pub(crate) name: &'a str,
    /// Hardware address of the one here.
    pub(crate) mac: Mac,
    /// Group of the one here, to find all links of a cell again.
    pub(crate) group: u32,
    /// Name of the other.
    pub(crate) peer_name: &'a str,
    /// Hardware address of the other.
    pub(crate) peer_mac: Mac,
    /// Namespace of the other.
    pub(crate) peer_namespace: BorrowedFd<'a>,
}

/// The fixed part of link messages: `struct ifinfomsg`.
fn link_header(m: &mut Body<'_>, index: u32, flags: u32, change: u32) {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    m.raw(&header);
}

/// Makes a veth pair whose other end is born in its namespace. Both are down.
pub(crate) fn make_pair(batch: &mut Batch, pair: &Pair<'_>) {
    batch.add("making a link", NEWLINK, CREATE | EXCL, |m| {
        link_header(m, 0, 0, 0);
        m.put_text(IFLA_IFNAME, pair.name).put(IFLA_ADDRESS, &pair.mac);
        m.put_u32(IFLA_GROUP, pair.group);
        m.nest(IFLA_LINKINFO, |m| {
            m.put_text(IFLA_INFO_KIND, "veth").nest(IFLA_INFO_DATA, |m| {
                m.nest(VETH_INFO_PEER, |m| {
                    link_header(m, 0, 0, 0);
                    m.put_text(IFLA_IFNAME, pair.peer_name).put(IFLA_ADDRESS, &pair.peer_mac);
                    let namespace = pair.peer_namespace.as_raw_fd();
                    m.put_u32(IFLA_NET_NS_FD, namespace.cast_unsigned());
                });
            });
        });
    });
}

/// Asks for one link by name.
pub(crate) fn get(batch: &mut Batch, name: &str) {
    batch.add("looking for a link", GETLINK, 0, |m| {
        link_header(m, 0, 0, 0);
        m.put_text(IFLA_IFNAME, name).put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    });
}

/// Switches a link on, with IPv4 settings as pairs of `IPV4_DEVCONF_*` number and value.
pub(crate) fn up(batch: &mut Batch, index: u32, settings: &[(u16, u32)]) {
    batch.add("switching a link on", SETLINK, 0, |m| {
        link_header(m, index, IFF_UP, IFF_UP);
        if !settings.is_empty() {
            m.nest(IFLA_AF_SPEC, |m| {
                m.nest(u16::from(AF_INET), |m| {
                    m.nest(IFLA_INET_CONF, |m| {
                        for (setting, value) in settings {
                            m.put_u32(*setting, *value);
                        }
                    });
                });
            });
        }
    });
}

/// Deletes a link by name; one that is not there is a success.
pub(crate) fn delete(batch: &mut Batch, name: &str) {
    batch.add("deleting a link", DELLINK, 0, |m| {
        link_header(m, 0, 0, 0);
        m.put_text(IFLA_IFNAME, name);
    });
    batch.tolerate(Errno::NODEV);
}

/// Deletes every link of a group; a group without links is a success.
pub(crate) fn delete_group(batch: &mut Batch, group: u32) {
    batch.add("deleting links", DELLINK, 0, |m| {
        link_header(m, 0, 0, 0);
        m.put_u32(IFLA_GROUP, group);
    });
    batch.tolerate(Errno::NODEV);
}

/// Where an address is meant to be seen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scope {
    /// Everywhere: it can be the source of packets to any destination.
    Everywhere = 0,
    /// On its link only.
    Link = 253,
}

/// Gives a link one address, without a route to a network.
pub(crate) fn address(batch: &mut Batch, index: u32, address: Ipv4Addr, scope: Scope) {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    batch.add("giving a link its address", NEWADDR, CREATE | EXCL, |m| {
        m.raw(&[AF_INET, 32, 0, scope as u8]).raw(&index.to_ne_bytes());
        m.put(IFA_LOCAL, &address.octets()).put(IFA_ADDRESS, &address.octets());
    });
}

/// Routes one address to a link, with `source` as the preferred source address.
pub(crate) fn route(batch: &mut Batch, index: u32, to: Ipv4Addr, source: Ipv4Addr) {
    batch.add("adding a route", NEWROUTE, CREATE | EXCL, |m| {
        route_header(m, 32, Scope::Link, 0);
        m.put(RTA_DST, &to.octets()).put_u32(RTA_OIF, index).put(RTA_PREFSRC, &source.octets());
    });
}

/// Routes everything to `gateway`, which the link reaches directly.
pub(crate) fn default_route(batch: &mut Batch, index: u32, gateway: Ipv4Addr) {
    const RTNH_F_ONLINK: u32 = 4;
    batch.add("adding the default route", NEWROUTE, CREATE | EXCL, |m| {
        route_header(m, 0, Scope::Everywhere, RTNH_F_ONLINK);
        m.put(RTA_GATEWAY, &gateway.octets()).put_u32(RTA_OIF, index);
    });
}

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PREFSRC: u16 = 7;

/// The fixed part of route messages: `struct rtmsg`, main table, static, unicast.
fn route_header(m: &mut Body<'_>, prefix: u8, scope: Scope, flags: u32) {
    const TABLE_MAIN: u8 = 254;
    const PROTOCOL_STATIC: u8 = 4;
    const UNICAST: u8 = 1;
    m.raw(&[AF_INET, prefix, 0, 0, TABLE_MAIN, PROTOCOL_STATIC, scope as u8, UNICAST]);
    m.raw(&flags.to_ne_bytes());
}

/// Says for ever which hardware address `to` has on a link, so that nobody asks and nobody can
/// claim it.
pub(crate) fn neighbour(batch: &mut Batch, index: u32, to: Ipv4Addr, mac: Mac) {
    const NUD_PERMANENT: u16 = 0x80;
    const NDA_DST: u16 = 1;
    const NDA_LLADDR: u16 = 2;
    batch.add("adding a neighbour", NEWNEIGH, CREATE | EXCL, |m| {
        m.raw(&[AF_INET, 0, 0, 0]).raw(&index.to_ne_bytes());
        let [low, high] = NUD_PERMANENT.to_ne_bytes();
        m.raw(&[low, high, 0, 0]);
        m.put(NDA_DST, &to.octets()).put(NDA_LLADDR, &mac);
    });
}

/// A link as the kernel lists it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Its index.
    pub(crate) index: u32,
    /// Index of its peer, in the peer's namespace; 0 where there is none.
    pub(crate) peer: u32,
    /// Its group; 0 is everybody's.
    pub(crate) group: u32,
    /// Its name.
    pub(crate) name: String,
}

/// The link that a message describes.
pub(crate) fn parse(body: &[u8]) -> Option<Link> {
    let mut link = Link { index: u32_at(body, 4)?, peer: 0, group: 0, name: String::new() };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            IFLA_IFNAME => {
                let text = value.strip_suffix(&[0]).unwrap_or(value);
                link.name = String::from_utf8_lossy(text).into_owned();
            }
            IFLA_LINK => link.peer = u32_at(value, 0)?,
            IFLA_GROUP => link.group = u32_at(value, 0)?,
            _ => {}
        }
    }
    Some(link)
}

/// Every link of the namespace.
pub(crate) fn list(socket: &Socket) -> Result<Vec<Link>, Error> {
    let mut batch = Batch::new();
    batch.add("listing links", GETLINK, DUMP, |m| {
        link_header(m, 0, 0, 0);
        m.put_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    });
    let answers = socket.run(&batch)?;
    Ok(answers.iter().filter(|a| a.kind == NEWLINK).filter_map(|a| parse(&a.body)).collect())
}

/// Every IPv4 address of the namespace with the length of its prefix.
pub(crate) fn addresses(socket: &Socket) -> Result<Vec<(Ipv4Addr, u8)>, Error> {
    const IFA_LOCAL: u16 = 2;
    let mut batch = Batch::new();
    batch.add("listing addresses", GETADDR, DUMP, |m| {
        m.raw(&[AF_INET, 0, 0, 0, 0, 0, 0, 0]);
    });
    let read = |body: &[u8]| {
        let prefix = *body.get(1)?;
        let (_, value) = attributes(body.get(8..)?).find(|(kind, _)| *kind == IFA_LOCAL)?;
        let octets: [u8; 4] = value.try_into().ok()?;
        Some((Ipv4Addr::from(octets), prefix))
    };
    let answers = socket.run(&batch)?;
    Ok(answers.iter().filter(|a| a.kind == NEWADDR).filter_map(|a| read(&a.body)).collect())
}
