//! nf_tables messages: tables, chains, sets and rules as the kernel takes them
//! (<linux/netfilter/nf_tables.h>). What is allowed and what is not is said in `ruleset`.

use std::net::Ipv4Addr;

use rustix::io::Errno;

use super::message::{ACK, APPEND, Batch, Body, CREATE, DUMP, attributes};
use super::socket::Socket;
use crate::Error;

const INET: u8 = 1;
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;

const NEWTABLE: u16 = 0;
const GETTABLE: u16 = 1;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;

const LIST_ELEM: u16 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const REGISTER: u32 = 1;
const REGISTER_VERDICT: u32 = 0;
/// Type of a set's keys as the `nft` tool numbers them; for display only.
const TYPE_IPV4: u32 = 7;
const SET_INTERVAL: u32 = 4;
const ELEM_INTERVAL_END: u32 = 1;

/// Where in a packet's way a chain stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hook {
    /// As it arrives, before anything else.
    Prerouting,
    /// On its way to a process of the host.
    Input,
    /// On its way through the host.
    Forward,
    /// From a process of the host, once its way is chosen.
    Output,
    /// As it leaves; addresses are rewritten here.
    Postrouting,
}

impl Hook {
    /// Hook number, priority and type of chain (<linux/netfilter.h>, <linux/netfilter_ipv4.h>).
    const fn numbers(self) -> (u32, i32, &'static str) {
        match self {
            Self::Prerouting => (0, -300, "filter"),
            Self::Input => (1, 0, "filter"),
            Self::Forward => (2, 0, "filter"),
            Self::Output => (3, 0, "filter"),
            Self::Postrouting => (4, 100, "nat"),
        }
    }
}

/// A property of a packet that fits into a register.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    /// Name of the link it came in by.
    LinkIn,
    /// Name of the link it goes out by.
    LinkOut,
    /// 2 for IPv4, 10 for IPv6.
    Family,
    /// 6 for TCP, 17 for UDP.
    Transport,
    /// Source address.
    Source,
    /// Destination address.
    Destination,
    /// Destination port.
    Port,
    /// Bits of the state of its connection.
    State,
}

/// One step of a rule: the rule goes on only while its steps are true.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// The field begins with these bytes.
    Is(Field, Vec<u8>),
    /// The field does not begin with these bytes.
    IsNot(Field, Vec<u8>),
    /// The field and the mask are (true) or are not (false) these bytes.
    Masked(Field, [u8; 4], [u8; 4], bool),
    /// The field is in the named set.
    In(Field, &'static str),
    /// The packet goes on to the next chain.
    Accept,
    /// The packet ends here.
    Drop,
    /// The packet leaves with the host's own address.
    Masquerade,
}

/// A transaction on one table.
pub(crate) struct Transaction<'a> {
    batch: Batch,
    table: &'a str,
}

impl<'a> Transaction<'a> {
    /// An empty one for `table`.
    pub(crate) fn new(table: &'a str) -> Self {
        let mut batch = Batch::new();
        batch.add("opening a filter transaction", BATCH_BEGIN, 0, boundary);
        Self { batch, table }
    }

    /// Ends it: what is to be sent.
    pub(crate) fn finish(mut self) -> Batch {
        self.batch.add("closing a filter transaction", BATCH_END, 0, boundary);
        self.batch
    }

