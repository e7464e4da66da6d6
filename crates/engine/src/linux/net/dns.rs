//! Names for instances: relays DNS over UDP and TCP from the host's address in the cell to the
//! resolvers of the host. It looks at no more than the identifier and the answer bit of a message.
//!
//! Runs in the daemon, on sockets that exist before the first link does (`IP_FREEBIND`).

mod pool;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ebb_kit::Tasks;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use self::pool::Pool;
use super::socket::system;
use crate::Error;

/// Port of DNS.
const PORT: u16 = 53;
/// Longest message over UDP that is relayed; EDNS allows up to 64 KiB, resolvers send 4 KiB at
/// most (RFC 6891 section 6.2.5), so this leaves room.
const MESSAGE_MAX: usize = 8 * 1024;
/// Bytes of the header of a message (RFC 1035 section 4.1.1).
const HEADER: usize = 12;

/// Configuration of the forwarder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address to listen on: the host's address in the cell, port 53.
    pub listen: SocketAddr,
    /// Resolvers, tried in order; see [`host_resolvers`].
    pub resolvers: Vec<SocketAddr>,
    /// How long one resolver may take. 2 s: a stub resolver asks again after 5 s
    /// (resolv.conf(5)), so two resolvers are tried before it does.
    pub timeout: Duration,
    /// Questions over UDP that are under way at once; more are dropped, as a busy network would,
    /// and the asker asks again.
    pub udp: Most,
    /// Connections that are under way at once; more are closed.
    pub tcp: Most,
    /// How long a connection may be without a byte in either direction.
    pub idle: Duration,
}

/// How many may be under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// For all askers together.
    pub all: usize,
    /// For one asker, so that one instance cannot take the names from the others.
    pub each: usize,
}

impl Config {
    /// The defaults for the host's address `host`, with the resolvers of the host.
    pub fn new(host: Ipv4Addr) -> Self {
        let resolvers = host_resolvers(Path::new("/etc/resolv.conf"));
        let listen = SocketAddr::from((host, PORT));
        Self {
            listen,
            resolvers,
            timeout: Duration::from_secs(2),
            udp: Most { all: 512, each: 64 },
            tcp: Most { all: 256, each: 16 },
            idle: Duration::from_secs(2),
        }
    }
}

/// The resolvers named in a resolv.conf(5); none if it cannot be read.
pub fn host_resolvers(path: &Path) -> Vec<SocketAddr> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let name = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        // A scope such as in fe80::1%eth0 names a link of the host; such resolvers are rare.
        name.parse::<IpAddr>().ok().map(|ip| SocketAddr::from((ip, PORT)))
    };
    text.lines().filter_map(address).collect()
}

/// Relays questions until the shutdown of its tasks is called.
#[derive(Debug)]
pub struct Forwarder {
    config: Arc<Config>,
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
    tasks: Tasks,
}

impl Forwarder {
    /// Binds both sockets.
    ///
    /// # Errors
    /// [`Error::System`] when an address cannot be bound.
    pub fn bind(config: Config, tasks: Tasks) -> Result<Self, Error> {
        let failed = |error: io::Error| system(format!("listening on {}", config.listen), error);
        let udp: std::net::UdpSocket = socket(config.listen, SocketType::DGRAM).map_err(failed)?;
        let address = udp.local_addr().map_err(failed)?;
        let udp = UdpSocket::from_std(udp).map_err(failed)?;
        // The same port for both, also where port 0 was asked for.
        let tcp = tcp_listener(address).map_err(failed)?;
        Ok(Self { config: Arc::new(config), udp: Arc::new(udp), tcp, tasks })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    /// Relays until the shutdown is called.
    pub async fn run(self) {
        let (questions, connections) = (Pool::new(self.config.udp), Pool::new(self.config.tcp));
        let shutdown = self.tasks.shutdown().clone();
        let mut buffer = vec![0; MESSAGE_MAX];
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                received = self.udp.recv_from(&mut buffer) => {
                    // An error is the echo of an answer that could not be delivered.
                    let Ok((length, from)) = received else { continue };
                    let Some(place) = questions.take(from.ip()) else { continue };
                    let (udp, config) = (Arc::clone(&self.udp), Arc::clone(&self.config));
                    let question = buffer[..length].to_vec();
                    self.tasks.spawn("dns question", async move {
                        if let Some(answer) = answer(&config, &question).await {
                            let _ = udp.send_to(&answer, from).await;
                        }
                        drop(place);
                    });
                }
                accepted = self.tcp.accept() => {
                    let Ok((stream, from)) = accepted else {
                        // Out of descriptors: the questions that end will give some back.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        continue;
                    };
                    let Some(place) = connections.take(from.ip()) else { continue };
                    let (config, shutdown) = (Arc::clone(&self.config), shutdown.clone());
                    self.tasks.spawn("dns connection", async move {
                        tokio::select! {
                            () = relay(&config, stream) => {}
                            () = shutdown.wait() => {}
                        }
                        drop(place);
                    });
                }
            }
        }
    }
}

