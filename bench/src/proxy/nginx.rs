//! nginx as reverse proxy in front of the instance.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ebb_e2e::{now, process};
use rustix::process::Signal;

use crate::machine;

/// Longest wait for its start and its end.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Nginx {
    address: SocketAddr,
    process: process::Guarded,
}

impl Nginx {
    /// Starts it with its files in `dir`, and waits until it listens.
    pub(super) fn start(dir: &Path, upstream: &str) -> Result<Self> {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let path = dir.join("nginx.conf");
        fs::write(&path, config(dir, address, upstream))?;
        let program = process::path_of("nginx").context("nginx is not installed")?;
        let mut command = Command::new(program);
        command.arg("-e").arg(dir.join("error.log")).arg("-p").arg(dir).arg("-c").arg(&path);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let nginx = Self { address, process: process::Guarded::spawn(&mut command)? };
        let begin = now();
        while TcpStream::connect(address).is_err() {
            let log = || fs::read_to_string(dir.join("error.log")).unwrap_or_default();
            ensure!(begin.elapsed() < PATIENCE, "nginx does not listen: {}", log());
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(nginx)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Process ids of its workers.
    pub(super) fn workers(&self) -> Result<Vec<u32>> {
        let id = self.process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        Ok(children.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its workers, which a kill of the master alone would leave.
        drop(self.process.signal(Signal::TERM));
        drop(self.process.wait(PATIENCE));
    }
}

fn config(dir: &Path, address: SocketAddr, upstream: &str) -> String {
    let (dir, workers) = (dir.display(), machine::cpus());
    format!(
        "daemon off;
worker_processes {workers};
pid {dir}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    keepalive_requests 1000000000;
    upstream instance {{ server {upstream}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://instance;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"
    )
}
