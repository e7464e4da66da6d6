//! A process that commits is killed at a random moment: what it acknowledged is there, whole.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use ebb_store::sqlite::Sqlite;
use ebb_store::{Commit, Store, Value, Write};
use tokio::task::JoinSet;

const ROUNDS: u64 = 8;
const COMMITS: u64 = 1_000;
const CALLERS: u64 = 8;
const CHILD: &str = "EBB_STORE_TEST_KILL";

/// Two records of one commit and a counter that every commit of a caller raises.
fn commit(caller: u64, n: u64) -> Commit {
    let value = |data: String| Value { storage_version: 1, sealed: false, data: data.into() };
    let put = |key: String, data: String| Write::Put { key, value: value(data) };
    Commit {
        writes: vec![
            put(format!("/left/{caller}/{n:04}"), "x".repeat(usize::try_from(n).unwrap() * 4)),
            put(format!("/count/{caller}"), n.to_string()),
            put(format!("/right/{caller}/{n:04}"), n.to_string()),
        ],
        idempotency_key: Some(format!("{caller}-{n}")),
        ..Commit::default()
    }
}

/// Not a test by itself: the process that is killed.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = Arc::new(Sqlite::open(Path::new(&path)).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let store = Arc::clone(&store);
            callers.spawn(async move {
                for n in 0..COMMITS / CALLERS {
                    let version = store.commit(commit(caller, n)).await.unwrap();
                    println!("ack {caller} {n} {version}");
                }
            });
        }
        callers.join_all().await;
    });
}

#[test]
fn acknowledged_commits_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    // A linear congruential generator: the moments differ, and a failure can be repeated.
    let mut random = 20_260_101_u64;
    for round in 0..ROUNDS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let after = (random >> 33) % COMMITS;
        let path = dir.path().join(format!("{round}.db"));
        let acknowledged = run_and_kill(&path, after);
        println!("round {round}: killed after {after}, {} acknowledged", acknowledged.len());
        verify(&path, &acknowledged);
    }
}

/// Versions of the commits that the child acknowledged, until it was killed after `after` of them.
fn run_and_kill(path: &Path, after: u64) -> BTreeMap<(u64, u64), u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = BTreeMap::new();
    let mut killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
        let line = String::from_utf8(line.unwrap()).unwrap();
        // The harness writes its own words before the first line of the child.
        let Some((_, ack)) = line.split_once("ack ") else { continue };
        let numbers: Vec<u64> = ack.split(' ').map(|n| n.parse().unwrap()).collect();
        if let [caller, n, version] = numbers[..] {
            acknowledged.insert((caller, n), version);
        }
        if !killed && acknowledged.len() as u64 > after {
            child.kill().unwrap();
            killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert!(killed && !status.success(), "{status}");
    acknowledged
}

fn verify(path: &Path, acknowledged: &BTreeMap<(u64, u64), u64>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Sqlite::open(path).unwrap();
    runtime.block_on(async {
        let records = store.scan("/", None, None, usize::MAX).await.unwrap().records;
        let by_key: BTreeMap<_, _> = records.iter().map(|r| (r.key.as_str(), r)).collect();
        for ((caller, n), version) in acknowledged {
            for side in ["left", "right"] {
                let record = by_key.get(format!("/{side}/{caller}/{n:04}").as_str());
                assert_eq!(record.map(|record| record.version), Some(*version), "{side}");
            }
        }
        for caller in 0..CALLERS {
            let Some(count) = by_key.get(format!("/count/{caller}").as_str()) else { continue };
            let last: u64 = std::str::from_utf8(&count.value.data).unwrap().parse().unwrap();
            for n in 0..=last {
                let left = by_key[format!("/left/{caller}/{n:04}").as_str()];
                let right = by_key[format!("/right/{caller}/{n:04}").as_str()];
                assert_eq!(left.version, right.version, "whole");
                assert_eq!(left.value.data.len() as u64, n * 4);
            }
            let next = format!("/left/{caller}/{:04}", last + 1);
            assert!(!by_key.contains_key(next.as_str()), "no half of a commit");
            // A client that repeats its last request gets the same answer.
            let again = store.commit(commit(caller, last)).await.unwrap();
            assert_eq!(again, count.version);
        }
    });
    drop(store);
    let connection = rusqlite::Connection::open(path).unwrap();
    let integrity: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
}
