//! The smallest HTTP/1.1 client that can time a request.

use std::net::SocketAddr;

use ebb_kit::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::failure::Failure;

/// A kept-alive connection to the gateway.
pub(crate) struct Connection<'a> {
    stream: TcpStream,
    host: String,
    clock: &'a dyn Clock,
}

impl<'a> Connection<'a> {
    /// Connects.
    pub(crate) async fn open(
        gateway: SocketAddr,
        host: &str,
        clock: &'a dyn Clock,
    ) -> Result<Self, Failure> {
        let stream = TcpStream::connect(gateway)
            .await
            .map_err(|error| Failure::internal("connecting to the gateway", &error))?;
        let _ = stream.set_nodelay(true);
        Ok(Self { stream, host: host.to_owned(), clock })
    }

    /// `GET /`; answers the time until the whole answer was there, in microseconds.
    ///
    /// Fails unless the status is 200 and the answer has a `Content-Length`.
    pub(crate) async fn get(&mut self) -> Result<u64, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::internal("the request", error);
        let began = self.clock.now();
        let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", self.host);
        self.stream.write_all(request.as_bytes()).await.map_err(|error| failed(&error))?;
        let mut answer = Vec::with_capacity(1024);
        loop {
            let read = self.stream.read_buf(&mut answer).await.map_err(|error| failed(&error))?;
            if whole(&answer)? {
                break;
            }
            if read == 0 {
                return Err(failed(&"the connection was closed"));
            }
        }
        let took = self.clock.now().since(began);
        Ok(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))
    }
}

/// Whether the answer is complete.
fn whole(answer: &[u8]) -> Result<bool, Failure> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(false) };
    if !head.starts_with("HTTP/1.1 200") {
        let status = head.lines().next().unwrap_or_default().to_owned();
        return Err(Failure::internal("the request", &format!("{status}: {body}")));
    }
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    Ok(length.is_some_and(|length| body.len() >= length))
}
