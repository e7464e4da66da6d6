//! Documents name only what exists.

use super::Finding;
use super::tree::Tree;

/// Documents whose code-formatted paths must exist.
const MAPS: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "STYLE.md", "CONTRIBUTING.md", "docs/adr/README.md"];
/// Where the records of decisions are.
const ADR: &str = "docs/adr/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for map in MAPS {
        let Some(text) = tree.text(map) else {
            findings.push(Finding::new(map, "is missing"));
            continue;
        };
        for path in named_paths(tree, text).filter(|path| !tree.has(path)) {
            findings.push(Finding::new(map, format!("names `{path}`, which does not exist")));
        }
    }
    for (path, text) in tree.with_extension("md") {
        for link in links(text) {
            if !tree.has(&resolve(path, link)) {
                findings.push(Finding::new(path, format!("links to {link}, which does not exist")));
            }
        }
    }
    findings.extend(decisions(tree));
    findings
}

/// Words in backticks that look like paths from the root: they start with a directory of it.
fn named_paths<'a>(tree: &'a Tree, text: &'a str) -> impl Iterator<Item = &'a str> {
    let code = text.split('`').skip(1).step_by(2);
    code.filter(|word| {
        let plain = !word.contains(|c: char| c.is_whitespace() || "<>*{}$".contains(c));
        let first = word.split('/').next().unwrap_or("");
        plain && word.contains('/') && !first.is_empty() && tree.has(&format!("{first}/"))
    })
}

/// Targets of Markdown links that are not on another host.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains(':') && !target.contains(' ')).then_some(target)
    })
}

/// `link` as seen from the file `from`, as a path from the root.
fn resolve(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Records are numbered without gaps, and the index has each.
fn decisions(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let index = tree.text("docs/adr/README.md").unwrap_or_default();
    let records = tree.files().filter_map(|(path, _)| path.strip_prefix(ADR));
    for (at, name) in records.filter(|name| *name != "README.md").enumerate() {
        if !name.starts_with(&format!("{:04}-", at + 1)) {
            let message = format!("should have number {:04}: no gaps, no doubles", at + 1);
            findings.push(Finding::new(format!("{ADR}{name}"), message));
        }
        if !index.contains(name) {
            findings.push(Finding::new(format!("{ADR}README.md"), format!("does not list {name}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        let findings = check(&Tree::of(files)).into_iter();
        findings.map(|f| f.message).filter(|message| message != "is missing").collect()
    }

    #[test]
    fn paths_and_links_exist() {
        let there = ("crates/a/src/lib.rs", "");
        assert_eq!(messages(&[("README.md", "see `crates/a/src`"), there]).len(), 0);
        assert_eq!(messages(&[("README.md", "see `crates/b/`, `and/or`"), there]).len(), 1);
        assert_eq!(messages(&[("README.md", "[a](crates/a/src/lib.rs#x)"), there]).len(), 0);
        assert_eq!(messages(&[("docs/x.md", "[a](../crates/a), [b](b.md)"), there]).len(), 1);
    }

    #[test]
    fn decisions_have_no_gaps() {
        let index = ("docs/adr/README.md", "0001-a.md 0002-b.md 0003-b.md");
        assert_eq!(
            messages(&[index, ("docs/adr/0001-a.md", ""), ("docs/adr/0002-b.md", "")]).len(),
            0
        );
        assert_eq!(
            messages(&[index, ("docs/adr/0001-a.md", ""), ("docs/adr/0003-b.md", "")]).len(),
            1
        );
        assert_eq!(messages(&[index, ("docs/adr/0001-c.md", "")]).len(), 1);
    }
}
