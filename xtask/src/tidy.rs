//! The shape of the tree, checked: every rule here is one that a reader may rely on.
//!
//! A check is a function from the [`Tree`] (or the crate graph) to findings. It looks at text, not
//! at meaning, so each has tests that show what it catches and what it lets through.

mod codes;
mod documents;
mod floors;
mod keys;
mod manifests;
mod purity;
mod sizes;
mod source;
mod traces;
mod tree;

use std::fmt;

use anyhow::{Context, Result, bail};

use tree::Tree;

/// Something that is not as it should be.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// File, or crate.
    place: String,
    /// What is wrong and what is allowed.
    message: String,
}

impl Finding {
    fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Every check on the tree of this repository. With `fix`, generated files are rewritten first.
pub(crate) fn run(fix: bool) -> Result<()> {
    let root = tree::root();
    if fix {
        let tree = Tree::of_repository(&root)?;
        let index = root.join(codes::INDEX);
        std::fs::create_dir_all(index.parent().context("the index has no directory")?)?;
        std::fs::write(&index, codes::index(&tree)).with_context(|| index.display().to_string())?;
    }
    let findings = findings()?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => bail!("tidy found {count} things"),
    }
}

fn findings() -> Result<Vec<Finding>> {
    let root = tree::root();
    let tree = Tree::of_repository(&root)?;
    let graph = floors::Graph::of_repository(&root)?;
    let mut findings: Vec<Finding> = [
        floors::check(&graph),
        purity::check(&tree),
        sizes::check(&tree),
        codes::check(&tree),
        keys::check(&tree),
        documents::check(&tree),
        manifests::check(&tree),
        traces::check(&tree),
    ]
    .into_iter()
    .flatten()
    .collect();
    findings.sort();
    findings.dedup();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        let findings = super::findings().unwrap();
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
