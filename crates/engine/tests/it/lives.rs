//! How instances live and end.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ebb_engine::{Act, Engine, Error};
use ebb_model::engine::{EngineEventKind, State};

use crate::harness::{Ctx, id, next};

pub(crate) async fn ready_and_stopped(ctx: Ctx) {
    let mut events = ctx.events().await;
    let mut spec = ctx.spec(&["serve", "8080"]);
    spec.containers[0].port = Some(8080);
    let id = ctx.start(1, spec.clone()).await;
    ctx.engine.start(&id, spec).await.unwrap();
    assert_eq!(next(&mut events).await.what, EngineEventKind::Started);
    let EngineEventKind::Ready { endpoint: Some(endpoint), phases } = next(&mut events).await.what
    else {
        panic!("not ready");
    };
    assert!(phases.start_us > 0);
    let mut stream = TcpStream::connect(endpoint).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = [0u8; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let list = ctx.engine.list().await.unwrap();
    assert_eq!((list.len(), list[0].state, list[0].endpoint), (1, State::Ready, Some(endpoint)));
    assert!(list[0].memory_bytes > 0);
    assert!(list[0].cpu_ns > 0);
    ctx.engine.stop(&id, Duration::from_secs(5)).await.unwrap();
    let EngineEventKind::Exited(exit) = next(&mut events).await.what else { panic!("no exit") };
    assert_eq!((exit.code, exit.signal, exit.oom), (None, Some(15), false));
    assert!(exit.peak_memory_bytes > 0);
    assert!(exit.cpu_ns > 0);
    ctx.engine.stop(&id, Duration::from_secs(5)).await.unwrap();
    assert_eq!(ctx.engine.list().await.unwrap()[0].state, State::Exited);
}

pub(crate) async fn exit_codes_and_signals(ctx: Ctx) {
    for (number, code) in (1..).zip([0, 1, 42, 255]) {
        let exit = ctx.run(number, ctx.spec(&["exit", &code.to_string()])).await;
        assert_eq!((exit.code, exit.signal), (Some(code), None));
    }
    for (number, signal) in (11..).zip([6, 9, 15]) {
        let exit = ctx.run(number, ctx.spec(&["signal", &signal.to_string()])).await;
        assert_eq!((exit.code, exit.signal), (None, Some(signal)));
    }
    let exit = ctx.run(21, ctx.spec(&["orphan"])).await;
    assert_eq!(exit.code, Some(0));
}

pub(crate) async fn output(ctx: Ctx) {
    let mut spec = ctx.spec(&["print"]);
    spec.containers[0].user = "1000".into();
    ctx.run(1, spec).await;
    let mut lines = ctx.printed(&id(1)).await;
    lines.sort();
    assert_eq!(lines, ["one", "three four", "two"]);
    let exit = ctx.run(2, ctx.spec(&["flood"])).await;
    assert_eq!(exit.code, Some(0));
    // More than the budget at once: the program was slowed down, and nothing was lost.
    let lines = ctx.printed(&id(2)).await;
    assert_eq!(lines.len(), 12_000);
    assert!(lines.iter().all(|line| line.len() == 1000));
}

pub(crate) async fn out_of_memory(ctx: Ctx) {
    let mut events = ctx.events().await;
    ctx.start(1, ctx.spec(&["oom"])).await;
    let mut told = false;
    loop {
        match next(&mut events).await.what {
            EngineEventKind::Oom => told = true,
            EngineEventKind::Exited(exit) => {
                assert!(exit.oom);
                assert_eq!((exit.code, exit.signal), (None, Some(9)));
                assert!(exit.peak_memory_bytes > 60 << 20);
                break;
            }
            _ => {}
        }
    }
    assert!(told);
}

/// A program that fills its disk hears so; it is not killed for memory.
pub(crate) async fn full_disk(ctx: Ctx) {
    let mut spec = ctx.spec(&["fill", "/tmp"]);
    for (number, read_only) in [(1, false), (2, true)] {
        spec.containers[0].read_only = read_only;
        let exit = ctx.run(number, spec.clone()).await;
        assert_eq!((exit.code, exit.oom), (Some(0), false), "{exit:?}");
        let lines = ctx.printed(&id(number)).await;
        let (mib, error) = lines[0].split_once(' ').unwrap();
        assert_eq!(error, "E28");
        // Half of 64 MiB, less what is there before.
        assert!((28..=32).contains(&mib.parse::<u32>().unwrap()), "{mib}");
    }
}

pub(crate) async fn start_failures(ctx: Ctx) {
    let layer = ctx.layer();
    std::fs::write(layer.join("bin/text"), "just text").unwrap();
    std::fs::write(layer.join("bin/script"), "#!/bin/none -x\n").unwrap();
    std::fs::write(layer.join("bin/plain"), "x").unwrap();
    for name in ["bin/text", "bin/script"] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(layer.join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }
    let cases = [
        ("/bin/none", "ENOENT", "no such file"),
        ("none", "ENOENT", "PATH (/bin)"),
        ("/bin/script", "ENOENT", "interpreter \"/bin/none\""),
        ("/bin/text", "ENOEXEC", "neither an ELF program nor a script"),
        ("/bin/plain", "EACCES", "not executable"),
        ("/bin", "EACCES", "directory"),
    ];
    for (number, (program, errno, hint)) in (1..).zip(cases) {
        let mut spec = ctx.spec(&[]);
        spec.containers[0].argv = vec![program.to_owned()];
        let failure = ctx.run(number, spec).await.start_failure.expect("a failure");
        assert_eq!(failure.code, "START_FAILED");
        assert!(failure.message.contains(errno), "{}", failure.message);
        assert!(failure.message.contains(hint), "{}", failure.message);
    }
    // What is told fits into a report however long the image's names are.
    let mut spec = ctx.spec(&[]);
    spec.containers[0].argv = vec!["none".to_owned()];
    spec.containers[0].env = vec![("PATH".into(), "/a:".repeat(33_000))];
    let failure = ctx.run(19, spec).await.start_failure.expect("a failure");
    assert_eq!(failure.code, "START_FAILED", "{}", failure.message);
    let mut spec = ctx.spec(&["exit", "0"]);
    spec.containers[0].argv[0] = "app".into();
    assert_eq!(ctx.run(20, spec).await.code, Some(0));
    let mut spec = ctx.spec(&["exit", "0"]);
    spec.containers[0].rootfs.lowers = vec![ctx.dir.join("not there")];
    let failure = ctx.run(21, spec).await.start_failure.expect("a failure");
    assert_eq!(failure.code, "SANDBOX_FAILED");
    assert!(failure.message.contains("not there"), "{}", failure.message);
    let mut spec = ctx.spec(&["exit", "0"]);
    spec.containers[0].limits.insert("nvidia.com/gpu".into(), 1);
    let error = ctx.engine.start(&id(22), spec).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}

pub(crate) async fn never_ready(ctx: Ctx) {
    let mut spec = ctx.spec(&["sleep"]);
    spec.containers[0].port = Some(8080);
    spec.start_timeout_ms = 300;
    let failure = ctx.run(1, spec).await.start_failure.expect("a failure");
    assert_eq!(failure.code, "NEVER_READY");
    assert!(failure.message.contains("0.0.0.0:8080"), "{}", failure.message);
}

pub(crate) async fn stop_kills(ctx: Ctx) {
    let mut events = ctx.events().await;
    let id = ctx.start(1, ctx.spec(&["deaf"])).await;
    while !matches!(next(&mut events).await.what, EngineEventKind::Ready { .. }) {}
    ctx.engine.stop(&id, Duration::from_millis(200)).await.unwrap();
    let EngineEventKind::Exited(exit) = next(&mut events).await.what else { panic!("no exit") };
    // SIGTERM may come before the program has set it to be ignored.
    assert!(matches!(exit.signal, Some(9 | 15)), "{exit:?}");
}

pub(crate) async fn frozen(ctx: Ctx) {
    let mut events = ctx.events().await;
    let mut spec = ctx.spec(&["serve", "80"]);
    spec.containers[0].port = Some(80);
    let id = ctx.start(1, spec).await;
    let endpoint = loop {
        if let EngineEventKind::Ready { endpoint, .. } = next(&mut events).await.what {
            break endpoint.unwrap();
        }
    };
    let ask = |wait: Duration| -> std::io::Result<usize> {
        let mut stream = TcpStream::connect(endpoint)?;
        stream.set_read_timeout(Some(wait))?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
        stream.read(&mut [0u8; 64])
    };
    ask(Duration::from_secs(5)).unwrap();
    ctx.engine.act(&id, Act::Freeze).await.unwrap();
    ask(Duration::from_millis(100)).unwrap_err();
    ctx.engine.act(&id, Act::Thaw).await.unwrap();
    ask(Duration::from_secs(5)).unwrap();
    ctx.engine.act(&id, Act::Freeze).await.unwrap();
    ctx.engine.stop(&id, Duration::from_secs(5)).await.unwrap();
    let EngineEventKind::Exited(exit) = next(&mut events).await.what else { panic!("no exit") };
    assert_eq!(exit.signal, Some(15));
    let error = ctx.engine.act(&id, Act::Thaw).await.unwrap_err();
    assert!(matches!(error, Error::NotFound(_)), "{error}");
}

pub(crate) async fn more_than_the_reserve(ctx: Ctx) {
    let mut events = ctx.events().await;
    for number in 1..=20 {
        ctx.start(number, ctx.spec(&["sleep"])).await;
    }
    let mut ready = 0;
    while ready < 20 {
        match next(&mut events).await.what {
            EngineEventKind::Ready { .. } => ready += 1,
            EngineEventKind::Exited(exit) => panic!("{exit:?}"),
            _ => {}
        }
    }
    for number in 1..=20 {
        ctx.engine.stop(&id(number), Duration::from_secs(1)).await.unwrap();
    }
}

pub(crate) async fn started_once(ctx: Ctx) {
    ctx.run(1, ctx.spec(&["exit", "3"])).await;
    ctx.engine.start(&id(1), ctx.spec(&["exit", "4"])).await.unwrap();
    let list = ctx.engine.list().await.unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0].exit.as_ref().and_then(|exit| exit.code), Some(3));
}

