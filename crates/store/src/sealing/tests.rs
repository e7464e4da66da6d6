use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::memory::Memory;

const SECRET: &str = "hunter2 hunter2 hunter2";

fn secret(key: &str) -> Commit {
    let value = Value { storage_version: 1, sealed: true, data: SECRET.into() };
    Commit { writes: vec![Write::Put { key: key.to_owned(), value }], ..Commit::default() }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn what_is_sealed_is_not_readable_inside_and_never_the_same_twice() {
    let inner: Arc<dyn Store> = Arc::new(Memory::new());
    let sealing = Sealing::new(inner.clone(), Key::from_bytes(&[1; 32])).await.unwrap();
    sealing.commit(secret("/core/secrets/n/a")).await.unwrap();
    let first = inner.get("/core/secrets/n/a").await.unwrap().unwrap().value;
    assert!(first.sealed && first.data[0] == 1);
    assert!(!String::from_utf8_lossy(&first.data).contains("hunter2"));
    let opened = sealing.get("/core/secrets/n/a").await.unwrap().unwrap().value;
    assert!(opened.sealed && opened.data == SECRET);
    sealing.commit(secret("/core/secrets/n/a")).await.unwrap();
    let second = inner.get("/core/secrets/n/a").await.unwrap().unwrap().value;
    assert!(first.data != second.data);
    assert!(!format!("{sealing:?} {opened:?} {:?}", Key::from_bytes(&[1; 32])).contains("hunter"));
}

#[tokio::test]
async fn a_wrong_key_is_refused_at_once() {
    let inner: Arc<dyn Store> = Arc::new(Memory::new());
    let first = Sealing::new(inner.clone(), Key::from_bytes(&[1; 32])).await.unwrap();
    first.commit(secret("/core/secrets/n/a")).await.unwrap();
    let error = Sealing::new(inner.clone(), Key::from_bytes(&[2; 32])).await.unwrap_err();
    assert!(matches!(&error, Error::KeyMismatch(why) if why.contains(KEY_CHECK)), "{error}");
    Sealing::new(inner.clone(), Key::from_bytes(&[1; 32])).await.unwrap();

    let second = Sealing { inner, key: Arc::new(Key::from_bytes(&[2; 32])) };
    for error in [
        second.get("/core/secrets/n/a").await.unwrap_err(),
        second.scan("/core/", None, None, 9).await.unwrap_err(),
    ] {
        assert!(error.to_string().contains("/core/secrets/n/a"), "{error}");
        assert_eq!(error.code(), "KEK_MISMATCH");
    }
    let version = first.commit(Commit::default()).await.unwrap();
    let mut watcher = second.watch("/", version).await.unwrap();
    first.commit(secret("/core/secrets/n/b")).await.unwrap();
    assert!(matches!(watcher.next().await, Some(Err(Error::KeyMismatch(_)))));
    assert!(watcher.next().await.is_none());
}

#[tokio::test]
async fn a_sealed_value_opens_nowhere_else_and_not_when_it_was_changed() {
    let inner: Arc<dyn Store> = Arc::new(Memory::new());
    let sealing = Sealing::new(inner.clone(), Key::from_bytes(&[1; 32])).await.unwrap();
    sealing.commit(secret("/core/secrets/n/a")).await.unwrap();
    let sealed = inner.get("/core/secrets/n/a").await.unwrap().unwrap().value.data;
    let place = |key: &'static str, data: Vec<u8>| {
        let value = Value { storage_version: 1, sealed: true, data: data.into() };
        let writes = vec![Write::Put { key: key.to_owned(), value }];
        let (inner, sealing) = (inner.clone(), &sealing);
        async move {
            inner.commit(Commit { writes, ..Commit::default() }).await.unwrap();
            sealing.get(key).await
        }
    };
    assert!(place("/core/secrets/n/a", sealed.to_vec()).await.is_ok());
    assert!(place("/core/secrets/n/b", sealed.to_vec()).await.is_err(), "moved");
    for at in 0..sealed.len() {
        let mut changed = sealed.to_vec();
        changed[at] ^= 1;
        let error = place("/core/secrets/n/a", changed).await.unwrap_err();
        assert!(matches!(error, Error::KeyMismatch(_)), "byte {at}: {error}");
        let error = place("/core/secrets/n/a", sealed[..at].to_vec()).await.unwrap_err();
        assert!(matches!(error, Error::KeyMismatch(_)), "length {at}: {error}");
    }
}

#[test]
fn the_key_file_is_made_once_and_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/key");
    let made = Key::load_or_create(&path).unwrap();
    let loaded = Key::load_or_create(&path).unwrap();
    let sealed = made.seal("/k", b"x").unwrap();
    assert_eq!(loaded.open("/k", &sealed).unwrap(), b"x");
    assert_eq!(
        (mode(&path), mode(&dir.path().join("a")), mode(&dir.path().join("a/b"))),
        (0o400, 0o700, 0o700)
    );
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 32);
    let names = std::fs::read_dir(dir.path().join("a/b")).unwrap().count();
    assert_eq!(names, 1, "nothing is left beside it");
}

#[test]
fn two_that_make_it_at_the_same_time_have_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || Key::load_or_create(&path).unwrap())
        })
        .collect();
    let keys: Vec<Key> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let sealed = keys[0].seal("/k", b"x").unwrap();
    assert!(keys.iter().all(|key| key.open("/k", &sealed).unwrap() == b"x"));
}

#[test]
fn a_key_file_that_is_not_right_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let refused = |what: &str| {
        let error = Key::load_or_create(&path).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("key file"), "{error}");
    };
    for bad in [0, 31, 33, 4096] {
        std::fs::write(&path, vec![7; bad]).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
        refused(&format!("it has {bad} bytes"));
        std::fs::remove_file(&path).unwrap();
    }
    std::fs::write(&path, [7; 32]).unwrap();
    for open in [0o440, 0o404, 0o644, 0o600 | 0o020] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(open)).unwrap();
        refused("lets others use it");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused("it is not a file");
}
