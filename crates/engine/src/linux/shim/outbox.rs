//! What the daemon is told, in order. What does not fit into the connection now waits for room, so
//! that a daemon that is slow neither loses a report nor makes the instance stand still.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ebb_model::engine::ExitRecord;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::monotonic_us;
use crate::linux::protocol::{self, Act, Command, Report};

/// The connection to the daemon, as long as there is one.
///
/// While reports wait, no command is read: so at most one answer and the few reports that a life
/// has can wait, however many commands the daemon sends.
#[derive(Debug)]
pub(super) struct Outbox {
    daemon: Option<OwnedFd>,
    waiting: VecDeque<Report>,
}

impl Outbox {
    /// Over a connection, which is set to not wait.
    pub(super) fn new(daemon: OwnedFd) -> Self {
        // A daemon that does not read must not make the instance stand still.
        let daemon = rustix::io::ioctl_fionbio(&daemon, true).is_ok().then_some(daemon);
        Self { daemon, waiting: VecDeque::new() }
    }

    /// Tells the daemon, or keeps the report until it fits.
    pub(super) fn say(&mut self, report: Report) {
        self.waiting.push_back(report);
        self.flush();
    }

    /// What to wait for before [`Outbox::go_on`]; nothing when the daemon is gone.
    pub(super) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let flags = if self.waiting.is_empty() { PollFlags::IN } else { PollFlags::OUT };
        self.daemon.as_ref().map(|daemon| (daemon.as_fd(), flags))
    }

    /// Sends what waits, or takes a command.
    pub(super) fn go_on(&mut self) -> Option<Command> {
        if !self.waiting.is_empty() {
            self.flush();
            return None;
        }
        let daemon = self.daemon.as_ref()?;
        match protocol::receive::<Command>(daemon) {
            Ok(Some((command, _))) => return Some(command),
            // What is not understood is left; what follows may be.
            Err(error) if is_passing(&error) => {}
            // A daemon that is gone changes nothing for the instance.
            Ok(None) | Err(_) => self.daemon = None,
        }
        None
    }

    /// Says the last word and waits until the daemon has taken it over, is gone, or has had
    /// `time_us` microseconds.
    pub(super) fn finish(mut self, record: ExitRecord, time_us: u64) {
        self.say(Report::Exited(record));
        let until_us = monotonic_us() + time_us;
        while let Some((daemon, flags)) = self.interest() {
            let left_us = until_us.saturating_sub(monotonic_us());
            let left = std::time::Duration::from_micros(left_us);
            let Ok(left) = Timespec::try_from(left) else { return };
            let mut polled = [PollFd::from_borrowed_fd(daemon, flags)];
            match protocol::retry(|| poll(&mut polled, Some(&left))) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            // Another command crossed the exit: the exit is its answer.
            if matches!(self.go_on(), Some(Command { act: Act::Acknowledge, .. })) {
                return;
            }
        }
    }

    fn flush(&mut self) {
        let Some(daemon) = &self.daemon else { return self.waiting.clear() };
        while let Some(report) = self.waiting.front() {
            match protocol::send(daemon, report, &[]) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // It will never fit; those behind it may.
                Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {}
                Err(_) => {
                    self.daemon = None;
                    return self.waiting.clear();
                }
            }
            self.waiting.pop_front();
        }
    }
}

/// Whether the connection goes on after this.
fn is_passing(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::InvalidData)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> (Outbox, OwnedFd, u64) {
        let (ours, theirs) = protocol::pair().unwrap();
        let mut outbox = Outbox::new(ours);
        let mut said = 0;
        while outbox.waiting.is_empty() {
            outbox.say(Report::Done { number: said });
            said += 1;
        }
        (outbox, theirs, said)
    }

    #[test]
    fn what_does_not_fit_comes_later_and_in_order() {
        let (mut outbox, theirs, said) = full();
        assert_eq!(outbox.interest().map(|(_, flags)| flags), Some(PollFlags::OUT));
        for number in 0..said {
            let (report, _) = protocol::receive::<Report>(&theirs).unwrap().unwrap();
            assert_eq!(report, Report::Done { number });
            assert!(outbox.go_on().is_none());
        }
        assert_eq!(outbox.interest().map(|(_, flags)| flags), Some(PollFlags::IN));
    }

    #[test]
    fn the_last_word_waits_for_room_and_for_its_acknowledgement() {
        let (outbox, theirs, said) = full();
        let record = ExitRecord { code: Some(42), ..ExitRecord::default() };
        let daemon = std::thread::spawn(move || {
            let mut all = Vec::new();
            for _ in 0..=said {
                all.push(protocol::receive::<Report>(&theirs).unwrap().unwrap().0);
            }
            let command = Command { number: 1, act: Act::Acknowledge };
            protocol::send(&theirs, &command, &[]).unwrap();
            all.pop()
        });
        outbox.finish(record.clone(), 30_000_000);
        assert_eq!(daemon.join().unwrap(), Some(Report::Exited(record)));
    }

    #[test]
    fn a_command_that_is_not_understood_ends_nothing() {
        let (ours, theirs) = protocol::pair().unwrap();
        let mut outbox = Outbox::new(ours);
        rustix::io::write(&theirs, &[99, 1, 2]).unwrap();
        protocol::send(&theirs, &Command { number: 7, act: Act::State }, &[]).unwrap();
        assert!(outbox.go_on().is_none());
        assert_eq!(outbox.go_on().map(|command| command.number), Some(7));
        assert!(outbox.go_on().is_none());
        drop(theirs);
        // The fork of another test may hold a copy for a moment.
        for _ in 0..1000 {
            assert!(outbox.go_on().is_none());
            if outbox.interest().is_none() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the end of the connection is not heard");
    }

    #[test]
    fn a_report_that_never_fits_does_not_stop_those_behind_it() {
        let (ours, theirs) = protocol::pair().unwrap();
        let mut outbox = Outbox::new(ours);
        outbox.say(Report::Failed { number: 1, message: "x".repeat(100_000) });
        outbox.say(Report::Done { number: 2 });
        let (report, _) = protocol::receive::<Report>(&theirs).unwrap().unwrap();
        assert_eq!(report, Report::Done { number: 2 });
    }
}
