//! Runner, spawner and daemon of a test.

use std::future::Future;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use ebb_engine::linux::spawner::{self, SpawnerConfig};
use ebb_engine::linux::{Inherited, Linux, LinuxConfig, reexec};
use ebb_engine::{Engine, Events, Io, LogQuery, Open};
use ebb_kit::{Shutdown, SystemClock, Tasks};
use ebb_model::InstanceId;
use ebb_model::engine::{
    ContainerSpec, EngineEvent, EngineEventKind, ExitRecord, InstanceSpec, RestartPolicy,
};
use ebb_model::image::{ImageConfig, RootFsLayout};

/// Longest time that anything in a test may take.
const LIMIT: Duration = Duration::from_secs(30);

type Run = fn(Ctx) -> Pin<Box<dyn Future<Output = ()>>>;

/// One test.
pub(crate) struct Test {
    name: &'static str,
    run: Run,
    /// A test that is run before, in the same cell, whose spawner does not survive it.
    after: Option<&'static str>,
}

impl Test {
    pub(crate) const fn new(name: &'static str, run: Run) -> Self {
        Self { name, run, after: None }
    }

    /// The same test, in a cell whose spawner was killed by the test `before`.
    pub(crate) const fn after(mut self, before: &'static str) -> Self {
        self.after = Some(before);
        self
    }
}

/// What a test works with.
#[derive(Clone)]
pub(crate) struct Ctx {
    pub(crate) engine: Arc<Linux>,
    /// Directory of the test.
    pub(crate) dir: PathBuf,
}

/// Takes the role that the arguments name.
pub(crate) fn main(tests: &[Test]) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("__spawner") => {
            let again: Vec<String> =
                std::iter::once("__sealed".to_owned()).chain(args[1..].iter().cloned()).collect();
            let error = reexec::sealed(&again, &[]).expect_err("it does not return");
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        Some("__sealed") => run_spawner(&args[1..]),
        Some("__daemon") => run_daemon(tests, &args[1], Path::new(&args[2])),
        _ => run_tests(tests, args.iter().find(|arg| !arg.starts_with('-'))),
    }
}

/// A test that takes longer hangs: the longest takes seconds.
const HANGS_AFTER: std::time::Duration = std::time::Duration::from_mins(3);