/// The answer of the first resolver that gives one; a refusal when none does; nothing for what is
/// no question.
async fn answer(config: &Config, question: &[u8]) -> Option<Vec<u8>> {
    const ANSWER_BIT: u8 = 0x80;
    if question.len() < HEADER || question[2] & ANSWER_BIT != 0 {
        return None;
    }
    for resolver in &config.resolvers {
        if let Ok(Ok(answer)) = timeout(config.timeout, ask(*resolver, question)).await {
            return Some(answer);
        }
    }
    Some(refusal(question))
}

async fn ask(resolver: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    // A socket of its own for each question: its port is as random as the identifier, which is
    // what protects against forged answers (RFC 5452).
    let any: SocketAddr = match resolver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; MESSAGE_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if length >= HEADER && buffer[..2] == question[..2] {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

/// The question's header as an answer that says REFUSED, without the question itself.
fn refusal(question: &[u8]) -> Vec<u8> {
    const REFUSED: u8 = 5;
    let mut answer = vec![0; HEADER];
    answer[..2].copy_from_slice(&question[..2]);
    // An answer, with the opcode and the wish for recursion of the question.
    answer[2] = 0x80 | (question[2] & 0x79);
    answer[3] = 0x80 | REFUSED;
    answer
}

/// Connects a client to the first resolver that takes the connection; closes it when none does.
async fn relay(config: &Config, mut client: TcpStream) {
    let mut resolvers: VecDeque<SocketAddr> = config.resolvers.iter().copied().collect();
    while let Some(resolver) = resolvers.pop_front() {
        let connected = timeout(config.timeout, TcpStream::connect(resolver)).await;
        let Ok(Ok(mut server)) = connected else { continue };
        // Questions over TCP may follow one another; ten times the time of one is enough.
        let most = config.timeout * 10;
        let _ = timeout(most, pass_on(&mut client, &mut server, config.idle)).await;
        return;
    }
    let _ = client.shutdown().await;
}

/// Passes bytes on in both directions until both have ended, or none has come for `idle`.
async fn pass_on(client: &mut TcpStream, server: &mut TcpStream, idle: Duration) -> io::Result<()> {
    let (mut asked, mut answered) = (vec![0; MESSAGE_MAX], vec![0; MESSAGE_MAX]);
    let (mut asking, mut answering) = (true, true);
    while asking || answering {
        let step = async {
            tokio::select! {
                length = client.read(&mut asked), if asking => {
                    let length = length?;
                    server.write_all(&asked[..length]).await?;
                    if length == 0 {
                        asking = false;
                        server.shutdown().await?;
                    }
                }
                length = server.read(&mut answered), if answering => {
                    let length = length?;
                    client.write_all(&answered[..length]).await?;
                    if length == 0 {
                        answering = false;
                        client.shutdown().await?;
                    }
                }
            }
            Ok::<(), io::Error>(())
        };
        timeout(idle, step).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
    Ok(())
}

/// A bound socket whose address need not exist yet.
fn socket<S: From<std::os::fd::OwnedFd>>(address: SocketAddr, kind: SocketType) -> io::Result<S> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, kind, flags, None)?;
    sockopt::set_ip_freebind(&socket, true)?;
    if kind == SocketType::STREAM {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    Ok(S::from(socket))
}

fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let listener: std::net::TcpListener = socket(address, SocketType::STREAM)?;
    rustix::net::listen(&listener, 128)?;
    TcpListener::from_std(listener)
}

#[cfg(test)]
mod tests;
