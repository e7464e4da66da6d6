//! What packets of instances may do, as one nf_tables table per cell.
//!
//! Every rule matches the links of the cell by the first eight bytes of their name, so the table
//! is written once, before the first link exists, and never again.
//!
//! What is NOT active: there is no limit for the connections of an instance (how many there are, or
//! how many begin per second) and none for its bandwidth, so one instance can fill the host's table
//! of connections or its uplink; and nobody watches the table, so rules that somebody else on the
//! host deletes (`nft flush ruleset`) are back only with the next start of the platform.

use std::net::Ipv4Addr;

use super::message::Batch;
use super::nft::{Field, Hook, Step, Transaction};
use super::ranges::{Block, mask};

/// Addresses that instances do not reach: the host's own kind of networks, not the internet
/// (IANA special-purpose registry, RFC 6890), and cloud metadata services outside of those.
/// 169.254.169.254 is in 169.254.0.0/16, 100.100.100.200 in 100.64.0.0/10.
pub const REFUSED: [(Ipv4Addr, u8); 11] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// Name of a cell's table.
pub(crate) fn table(cell: &str) -> String {
    format!("ebb_{cell}")
}

/// What all links of a cell begin with: eight bytes.
pub(crate) fn prefix(cell: &str) -> String {
    format!("eb{cell}")
}

/// The transaction that replaces the table of a cell. `allowed` are networks that instances reach
/// although they are refused by default.
pub(crate) fn install(cell: &str, block: Block, allowed: &[(Ipv4Addr, u8)]) -> Batch {
    let table = table(cell);
    let mut t = Transaction::new(&table);
    // Making it first lets the deletion succeed where there was none.
    t.make_table();
    t.delete_table();
    t.make_table();
    let (base, length) = block.subnet();
    let mut refused = REFUSED.to_vec();
    refused.push((base, length));
    t.set("refused", &subtract(&refused, allowed));
    rules(&mut t, prefix(cell).as_bytes(), block);
    t.finish()
}

fn rules(t: &mut Transaction<'_>, links: &[u8], block: Block) {
    const IPV4: [u8; 1] = [2];
    const TCP: [u8; 1] = [6];
    const UDP: [u8; 1] = [17];
    const DNS: [u8; 2] = 53_u16.to_be_bytes();
    const SMTP: [u8; 2] = 25_u16.to_be_bytes();
    // NF_CT_STATE_BIT of established and related, in the machine's byte order.
    const KNOWN: [u8; 4] = 6_u32.to_ne_bytes();

    let ipv4 = || Step::Is(Field::Family, IPV4.to_vec());
    let from = || Step::Is(Field::LinkIn, links.to_vec());
    let to = || Step::Is(Field::LinkOut, links.to_vec());
    let is = |field, data: &[u8]| Step::Is(field, data.to_vec());
    let known = || Step::Masked(Field::State, KNOWN, [0; 4], false);
    let (base, length) = block.subnet();
    let bits = mask(length).to_be_bytes();
    let own = |equal| Step::Masked(Field::Source, bits, base.octets(), equal);
    let host = block.host().octets();

    t.chain("prerouting", Hook::Prerouting);
    t.rule("prerouting", &[from(), Step::IsNot(Field::Family, IPV4.to_vec()), Step::Drop]);
    t.rule("prerouting", &[from(), ipv4(), own(false), Step::Drop]);

    t.chain("input", Hook::Input);
    t.rule("input", &[from(), known(), Step::Accept]);
    for transport in [UDP, TCP] {
        let resolver = is(Field::Destination, &host);
        let protocol = is(Field::Transport, &transport);
        let port = is(Field::Port, &DNS);
        t.rule("input", &[from(), ipv4(), resolver, protocol, port, Step::Accept]);
    }
    t.rule("input", &[from(), Step::Drop]);

    t.chain("forward", Hook::Forward);
    t.rule("forward", &[from(), to(), Step::Drop]);
    t.rule("forward", &[from(), known(), Step::Accept]);
    let refused = Step::In(Field::Destination, "refused");
    t.rule("forward", &[from(), ipv4(), refused, Step::Drop]);
    // Mail leaves through a relay that asks who is there, not through everybody's instances.
    t.rule("forward", &[from(), is(Field::Transport, &TCP), is(Field::Port, &SMTP), Step::Drop]);
    // Nobody but the host itself opens a connection to an instance.
    t.rule("forward", &[to(), known(), Step::Accept]);
    t.rule("forward", &[to(), Step::Drop]);

    // An address without an instance must not be looked for elsewhere, where anybody may answer.
    t.chain("output", Hook::Output);
    t.rule("output", &[ipv4(), is(Field::Destination, &host), Step::Accept]);
    let lost = Step::Masked(Field::Destination, bits, base.octets(), true);
    let elsewhere = || Step::IsNot(Field::LinkOut, links.to_vec());
    t.rule("output", &[ipv4(), lost, elsewhere(), Step::Drop]);

    t.chain("postrouting", Hook::Postrouting);
    t.rule("postrouting", &[ipv4(), own(true), elsewhere(), Step::Masquerade]);
}

