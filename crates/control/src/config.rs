//! What control is told at start.

use std::time::Duration;

use ebb_model::Resource;

/// Configuration of control.
#[derive(Clone, Debug)]
pub struct Config {
    /// Domain of the URLs: `http://NAME.NAMESPACE.DOMAIN`. Default `localhost`.
    pub domain: String,
    /// Port of the gateway; left out of URLs when it is 80.
    pub gateway_port: u16,
    /// Six hex digits that name this platform on its host.
    pub cell: String,
    /// The machine, as the Node object shows it.
    pub node: NodeConfig,
    /// Time that a revision has from its first try to Ready. Default 600 s, as in Knative.
    pub progress_deadline: Duration,
    /// Time for asking a registry which digest a tag has. Default 10 s, as in Knative.
    pub resolve_timeout: Duration,
    /// Time from start to ready of one instance. Default 240 s.
    pub start_timeout: Duration,
    /// Revisions of a service that are kept although nothing routes to them. Default 20, the
    /// `min-non-active-revisions` of Knative.
    pub keep_revisions: usize,
    /// Every kind that is stored. What is not named here is neither collected as garbage nor
    /// removed with its namespace; when nothing is, no namespace is ever removed.
    pub resources: Vec<Resource>,
    /// Seed of ids and jitter; none: from the operating system. For simulation and tests.
    pub seed: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domain: "localhost".to_owned(),
            gateway_port: 80,
            cell: "000000".to_owned(),
            node: NodeConfig::default(),
            progress_deadline: Duration::from_mins(10),
            resolve_timeout: Duration::from_secs(10),
            start_timeout: Duration::from_mins(4),
            keep_revisions: 20,
            resources: Vec::new(),
            seed: None,
        }
    }
}

/// What the Node object says about the machine.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Name of the node.
    pub name: String,
    /// Processors, in thousandths.
    pub cpu_milli: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Instances at most.
    pub instances: u32,
    /// Version of the kernel, as `uname -r` says.
    pub kernel_version: String,
    /// Name of the operating system.
    pub os_image: String,
    /// Architecture in Go's words, such as `amd64`.
    pub architecture: String,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            name: "ebb".to_owned(),
            cpu_milli: 1000,
            memory_bytes: 1 << 30,
            instances: 1000,
            kernel_version: String::new(),
            os_image: "linux".to_owned(),
            architecture: "amd64".to_owned(),
        }
    }
}

impl Config {
    /// URL of a service.
    pub(crate) fn url(&self, namespace: &str, name: &str) -> String {
        let host = self.host(namespace, name);
        if self.gateway_port == 80 {
            format!("http://{host}")
        } else {
            format!("http://{host}:{}", self.gateway_port)
        }
    }

    /// Host of a service, in lower case and without port.
    pub(crate) fn host(&self, namespace: &str, name: &str) -> String {
        format!("{name}.{namespace}.{}", self.domain).to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_the_port_unless_it_is_the_default() {
        let mut config = Config::default();
        assert_eq!(config.url("default", "hello"), "http://hello.default.localhost");
        config.gateway_port = 8080;
        assert_eq!(config.url("a", "b"), "http://b.a.localhost:8080");
    }
}
