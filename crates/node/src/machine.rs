//! What the Node object says about this machine.

use ebb_control::NodeConfig;

/// Reads the machine's size and names from the kernel.
pub(crate) fn describe() -> NodeConfig {
    let names = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = rustix::system::sysinfo();
    NodeConfig {
        name: text(names.nodename()).to_lowercase(),
        cpu_milli: 1000 * u64::try_from(cpus).unwrap_or(1),
        memory_bytes: memory.totalram.saturating_mul(u64::from(memory.mem_unit)),
        kernel_version: text(names.release()),
        os_image: os_image(),
        architecture: match text(names.machine()).as_str() {
            "x86_64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            other => other.to_owned(),
        },
        ..NodeConfig::default()
    }
}

/// `PRETTY_NAME` of os-release(5).
fn os_image() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "linux".to_owned(), |name| name.trim_matches('"').to_owned())
}
