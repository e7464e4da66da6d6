//! What the tests want of the machine, and how it gets there.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::command;

/// A command that some test runs, the Debian package that has it, and what for.
const WANTED: [(&str, &str, &str); 11] = [
    ("etcd", "etcd-server", "the comparison of `bench api`"),
    ("kubectl", "kubernetes-client", "deploying through kubectl"),
    ("node", "nodejs", "the JavaScript client of Kubernetes"),
    ("npm", "npm", "installing the JavaScript client of Kubernetes"),
    ("runc", "runc", "the comparison of `bench cold`"),
    ("skopeo", "skopeo", "pushing to a registry"),
    ("docker-registry", "docker-registry", "pulling from a registry"),
    ("nginx", "nginx-light", "the comparison of `bench proxy`"),
    ("wrk", "wrk", "load for `bench proxy`"),
    ("nft", "nftables", "looking for rules that were left behind"),
    ("dpkg-deb", "dpkg", "taking nginx's packages apart for an image"),
];

/// Python's module for environments has no command of its own.
const PYTHON_VENV: (&str, &str) = ("python3-venv", "the Python client of Kubernetes");

/// Keeps packages from starting their services while it exists, if nobody else does already.
struct NoServices(Option<&'static Path>);

impl NoServices {
    /// Where Debian's tools ask whether a service may be started.
    const POLICY: &'static str = "/usr/sbin/policy-rc.d";

    fn new() -> Self {
        let policy = Path::new(Self::POLICY);
        if policy.exists() || std::fs::write(policy, "#!/bin/sh\nexit 101\n").is_err() {
            return Self(None);
        }
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        drop(std::fs::set_permissions(policy, executable));
        Self(Some(policy))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = self.0 {
            drop(std::fs::remove_file(policy));
        }
    }
}

/// Installs what is missing, or says in one line what is and why it stays so.
pub(crate) fn install() {
    let missing = missing();
    if missing.is_empty() {
        println!("everything that the tests want is here");
        return;
    }
    let names: Vec<&str> = missing.iter().map(|(package, _)| *package).collect();
    let listed: Vec<String> = missing.iter().map(|(p, why)| format!("{p} ({why})")).collect();
    let listed = listed.join(", ");
    if !command::has("apt-get") || !is_root() {
        println!("missing, and not installed without root and apt-get: {listed}");
        return;
    }
    println!("installing {listed}");
    let _guard = NoServices::new();
    let update = apt(&["update", "-q"]);
    let install = [&["install", "-y", "-q", "--no-install-recommends"], names.as_slice()].concat();
    if !update || !apt(&install) {
        println!("missing, and apt-get could not install: {listed}");
    }
}

fn missing() -> Vec<(&'static str, &'static str)> {
    let commands = WANTED.iter().filter(|(program, ..)| !command::has(program));
    let mut missing: Vec<_> = commands.map(|(_, package, why)| (*package, *why)).collect();
    let probe = ["-c", "import ensurepip, venv"];
    let python = Command::new("python3").args(probe).stderr(Stdio::null()).status();
    if !python.is_ok_and(|status| status.success()) {
        missing.push(PYTHON_VENV);
    }
    missing
}

fn apt(arguments: &[&str]) -> bool {
    let mut apt = Command::new("apt-get");
    apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    apt.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Whether we run as root, as the kernel says it.
pub(crate) fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    uid.and_then(|ids| ids.split_whitespace().nth(1)).is_some_and(|effective| effective == "0")
}
