//! The floor: fork and exec of the server on the host.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;
use ebb_e2e::{image, now, process::Guarded};

pub(super) struct Side {
    program: PathBuf,
}

impl Side {
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let program = dir.join("hello");
        std::fs::write(&program, image::HELLO_PROGRAM)?;
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
        Ok(Self { program })
    }

    /// One start: microseconds until the first byte of the body.
    pub(super) fn once(&self) -> Result<f64> {
        let address = super::free_port()?;
        let mut command = Command::new(&self.program);
        command.env_clear().env("PORT", address.port().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begin = now();
        let server = Guarded::spawn(&mut command)?;
        let end = super::first_byte(address, "bare", begin)?;
        drop(server);
        Ok(super::micros(end - begin))
    }
}
