//! What instances see and can do.

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ebb_model::engine::InstanceSpec;

use crate::harness::{Ctx, id};

/// The default set: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP,
/// NET_BIND_SERVICE.
const CAPABILITIES: &str = "00000000000005fb";

async fn probed(ctx: &Ctx, number: u32, spec: InstanceSpec) -> BTreeMap<String, String> {
    let exit = ctx.run(number, spec).await;
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let lines = ctx.printed(&id(number)).await;
    let pairs = lines.iter().filter_map(|line| line.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(crate) async fn profile(ctx: Ctx) {
    let seen = probed(&ctx, 1, ctx.spec(&["probe"])).await;
    let is = |name: &str, value: &str| {
        assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
    };
    for name in ["CapPrm", "CapEff", "CapBnd"] {
        let value = u64::from_str_radix(&seen[&format!("status.{name}")], 16).unwrap();
        assert_eq!(value & !u64::from_str_radix(CAPABILITIES, 16).unwrap(), 0, "{name}");
    }
    is("status.CapInh", "0000000000000000");
    is("status.CapAmb", "0000000000000000");
    is("status.NoNewPrivs", "1");
    is("status.Seccomp", "2");
    is("status.Uid", "0 0 0 0");
    assert_eq!(seen["status.Groups"].trim(), "");
    for name in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let host = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(seen[&format!("ns.{name}")], host.display().to_string(), "{name}");
    }
    let map: Vec<&str> = seen["uid_map"].split_whitespace().collect();
    assert_eq!((map[0], map[2]), ("0", "65536"));
    assert!(map[1].parse::<u32>().unwrap() >= 1 << 20);
    is("hostname", "hello-00001-abcdefgh");
    is("etc.hostname", "hello-00001-abcdefgh");
    assert!(seen["etc.hosts"].contains("hello-00001-abcdefgh"));
    assert!(seen["resolv"].starts_with("nameserver "));
    is("oom", "500");
    is("cwd", "/");
    is("env.GREETING", "hello");
    assert_eq!(seen.keys().filter(|name| name.starts_with("env.")).count(), 2);
    // 3 is the descriptor with which the program looks.
    is("fds", "0,1,2,3");
    is("dev", "fd,full,null,ptmx,pts,random,shm,stderr,stdin,stdout,tty,urandom,zero");
    is("root", "bin,dev,etc,proc,sys,tmp");
    for masked in ["kcore", "keys", "timer_list", "kallsyms", "interrupts", "kmsg"] {
        if Path::new("/proc").join(masked).exists() {
            is(&format!("masked.{masked}"), "0");
        }
    }
    is("masked.firmware", "0");
    let pids: Vec<&str> =
        seen["pids"].split(',').filter(|name| name.parse::<u32>().is_ok()).collect();
    assert_eq!(pids, ["2"]);
    for cgroup in seen["cgroup"].split('|').filter(|line| line.contains("memory")) {
        assert!(cgroup.ends_with(":/"), "{cgroup}");
    }
    is("write.root", "ok");
    is("write.tmp", "ok");
    for name in ["write.sysctl", "write.sys"] {
        assert!(seen[name].starts_with('E'), "{name}: {}", seen[name]);
    }
    refused(&seen);
    mounts(&seen["mounts"]);
}

fn refused(seen: &BTreeMap<String, String>) {
    const EPERM: &str = "E1";
    for name in [
        "mount",
        "umount",
        "unshare.user",
        "unshare.mount",
        "setns",
        "pivot_root",
        "chroot",
        "ptrace",
        "bpf",
        "keyctl",
        "io_uring",
        "mknod.block",
        "sethostname",
        "open_by_handle",
        "reboot",
    ] {
        assert_eq!(seen[&format!("call.{name}")], EPERM, "{name}");
    }
    assert_eq!(seen["call.clone3"], "E38");
    for (family, allowed) in [
        ("1", true),
        ("2", true),
        ("10", true),
        ("16", true),
        ("17", false),
        ("38", false),
        ("40", false),
    ] {
        assert_eq!(seen[&format!("socket.{family}")] == "ok", allowed, "family {family}");
    }
    assert!(seen["socket.raw"].starts_with('E'));
    assert!(seen["read.init"].starts_with('E'));
}

fn mounts(table: &str) {
    for line in table.split('|') {
        let fields: Vec<&str> = line.split(' ').collect();
        let (point, options) = (fields[4], fields[5]);
        let has = |option: &str| options.split(',').any(|one| one == option);
        assert!(has("nosuid"), "{line}");
        if !point.starts_with("/dev") && !line.contains("/null ") {
            assert!(has("nodev"), "{line}");
        }
        match point {
            "/proc" => assert!(has("noexec") && line.contains("hidepid=invisible"), "{line}"),
            "/sys" | "/proc/sys" | "/proc/bus" | "/proc/irq" | "/proc/fs" => {
                assert!(has("ro") && has("noexec"), "{line}");
            }
            "/dev/shm" => assert!(has("noexec") && has("nodev"), "{line}"),
            _ => {}
        }
    }
}

pub(crate) async fn users(ctx: Ctx) {
    let layer = ctx.layer();
    std::fs::create_dir(layer.join("etc")).unwrap();
    std::fs::write(layer.join("etc/passwd"), "web:x:101:102::/:/bin/sh\n").unwrap();
    std::fs::write(layer.join("etc/group"), "www:x:33:web\n").unwrap();
    let mut spec = ctx.spec(&["probe"]);
    spec.containers[0].user = "web".into();
    let seen = probed(&ctx, 1, spec).await;
    assert_eq!(seen["status.Uid"], "101 101 101 101");
    assert_eq!(seen["status.Gid"], "102 102 102 102");
    assert_eq!(seen["status.Groups"].trim(), "33");
    for name in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert_eq!(seen[&format!("status.{name}")], "0000000000000000", "{name}");
    }
    assert_eq!(seen["write.root"], "E13");
    assert_eq!(seen["write.tmp"], "ok");
    for (number, user) in (2..).zip(["nobody", "65535", "4294967296", "-1"]) {
        let mut spec = ctx.spec(&["probe"]);
        spec.containers[0].user = user.into();
        let failure = ctx.run(number, spec).await.start_failure.expect("a failure");
        assert_eq!(failure.code, "IMAGE_USER_INVALID", "{user}");
    }
}

