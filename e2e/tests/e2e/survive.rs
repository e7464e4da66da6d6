//! A platform beside another one, and after a kill.

use ebb_e2e::{Options, Platform};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::can_run;

#[test]
fn two_platforms_do_not_disturb_each_other() {
    if !can_run("two_platforms_do_not_disturb_each_other") {
        return;
    }
    let (one, two) = (Platform::start().unwrap(), Platform::start().unwrap());
    assert_ne!(one.cell, two.cell);
    for (platform, greeting) in [(&one, "GREETING=one"), (&two, "GREETING=two")] {
        let image = platform.load_hello().unwrap();
        let deploy = ["deploy", "hello", "--image", image, "--env", greeting];
        platform.ebb(&deploy).unwrap().ok().unwrap();
    }
    assert_eq!(one.get("hello", "/env?GREETING").unwrap().text(), "one");
    one.stop().unwrap();
    assert_eq!(two.get("hello", "/env?GREETING").unwrap().text(), "two");
    two.stop().unwrap();
}

#[test]
fn what_was_declared_survives_a_restart() {
    if !can_run("what_was_declared_survives_a_restart") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let flags = ["--key-file".to_owned(), dir.path().join("key").display().to_string()];
    let options = Options { data_dir: Some(dir.path().join("data")), flags: flags.into() };
    let first = Platform::start_with(&options).unwrap();
    let image = first.load_hello().unwrap();
    first.ebb(&["deploy", "hello", "--image", image]).unwrap().ok().unwrap();
    let cell = first.cell.clone();
    first.stop().unwrap();
    let second = Platform::start_with(&options).unwrap();
    assert_eq!(second.cell, cell);
    assert!(second.get("hello", "/").unwrap().text().contains("hello-00001"));
    second.stop().unwrap();
}

#[test]
fn a_killed_daemon_comes_back() {
    if !can_run("a_killed_daemon_comes_back") {
        return;
    }
    let platform = Platform::start().unwrap();
    let image = platform.load_hello().unwrap();
    platform.ebb(&["deploy", "hello", "--image", image]).unwrap().ok().unwrap();
    let daemon = Pid::from_raw(platform.daemon_pid().unwrap().try_into().unwrap()).unwrap();
    kill_process(daemon, Signal::KILL).unwrap();
    // The listener outlives the daemon: this connection waits for the next one.
    let answer = platform.get("hello", "/").unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text());
    platform.ebb(&["services", "list"]).unwrap().ok().unwrap();
    platform.stop().unwrap();
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    use std::io::{Read, Write};
    if !can_run("a_request_in_flight_is_answered_before_the_end") {
        return;
    }
    let platform = Platform::start().unwrap();
    let image = platform.load_hello().unwrap();
    platform.ebb(&["deploy", "hello", "--image", image]).unwrap().ok().unwrap();
    let mut stream = std::net::TcpStream::connect(platform.gateway).unwrap();
    let host = ebb_e2e::platform::host("hello");
    let head = format!("POST /echo HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(format!("{head}5\r\nfirst\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("first") {
        let mut part = [0; 1024];
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..count]);
    }
    let daemon = platform.daemon_pid().unwrap();
    let gateway = platform.gateway;
    let stopping = std::thread::spawn(move || platform.stop());
    // It has been told to stop when new connections wait: the spawner holds the listener.
    let half_a_second = std::time::Duration::from_millis(500);
    while std::net::TcpStream::connect(gateway).is_ok_and(|mut probe| {
        let _ = probe.set_read_timeout(Some(half_a_second));
        let asked = write!(probe, "GET / HTTP/1.1\r\nHost: none\r\n\r\n").is_ok();
        asked && probe.read(&mut [0; 16]).is_ok_and(|count| count > 0)
    }) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(std::path::Path::new(&format!("/proc/{daemon}")).exists(), "it waits for the request");
    stream.write_all(b"4\r\nlast\r\n0\r\n\r\n").unwrap();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("last") && answer.ends_with("0\r\n\r\n"), "{answer}");
    stopping.join().unwrap().unwrap();
}
