//! Parameters, right and wrong.

use rand::Rng;
use rand::rngs::StdRng;

use crate::mutate::{pick, text};

/// Parameters that some verb knows, each with values that it may have.
const KNOWN: &[(&str, &[&str])] = &[
    ("allowWatchBookmarks", &["true", "false"]),
    ("continue", &["", "eyJ2ZXJzaW9uIjoxLCJhZnRlciI6Ii8ifQ", "x"]),
    ("dryRun", &["All", "All", "all", "None"]),
    ("fieldManager", &["kubectl", "fuzz", "a", ""]),
    (
        "fieldSelector",
        &[
            "metadata.name=hello",
            "metadata.name!=hello",
            "type=Opaque",
            "involvedObject.name=p",
            "status.phase=Running",
            "spec.x=1",
        ],
    ),
    ("fieldValidation", &["Strict", "Warn", "Ignore"]),
    ("follow", &["true", "false"]),
    ("force", &["true", "false"]),
    ("gracePeriodSeconds", &["0", "1", "30", "-1"]),
    ("hash", &["x"]),
    ("includeObject", &["None", "Metadata", "Object"]),
    ("container", &["user-container", "other"]),
    ("labelSelector", &["a=b", "a", "!a", "a in (b,c)", "a notin (b)", "a!=b", "app,x/y=z"]),
    ("limit", &["0", "1", "2", "500", "18446744073709551615"]),
    ("limitBytes", &["0", "1", "1000"]),
    ("namespace", &["default", "other"]),
    ("orphanDependents", &["true", "false"]),
    ("platform", &["linux/amd64"]),
    ("pretty", &["true"]),
    ("previous", &["true", "false"]),
    ("propagationPolicy", &["Orphan", "Background", "Foreground", "Sideways"]),
    ("reference", &["localhost/a:b", "a"]),
    ("resourceVersion", &["0", "1", "", "99999999999999999999", "1795237372196139"]),
    ("resourceVersionMatch", &["Exact", "NotOlderThan", "Sometimes"]),
    ("sendInitialEvents", &["true", "false"]),
    ("sinceSeconds", &["1", "0", "-1"]),
    ("sinceTime", &["2024-01-01T00:00:00Z", "now"]),
    ("tailLines", &["0", "1", "-1"]),
    ("timeout", &["32s"]),
    ("timeoutSeconds", &["1", "0", "5", "99999999999"]),
    ("timestamps", &["true"]),
    ("watch", &["true", "1", "false"]),
];

/// A few parameters, percent-encoded.
pub fn query(rng: &mut StdRng) -> Vec<String> {
    let count = *pick(rng, &[0, 0, 0, 0, 1, 1, 2]);
    (0..count).map(|_| parameter(rng)).collect()
}

fn parameter(rng: &mut StdRng) -> String {
    let (name, values) = *pick(rng, KNOWN);
    match rng.random_range(0..20) {
        0 => format!("{}={}", encode(&text(rng)), encode(&text(rng))),
        1 => (*pick(rng, &["%zz=1", "a=%", "&&", "=", "a=%ff", "%00=%00", "a==b", ";;", "watch"]))
            .to_owned(),
        2 => format!("{name}={}", encode(&text(rng))),
        _ => format!("{name}={}", encode(pick::<&str>(rng, values))),
    }
}

/// Percent-encodes everything that is not plain.
pub fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend([char::from(b'%'), digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0').to_ascii_uppercase()
}
