//! Bodies stream both ways as they come; whoever reads slowly slows the sender.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::backend::{Echo, read_request, scripted};
use crate::world::{HOST, World, policy};

/// More than all buffers on the way together: both sockets' (up to 6 MiB each with Linux'
/// defaults), hyper's and the gateway's.
const MUCH: usize = 64 * 1024 * 1024;

#[tokio::test]
async fn a_response_is_passed_on_as_it_comes() {
    let world = World::new(policy()).await;
    let steps = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&steps);
    let address = scripted(&world.tasks, move |mut stream| {
        let steps = Arc::clone(&waits);
        async move {
            read_request(&mut stream).await.unwrap();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.get_mut().write_all(head.as_bytes()).await.unwrap();
            for n in 0..3 {
                steps.acquire().await.unwrap().forget();
                let event = format!("5\r\nevnt{n}\r\n");
                stream.get_mut().write_all(event.as_bytes()).await.unwrap();
            }
            stream.get_mut().write_all(b"0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    client.get("/").await;
    assert_eq!(client.head().await.unwrap().status, 200, "before any byte of the body");
    for n in 0..3 {
        steps.add_permits(1);
        assert_eq!(client.line().await.unwrap(), "5");
        assert_eq!(client.line().await.unwrap(), format!("evnt{n}"));
        assert!(n == 2 || world.load().in_flight == 1);
    }
    assert_eq!(client.line().await.unwrap(), "0");
    world.until(|load| load.in_flight == 0).await;
}

#[tokio::test]
async fn request_and_response_stream_at_the_same_time() {
    let world = World::new(policy()).await;
    let address = scripted(&world.tasks, |mut stream| async move {
        let mut head = [0; 1];
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut head).await.unwrap();
            seen.push(head[0]);
        }
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        let mut piece = [0; 9]; // "4\r\nabcd\r\n"
        while stream.read_exact(&mut piece).await.is_ok() && &piece[..1] == b"4" {
            stream.get_mut().write_all(&piece).await.unwrap();
        }
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    client
        .send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n"))
        .await;
    assert_eq!(client.head().await.unwrap().status, 200, "before the request's body");
    for word in ["ping", "pong", "last"] {
        client.send(format!("4\r\n{word}\r\n")).await;
        assert_eq!(client.line().await.unwrap(), "4");
        assert_eq!(client.line().await.unwrap(), word);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_instance() {
    let world = World::new(policy()).await;
    let written = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&written);
    let address = scripted(&world.tasks, move |mut stream| {
        let written = Arc::clone(&counts);
        async move {
            read_request(&mut stream).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n");
            stream.get_mut().write_all(head.as_bytes()).await.unwrap();
            let block = vec![b'x'; 64 * 1024];
            while written.load(Ordering::SeqCst) < MUCH {
                stream.get_mut().write_all(&block).await.unwrap();
                written.fetch_add(block.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    client.get("/").await;
    client.head().await.unwrap();
    let stopped = stops_rising(&written).await;
    assert!(stopped < MUCH / 2, "{stopped} bytes were taken though nobody reads");
    let mut body = vec![0; MUCH];
    client.stream.read_exact(&mut body).await.unwrap();
    assert!(body.iter().all(|&b| b == b'x'));
    world.until(|load| load.in_flight == 0).await;
}

#[tokio::test]
async fn an_instance_that_does_not_read_stops_the_client() {
    let world = World::new(policy()).await;
    let go = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&go);
    let address = scripted(&world.tasks, move |mut stream| {
        let go = Arc::clone(&waits);
        async move {
            go.acquire().await.unwrap().forget();
            let request = read_request(&mut stream).await.unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nTook: {}\r\nContent-Length: 0\r\n\r\n",
                request.body.len()
            );
            stream.get_mut().write_all(head.as_bytes()).await.unwrap();
        }
    })
    .await;
    world.add(1, address);
    let client = world.client().await;
    let (mut reading, mut writing) = client.stream.into_inner().into_split();
    let sent = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&sent);
    let head = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {MUCH}\r\n\r\n");
    writing.write_all(head.as_bytes()).await.unwrap();
    let shutdown = world.tasks.shutdown().clone();
    let upload = async move {
        let block = vec![b'x'; 64 * 1024];
        while counts.load(Ordering::SeqCst) < MUCH {
            writing.write_all(&block).await.unwrap();
            counts.fetch_add(block.len(), Ordering::SeqCst);
        }
        // Dropped now, it would close this direction, and the client would count as gone.
        std::future::pending::<()>().await;
        drop(writing);
    };
    world.tasks.spawn("uploads", async move {
        tokio::select! { () = shutdown.wait() => {}, () = upload => {} }
    });
    let stopped = stops_rising(&sent).await;
    assert!(stopped < MUCH / 2, "{stopped} bytes were taken though nobody reads");
    go.add_permits(1);
    let mut answer = vec![0; 200];
    let n = reading.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..n]).into_owned();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains(&format!("took: {MUCH}")),
        "{answer}"
    );
}

/// Where a counter comes to rest: nothing more for 200 ms. A counter that would rise on a busy
/// machine makes the test pass wrongly, never fail wrongly.
async fn stops_rising(counter: &AtomicUsize) -> usize {
    loop {
        let before = counter.load(Ordering::SeqCst);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        if before > 0 && counter.load(Ordering::SeqCst) == before {
            return before;
        }
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let world = World::new(policy()).await;
    let address = scripted(&world.tasks, |mut stream| async move {
        let request = read_request(&mut stream).await.unwrap();
        assert_eq!(request.header("sum"), Some("5"), "{request:?}");
        let answer = "HTTP/1.1 200 OK\r\nTrailer: Status\r\nTransfer-Encoding: chunked\r\n\r\n\
                      2\r\nok\r\n0\r\nStatus: fine\r\n\r\n";
        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nTE: trailers\r\nTrailer: Sum\r\n\
             Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nSum: 5\r\n\r\n"
        ))
        .await;
    let response = client.response().await;
    assert_eq!(response.text(), "ok");
    assert_eq!(response.trailers, [("status".to_owned(), "fine".to_owned())]);
}

#[tokio::test]
async fn a_body_is_asked_for_when_an_instance_takes_it() {
    let world = World::new(policy()).await;
    let mut client = world.client().await;
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        ))
        .await;
    world.recorder.activated(1).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    assert_eq!(client.head().await.unwrap().status, 100);
    client.send("hello").await;
    assert_eq!(client.response().await.text(), "hello");
    assert_eq!(echo.seen()[0].header("expect"), None);
    // A body that nobody will take is not asked for.
    client
        .send("POST / HTTP/1.1\r\nHost: nobody.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        .await;
    client.response().await.assert_answer(404, "NO_ROUTE");
}

#[tokio::test]
async fn interim_responses_are_not_the_response() {
    let world = World::new(policy()).await;
    let address = scripted(&world.tasks, |mut stream| async move {
        read_request(&mut stream).await.unwrap();
        let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
                      HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    assert_eq!(client.fetch("/").await.text(), "ok");
}
