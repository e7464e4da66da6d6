//! Credentials from docker configuration files (`~/.docker/config.json`, and Secrets of the type
//! `kubernetes.io/dockerconfigjson`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ebb_model::Kind;
use serde::Deserialize;

use crate::Error;

/// How to identify at a registry. Never printed: there is no `Debug` on purpose.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// Name and password.
    Password(String, String),
    /// A refresh token of OAuth 2 (`identitytoken`).
    Identity(String),
    /// A token that is sent as it is (`registrytoken`).
    Token(String),
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
    registrytoken: String,
}

/// The first credential that one of the files has for `registry` and `repository`.
///
/// # Errors
/// `IMAGE_PULL_DENIED` for a file that cannot be read: to go on without it would only hide why
/// the registry refuses.
pub(crate) fn find(
    files: &[Vec<u8>],
    registry: &str,
    repository: &str,
) -> Result<Option<Credential>, Error> {
    for bytes in files {
        // The content stays out of the message: it holds passwords.
        let file: File = serde_json::from_slice(bytes).map_err(|error| {
            invalid(&format!("line {} column {} is not valid", error.line(), error.column()))
        })?;
        let matching = file
            .auths
            .iter()
            .filter_map(|(key, entry)| Some((matches(key, registry, repository)?, entry)));
        // The most specific key wins within a file, as in Kubernetes.
        if let Some((_, entry)) = matching.max_by_key(|(length, _)| *length)
            && let Some(credential) = entry.credential()?
        {
            return Ok(Some(credential));
        }
    }
    Ok(None)
}

fn invalid(what: &str) -> Error {
    let message = format!("the docker configuration for the pull is not usable: {what}");
    Error::new("IMAGE_PULL_DENIED", Kind::Denied, message)
        .hint("make the Secret again with `kubectl create secret docker-registry`")
}

/// How specific a key of `auths` is for this repository; none when it is for another one. A key is
/// a host, a URL, or either with a path in front of the repository.
fn matches(key: &str, registry: &str, repository: &str) -> Option<usize> {
    let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    if canonical(host) != canonical(registry) {
        return None;
    }
    let path = path.trim_end_matches('/');
    if matches!(path, "" | "v1" | "v2") {
        return Some(0);
    }
    let below = repository.strip_prefix(path)?;
    (below.is_empty() || below.starts_with('/')).then_some(path.len())
}

/// Docker Hub has several names, and the default port says nothing.
fn canonical(host: &str) -> &str {
    let host = host.strip_suffix(":443").unwrap_or(host);
    match host {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io",
        host => host,
    }
}

impl Entry {
    fn credential(&self) -> Result<Option<Credential>, Error> {
        if !self.registrytoken.is_empty() {
            return Ok(Some(Credential::Token(self.registrytoken.clone())));
        }
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credential::Identity(self.identitytoken.clone())));
        }
        if !self.username.is_empty() {
            return Ok(Some(Credential::Password(self.username.clone(), self.password.clone())));
        }
        if self.auth.is_empty() {
            return Ok(None);
        }
        let pair = BASE64_STANDARD
            .decode(self.auth.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| invalid("an auth field is not base64"))?;
        let (name, password) = pair
            .split_once(':')
            .ok_or_else(|| invalid("an auth field is not base64 of name:password"))?;
        let password = password.trim_end_matches('\0');
        Ok(Some(Credential::Password(name.to_owned(), password.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_one(file: &str, registry: &str, repository: &str) -> Option<Credential> {
        find(&[file.as_bytes().to_vec()], registry, repository).unwrap()
    }

    #[test]
    fn finds_by_every_name_of_a_registry() {
        let named = |key: &str| format!(r#"{{"auths":{{"{key}":{{"auth":"YTpiOmM="}}}}}}"#);
        let want = Some(Credential::Password("a".to_owned(), "b:c".to_owned()));
        for (key, registry) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
            ("registry.example:5000", "registry.example:5000"),
            ("https://registry.example", "registry.example:443"),
            ("registry.example/v2/", "registry.example"),
            ("registry.example/team", "registry.example"),
        ] {
            assert!(find_one(&named(key), registry, "team/app") == want, "{key}");
        }
        for (key, registry) in [
            ("registry.example", "registry.example:5000"),
            ("registry.example", "evil-registry.example"),
            ("registry.example/tea", "registry.example"),
            ("registry.example/other", "registry.example"),
        ] {
            assert!(find_one(&named(key), registry, "team/app").is_none(), "{key}");
        }
    }

    #[test]
    fn the_most_specific_key_and_the_strongest_kind_win() {
        let file = r#"{"auths":{"r.example":{"username":"u","password":"p"},
            "r.example/team":{"identitytoken":"t","username":"u"},"r.example/x":{}}}"#;
        assert!(find_one(file, "r.example", "team/a") == Some(Credential::Identity("t".into())));
        assert!(
            find_one(file, "r.example", "a") == Some(Credential::Password("u".into(), "p".into()))
        );
        assert!(find_one(file, "r.example", "x/a").is_none());
        assert!(find_one("{}", "r.example", "a").is_none());
    }

    #[test]
    fn a_broken_file_is_an_error_without_its_content() {
        for file in [
            "secret",
            r#"{"auths":{"r":{"auth":"secret"}}}"#,
            r#"{"auths":{"r":{"auth":"c2VjcmV0"}}}"#,
        ] {
            let error = find(&[file.into()], "r", "a").err().unwrap();
            assert_eq!(error.code(), "IMAGE_PULL_DENIED");
            assert!(!error.to_string().contains("secret"));
        }
    }
}
