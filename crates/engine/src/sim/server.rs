//! A tiny HTTP/1.1 server on loopback: what a simulated instance answers requests with, where the
//! engine was asked to serve its endpoints. Reads a head and a body of known length, answers 200
//! with one line, keeps the connection.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Most bytes of a request head.
const HEAD_MAX: usize = 64 * 1024;

/// Listens on a free port of 127.0.0.1.
pub(crate) async fn bind() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Answers requests on one connection; says so on `served` after each answer.
pub(crate) async fn connection(
    mut stream: TcpStream,
    line: String,
    request_time: Duration,
    served: mpsc::Sender<()>,
) {
    let mut buffer = Vec::new();
    while let Ok(Some(close)) = request(&mut stream, &mut buffer).await {
        tokio::time::sleep(request_time).await;
        let connection = if close { "close" } else { "keep-alive" };
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
             connection: {connection}\r\n\r\n{line}",
            line.len()
        );
        let written = stream.write_all(answer.as_bytes()).await;
        if served.send(()).await.is_err() || written.is_err() || close {
            return;
        }
    }
}

/// Reads one request. Answers whether the client wants the connection closed; none at its end.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<bool>> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if buffer.len() > HEAD_MAX || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
    buffer.drain(..end);
    let header = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let close = header("connection") == Some("close");
    if header("transfer-encoding").is_some() {
        // Chunked bodies are read to their last chunk, whose line is a lone 0.
        while !buffer.windows(5).any(|w| w == b"0\r\n\r\n") {
            if stream.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
        buffer.clear();
        return Ok(Some(close));
    }
    let mut left = header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0_usize);
    while left > 0 {
        if buffer.is_empty() && stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
        let taken = left.min(buffer.len());
        buffer.drain(..taken);
        left -= taken;
    }
    Ok(Some(close))
}
