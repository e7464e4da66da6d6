//! Nothing is left over, however requests end.

use ebb_model::routing::RequestPolicy;
use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;

use crate::backend::{Echo, read_request, scripted};
use crate::world::{HOST, World, id, key, policy};

/// A number that looks random and is the same in every run.
fn scatter(n: u64) -> u64 {
    let n = (n ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    n ^ (n >> 29)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_are_zero_after_ten_thousand_mixed_requests() {
    let world = World::new(RequestPolicy { concurrency: 4, hold_limit: 40, ..policy() }).await;
    let echo = Echo::start(&world.tasks).await;
    let moody = scripted(&world.tasks, |mut stream| async move {
        while let Some(request) = read_request(&mut stream).await {
            let answer: &[u8] =
                match scatter(request.path().len() as u64 * 31 + request.body.len() as u64) % 5 {
                    0 => return,
                    1 => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
                    2 => b"nonsense\r\n\r\n",
                    3 => {
                        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
                    }
                    _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                };
            if stream.get_mut().write_all(answer).await.is_err() || answer.ends_with(b"half") {
                return;
            }
        }
    })
    .await;
    world.add(1, echo.address);
    world.add(2, moody);
    let clients = (0..50_u64).map(|c| {
        let world = &world;
        async move {
            for n in 0..200 {
                let seed = scatter(c * 1000 + n);
                let path = "a".repeat(1 + usize::try_from(seed % 40).unwrap());
                let mut client = world.client().await;
                let whole = match seed % 6 {
                    0 => format!("POST /{path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\nhalf"),
                    1 => format!("POST /{path} HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
                    2 => format!("POST /{path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\n\r\nbody"),
                    3 => format!("GET /{path} HTTP/1.1\r\nHost: {HOST}\r\nX: "),
                    _ => format!("GET /{path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
                };
                client.send(whole).await;
                if seed.is_multiple_of(3) || matches!(seed % 6, 0 | 3) {
                    continue; // goes away without listening
                }
                let _ = client.head().await;
            }
        }
    });
    let churn = async {
        for n in 3..40 {
            world.add(n, echo.address);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            world.handle.remove_endpoint(&key(), &id(n));
        }
    };
    futures_util::future::join(join_all(clients), churn).await;
    world.until(|load| load.held == 0 && load.in_flight == 0).await;
    assert_eq!(world.handle.in_flight(&key(), &id(1)), 0);
    assert_eq!(world.handle.in_flight(&key(), &id(2)), 0);
    // And it still works.
    world.handle.remove_endpoint(&key(), &id(2));
    assert_eq!(world.client().await.fetch("/").await.status, 200);
    world.until(|load| load.in_flight == 0).await;
}