/// Images that try to have the platform write or look outside of them.
pub(crate) async fn hostile_images(ctx: Ctx) {
    let outside = ctx.dir.join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::set_permissions(&outside, PermissionsExt::from_mode(0o777)).unwrap();
    let layer = ctx.layer();
    for name in ["dev", "proc", "sys", "etc", "tmp"] {
        symlink(&outside, layer.join(name)).unwrap();
    }
    symlink("/proc/self/fd", layer.join("fds")).unwrap();
    symlink(&outside, layer.join("work")).unwrap();
    let seen = probed(&ctx, 1, ctx.spec(&["probe"])).await;
    assert!(seen["dev"].contains("null"));
    assert!(seen["etc.hostname"].contains("hello"));
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    for (number, dir) in (2..).zip(["/proc/self/fd/0", "/fds/5", "/proc/1/root", "/bin/app"]) {
        let mut spec = ctx.spec(&["probe"]);
        spec.containers[0].working_dir = dir.into();
        let failure = ctx.run(number, spec).await.start_failure.expect("a failure");
        assert_eq!(failure.code, "START_FAILED", "{dir}: {}", failure.message);
    }
    // Resolved inside of the root, and made there.
    for (number, (dir, at)) in (10..).zip([("/a/b/c", "/a/b/c"), ("/../../x", "/x")]) {
        let mut spec = ctx.spec(&["probe"]);
        spec.containers[0].working_dir = dir.into();
        assert_eq!(probed(&ctx, number, spec).await["cwd"], at);
    }
    let mut spec = ctx.spec(&["probe"]);
    spec.containers[0].working_dir = "/work/deep".into();
    let failure = ctx.run(20, spec).await.start_failure.expect("a failure");
    assert_eq!(failure.code, "START_FAILED");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    // The program file itself is not the platform's.
    let mut spec = ctx.spec(&["probe"]);
    spec.containers[0].argv[0] = "/proc/1/exe".into();
    assert!(ctx.run(21, spec).await.start_failure.is_some());
}

pub(crate) async fn read_only(ctx: Ctx) {
    let mut spec = ctx.spec(&["probe"]);
    spec.containers[0].read_only = true;
    let seen = probed(&ctx, 1, spec).await;
    assert_eq!(seen["write.root"], "E30");
    assert_eq!(seen["write.tmp"], "ok");
    let mut spec = ctx.spec(&["probe"]);
    spec.containers[0].read_only = true;
    spec.containers[0].working_dir = "/new".into();
    let failure = ctx.run(2, spec).await.start_failure.expect("a failure");
    assert_eq!(failure.code, "START_FAILED");
}
