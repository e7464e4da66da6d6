//! From `ebb up` to the spawner: checks, listeners, and the handover.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use ebb_engine::linux::net::Range;
use ebb_engine::linux::reexec;
use ebb_engine::linux::spawner::{self, SpawnerConfig};
use ebb_model::{Fault, Kind};
use serde::{Deserialize, Serialize};

use crate::claim;
use crate::config::Config;
use crate::error::{Error, failed};

/// How the platform says that it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Announce {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
}

/// What each process of a platform must know.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Handover {
    /// The checked configuration.
    pub config: Config,
    /// Six hex digits that name everything outside the data directory.
    pub cell: String,
    /// How to say that it is ready.
    pub announce: Announce,
    /// Numbers of the open descriptors that the spawner takes over, by name.
    pub descriptors: BTreeMap<String, i32>,
}

impl Handover {
    /// Reads what the process before wrote as this one's argument.
    ///
    /// # Errors
    /// `HANDOVER_MISSING` when this process was not started by `ebb up`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        serde_json::from_str(text).map_err(|_| {
            let message = "this command is started by `ebb up` alone";
            Fault::new("HANDOVER_MISSING", Kind::Invalid, message).into()
        })
    }

    /// Directory of the output of instances.
    pub fn log_dir(&self) -> PathBuf {
        self.config.data_dir.join("logs")
    }

    /// A file that is there once a daemon of this platform was ready.
    pub(crate) fn mark(&self) -> PathBuf {
        self.run_dir().join("announced")
    }

    /// Exit code of a daemon that could not start, where `exit_code` is the command's. When
    /// the platform never was ready, it says that starting again cannot help; later it can: a full
    /// disk, say, has room again.
    pub fn failed_start(&self, exit_code: u8) -> u8 {
        let first = spawner::FATAL.start();
        if self.mark().exists() { exit_code } else { first + exit_code.min(15) }
    }

    fn text(&self) -> Result<String, Error> {
        Ok(serde_json::to_string(self).map_err(|error| failed("handing over", &error))?)
    }

    /// Directory of sockets, locks and exit records; gone after a reboot.
    pub fn run_dir(&self) -> PathBuf {
        PathBuf::from("/run/ebb").join(&self.cell)
    }
}

/// Checks the machine, claims the data directory, opens the listeners and becomes the spawner.
///
/// # Errors
/// `NOT_ROOT`, `DATA_DIR_IN_USE`, `DATA_DIR_UNWRITABLE`, `PORT_TAKEN`, `ADDRESS_UNAVAILABLE`.
pub fn start(config: Config, announce: Announce) -> Result<Infallible, Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Fault::new("NOT_ROOT", Kind::Denied, "`ebb up` must be started by root")
            .hint("start it with sudo: it makes namespaces, cgroups, mounts and links")
            .into());
    }
    let claim = claim::data_dir(&config.data_dir)?;
    let api = listen(config.api_listen, "api.listen", "--api")?;
    let gateway = listen(config.gateway_listen, "gateway.listen", "--gateway")?;
    // The lock goes with the spawner, which never looks at it: it ends with the process.
    let kept = [
        ("lock", OwnedFd::from(claim.lock)),
        ("api", OwnedFd::from(api)),
        ("gateway", OwnedFd::from(gateway)),
    ];
    let descriptors = kept.iter().map(|(name, fd)| ((*name).to_owned(), fd.as_raw_fd())).collect();
    let handover = Handover { config, cell: claim.cell, announce, descriptors };
    let arguments = ["__spawner".to_owned(), handover.text()?];
    let open: Vec<BorrowedFd<'_>> = kept.iter().map(|(_, fd)| fd.as_fd()).collect();
    Ok(reexec::sealed(&arguments, &open).map_err(Fault::from)?)
}

fn listen(address: SocketAddr, key: &str, flag: &str) -> Result<TcpListener, Fault> {
    TcpListener::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => Fault::new(
            "PORT_TAKEN",
            Kind::Conflict,
            format!("{address} is taken by another program"),
        )
        .at(key)
        .hint(format!("give another address with {flag}, port 0 takes a free one")),
        _ => Fault::new(
            "ADDRESS_UNAVAILABLE",
            Kind::Invalid,
            format!("{address} cannot be listened on: {error}"),
        )
        .at(key)
        .hint(format!("give an address of this machine with {flag}")),
    })
}

/// The spawner process: runs until it is told to stop, then leaves nothing behind. Answers the
/// exit code for the process.
///
/// # Errors
/// The platform could not be set up; nothing is left behind then either.
pub fn spawner(handover: &Handover) -> Result<u8, Error> {
    let take = |name: &str| -> Result<OwnedFd, Error> {
        let number = handover.descriptors.get(name).copied().unwrap_or(-1);
        Ok(reexec::inherited(number).map_err(Fault::from)?)
    };
    let _lock = take("lock")?;
    let listeners =
        vec![("api".to_owned(), take("api")?), ("gateway".to_owned(), take("gateway")?)];
    let (base, prefix) = handover.config.address_range;
    let config = SpawnerConfig {
        daemon_args: vec!["__daemon".to_owned(), handover.text()?],
        listeners,
        range: Range::new(base, prefix).map_err(Fault::from)?,
        reserve: handover.config.reserve,
        ..SpawnerConfig::new(&handover.cell, handover.log_dir(), confined)
    };
    let code = spawner::run(config).map_err(Fault::from)?;
    // The daemon has said why; the command ends with the exit code for it.
    Ok(if spawner::FATAL.contains(&code) { code - spawner::FATAL.start() } else { code })
}

/// What a confined process does: it unpacks one layer, from the first descriptor below the second.
fn confined(arguments: &[String], descriptors: Vec<OwnedFd>) -> u8 {
    let compression = arguments.first().map_or("", String::as_str);
    match <[OwnedFd; 2]>::try_from(descriptors) {
        Ok([blob, target]) => ebb_images::unpack::child(blob, target, compression),
        Err(_) => 1,
    }
}
