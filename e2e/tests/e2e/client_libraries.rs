//! The official client libraries of Kubernetes against the API, unchanged.

use std::process::Command;

use anyhow::Result;
use ebb_e2e::platform::run;
use ebb_e2e::{Platform, clients, not_run};

use crate::support::can_run;

/// Runs a script of checks; it names those that fail.
fn judge(test: &str, script: impl Fn(&Platform) -> Result<Command>) {
    let platform = Platform::start().unwrap();
    platform.load_hello().unwrap();
    let mut script = script(&platform).unwrap();
    let ran = run(clients::tell(&mut script, &platform).unwrap()).unwrap();
    let passed = ran.code == Some(0) && ran.stdout.ends_with("done\n");
    assert!(passed, "{test}:\n{}\n{}", ran.stdout, ran.stderr);
    platform.stop().unwrap();
}

#[test]
fn the_python_client_works() {
    let test = "the_python_client_works";
    if !can_run(test) {
        return;
    }
    match clients::python() {
        Err(error) => not_installed(test, &error),
        Ok(python) => judge(test, |_| {
            let mut script = Command::new(&python);
            script.arg(clients::scripts("python").join("main.py"));
            Ok(script)
        }),
    }
}

#[test]
fn the_javascript_client_works() {
    let test = "the_javascript_client_works";
    if !can_run(test) {
        return;
    }
    match clients::node_modules() {
        Err(error) => not_installed(test, &error),
        Ok(modules) => judge(test, |platform| {
            // Modules are looked for beside the script.
            let dir = platform.scratch().join("javascript");
            std::fs::create_dir(&dir)?;
            for entry in std::fs::read_dir(clients::scripts("javascript"))? {
                let entry = entry?;
                std::fs::copy(entry.path(), dir.join(entry.file_name()))?;
            }
            std::os::unix::fs::symlink(&modules, dir.join("node_modules"))?;
            let mut script = Command::new("node");
            script.arg(dir.join("main.mjs"));
            Ok(script)
        }),
    }
}

fn not_installed(test: &str, error: &anyhow::Error) {
    let why = format!("the client cannot be installed: {error:#}");
    not_run(test, why.lines().next().unwrap_or_default());
}