/// Instances that nobody stops end with the daemon; the runner checks that nothing is left.
pub(crate) async fn left_running(ctx: Ctx) {
    for number in 1..=3 {
        ctx.start(number, ctx.spec(&["sleep"])).await;
    }
}

/// Leaves instances and everything of the cell behind.
pub(crate) async fn kills_its_spawner(ctx: Ctx) {
    let mut events = ctx.events().await;
    ctx.start(1, ctx.spec(&["sleep"])).await;
    while !matches!(next(&mut events).await.what, EngineEventKind::Ready { .. }) {}
    let spawner = rustix::process::getppid().unwrap();
    rustix::process::kill_process(spawner, rustix::process::Signal::KILL).unwrap();
    // This daemon ends with it.
    std::future::pending::<()>().await;
}

/// The next spawner of the cell begins with nothing, and works.
pub(crate) async fn after_a_killed_spawner(ctx: Ctx) {
    assert!(ctx.engine.list().await.unwrap().is_empty());
    let sleeping = std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let mine = std::fs::read_link(process.path().join("exe")).unwrap_or_default();
        line == b"/bin/app\0sleep\0" && mine.as_os_str() == "/bin/app"
    });
    assert!(!sleeping, "an instance of the killed platform runs");
    // Its ids are free again, because its locks went with it.
    assert_eq!(ctx.run(1, ctx.spec(&["exit", "5"])).await.code, Some(5));
}

