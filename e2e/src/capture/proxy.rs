//! A proxy in front of a platform's API that writes down what passes.
//!
//! It speaks HTTP without TLS on a free port of loopback, and adds the platform's token itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Exchange;
use crate::Api;

/// A request that passed, and its answer when that was one JSON document and has ended.
#[derive(Debug)]
struct Passed {
    id: u64,
    exchange: Exchange,
    answer: Value,
}

/// Everything that passed, and the next id.
#[derive(Debug, Default)]
struct Log {
    passed: Vec<Passed>,
    next: u64,
}

/// A proxy that runs until the process ends.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    api: Api,
    log: Arc<Mutex<Log>>,
}

impl Proxy {
    /// Starts one.
    pub fn start(api: Api) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = Self { address: listener.local_addr()?, api, log: Arc::default() };
        let serving = proxy.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let proxy = serving.clone();
                thread::spawn(move || drop(proxy.serve(stream)));
            }
        });
        Ok(proxy)
    }

    /// Everything that passed since the last call.
    pub fn take(&self) -> Vec<(Exchange, Value)> {
        let passed = std::mem::take(&mut self.log().passed);
        passed.into_iter().map(|passed| (passed.exchange, passed.answer)).collect()
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(exchange) = read(&mut reader)? {
            let id = {
                let mut log = self.log();
                let id = log.next;
                log.next += 1;
                log.passed.push(Passed { id, exchange: exchange.clone(), answer: Value::Null });
                id
            };
            self.answer(&exchange, id, reader.get_mut())?;
        }
        Ok(())
    }

    /// Passes the request on and the answer back, piece by piece.
    fn answer(&self, exchange: &Exchange, id: u64, client: &mut TcpStream) -> Result<()> {
        let Exchange { method, path, headers, body, .. } = exchange;
        let mut api = self.api.open()?;
        let (head, mut pieces) = api.start_raw(method, path, headers, body)?;
        write!(client, "HTTP/1.1 {} x\r\n", head.status)?;
        for (name, value) in &head.headers {
            if !matches!(name.as_str(), "content-length" | "transfer-encoding" | "connection") {
                write!(client, "{name}: {value}\r\n")?;
            }
        }
        client.write_all(b"Transfer-Encoding: chunked\r\n\r\n")?;
        let mut whole = Vec::new();
        while let Some(piece) = pieces.piece()? {
            write!(client, "{:x}\r\n", piece.len())?;
            client.write_all(&piece)?;
            client.write_all(b"\r\n")?;
            client.flush()?;
            whole.extend_from_slice(&piece);
        }
        // Written down before the client hears of the end, so that its next request can refer to it.
        let answer = serde_json::from_slice(&whole).unwrap_or(Value::Null);
        if let Some(passed) = self.log().passed.iter_mut().find(|passed| passed.id == id) {
            passed.answer = answer;
        }
        Ok(client.write_all(b"0\r\n\r\n")?)
    }
}

/// Reads a request; none at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>) -> Result<Option<Exchange>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ');
    let method = words.next().context("no method")?.to_owned();
    let path = words.next().context("no path")?.to_owned();
    let mut exchange = Exchange { method, path, ..Exchange::default() };
    let mut length = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse()?;
        }
        exchange.headers.push((name.to_owned(), value.to_owned()));
    }
    exchange.keep_headers();
    exchange.body = vec![0; length];
    reader.read_exact(&mut exchange.body)?;
    Ok(Some(exchange))
}
