//! The file that makes every Kubernetes client find the platform.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::{Error, private};

/// Writes a kubeconfig with mode 0600 that trusts the platform's own certificate authority and
/// sends the admin token. The file is replaced whole. `ca_pem` is [`crate::Handle::ca_pem`],
/// `server_url` such as `https://127.0.0.1:6443`.
///
/// # Errors
/// `API_FILE_UNUSABLE` when it cannot be written.
pub fn write(path: &Path, server_url: &str, ca_pem: &str, token: &str) -> Result<(), Error> {
    private::write(path, &text(server_url, ca_pem, token))
}

/// YAML is a superset of JSON; what is made of plain strings here is written as YAML by hand
/// nowhere, so that no value can break out of its place.
fn text(server_url: &str, ca_pem: &str, token: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "ebb",
            "cluster": {
                "server": server_url,
                "certificate-authority-data": STANDARD.encode(ca_pem),
            },
        }],
        "users": [{ "name": "admin", "user": { "token": token } }],
        "contexts": [{
            "name": "ebb",
            "context": { "cluster": "ebb", "user": "admin", "namespace": "default" },
        }],
        "current-context": "ebb",
    });
    serde_yaml_ng::to_string(&config).unwrap_or_else(|_| config.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    #[test]
    fn reads_back() {
        let text = super::text("https://127.0.0.1:1", "PEM", "secret: \"x\"");
        let config: Value = serde_yaml_ng::from_str(&text).unwrap();
        assert_eq!(config["users"][0]["user"]["token"], "secret: \"x\"");
        assert_eq!(config["clusters"][0]["cluster"]["certificate-authority-data"], "UEVN");
        assert_eq!(config["current-context"], "ebb");
    }
}
