//! What may be named where: clocks, files and sockets, `unsafe`, and what stands behind a seam.

use super::Finding;
use super::source::{Source, has_word, is_test_file, is_use};
use super::tree::Tree;

/// Crates that only hold data and decide.
const PURE: [&str; 2] = ["crates/model/src/", "crates/rules/src/"];
/// What they must not name.
const IMPURE: [&str; 9] = [
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "std::time::Instant",
    "std::time::SystemTime",
    "Instant::now",
    "SystemTime::now",
];
/// Addresses are plain data; everything else of `std::net` does I/O.
const ADDRESSES: [&str; 5] = ["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr", "SocketAddrV4"];

/// The one place for unsafe code.
const UNSAFE: &str = "crates/engine/src/sys";
/// A program that tests run inside of instances and that tries what a hostile one would; it is
/// part of nothing that is shipped.
const HOSTILE: &str = "crates/engine/tests/it/program/";

/// What stands behind a seam: the module, the crate it is in.
const BEHIND_SEAMS: [(&str, &str); 5] = [
    ("ebb_store::sqlite", "crates/store/"),
    ("ebb_store::memory", "crates/store/"),
    ("ebb_images::local", "crates/images/"),
    ("ebb_engine::linux", "crates/engine/"),
    ("ebb_engine::sim", "crates/engine/"),
];
/// Who may name it, besides its own crate and tests: the composition root.
const ROOT: &str = "crates/node/";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust("") {
        let source = Source::parse(text);
        if path.starts_with("crates/") && !path.starts_with(UNSAFE) && !path.starts_with(HOSTILE) {
            let lines = source.code.iter().enumerate();
            for (at, _) in lines.filter(|(_, line)| has_word(line, "unsafe")) {
                let message = format!("line {}: unsafe code belongs into {UNSAFE}", at + 1);
                findings.push(Finding::new(path, message));
            }
        }
        if is_test_file(path) {
            continue;
        }
        if PURE.iter().any(|prefix| path.starts_with(prefix)) {
            findings.extend(impure(path, &source));
        }
        if path.starts_with("crates/") && !path.starts_with(ROOT) {
            findings.extend(behind_seams(path, &source));
        }
    }
    findings.extend(without_forbid(tree));
    findings
}

fn impure(path: &str, source: &Source) -> Vec<Finding> {
    let named = IMPURE.into_iter().flat_map(|name| named(source, name).map(move |at| (at, name)));
    let not_allowed = named.filter(|((_, rest), name)| {
        let item = rest.trim_start_matches("::").split(|c: char| !c.is_alphanumeric()).next();
        *name != "std::net" || !item.is_some_and(|item| ADDRESSES.contains(&item))
    });
    not_allowed
        .map(|((number, _), name)| {
            let message = format!("line {number}: names {name}; pure crates get such as arguments");
            Finding::new(path, message)
        })
        .collect()
}

fn behind_seams(path: &str, source: &Source) -> Vec<Finding> {
    let elsewhere = BEHIND_SEAMS.into_iter().filter(|(_, home)| !path.starts_with(home));
    elsewhere
        .flat_map(|(module, _)| named(source, module).map(move |(number, _)| (number, module)))
        .map(|(number, module)| {
            Finding::new(path, format!("line {number}: only {ROOT} may choose {module}"))
        })
        .collect()
}

/// Where shipped code names the path `name`: the line, and what follows the path there.
fn named<'a>(source: &'a Source, name: &'a str) -> impl Iterator<Item = (usize, String)> + 'a {
    let imports = source.imports().into_iter().filter_map(move |(number, path)| {
        let rest = path.strip_prefix(name)?;
        (rest.is_empty() || rest.starts_with("::")).then(|| (number, rest.to_owned()))
    });
    let others =
        source.shipped().filter(|(_, line)| !is_use(line)).flat_map(move |(number, line)| {
            let after = line.match_indices(name).map(|(at, _)| line[at + name.len()..].to_owned());
            after.filter(|_| has_word(line, name)).map(move |rest| (number, rest))
        });
    imports.chain(others)
}

/// Libraries that do not forbid unsafe code at their top.
fn without_forbid(tree: &Tree) -> Vec<Finding> {
    let heads = tree.rust("").filter(|(path, _)| {
        let head = path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs");
        head && path.starts_with("crates/") && !path.starts_with("crates/engine/")
    });
    heads
        .filter(|(_, text)| !text.lines().any(|line| line.trim() == "#![forbid(unsafe_code)]"))
        .map(|(path, _)| Finding::new(path, "lacks `#![forbid(unsafe_code)]`"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORBID: &str = "#![forbid(unsafe_code)]\n";

    fn messages(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn pure_crates_name_no_effect() {
        assert_eq!(messages("crates/rules/src/a.rs", "use std::fs;"), 1);
        assert_eq!(messages("crates/rules/src/a.rs", "use std::net::TcpStream;"), 1);
        assert_eq!(messages("crates/rules/src/a.rs", "use std::net::{SocketAddr, IpAddr};"), 0);
        assert_eq!(messages("crates/rules/src/a.rs", "fn f(a: std::net::IpAddr) {}"), 0);
        assert_eq!(messages("crates/model/src/a.rs", "let t = std::time::Instant::now();"), 2);
        assert_eq!(messages("crates/model/src/a.rs", "use std::time::Duration; // std::fs"), 0);
        assert_eq!(messages("crates/rules/src/a.rs", "use std::{\n    fmt, fs::File,\n};"), 1);
        assert_eq!(messages("crates/kit/src/a.rs", "use std::fs;"), 0);
        let test = "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(messages("crates/model/src/a.rs", test), 0);
    }

    #[test]
    fn unsafe_has_one_place() {
        assert_eq!(messages("crates/engine/src/linux/a.rs", "unsafe { f() }"), 1);
        assert_eq!(messages("crates/engine/src/sys/a.rs", "unsafe { f() }"), 0);
        assert_eq!(messages("crates/engine/src/linux/a.rs", "// unsafe is elsewhere"), 0);
    }

    #[test]
    fn libraries_forbid_unsafe() {
        assert_eq!(messages("crates/api/src/lib.rs", "//! x"), 1);
        assert_eq!(messages("crates/api/src/lib.rs", FORBID), 0);
        assert_eq!(messages("crates/engine/src/lib.rs", "//! x"), 0);
    }

    #[test]
    fn only_the_root_chooses() {
        assert_eq!(messages("crates/api/src/a.rs", "use ebb_store::sqlite::Sqlite;"), 1);
        let grouped = "use ebb_store::{Store, sqlite::Sqlite};";
        assert_eq!(messages("crates/control/src/a.rs", grouped), 1);
        assert_eq!(messages("crates/node/src/a.rs", "use ebb_store::sqlite::Sqlite;"), 0);
        assert_eq!(messages("crates/api/src/a/tests.rs", "use ebb_store::memory::Memory;"), 0);
    }
}
