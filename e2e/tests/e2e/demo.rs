//! The demo, as a new user runs it, twice at the same time.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use ebb_e2e::platform::{binary, host};
use ebb_e2e::process::Guarded;
use ebb_e2e::{http, leaks};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::can_run;

/// A demo that stays up.
struct Demo {
    process: Guarded,
    said: BufReader<ChildStdout>,
    text: String,
}

impl Demo {
    fn start() -> Self {
        let mut command = Command::new(binary());
        command.arg("demo").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Guarded::spawn(&mut command).unwrap();
        let said = BufReader::new(process.child().stdout.take().unwrap());
        Self { process, said, text: String::new() }
    }

    /// Reads until it says how to follow its logs, which is the last line.
    fn until_it_stays(&mut self) {
        while !self.text.contains("ebb logs hello") {
            let count = self.said.read_line(&mut self.text).unwrap();
            assert!(count > 0, "the demo ended: {}", self.text);
        }
    }

    /// The word that follows `mark` in what it said.
    fn word_after(&self, mark: &str) -> &str {
        let rest = self.text.split(mark).nth(1).unwrap_or_else(|| panic!("{mark}: {}", self.text));
        rest.split_whitespace().next().unwrap()
    }
}

#[test]
fn two_demos_show_the_whole_way() {
    if !can_run("two_demos_show_the_whole_way") {
        return;
    }
    let mut demos = [Demo::start(), Demo::start()];
    for demo in &mut demos {
        demo.until_it_stays();
        let gateway = demo.word_after(&format!("{}' http://", host("hello")));
        let gateway = gateway.trim_end_matches('/').parse().unwrap();
        let answer = http::get(gateway, &host("hello"), "/").unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        assert_eq!(demo.text.matches("first byte").count(), 2, "{}", demo.text);
        assert!(demo.text.contains("1000 requests: p50"), "{}", demo.text);
    }
    for mut demo in demos {
        let data = PathBuf::from(demo.word_after("EBB_KUBECONFIG=")).parent().map(Path::to_owned);
        let data = data.unwrap();
        let cell = std::fs::read_to_string(data.join("cell")).unwrap();
        demo.process.signal(Signal::INT).unwrap();
        let status = demo.process.wait(Duration::from_mins(1)).unwrap();
        assert!(status.is_some_and(|status| matches!(status.code(), Some(0 | 130))), "{status:?}");
        assert_eq!(leaks::of(cell.trim(), &data), Vec::<String>::new());
        assert!(!data.exists(), "{}", data.display());
    }
}

/// A demo with a directory of its own for temporary files, told apart from every other by it.
struct Watched {
    process: Guarded,
    dir: TempDir,
}

impl Watched {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let mut command = Command::new(binary());
        command.arg("demo").stdin(Stdio::null()).stdout(Stdio::null()).env("TMPDIR", dir.path());
        Self { process: Guarded::spawn(&mut command).unwrap(), dir }
    }

    /// The file `name` of its data directory, once it is there.
    fn file(&self, name: &str) -> PathBuf {
        eventually(|| {
            let demo = std::fs::read_dir(self.dir.path()).unwrap().next()?.ok()?;
            Some(demo.path().join("data").join(name)).filter(|path| path.exists())
        })
    }
}

/// Asks until there is an answer; a minute at most.
fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6000 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it did not happen within a minute");
}

/// Whether a process has `dir` among its arguments.
fn is_used(dir: &Path) -> bool {
    let dir = dir.to_str().unwrap();
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(dir)
    })
}

#[test]
fn an_interrupt_at_any_moment_leaves_nothing() {
    if !can_run("an_interrupt_at_any_moment_leaves_nothing") {
        return;
    }
    for (signal, after) in [
        (Signal::INT, None),
        (Signal::INT, Some("lock")),
        (Signal::TERM, Some("cell")),
        (Signal::HUP, Some("kubeconfig")),
    ] {
        let mut demo = Watched::start();
        match after {
            Some(name) => _ = demo.file(name),
            // A process that has not set up its signals ends by them, with nothing made.
            None => eventually(|| demo.dir.path().read_dir().unwrap().next().map(|_| ())),
        }
        demo.process.signal(signal).unwrap();
        let status = demo.process.wait(Duration::from_mins(1)).unwrap().unwrap();
        assert_eq!(status.code(), Some(130), "{after:?}: {status:?}");
        assert!(!is_used(demo.dir.path()), "{after:?}: a process is left");
        let left: Vec<_> = demo.dir.path().read_dir().unwrap().collect();
        assert!(left.is_empty(), "{after:?}: {left:?}");
    }
}

#[test]
fn the_platform_of_a_killed_demo_ends() {
    if !can_run("the_platform_of_a_killed_demo_ends") {
        return;
    }
    let mut demo = Watched::start();
    let data = demo.file("kubeconfig").parent().unwrap().to_owned();
    let cell = std::fs::read_to_string(data.join("cell")).unwrap();
    demo.process.signal(Signal::KILL).unwrap();
    demo.process.wait(Duration::from_mins(1)).unwrap().unwrap();
    eventually(|| (!is_used(&data)).then_some(()));
    assert_eq!(leaks::of(cell.trim(), &data), Vec::<String>::new());
}

#[test]
fn a_demo_that_ends_does_not_say_that_it_stays() {
    if !can_run("a_demo_that_ends_does_not_say_that_it_stays") {
        return;
    }
    let ran =
        Command::new(binary()).args(["demo", "--exit"]).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("first byte").count(), 2, "{said}");
    assert!(!said.contains("Ctrl-C"), "{said}");
    let json = Command::new(binary()).args(["demo", "--exit", "-o", "json"]).output().unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(shown["warm"]["requests"], 1000, "{shown}");
}
