//! schemathesis against the API, from the `OpenAPI` documents that the API itself publishes: no
//! fault of the server, and every answer is one that its document describes.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use ebb_e2e::api::Kubeconfig;
use ebb_e2e::platform::run;
use ebb_e2e::{Platform, cache_dir, clients, not_run};

use crate::support::can_run;

const TEST: &str = "schemathesis_finds_no_fault";
/// What every answer is judged by.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";
/// Requests of each operation: as many as a test run has time for.
const EXAMPLES: &str = "5";

/// schemathesis, of the version that `requirements.txt` pins.
fn schemathesis() -> Result<PathBuf> {
    let requirements = clients::scripts("schemathesis").join("requirements.txt");
    let pinned = std::fs::read(&requirements)?;
    let dir = cache_dir().join("schemathesis");
    let (program, mark) = (dir.join("bin/schemathesis"), dir.join("installed"));
    // Written last: what was interrupted is installed again.
    if std::fs::read(&mark).is_ok_and(|installed| installed == pinned) {
        return Ok(program);
    }
    std::fs::create_dir_all(cache_dir())?;
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))
        .context("cannot run python3")?
        .ok()?;
    let install = ["-m", "pip", "install", "--quiet", "-r"];
    run(Command::new(dir.join("bin/python")).args(install).arg(requirements))?.ok()?;
    std::fs::write(mark, pinned)?;
    Ok(program)
}

#[test]
fn schemathesis_finds_no_fault() {
    if !can_run(TEST) {
        return;
    }
    let program = match schemathesis() {
        Ok(program) => program,
        Err(error) => {
            let why = format!("schemathesis cannot be installed: {error:#}");
            return not_run(TEST, why.lines().next().unwrap_or_default());
        }
    };
    let platform = Platform::start().unwrap();
    let config = Kubeconfig::read(&platform.kubeconfig).unwrap();
    let (ca, document) = (platform.scratch().join("ca.pem"), platform.scratch().join("api.json"));
    std::fs::write(&ca, &config.ca).unwrap();
    let index = platform.api().unwrap().get("/openapi/v3").unwrap();
    let groups = index["paths"].as_object().unwrap();
    assert!(groups.len() >= 3, "{index}");
    for (group, entry) in groups {
        let url = entry["serverRelativeURL"].as_str().unwrap();
        let openapi = platform.api().unwrap().get(url).unwrap();
        std::fs::write(&document, openapi.to_string()).unwrap();
        let mut command = Command::new(&program);
        command.arg("run").arg(&document).args(["--url", &format!("https://{}", config.server)]);
        command.arg("--tls-verify").arg(&ca);
        command.args(["-H", &format!("Authorization: Bearer {}", config.token)]);
        command.args(["--checks", CHECKS, "--phases", "fuzzing", "-n", EXAMPLES, "--seed", "1"]);
        command.args(["--no-shrink", "--warnings", "off", "--suppress-health-check", "all"]);
        command.args(["--request-timeout", "20", "--workers", "2"]);
        // An archive is no text that could be made from a schema.
        command.args(["--exclude-path", "/apis/ebb.dev/v1/images/load"]);
        command.env("SCHEMATHESIS_HOOKS", "hooks").env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("PYTHONPATH", clients::scripts("schemathesis"));
        command.current_dir(platform.scratch());
        let ran = run(&mut command).unwrap();
        assert_eq!(ran.code, Some(0), "{group}:\n{}\n{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains("No issues found"), "{group}:\n{}", ran.stdout);
    }
    platform.stop().unwrap();
}
