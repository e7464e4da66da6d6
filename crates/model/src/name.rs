//! Names and identities.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Fault, Kind};

/// Longest name of a Service: its revisions are named `<service>-00001`, and a revision name is a
/// DNS label (RFC 1035, 63 bytes).
pub const SERVICE_NAME_MAX: usize = 57;

/// Checks a DNS label as of RFC 1035 as Kubernetes uses it: 1 to `max` characters of `a-z`, `0-9`
/// and `-`, starting with a letter, ending with a letter or digit.
///
/// # Errors
/// `INVALID_NAME`, saying what is allowed.
pub fn check_label(name: &str, field: &str, max: usize) -> Result<(), Fault> {
    let ok = !name.is_empty()
        && name.len() <= max
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && name.as_bytes()[0].is_ascii_lowercase()
        && !name.ends_with('-');
    if ok {
        return Ok(());
    }
    Err(Fault::new(
        "INVALID_NAME",
        Kind::Invalid,
        format!(
            "{name:?} is not allowed as {field}: use 1 to {max} characters of a-z, 0-9 and '-', \
             starting with a letter and ending with a letter or digit"
        ),
    )
    .at(field))
}

/// Checks a DNS subdomain (RFC 1123) as Kubernetes uses it for most object names: at most 253
/// characters of `a-z`, `0-9`, `-` and `.`, each part starting and ending with a letter or digit.
///
/// # Errors
/// `INVALID_NAME`, saying what is allowed.
pub fn check_subdomain(name: &str, field: &str) -> Result<(), Fault> {
    let part_ok = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(part_ok) {
        return Ok(());
    }
    Err(Fault::new(
        "INVALID_NAME",
        Kind::Invalid,
        format!(
            "{name:?} is not allowed as {field}: use at most 253 characters of a-z, 0-9, '-' and \
             '.', each part starting and ending with a letter or digit"
        ),
    )
    .at(field))
}

/// Identity of a revision: its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RevisionKey {
    /// Namespace that owns it.
    pub namespace: String,
    /// Name of the revision, such as `hello-00001`.
    pub name: String,
}

impl RevisionKey {
    /// From its two parts.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for RevisionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Identity of an instance: a lower-case ULID, unique for ever.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

impl InstanceId {
    /// Accepts 26 lower-case Crockford base-32 digits.
    ///
    /// # Errors
    /// `INVALID_NAME` for anything else, so an id is always safe as a file name.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let ok =
            text.len() == 26 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase());
        if ok {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(
            "INVALID_NAME",
            Kind::Invalid,
            format!("{text:?} is not an instance id: 26 lower-case letters and digits are allowed"),
        ))
    }

    /// The 26 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of the Pod that shows this instance: `<revision>-<last 8 of the id>`.
    pub fn pod_name(&self, revision: &str) -> String {
        format!("{revision}-{}", &self.0[18..])
    }
}

impl TryFrom<String> for InstanceId {
    type Error = Fault;

    fn try_from(text: String) -> Result<Self, Fault> {
        Self::parse(&text)
    }
}

impl From<InstanceId> for String {
    fn from(id: InstanceId) -> Self {
        id.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for good in ["a", "hello", "a-1", &"a".repeat(57)] {
            assert!(check_label(good, "metadata.name", SERVICE_NAME_MAX).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "1a", "A", "a_b", "a.b", "..", "é", &"a".repeat(58)] {
            let fault = check_label(bad, "metadata.name", SERVICE_NAME_MAX).unwrap_err();
            assert_eq!(fault.code, "INVALID_NAME", "{bad}");
        }
    }

    #[test]
    fn subdomains() {
        for good in ["a", "1a", "a.b-c.d"] {
            assert!(check_subdomain(good, "metadata.name").is_ok(), "{good}");
        }
        for bad in ["", ".", "a..b", "a.", "-a", "A", "a/b", "%2e", &"a".repeat(254)] {
            assert!(check_subdomain(bad, "metadata.name").is_err(), "{bad}");
        }
    }

    #[test]
    fn instance_ids_are_safe_file_names() {
        let id = InstanceId::parse("01j0000000000000000abcdefg").unwrap();
        assert_eq!(id.pod_name("hello-00001"), "hello-00001-0abcdefg");
        for bad in ["", "../../../../../../../../../..", "01J0000000000000000ABCDEFG"] {
            assert!(InstanceId::parse(bad).is_err(), "{bad}");
        }
    }
}
