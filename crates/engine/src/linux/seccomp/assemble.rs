//! From the table to instructions of the kernel's filter machine (<linux/filter.h>).

use libc::sock_filter;

use super::table::{ABSENT, ALLOWED, CHECKED, Check, LAST, UNUSED};

/// `AUDIT_ARCH_X86_64` of <linux/audit.h>.
const ARCH: u32 = 0xc000_003e;
/// Numbers from here on belong to the x32 interface (`__X32_SYSCALL_BIT`).
const X32: u32 = 0x4000_0000;
/// Where `struct seccomp_data` has the call's number and architecture.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EAFNOSUPPORT: u32 = 97;

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is made.
    Allow,
    /// It fails with this error number.
    Fail(u32),
    /// The process ends.
    Kill,
    /// The arguments decide.
    Check(Check),
}

/// What happens to every call number: the first number of each range, ascending, with its verdict.
/// Neighbours have different verdicts; the first range begins at 0, the last one has no end.
pub(super) fn ranges() -> Vec<(u32, Verdict)> {
    ranges_with(|_, verdict| verdict)
}

/// As [`ranges`], after `change` had a look at the verdict on each number.
pub(super) fn ranges_with(change: impl Fn(u32, Verdict) -> Verdict) -> Vec<(u32, Verdict)> {
    let verdict = |number: u32| {
        if number >= X32 {
            Verdict::Kill
        } else if number > LAST || UNUSED.contains(&number) {
            Verdict::Fail(ENOSYS)
        } else if let Some((_, _, check)) = CHECKED.iter().find(|(n, ..)| *n == number) {
            Verdict::Check(*check)
        } else if ABSENT.iter().any(|(n, _)| *n == number) {
            Verdict::Fail(ENOSYS)
        } else if ALLOWED.binary_search_by_key(&number, |(n, _)| *n).is_ok() {
            Verdict::Allow
        } else {
            Verdict::Fail(EPERM)
        }
    };
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    for number in (0..=LAST + 1).chain([X32]) {
        let verdict = change(number, verdict(number));
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((number, verdict));
        }
    }
    ranges
}

/// The whole filter.
pub(super) fn program(ranges: &[(u32, Verdict)]) -> Vec<sock_filter> {
    let mut program = vec![load(OFFSET_ARCH), jump_if_equal(ARCH, 1, 0), verdict(Verdict::Kill)];
    program.push(load(OFFSET_NUMBER));
    program.extend(tree(ranges));
    program
}

/// Instructions that find the range of the loaded number by halving. Each branch ends by itself,
/// so the left half can stand before the right one.
fn tree(ranges: &[(u32, Verdict)]) -> Vec<sock_filter> {
    match ranges {
        [] => Vec::new(),
        [(_, Verdict::Check(kind))] => check(*kind),
        [(_, leaf)] => vec![verdict(*leaf)],
        _ => {
            let (left, right) = ranges.split_at(ranges.len() / 2);
            let (first, left, right) = (right[0].0, tree(left), tree(right));
            let mut all = Vec::with_capacity(left.len() + right.len() + 2);
            if let Ok(skip) = u8::try_from(left.len()) {
                all.push(jump_if_at_least(first, skip, 0));
            } else {
                // A conditional jump reaches 255 instructions, an unconditional one all.
                all.push(jump_if_at_least(first, 0, 1));
                all.push(jump(u32::try_from(left.len()).unwrap_or(u32::MAX)));
            }
            all.extend(left);
            all.extend(right);
            all
        }
    }
}

/// Instructions that decide by the arguments. The kernel uses the lower half of all of them.
fn check(check: Check) -> Vec<sock_filter> {
    let mut code = Vec::new();
    match check {
        Check::Clone => {
            // NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET of <linux/sched.h>.
            const NAMESPACES: u32 = 0x7e02_0000;
            code.push(load_argument(0));
            code.push(jump_if_any(NAMESPACES, 0, 1));
            code.push(verdict(Verdict::Fail(EPERM)));
            code.push(verdict(Verdict::Allow));
        }
        Check::Socket => socket(&mut code),
        Check::Ioctl => {
            const TIOCSTI: u32 = 0x5412;
            const TIOCLINUX: u32 = 0x541c;
            code.push(load_argument(1));
            unless_one_of(&mut code, &[TIOCSTI, TIOCLINUX], Verdict::Allow);
            code.push(verdict(Verdict::Fail(EPERM)));
        }
        Check::Personality => {
            // PER_LINUX, PER_LINUX32, both with UNAME26, and the question for the present one.
            const HARMLESS: [u32; 5] = [0, 8, 0x2_0000, 0x2_0008, u32::MAX];
            code.push(load_argument(0));
            unless_one_of(&mut code, &HARMLESS, Verdict::Fail(EPERM));
            code.push(verdict(Verdict::Allow));
        }
        Check::Mknod(mode) => {
            // S_IFMT, and: no type (which means regular), regular, fifo, socket.
            const TYPE: u32 = 0o170_000;
            const FILES: [u32; 4] = [0, 0o100_000, 0o010_000, 0o140_000];
            code.push(load_argument(mode));
            code.push(mask(TYPE));
            unless_one_of(&mut code, &FILES, Verdict::Fail(EPERM));
            code.push(verdict(Verdict::Allow));
        }
    }
    code
}

