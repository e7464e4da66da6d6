//! A running platform: the real binary, in a data directory of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;
use serde::Deserialize;
use tempfile::{TempDir, tempfile};

use crate::api::{Api, Kubeconfig};
use crate::process::Guarded;
use crate::{http, leaks};

/// Longest wait for the ready line, and for the end after SIGTERM.
const START_LIMIT: Duration = Duration::from_mins(1);
const STOP_LIMIT: Duration = Duration::from_mins(1);
/// Longest run of a command; long enough to install a Python package.
const COMMAND_LIMIT: Duration = Duration::from_mins(2);

/// How a platform is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Data directory; none for a fresh one that goes away with the platform.
    pub data_dir: Option<PathBuf>,
    /// Further flags of `ebb up`.
    pub flags: Vec<String>,
}

/// The ready line of `ebb up -o json`.
#[derive(Clone, Debug, Deserialize)]
struct Ready {
    gateway: SocketAddr,
    kubeconfig: PathBuf,
    cell: String,
}

/// What a command said and how it ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A platform that is ready. Its end is checked for what it left behind.
#[derive(Debug)]
pub struct Platform {
    /// Address of the gateway.
    pub gateway: SocketAddr,
    /// Path of the kubeconfig.
    pub kubeconfig: PathBuf,
    /// Six hex digits that name everything outside the data directory.
    pub cell: String,
    data_dir: PathBuf,
    up: Option<Guarded>,
    log: PathBuf,
    // Last, so that it is removed after everything else has ended.
    _dir: TempDir,
}

impl Ran {
    /// Runs `command` to its end with `input`; after [`COMMAND_LIMIT`] it is killed.
    fn of(command: &mut Command, input: &str) -> Result<Self> {
        let (mut stdin, stdout, stderr) = (tempfile()?, tempfile()?, tempfile()?);
        stdin.write_all(input.as_bytes())?;
        stdin.rewind()?;
        command.stdin(stdin).stdout(stdout.try_clone()?).stderr(stderr.try_clone()?);
        let mut child = Guarded::spawn(command)?;
        let status = child.wait(COMMAND_LIMIT)?;
        let text = |mut file: File| -> Result<String> {
            file.rewind()?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let (stdout, stderr) = (text(stdout)?, text(stderr)?);
        let Some(status) = status else {
            bail!("{command:?} still ran after {COMMAND_LIMIT:?}\n{stdout}\n{stderr}");
        };
        Ok(Self { code: status.code(), stdout, stderr })
    }

    /// Standard output, when the command succeeded.
    pub fn ok(self) -> Result<String> {
        let Self { code, stdout, stderr } = self;
        ensure!(code == Some(0), "ended with {code:?}\n{stdout}\n{stderr}");
        Ok(stdout)
    }

    /// Standard output as JSON, whatever the exit code.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("not JSON: {}\n{}", self.stdout, self.stderr))
    }
}

impl Platform {
    /// Starts one with the defaults of a test.
    pub fn start() -> Result<Self> {
        Self::start_with(&Options::default())
    }

    /// Starts one and waits until it says that it is ready.
    pub fn start_with(options: &Options) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ebb-e2e-").tempdir()?;
        let data_dir = options.data_dir.clone().unwrap_or_else(|| dir.path().join("data"));
        let log = dir.path().join("log");
        let mut command = up(dir.path(), &data_dir);
        command.args(&options.flags).stdout(Stdio::piped()).stderr(std::fs::File::create(&log)?);
        let mut up = Guarded::spawn(&mut command)?;
        let said = |why: &str| {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            anyhow::anyhow!("{why}; its log:\n{log}")
        };
        let ready = match first_line(&mut up) {
            Ok(line) => serde_json::from_str::<Ready>(&line).map_err(|_| said(&line))?,
            Err(error) => return Err(said(&error.to_string())),
        };
        let Ready { gateway, kubeconfig, cell } = ready;
        Ok(Self { gateway, kubeconfig, cell, data_dir, up: Some(up), log, _dir: dir })
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Process id of `ebb up`.
    pub fn pid(&self) -> u32 {
        self.up.as_ref().map_or(0, Guarded::id)
    }

