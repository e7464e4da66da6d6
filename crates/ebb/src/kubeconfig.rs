//! Finds the platform: server, CA and token from a kubeconfig file.

use std::path::{Path, PathBuf};

use base64::Engine;
use ebb_model::{Fault, Kind};
use serde::Deserialize;

/// Where the platform is and how to talk to it.
#[derive(Debug)]
pub(crate) struct Target {
    /// URL of the API server.
    pub(crate) server: String,
    /// CA certificate, PEM.
    pub(crate) ca_pem: Vec<u8>,
    /// Bearer token.
    pub(crate) token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    #[serde(default)]
    current_context: String,
    #[serde(default)]
    contexts: Vec<Named<Context>>,
    #[serde(default)]
    clusters: Vec<Named<Cluster>>,
    #[serde(default)]
    users: Vec<Named<User>>,
}

#[derive(Deserialize)]
struct Named<T> {
    name: String,
    #[serde(alias = "context", alias = "cluster", alias = "user")]
    value: T,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    #[serde(default)]
    certificate_authority_data: String,
    #[serde(default)]
    certificate_authority: PathBuf,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    token: String,
}

/// Reads the kubeconfig given by flag or environment, else the one in the default data directory.
pub(crate) fn target(given: Option<&Path>) -> Result<Target, Fault> {
    let data_dir =
        std::env::var_os("EBB_DATA_DIR").map_or_else(|| "/var/lib/ebb".into(), PathBuf::from);
    let path = given.map_or_else(|| data_dir.join("kubeconfig"), Path::to_path_buf);
    let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    parse(&text).ok_or_else(|| {
        Fault::new(
            "KUBECONFIG_INVALID",
            Kind::Invalid,
            format!("{} has no current context with a server and a token", path.display()),
        )
        .hint("`ebb up` writes a kubeconfig into its data directory")
    })
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    let message = format!("the kubeconfig {} cannot be read: {error}", path.display());
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        return Fault::new("PLATFORM_NOT_FOUND", Kind::Denied, message)
            .hint("run this as root, or name a copy that you may read with --kubeconfig");
    }
    Fault::new("PLATFORM_NOT_FOUND", Kind::Unavailable, message)
        .hint("start the platform with `ebb up`, or name its file with --kubeconfig")
}

fn parse(text: &str) -> Option<Target> {
    let file: File = serde_yaml_ng::from_str(text).ok()?;
    let context = find(&file.contexts, &file.current_context)?;
    let cluster = find(&file.clusters, &context.cluster)?;
    let user = find(&file.users, &context.user)?;
    let ca_pem = if cluster.certificate_authority_data.is_empty() {
        std::fs::read(&cluster.certificate_authority).ok()?
    } else {
        base64::engine::general_purpose::STANDARD
            .decode(&cluster.certificate_authority_data)
            .ok()?
    };
    Some(Target { server: cluster.server.clone(), ca_pem, token: user.token.clone() })
}

fn find<'a, T>(items: &'a [Named<T>], name: &str) -> Option<&'a T> {
    items.iter().find(|item| item.name == name).map(|item| &item.value)
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_the_current_context() {
        let text = "
apiVersion: v1
kind: Config
current-context: ebb
contexts: [{name: other, context: {cluster: x, user: x}}, {name: ebb, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: https://127.0.0.1:1, certificate-authority-data: Q0E=}}]
users: [{name: u, user: {token: secret}}]
";
        let target = super::parse(text).unwrap();
        assert_eq!(target.server, "https://127.0.0.1:1");
        assert_eq!(target.ca_pem, b"CA");
        assert_eq!(target.token, "secret");
        assert!(super::parse("a: b").is_none());
        assert!(super::parse("[").is_none());
    }
}
