//! Platforms whose processes are killed, all at once or the spawner alone, and what others on the
//! machine make of it.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use ebb_engine::Engine;
use ebb_model::engine::EngineEventKind;
use rustix::process::{Pid, Signal, getpid, getppid, kill_process};

use crate::harness::{Ctx, next};

/// Starts instances and a confined process, and then kills every process of the platform, this
/// one last.
pub(crate) async fn kills_everything(ctx: Ctx) {
    let mut events = ctx.events().await;
    for number in 1..=2 {
        let mut spec = ctx.spec(&["serve", "8080"]);
        spec.containers[0].port = Some(8080);
        ctx.start(number, spec).await;
        while !matches!(next(&mut events).await.what, EngineEventKind::Ready { .. }) {}
    }
    let engine = std::sync::Arc::clone(&ctx.engine);
    let (target, fds) = crate::dropped::target(&ctx, "confined");
    #[allow(clippy::disallowed_methods)] // it ends with this process
    tokio::spawn(async move { engine.confined(&["linger".into()], fds, Box::new(())).await });
    crate::dropped::runs(&target).await;
    let spawner = getppid().unwrap();
    // Stopped first, so that none of them sees the end of another and cleans up after it.
    let mut all: Vec<Pid> = vec![spawner];
    all.extend(below(spawner).into_iter().filter(|pid| *pid != getpid()));
    for signal in [Signal::STOP, Signal::KILL] {
        // Forks that came meanwhile have the number of nobody here: they are found in the second
        // look.
        all.extend(below(spawner).into_iter().filter(|pid| *pid != getpid()));
        for pid in all.iter().rev().filter(|pid| signal == Signal::STOP || **pid != spawner) {
            let _ = kill_process(*pid, signal);
        }
    }
    kill_process(spawner, Signal::KILL).unwrap();
    std::future::pending::<()>().await;
}

/// Every process that descends from `root`.
fn below(root: Pid) -> Vec<Pid> {
    let mut all = Vec::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        let path = format!("/proc/{pid}/task/{pid}/children", pid = pid.as_raw_nonzero());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let children = text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?));
        next.extend(children.clone());
        all.extend(children);
    }
    all
}

/// A cell beside the one of the test.
struct Other {
    cell: String,
    work: PathBuf,
}

impl Other {
    fn new(ctx: &Ctx, number: u32) -> Self {
        let cell = format!("{:06x}", ((0xc0 + number) << 16) | (std::process::id() & 0xffff));
        let work = ctx.dir.join(&cell);
        std::fs::create_dir(&work).unwrap();
        let app = ctx.dir.join("app");
        if !app.exists() {
            std::fs::copy(ctx.dir.parent().unwrap().join("app"), app).unwrap();
        }
        Self { cell, work }
    }

    /// Runs a test in it.
    async fn run(&self, test: &str) -> ExitStatus {
        self.begin(test).wait().await.unwrap()
    }

    /// Begins to run a test in it.
    fn begin(&self, test: &str) -> tokio::process::Child {
        // This daemon runs from sealed memory, which has no path of its own.
        let mut command = tokio::process::Command::new("/proc/self/exe");
        // Output of instances of the life before is taken over, and their ids must be free.
        let _ = std::fs::remove_dir_all(self.work.join("logs"));
        let _ = std::fs::remove_dir_all(self.work.join("confined"));
        command.args(["__spawner", &self.cell, test]).arg(&self.work).spawn().unwrap()
    }

    async fn works(&self) {
        assert!(self.run("ready_and_stopped").await.success(), "{}", self.cell);
    }

    async fn is_killed(&self) {
        assert_eq!(self.run("kills_everything").await.signal(), Some(9));
        self.ends().await;
    }

    /// Directories of its groups.
    fn groups(&self) -> Vec<PathBuf> {
        let name = format!("ebb-{}", self.cell);
        let root = Path::new("/sys/fs/cgroup");
        let trees = std::fs::read_dir(root).unwrap().flatten().map(|tree| tree.path());
        let all = trees.chain([root.to_owned()]).map(|tree| tree.join(&name));
        all.filter(|dir| dir.exists()).collect()
    }

    /// Its processes.
    fn processes(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for group in self.groups() {
            for dir in std::fs::read_dir(&group).into_iter().flatten().flatten() {
                let text = std::fs::read_to_string(dir.path().join("cgroup.procs"));
                all.extend(text.unwrap_or_default().lines().map(str::to_owned));
            }
        }
        all
    }

