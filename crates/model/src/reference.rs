//! Image references such as `nginx`, `ghcr.io/org/app:1.2` or `host:5000/app@sha256:...`.
//!
//! Grammar: the OCI distribution specification ("pull", name and tag patterns) and the defaults of
//! Docker's reference grammar: registry `docker.io`, namespace `library`, tag `latest`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Digest, Fault, Kind};

/// A parsed, normalised image reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    /// Registry host with optional port, such as `docker.io` or `127.0.0.1:5000`.
    pub registry: String,
    /// Repository below it, such as `library/nginx`.
    pub repository: String,
    /// Tag; `latest` when neither tag nor digest was given.
    pub tag: Option<String>,
    /// Digest, when the reference pins one.
    pub digest: Option<Digest>,
}

impl Reference {
    /// The same repository, pinned to `digest` and without tag.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Registry and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl FromStr for Reference {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        parse(text).ok_or_else(|| {
            Fault::new(
                "IMAGE_REFERENCE_INVALID",
                Kind::Invalid,
                format!(
                    "{text:?} is not an image reference: write [REGISTRY/]NAME[:TAG][@sha256:...] \
                     in lower case"
                ),
            )
        })
    }
}

fn parse(text: &str) -> Option<Reference> {
    if text.is_empty() || text.len() > 512 {
        return None;
    }
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse::<Digest>().ok()?)),
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let (registry, path) = match name.split_once('/') {
        Some((host, path)) if is_registry(host) => (host, path.to_owned()),
        Some(_) => ("docker.io", name.to_owned()),
        None => ("docker.io", format!("library/{name}")),
    };
    let tag = match tag {
        Some(tag) if !is_tag(tag) => return None,
        Some(tag) => Some(tag.to_owned()),
        None if digest.is_none() => Some("latest".to_owned()),
        None => None,
    };
    let valid = path.len() < 256 && path.split('/').all(is_component);
    valid.then(|| Reference { registry: registry.to_owned(), repository: path, tag, digest })
}

/// Whether the first part names a host, by Docker's rule: it has a dot or a port, or is `localhost`.
fn is_registry(host: &str) -> bool {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let named = port.is_some() || host.contains('.') || host == "localhost";
    named
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
        && name.split('.').all(is_host_label)
}

/// A label of a host name, or a number of an address.
fn is_host_label(label: &str) -> bool {
    !label.is_empty()
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !tag.is_empty()
        && tag.len() <= 128
        && word(tag.as_bytes()[0])
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*` of the distribution specification.
fn is_component(part: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    alnum(*first)
        && alnum(*last)
        && part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).all(|separator| {
            matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-')
        })
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Reference {
    type Error = Fault;

    fn try_from(text: String) -> Result<Self, Fault> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn normalises_like_docker() {
        for (text, want) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("org/app:1", "docker.io/org/app:1"),
            ("localhost/app", "localhost/app:latest"),
            ("127.0.0.1:5000/a/b__c:v1.2-3", "127.0.0.1:5000/a/b__c:v1.2-3"),
            ("ghcr.io/a--b/c.d_e", "ghcr.io/a--b/c.d_e:latest"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), want);
        }
        let digest = Digest::from_sha256([1; 32]);
        let pinned: Reference = format!("app:1@{digest}").parse().unwrap();
        assert_eq!(pinned.digest.as_ref(), Some(&digest));
        assert_eq!(pinned.tag.as_deref(), Some("1"));
    }

    #[test]
    fn refuses_what_the_grammar_does_not_allow() {
        for bad in [
            "",
            "App",
            "a//b",
            "a/../b",
            "a:",
            "a:b:c",
            "a@sha256:12",
            ":5000/a",
            "h:99999/a",
            "a_-b",
            "-a",
            "a b",
            "a/",
            &format!("a:{}", "t".repeat(129)),
            &"a".repeat(300),
        ] {
            let fault = bad.parse::<Reference>().unwrap_err();
            assert_eq!(fault.code, "IMAGE_REFERENCE_INVALID", "{bad}");
        }
    }

    proptest! {
        #[test]
        fn display_parses_back(text in "[a-z0-9._/:@-]{1,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
            }
        }
    }
}