/// Two platforms with the same slots and ids do not disturb each other.
pub(crate) async fn side_by_side(ctx: Ctx) {
    let mut events = ctx.events().await;
    let mut spec = ctx.spec(&["serve", "80"]);
    spec.containers[0].port = Some(80);
    let id = ctx.start(1, spec).await;
    let endpoint = loop {
        if let EngineEventKind::Ready { endpoint, .. } = next(&mut events).await.what {
            break endpoint.unwrap();
        }
    };
    // This daemon runs from sealed memory, which has no path of its own.
    let me = "/proc/self/exe";
    let work = ctx.dir.join("other");
    std::fs::create_dir(&work).unwrap();
    std::fs::copy(ctx.dir.parent().unwrap().join("app"), ctx.dir.join("app")).unwrap();
    for test in ["ready_and_stopped", "more_than_the_reserve"] {
        let cell = format!("{:06x}", 0x00e0_0000 | (std::process::id() & 0xffff));
        let mut other = tokio::process::Command::new(me);
        let other = other.args(["__spawner", &cell, test]).arg(&work).status();
        assert!(other.await.unwrap().success(), "{test}");
        TcpStream::connect(endpoint).unwrap();
    }
    ctx.engine.stop(&id, Duration::from_secs(5)).await.unwrap();
}

