//! What every implementation checks in the same way.

use std::collections::BTreeSet;

use crate::{Commit, Error, Record, SCAN_BYTES, Scan, Write};

/// Longest key, in bytes: group, resource, namespace and name of at most 253 bytes each.
pub const KEY_BYTES_MAX: usize = 1_024;

/// Largest value, in bytes (16 MiB). Doors allow far less; this bounds what one commit can cost.
pub const VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most writes in one commit.
pub const WRITES_MAX: usize = 10_000;

impl Write {
    /// The key that it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// Records of a scan, as many as it may hold.
pub(crate) struct Page {
    limit: usize,
    bytes: usize,
    records: Vec<Record>,
    more: bool,
}

impl Page {
    /// An empty page for `limit` records.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, records: Vec::new(), more: false }
    }

    /// Whether a record was offered that is left for the next page.
    pub(crate) const fn is_full(&self) -> bool {
        self.more
    }

    /// Takes the next record, if there is room for it.
    pub(crate) fn offer(&mut self, record: Record) {
        self.bytes = self.bytes.saturating_add(record.value.data.len());
        let large = self.bytes > SCAN_BYTES && !self.records.is_empty();
        self.more = large || self.records.len() == self.limit;
        if !self.more {
            self.records.push(record);
        }
    }

    /// The page as of `version`.
    pub(crate) fn into_scan(self, version: u64) -> Scan {
        Scan { records: self.records, version, more: self.more }
    }
}

/// Checks what does not depend on what is stored.
pub(crate) fn commit(commit: &Commit) -> Result<(), Error> {
    if commit.writes.len() > WRITES_MAX {
        let count = commit.writes.len();
        return Err(Error::InvalidCommit(format!("{count} writes; {WRITES_MAX} are allowed")));
    }
    let mut keys = BTreeSet::new();
    for write in &commit.writes {
        let key = write.key();
        if key.is_empty() || key.len() > KEY_BYTES_MAX || key.contains('\0') {
            return Err(Error::InvalidCommit(format!(
                "a key has 1 to {KEY_BYTES_MAX} bytes and no NUL, not {:?}",
                key.chars().take(64).collect::<String>()
            )));
        }
        if !keys.insert(key) {
            return Err(Error::InvalidCommit(format!("{key} is written twice")));
        }
        if let Write::Put { value, .. } = write
            && value.data.len() > VALUE_BYTES_MAX
        {
            let bytes = value.data.len();
            return Err(Error::InvalidCommit(format!(
                "the value of {key} has {bytes} bytes; {VALUE_BYTES_MAX} are allowed"
            )));
        }
    }
    Ok(())
}

/// Checks that `at` can be read when `compacted` is the oldest retained version.
pub(crate) const fn readable(at: u64, compacted: u64, newest: u64) -> Result<(), Error> {
    if at < compacted {
        return Err(Error::Compacted { asked: at, oldest: compacted });
    }
    if at > newest {
        return Err(Error::FutureVersion { asked: at, newest });
    }
    Ok(())
}

/// The least key that a scan of `prefix` after `after` may show.
pub(crate) fn first_key(prefix: &str, after: Option<&str>) -> String {
    match after {
        // Nothing lies between a key and the same key with a NUL behind it.
        Some(after) if after >= prefix => format!("{after}\0"),
        _ => prefix.to_owned(),
    }
}

/// The least string that is greater than every string with `prefix`; none when there is none.
///
/// UTF-8 orders strings as their characters are ordered, so raising the last character that can be
/// raised gives the bound.
pub(crate) fn prefix_end(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_where_the_next_begins() {
        assert_eq!(prefix_end("/a/b").as_deref(), Some("/a/c"));
        assert_eq!(prefix_end("/a/").as_deref(), Some("/a0"));
        assert_eq!(prefix_end(""), None);
        assert_eq!(prefix_end("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(prefix_end("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(prefix_end("\u{10ffff}"), None);
    }

    #[test]
    fn a_page_begins_after_the_last_key() {
        assert_eq!(first_key("/a/", None), "/a/");
        assert_eq!(first_key("/a/", Some("/a/x")), "/a/x\0");
        assert_eq!(first_key("/b/", Some("/a/x")), "/b/");
    }
}
