//! The filter, run by an emulator against a second statement of the policy, and by the kernel.

use std::collections::BTreeSet;

use super::assemble::{Verdict, ranges};
use super::*;

const ARCH: u32 = 0xc000_003e;
const ALLOW: u32 = 0x7fff_0000;
const KILL: u32 = 0x8000_0000;

const fn errno(number: i32) -> u32 {
    0x0005_0000 | number.cast_unsigned()
}

/// Runs a filter as the kernel does: `struct seccomp_data` in, action out. Panics where the kernel
/// would have refused the program.
fn run(program: &[sock_filter], arch: u32, number: u32, arguments: [u64; 6]) -> (u32, usize) {
    let mut data = Vec::new();
    data.extend_from_slice(&number.to_le_bytes());
    data.extend_from_slice(&arch.to_le_bytes());
    data.extend_from_slice(&0_u64.to_le_bytes());
    data.extend(arguments.iter().flat_map(|argument| argument.to_le_bytes()));
    let (mut at, mut value, mut steps) = (0_usize, 0_u32, 0);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        steps += 1;
        at += 1;
        let jump = |condition| usize::from(if condition { jt } else { jf });
        match code {
            0x20 => {
                assert_eq!(k % 4, 0);
                let k = k as usize;
                value = u32::from_le_bytes(data[k..k + 4].try_into().unwrap());
            }
            0x54 => value &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(value == k),
            0x35 => at += jump(value >= k),
            0x45 => at += jump(value & k != 0),
            0x06 => return (k, steps),
            _ => panic!("unknown instruction {code:#x}"),
        }
    }
}

macro_rules! numbers {
    ($($name:ident)*) => { [$(paste_number(libc::$name)),*] };
}

fn paste_number(number: libc::c_long) -> u32 {
    u32::try_from(number).unwrap()
}

