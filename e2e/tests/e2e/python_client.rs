//! The Python client of Kubernetes against the API, unchanged.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use ebb_e2e::platform::run;
use ebb_e2e::{Platform, cache_dir, image, not_run};

use crate::support::can_run;

const SCRIPT: &str = include_str!("python_client.py");

/// An environment with the client in it, kept between runs.
fn environment() -> Result<PathBuf> {
    let dir = cache_dir().join("python");
    let python = dir.join("bin/python");
    let has_client = |python: &PathBuf| {
        let probe = run(Command::new(python).args(["-c", "import kubernetes"]));
        probe.is_ok_and(|ran| ran.code == Some(0))
    };
    if !has_client(&python) {
        std::fs::create_dir_all(cache_dir())?;
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))
            .context("cannot run python3")?
            .ok()?;
        let install = ["-m", "pip", "install", "--quiet", "kubernetes"];
        run(Command::new(&python).args(install))?.ok()?;
    }
    Ok(python)
}

#[test]
fn the_python_client_works() {
    if !can_run("the_python_client_works") {
        return;
    }
    let python = match environment() {
        Ok(python) => python,
        Err(error) => {
            let why = format!("the client cannot be installed: {error:#}");
            not_run("the_python_client_works", why.lines().next().unwrap_or_default());
            return;
        }
    };
    let platform = Platform::start().unwrap();
    platform.load_hello().unwrap();
    let mut script = Command::new(python);
    script.args(["-c", SCRIPT]);
    script.env("KUBECONFIG", &platform.kubeconfig).env("IMAGE", image::HELLO);
    let said = run(&mut script).unwrap().ok().unwrap();
    assert!(said.ends_with("done\n"), "{said}");
    platform.stop().unwrap();
}
