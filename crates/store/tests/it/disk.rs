//! A full disk and a read-only one. Both need a file system of their own, which a child makes in a
//! mount namespace of its own, so that it is gone with the child whatever happens.

use std::path::Path;
use std::process::Command;

use ebb_store::sqlite::Sqlite;
use ebb_store::{Commit, Error, Store, Value, Write};

const CHILD: &str = "EBB_STORE_TEST_DISK";

fn put(key: &str, bytes: usize) -> Commit {
    let value = Value { storage_version: 1, sealed: false, data: vec![7; bytes].into() };
    Commit { writes: vec![Write::Put { key: key.to_owned(), value }], ..Commit::default() }
}

fn mount(args: &[&str], dir: &Path) {
    let status = Command::new("mount").args(args).arg(dir).status().unwrap();
    assert!(status.success(), "mount {args:?}");
}

/// Not tests by themselves: what runs in the mount namespace.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let dir = Path::new(&dir);
    mount(&["-t", "tmpfs", "-o", "size=20m,mode=0700", "tmpfs"], dir);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(full(dir));
    read_only(dir);
    println!("the child is done");
}

async fn full(dir: &Path) {
    let (path, ballast, reserve) = (dir.join("db"), dir.join("ballast"), dir.join("reserve"));
    let store = Sqlite::open(&path).unwrap();
    std::fs::write(&ballast, vec![1; 2 << 20]).unwrap();
    std::fs::write(&reserve, vec![1; 14 << 20]).unwrap();
    let mut watcher = store.watch("/", 0).await.unwrap();
    let mut acknowledged = Vec::new();
    let mut failures = 0;
    for n in 0..200 {
        let key = format!("/a/{n:03}");
        match store.commit(put(&key, 64 * 1024)).await {
            Ok(version) => acknowledged.push((key, version)),
            Err(error) => {
                assert!(matches!(error, Error::DiskFull(_)), "{error}");
                assert_eq!(error.code(), "DISK_FULL");
                failures += 1;
            }
        }
    }
    assert!(failures > 100 && acknowledged.len() > 5, "{failures} of 200 failed");
    let check = async |acknowledged: &[(String, u64)]| {
        let records = store.scan("/a/", None, None, 999).await.unwrap().records;
        let have: Vec<_> = records.into_iter().map(|r| (r.key, r.version)).collect();
        assert_eq!(have, acknowledged);
    };
    check(&acknowledged).await;

    // One commit that is too large does not take those beside it down.
    std::fs::remove_file(&ballast).unwrap();
    let (large, small) =
        tokio::join!(store.commit(put("/b/large", 9 << 20)), store.commit(put("/a/small", 9)));
    assert!(matches!(large, Err(Error::DiskFull(_))), "{large:?}");
    acknowledged.push(("/a/small".to_owned(), small.unwrap()));
    for n in 0..3 {
        let key = format!("/a/then-{n}");
        acknowledged.push((key.clone(), store.commit(put(&key, 64 * 1024)).await.unwrap()));
    }
    check(&acknowledged).await;
    for (key, version) in &acknowledged {
        let event = watcher.next().await.unwrap().unwrap();
        assert_eq!((event.key(), event.version()), (key.as_str(), *version));
    }
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let integrity: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(integrity, "ok");
    drop(connection);

    // Full to the last byte before it is opened.
    let mut file = std::fs::File::create(&ballast).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 512]).is_ok() {}
    let other = dir.join("other.db");
    let opened = Sqlite::open(&other);
    assert!(matches!(opened, Err(Error::DiskFull(_))), "{opened:?}");
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    std::fs::remove_file(&reserve).unwrap();
    drop(Sqlite::open(&other).unwrap());
}

fn read_only(dir: &Path) {
    mount(&["-o", "remount,ro"], dir);
    let opened = Sqlite::open(&dir.join("db"));
    assert!(matches!(opened, Err(Error::Unavailable(_))), "{opened:?}");
}

#[test]
fn a_full_disk_is_said_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let permitted = Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "tmpfs"])
        .arg(dir.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !permitted {
        println!("NOT RUN: a_full_disk_is_said_and_survived (mounts are not permitted here)");
        return;
    }
    let output = Command::new("unshare")
        .arg("--mount")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disk::child", "--nocapture", "--test-threads=1"])
        .env(CHILD, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("the child is done"), "{text}{errors}");
}
