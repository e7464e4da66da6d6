//! A client that sends exactly the bytes it is told to.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::world::HOST;

pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Checks the form that every answer of the gateway has.
    #[track_caller]
    pub(crate) fn assert_answer(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.header("ebb-reason")), (status, Some(code)), "{self:?}");
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        let error = &body["error"];
        assert_eq!(error["code"], code);
        assert_eq!(error["status"], status);
        assert!(error["message"].as_str().unwrap().len() > 10);
        assert_eq!(error["request_id"].as_str(), self.header("x-request-id"));
        let retries = self.header("retry-after").is_some();
        assert_eq!(retries, matches!(status, 404 | 502 | 503), "{self:?}");
    }
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends `GET path` to the routed host.
    pub(crate) async fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    }

    pub(crate) async fn fetch(&mut self, path: &str) -> Response {
        self.get(path).await;
        self.response().await
    }

    pub(crate) async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    pub(crate) async fn response_to(&mut self, method: &str) -> Response {
        let mut response = self.head().await.expect("a response");
        let length = response.header("content-length").map(|n| n.parse::<usize>().unwrap());
        let chunked = response.header("transfer-encoding") == Some("chunked");
        if method == "HEAD" || response.status == 304 || response.status == 204 {
        } else if chunked {
            self.chunks(&mut response).await;
        } else if let Some(length) = length {
            response.body = vec![0; length];
            self.stream.read_exact(&mut response.body).await.unwrap();
        } else if response.status != 101 {
            self.stream.read_to_end(&mut response.body).await.unwrap();
        }
        response
    }

    /// The head of the next response; none at the end of the stream.
    pub(crate) async fn head(&mut self) -> Option<Response> {
        let line = self.line().await?;
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        let headers = self.fields().await;
        Some(Response { status, headers, body: Vec::new(), trailers: Vec::new() })
    }

    async fn chunks(&mut self, response: &mut Response) {
        loop {
            let size = usize::from_str_radix(&self.line().await.unwrap(), 16).unwrap();
            if size == 0 {
                response.trailers = self.fields().await;
                return;
            }
            let start = response.body.len();
            response.body.resize(start + size, 0);
            self.stream.read_exact(&mut response.body[start..]).await.unwrap();
            assert_eq!(self.line().await.unwrap(), "");
        }
    }

    async fn fields(&mut self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await.unwrap();
            if line.is_empty() {
                return fields;
            }
            let (name, value) = line.split_once(": ").unwrap();
            fields.push((name.to_lowercase(), value.to_owned()));
        }
    }

    pub(crate) async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.strip_suffix("\r\n").expect("a whole line").to_owned()),
        }
    }

    /// Everything until the connection ends.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset ends it as well.
        let _ = self.stream.read_to_end(&mut rest).await;
        rest
    }
}