    /// Process id of the daemon, a child of `ebb up`.
    pub fn daemon_pid(&self) -> Result<u32> {
        let up = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{up}/task/{up}/children"))?;
        let is_daemon = |pid: &&str| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).split('\0').any(|word| word == "__daemon")
        };
        let pid = children.split_whitespace().find(is_daemon).context("no daemon")?;
        Ok(pid.parse()?)
    }

    /// What the platform wrote to standard error so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Runs `ebb` against this platform.
    pub fn ebb(&self, arguments: &[&str]) -> Result<Ran> {
        let mut command = Command::new(binary());
        Ran::of(command.args(arguments).env("EBB_KUBECONFIG", &self.kubeconfig), "")
    }

    /// Runs `kubectl` against this platform, with `input` as its standard input; none when there
    /// is no kubectl on this machine.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Result<Option<Ran>> {
        let Some(kubectl) = crate::process::path_of("kubectl") else { return Ok(None) };
        let mut command = Command::new(kubectl);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig);
        // Its cache of discovery must not outlive the platform.
        command.env("HOME", self.log.with_file_name("home"));
        Ok(Some(Ran::of(&mut command, input)?))
    }

    /// A client of its API.
    pub fn api(&self) -> Result<Api> {
        Api::new(Kubeconfig::read(&self.kubeconfig)?)
    }

    /// `GET path` of a service in the namespace `default`, through the gateway.
    pub fn get(&self, service: &str, path: &str) -> Result<http::Response> {
        http::get(self.gateway, &host(service), path)
    }

    /// Builds the `hello` image and loads it. Answers its name.
    pub fn load_hello(&self) -> Result<&'static str> {
        let archive = self.log.with_file_name("hello.tar");
        crate::image::hello()?.write_archive(&archive, &crate::image::HELLO.parse()?)?;
        self.load(&archive)?;
        Ok(crate::image::HELLO)
    }

    /// Loads an image archive.
    pub fn load(&self, archive: &Path) -> Result<()> {
        let path = archive.to_str().context("a path that is not UTF-8")?;
        self.ebb(&["images", "load", path])?.ok().map(drop)
    }

    /// A directory for files of the test, next to the data directory.
    pub fn scratch(&self) -> &Path {
        self.log.parent().unwrap_or(&self.data_dir)
    }

    /// Ends it as Ctrl-C would, and fails when anything is left behind.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    /// Kills every process of it at once, as a machine without memory would. What it leaves on the
    /// machine goes when the next platform starts.
    pub fn kill(mut self) -> Result<()> {
        let Some(mut up) = self.up.take() else { return Ok(()) };
        crate::tree::kill(up.id())?;
        up.wait(STOP_LIMIT)?;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let Some(mut up) = self.up.take() else { return Ok(()) };
        up.signal(Signal::INT)?;
        let status = up.wait(STOP_LIMIT)?;
        let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
        let Some(status) = status else {
            bail!("`ebb up` still runs {STOP_LIMIT:?} after SIGINT; its log:\n{}", log());
        };
        let ordered = matches!(status.code(), Some(0 | 130));
        ensure!(ordered, "`ebb up` ended with {status}; its log:\n{}", log());
        let left = leaks::of(&self.cell, &self.data_dir);
        ensure!(left.is_empty(), "left behind:\n{}\nlog:\n{}", left.join("\n"), log());
        Ok(())
    }
}

impl Drop for Platform {
    #[allow(clippy::print_stderr)] // shown with the failed test
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the platform:\n{}", self.log());
        }
        if let Err(error) = self.end() {
            assert!(std::thread::panicking(), "{error:#}");
            eprintln!("{error:#}");
        }
    }
}

/// Host of a service in the namespace `default`.
pub fn host(service: &str) -> String {
    format!("{service}.default.localhost")
}

/// `ebb up` with its files in `dir`, on ports that are free. All of that is said by the
/// environment, so that flags can say otherwise.
pub fn up(dir: &Path, data_dir: &Path) -> Command {
    let mut command = Command::new(binary());
    command.args(["up", "-o", "json"]).stdin(Stdio::null()).env_remove("EBB_CONFIG");
    command.env("EBB_API__LISTEN", "127.0.0.1:0").env("EBB_GATEWAY__LISTEN", "127.0.0.1:0");
    command.env("EBB_DATA_DIR", data_dir).env("EBB_STORE__KEY_FILE", dir.join("key"));
    command
}

/// Runs a command to its end, without input.
pub fn run(command: &mut Command) -> Result<Ran> {
    Ran::of(command, "")
}

/// The first line of a child's standard output; the rest is read and dropped, so that the child
/// never blocks on it.
fn first_line(child: &mut Guarded) -> Result<String> {
    let stdout = child.child().stdout.take().context("no standard output")?;
    let (found, line) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        let mut text = String::new();
        if reader.read_line(&mut text).is_ok_and(|count| count > 0) {
            drop(found.send(text));
        }
        drop(std::io::copy(&mut reader, &mut std::io::sink()));
    });
    line.recv_timeout(START_LIMIT).context("`ebb up` did not say that it is ready")
}

/// The `ebb` binary: `EBB_BIN`, else the newest build in the target directory.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("EBB_BIN") {
        return path.into();
    }
    let built = ["release", "debug"].map(|profile| target_dir().join(profile).join("ebb"));
    let age = |path: &PathBuf| path.metadata().and_then(|meta| meta.modified()).ok();
    built.into_iter().max_by_key(age).unwrap_or_else(|| "ebb".into())
}

/// Cargo's target directory.
pub fn target_dir() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(default, PathBuf::from)
}
