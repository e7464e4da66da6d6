//! Versions of dependencies stand once, in the root manifest.

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.files().filter(|(path, _)| path.ends_with("/Cargo.toml"));
    manifests.flat_map(|(path, text)| own_versions(path, text)).collect()
}

fn own_versions(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut dependencies = false;
    for line in text.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            dependencies = section.trim_end_matches(']').ends_with("dependencies");
            if section.contains("dependencies.") {
                findings.push(Finding::new(path, format!("write `{line}` on one line")));
            }
        } else if dependencies && line.contains('=') && !line.starts_with('#') {
            let shared = line.contains(".workspace = true") || line.contains("workspace = true,");
            if !shared && !line.contains("{ workspace = true }") {
                let message = format!("`{line}`: put the version into the root manifest");
                findings.push(Finding::new(path, message));
            }
        }
    }
    if !text.contains("[lints]\nworkspace = true") {
        findings.push(Finding::new(path, "does not take the lints of the workspace"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(dependencies: &str) -> usize {
        let text = format!("[dependencies]\n{dependencies}\n[lints]\nworkspace = true\n");
        check(&Tree::of(&[("crates/a/Cargo.toml", &text)])).len()
    }

    #[test]
    fn versions_stand_in_the_root() {
        assert_eq!(count("serde.workspace = true"), 0);
        assert_eq!(count("serde = { workspace = true, features = [\"derive\"] }"), 0);
        assert_eq!(count("serde = \"1\""), 1);
        assert_eq!(count("serde = { version = \"1\" }\nlibc = { git = \"x\" }"), 2);
        assert_eq!(check(&Tree::of(&[("crates/a/Cargo.toml", "[package]\n")])).len(), 1);
    }
}