/// What is allowed whatever the arguments, by the numbers of the libc crate; those that it does
/// not have yet by number (<asm/unistd_64.h> of Linux 6.17): io_pgetevents, uretprobe, cachestat,
/// map_shadow_stack, futex_wake, futex_wait, futex_requeue, statmount, listmount, and the four
/// `*xattrat`.
fn allowed() -> BTreeSet<u32> {
    let named = numbers![
        SYS_accept SYS_accept4 SYS_access SYS_adjtimex SYS_alarm SYS_arch_prctl SYS_bind SYS_brk
        SYS_capget SYS_capset SYS_chdir SYS_chmod SYS_chown SYS_clock_adjtime SYS_clock_getres
        SYS_clock_gettime SYS_clock_nanosleep SYS_close SYS_close_range SYS_connect
        SYS_copy_file_range SYS_creat SYS_dup SYS_dup2 SYS_dup3 SYS_epoll_create
        SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_ctl_old SYS_epoll_pwait SYS_epoll_pwait2
        SYS_epoll_wait SYS_epoll_wait_old SYS_eventfd SYS_eventfd2 SYS_execve SYS_execveat
        SYS_exit SYS_exit_group SYS_faccessat SYS_faccessat2 SYS_fadvise64 SYS_fallocate
        SYS_fchdir SYS_fchmod SYS_fchmodat SYS_fchmodat2 SYS_fchown SYS_fchownat SYS_fcntl
        SYS_fdatasync SYS_fgetxattr SYS_flistxattr SYS_flock SYS_fork SYS_fremovexattr
        SYS_fsetxattr SYS_fstat SYS_fstatfs SYS_fsync SYS_ftruncate SYS_futex SYS_futex_waitv
        SYS_futimesat SYS_get_robust_list SYS_get_thread_area SYS_getcpu SYS_getcwd SYS_getdents
        SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid SYS_getgroups SYS_getitimer
        SYS_getpeername SYS_getpgid SYS_getpgrp SYS_getpid SYS_getppid SYS_getpriority
        SYS_getrandom SYS_getresgid SYS_getresuid SYS_getrlimit SYS_getrusage SYS_getsid
        SYS_getsockname SYS_getsockopt SYS_gettid SYS_gettimeofday SYS_getuid SYS_getxattr
        SYS_inotify_add_watch SYS_inotify_init SYS_inotify_init1 SYS_inotify_rm_watch
        SYS_io_cancel SYS_io_destroy SYS_io_getevents SYS_io_setup SYS_io_submit SYS_ioprio_get
        SYS_ioprio_set SYS_kill SYS_landlock_add_rule SYS_landlock_create_ruleset
        SYS_landlock_restrict_self SYS_lchown SYS_lgetxattr SYS_link SYS_linkat SYS_listen
        SYS_listxattr SYS_llistxattr SYS_lremovexattr SYS_lseek SYS_lsetxattr SYS_lstat
        SYS_madvise SYS_membarrier SYS_memfd_create SYS_mincore SYS_mkdir SYS_mkdirat SYS_mlock
        SYS_mlock2 SYS_mlockall SYS_mmap SYS_mprotect SYS_mq_getsetattr SYS_mq_notify
        SYS_mq_open SYS_mq_timedreceive SYS_mq_timedsend SYS_mq_unlink SYS_mremap SYS_mseal
        SYS_msgctl SYS_msgget SYS_msgrcv SYS_msgsnd SYS_msync SYS_munlock SYS_munlockall
        SYS_munmap SYS_nanosleep SYS_newfstatat SYS_open SYS_openat SYS_openat2 SYS_pause
        SYS_pidfd_open SYS_pidfd_send_signal SYS_pipe SYS_pipe2 SYS_pkey_alloc SYS_pkey_free
        SYS_pkey_mprotect SYS_poll SYS_ppoll SYS_prctl SYS_pread64 SYS_preadv SYS_preadv2
        SYS_prlimit64 SYS_process_mrelease SYS_pselect6 SYS_pwrite64 SYS_pwritev SYS_pwritev2
        SYS_read SYS_readahead SYS_readlink SYS_readlinkat SYS_readv SYS_recvfrom SYS_recvmmsg
        SYS_recvmsg SYS_remap_file_pages SYS_removexattr SYS_rename SYS_renameat SYS_renameat2
        SYS_restart_syscall SYS_rmdir SYS_rseq SYS_rt_sigaction SYS_rt_sigpending
        SYS_rt_sigprocmask SYS_rt_sigqueueinfo SYS_rt_sigreturn SYS_rt_sigsuspend
        SYS_rt_sigtimedwait SYS_rt_tgsigqueueinfo SYS_sched_get_priority_max
        SYS_sched_get_priority_min SYS_sched_getaffinity SYS_sched_getattr SYS_sched_getparam
        SYS_sched_getscheduler SYS_sched_rr_get_interval SYS_sched_setaffinity SYS_sched_setattr
        SYS_sched_setparam SYS_sched_setscheduler SYS_sched_yield SYS_seccomp SYS_select
        SYS_semctl SYS_semget SYS_semop SYS_semtimedop SYS_sendfile SYS_sendmmsg SYS_sendmsg
        SYS_sendto SYS_set_robust_list SYS_set_thread_area SYS_set_tid_address SYS_setfsgid
        SYS_setfsuid SYS_setgid SYS_setgroups SYS_setitimer SYS_setpgid SYS_setpriority
        SYS_setregid SYS_setresgid SYS_setresuid SYS_setreuid SYS_setrlimit SYS_setsid
        SYS_setsockopt SYS_setuid SYS_setxattr SYS_shmat SYS_shmctl SYS_shmdt SYS_shmget
        SYS_shutdown SYS_sigaltstack SYS_signalfd SYS_signalfd4 SYS_splice SYS_stat SYS_statfs
        SYS_statx SYS_symlink SYS_symlinkat SYS_sync SYS_sync_file_range SYS_syncfs SYS_sysinfo
        SYS_tee SYS_tgkill SYS_time SYS_timer_create SYS_timer_delete SYS_timer_getoverrun
        SYS_timer_gettime SYS_timer_settime SYS_timerfd_create SYS_timerfd_gettime
        SYS_timerfd_settime SYS_times SYS_tkill SYS_truncate SYS_umask SYS_uname SYS_unlink
        SYS_unlinkat SYS_utime SYS_utimensat SYS_utimes SYS_vfork SYS_wait4 SYS_waitid SYS_write
        SYS_writev
    ];
    let newer = [333, 335, 451, 453, 454, 455, 456, 457, 458, 463, 464, 465, 466];
    named.into_iter().chain(newer).collect()
}