fn socket(code: &mut Vec<sock_filter>) {
    const UNIX: u32 = 1;
    const INET: u32 = 2;
    const INET6: u32 = 10;
    const NETLINK: u32 = 16;
    const ROUTE: u32 = 0;
    const TYPE: u32 = 0xf;
    const RAW: u32 = 3;
    const PACKET: u32 = 10;
    let kinds = {
        let mut code = vec![load_argument(1), mask(TYPE)];
        unless_one_of(&mut code, &[RAW, PACKET], Verdict::Allow);
        code.push(verdict(Verdict::Fail(EPERM)));
        code
    };
    let protocol = [
        load_argument(2),
        jump_if_equal(ROUTE, 0, 1),
        verdict(Verdict::Allow),
        verdict(Verdict::Fail(EAFNOSUPPORT)),
    ];
    code.push(load_argument(0));
    code.push(jump_if_equal(NETLINK, 0, 4));
    code.extend(protocol);
    unless_one_of(code, &[UNIX, INET, INET6], Verdict::Fail(EAFNOSUPPORT));
    code.extend(kinds);
}

/// Ends with `otherwise` unless the loaded value is one of `values`; then goes on.
fn unless_one_of(code: &mut Vec<sock_filter>, values: &[u32], otherwise: Verdict) {
    for (index, value) in values.iter().enumerate() {
        // Over the remaining comparisons and the verdict.
        let skip = u8::try_from(values.len() - index).unwrap_or(u8::MAX);
        code.push(jump_if_equal(*value, skip, 0));
    }
    code.push(verdict(otherwise));
}

const fn verdict(verdict: Verdict) -> sock_filter {
    const RETURN: u16 = 0x06;
    let value = match verdict {
        Verdict::Allow => 0x7fff_0000,
        Verdict::Fail(number) => 0x0005_0000 | number,
        // A condition is never a leaf of its own; ending the process is the safe answer.
        Verdict::Kill | Verdict::Check(_) => 0x8000_0000,
    };
    sock_filter { code: RETURN, jt: 0, jf: 0, k: value }
}

const fn load(offset: u32) -> sock_filter {
    const LOAD_WORD: u16 = 0x20;
    sock_filter { code: LOAD_WORD, jt: 0, jf: 0, k: offset }
}

/// The lower half of an argument: arguments begin at 16 and have 8 bytes, lower half first.
fn load_argument(number: u8) -> sock_filter {
    load(16 + 8 * u32::from(number))
}

const fn mask(bits: u32) -> sock_filter {
    const AND: u16 = 0x54;
    sock_filter { code: AND, jt: 0, jf: 0, k: bits }
}

const fn jump(over: u32) -> sock_filter {
    const JUMP: u16 = 0x05;
    sock_filter { code: JUMP, jt: 0, jf: 0, k: over }
}

const fn jump_if_equal(value: u32, then: u8, otherwise: u8) -> sock_filter {
    const JUMP_EQUAL: u16 = 0x15;
    sock_filter { code: JUMP_EQUAL, jt: then, jf: otherwise, k: value }
}

const fn jump_if_at_least(value: u32, then: u8, otherwise: u8) -> sock_filter {
    const JUMP_AT_LEAST: u16 = 0x35;
    sock_filter { code: JUMP_AT_LEAST, jt: then, jf: otherwise, k: value }
}

const fn jump_if_any(bits: u32, then: u8, otherwise: u8) -> sock_filter {
    const JUMP_ANY: u16 = 0x45;
    sock_filter { code: JUMP_ANY, jt: then, jf: otherwise, k: bits }
}
