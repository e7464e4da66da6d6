//! Client libraries and tools that tests judge the API with, each of a pinned version, installed
//! into the cache with the language's own tool.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::platform::run;
use crate::{Platform, cache_dir};

/// Where the scripts of the tests are.
pub fn scripts(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e").join(language)
}

/// A Python with the Kubernetes client in it, of the version that `requirements.txt` pins.
///
/// # Errors
/// Without Python, its `venv` module, or a package index.
pub fn python() -> Result<PathBuf> {
    let requirements = scripts("python").join("requirements.txt");
    let pinned = std::fs::read_to_string(&requirements)?;
    let dir = cache_dir().join("python");
    let python = dir.join("bin/python");
    let version = "import kubernetes; print('kubernetes==' + kubernetes.__version__)";
    let installed = run(Command::new(&python).args(["-c", version]));
    if installed.is_ok_and(|ran| ran.stdout.trim() == pinned.trim()) {
        return Ok(python);
    }
    std::fs::create_dir_all(cache_dir())?;
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))
        .context("cannot run python3")?
        .ok()?;
    let install = ["-m", "pip", "install", "--quiet", "-r"];
    run(Command::new(&python).args(install).arg(requirements))?.ok()?;
    Ok(python)
}

/// A directory with `node_modules` as the lock file pins them.
///
/// # Errors
/// Without Node, npm, or a package registry.
pub fn node_modules() -> Result<PathBuf> {
    let dir = cache_dir().join("javascript");
    std::fs::create_dir_all(&dir)?;
    let lock = std::fs::read(scripts("javascript").join("package-lock.json"))?;
    // Written last: what was interrupted is installed again.
    let mark = dir.join("installed.json");
    if std::fs::read(&mark).is_ok_and(|installed| installed == lock) {
        return Ok(dir.join("node_modules"));
    }
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(scripts("javascript").join(file), dir.join(file))?;
    }
    let install = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    run(Command::new("npm").args(install).current_dir(&dir)).context("cannot run npm")?.ok()?;
    std::fs::write(mark, lock)?;
    Ok(dir.join("node_modules"))
}

/// Tells a script where the platform is, and what it may do with it.
pub fn tell<'a>(script: &'a mut Command, platform: &Platform) -> Result<&'a mut Command> {
    let daemon = platform.daemon_pid()?.to_string();
    script.env("KUBECONFIG", &platform.kubeconfig).env("IMAGE", crate::image::HELLO);
    script.env("DAEMON", daemon).env("SCRATCH", platform.scratch());
    Ok(script.env("PYTHONDONTWRITEBYTECODE", "1").env("NODE_NO_WARNINGS", "1"))
}

/// A kubectl, and which version it is.
#[derive(Clone, Debug)]
pub struct Kubectl {
    /// The program.
    pub program: PathBuf,
    /// Minor version of Kubernetes 1.
    pub minor: u32,
}

impl Kubectl {
    /// Asks `program` what it is.
    pub fn of(program: PathBuf) -> Result<Self> {
        let version = ["version", "--client", "-o", "json"];
        let said = run(Command::new(&program).args(version))?.json()?;
        let minor = said["clientVersion"]["minor"].as_str().context("no minor version")?;
        let minor = minor.trim_end_matches('+').parse()?;
        ensure!(said["clientVersion"]["major"] == "1", "not version 1: {said}");
        Ok(Self { program, minor })
    }

    /// The one of this machine.
    pub fn of_the_machine() -> Option<Self> {
        crate::process::path_of("kubectl").and_then(|program| Self::of(program).ok())
    }

    /// The one of Debian's packages, whatever this machine has.
    pub fn of_debian() -> Result<Self> {
        Self::of(crate::debian::kubectl(&cache_dir())?)
    }
}
