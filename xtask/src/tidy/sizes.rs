//! No file grows into a place where nobody finds anything.

use super::Finding;
use super::source::{Source, is_test_file};
use super::tree::Tree;

/// Most lines of a file that are not tests.
const FILE_LINES: usize = 600;
/// Most lines of a crate's front page.
const LIB_LINES: usize = 200;

/// Most lines of the crate that everybody may use, so that it does not become the place for
/// everything.
const KIT: (&str, usize) = ("crates/kit/src/", 1500);

/// Files that may be longer, each with its reason.
const LONGER: [(&str, &str); 0] = [];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust("").filter(|(path, _)| !is_test_file(path)) {
        let limit = if path.ends_with("/src/lib.rs") { LIB_LINES } else { FILE_LINES };
        let lines = Source::parse(text).shipped().count();
        if lines > limit && !LONGER.iter().any(|(allowed, _)| *allowed == path) {
            let message = format!("{lines} lines without tests; at most {limit}: split it");
            findings.push(Finding::new(path, message));
        }
    }
    let kit = tree.rust(KIT.0).filter(|(path, _)| !is_test_file(path));
    let lines: usize = kit.map(|(_, text)| Source::parse(text).shipped().count()).sum();
    if lines > KIT.1 {
        findings.push(Finding::new(KIT.0, format!("{lines} lines; at most {}", KIT.1)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_found_and_tests_do_not_count() {
        let long = "fn f() {}\n".repeat(601);
        assert_eq!(check(&Tree::of(&[("crates/a/src/b.rs", &long)])).len(), 1);
        assert_eq!(check(&Tree::of(&[("crates/a/src/b/tests.rs", &long)])).len(), 0);
        let tests = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        assert_eq!(check(&Tree::of(&[("crates/a/src/b.rs", &tests)])).len(), 0);
        let (one, two) = ("crates/kit/src/a.rs", "crates/kit/src/b.rs");
        let (much, more) = ("fn f() {}\n".repeat(600), "fn f() {}\n".repeat(590));
        assert_eq!(check(&Tree::of(&[(one, &much), (two, &more)])).len(), 0);
        let three = ("crates/kit/src/c.rs", more.as_str());
        assert_eq!(check(&Tree::of(&[(one, &much), (two, &more), three])).len(), 1);
        let front = "//! x\n".repeat(201);
        assert_eq!(check(&Tree::of(&[("crates/a/src/lib.rs", &front)])).len(), 1);
    }
}
