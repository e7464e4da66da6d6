//! A client of the platform's Kubernetes-shaped API, as small as TLS allows.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::http::{Body, Connection, Head, Request, Response, connect};

/// An encrypted connection.
pub type Tls = StreamOwned<ClientConnection, TcpStream>;

/// What a kubeconfig says about its current context.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    /// `host:port` of the API.
    pub server: String,
    /// CA certificate, PEM.
    pub ca: Vec<u8>,
    /// Bearer token.
    pub token: String,
}

impl Kubeconfig {
    /// Reads a kubeconfig with one cluster and one user.
    pub fn read(path: &Path) -> Result<Self> {
        let file: Value = serde_yaml_ng::from_str(&std::fs::read_to_string(path)?)?;
        let cluster = &file["clusters"][0]["cluster"];
        let server = cluster["server"].as_str().context("no server")?;
        let server = server.strip_prefix("https://").context("the server is not https")?;
        let ca = cluster["certificate-authority-data"].as_str().context("no CA")?;
        let ca = base64::engine::general_purpose::STANDARD.decode(ca)?;
        let token = file["users"][0]["user"]["token"].as_str().context("no token")?;
        Ok(Self { server: server.to_owned(), ca, token: token.to_owned() })
    }
}

/// A client; every request has a connection of its own except through [`Api::open`].
#[derive(Clone, Debug)]
pub struct Api {
    server: String,
    token: String,
    tls: Arc<ClientConfig>,
}

impl Api {
    /// A client that trusts the platform's CA alone.
    pub fn new(kubeconfig: Kubeconfig) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&kubeconfig.ca) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { server: kubeconfig.server, token: kubeconfig.token, tls: Arc::new(tls) })
    }

    /// A connection that is kept for several requests.
    pub fn open(&self) -> Result<ApiConnection> {
        let address = self.server.parse().with_context(|| self.server.clone())?;
        let name = ServerName::from(std::net::SocketAddr::ip(&address));
        let tls = ClientConnection::new(self.tls.clone(), name)?;
        let stream = StreamOwned::new(tls, connect(address)?);
        Ok(ApiConnection { api: self.clone(), http: Connection::over(stream) })
    }

    /// Sends a request.
    pub fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
        self.open()?.send(method, path, body)
    }

    /// `GET path`, which must succeed.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.open()?.get(path)
    }
}

/// A kept connection to the API.
#[derive(Debug)]
pub struct ApiConnection {
    api: Api,
    http: Connection<Tls>,
}

impl ApiConnection {
    /// Sends a request.
    pub fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
        let request = self.api.request(method, path, body);
        self.http.send(&request.as_request())
    }

    /// Sends a request with these headers besides the token, and these bytes as its body.
    pub fn send_raw(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<Response> {
        let (head, mut pieces) = self.start_raw(method, path, headers, body)?;
        let mut body = Vec::new();
        while let Some(piece) = pieces.piece()? {
            body.extend_from_slice(&piece);
        }
        Ok(Response { head, body })
    }

    /// As [`ApiConnection::send_raw`], with the body of the answer left to the caller.
    pub fn start_raw(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<(Head, Body<'_, Tls>)> {
        let mut request = self.api.request(method, path, None);
        request.headers.extend(headers.iter().map(|(name, value)| (name.as_str(), value.clone())));
        request.body = body.to_vec();
        self.http.start(&request.as_request())
    }

    /// `PATCH path` with a body of this content type.
    pub fn patch(&mut self, path: &str, content_type: &str, body: &Value) -> Result<Response> {
        let headers = [("Content-Type".to_owned(), content_type.to_owned())];
        self.send_raw("PATCH", path, &headers, body.to_string().as_bytes())
    }

    /// `GET path`, which must succeed.
    pub fn get(&mut self, path: &str) -> Result<Value> {
        let response = self.send("GET", path, None)?;
        ensure!(response.status() == 200, "GET {path}: {} {}", response.status(), response.text());
        response.json()
    }

    /// Calls `each` with every event of the watch at `path` until it answers `Some`.
    pub fn watch<T>(&mut self, path: &str, mut each: impl FnMut(&Value) -> Option<T>) -> Result<T> {
        self.watch_lines(path, |line| Ok(each(&serde_json::from_slice(line)?)))
    }

    /// The same with the bytes of each event, for who does not want to pay for reading them.
    pub fn watch_lines<T>(
        &mut self,
        path: &str,
        mut each: impl FnMut(&[u8]) -> Result<Option<T>>,
    ) -> Result<T> {
        let request = self.api.request("GET", path, None);
        let (head, mut body) = self.http.start(&request.as_request())?;
        ensure!(head.status == 200, "GET {path}: {}", head.status);
        let mut buffer = Vec::new();
        while let Some(piece) = body.piece()? {
            buffer.extend_from_slice(&piece);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                if let Some(answer) = each(&line)? {
                    return Ok(answer);
                }
            }
        }
        anyhow::bail!("the watch at {path} ended")
    }
}

/// A request with what it borrows.
struct Owned<'a> {
    method: &'a str,
    path: &'a str,
    host: &'a str,
    headers: Vec<(&'a str, String)>,
    body: Vec<u8>,
}

impl Owned<'_> {
    fn as_request(&self) -> Request<'_> {
        Request {
            method: self.method,
            path: self.path,
            host: self.host,
            headers: self.headers.clone(),
            body: self.body.clone(),
        }
    }
}

impl Api {
    fn request<'a>(&'a self, method: &'a str, path: &'a str, body: Option<&Value>) -> Owned<'a> {
        let mut headers = vec![("Authorization", format!("Bearer {}", self.token))];
        if body.is_some() {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        Owned { method, path, host: &self.server, headers, body }
    }
}
