//! `hello`: a small HTTP/1.1 server in one file, with nothing but the standard library.
//!
//! It is the image that `ebb demo` deploys, the program that the end to end tests ask, and the
//! server that the benches start. So it listens before it does anything else, and a request for
//! `/` costs one read and one write.
//!
//! | path | answers |
//! |---|---|
//! | `/` | a greeting with `K_SERVICE` and `K_REVISION` |
//! | `/healthz` | `ok` |
//! | `/env`, `/env?NAME` | the whole environment, sorted; one variable, 404 when it is not set |
//! | `/headers` | the head of the request as it arrived |
//! | `/sleep?ms=N` | after N milliseconds |
//! | `/echo` | the body of the request, chunk by chunk as it arrives |
//! | `/bytes?n=N` | N bytes |
//! | `/log?TEXT` | `ok`, after writing TEXT as a line to standard output |
//! | `/exit?code=N` | a line, then the program ends with status N |
//!
//! Environment: `PORT` (default 8080). For tests of failures, `HELLO_FAIL=exit:N` ends at once with
//! status N, and `HELLO_FAIL=deaf` runs without ever listening. SIGTERM ends it at once.
//!
//! Built by hand: `rustc --edition 2024 -O -C target-feature=+crt-static src/main.rs -o hello`.

#![allow(clippy::print_stdout, clippy::print_stderr)] // its output is what `ebb logs` shows

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

/// Stack of a connection's thread, in bytes. Buffers live on the heap.
const STACK_BYTES: usize = 64 * 1024;
/// Longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Size of a connection's read buffer, in bytes.
const BUFFER_BYTES: usize = 16 * 1024;

fn main() -> ExitCode {
    let port = match std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned()).parse::<u16>() {
        Ok(port) => port,
        Err(error) => {
            eprintln!("hello: PORT is not a port number: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(code) = failing_on_purpose() {
        return code;
    }
    let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("hello: cannot listen on port {port}: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("hello: listening on port {port}");
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                let serve = move || drop(Connection::new(stream).serve());
                // Without a thread the connection is closed; the next one may have more luck.
                drop(thread::Builder::new().stack_size(STACK_BYTES).spawn(serve));
            }
            Err(error) => {
                eprintln!("hello: accept: {error}");
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// What `HELLO_FAIL` asks for; never answers for `deaf`.
fn failing_on_purpose() -> Option<ExitCode> {
    let how = std::env::var("HELLO_FAIL").ok()?;
    println!("hello: failing on purpose: {how}");
    if let Some(code) = how.strip_prefix("exit:").and_then(|code| code.parse::<u8>().ok()) {
        return Some(ExitCode::from(code));
    }
    loop {
        thread::park();
    }
}

/// The answer to `/`, the same for the whole life of the process.
fn greeting() -> &'static [u8] {
    static GREETING: OnceLock<Vec<u8>> = OnceLock::new();
    GREETING.get_or_init(|| {
        let service = std::env::var("K_SERVICE").unwrap_or_else(|_| "nobody".to_owned());
        let revision = std::env::var("K_REVISION").unwrap_or_else(|_| "none".to_owned());
        let body = format!("Hello from {service}, revision {revision}.\n");
        plain(200, "OK", body.as_bytes())
    })
}

/// A whole answer in plain text.
fn plain(status: u16, reason: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut answer = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// How long the body of a request is.
#[derive(Clone, Copy)]
enum Body {
    /// So many bytes are left.
    Length(u64),
    /// Chunked; so many bytes are left of the chunk that is being read.
    Chunked(u64),
}

/// What a handler needs of a request.
struct Request {
    method: String,
    path: String,
    query: String,
    /// The head as it arrived, with the empty line.
    head: Vec<u8>,
    body: Body,
    keep_alive: bool,
    /// HTTP/1.0: chunks are not understood.
    old: bool,
    /// The client waits for `100 Continue`.
    expects: bool,
}

impl Request {
    /// Reads a head. None when it is not HTTP.
    fn parse(head: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(head).ok()?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let old = match version {
            "HTTP/1.1" => false,
            "HTTP/1.0" => true,
            _ => return None,
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (mut body, mut keep_alive, mut expects) = (Body::Length(0), !old, false);
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") && !matches!(body, Body::Chunked(_)) {
                body = Body::Length(value.parse().ok()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                body = Body::Chunked(0);
            } else if name.eq_ignore_ascii_case("connection") {
                keep_alive = !value.eq_ignore_ascii_case("close") && (keep_alive || !old);
                keep_alive |= value.eq_ignore_ascii_case("keep-alive");
            } else if name.eq_ignore_ascii_case("expect") {
                expects = value.eq_ignore_ascii_case("100-continue");
            }
        }
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            head: head.to_vec(),
            body,
            keep_alive,
            old,
            expects,
        })
    }

    /// The number after `name=` in the query.
    fn number(&self, name: &str) -> Option<u64> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).find_map(|(_, value)| value.parse().ok())
    }
}

