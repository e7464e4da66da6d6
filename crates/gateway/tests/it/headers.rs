//! What is taken out of messages and what is put in.

use tokio::io::AsyncWriteExt;

use crate::backend::{Echo, read_request, scripted};
use crate::world::{HOST, World, policy};

#[tokio::test]
async fn clients_cannot_write_what_the_platform_says() {
    let world = World::new(policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    let mut client = world.client().await;
    client
        .send(
            "GET / HTTP/1.1\r\nHost: hello.default.test:8080\r\nAccept: a\r\nAccept: b\r\n\
             Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 6.6.6.6\r\n\
             X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_For: 6.6.6.6\r\nK-Network-Probe: x\r\n\
             K-Proxy-Request: x\r\nK-Kubelet-Probe: x\r\nK-Passthrough-Lb: x\r\nK-Network-Hash: x\r\n\
             Knative-Serving-Revision: x\r\nKnative-Serving-Namespace: x\r\nEbb-Anything: x\r\n\
             Ebb_Anything: x\r\nConnection: keep-alive, X-Mine, Host\r\nX-Mine: x\r\nKeep-Alive: x\r\n\
             Proxy-Connection: x\r\nProxy-Authorization: x\r\nTE: trailers, deflate\r\n\
             HTTP2-Settings: x\r\nUpgrade: h2c\r\nX-Kept: yes\r\nUser_Agent: kept\r\n\
             Content_Length: 5\r\nAuthorization: kept\r\nCookie: kept\r\n\r\n",
        )
        .await;
    assert_eq!(client.response().await.status, 200);
    let seen = echo.seen().remove(0);
    let id = seen.header("x-request-id").unwrap().to_owned();
    let mut fields: Vec<_> = seen.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    fields.sort();
    let expected = [
        "accept: a".to_owned(),
        "accept: b".to_owned(),
        "authorization: kept".to_owned(),
        "cookie: kept".to_owned(),
        "forwarded: for=127.0.0.1;host=\"hello.default.test:8080\";proto=http".to_owned(),
        "host: hello.default.test:8080".to_owned(),
        "te: trailers".to_owned(),
        "user_agent: kept".to_owned(),
        "x-forwarded-for: 127.0.0.1".to_owned(),
        "x-forwarded-host: hello.default.test:8080".to_owned(),
        "x-forwarded-proto: http".to_owned(),
        "x-kept: yes".to_owned(),
        format!("x-request-id: {id}"),
    ];
    assert_eq!(fields, expected);
    assert_eq!(seen.line, "GET / HTTP/1.1");
}

#[tokio::test]
async fn a_request_has_one_id_all_the_way() {
    let world = World::new(policy()).await;
    let echo = Echo::start(&world.tasks).await;
    world.add(1, echo.address);
    let mut client = world.client().await;
    for (given, kept) in [("abc-123", true), ("", false), ("a b", false), ("a<script>", false)] {
        client
            .send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Request-Id: {given}\r\n\r\n"))
            .await;
        let answered = client.response().await.header("x-request-id").unwrap().to_owned();
        let seen = echo.seen().pop().unwrap();
        assert_eq!(seen.header("x-request-id"), Some(answered.as_str()));
        assert_eq!(answered == given, kept);
    }
    client.send("GET / HTTP/1.1\r\nHost: nobody.test\r\nX-Request-Id: mine\r\n\r\n").await;
    let answer = client.response().await;
    answer.assert_answer(404, "NO_ROUTE");
    assert_eq!(answer.header("x-request-id"), Some("mine"));
}

#[tokio::test]
async fn instances_cannot_speak_for_the_gateway() {
    let world = World::new(policy()).await;
    let address = scripted(&world.tasks, |mut stream| async move {
        read_request(&mut stream).await.unwrap();
        let answer = "HTTP/1.1 200 OK\r\nConnection: close, X-Mine\r\nX-Mine: x\r\nKeep-Alive: x\r\n\
                      Proxy-Authenticate: x\r\nUpgrade: x\r\nAlt-Svc: h3=\":1\"\r\nEbb-Reason: FAKE\r\n\
                      X-Request-Id: fake\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nServer: mine\r\n\
                      Content-Length: 2\r\n\r\nok";
        stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Request-Id: real\r\n\r\n")).await;
    let response = client.response().await;
    let mut names: Vec<_> = response.headers.iter().map(|(n, v)| format!("{n}: {v}")).collect();
    names.retain(|field| !field.starts_with("date: "));
    names.sort();
    let expected = [
        "content-length: 2",
        "server: mine",
        "set-cookie: a=1",
        "set-cookie: b=2",
        "x-request-id: real",
    ];
    assert_eq!(names, expected);
    assert_eq!(client.fetch("/").await.status, 200, "the client's connection lives on");
}

#[tokio::test]
async fn methods_without_a_body_in_the_answer() {
    let world = World::new(policy()).await;
    let address = scripted(&world.tasks, |mut stream| async move {
        while let Some(request) = read_request(&mut stream).await {
            let answer = match request.path() {
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 12\r\n\r\n",
                "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n",
            };
            stream.get_mut().write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    for (method, path, status, length) in [
        ("HEAD", "/", 200, Some("12")),
        ("HEAD", "/chunked", 200, None),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, None), // optional there (RFC 9110, 8.6), and hyper leaves it out
        ("HEAD", "/", 200, Some("12")),
    ] {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
        let response = client.response_to(method).await;
        assert_eq!(response.status, status, "{method} {path}");
        assert_eq!(response.header("content-length"), length, "{method} {path}");
        assert_eq!(response.body, b"");
    }
    world.until(|load| load.in_flight == 0).await;
}

#[tokio::test]
async fn old_clients_and_old_instances() {
    let world = World::new(policy()).await;
    let address = scripted(&world.tasks, |mut stream| async move {
        let request = read_request(&mut stream).await.unwrap();
        assert_eq!(request.line, "GET / HTTP/1.1");
        stream
            .get_mut()
            .write_all(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end")
            .await
            .unwrap();
    })
    .await;
    world.add(1, address);
    let mut client = world.client().await;
    client.send(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n")).await;
    assert_eq!(client.response().await.text(), "until the end");
    assert_eq!(client.rest().await, b"");
    let mut client = world.client().await;
    let response = client.fetch("/").await;
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.text(), "until the end");
    assert_eq!(client.fetch("/").await.text(), "until the end");

    let echo = Echo::start(&world.tasks).await;
    let world = World::new(policy()).await;
    world.add(1, echo.address);
    let mut client = world.client().await;
    for _ in 0..2 {
        client
            .send(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\nConnection: keep-alive\r\n\r\n"))
            .await;
        let response = client.response().await;
        assert_eq!(response.header("connection"), Some("keep-alive"));
    }
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
    assert_eq!(client.response().await.header("connection"), Some("close"));
    assert_eq!(client.rest().await, b"");
}
