//! The registry and the client that others use.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ebb_images::ImageStore;
use ebb_images::build::{Compression, ImageBuilder, Layer};
use ebb_model::Reference;

use crate::support::{local, pull};

/// A running `docker-registry`, ended when dropped.
struct Registry {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn installed(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}

fn start() -> Registry {
    let dir = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let root = dir.path().display();
    let config = format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {root}\n\
         http:\n  addr: {address}\n"
    );
    let path = dir.path().join("config.yml");
    std::fs::write(&path, config).unwrap();
    let mut child = Command::new("docker-registry")
        .arg("serve")
        .arg(&path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..500 {
        if TcpStream::connect(address).is_ok() {
            return Registry { child, address, _dir: dir };
        }
        assert!(child.try_wait().unwrap().is_none(), "the registry ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("the registry does not listen");
}

fn push(archive: &Path, to: &str, options: &[&str]) {
    let output = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
        .args(options)
        .arg(format!("oci-archive:{}", archive.display()))
        .arg(format!("docker://{to}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn what_skopeo_pushes_to_a_real_registry_is_pulled() {
    if !installed("docker-registry") || !installed("skopeo") {
        println!("NOT RUN: real: docker-registry and skopeo are not installed");
        return;
    }
    let (registry, dir) = (start(), tempfile::tempdir().unwrap());
    let store = local(&dir.path().join("store"));
    for (tag, compression, options) in [
        ("gzip", Compression::Gzip, [].as_slice()),
        ("zstd", Compression::Zstd, &[]),
        ("plain", Compression::None, &[]),
        ("docker", Compression::Gzip, &["--format", "v2s2"]),
    ] {
        let layer = Layer::new()
            .file("/app", "program", 0o755)
            .symlink("/bin/app", "/app")
            .dir("/data", 0o750)
            .owner(1000, 1000)
            .compression(compression);
        let image =
            ImageBuilder::new().layer(layer).entrypoint(["/app"]).expose(8080).env("A", tag);
        let archive = dir.path().join(format!("{tag}.tar"));
        let reference: Reference = format!("{}/team/app:{tag}", registry.address).parse().unwrap();
        image.write_archive(&archive, &reference).unwrap();
        push(&archive, &reference.to_string(), options);

        let digest = store.resolve(&pull(&reference)).await.unwrap();
        store.pull(&pull(&reference.pinned(digest.clone()))).await.unwrap();
        let layout = store.layout("default", &digest).await.unwrap();
        let tree = &layout.lowers[0];
        assert_eq!(std::fs::read(tree.join("app")).unwrap(), b"program", "{tag}");
        assert_eq!(std::fs::read_link(tree.join("bin/app")).unwrap(), Path::new("/app"));
        let data = std::fs::metadata(tree.join("data")).unwrap();
        assert_eq!((data.mode() & 0o7777, data.uid()), (0o750, 1000));
        assert_eq!(layout.config.exposed_tcp_ports, [8080]);
        assert!(layout.config.env.contains(&("A".to_owned(), tag.to_owned())));
    }
    let absent: Reference = format!("{}/team/absent:1", registry.address).parse().unwrap();
    assert_eq!(store.resolve(&pull(&absent)).await.unwrap_err().code(), "IMAGE_NOT_FOUND");
}