/// One client, served until it goes away.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The part of `buffer` that was read and not used yet.
    start: usize,
    end: usize,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: vec![0; BUFFER_BYTES], start: 0, end: 0 }
    }

    /// Answers requests until the client closes or an answer says that it was the last.
    fn serve(&mut self) -> io::Result<()> {
        while let Some(head_end) = self.read_head()? {
            let head = &self.buffer[self.start..head_end];
            if is_greeting(head) {
                self.start = head_end;
                self.stream.write_all(greeting())?;
                continue;
            }
            let request = Request::parse(head);
            self.start = head_end;
            let Some(mut request) = request else {
                return self.stream.write_all(&plain(400, "Bad Request", b"not HTTP/1.1\n"));
            };
            if request.expects {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            self.answer(&mut request)?;
            if !request.keep_alive {
                break;
            }
        }
        Ok(())
    }

    /// Reads until a head is complete and answers where it ends; none at the end of the stream.
    fn read_head(&mut self) -> io::Result<Option<usize>> {
        let mut searched = self.start;
        loop {
            let unread = &self.buffer[searched..self.end];
            if let Some(at) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(searched + at + 4));
            }
            if self.end - self.start >= MAX_HEAD_BYTES {
                let answer = plain(431, "Request Header Fields Too Large", b"head too large\n");
                self.stream.write_all(&answer)?;
                return Ok(None);
            }
            searched = self.end.saturating_sub(3).max(self.start);
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                searched -= self.start;
                self.end -= self.start;
                self.start = 0;
            }
            if self.end == self.buffer.len() {
                self.buffer.resize(MAX_HEAD_BYTES, 0);
            }
            let count = self.stream.read(&mut self.buffer[self.end..])?;
            if count == 0 {
                return Ok(None);
            }
            self.end += count;
        }
    }

    fn answer(&mut self, request: &mut Request) -> io::Result<()> {
        let path = request.path.clone();
        if path == "/echo" {
            return self.echo(request);
        }
        while self.read_body(&mut request.body)?.is_some() {}
        let only_head = request.method == "HEAD";
        let body: Vec<u8> = match path.as_str() {
            "/" => return self.send(greeting(), only_head),
            "/healthz" => b"ok\n".to_vec(),
            "/headers" => request.head.clone(),
            "/env" if request.query.is_empty() => whole_environment(),
            "/env" => match std::env::var_os(OsString::from_vec(unescape(&request.query))) {
                Some(value) => value.into_vec(),
                None => return self.send(&plain(404, "Not Found", b"not set\n"), only_head),
            },
            "/sleep" => {
                let ms = request.number("ms").unwrap_or(0);
                thread::sleep(Duration::from_millis(ms));
                format!("slept {ms} ms\n").into_bytes()
            }
            "/log" => {
                let mut line = unescape(&request.query);
                line.push(b'\n');
                io::stdout().write_all(&line)?;
                b"ok\n".to_vec()
            }
            "/bytes" => return self.bytes(request.number("n").unwrap_or(0), only_head),
            "/exit" => return self.exit(request.number("code").unwrap_or(0)),
            _ => return self.send(&plain(404, "Not Found", b"no such path\n"), only_head),
        };
        self.send(&plain(200, "OK", &body), only_head)
    }

    /// Writes an answer, or for HEAD only its head.
    fn send(&mut self, answer: &[u8], only_head: bool) -> io::Result<()> {
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        self.stream.write_all(if only_head { &answer[..head.unwrap_or(0)] } else { answer })
    }

    /// Sends each piece of the body back as soon as it is there.
    fn echo(&mut self, request: &mut Request) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let framing = if request.old { "Connection: close" } else { "Transfer-Encoding: chunked" };
        let kind = "Content-Type: application/octet-stream";
        write!(self.stream, "HTTP/1.1 200 OK\r\n{kind}\r\n{framing}\r\n\r\n")?;
        request.keep_alive &= !request.old;
        while let Some((from, to)) = self.read_body(&mut request.body)? {
            if request.old {
                self.stream.write_all(&self.buffer[from..to])?;
                continue;
            }
            let mut chunk = format!("{:x}\r\n", to - from).into_bytes();
            chunk.extend_from_slice(&self.buffer[from..to]);
            chunk.extend_from_slice(b"\r\n");
            self.stream.write_all(&chunk)?;
        }
        if request.old { Ok(()) } else { self.stream.write_all(b"0\r\n\r\n") }
    }

    /// Sends `left` bytes in pieces.
    fn bytes(&mut self, mut left: u64, only_head: bool) -> io::Result<()> {
        let kind = "Content-Type: application/octet-stream";
        write!(self.stream, "HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: {left}\r\n\r\n")?;
        if only_head {
            return Ok(());
        }
        let piece = vec![b'x'; 64 * 1024];
        while left > 0 {
            let count = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
            self.stream.write_all(&piece[..count])?;
            left -= count as u64;
        }
        Ok(())
    }

    /// Answers, and ends the whole program.
    #[allow(clippy::disallowed_methods)] // ending the process from a handler is what it is for
    fn exit(&mut self, code: u64) -> io::Result<()> {
        let body = format!("exiting with status {code}\n");
        self.stream.write_all(&plain(200, "OK", body.as_bytes()))?;
        println!("hello: exiting with status {code}");
        std::process::exit(i32::try_from(code).unwrap_or(1));
    }

    /// The next piece of the body, as a part of the buffer; none when the body has ended.
    fn read_body(&mut self, body: &mut Body) -> io::Result<Option<(usize, usize)>> {
        if let Body::Chunked(0) = *body {
            *body = match self.chunk_size()? {
                0 => Body::Length(0),
                size => Body::Chunked(size),
            };
        }
        let left = match *body {
            Body::Length(0) => return Ok(None),
            Body::Length(left) | Body::Chunked(left) => left,
        };
        if self.start == self.end {
            self.fill()?;
        }
        let here = self.end - self.start;
        let count = usize::try_from(left).map_or(here, |left| left.min(here));
        let piece = (self.start, self.start + count);
        self.start += count;
        let left = left - count as u64;
        match body {
            Body::Length(rest) => *rest = left,
            Body::Chunked(rest) => {
                *rest = left;
                if left == 0 {
                    self.end_of_chunk(piece)?;
                }
            }
        }
        Ok(Some(piece))
    }

    /// Skips the line end after a chunk if it is here already. If not, `chunk_size` skips it:
    /// reading it now would overwrite `piece`.
    fn end_of_chunk(&mut self, piece: (usize, usize)) -> io::Result<()> {
        let rest = &self.buffer[piece.1..self.end];
        if rest.starts_with(b"\r\n") {
            self.start += 2;
        } else if rest.len() >= 2 {
            return Err(io::Error::other("a chunk does not end where it said"));
        }
        Ok(())
    }

    /// Reads the line that says how long the next chunk is; after the last one, the trailer too.
    fn chunk_size(&mut self) -> io::Result<u64> {
        let mut line = self.line()?;
        if line.is_empty() {
            line = self.line()?;
        }
        let size = line.split(';').next().unwrap_or("").trim();
        let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
        if size == 0 {
            while !self.line()?.is_empty() {}
        }
        Ok(size)
    }

    /// Reads a line without its end.
    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        loop {
            if self.start == self.end {
                self.fill()?;
            }
            let byte = self.buffer[self.start];
            self.start += 1;
            match byte {
                b'\n' => return String::from_utf8(line).map_err(io::Error::other),
                b'\r' => {}
                _ if line.len() >= MAX_HEAD_BYTES => return Err(io::Error::other("line too long")),
                _ => line.push(byte),
            }
        }
    }

    /// Reads more into the empty buffer; the end of the stream is an error here.
    fn fill(&mut self) -> io::Result<()> {
        self.start = 0;
        self.end = self.stream.read(&mut self.buffer)?;
        if self.end == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// Whether this is a plain GET of `/` that keeps its connection and has no body: the fast path.
fn is_greeting(head: &[u8]) -> bool {
    let Some(rest) = head.strip_prefix(b"GET / HTTP/1.1\r\n") else { return false };
    // A request with one of these headers takes the slow path.
    rest.split(|byte| *byte == b'\n').all(|line| {
        !["connection:", "content-length:", "transfer-encoding:", "expect:"]
            .iter()
            .any(|name| line.len() >= name.len() && starts_with(line, name))
    })
}

fn starts_with(line: &[u8], name: &str) -> bool {
    line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
}

/// `NAME=value` lines, sorted by name.
fn whole_environment() -> Vec<u8> {
    let mut variables: Vec<_> = std::env::vars_os().collect();
    variables.sort();
    let mut text = Vec::new();
    for (name, value) in variables {
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
        text.push(b'\n');
    }
    text
}

/// Resolves `%41` and `+`.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                let value = std::str::from_utf8(&digits).ok();
                out.push(value.and_then(|hex| u8::from_str_radix(hex, 16).ok()).unwrap_or(b'?'));
            }
            _ => out.push(byte),
        }
    }
    out
}
