//! The capabilities that a program has inside of its user namespace.

use std::io;

use crate::sys::caps;

/// The default set (numbers of <linux/capability.h>): what stock images need to start as root, drop
/// to a user and own their files, and nothing that administers a kernel. Bounding, permitted and
/// effective are this; inheritable and ambient are empty.
pub const DEFAULT: [(u8, &str); 9] = [
    (0, "CAP_CHOWN"),
    (1, "CAP_DAC_OVERRIDE"),
    (3, "CAP_FOWNER"),
    (4, "CAP_FSETID"),
    (5, "CAP_KILL"),
    (6, "CAP_SETGID"),
    (7, "CAP_SETUID"),
    (8, "CAP_SETPCAP"),
    (10, "CAP_NET_BIND_SERVICE"),
];

/// Gives up everything but [`DEFAULT`], for good.
///
/// # Errors
/// What the kernel said: `EPERM` for a thread that lacks one of them.
pub fn apply_default() -> io::Result<()> {
    caps::keep_only(bits(&DEFAULT))
}

fn bits(set: &[(u8, &str)]) -> u64 {
    set.iter().fold(0, |bits, (number, _)| bits | (1 << number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Capabilities belong to a thread, so this one gives up its own.
    #[test]
    fn nothing_but_the_default_is_left() {
        let thread = std::thread::spawn(|| {
            apply_default().unwrap();
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let held = caps::held().unwrap();
            // It cannot be taken back, and giving up twice is no error.
            apply_default().unwrap();
            let more = caps::keep_only(bits(&DEFAULT) | (1 << 21)).unwrap_err();
            (status, held, more.raw_os_error())
        });
        let (status, held, more) = thread.join().unwrap();
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        assert_eq!(bits(&DEFAULT), 0x5fb);
        assert_eq!(held, (0x5fb, 0x5fb, 0));
        for (name, set) in [
            ("CapInh:", 0),
            ("CapPrm:", 0x5fb),
            ("CapEff:", 0x5fb),
            ("CapBnd:", 0x5fb),
            ("CapAmb:", 0),
        ] {
            assert_eq!(line(name), set, "{name}");
        }
        assert_eq!(more, Some(libc::EPERM));
    }
}
