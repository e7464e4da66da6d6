//! Requests that two readers could understand in two ways never reach an instance: 400 and the
//! connection is closed. The instance records what it saw, and that is what was meant.

use crate::backend::Echo;
use crate::vectors::{ambiguous, bad_chunks};
use crate::world::{World, policy};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: hello.default.test\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_requests_are_refused_and_nothing_follows_them() {
    let world = World::new(policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    let mut vectors = 0;
    let mut good = 0;
    for (fields, body) in ambiguous() {
        for method in ["POST", "GET", "PUT"] {
            for first in [true, false] {
                let host = "Host: hello.default.test\r\n";
                let fields =
                    if first { format!("{fields}{host}") } else { format!("{host}{fields}") };
                let bad = format!("{method} /bad HTTP/1.1\r\n{fields}\r\n{body}{SMUGGLED}");
                for before in [0, 2] {
                    let mut client = world.client().await;
                    let good_one = "GET /good HTTP/1.1\r\nHost: hello.default.test\r\n\r\n";
                    client.send(format!("{}{bad}", good_one.repeat(before))).await;
                    for _ in 0..before {
                        assert_eq!(client.response().await.status, 200, "{bad:?}");
                    }
                    let refused = client.response().await;
                    assert!(refused.header("ebb-reason").is_some(), "{bad:?}");
                    refused.assert_answer(400, "MALFORMED_REQUEST");
                    assert_eq!(refused.header("connection"), Some("close"));
                    assert_eq!(client.rest().await, b"", "{bad:?}");
                    good += before;
                    vectors += 1;
                }
            }
        }
    }
    let seen = echo.seen();
    assert!(seen.iter().all(|seen| seen.path() == "/good"), "{seen:?}");
    assert_eq!(seen.len(), good);
    assert!(vectors >= 1200, "{vectors} vectors");
}

#[tokio::test]
async fn a_body_that_is_not_well_formed_never_looks_complete() {
    let world = World::new(policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    for body in bad_chunks() {
        let mut client = world.client().await;
        let head =
            "POST /bad HTTP/1.1\r\nHost: hello.default.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{body}{SMUGGLED}")).await;
        client.response().await.assert_answer(400, "MALFORMED_REQUEST");
        assert_eq!(client.rest().await, b"", "{:?}", &body[..body.len().min(80)]);
    }
    assert_eq!(echo.seen(), []);
    world.until(|load| load.in_flight == 0).await;
}

