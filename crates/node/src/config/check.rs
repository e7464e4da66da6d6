//! From raw text to a configuration that is right, or every fault at once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ebb_model::{Fault, Kind};
use serde::{Deserialize, Serialize};

use super::Raw;

/// A checked configuration. Handed from `ebb up` to the spawner and from there to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// `data_dir`, absolute.
    pub data_dir: PathBuf,
    /// `domain`.
    pub domain: String,
    /// `api.listen`.
    pub api_listen: SocketAddr,
    /// `api.names`.
    pub api_names: Vec<String>,
    /// `api.image_registries`.
    pub image_registries: Vec<String>,
    /// `api.max_objects`; 0: no limit.
    pub max_objects: u64,
    /// `api.list_seats`.
    pub list_seats: u32,
    /// `api.object_seats`.
    pub object_seats: u32,
    /// `api.queue_length`.
    pub queue_length: u32,
    /// `api.queue_timeout_seconds`, in milliseconds.
    pub queue_timeout_ms: u64,
    /// `gateway.listen`.
    pub gateway_listen: SocketAddr,
    /// `store.key_file`; none: derived from the cell.
    pub key_file: Option<PathBuf>,
    /// `engine.address_range`: network address and prefix length.
    pub address_range: (Ipv4Addr, u8),
    /// `engine.resolvers`; empty: the host's.
    pub resolvers: Vec<SocketAddr>,
    /// `engine.reserve`.
    pub reserve: usize,
    /// `control.progress_deadline_seconds`, in milliseconds.
    pub progress_deadline_ms: u64,
    /// `log.level`.
    pub log_level: String,
}

/// Checks every value.
///
/// # Errors
/// `CONFIG_INVALID` for each value that is not allowed, naming the key and what is.
pub fn check(raw: &Raw) -> Result<Config, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut values = Values { raw, faults: &mut faults };
    let config = Config {
        data_dir: values.absolute("data_dir"),
        domain: values.domain("domain"),
        api_listen: values.parsed("api.listen", "an address with a port, such as 127.0.0.1:7443"),
        api_names: values.list("api.names"),
        image_registries: values.list("api.image_registries"),
        max_objects: u64::try_from(values.number("api.max_objects", 0, 1_000_000_000)).unwrap_or(0),
        list_seats: values.count("api.list_seats", 1, 1_000),
        object_seats: values.count("api.object_seats", 1, 10_000),
        queue_length: values.count("api.queue_length", 0, 100_000),
        queue_timeout_ms: 1000 * u64::from(values.count("api.queue_timeout_seconds", 1, 600)),
        gateway_listen: values
            .parsed("gateway.listen", "an address with a port, such as 0.0.0.0:80"),
        key_file: values.optional_path("store.key_file"),
        address_range: values.network("engine.address_range"),
        resolvers: values.resolvers("engine.resolvers"),
        reserve: values.number("engine.reserve", 0, 64),
        progress_deadline_ms: 1000
            * u64::try_from(values.number("control.progress_deadline_seconds", 1, 3600))
                .unwrap_or(600),
        log_level: values.levels("log.level"),
    };
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

/// What `log.level` may say.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

struct Values<'a> {
    raw: &'a Raw,
    faults: &'a mut Vec<Fault>,
}

impl Values<'_> {
    fn text(&self, key: &str) -> &str {
        self.raw.get(key).map_or("", String::as_str)
    }

    fn refuse(&mut self, key: &str, allowed: &str) {
        let message = format!("{:?} is not allowed for {key}: give {allowed}", self.text(key));
        self.faults.push(Fault::new("CONFIG_INVALID", Kind::Invalid, message).at(key));
    }

    fn parsed(&mut self, key: &str, allowed: &str) -> SocketAddr {
        SocketAddr::from_str(self.text(key)).unwrap_or_else(|_| {
            self.refuse(key, allowed);
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    fn count(&mut self, key: &str, least: usize, most: usize) -> u32 {
        u32::try_from(self.number(key, least, most)).unwrap_or(u32::MAX)
    }

    fn number(&mut self, key: &str, least: usize, most: usize) -> usize {
        match self.text(key).parse() {
            Ok(number) if (least..=most).contains(&number) => number,
            _ => {
                self.refuse(key, &format!("a whole number from {least} to {most}"));
                least
            }
        }
    }

    fn absolute(&mut self, key: &str) -> PathBuf {
        std::path::absolute(self.text(key)).unwrap_or_else(|_| {
            self.refuse(key, "a path");
            PathBuf::new()
        })
    }

    fn optional_path(&mut self, key: &str) -> Option<PathBuf> {
        (!self.text(key).is_empty()).then(|| self.absolute(key))
    }

    fn list(&self, key: &str) -> Vec<String> {
        let items = self.text(key).split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn domain(&mut self, key: &str) -> String {
        let domain = self.text(key).to_lowercase();
        if ebb_model::name::check_subdomain(&domain, key).is_err() {
            self.refuse(key, "a domain name, such as localhost or apps.example.com");
        }
        domain
    }

    /// A level, or several for parts of the program. A word that is none would be taken for the name
    /// of a part, and silence everything else.
    fn levels(&mut self, key: &str) -> String {
        let known = |level: &str| LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
        let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let levels = self.text(key).to_owned();
        let fine = levels.split(',').all(|item| match item.trim().split_once('=') {
            None => known(item.trim()),
            Some((name, level)) => !name.is_empty() && name.chars().all(part) && known(level),
        });
        if !fine {
            self.refuse(key, "a level, such as info, or levels of parts: info,ebb_gateway=debug");
        }
        levels
    }

    fn network(&mut self, key: &str) -> (Ipv4Addr, u8) {
        let parsed = self.text(key).split_once('/').and_then(|(address, prefix)| {
            let address = address.parse::<Ipv4Addr>().ok()?;
            let prefix = prefix.parse::<u8>().ok().filter(|prefix| (10..=16).contains(prefix))?;
            let host_bits = u32::MAX >> prefix;
            (u32::from(address) & host_bits == 0).then_some((address, prefix))
        });
        parsed.unwrap_or_else(|| {
            self.refuse(key, "an IPv4 network of /10 to /16, such as 100.64.0.0/10");
            (Ipv4Addr::UNSPECIFIED, 10)
        })
    }

    fn resolvers(&mut self, key: &str) -> Vec<SocketAddr> {
        let mut resolvers = Vec::new();
        for item in self.list(key) {
            let address = item
                .parse::<SocketAddr>()
                .or_else(|_| item.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)));
            match address {
                Ok(address) => resolvers.push(address),
                Err(_) => self.refuse(key, "addresses such as 9.9.9.9 or 127.0.0.1:5353"),
            }
        }
        resolvers
    }
}