/// The policy in words of its own.
fn expected(number: u32, a: [u64; 6]) -> u32 {
    let low = |n: usize| u32::try_from(a[n] & 0xffff_ffff).unwrap();
    let name = libc::c_long::from(number);
    match name {
        _ if number >= 0x4000_0000 => KILL,
        libc::SYS_clone3 => errno(libc::ENOSYS),
        libc::SYS_clone => {
            let new = libc::CLONE_NEWNS
                | libc::CLONE_NEWCGROUP
                | libc::CLONE_NEWUTS
                | libc::CLONE_NEWIPC
                | libc::CLONE_NEWUSER
                | libc::CLONE_NEWPID
                | libc::CLONE_NEWNET;
            if low(0) & new.cast_unsigned() != 0 { errno(libc::EPERM) } else { ALLOW }
        }
        libc::SYS_socket | libc::SYS_socketpair => {
            let kind = (low(1) & 0xf).cast_signed();
            match low(0).cast_signed() {
                libc::AF_NETLINK if low(2) == 0 => ALLOW,
                libc::AF_UNIX | libc::AF_INET | libc::AF_INET6 => {
                    let raw = kind == libc::SOCK_RAW || kind == 10; // SOCK_PACKET
                    if raw { errno(libc::EPERM) } else { ALLOW }
                }
                _ => errno(libc::EAFNOSUPPORT),
            }
        }
        libc::SYS_ioctl => match libc::Ioctl::from(low(1)) {
            libc::TIOCSTI | libc::TIOCLINUX => errno(libc::EPERM),
            _ => ALLOW,
        },
        libc::SYS_personality => match low(0) {
            0 | 8 | 0x20000 | 0x20008 | 0xffff_ffff => ALLOW,
            _ => errno(libc::EPERM),
        },
        libc::SYS_mknod | libc::SYS_mknodat => {
            let mode = if name == libc::SYS_mknod { low(1) } else { low(2) };
            match mode & libc::S_IFMT {
                0 | libc::S_IFREG | libc::S_IFIFO | libc::S_IFSOCK => ALLOW,
                _ => errno(libc::EPERM),
            }
        }
        _ if allowed().contains(&number) => ALLOW,
        _ if number > 469 || (336..=423).contains(&number) => errno(libc::ENOSYS),
        _ => errno(libc::EPERM),
    }
}

#[test]
fn every_number_has_the_expected_answer() {
    let program = Program::instance();
    let mut most = 0;
    let all = (0..=600).chain([0x3fff_ffff, 0x4000_0000, 0x4000_0001, 0x8000_0000, u32::MAX]);
    for number in all {
        for arguments in [[0; 6], [u64::MAX; 6], [1; 6], [0xffff_ffff_0000_0000; 6]] {
            let (answer, steps) = run(program.instructions(), ARCH, number, arguments);
            assert_eq!(answer, expected(number, arguments), "{number} {arguments:x?}");
            most = most.max(steps);
        }
    }
    println!("{} instructions, at most {most} for one call", program.instructions().len());
    assert!(most < 40, "{most}");
}

#[test]
fn far_jumps_arrive() {
    let verdict = |number: u32| match number % 3 {
        0 => Verdict::Allow,
        1 => Verdict::Fail(1),
        _ => Verdict::Kill,
    };
    let ranges: Vec<(u32, Verdict)> = (0..2_000).map(|number| (number, verdict(number))).collect();
    let program = super::assemble::program(&ranges);
    for number in 0..2_000 {
        let want = [ALLOW, errno(libc::EPERM), KILL][number as usize % 3];
        assert_eq!(run(&program, ARCH, number, [0; 6]).0, want, "{number}");
    }
}

