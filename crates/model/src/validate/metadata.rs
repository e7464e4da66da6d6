//! Labels, annotations and names as Kubernetes checks them (API conventions, "Labels and
//! Annotations": syntax and character set).

use super::fault;
use crate::{Fault, name};

/// Largest sum of the sizes of all annotations of an object, in bytes.
const ANNOTATIONS_MAX: usize = 256 << 10;

/// Checks a DNS label of RFC 1123: as [`name::check_label`], but it may start with a digit.
///
/// # Errors
/// `INVALID_NAME`.
pub fn dns_label(name: &str, field: &str) -> Result<(), Fault> {
    if name.len() <= 63 && !name.contains('.') && name::check_subdomain(name, field).is_ok() {
        return Ok(());
    }
    let message = format!(
        "{name:?} is not allowed as {field}: use at most 63 characters of a-z, 0-9 and '-', \
         starting and ending with a letter or digit"
    );
    Err(fault("INVALID_NAME", field, message))
}

/// Checks the key of a label, annotation or finalizer: `[prefix/]name`.
///
/// # Errors
/// `INVALID_LABEL`.
pub fn key(key: &str, field: &str) -> Result<(), Fault> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let ok = word(name) && prefix.is_none_or(|prefix| name::check_subdomain(prefix, "").is_ok());
    if ok {
        return Ok(());
    }
    Err(fault(
        "INVALID_LABEL",
        field,
        format!(
            "{key:?} is not allowed as a key: use at most 63 letters, digits, '-', '_' and '.', \
             with an optional DNS prefix and '/'"
        ),
    ))
}

/// 1 to 63 characters, the first and last a letter or digit.
fn word(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let bytes = text.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    bytes.len() <= 63
        && first.is_ascii_alphanumeric()
        && last.is_ascii_alphanumeric()
        && bytes.iter().all(|b| inner(*b))
}

/// What is wrong with labels.
pub fn labels(labels: &[(&str, &str)], field: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, value) in labels {
        faults.extend(key(name, field).err());
        if !value.is_empty() && !word(value) {
            faults.push(fault(
                "INVALID_LABEL",
                format!("{field}[{name}]"),
                format!(
                    "{value:?} is not allowed as the value of a label: use at most 63 letters, \
                     digits, '-', '_' and '.', starting and ending with a letter or digit"
                ),
            ));
        }
    }
    faults
}

/// What is wrong with annotations. Their values are free text.
pub fn annotations(annotations: &[(&str, &str)], field: &str) -> Vec<Fault> {
    // Annotation keys may have upper-case prefixes in Kubernetes, which lower-cases them first.
    let mut faults: Vec<Fault> =
        annotations.iter().filter_map(|(name, _)| key(&name.to_lowercase(), field).err()).collect();
    let size: usize = annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > ANNOTATIONS_MAX {
        faults.push(fault(
            "OBJECT_TOO_LARGE",
            field,
            format!("{size} bytes are too many: annotations may have {ANNOTATIONS_MAX} in all"),
        ));
    }
    faults
}
