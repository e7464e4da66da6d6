//! Writes down what the kubectl of this machine sends: `cargo xtask capture`.
//!
//! For every list of commands in `captured/` it starts a platform and runs the commands through a
//! proxy. The requests are written beside the list; the test `what_kubectl_sent_is_answered` sends
//! them again.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)] // it is a command

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use ebb_e2e::capture::{Exchange, proxy::Proxy};
use ebb_e2e::{Platform, clients, platform};

fn main() -> Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("captured");
    for entry in std::fs::read_dir(&dir)? {
        let commands = entry?.path();
        if commands.extension().is_some_and(|extension| extension == "commands") {
            let requests = capture(&std::fs::read_to_string(&commands)?)
                .with_context(|| commands.display().to_string())?;
            let count = requests.len();
            let text: String = requests.iter().map(Exchange::write).collect();
            let path = commands.with_extension("http");
            std::fs::write(&path, text)?;
            println!("{count} requests in {}", path.display());
        }
    }
    Ok(())
}

/// Runs the commands, and answers what they sent.
fn capture(commands: &str) -> Result<Vec<Exchange>> {
    let kubectl = clients::Kubectl::of_the_machine().context("kubectl is not installed")?;
    let platform = Platform::start()?;
    platform.load_hello()?;
    let proxy = Proxy::start(platform.api()?)?;
    let dir = platform.scratch().join("capture");
    std::fs::create_dir(&dir)?;
    platform::run(Command::new("cp").arg("-r").arg(clients::scripts("kubectl/files/.")).arg(&dir))?
        .ok()?;
    let kubeconfig = dir.join("kubeconfig");
    std::fs::write(
        &kubeconfig,
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u}}]\n",
            proxy.address
        ),
    )?;
    let (mut requests, mut answers) = (Vec::new(), Vec::new());
    let commands = commands.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for command in commands {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&dir).env("HOME", &dir);
        shell.env("KUBECONFIG", &kubeconfig);
        let ran = platform::run(&mut shell)?;
        println!("{:?} {command}\n{}{}", ran.code, ran.stdout, ran.stderr);
        for (mut request, answer) in proxy.take() {
            // Some builds of kubectl ask for the version before everything that they do.
            let version = request.path.starts_with("/version") && command != "kubectl version";
            if version {
                continue;
            }
            command.clone_into(&mut request.command);
            request.refer(&answers);
            requests.push(request);
            answers.push(answer);
        }
    }
    println!("captured from kubectl 1.{}", kubectl.minor);
    platform.stop()?;
    Ok(requests)
}