    /// Waits until the killed have left their groups.
    async fn ends(&self) {
        while !self.processes().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    fn has_table(&self) -> bool {
        let listing = std::process::Command::new("/usr/sbin/nft").args(["list", "tables"]).output();
        let text = listing.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
        text.unwrap_or_default().contains(&format!("ebb_{}\n", self.cell))
    }

    /// Everything that is there of it but what is in its directory.
    fn left(&self) -> Vec<String> {
        let mut left: Vec<String> =
            self.groups().iter().map(|dir| dir.display().to_string()).collect();
        let links = std::fs::read_dir("/sys/class/net").unwrap().flatten();
        let links = links.map(|link| link.file_name().to_string_lossy().into_owned());
        left.extend(links.filter(|name| name.starts_with(&format!("eb{}", self.cell))));
        left.extend(self.has_table().then(|| "a table".to_owned()));
        let run_dir = format!("/run/ebb/{}", self.cell);
        left.extend(Path::new(&run_dir).exists().then_some(run_dir));
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(&self.cell)).map(str::to_owned));
        left
    }
}

/// The same cell starts again after all of it was killed, and works.
pub(crate) async fn starts_again(ctx: Ctx) {
    assert!(ctx.engine.list().await.unwrap().is_empty());
    assert_eq!(ctx.run(3, ctx.spec(&["exit", "5"])).await.code, Some(5));
    // Its ids are free again.
    assert_eq!(ctx.run(1, ctx.spec(&["exit", "6"])).await.code, Some(6));
}

/// Another platform that starts clears everything of the dead one, nothing of a living one, and
/// works.
pub(crate) async fn cleared_by_another(ctx: Ctx) {
    let mut events = ctx.events().await;
    let mut spec = ctx.spec(&["serve", "80"]);
    spec.containers[0].port = Some(80);
    ctx.start(1, spec).await;
    let endpoint = loop {
        if let EngineEventKind::Ready { endpoint, .. } = next(&mut events).await.what {
            break endpoint.unwrap();
        }
    };
    let (dead, other) = (Other::new(&ctx, 1), Other::new(&ctx, 2));
    for _ in 0..3 {
        dead.is_killed().await;
        other.works().await;
        assert_eq!(dead.left(), [""; 0]);
        TcpStream::connect(endpoint).unwrap();
    }
    dead.works().await;
    assert_eq!(dead.left(), [""; 0]);
}

/// Instances that outlive their spawner, and what keeps them apart, are let alone by others; their
/// own platform ends them when it starts.
pub(crate) async fn orphans_are_let_alone(ctx: Ctx) {
    let (orphaned, other) = (Other::new(&ctx, 3), Other::new(&ctx, 4));
    assert_eq!(orphaned.run("kills_its_spawner").await.signal(), Some(9));
    // The reserve ends by itself.
    while orphaned.processes().len() > 3 {
        tokio::task::yield_now().await;
    }
    let before = orphaned.processes();
    assert_eq!(before.len(), 3, "a shim, an init, a program");
    other.works().await;
    assert_eq!(orphaned.processes(), before);
    assert!(orphaned.has_table() || !Path::new("/usr/sbin/nft").exists());
    assert!(orphaned.left().iter().any(|thing| thing.starts_with("/run/ebb/")));
    orphaned.works().await;
    assert_eq!(orphaned.left(), [""; 0]);
    // Whoever adopted them may take a moment to reap them.
    let lives = |pid: &&String| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim().chars().next());
        state.is_some_and(|state| state != 'Z')
    };
    assert_eq!(before.iter().find(lives), None);
}

/// Eight platforms start at the same moment, again and again; half of them are killed whole each
/// time, so that everybody clears what others left while those start again.
pub(crate) async fn eight_at_once(ctx: Ctx) {
    let all: Vec<Other> = (0..8).map(|number| Other::new(&ctx, 0x10 + number)).collect();
    for round in 0..4 {
        let killed = |number: usize| (number + round).is_multiple_of(2);
        let test = |number| if killed(number) { "kills_everything" } else { "ready_and_stopped" };
        let runs: Vec<_> =
            all.iter().enumerate().map(|(number, one)| one.begin(test(number))).collect();
        for (number, mut run) in runs.into_iter().enumerate() {
            let status = run.wait().await.unwrap();
            let expected = if killed(number) { (None, Some(9)) } else { (Some(0), None) };
            let cell = &all[number].cell;
            assert_eq!((status.code(), status.signal()), expected, "{cell} in round {round}");
        }
    }
    for one in &all {
        one.ends().await;
    }
    all[0].works().await;
    for one in &all {
        assert_eq!(one.left(), [""; 0]);
    }
}
