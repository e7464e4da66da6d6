//! Reads the layers of the configuration into one flat map.

use std::collections::BTreeMap;
use std::path::Path;

use ebb_model::{Fault, Kind};

use super::KEYS;

/// Unchecked values by dotted key.
pub type Raw = BTreeMap<String, String>;

/// Merges defaults, file, environment and flags. `env` is the whole environment of the process.
///
/// # Errors
/// Every fault at once: unreadable file, TOML syntax, unknown keys of the file, unknown `EBB_*`
/// variables with a double underscore.
pub fn read(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    flags: Raw,
) -> Result<Raw, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut raw: Raw =
        KEYS.iter().map(|key| (key.name.to_owned(), key.default.to_owned())).collect();
    if let Some(path) = file {
        match read_file(path) {
            Ok(values) => merge(&mut raw, values, &path.display().to_string(), &mut faults),
            Err(fault) => faults.push(fault),
        }
    }
    merge(&mut raw, from_env(env), "the environment", &mut faults);
    merge(&mut raw, flags, "the flags", &mut faults);
    if faults.is_empty() { Ok(raw) } else { Err(faults) }
}

/// `EBB_GATEWAY__LISTEN` is `gateway.listen`. Variables without a section are read only when they
/// name a key, because `EBB_KUBECONFIG` and the like belong to the command line client.
fn from_env(env: impl IntoIterator<Item = (String, String)>) -> Raw {
    let known = |name: &str| KEYS.iter().any(|key| key.name == name);
    env.into_iter()
        .filter_map(|(name, value)| {
            let key = name.strip_prefix("EBB_")?.to_lowercase().replace("__", ".");
            (key.contains('.') || known(&key)).then_some((key, value))
        })
        .collect()
}

fn read_file(path: &Path) -> Result<Raw, Fault> {
    let invalid = |message: String| {
        Fault::new("CONFIG_INVALID", Kind::Invalid, message)
            .hint("see docs/reference/config.md for every key")
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| invalid(format!("{} cannot be read: {error}", path.display())))?;
    let table: toml::Table = text
        .parse()
        .map_err(|error| invalid(format!("{} is not valid TOML: {error}", path.display())))?;
    let mut raw = Raw::new();
    flatten("", &table, &mut raw);
    Ok(raw)
}

fn flatten(prefix: &str, table: &toml::Table, into: &mut Raw) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, into),
            toml::Value::String(text) => {
                into.insert(key, text.clone());
            }
            toml::Value::Array(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                    .collect();
                into.insert(key, items.join(","));
            }
            other => {
                into.insert(key, other.to_string());
            }
        }
    }
}

fn merge(raw: &mut Raw, values: Raw, source: &str, faults: &mut Vec<Fault>) {
    for (key, value) in values {
        match raw.get_mut(&key) {
            Some(known) => *known = value,
            None => faults.push(unknown(&key, source)),
        }
    }
}

fn unknown(key: &str, source: &str) -> Fault {
    // A key may be missing below a section whose name has a slip.
    let away = |known: &&str| {
        let section = known.split('.').next().unwrap_or_default();
        distance(key, known).min(distance(key, section))
    };
    let nearest = KEYS.iter().map(|known| known.name).min_by_key(away);
    let fault = Fault::new(
        "CONFIG_UNKNOWN_KEY",
        Kind::Invalid,
        format!("{source} sets {key:?}, which is not a key"),
    );
    match nearest {
        Some(nearest) => fault.hint(format!("the nearest key is {nearest:?}")),
        None => fault,
    }
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