#[tokio::test]
async fn unusual_but_clear_requests_are_understood_as_meant() {
    let world = World::new(policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    let host = "Host: hello.default.test\r\n";
    let clear = [
        (format!("POST /1 HTTP/1.1\r\n{host}Content-Length: 005\r\n\r\nhello"), "/1", "hello"),
        (format!("POST /2 HTTP/1.1\r\n{host}Content-Length:5  \r\n\r\nhello"), "/2", "hello"),
        (
            format!(
                "POST /3 HTTP/1.1\r\n{host}Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            ),
            "/3",
            "hello",
        ),
        (
            format!(
                "POST /4 HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n05;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"
            ),
            "/4",
            "hello",
        ),
        (
            format!(
                "GET /5 HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            ),
            "/5",
            "hello",
        ),
        (format!("GET /6 HTTP/1.1\r\n{host}Content-Length: 5\r\n\r\nhello"), "/6", "hello"),
        (format!("\r\nGET /7 HTTP/1.1\r\n{host}\r\n"), "/7", ""),
        (format!("GET http://HELLO.default.test/8?a=b HTTP/1.1\r\n{host}\r\n"), "/8?a=b", ""),
        (format!("GET http://hello.default.test HTTP/1.1\r\n{host}\r\n"), "/", ""),
        (format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"), "*", ""),
        (format!("PURGE /11 HTTP/1.1\r\n{host}\r\n"), "/11", ""),
        ("GET /12 HTTP/1.1\r\nHost: HELLO.Default.test.:8080\r\n\r\n".to_owned(), "/12", ""),
    ];
    let mut client = world.client().await;
    for (n, (request, path, body)) in clear.iter().enumerate() {
        client.send(request).await;
        assert_eq!(client.response().await.text(), *body, "{request}");
        let seen = echo.seen();
        assert_eq!(seen.len(), n + 1);
        assert_eq!((seen[n].path(), seen[n].body.as_slice()), (*path, body.as_bytes()));
    }
    // All at once on one connection, in order.
    let all: String = clear.iter().map(|(request, _, _)| request.as_str()).collect();
    let mut client = world.client().await;
    client.send(all).await;
    for (_, _, body) in &clear {
        assert_eq!(client.response().await.text(), *body);
    }
    let paths: Vec<_> = echo.seen()[clear.len()..].iter().map(|s| s.path().to_owned()).collect();
    assert_eq!(paths, clear.iter().map(|(_, path, _)| *path).collect::<Vec<_>>());
}

#[tokio::test]
async fn requests_are_understood_however_they_are_cut_up() {
    let world = World::new(policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    let one = "POST /a HTTP/1.1\r\nHost: hello.default.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let two = "POST /b HTTP/1.1\r\nHost: hello.default.test\r\nContent-Length: 3\r\n\r\nabc";
    let both = [one, two].concat();
    for at in 1..both.len() {
        let mut client = world.client().await;
        client.send(&both[..at]).await;
        tokio::task::yield_now().await;
        client.send(&both[at..]).await;
        assert_eq!(client.response().await.text(), "hello", "cut at {at}");
        assert_eq!(client.response().await.text(), "abc", "cut at {at}");
    }
    let mut client = world.client().await;
    for byte in both.bytes() {
        client.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.response().await.text(), "hello");
    assert_eq!(client.response().await.text(), "abc");
}

#[tokio::test]
async fn limits_of_a_head_are_exact() {
    let world = World::new(policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    let host = "Host: hello.default.test\r\n";
    let target = |n: usize| format!("GET /{} HTTP/1.1\r\n{host}\r\n", "a".repeat(n - 1));
    let fields = |n: usize| {
        let rest = (1..n).map(|i| format!("X-{i}: y\r\n")).collect::<Vec<_>>().concat();
        format!("GET / HTTP/1.1\r\n{host}{rest}\r\n")
    };
    let head = |n: usize| {
        let start = format!("GET / HTTP/1.1\r\n{host}X: ");
        let value = "a".repeat(n - start.len() - 4);
        format!("{start}{value}\r\n\r\n")
    };
    for (name, limit, status, code, request) in [
        ("target", 8 * 1024, 414, "URI_TOO_LONG", &target as &dyn Fn(usize) -> String),
        ("fields", 100, 431, "HEADERS_TOO_LARGE", &fields),
        ("head", 32 * 1024, 431, "HEADERS_TOO_LARGE", &head),
    ] {
        for n in [limit - 1, limit] {
            let mut client = world.client().await;
            client.send(request(n)).await;
            assert_eq!(client.response().await.status, 200, "{name} {n}");
        }
        let mut client = world.client().await;
        client.send(request(limit + 1)).await;
        client.response().await.assert_answer(status, code);
        assert_eq!(client.rest().await, b"");
    }
}

#[tokio::test]
async fn other_refusals_have_their_own_codes() {
    let world = World::new(policy()).await;
    let host = "Host: hello.default.test\r\n";
    for (request, status, code) in [
        (
            format!("CONNECT hello.default.test:80 HTTP/1.1\r\n{host}\r\n"),
            405,
            "CONNECT_UNSUPPORTED",
        ),
        (format!("GET / HTTP/2.0\r\n{host}\r\n"), 505, "HTTP_VERSION_UNSUPPORTED"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 505, "HTTP_VERSION_UNSUPPORTED"),
        (format!("GET / HTTP/1.1\r\n{host}Expect: magic\r\n\r\n"), 417, "EXPECTATION_FAILED"),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400, "MALFORMED_REQUEST"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), 400, "MALFORMED_REQUEST"),
        (
            format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
            "MALFORMED_REQUEST",
        ),
        (format!("GET http://other.test/ HTTP/1.1\r\n{host}\r\n"), 400, "MALFORMED_REQUEST"),
        (
            format!("GET http://u@hello.default.test/ HTTP/1.1\r\n{host}\r\n"),
            400,
            "MALFORMED_REQUEST",
        ),
        (
            format!("GET https://hello.default.test/ HTTP/1.1\r\n{host}\r\n"),
            400,
            "MALFORMED_REQUEST",
        ),
        (format!("GET * HTTP/1.1\r\n{host}\r\n"), 400, "MALFORMED_REQUEST"),
        (format!("GET  / HTTP/1.1\r\n{host}\r\n"), 400, "MALFORMED_REQUEST"),
        (format!("GET / HTTP/1.1 \r\n{host}\r\n"), 400, "MALFORMED_REQUEST"),
        (format!("GET /a#b HTTP/1.1\r\n{host}\r\n"), 400, "MALFORMED_REQUEST"),
        (format!("GET /\u{e9} HTTP/1.1\r\n{host}\r\n"), 400, "MALFORMED_REQUEST"),
        (format!("GET /\n{host}\r\n"), 400, "MALFORMED_REQUEST"),
        ("\r\n\r\n".to_owned(), 400, "MALFORMED_REQUEST"),
        ("\x16\x03\x01\x02\x00\n".to_owned(), 400, "MALFORMED_REQUEST"),
    ] {
        let mut client = world.client().await;
        client.send(&request).await;
        let refused = client.response().await;
        assert_eq!(
            (refused.status, refused.header("ebb-reason")),
            (status, Some(code)),
            "{request:?}"
        );
        assert_eq!(client.rest().await, b"", "{request:?}");
    }
    assert_eq!(world.recorder.activations(), 0);
}
