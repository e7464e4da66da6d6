//! A registry that answers what a test tells it to, also what no honest registry would.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// An answer: status, content type, body.
pub(crate) type Answer = (u16, &'static str, Vec<u8>);

/// Serves every path with what `answer` says, on a free port of loopback, until the test ends.
pub(crate) fn serve(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || drop(talk(stream, &*answer)));
        }
    });
    address
}

fn talk(stream: TcpStream, answer: &(impl Fn(&str) -> Answer + ?Sized)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while reader.read_line(&mut line)? > 0 && line.trim() != "" {
            line.clear();
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or("/"));
        let (status, kind, body) = answer(path);
        let length = body.len();
        let stream = reader.get_mut();
        write!(
            stream,
            "HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        )?;
        if method != "HEAD" {
            stream.write_all(&body)?;
        }
    }
}