/// The transaction that deletes the table of a cell.
pub(crate) fn remove(cell: &str) -> Batch {
    let table = table(cell);
    let mut t = Transaction::new(&table);
    t.make_table();
    t.delete_table();
    t.finish()
}

/// `from` without `without`, as first and last addresses, ascending and apart.
fn subtract(from: &[(Ipv4Addr, u8)], without: &[(Ipv4Addr, u8)]) -> Vec<(Ipv4Addr, Ipv4Addr)> {
    let ends = |(address, prefix): &(Ipv4Addr, u8)| {
        let first = address.to_bits() & mask(*prefix);
        (first, first | !mask(*prefix))
    };
    let mut all: Vec<(u32, u32)> = from.iter().map(ends).collect();
    for (low, high) in without.iter().map(ends) {
        let mut rest = Vec::with_capacity(all.len() + 1);
        for (first, last) in all {
            if first < low {
                rest.push((first, last.min(low - 1)));
            }
            if last > high {
                rest.push((first.max(high + 1), last));
            }
        }
        all = rest;
    }
    all.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::new();
    for (first, last) in all {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    let address = Ipv4Addr::from_bits;
    joined.into_iter().map(|(first, last)| (address(first), address(last))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(intervals: &[(Ipv4Addr, Ipv4Addr)]) -> Vec<String> {
        intervals.iter().map(|(first, last)| format!("{first}-{last}")).collect()
    }

    #[test]
    fn refused_networks_are_joined_and_allowed_ones_cut_out() {
        let net = |a, b, c, d, prefix| (Ipv4Addr::new(a, b, c, d), prefix);
        let all = subtract(&REFUSED, &[]);
        assert_eq!(all.len(), REFUSED.len());
        assert_eq!(text(&all).last().unwrap(), "224.0.0.0-255.255.255.255");
        let from = [net(10, 0, 0, 0, 8), net(10, 5, 0, 0, 16), net(11, 0, 0, 0, 8)];
        assert_eq!(text(&subtract(&from, &[])), ["10.0.0.0-11.255.255.255"]);
        let cut = subtract(&from, &[net(10, 1, 2, 3, 32), net(0, 0, 0, 0, 32)]);
        assert_eq!(text(&cut), ["10.0.0.0-10.1.2.2", "10.1.2.4-11.255.255.255"]);
        assert!(subtract(&from, &[net(0, 0, 0, 0, 0)]).is_empty());
        let last = subtract(&[net(255, 0, 0, 0, 8)], &[net(255, 255, 255, 255, 32)]);
        assert_eq!(text(&last), ["255.0.0.0-255.255.255.254"]);
    }
}
