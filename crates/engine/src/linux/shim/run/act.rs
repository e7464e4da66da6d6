//! Carrying out what the daemon asks for.

use ebb_model::engine::State;

use super::Running;
use crate::linux::protocol::{self, Act, Command, InitOrder, Report, Status};
use crate::linux::shim::monotonic_us;

/// Numbers of the signals that images name as their stop signal (signal(7), x86 and arm).
const SIGNALS: [(&str, i32); 10] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("USR2", 12),
    ("ALRM", 14),
    ("TERM", 15),
    ("WINCH", 28),
];

impl Running<'_> {
    /// Carries out `command` and answers it.
    pub(super) fn obey(&mut self, command: &Command) {
        let number = command.number;
        let answer = match command.act {
            Act::State => Report::State { number, status: self.status() },
            Act::Signal(signal) => self.answer(number, |this| this.signal(signal)),
            Act::Freeze => self.answer(number, |this| this.sandbox.group.freeze(true)),
            Act::Thaw => self.answer(number, |this| this.sandbox.group.freeze(false)),
            Act::Stop { grace_ms } => self.answer(number, |this| {
                this.stop(grace_ms);
                Ok(())
            }),
            Act::Acknowledge => return,
        };
        self.daemon.say(answer);
    }

    fn answer(
        &mut self,
        number: u64,
        act: impl FnOnce(&mut Self) -> std::io::Result<()>,
    ) -> Report {
        match act(self) {
            Ok(()) => Report::Done { number },
            Err(error) => Report::Failed { number, message: error.to_string() },
        }
    }

    fn status(&self) -> Status {
        Status {
            id: self.id.clone(),
            state: self.state,
            memory_bytes: self.sandbox.group.memory_bytes(),
            cpu_ns: self.sandbox.group.cpu_ns(),
        }
    }

    fn signal(&self, signal: i32) -> std::io::Result<()> {
        protocol::send(self.sandbox.channel(), &InitOrder::Signal(signal), &[])
    }

    /// Begins the end: the stop signal now, the kill after `grace_ms`.
    pub(super) fn stop(&mut self, grace_ms: u64) {
        let kill_at_us = monotonic_us().saturating_add(grace_ms.saturating_mul(1000));
        // A second, shorter grace counts; a longer one does not lengthen the first.
        self.kill_at_us = Some(self.kill_at_us.map_or(kill_at_us, |at| at.min(kill_at_us)));
        let before = std::mem::replace(&mut self.state, State::Stopping);
        self.probe = None;
        if before == State::Stopping {
            return;
        }
        let _ = self.sandbox.group.freeze(false); // a frozen program hears nothing
        let wanted = self.spec.containers.first().map(|c| c.rootfs.config.stop_signal.as_str());
        let signal = stop_signal(wanted.unwrap_or_default());
        let executed = self.phases.start_us > 0;
        if !executed || self.signal(signal).is_err() {
            self.sandbox.kill();
        }
    }
}

/// The number of an image's stop signal; SIGTERM for none and for one that is not known, because
/// what an image says must not be able to prevent a stop.
fn stop_signal(name: &str) -> i32 {
    if let Ok(number) = name.parse::<i32>() {
        return if (1..=64).contains(&number) { number } else { libc::SIGTERM };
    }
    let short = name.strip_prefix("SIG").unwrap_or(name);
    let known = SIGNALS.iter().find(|(known, _)| *known == short);
    if let Some((_, number)) = known {
        return *number;
    }
    // nginx and php-fpm stop with SIGQUIT, systemd with SIGRTMIN+3.
    match short.strip_prefix("RTMIN+").and_then(|offset| offset.parse::<i32>().ok()) {
        Some(offset @ 0..=30) => 34 + offset,
        _ => libc::SIGTERM,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_signals() {
        for (name, number) in [
            ("", 15),
            ("SIGQUIT", 3),
            ("QUIT", 3),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("0", 15),
            ("65", 15),
            ("SIGFOO", 15),
        ] {
            assert_eq!(stop_signal(name), number, "{name}");
        }
    }
}
