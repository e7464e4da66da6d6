//! A blocking HTTP/1.1 client that hides nothing: one connection, whole answers or pieces.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Longest wait for a byte. A test that hits it has failed.
const PATIENCE: Duration = Duration::from_mins(1);

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// Method, such as `GET`.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// `Host` header.
    pub host: &'a str,
    /// Further headers.
    pub headers: Vec<(&'a str, String)>,
    /// Body, sent with its length.
    pub body: Vec<u8>,
}

/// The head of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    /// Status.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status and headers.
    pub head: Head,
    /// Body.
    pub body: Vec<u8>,
}

impl Head {
    /// The first header with this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Response {
    /// Status.
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| self.text())
    }
}

/// `GET path` with the given `Host`, on a connection of its own.
pub fn get(address: SocketAddr, host: &str, path: &str) -> Result<Response> {
    send(address, &Request { method: "GET", path, host, ..Request::default() })
}

/// Sends a request on a connection of its own.
pub fn send(address: SocketAddr, request: &Request<'_>) -> Result<Response> {
    Connection::open(address)?.send(request)
}

/// A connection, kept for further requests.
#[derive(Debug)]
pub struct Connection<S: Read + Write = TcpStream> {
    stream: BufReader<S>,
}

/// How the rest of a body is framed.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// A body that is read piece by piece.
#[derive(Debug)]
pub struct Body<'a, S: Read + Write> {
    stream: &'a mut BufReader<S>,
    framing: Framing,
}

/// Connects, with timeouts that keep a test from hanging.
pub fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Connection<TcpStream> {
    /// Connects to `address`.
    pub fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self::over(connect(address)?))
    }
}

impl<S: Read + Write> Connection<S> {
    /// Speaks HTTP over `stream`.
    pub fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// The stream below.
    pub fn get_mut(&mut self) -> &mut S {
        self.stream.get_mut()
    }

    /// Sends a request and reads the whole answer.
    pub fn send(&mut self, request: &Request<'_>) -> Result<Response> {
        let (head, mut body) = self.start(request)?;
        let mut bytes = Vec::new();
        while let Some(piece) = body.piece()? {
            bytes.extend_from_slice(&piece);
        }
        Ok(Response { head, body: bytes })
    }

    /// Sends a request and reads the head of the answer; the body is read by the caller.
    pub fn start(&mut self, request: &Request<'_>) -> Result<(Head, Body<'_, S>)> {
        self.write(request)?;
        let mut head = self.read_head()?;
        while head.status == 100 {
            head = self.read_head()?;
        }
        let empty = request.method == "HEAD" || matches!(head.status, 204 | 304);
        let framing = if empty { Framing::Length(0) } else { framing(&head)? };
        Ok((head, Body { stream: &mut self.stream, framing }))
    }

    /// Writes a request in one piece.
    fn write(&mut self, request: &Request<'_>) -> Result<()> {
        let Request { method, path, host, headers, body } = request;
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
        for (name, value) in headers {
            write!(bytes, "{name}: {value}\r\n")?;
        }
        if !body.is_empty() {
            write!(bytes, "Content-Length: {}\r\n", body.len())?;
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        self.stream.get_mut().write_all(&bytes)?;
        Ok(self.stream.get_mut().flush()?)
    }

    fn read_head(&mut self) -> Result<Head> {
        let status = line(&mut self.stream)?;
        let code = status.strip_prefix("HTTP/1.1 ").or_else(|| status.strip_prefix("HTTP/1.0 "));
        let code = code.and_then(|rest| rest.get(..3)?.parse().ok());
        let status = code.with_context(|| format!("not a status line: {status:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = line(&mut self.stream)?;
            if line.is_empty() {
                return Ok(Head { status, headers });
            }
            let (name, value) = line.split_once(':').context("a header without a colon")?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
}

impl<S: Read + Write> Body<'_, S> {
    /// The next piece as it arrived; none at the end.
    pub fn piece(&mut self) -> Result<Option<Vec<u8>>> {
        let limit = match self.framing {
            Framing::Length(0) => return Ok(None),
            Framing::Length(left) => left,
            Framing::UntilClose => u64::MAX,
            Framing::Chunked => return self.chunk(),
        };
        let here = self.stream.fill_buf()?;
        let count = usize::try_from(limit).map_or(here.len(), |limit| limit.min(here.len()));
        let piece = here[..count].to_vec();
        self.stream.consume(count);
        match &mut self.framing {
            Framing::Length(_) if piece.is_empty() => bail!("the body ended too early"),
            Framing::Length(left) => *left -= count as u64,
            _ if piece.is_empty() => return Ok(None),
            _ => {}
        }
        Ok(Some(piece))
    }

    fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let size = line(self.stream)?;
        let size = u64::from_str_radix(size.split(';').next().unwrap_or("").trim(), 16)
            .with_context(|| format!("not the size of a chunk: {size:?}"))?;
        let mut piece = vec![0; usize::try_from(size)?];
        self.stream.read_exact(&mut piece)?;
        ensure!(line(self.stream)?.is_empty(), "a chunk does not end where it said");
        if size == 0 {
            self.framing = Framing::Length(0);
            return Ok(None);
        }
        Ok(Some(piece))
    }
}

fn framing(head: &Head) -> Result<Framing> {
    if head.header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked")) {
        return Ok(Framing::Chunked);
    }
    match head.header("content-length") {
        Some(length) => Ok(Framing::Length(length.parse()?)),
        None => Ok(Framing::UntilClose),
    }
}

/// A line without its end.
fn line(stream: &mut impl BufRead) -> Result<String> {
    let mut bytes = Vec::new();
    stream.read_until(b'\n', &mut bytes)?;
    ensure!(bytes.ends_with(b"\n"), "the connection was closed in the middle of an answer");
    Ok(String::from_utf8(bytes)?.trim_end_matches(['\r', '\n']).to_owned())
}
