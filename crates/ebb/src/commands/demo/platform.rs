//! The platform of a demo: a real `ebb up` in a temporary data directory.

use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::failure::Failure;

/// What `ebb up -o json` prints when it is ready.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ready {
    /// Address of the gateway.
    pub(crate) gateway: std::net::SocketAddr,
    /// Kubeconfig of the platform.
    pub(crate) kubeconfig: PathBuf,
    /// Where the demo may put its own files.
    #[serde(default)]
    pub(crate) scratch: PathBuf,
}

/// A platform that was started; its directory goes with it. Whoever has one calls
/// [`Platform::stop`], whatever happens.
#[derive(Debug)]
pub(crate) struct Platform {
    dir: TempDir,
    child: Child,
}

impl Platform {
    /// Starts one.
    pub(crate) fn start() -> Result<Self, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("ebb-demo-")
            .tempdir()
            .map_err(|error| Failure::internal("making a temporary directory", &error))?;
        let exe = std::env::current_exe()
            .map_err(|error| Failure::internal("finding the ebb program", &error))?;
        // A process group of its own: an interrupt reaches the demo alone, which then stops the
        // platform in order. Where the demo cannot, because it was killed, the platform notices.
        let child = Command::new(exe)
            .args(["up", "-o", "json", "--log-level", "warn", "--with-parent"])
            .args(["--api", "127.0.0.1:0", "--gateway", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(dir.path().join("data"))
            .arg("--key-file")
            .arg(dir.path().join("key"))
            .env_remove("EBB_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::internal("starting the platform", &error))?;
        Ok(Self { dir, child })
    }

    /// Waits until it is ready, or has said why it cannot be.
    pub(crate) async fn ready(&mut self) -> Result<Ready, Failure> {
        let mut text = String::new();
        if let Some(stdout) = self.child.stdout.take() {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                text.push_str(&line);
                if let Ok(mut ready) = serde_json::from_str::<Ready>(&text) {
                    self.dir.path().clone_into(&mut ready.scratch);
                    return Ok(ready);
                }
            }
        }
        Err(refused(&text))
    }

    /// Answers when the platform has ended by itself.
    pub(crate) async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }

    /// Stops it and waits until it has cleaned up.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let ended = self.child.wait().await;
        ended.map(|_| ()).map_err(|error| Failure::internal("stopping the platform", &error))
    }
}

/// Why `ebb up -o json` ended: its own error where it printed one.
fn refused(text: &str) -> Failure {
    #[derive(Deserialize)]
    struct Body {
        error: ebb_model::Fault,
    }
    serde_json::from_str::<Body>(text).map_or_else(
        |_| {
            Failure::new(
                "PLATFORM_ENDED",
                ebb_model::Kind::Internal,
                "the platform ended before it was ready; its own messages are above",
            )
        },
        |body| body.error.into(),
    )
}
