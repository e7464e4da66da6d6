//! kubectl against the API: tables of commands, what each must answer, and with which exit code.
//!
//! Debian's kubectl 1.20 is the gate, as every machine with apt can have it. The kubectl of the
//! machine is asked as well when there is one.

mod table;

use ebb_e2e::clients::{Kubectl, scripts};
use ebb_e2e::{Platform, clients, not_run};

use crate::support::can_run;

/// The tables, in the order in which they run on one platform.
const TABLES: [&str; 5] = ["looking", "objects", "applying", "services", "deleting"];

fn judge(kubectl: &Kubectl) {
    let platform = Platform::start().unwrap();
    platform.load_hello().unwrap();
    let shell = table::Shell::new(kubectl, &platform).unwrap();
    let mut failures = Vec::new();
    for name in TABLES {
        let path = scripts("kubectl").join(format!("{name}.txt"));
        let text = std::fs::read_to_string(path).unwrap();
        for row in table::rows(name, &text).unwrap() {
            if row.is_for(kubectl.minor) {
                failures.extend(shell.judge(&row).err().map(|error| format!("{error:#}")));
            }
        }
    }
    let count = failures.len();
    let minor = kubectl.minor;
    assert!(failures.is_empty(), "{count} rows of kubectl 1.{minor}:\n\n{}", failures.join("\n"));
    platform.stop().unwrap();
}

#[test]
fn kubectl_1_20_works() {
    let test = "kubectl_1_20_works";
    if !can_run(test) {
        return;
    }
    match clients::Kubectl::of_debian() {
        Ok(kubectl) => judge(&kubectl),
        Err(error) => not_run(test, &format!("Debian's kubectl cannot be fetched: {error:#}")),
    }
}

#[test]
fn kubectl_of_the_machine_works() {
    let test = "kubectl_of_the_machine_works";
    if !can_run(test) {
        return;
    }
    match clients::Kubectl::of_the_machine() {
        Some(kubectl) if kubectl.minor > 20 => judge(&kubectl),
        Some(_) => not_run(test, "this machine's kubectl is the one that is tested anyway"),
        None => not_run(test, "kubectl is not installed"),
    }
}
