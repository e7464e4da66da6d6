//! What the spawner leaves open for the daemon.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use crate::Error;
use crate::linux::reexec;

/// Environment variable that carries the number of the daemon's socket to the spawner.
pub(crate) const SPAWNER_VARIABLE: &str = "EBB_SPAWNER_FD";
/// Environment variable that carries the listening sockets: `name:number,name:number`.
pub(crate) const LISTENERS_VARIABLE: &str = "EBB_LISTEN_FDS";

/// Environment variable that carries the host's address among the instances.
pub(crate) const HOST_VARIABLE: &str = "EBB_HOST_ADDRESS";

/// What the spawner handed to the daemon.
#[derive(Debug)]
pub struct Inherited {
    /// Socket to the spawner, for [`Linux::connect`](crate::linux::Linux::connect).
    pub spawner: OwnedFd,
    /// Listening sockets by the names that `ebb up` gave them.
    pub listeners: BTreeMap<String, OwnedFd>,
    /// The host's address among the instances, which they ask for names.
    pub host_address: Ipv4Addr,
}

impl Inherited {
    /// Takes over what the environment names. Works once in a process.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when this process was not started by the spawner;
    /// [`Error::System`] when a named descriptor is not open.
    pub fn take() -> Result<Self, Error> {
        let spawner = std::env::var(SPAWNER_VARIABLE)
            .map_err(|_| Error::Unavailable("this process was not started by ebb up".into()))?;
        let listeners = std::env::var(LISTENERS_VARIABLE).unwrap_or_default();
        let listeners = parse(&listeners)
            .ok_or_else(|| malformed(LISTENERS_VARIABLE))?
            .into_iter()
            .map(|(name, number)| Ok((name, reexec::inherited(number)?)))
            .collect::<Result<_, Error>>()?;
        let spawner = spawner.parse().map_err(|_| malformed(SPAWNER_VARIABLE))?;
        let host = std::env::var(HOST_VARIABLE).ok().and_then(|text| text.parse().ok());
        let host_address = host.ok_or_else(|| malformed(HOST_VARIABLE))?;
        Ok(Self { spawner: reexec::inherited(spawner)?, listeners, host_address })
    }
}

fn malformed(variable: &str) -> Error {
    Error::Unavailable(format!("the environment variable {variable} is malformed"))
}

fn parse(list: &str) -> Option<Vec<(String, i32)>> {
    list.split(',')
        .filter(|item| !item.is_empty())
        .map(|item| {
            let (name, number) = item.rsplit_once(':')?;
            Some((name.to_owned(), number.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_list_of_listeners() {
        let listeners = parse("gateway:5,api:6").unwrap();
        assert_eq!(listeners, [("gateway".to_owned(), 5), ("api".to_owned(), 6)]);
        assert_eq!(parse(""), Some(vec![]));
        assert_eq!(parse("gateway"), None);
        assert_eq!(parse("gateway:x"), None);
    }
}
