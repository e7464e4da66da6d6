//! Pulling from a real registry that a real tool pushed to.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use ebb_e2e::platform::run;
use ebb_e2e::process::{Guarded, path_of};
use ebb_e2e::{Platform, image, not_run};
use tempfile::TempDir;

use crate::support::{at_zero, can_run, create, hello};

/// Debian's `docker-registry` on a port of loopback, with its storage in a temporary directory.
struct Registry {
    address: String,
    _process: Guarded,
    _dir: TempDir,
}

impl Registry {
    fn start(program: &std::path::Path) -> Self {
        let dir = TempDir::new().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = dir.path().join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '{free}'}}\n",
            dir.path().join("storage").display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Guarded::spawn(&mut command).unwrap();
        let mut log = BufReader::new(process.child().stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the registry ended");
        }
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { address: free.to_string(), _process: process, _dir: dir }
    }
}

fn push(skopeo: &std::path::Path, archive: &std::path::Path, to: &str) {
    let mut copy = Command::new(skopeo);
    copy.args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
        .arg(format!("oci-archive:{}", archive.display()))
        .arg(format!("docker://{to}"));
    run(&mut copy).unwrap().ok().unwrap();
}

#[test]
fn pulled_by_tag_and_run_by_digest() {
    if !can_run("pulled_by_tag_and_run_by_digest") {
        return;
    }
    let (Some(program), Some(skopeo)) = (path_of("docker-registry"), path_of("skopeo")) else {
        not_run("pulled_by_tag_and_run_by_digest", "docker-registry or skopeo is not installed");
        return;
    };
    let registry = Registry::start(&program);
    let name = format!("{}/team/hello:1", registry.address);
    let platform = Platform::start().unwrap();
    let archive = platform.scratch().join("push.tar");
    let tagged = "localhost/push:1".parse().unwrap();
    image::hello().unwrap().env("COLOUR", "red").write_archive(&archive, &tagged).unwrap();
    push(&skopeo, &archive, &name);

    let mut service =
        hello("hello", &serde_json::json!({ "autoscaling.knative.dev/window": "6s" }));
    service["spec"]["template"]["spec"]["containers"][0]["image"] = name.as_str().into();
    create(&platform, &service).unwrap();
    assert_eq!(platform.get("hello", "/env?COLOUR").unwrap().text(), "red");

    // The tag moves; the revision does not.
    image::hello().unwrap().env("COLOUR", "blue").write_archive(&archive, &tagged).unwrap();
    push(&skopeo, &archive, &name);
    at_zero(&platform, "hello").unwrap();
    assert_eq!(platform.get("hello", "/env?COLOUR").unwrap().text(), "red");
    platform.ebb(&["deploy", "hello", "--image", &name, "--env", "AGAIN=1"]).unwrap().ok().unwrap();
    assert_eq!(platform.get("hello", "/env?COLOUR").unwrap().text(), "blue");

    // What was pulled once needs no registry.
    drop(registry);
    at_zero(&platform, "hello").unwrap();
    assert_eq!(platform.get("hello", "/env?COLOUR").unwrap().text(), "blue");
    platform.stop().unwrap();
}