#[test]
fn other_architectures_end_the_process() {
    let program = Program::instance();
    // i386, aarch64, x86-64 with another byte order, nothing.
    for arch in [0x4000_0003, 0xc000_00b7, 0x8000_003e, 0] {
        assert_eq!(run(program.instructions(), arch, 0, [0; 6]).0, KILL);
    }
}

#[test]
fn arguments_are_judged() {
    let program = Program::instance();
    let numbers = numbers![
        SYS_clone SYS_socket SYS_socketpair SYS_ioctl SYS_personality SYS_mknod SYS_mknodat
    ];
    let mut values: Vec<u64> = (0..64).map(|bit| 1_u64 << bit).collect();
    values.extend(0..64);
    values.extend([0x5412, 0x541c, 0x5401, 0x5413, 0x2_0008, 0xffff_ffff, 0x1_0000_0008]);
    values.extend([0o100_644, 0o060_600, 0o020_666, 0o010_600, 0o140_600, 0o040_755, 0o120_777]);
    for number in numbers {
        for first in &values {
            for second in &values {
                for third in [0, 1, 4, 6, 0o020_666, 0o100_644, 0o060_000] {
                    let arguments = [*first, *second, third, 0, 0, 0];
                    let answer = run(program.instructions(), ARCH, number, arguments).0;
                    assert_eq!(answer, expected(number, arguments), "{number} {arguments:x?}");
                }
            }
        }
    }
}

#[test]
fn the_c_library_lists_addresses_through_a_raw_netlink_socket() {
    let program = Program::instance();
    let arguments = [16, 3 | 0x8_0000, 0, 0, 0, 0];
    assert_eq!(run(program.instructions(), ARCH, 41, arguments).0, ALLOW);
    let xfrm = [16, 3, 6, 0, 0, 0];
    assert_eq!(run(program.instructions(), ARCH, 41, xfrm).0, errno(libc::EAFNOSUPPORT));
}

/// The table as people read it; a change shows as a difference of the golden file.
#[test]
fn the_table_is_the_golden_one() {
    let all = ranges();
    let mut text = String::new();
    for (index, (first, verdict)) in all.iter().enumerate() {
        let last = all.get(index + 1).map(|(next, _)| next - 1);
        let verdict = match verdict {
            Verdict::Allow => "allow".to_owned(),
            Verdict::Kill => "kill".to_owned(),
            Verdict::Fail(number) => format!("errno {number}"),
            Verdict::Check(check) => format!("check {check:?}"),
        };
        let numbers = match last {
            Some(last) if last == *first => format!("{first}"),
            Some(last) => format!("{first}-{last}"),
            None => format!("{first}-"),
        };
        text += &numbers;
        text += " ";
        text += &verdict;
        text += "\n";
    }
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/linux/seccomp/golden.txt");
    if std::env::var_os("EBB_UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(golden).unwrap(), text);
}

#[test]
fn the_kernel_takes_it_and_does_what_it_says() {
    let output = sys::seccomp::tests::under_filter(Program::instance().instructions());
    assert_eq!(
        output,
        [
            ("getpid", 0),
            ("openat", 0),
            ("uname", 0),
            ("socket unix", 0),
            ("socket netlink route", 0),
            ("socket alg", libc::EAFNOSUPPORT),
            ("socket packet", libc::EAFNOSUPPORT),
            ("socket netlink xfrm", libc::EAFNOSUPPORT),
            ("socket raw", libc::EPERM),
            ("unshare user", libc::EPERM),
            ("clone newuser", libc::EPERM),
            ("clone3", libc::ENOSYS),
            ("mount", libc::EPERM),
            ("ptrace", libc::EPERM),
            ("keyctl", libc::EPERM),
            ("bpf", libc::EPERM),
            ("io_uring_setup", libc::EPERM),
            ("tiocsti", libc::EPERM),
            ("personality", libc::EPERM),
            ("mknod block", libc::EPERM),
            ("number 600", libc::ENOSYS),
            // The last one ends the process, with SIGSYS.
            ("x32", -libc::SIGSYS),
        ]
    );
}
