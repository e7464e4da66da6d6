//! The usual way: `runc run` of the same root filesystem, in the host's network.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use ebb_e2e::process::{self, Guarded};
use ebb_e2e::{image, now};
use serde_json::{Value, json};

pub(super) struct Side {
    runc: PathBuf,
    bundle: PathBuf,
    /// State of containers, apart from that of any other use of runc on this machine.
    state: PathBuf,
}

impl Side {
    /// None when runc is not installed.
    pub(super) fn new(dir: &Path) -> Result<Option<Self>> {
        let Some(runc) = process::path_of("runc") else { return Ok(None) };
        let (bundle, state) = (dir.join("bundle"), dir.join("runc"));
        let program = bundle.join("rootfs/hello");
        std::fs::create_dir_all(bundle.join("rootfs"))?;
        std::fs::write(&program, image::HELLO_PROGRAM)?;
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755))?;
        let spec = Command::new(&runc).arg("spec").current_dir(&bundle).status()?;
        ensure!(spec.success(), "`runc spec` failed: {spec}");
        Ok(Some(Self { runc, bundle, state }))
    }

    /// One start: microseconds until the first byte of the body.
    pub(super) fn once(&self, round: u32) -> Result<f64> {
        let address = super::free_port()?;
        self.write_config(address.port())?;
        let id = format!("ebb-bench-{}-{round}", std::process::id());
        let mut run = self.runc();
        run.arg("run").arg("--bundle").arg(&self.bundle).arg(&id);
        run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let begin = now();
        let mut container = Guarded::spawn(&mut run)?;
        let end = super::first_byte(address, "runc", begin);
        let killed = self.runc().args(["kill", &id, "KILL"]).status()?;
        container.wait(super::PATIENCE)?.context("`runc run` did not end")?;
        let deleted = self.runc().args(["delete", "--force", &id]).status()?;
        ensure!(killed.success() && deleted.success(), "runc could not remove {id}");
        Ok(super::micros(end? - begin))
    }

    fn runc(&self) -> Command {
        let mut runc = Command::new(&self.runc);
        runc.arg("--root").arg(&self.state);
        runc
    }

    /// The configuration of `runc spec`, without a terminal, in the host's network.
    fn write_config(&self, port: u16) -> Result<()> {
        let path = self.bundle.join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path)?)?;
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["/hello"]);
        config["process"]["env"] = json!([format!("PORT={port}")]);
        let namespaces = config["linux"]["namespaces"].as_array_mut().context("no namespaces")?;
        namespaces.retain(|namespace| namespace["type"] != "network");
        Ok(std::fs::write(&path, config.to_string())?)
    }
}
