//! Instances: an echo that records exactly what it was sent, and one that runs a script.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ebb_kit::Tasks;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }
}

/// An instance that answers every request with its body, once it may.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    pub(crate) connections: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
    now: AtomicUsize,
    most: AtomicUsize,
    /// Answers wait for a permit, if there is one.
    pub(crate) permits: Semaphore,
}

impl Echo {
    /// Answers at once.
    pub(crate) async fn start(tasks: &Tasks) -> Arc<Self> {
        Self::with_permits(tasks, Semaphore::MAX_PERMITS).await
    }

    /// Answers as often as it is permitted.
    pub(crate) async fn with_permits(tasks: &Tasks, permits: usize) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let echo = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            connections: AtomicUsize::new(0),
            seen: Mutex::default(),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            permits: Semaphore::new(permits),
        });
        let serving = Arc::clone(&echo);
        serve(tasks, listener, move |stream| {
            serving.connections.fetch_add(1, Ordering::SeqCst);
            Arc::clone(&serving).connection(stream)
        });
        echo
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Most requests that it worked on at once.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn now(&self) -> usize {
        self.now.load(Ordering::SeqCst)
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read_request(&mut stream).await {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.seen.lock().unwrap().push(request.clone());
            self.permits.acquire().await.unwrap().forget();
            self.now.fetch_sub(1, Ordering::SeqCst);
            let body = if request.line.starts_with("HEAD") { &[][..] } else { &request.body };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nPath: {}\r\n\r\n",
                request.body.len(),
                request.path()
            );
            if stream.get_mut().write_all(&[head.as_bytes(), body].concat()).await.is_err() {
                return;
            }
        }
    }
}

/// An instance whose every connection runs `script`.
pub(crate) async fn scripted<F, T>(tasks: &Tasks, script: F) -> SocketAddr
where
    F: Fn(BufReader<TcpStream>) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    serve(tasks, listener, move |stream| script(BufReader::new(stream)));
    address
}

fn serve<F, T>(tasks: &Tasks, listener: TcpListener, connection: F)
where
    F: Fn(TcpStream) -> T + Send + Sync + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let (spawner, shutdown) = (tasks.clone(), tasks.shutdown().clone());
    tasks.spawn("instance", async move {
        loop {
            let accepted = tokio::select! {
                () = shutdown.wait() => return,
                accepted = listener.accept() => accepted,
            };
            let (stream, _) = accepted.unwrap();
            stream.set_nodelay(true).unwrap();
            let (served, shutdown) = (connection(stream), shutdown.clone());
            spawner.spawn("instance connection", async move {
                tokio::select! { () = shutdown.wait() => {}, () = served => {} }
            });
        }
    });
}

/// The next request of a connection; none at its end.
pub(crate) async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let line = read_line(stream).await?;
    let headers = read_fields(stream).await?;
    let mut request = Seen { line, headers, body: Vec::new() };
    if request.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&read_line(stream).await?, 16).unwrap();
            if size == 0 {
                let trailers = read_fields(stream).await?;
                request.headers.extend(trailers);
                break;
            }
            let start = request.body.len();
            request.body.resize(start + size, 0);
            stream.read_exact(&mut request.body[start..]).await.ok()?;
            read_line(stream).await?;
        }
    } else if let Some(length) = request.header("content-length") {
        request.body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut request.body).await.ok()?;
    }
    Some(request)
}

async fn read_fields(stream: &mut BufReader<TcpStream>) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let line = read_line(stream).await?;
        if line.is_empty() {
            return Some(fields);
        }
        let (name, value) = line.split_once(": ")?;
        fields.push((name.to_lowercase(), value.to_owned()));
    }
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    match stream.read_line(&mut line).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(line.trim_end_matches("\r\n").to_owned()),
    }
}
