//! Finding out when an instance accepts connections.
//!
//! Nothing tells about a new listening socket in another network namespace, so the shim connects
//! from outside, as the gateway will, and tries again after a wait that grows with the time that
//! has passed: a start of 1 ms is seen within 0.1 ms, a start of 1 s within 5 ms.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

/// Shortest and longest wait between two tries, in microseconds.
const WAIT_MIN_US: u64 = 50;
const WAIT_MAX_US: u64 = 5_000;
/// Share of the time since the start that a wait takes: a tenth.
const WAIT_SHARE: u64 = 10;
/// A try that is not answered at all is given up after this long, in microseconds.
const TRY_MAX_US: u64 = 1_000_000;

/// Tries to connect until it works.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) to: SocketAddrV4,
    began_us: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting { until_us: u64 },
    Connecting { socket: OwnedFd, until_us: u64 },
}

impl Probe {
    /// A probe of `to` whose first try is due now.
    pub(super) const fn new(to: SocketAddrV4, now_us: u64) -> Self {
        Self { to, began_us: now_us, state: State::Waiting { until_us: now_us } }
    }

    /// The socket to wait for, ready when it can be written.
    pub(super) const fn socket(&self) -> Option<&OwnedFd> {
        match &self.state {
            State::Connecting { socket, .. } => Some(socket),
            State::Waiting { .. } => None,
        }
    }

    /// When [`Probe::go_on`] must be called at the latest.
    pub(super) const fn due_us(&self) -> u64 {
        match self.state {
            State::Waiting { until_us } | State::Connecting { until_us, .. } => until_us,
        }
    }

    /// Goes on, `ready` when the socket is; answers whether a connection was accepted.
    pub(super) fn go_on(&mut self, ready: bool, now_us: u64) -> bool {
        match &self.state {
            State::Connecting { socket, until_us } => {
                if ready {
                    if rustix::net::sockopt::socket_error(socket).is_ok_and(|done| done.is_ok()) {
                        return true;
                    }
                    self.wait(now_us);
                } else if now_us >= *until_us {
                    self.wait(now_us);
                }
                false
            }
            State::Waiting { until_us } if now_us < *until_us => false,
            State::Waiting { .. } => self.attempt(now_us),
        }
    }

    fn attempt(&mut self, now_us: u64) -> bool {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let Ok(socket) = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None) else {
            self.wait(now_us);
            return false;
        };
        match connect(&socket, &self.to) {
            Ok(()) => return true,
            Err(Errno::INPROGRESS) => {
                self.state = State::Connecting { socket, until_us: now_us + TRY_MAX_US };
            }
            Err(_) => self.wait(now_us),
        }
        false
    }

    fn wait(&mut self, now_us: u64) {
        let passed = now_us.saturating_sub(self.began_us);
        let wait = (passed / WAIT_SHARE).clamp(WAIT_MIN_US, WAIT_MAX_US);
        self.state = State::Waiting { until_us: now_us + wait };
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn waits_grow_with_the_time_that_passed() {
        let mut probe = Probe::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), 0);
        probe.wait(0);
        assert_eq!(probe.due_us(), 50);
        probe.wait(10_000);
        assert_eq!(probe.due_us(), 11_000);
        probe.wait(1_000_000);
        assert_eq!(probe.due_us(), 1_005_000);
    }

    #[test]
    fn sees_a_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut probe = Probe::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), 0);
        let accepted = probe.go_on(false, 0) || probe.go_on(true, 1);
        assert!(accepted);
        drop(listener);
        let mut probe = Probe::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), 0);
        assert!(!probe.go_on(false, 0));
    }
}
