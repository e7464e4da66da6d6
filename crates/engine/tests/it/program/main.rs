//! The static program that runs inside of instances under test. It says what it sees; the tests
//! judge.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

unsafe extern "C" {
    fn syscall(number: i64, ...) -> i64;
    fn signal(number: i32, handler: usize) -> usize;
    fn raise(number: i32) -> i32;
}

const IGNORE: usize = 1;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let number = |index: usize| args.get(index).and_then(|a| a.parse::<i64>().ok()).unwrap_or(0);
    match args.get(1).map_or("", String::as_str) {
        "serve" => serve(u16::try_from(number(2)).unwrap_or(8080)),
        "serve-deaf" => {
            unsafe { signal(15, IGNORE) };
            serve(u16::try_from(number(2)).unwrap_or(8080));
        }
        "say" => say(&args[2..]),
        "exit" => return ExitCode::from(u8::try_from(number(2)).unwrap_or(255)),
        "signal" => {
            let number = i32::try_from(number(2)).unwrap_or(9);
            // The standard library has handlers of its own for some.
            unsafe { signal(number, 0) };
            unsafe { raise(number) };
        }
        "sleep" => loop {
            std::thread::sleep(Duration::from_secs(1000));
        },
        "deaf" => {
            unsafe { signal(15, IGNORE) };
            loop {
                std::thread::sleep(Duration::from_secs(1000));
            }
        }
        "print" => print(),
        "flood" => flood(),
        "fill" => fill(args.get(2).map_or("/", String::as_str)),
        "oom" => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(vec![1u8; 1 << 20]);
            }
        }
        "orphan" => {
            // A child that outlives its parent must not keep the instance alive.
            let me = std::env::current_exe().expect("own path");
            std::process::Command::new(me).arg("sleep").spawn().expect("a child");
        }
        "probe" => probe(),
        other => println!("unknown mode {other:?}"),
    }
    ExitCode::SUCCESS
}

fn serve(port: u16) {
    let listener = TcpListener::bind(("0.0.0.0", port)).expect("listen");
    for stream in listener.incoming().flatten() {
        let mut stream = stream;
        let mut head = [0u8; 1024];
        let _ = stream.read(&mut head);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    }
}

fn say(lines: &[String]) {
    for line in lines {
        match line.split_once(':') {
            Some(("err", text)) => eprintln!("{text}"),
            Some((_, text)) => println!("{text}"),
            None => {}
        }
    }
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

fn print() {
    println!("one");
    eprintln!("two");
    print!("three");
    // /dev/stdout must be openable, as nginx does with its access log.
    let out = std::fs::OpenOptions::new().append(true).open("/dev/stdout");
    let _ = std::io::stdout().flush();
    out.expect("open /dev/stdout").write_all(b" four\n").expect("write");
}

fn flood() {
    let line = [b'x'; 1000];
    let mut out = std::io::stdout().lock();
    for _ in 0..12_000 {
        let _ = out.write_all(&line);
        let _ = out.write_all(b"\n");
    }
}

/// Writes until it is refused, and says how much it was and why.
fn fill(dir: &str) {
    let mut file = std::fs::File::create(format!("{dir}/big")).expect("a file");
    let mut mib = 0;
    let error = loop {
        match file.write_all(&[1u8; 1 << 20]) {
            Ok(()) => mib += 1,
            Err(error) => break error,
        }
    };
    println!("{mib} {}", code(error));
}

/// Prints `name=value` lines about everything that the security profile promises.
fn probe() {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines() {
        let wanted = ["Cap", "NoNewPrivs", "Seccomp:", "Uid", "Gid", "Groups", "NSpid"];
        if wanted.iter().any(|name| line.starts_with(name)) {
            println!("status.{}", line.replace(":\t", "=").replace('\t', " "));
        }
    }
    for name in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let link = std::fs::read_link(format!("/proc/self/ns/{name}"));
        println!("ns.{name}={}", link.map_or_else(|e| e.to_string(), |l| l.display().to_string()));
    }
    file("uid_map", "/proc/self/uid_map");
    file("hostname", "/proc/sys/kernel/hostname");
    file("etc.hosts", "/etc/hosts");
    file("etc.hostname", "/etc/hostname");
    file("resolv", "/etc/resolv.conf");
    file("oom", "/proc/self/oom_score_adj");
    file("cgroup", "/proc/self/cgroup");
    file("mounts", "/proc/self/mountinfo");
    for masked in ["kcore", "keys", "timer_list", "kallsyms", "interrupts", "kmsg"] {
        let bytes = std::fs::read(format!("/proc/{masked}"));
        println!("masked.{masked}={}", bytes.map_or_else(code, |b| b.len().to_string()));
    }
    println!("masked.firmware={}", count("/sys/firmware"));
    println!("fds={}", list("/proc/self/fd"));
    println!("dev={}", list("/dev"));
    println!("root={}", list("/"));
    println!("pids={}", list("/proc"));
    println!("cwd={}", std::env::current_dir().map_or_else(code, |d| d.display().to_string()));
    for (name, value) in std::env::vars() {
        println!("env.{name}={value}");
    }
    outcome("write.root", std::fs::write("/written", "x"));
    outcome("write.tmp", std::fs::write("/tmp/written", "x"));
    outcome("write.sysctl", std::fs::write("/proc/sys/kernel/hostname", "x"));
    outcome("write.sysrq", std::fs::write("/proc/sysrq-trigger", ""));
    outcome("write.sys", std::fs::write("/sys/kernel/uevent_helper", "x"));
    outcome("read.init", std::fs::read_link("/proc/1/exe").map(drop));
    calls();
}