    fn add(
        &mut self,
        what: &'static str,
        kind: u16,
        flags: u16,
        build: impl FnOnce(&mut Body<'_>),
    ) {
        self.batch.add(what, (SUBSYSTEM << 8) | kind, flags | ACK, |m| {
            m.raw(&[INET, 0, 0, 0]);
            build(m);
        });
    }

    /// Makes the table, if it is not there.
    pub(crate) fn make_table(&mut self) {
        let table = self.table;
        self.add("making a filter table", NEWTABLE, CREATE, |m| {
            m.put_text(1, table);
        });
    }

    /// Deletes the table with all that is in it.
    pub(crate) fn delete_table(&mut self) {
        let table = self.table;
        self.add("deleting a filter table", DELTABLE, 0, |m| {
            m.put_text(1, table);
        });
        self.batch.tolerate(Errno::NOENT);
    }

    /// Makes a chain that lets pass what no rule of it ends.
    pub(crate) fn chain(&mut self, name: &str, hook: Hook) {
        const ACCEPT: u32 = 1;
        let table = self.table;
        let (number, priority, kind) = hook.numbers();
        self.add("making a filter chain", NEWCHAIN, CREATE, |m| {
            m.put_text(1, table).put_text(3, name);
            m.nest(4, |m| {
                m.put_be32(1, number).put_be32(2, priority.cast_unsigned());
            });
            m.put_be32(5, ACCEPT).put_text(7, kind);
        });
    }

    /// Makes a set of address intervals; `intervals` are first and last address, ascending and
    /// apart.
    pub(crate) fn set(&mut self, name: &str, intervals: &[(Ipv4Addr, Ipv4Addr)]) {
        let table = self.table;
        self.add("making a filter set", NEWSET, CREATE, |m| {
            m.put_text(1, table).put_text(2, name).put_be32(3, SET_INTERVAL);
            m.put_be32(4, TYPE_IPV4).put_be32(5, 4).put_be32(10, 1);
        });
        self.add("filling a filter set", NEWSETELEM, CREATE, |m| {
            m.put_text(1, table).put_text(2, name).put_be32(4, 1);
            m.nest(3, |m| {
                for (first, last) in intervals {
                    element(m, *first, 0);
                    // An interval ends before its end; the highest address has none.
                    if let Some(end) = last.to_bits().checked_add(1) {
                        element(m, Ipv4Addr::from_bits(end), ELEM_INTERVAL_END);
                    }
                }
            });
        });
    }

    /// Appends a rule to a chain.
    pub(crate) fn rule(&mut self, chain: &str, steps: &[Step]) {
        let table = self.table;
        self.add("adding a filter rule", NEWRULE, CREATE | APPEND, |m| {
            m.put_text(1, table).put_text(2, chain);
            m.nest(4, |m| {
                for step in steps {
                    write_step(m, step);
                }
            });
        });
    }
}

/// Names of the tables of the namespace that take part in IPv4 and IPv6 both, as ours do.
pub(crate) fn tables(socket: &Socket) -> Result<Vec<String>, Error> {
    const NAME: u16 = 1;
    let mut batch = Batch::new();
    batch.add("listing filter tables", (SUBSYSTEM << 8) | GETTABLE, DUMP, |m| {
        m.raw(&[INET, 0, 0, 0]);
    });
    let name = |body: &[u8]| {
        // The filter by family is the caller's business in some kernels.
        let rest = body.get(4..).filter(|_| body.first() == Some(&INET))?;
        let (_, value) = attributes(rest).find(|(kind, _)| *kind == NAME)?;
        Some(String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned())
    };
    let kind = (SUBSYSTEM << 8) | NEWTABLE;
    let answers = socket.run(&batch)?;
    Ok(answers.iter().filter(|a| a.kind == kind).filter_map(|a| name(&a.body)).collect())
}

/// `struct nfgenmsg` of a message that opens or closes a transaction of nf_tables.
fn boundary(m: &mut Body<'_>) {
    let [high, low] = SUBSYSTEM.to_be_bytes();
    m.raw(&[0, 0, high, low]);
}

fn element(m: &mut Body<'_>, address: Ipv4Addr, flags: u32) {
    m.nest(LIST_ELEM, |m| {
        m.nest(1, |m| {
            m.put(DATA_VALUE, &address.octets());
        });
        if flags != 0 {
            m.put_be32(3, flags);
        }
    });
}

fn expression(m: &mut Body<'_>, name: &str, build: impl FnOnce(&mut Body<'_>)) {
    m.nest(LIST_ELEM, |m| {
        m.put_text(1, name).nest(2, build);
    });
}

fn write_step(m: &mut Body<'_>, step: &Step) {
    const EQUAL: u32 = 0;
    const NOT_EQUAL: u32 = 1;
    const VERDICT_DROP: u32 = 0;
    const VERDICT_ACCEPT: u32 = 1;
    match step {
        Step::Is(field, data) => {
            load(m, *field);
            compare(m, EQUAL, data);
        }
        Step::IsNot(field, data) => {
            load(m, *field);
            compare(m, NOT_EQUAL, data);
        }
        Step::Masked(field, mask, data, equal) => {
            load(m, *field);
            expression(m, "bitwise", |m| {
                m.put_be32(1, REGISTER).put_be32(2, REGISTER).put_be32(3, 4);
                m.nest(4, |m| {
                    m.put(DATA_VALUE, mask);
                });
                m.nest(5, |m| {
                    m.put(DATA_VALUE, &[0; 4]);
                });
            });
            compare(m, if *equal { EQUAL } else { NOT_EQUAL }, data);
        }
        Step::In(field, set) => {
            load(m, *field);
            expression(m, "lookup", |m| {
                m.put_text(1, set).put_be32(2, REGISTER);
            });
        }
        Step::Accept => verdict(m, VERDICT_ACCEPT),
        Step::Drop => verdict(m, VERDICT_DROP),
        Step::Masquerade => expression(m, "masq", |_| {}),
    }
}

fn load(m: &mut Body<'_>, field: Field) {
    const NETWORK: u32 = 1;
    const TRANSPORT: u32 = 2;
    let meta = |m: &mut Body<'_>, key: u32| {
        expression(m, "meta", |m| {
            m.put_be32(1, REGISTER).put_be32(2, key);
        });
    };
    let payload = |m: &mut Body<'_>, base: u32, offset: u32, length: u32| {
        expression(m, "payload", |m| {
            m.put_be32(1, REGISTER).put_be32(2, base).put_be32(3, offset).put_be32(4, length);
        });
    };
    match field {
        Field::LinkIn => meta(m, 6),
        Field::LinkOut => meta(m, 7),
        Field::Family => meta(m, 15),
        Field::Transport => meta(m, 16),
        Field::Source => payload(m, NETWORK, 12, 4),
        Field::Destination => payload(m, NETWORK, 16, 4),
        Field::Port => payload(m, TRANSPORT, 2, 2),
        Field::State => expression(m, "ct", |m| {
            m.put_be32(1, REGISTER).put_be32(2, 0);
        }),
    }
}

fn compare(m: &mut Body<'_>, operator: u32, data: &[u8]) {
    expression(m, "cmp", |m| {
        m.put_be32(1, REGISTER).put_be32(2, operator);
        m.nest(3, |m| {
            m.put(DATA_VALUE, data);
        });
    });
}

fn verdict(m: &mut Body<'_>, code: u32) {
    expression(m, "immediate", |m| {
        m.put_be32(1, REGISTER_VERDICT);
        m.nest(2, |m| {
            m.nest(DATA_VERDICT, |m| {
                m.put_be32(1, code);
            });
        });
    });
}
