//! Every store passes the same suite.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ebb_store::memory::Memory;
use ebb_store::sealing::{Key, Sealing};
use ebb_store::sqlite::Sqlite;
use ebb_store::{Options, Store, conformance, fault};

fn next_file(dir: &Path) -> std::path::PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    dir.join(format!("{}.db", NEXT.fetch_add(1, Ordering::Relaxed)))
}

async fn sealed(inner: Arc<dyn Store>) -> Arc<dyn Store> {
    Arc::new(Sealing::new(inner, Key::from_bytes(&[3; 32])).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let make = |options: Options| {
        let path = next_file(dir.path());
        async move { Arc::new(Sqlite::open_with(&path, options).unwrap()) as Arc<dyn Store> }
    };
    conformance::all(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    conformance::all(async |options| Arc::new(Memory::with(options)) as Arc<dyn Store>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sealing_over_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let make = |options: Options| {
        let path = next_file(dir.path());
        async move { sealed(Arc::new(Sqlite::open_with(&path, options).unwrap())).await }
    };
    conformance::all(make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sealing_over_memory() {
    conformance::all(|options| sealed(Arc::new(Memory::with(options)))).await;
}

#[tokio::test]
async fn faulty_without_faults() {
    let make = async |options| {
        Arc::new(fault::Faulty::new(Arc::new(Memory::with(options)))) as Arc<dyn Store>
    };
    conformance::all(make).await;
}
