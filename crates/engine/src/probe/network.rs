//! Links and packet filters, in a network namespace of a thread that ends.

use std::fs;

use super::Probe;
use crate::Error;
use crate::linux::net;

pub(super) fn all() -> Vec<Probe> {
    let tried = std::thread::Builder::new().spawn(net::rehearse).map(std::thread::JoinHandle::join);
    let (filter, link) = match tried {
        Ok(Ok(answers)) => answers,
        _ => (Err(cannot()), Err(cannot())),
    };
    vec![
        Probe::needed("nf_tables", filter, "instances would reach everything"),
        Probe::needed("veth", link, "instances have no network"),
        forwarding(),
    ]
}

fn cannot() -> Error {
    Error::Unavailable("no thread could be started".to_owned())
}

fn forwarding() -> Probe {
    const NAME: &str = "ip_forward";
    match fs::read_to_string("/proc/sys/net/ipv4/ip_forward") {
        Ok(value) if value.trim() == "1" => Probe::ok(NAME, "on"),
        Ok(_) => Probe::fallback(NAME, "off: `ebb up` switches it on, and it stays on"),
        Err(error) => Probe::missing(NAME, format!("{error}: instances do not reach the world")),
    }
}
