//! Every configuration key is in the reference.

use super::Finding;
use super::source::Source;
use super::tree::Tree;

/// The one list of keys, as `name: "..."`.
const LIST: &str = "crates/node/src/config/keys.rs";
/// Where they are described, each under a heading of its own.
const REFERENCE: &str = "docs/reference/config.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(list) = tree.text(LIST) else { return Vec::new() };
    let source = Source::parse(list);
    let names = source.strings.iter().filter(|literal| {
        let before = &source.code[literal.line][..literal.column];
        before.trim() == "name:"
    });
    let keys: Vec<&str> = names.map(|literal| literal.value.as_str()).collect();
    let reference = tree.text(REFERENCE).unwrap_or_default();
    let described: Vec<&str> =
        reference.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`')).collect();
    let missing = keys.iter().filter(|key| !described.contains(key));
    let stale = described.iter().filter(|key| !keys.contains(key));
    missing
        .map(|key| Finding::new(REFERENCE, format!("does not say what `{key}` is")))
        .chain(stale.map(|key| Finding::new(REFERENCE, format!("`{key}` is no key"))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "const KEYS: &[Key] = &[\n    Key {\n        name: \"data_dir\",\n        \
                        flag: \"--data-dir\",\n    },\n    Key {\n        name: \"api.listen\",\n    },\n];";

    fn check_with(reference: &str) -> usize {
        check(&Tree::of(&[(LIST, KEYS), (REFERENCE, reference)])).len()
    }

    #[test]
    fn keys_and_reference_meet() {
        assert_eq!(check_with("# x\n\n## `data_dir`\n\ny\n\n## `api.listen`\n"), 0);
        assert_eq!(check_with("## `data_dir`\n"), 1);
        assert_eq!(check_with("## `data_dir`\n## `api.listen`\n## `old`\n"), 1);
    }
}
