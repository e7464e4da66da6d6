//! A small registry that misbehaves on request. Threads and plain sockets: it must be able to say
//! things that no HTTP library would send.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use ebb_images::build::{Built, ImageBuilder};
use ebb_model::{Digest, Reference};

/// An answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Close after so many bytes of the body, though the head promises all of them.
    pub(crate) cut: Option<usize>,
    /// Never answer.
    pub(crate) silent: bool,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

type Handler = Box<dyn Fn(&Seen) -> Option<Reply> + Send>;

#[derive(Default)]
struct Shared {
    blobs: BTreeMap<String, Vec<u8>>,
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// Answers that come before everything else, for targets that contain the text.
    script: VecDeque<(String, Reply)>,
    handler: Option<Handler>,
    seen: Vec<Seen>,
    closed: bool,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if accepting.lock().unwrap().closed {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || serve(&shared, stream.unwrap()));
            }
        });
        Self { address, shared }
    }

    /// Serves an image under `repository:tag`.
    pub(crate) fn publish(
        &self,
        repository: &str,
        tag: &str,
        image: &ImageBuilder,
    ) -> (Reference, Digest, Built) {
        let built = image.build().unwrap();
        let mut shared = self.shared.lock().unwrap();
        for (digest, bytes) in &built.blobs {
            shared.blobs.insert(digest.to_string(), bytes.clone());
        }
        drop(shared);
        let manifest = built.blobs[&built.digest].clone();
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        self.manifest(repository, tag, media_type, &manifest);
        (self.reference(repository, tag), built.digest.clone(), built)
    }

    /// Serves a document under a tag and under its digest.
    pub(crate) fn manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) {
        let digest = sha256(bytes);
        let mut shared = self.shared.lock().unwrap();
        for name in [tag, digest.as_str()] {
            shared
                .manifests
                .insert(format!("{repository}/{name}"), (media_type.to_owned(), bytes.to_vec()));
        }
    }

    pub(crate) fn reference(&self, repository: &str, tag: &str) -> Reference {
        format!("{}/{repository}:{tag}", self.address).parse().unwrap()
    }

    /// The next request whose target contains `part` gets `reply`.
    pub(crate) fn next(&self, part: &str, reply: Reply) {
        self.shared.lock().unwrap().script.push_back((part.to_owned(), reply));
    }

    /// Asked for every request that the script does not answer.
    pub(crate) fn handle(&self, handler: impl Fn(&Seen) -> Option<Reply> + Send + 'static) {
        self.shared.lock().unwrap().handler = Some(Box::new(handler));
    }

    /// No more of the answers that [`Server::next`] was given.
    pub(crate) fn forget(&self) {
        self.shared.lock().unwrap().script.clear();
    }

    /// Requests whose target contains `part`.
    pub(crate) fn seen(&self, part: &str) -> Vec<Seen> {
        let shared = self.shared.lock().unwrap();
        shared.seen.iter().filter(|seen| seen.target.contains(part)).cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.lock().unwrap().closed = true;
        let _ = TcpStream::connect(self.address);
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest::from_sha256(sha2::Sha256::digest(bytes).into())
}

fn serve(shared: &Mutex<Shared>, stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let Some(seen) = request(&mut reader) else { return };
    let reply = answer(shared, &seen);
    if reply.silent {
        // Until the client gives up.
        let _ = reader.read(&mut [0]);
        return;
    }
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
        write!(head, "Content-Length: {}\r\n", reply.body.len()).unwrap();
    }
    let mut stream = stream;
    let cut = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
    let _ = stream.write_all(format!("{head}\r\n").as_bytes());
    let _ = stream.write_all(&reply.body[..cut]);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = reader.read(&mut [0]);
}

fn request(reader: &mut impl BufRead) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |text: &String| text.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { method, target, headers, body: String::from_utf8(body).unwrap() })
}

fn answer(shared: &Mutex<Shared>, seen: &Seen) -> Reply {
    let mut shared = shared.lock().unwrap();
    shared.seen.push(seen.clone());
    if let Some(at) = shared.script.iter().position(|(part, _)| seen.target.contains(part)) {
        return shared.script.remove(at).unwrap().1;
    }
    if let Some(reply) = shared.handler.as_ref().and_then(|handler| handler(seen)) {
        return reply;
    }
    let path = seen.target.strip_prefix("/v2/").unwrap_or_default();
    if let Some((repository, name)) = path.split_once("/manifests/") {
        return match shared.manifests.get(&format!("{repository}/{name}")) {
            Some((media_type, bytes)) => {
                Reply::status(200).header("Content-Type", media_type).body(bytes.clone())
            }
            None => Reply::status(404),
        };
    }
    let Some(bytes) = path.split_once("/blobs/").and_then(|(_, name)| shared.blobs.get(name))
    else {
        return Reply::status(404);
    };
    let range = seen.headers.get("range").and_then(|range| range.strip_prefix("bytes="));
    match range.and_then(|range| range.strip_suffix('-')) {
        Some(start) => {
            let start: usize = start.parse().unwrap();
            let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            Reply::status(206).header("Content-Range", range).body(&bytes[start..])
        }
        None => Reply::status(200).body(bytes.clone()),
    }
}