fn run_tests(tests: &[Test], filter: Option<&String>) -> ExitCode {
    if !rustix::process::geteuid().is_root() {
        println!("NOT RUN: the engine on this machine: instances need root");
        return ExitCode::SUCCESS;
    }
    let dir = tempfile::tempdir().expect("a directory");
    // Layers are found by a path that instances' ids can pass, too.
    build(&dir.path().join("app"));
    let mut failed = Vec::new();
    for (number, test) in (0u32..).zip(tests) {
        let before = tests.iter().any(|other| other.after == Some(test.name));
        if before || filter.is_some_and(|filter| !test.name.contains(filter.as_str())) {
            continue;
        }
        let work = dir.path().join(test.name);
        std::fs::create_dir(&work).expect("a directory");
        let cell = format!("{:06x}", ((std::process::id() << 8) | number) & 0xff_ffff);
        let before = Machine::look(&cell, &work);
        let me = std::env::current_exe().expect("own path");
        let run = |name: &str| {
            let mut spawner = Command::new(&me);
            spawner.args(["__spawner", &cell, name]).arg(&work).status().expect("a spawner")
        };
        if let Some(before) = test.after {
            assert_eq!(run(before).signal(), Some(9));
        }
        let status = run(test.name);
        let left = before.difference(&Machine::look(&cell, &work));
        if status.success() && left.is_empty() {
            println!("test {} ... ok", test.name);
        } else {
            println!("test {} ... FAILED ({status}, left: {left:?})", test.name);
            failed.push(test.name);
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {failed:?}");
    ExitCode::FAILURE
}

/// Builds the program that runs inside of instances.
fn build(to: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/program/main.rs");
    let status = Command::new("rustc")
        .args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static"])
        .args(["--target", "x86_64-unknown-linux-gnu", source, "-o"])
        .arg(to)
        .status()
        .expect("rustc");
    assert!(status.success());
}

fn run_spawner(args: &[String]) -> ExitCode {
    let work = PathBuf::from(&args[2]);
    let mut config = SpawnerConfig::new(&args[0], work.join("logs"), crate::lives::confined_main);
    config.daemon_args = vec!["__daemon".into(), args[1].clone(), args[2].clone()];
    config.restart = false;
    match spawner::run(config) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("spawner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_daemon(tests: &[Test], name: &str, work: &Path) -> ExitCode {
    let test = tests.iter().find(|test| test.name == name).expect("a test of this name");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let inherited = Inherited::take().expect("a spawner");
        let tasks = Tasks::new(Shutdown::new());
        let config = LinuxConfig::new(work.join("logs"));
        let engine = Linux::connect(config, inherited, tasks.clone(), Arc::new(SystemClock::new()))
            .await
            .expect("a connection");
        let run = (test.run)(Ctx { engine, dir: work.to_owned() });
        tokio::time::timeout(HANGS_AFTER, run).await.expect("a test ends");
        tasks.shutdown().call();
        tasks.join().await;
    });
    ExitCode::SUCCESS
}

impl Ctx {
    /// A layer with the program as `/bin/app`.
    pub(crate) fn layer(&self) -> PathBuf {
        let layer = self.dir.join("layer");
        if !layer.exists() {
            std::fs::create_dir_all(layer.join("bin")).unwrap();
            let app = self.dir.parent().unwrap().join("app");
            std::fs::copy(app, layer.join("bin/app")).unwrap();
        }
        layer
    }

    /// A spec that runs the program with these arguments.
    pub(crate) fn spec(&self, args: &[&str]) -> InstanceSpec {
        let mut words = vec!["/bin/app".to_owned()];
        words.extend(args.iter().map(|arg| (*arg).to_owned()));
        let rootfs = RootFsLayout { lowers: vec![self.layer()], config: ImageConfig::default() };
        let container = ContainerSpec {
            name: "app".into(),
            rootfs,
            argv: words,
            env: vec![("PATH".into(), "/bin".into()), ("GREETING".into(), "hello".into())],
            working_dir: "/".into(),
            user: String::new(),
            port: None,
            limits: [("memory".to_owned(), 64 << 20), ("cpu".to_owned(), 1000)].into(),
            read_only: false,
        };
        InstanceSpec {
            namespace: "default".into(),
            name: "hello-00001-abcdefgh".into(),
            init: vec![],
            containers: vec![container],
            restart_policy: RestartPolicy::Never,
            runtime: "ebb".into(),
            grace_ms: 5_000,
            start_timeout_ms: 20_000,
            labels: [].into(),
        }
    }

    /// Starts an instance.
    pub(crate) async fn start(&self, number: u32, spec: InstanceSpec) -> InstanceId {
        let id = id(number);
        self.engine.start(&id, spec).await.unwrap();
        id
    }

    /// Starts an instance and answers how it ended.
    pub(crate) async fn run(&self, number: u32, spec: InstanceSpec) -> ExitRecord {
        let mut events = self.events().await;
        let id = self.start(number, spec).await;
        loop {
            let event = next(&mut events).await;
            if let EngineEventKind::Exited(record) = event.what
                && event.id == id
            {
                return record;
            }
        }
    }

    /// Everything that an instance has printed, which has ended.
    pub(crate) async fn printed(&self, id: &InstanceId) -> Vec<String> {
        let open = Open::Logs(LogQuery::default());
        let Io::Logs(mut records) = self.engine.open(id, "app", open).await.unwrap();
        let mut lines = Vec::new();
        while let Some(record) = records.recv().await {
            lines.push(String::from_utf8_lossy(&record.line).into_owned());
        }
        lines
    }

    pub(crate) async fn events(&self) -> Events {
        let mut all = self.engine.events(0).await.unwrap();
        // Only what happens from now on.
        let mut last = 0;
        while let Ok(event) = all.try_recv() {
            last = event.seq;
        }
        self.engine.events(last).await.unwrap()
    }
}

/// The next event; a test that waits for one in vain fails.
pub(crate) async fn next(events: &mut Events) -> EngineEvent {
    tokio::time::timeout(LIMIT, events.recv()).await.expect("in time").expect("an event")
}

/// The id number `number`.
pub(crate) fn id(number: u32) -> InstanceId {
    InstanceId::parse(&format!("01j{number:023}")).unwrap()
}

/// What could be left of one cell on the machine, on which others may be at work.
#[derive(Debug)]
struct Machine {
    things: Vec<String>,
}

impl Machine {
    fn look(cell: &str, work: &Path) -> Self {
        let mut things = Vec::new();
        for tree in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            for group in std::fs::read_dir(tree.path()).into_iter().flatten().flatten() {
                things.push(group.path().display().to_string());
            }
        }
        let names = |dir: &str, things: &mut Vec<String>| {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                things.push(entry.path().display().to_string());
            }
        };
        names("/sys/class/net", &mut things);
        names("/run/ebb", &mut things);
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        things.extend(mounts.lines().map(str::to_owned));
        let work = work.display().to_string();
        things.retain(|thing| thing.contains(cell) || thing.contains(&work));
        Self { things }
    }

    fn difference(&self, after: &Self) -> Vec<String> {
        let new = |thing: &&String| !self.things.contains(thing);
        after.things.iter().filter(new).cloned().collect()
    }
}
