//! The peer: etcd on the same disk, as a bare key-value store that syncs each commit. There is no
//! API server above it, so nobody checks, defaults, versions or converts what it stores. It is
//! asked through its own JSON gateway, without TLS, which costs it an encoding in base64.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ebb_e2e::http::{Connection, Request, Response};
use ebb_e2e::now;
use ebb_e2e::process::{self, Guarded};
use serde_json::{Value, json};

use super::client::{self, micros, scattered, timed};
use super::stored::{LOST, WATCHERS, name};
use super::{Sizes, Timing};

/// Longest wait until it answers.
const PATIENCE: Duration = Duration::from_secs(30);
/// Clients that store the values.
const WRITERS: usize = 16;

pub(super) struct Etcd {
    address: SocketAddr,
    /// What it says of itself.
    pub(super) version: String,
    _server: Guarded,
}

impl Etcd {
    /// Starts it with its data below `dir`; none when it is not installed.
    pub(super) fn start(dir: &Path) -> Result<Option<Self>> {
        let Some(program) = process::path_of("etcd") else { return Ok(None) };
        let (address, peer) = (free_port()?, free_port()?);
        let (client_url, peer_url) = (format!("http://{address}"), format!("http://{peer}"));
        let mut command = Command::new(&program);
        command.arg("--data-dir").arg(dir.join("etcd")).args(["--log-level", "error"]);
        command.args(["--listen-client-urls", &client_url]);
        command.args(["--advertise-client-urls", &client_url]);
        command.args(["--listen-peer-urls", &peer_url]);
        command.args(["--initial-advertise-peer-urls", &peer_url]);
        command.args(["--initial-cluster", &format!("default={peer_url}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Guarded::spawn(&mut command)?;
        let said = Command::new(&program).arg("--version").output()?;
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let version = said.lines().next().unwrap_or("etcd").to_owned();
        let etcd = Self { address, version, _server: server };
        let begin = now();
        while etcd.open().and_then(|mut client| client.put("/probe", b"1")).is_err() {
            ensure!(begin.elapsed() < PATIENCE, "etcd does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Some(etcd))
    }

    fn open(&self) -> Result<Client> {
        let host = self.address.to_string();
        Ok(Client { connection: Connection::open(self.address)?, host })
    }

    /// Stores as many values as there are Services, then reads and changes them.
    pub(super) fn requests(&self, value: &[u8], sizes: &Sizes) -> Result<Vec<Timing>> {
        let count = sizes.services;
        self.puts(WRITERS, count, |number| (key(number), value))?;
        let mut client = self.open()?;
        let mut all = Vec::new();
        let mut add = |what: &str, times: Vec<f64>| all.push(Timing::new(what, "etcd", &times));
        let timed = |rounds: usize, once: &mut dyn FnMut(usize) -> Result<()>| {
            (0..rounds).map(|n| Ok(timed(|| once(n))?.0)).collect::<Result<Vec<f64>>>()
        };
        let mut list = |limit: usize| client.range("/services/", "/services0", limit);
        add("list, first page of 500", timed(sizes.few, &mut |_| list(500))?);
        add("list, all at once", timed(sizes.fewest, &mut |_| list(0))?);
        let mut one = |n: usize| client.range(&key(scattered(n, count)), "", 0);
        add("get one", timed(sizes.many, &mut one)?);
        let mut put = |n: usize| client.put(&key(scattered(n, count)), value);
        add("put one", timed(sizes.few, &mut put)?);
        Ok(all)
    }

    /// From sending a change until each of many watchers has it.
    pub(super) fn fan_out(&self, value: &[u8], rounds: usize) -> Result<Vec<Timing>> {
        let (seen, all_seen) = mpsc::sync_channel(WATCHERS);
        let mut last = Vec::new();
        std::thread::scope(|scope| -> Result<()> {
            for _ in 0..WATCHERS {
                let seen = seen.clone();
                scope.spawn(move || self.watch(rounds + 1, &seen));
            }
            // Each says once that its watch was made.
            let wait = |begin: Instant| -> Result<Instant> {
                let mut latest = begin;
                for _ in 0..WATCHERS {
                    let at = all_seen.recv_timeout(LOST).context("a watcher saw nothing")?;
                    latest = latest.max(at);
                }
                Ok(latest)
            };
            wait(now())?;
            let mut writer = self.open()?;
            for round in 0..=rounds {
                let begin = now();
                writer.put(&key(0), value)?;
                let latest = wait(begin)?;
                if round > 0 {
                    last.push(micros(latest.duration_since(begin)));
                }
            }
            Ok(())
        })?;
        Ok(vec![Timing::new("change, until the last of 100 watchers has it", "etcd", &last)])
    }

    fn watch(&self, rounds: usize, seen: &SyncSender<Instant>) -> Result<()> {
        let mut client = self.open()?;
        let ask = json!({"create_request": {"key": encode("/services/"),
                         "range_end": encode("/services0")}});
        let request = Post::new("/v3/watch", &ask);
        let (head, mut body) = client.connection.start(&request.as_request(&client.host))?;
        ensure!(head.status == 200, "watching: {}", head.status);
        let (mut lines, mut buffer) = (0, Vec::new());
        while let Some(piece) = body.piece()? {
            buffer.extend_from_slice(&piece);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                buffer.drain(..=end);
                seen.send(now())?;
                lines += 1;
            }
            if lines > rounds {
                break;
            }
        }
        Ok(())
    }

    /// Values of these bytes stored per second, by so many clients.
    pub(super) fn per_second(&self, clients: usize, count: usize, value: &[u8]) -> Result<f64> {
        let begin = now();
        self.puts(clients, count, |number| (format!("/maps/{number}"), value))?;
        Ok(f64::from(u32::try_from(count)?) / begin.elapsed().as_secs_f64())
    }

    fn puts<'a>(
        &self,
        clients: usize,
        count: usize,
        what: impl Fn(usize) -> (String, &'a [u8]) + Sync,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        client::join(clients, || {
            let mut client = self.open()?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                let (key, value) = what(number);
                client.put(&key, value)?;
            }
        })
    }
}

struct Client {
    connection: Connection,
    host: String,
}

impl Client {
    fn put(&mut self, key: &str, value: &[u8]) -> Result<()> {
        let body = json!({"key": encode(key), "value": STANDARD.encode(value)});
        self.send("/v3/kv/put", &body).map(drop)
    }

    fn range(&mut self, key: &str, end: &str, limit: usize) -> Result<()> {
        let mut body = json!({"key": encode(key), "limit": limit.to_string()});
        if !end.is_empty() {
            body["range_end"] = json!(encode(end));
        }
        self.send("/v3/kv/range", &body).map(drop)
    }

    fn send(&mut self, path: &'static str, body: &Value) -> Result<Response> {
        let request = Post::new(path, body);
        let response = self.connection.send(&request.as_request(&self.host))?;
        ensure!(response.status() == 200, "{path}: {} {}", response.status(), response.text());
        Ok(response)
    }
}

struct Post {
    path: &'static str,
    body: Vec<u8>,
}

impl Post {
    fn new(path: &'static str, body: &Value) -> Self {
        Self { path, body: body.to_string().into_bytes() }
    }

    fn as_request<'a>(&self, host: &'a str) -> Request<'a> {
        Request {
            method: "POST",
            path: self.path,
            host,
            headers: Vec::new(),
            body: self.body.clone(),
        }
    }
}

fn key(number: usize) -> String {
    format!("/services/{}", name(number))
}

fn encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// A port of loopback that nobody uses now.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