fn calls() {
    let path = c"/tmp".as_ptr();
    let none = 0usize;
    let calls: [(&str, i64, [usize; 5]); 17] = [
        ("mount", 165, [path as usize, path as usize, c"tmpfs".as_ptr() as usize, 0, 0]),
        ("umount", 166, [c"/proc".as_ptr() as usize, 2, 0, 0, 0]),
        ("unshare.user", 272, [0x1000_0000, 0, 0, 0, 0]),
        ("unshare.mount", 272, [0x0002_0000, 0, 0, 0, 0]),
        ("setns", 308, [0, 0, 0, 0, 0]),
        ("pivot_root", 155, [path as usize, path as usize, 0, 0, 0]),
        ("chroot", 161, [path as usize, 0, 0, 0, 0]),
        ("ptrace", 101, [16, 1, none, none, 0]),
        ("bpf", 321, [0, 0, 0, 0, 0]),
        ("keyctl", 250, [0, 0, 0, 0, 0]),
        ("io_uring", 425, [1, 0, 0, 0, 0]),
        ("clone3", 435, [0, 0, 0, 0, 0]),
        ("mknod.block", 133, [c"/tmp/b".as_ptr() as usize, 0o60_600, 0x0801, 0, 0]),
        ("sethostname", 170, [path as usize, 1, 0, 0, 0]),
        ("kill.init", 62, [1, 9, 0, 0, 0]),
        ("open_by_handle", 304, [0, 0, 0, 0, 0]),
        ("reboot", 169, [0, 0, 0, 0, 0]),
    ];
    for (name, number, [a, b, c, d, e]) in calls {
        let answer = unsafe { syscall(number, a, b, c, d, e) };
        println!("call.{name}={}", if answer < 0 { errno() } else { "ok".into() });
    }
    for family in [1i64, 2, 10, 16, 17, 38, 40] {
        let answer = unsafe { syscall(41, family, 2i64, 0i64) };
        println!("socket.{family}={}", if answer < 0 { errno() } else { "ok".into() });
    }
    let raw = unsafe { syscall(41, 2i64, 3i64, 1i64) };
    println!("socket.raw={}", if raw < 0 { errno() } else { "ok".into() });
}

fn file(name: &str, path: &str) {
    let text = std::fs::read_to_string(path).unwrap_or_else(code);
    println!("{name}={}", text.trim().replace('\n', "|"));
}

fn list(path: &str) -> String {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .map(|entries| {
            entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
        })
        .unwrap_or_default();
    names.sort();
    names.join(",")
}

fn count(path: &str) -> String {
    std::fs::read_dir(path).map_or_else(code, |entries| entries.count().to_string())
}

fn outcome(name: &str, result: std::io::Result<()>) {
    println!("{name}={}", result.map_or_else(code, |()| "ok".to_owned()));
}

fn code(error: std::io::Error) -> String {
    format!("E{}", error.raw_os_error().unwrap_or(0))
}

fn errno() -> String {
    code(std::io::Error::last_os_error())
}