/// What confined processes of the tests run.
pub(crate) fn confined_main(args: &[String], descriptors: Vec<std::os::fd::OwnedFd>) -> u8 {
    use std::os::unix::fs::MetadataExt;
    match args.first().map_or("", String::as_str) {
        "write" => {
            // A file and a directory.
            let [file, dir] = <[_; 2]>::try_from(descriptors).unwrap();
            let text = std::fs::read_to_string("/proc/self/fd/3");
            let mut blob = String::new();
            let read = File::from(file).read_to_string(&mut blob).is_ok();
            let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
            let made = rustix::fs::openat(&dir, "made", flags, rustix::fs::Mode::RUSR);
            let (uid, gid) = (rustix::fs::Uid::from_raw(1000), rustix::fs::Gid::from_raw(7));
            let owned = made.and_then(|made| rustix::fs::fchown(made, Some(uid), Some(gid)));
            let null = rustix::fs::mknodat(
                &dir,
                "whiteout",
                rustix::fs::FileType::CharacterDevice,
                rustix::fs::Mode::empty(),
                0,
            );
            let root = std::fs::metadata("/").map(|meta| meta.uid());
            println!("{read} {blob} {owned:?} {null:?} {} {root:?}", text.is_err());
            let connect = TcpStream::connect("127.0.0.1:1").map_err(|error| error.kind());
            println!(
                "{} {:?}",
                std::fs::read_dir("/").map_or(9, Iterator::count),
                connect.is_err()
            );
            7
        }
        "linger" => {
            let [_, dir] = <[_; 2]>::try_from(descriptors).unwrap();
            linger(&dir)
        }
        "memory" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1u8; 1 << 20]);
            }
        }
        "flood" => loop {
            println!("{}", "x".repeat(1000));
        },
        _ => 1,
    }
}

/// Holds the lock of a file in `dir` and makes others there for as long as it lives.
fn linger(dir: &OwnedFd) -> ! {
    use rustix::fs::{FlockOperation, Mode, OFlags, flock, mkdirat, openat, unlinkat};
    let make = |name: &str| {
        openat(dir, name, OFlags::CREATE | OFlags::WRONLY, Mode::RUSR | Mode::WUSR).unwrap()
    };
    let lock = make("lock");
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    make("begun");
    loop {
        let _ = mkdirat(dir, "more", Mode::RWXU);
        let _ = unlinkat(dir, "more", rustix::fs::AtFlags::REMOVEDIR);
    }
}

pub(crate) async fn confined(ctx: Ctx) {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let target = ctx.dir.join("target");
    std::fs::create_dir(&target).unwrap();
    let blob = ctx.dir.join("blob");
    std::fs::write(&blob, "blob").unwrap();
    let fds = || -> Vec<OwnedFd> {
        vec![File::open(&blob).unwrap().into(), File::open(&target).unwrap().into()]
    };
    let output = ctx.engine.confined(&["write".into()], fds(), Box::new(())).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.code, Some(7), "{output:?} {text}");
    assert!(text.starts_with("true blob Ok(()) Ok(()) true"), "{text}");
    let made = std::fs::metadata(target.join("made")).unwrap();
    assert_eq!((made.uid(), made.gid()), (1000, 7));
    let whiteout = std::fs::metadata(target.join("whiteout")).unwrap();
    assert!(whiteout.file_type().is_char_device());
    assert_eq!((whiteout.rdev(), whiteout.uid()), (0, 0));
    let output = ctx.engine.confined(&["memory".into()], vec![], Box::new(())).await.unwrap();
    assert_eq!(output.signal, Some(9), "{output:?}");
    let output = ctx.engine.confined(&["flood".into()], vec![], Box::new(())).await.unwrap();
    assert_eq!((output.stdout.len(), output.signal), (1 << 20, Some(9)));
}
