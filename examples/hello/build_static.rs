// Compiles `hello` as a static program into OUT_DIR, for build scripts that take this file in with
// `#[path = "..."] mod build_static;`.
//
// Plain `rustc` on one file: a static binary needs target flags of its own, which one cargo build
// cannot give to a single package.

use std::path::Path;
use std::process::Command;

/// `root` is the root of the repository.
pub(crate) fn hello(root: &Path) {
    let source = root.join("examples/hello/src/main.rs");
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-changed=build.rs");
    let status = Command::new(env("RUSTC"))
        .args(["--edition", "2024", "--crate-name", "hello", "--crate-type", "bin"])
        .args(["-C", "opt-level=3", "-C", "panic=abort", "-C", "strip=symbols"])
        .args(["-C", "target-feature=+crt-static", "--target", &env("TARGET")])
        .arg("-o")
        .arg(Path::new(&env("OUT_DIR")).join("hello"))
        .arg(&source)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the hello example does not compile");
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
