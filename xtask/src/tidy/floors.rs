//! Which crate may know which. Arrows point down only, and crates on one floor do not know each
//! other; see `ARCHITECTURE.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use cargo_metadata::{CargoOpt, DependencyKind, MetadataCommand};

use super::Finding;

/// The floors, lowest first.
const FLOORS: [(&str, usize); 15] = [
    ("ebb-model", 0),
    ("ebb-rules", 1),
    ("ebb-kit", 1),
    ("ebb-store", 2),
    ("ebb-images", 2),
    ("ebb-engine", 2),
    ("ebb-observe", 2),
    ("ebb-gateway", 3),
    ("ebb-control", 3),
    ("ebb-events", 3),
    ("ebb-metering", 3),
    ("ebb-api", 4),
    ("ebb-node", 5),
    ("ebb", 6),
    ("ebb-sim", 7),
];

/// Packages beside the floors, and the only packages of ours that each may know.
const BESIDE: [(&str, &[&str]); 5] = [
    ("ebb-fuzz", &["ebb-api", "ebb-engine", "ebb-images", "ebb-kit", "ebb-model", "ebb-store"]),
    ("ebb-e2e", &["ebb-images", "ebb-model"]),
    ("ebb-bench", &["ebb-e2e", "ebb-images", "ebb-model"]),
    ("ebb-example-hello", &[]),
    ("xtask", &[]),
];

/// Crates that decide and must not be able to do anything else, and what they must never reach,
/// not even through a dependency.
const PURE: [&str; 2] = ["ebb-model", "ebb-rules"];
const IMPURE: [&str; 9] =
    ["tokio", "hyper", "rusqlite", "mio", "async-trait", "tracing", "rand", "rustix", "reqwest"];

/// The crate that may name the database.
const DATABASE: (&str, &str) = ("rusqlite", "ebb-store");

/// Who depends on whom.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Our packages: direct dependencies by name; true for those of tests only.
    ours: BTreeMap<String, Vec<(String, bool)>>,
    /// Every package, ours or not: what it needs to be built, by name.
    needs: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// Asks cargo.
    pub(super) fn of_repository(root: &Path) -> Result<Self> {
        let metadata = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .features(CargoOpt::AllFeatures)
            .exec()?;
        let mut graph = Self::default();
        for package in metadata.workspace_packages() {
            let dependencies = package.dependencies.iter();
            let dependencies = dependencies
                .map(|d| (d.name.clone(), d.kind == DependencyKind::Development))
                .collect();
            graph.ours.insert(package.name.to_string(), dependencies);
        }
        let names: BTreeMap<_, _> =
            metadata.packages.iter().map(|p| (&p.id, p.name.to_string())).collect();
        for node in metadata.resolve.iter().flat_map(|resolve| &resolve.nodes) {
            let normal = node
                .deps
                .iter()
                .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
            let needs = normal.filter_map(|dep| names.get(&dep.pkg).cloned()).collect();
            if let Some(name) = names.get(&node.id) {
                graph.needs.insert(name.clone(), needs);
            }
        }
        Ok(graph)
    }

    /// Everything that `package` needs, directly or not.
    fn closure(&self, package: &str) -> BTreeSet<&str> {
        let mut seen = BTreeSet::new();
        let mut open = vec![package];
        while let Some(name) = open.pop() {
            for need in self.needs.get(name).into_iter().flatten() {
                if seen.insert(need.as_str()) {
                    open.push(need);
                }
            }
        }
        seen
    }
}

pub(super) fn check(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (package, dependencies) in &graph.ours {
        for (other, _) in dependencies.iter().filter(|(name, _)| graph.ours.contains_key(name)) {
            if let Some(why) = refusal(package, other) {
                findings.push(Finding::new(package, why));
            }
        }
        if dependencies.iter().any(|(name, _)| name == DATABASE.0) && package != DATABASE.1 {
            let (database, store) = DATABASE;
            findings.push(Finding::new(package, format!("only {store} may know {database}")));
        }
    }
    for package in PURE {
        let reached = graph.closure(package);
        for name in IMPURE.into_iter().filter(|name| reached.contains(name)) {
            let message = format!("must stay free of I/O and reaches {name}");
            findings.push(Finding::new(package, message));
        }
    }
    findings
}

/// Why `package` may not know `other`, not even in tests.
fn refusal(package: &str, other: &str) -> Option<String> {
    let floor = |name: &str| FLOORS.iter().find(|(n, _)| *n == name).map(|(_, floor)| *floor);
    if let Some((_, allowed)) = BESIDE.iter().find(|(name, _)| *name == package) {
        return (!allowed.contains(&other))
            .then(|| format!("may know only {allowed:?} of ours, and depends on {other}"));
    }
    match (floor(package), floor(other)) {
        (None, _) => Some("is on no floor: add it to the table in xtask".to_owned()),
        (_, None) => Some(format!("depends on {other}, which stands beside the floors")),
        (Some(own), Some(below)) if own <= below => {
            Some(format!("is on floor {own} and depends on {other} on floor {below}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to) in edges {
            graph.ours.entry((*from).to_owned()).or_default().push(((*to).to_owned(), false));
            if to.starts_with("ebb") {
                graph.ours.entry((*to).to_owned()).or_default();
            }
            let needs = graph.needs.entry((*from).to_owned()).or_default();
            needs.insert((*to).to_owned());
        }
        graph
    }

    #[test]
    fn arrows_point_down() {
        assert_eq!(check(&graph(&[("ebb-control", "ebb-store"), ("ebb", "ebb-model")])), []);
        assert_eq!(check(&graph(&[("ebb-store", "ebb-control")])).len(), 1);
        assert_eq!(check(&graph(&[("ebb-gateway", "ebb-control")])).len(), 1);
        assert_eq!(check(&graph(&[("ebb-control", "ebb-e2e")])).len(), 1);
        assert_eq!(check(&graph(&[("ebb-e2e", "ebb-node")])).len(), 1);
        assert_eq!(check(&graph(&[("ebb-new", "ebb-model")])).len(), 1);
    }

    #[test]
    fn pure_crates_reach_nothing() {
        let reaching = graph(&[("ebb-model", "serde"), ("serde", "helper"), ("helper", "tokio")]);
        assert!(check(&reaching).iter().any(|f| f.message.contains("reaches tokio")));
        assert_eq!(check(&graph(&[("ebb-rules", "ebb-model"), ("ebb-kit", "tokio")])), []);
    }

    #[test]
    fn the_database_stays_in_the_store() {
        assert_eq!(check(&graph(&[("ebb-store", "rusqlite")])), []);
        assert_eq!(check(&graph(&[("ebb-api", "rusqlite")])).len(), 1);
    }
}
