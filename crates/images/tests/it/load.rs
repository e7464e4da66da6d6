//! Archives: OCI and docker, plain and compressed, honest and not.

use std::io::Write;
use std::path::{Path, PathBuf};

use ebb_images::build::{Compression, ImageBuilder, Layer};
use ebb_images::{Error, ImageStore};
use ebb_model::Reference;
use serde_json::json;

use crate::support::{local, pull};

fn image() -> ImageBuilder {
    let base =
        Layer::new().dir("/tmp", 0o1777).file("/etc/os", "one", 0o644).file("/old", "", 0o600);
    let top = Layer::new()
        .file("/etc/os", "two", 0o600)
        .whiteout("/old")
        .opaque("/srv")
        .file("/srv/new", "", 0o644)
        .owner(1000, 1000)
        .compression(Compression::Zstd);
    let command = ImageBuilder::new().layer(base).layer(top).entrypoint(["/app"]).cmd(["--serve"]);
    command
        .env("A", "b")
        .expose(8080)
        .user("1000")
        .workdir("/srv")
        .label("x", "y")
        .stop_signal("SIGINT")
}

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_archive_becomes_a_root_filesystem() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.tar");
    let reference = name("localhost/app:1");
    let digest = image().write_archive(&path, &reference).unwrap();
    let again = dir.path().join("again.tar");
    image().write_archive(&again, &reference).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap(), "not reproducible");

    let store = local(&dir.path().join("store"));
    let loaded = store.load(&path, None).await.unwrap();
    assert_eq!(loaded[0].digest, digest);
    store.pull(&pull(&reference.pinned(digest.clone()))).await.unwrap();
    let layout = store.layout("default", &digest).await.unwrap();
    assert_eq!(layout.config.entrypoint, ["/app"]);
    assert_eq!(layout.config.cmd, ["--serve"]);
    assert_eq!(layout.config.env, [("A".to_owned(), "b".to_owned())]);
    assert_eq!(layout.config.exposed_tcp_ports, [8080]);
    assert_eq!((layout.config.user.as_str(), layout.config.working_dir.as_str()), ("1000", "/srv"));
    assert_eq!(layout.config.stop_signal, "SIGINT");

    let merged = dir.path().join("merged");
    let _mount = Overlay::mount(&layout.lowers, &merged);
    assert_eq!(std::fs::read(merged.join("etc/os")).unwrap(), b"two");
    assert!(!merged.join("old").exists());
    assert!(merged.join("srv/new").is_file());
    let mode =
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(merged.join("tmp")).unwrap());
    assert_eq!(mode & 0o7777, 0o1777);
}

/// A read-only overlay, gone when dropped.
struct Overlay(PathBuf);

impl Overlay {
    fn mount(lowers: &[PathBuf], at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        // A read-only overlay needs two lowers.
        let empty = tempfile::tempdir_in(at.parent().unwrap()).unwrap().keep();
        let all: Vec<_> = lowers.iter().chain([&empty]).map(|dir| dir.to_str().unwrap()).collect();
        let options = format!("lowerdir={}", all.join(":"));
        let status = std::process::Command::new("mount")
            .args(["-t", "overlay", "overlay", "-o", &options])
            .arg(at)
            .status()
            .unwrap();
        assert!(status.success());
        Self(at.to_owned())
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test]
async fn opaque_directories_and_roots_hide_what_is_below() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("store"));
    for (text, top, below_is_seen, root_is_seen) in [
        ("localhost/dir:1", Layer::new().opaque("/srv").file("/srv/new", "", 0o644), false, true),
        ("localhost/root:1", Layer::new().opaque("/").file("/srv/new", "", 0o644), false, false),
        ("localhost/none:1", Layer::new().file("/srv/new", "", 0o644), true, true),
    ] {
        let base = Layer::new().file("/srv/below", "", 0o644).file("/base", "", 0o644);
        let built = ImageBuilder::new().layer(base).layer(top).entrypoint(["/x"]);
        let path = dir.path().join("image.tar");
        let digest = built.write_archive(&path, &name(text)).unwrap();
        store.load(&path, None).await.unwrap();
        store.pull(&pull(&name(text).pinned(digest.clone()))).await.unwrap();
        let layout = store.layout("default", &digest).await.unwrap();
        let merged = dir.path().join("merged");
        let _mount = Overlay::mount(&layout.lowers, &merged);
        assert!(merged.join("srv/new").is_file(), "{text}");
        assert_eq!(merged.join("srv/below").exists(), below_is_seen, "{text}");
        assert_eq!(merged.join("base").exists(), root_is_seen, "{text}");
    }
}

#[tokio::test]
async fn every_form_of_an_archive_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("store"));
    let layout = dir.path().join("layout");
    let digest = image().write_layout(&layout, &name("localhost/layout:1")).unwrap();
    let loaded = store.load(&layout, None).await.unwrap();
    assert_eq!(
        (&loaded[0].digest, &loaded[0].reference),
        (&digest, &Some(name("localhost/layout:1")))
    );

    let plain = dir.path().join("plain.tar");
    image().write_archive(&plain, &name("localhost/packed:1")).unwrap();
    let bytes = std::fs::read(&plain).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes).unwrap();
    for packed in [gzip.finish().unwrap(), zstd::encode_all(bytes.as_slice(), 1).unwrap()] {
        let path = dir.path().join("packed");
        std::fs::write(&path, packed).unwrap();
        assert_eq!(store.load(&path, None).await.unwrap()[0].digest, digest);
    }

    let path = dir.path().join("docker.tar");
    std::fs::write(&path, docker_archive(&["app:1", "localhost/app:2"])).unwrap();
    let loaded = store.load(&path, None).await.unwrap();
    let names: Vec<_> = loaded.iter().map(|image| image.reference.clone().unwrap()).collect();
    assert_eq!(names, [name("docker.io/library/app:1"), name("localhost/app:2")]);
    let digest = store.resolve(&pull(&name("app:1"))).await.unwrap();
    store.pull(&pull(&name("app:1").pinned(digest.clone()))).await.unwrap();
    let lowers = store.layout("default", &digest).await.unwrap().lowers;
    assert_eq!(lowers.len(), 2);
    assert_eq!(std::fs::read(lowers[0].join("b")).unwrap(), b"b");
}

/// The way `docker save` wrote until version 24: a shared layer is a link to the other's file.
fn docker_archive(tags: &[&str]) -> Vec<u8> {
    let built = ImageBuilder::new()
        .layer(Layer::new().file("a", "a", 0o644).compression(Compression::None))
        .layer(Layer::new().file("b", "b", 0o644).compression(Compression::None))
        .entrypoint(["/a"])
        .build()
        .unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&built.blobs[&built.digest]).unwrap();
    let blob = |descriptor: &serde_json::Value| {
        built.blobs[&descriptor["digest"].as_str().unwrap().parse().unwrap()].clone()
    };
    let item =
        json!([{"Config": "c.json", "RepoTags": tags, "Layers": ["1/layer.tar", "2/layer.tar"]}]);
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    };
    add("c.json", &blob(&manifest["config"]));
    add("0/layer.tar", &blob(&manifest["layers"][0]));
    add("2/layer.tar", &blob(&manifest["layers"][1]));
    add("manifest.json", &serde_json::to_vec(&item).unwrap());
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    tar.append_link(&mut link, "1/layer.tar", "../0/layer.tar").unwrap();
    tar.into_inner().unwrap()
}

/// What is said has nothing of the file and of the server in it, and tells what to do.
fn says(error: &Error, dir: &Path, hint: &str) {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(text.len() < 3000 && !text.contains(dir.to_str().unwrap()), "{text}");
    let given = error.0.hint.as_deref().unwrap_or_default();
    assert!(given.contains(hint), "{text}: {given}");
}

#[tokio::test]
async fn bytes_and_names_of_an_archive_are_not_printed() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("store"));
    let path = dir.path().join("upload-x");
    // A header by its form, with an escape sequence where numbers belong.
    let mut header = tar::Header::new_gnu();
    header.set_size(7);
    header.as_old_mut().size = *b"\x1b[31mred\x07\n\r\0";
    header.set_cksum();
    std::fs::write(&path, [header.as_bytes().as_slice(), &[0; 1024]].concat()).unwrap();
    let error = store.load(&path, None).await.unwrap_err();
    assert_eq!(error.0.message, "the file is no OCI or docker archive");
    says(&error, dir.path(), "docker save");
    let error = store.load(&dir.path().join("absent"), None).await.unwrap_err();
    says(&error, dir.path(), "check the path");

    let hostile = format!("\u{1b}[2J{}", "n".repeat(4000));
    let item = |config: &str, tag: &str, layer: &str| json!([{"Config": config, "RepoTags": [tag], "Layers": [layer]}]);
    let config = json!({"rootfs": {"type": "layers", "diff_ids": [hostile]}});
    let platform = json!({"os": hostile, "rootfs": {"type": "layers", "diff_ids": []}});
    let env = json!({"config": {"Env": [hostile]}, "rootfs": {"type": "layers"}});
    let fine = json!({"rootfs": {"type": "layers"}});
    for (document, manifest, code, hint) in [
        (&fine, item(&hostile, "a:1", "l"), "IMAGE_CORRUPT", "save the archive again"),
        (&fine, item("c", "a:1", &hostile), "IMAGE_CORRUPT", "save the archive again"),
        (&fine, json!([{"Config": "c", "RepoTags": [hostile]}]), "IMAGE_CONFIG_INVALID", "tag"),
        (&fine, json!([{"Config": "c", "RepoTags": hostile}]), "IMAGE_CONFIG_INVALID", "build"),
        (&config, item("c", "a:1", "c"), "IMAGE_CONFIG_INVALID", "build"),
        (&env, item("c", "a:1", "c"), "IMAGE_CONFIG_INVALID", "build"),
        (&platform, json!([{"Config": "c", "RepoTags": ["a:1"]}]), "IMAGE_PLATFORM", "build"),
    ] {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, document) in [("c", document), ("manifest.json", &manifest)] {
            let bytes = serde_json::to_vec(document).unwrap();
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, bytes.as_slice()).unwrap();
        }
        std::fs::write(&path, tar.into_inner().unwrap()).unwrap();
        let error = store.load(&path, None).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        says(&error, dir.path(), hint);
    }
}

#[tokio::test]
async fn what_is_no_image_archive_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("store"));
    let path = dir.path().join("file");
    for bytes in [b"".as_slice(), b"text", &[0x1f, 0x8b, 1, 2], &[0; 1024]] {
        std::fs::write(&path, bytes).unwrap();
        let error = store.load(&path, None).await.unwrap_err();
        assert_eq!(error.code(), "IMAGE_UNSUPPORTED", "{bytes:?}: {error}");
        says(&error, dir.path(), "oci-archive:");
    }
    std::fs::write(&path, docker_archive(&[])).unwrap();
    let error = store.load(&path, None).await.unwrap_err();
    assert_eq!(error.code(), "IMAGE_REFERENCE_INVALID");
    let given = name("localhost/given:1");
    let loaded = store.load(&path, Some(&given)).await.unwrap();
    assert_eq!(loaded[0].reference.as_ref(), Some(&given));

    let layout = dir.path().join("layout");
    let digest = image().write_layout(&layout, &name("localhost/x:1")).unwrap();
    let manifest = layout.join("blobs/sha256").join(digest.hex());
    let bytes = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, [&bytes[..], b" "].concat()).unwrap();
    let error = store.load(&layout, None).await.unwrap_err();
    assert_eq!(error.code(), "IMAGE_CORRUPT");
    says(&error, dir.path(), "save the archive again");
    // A link in an untrusted directory is not followed.
    std::fs::remove_file(&manifest).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &manifest).unwrap();
    let error = store.load(&layout, None).await.unwrap_err();
    assert_eq!(error.code(), "IMAGE_UNSUPPORTED");
    says(&error, dir.path(), "save the archive again");
    let listed = store.list().await.unwrap();
    assert_eq!(listed.len(), 1, "nothing half done is visible");
}

#[tokio::test]
async fn a_layer_that_lies_about_its_content_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = local(&dir.path().join("store"));
    let layout = dir.path().join("layout");
    // The configuration of one image and the layers of another.
    let honest = ImageBuilder::new().layer(Layer::new().file("a", "a", 0o644)).build().unwrap();
    let other = ImageBuilder::new().layer(Layer::new().file("b", "b", 0o644)).build().unwrap();
    let read = |bytes: &[u8]| -> serde_json::Value { serde_json::from_slice(bytes).unwrap() };
    let mut manifest = read(&honest.blobs[&honest.digest]);
    manifest["layers"] = read(&other.blobs[&other.digest])["layers"].clone();
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let digest = crate::registry::sha256(&manifest);
    image().write_layout(&layout, &name("localhost/lie:1")).unwrap();
    let mut index = read(&std::fs::read(layout.join("index.json")).unwrap());
    index["manifests"][0]["digest"] = json!(digest);
    index["manifests"][0]["size"] = json!(manifest.len());
    std::fs::write(layout.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    std::fs::write(layout.join("blobs/sha256").join(digest.hex()), &manifest).unwrap();
    for (blob, bytes) in honest.blobs.iter().chain(&other.blobs) {
        std::fs::write(layout.join("blobs/sha256").join(blob.hex()), bytes).unwrap();
    }
    store.load(&layout, None).await.unwrap();
    let wanted = name("localhost/lie:1").pinned(digest.clone());
    let error = store.pull(&pull(&wanted)).await.unwrap_err();
    assert_eq!(error.code(), "IMAGE_CORRUPT");
    says(&error, dir.path(), "build the image again");
    assert_eq!(store.layout("default", &digest).await.unwrap_err().code(), "IMAGE_NOT_FOUND");
    assert_eq!(dir.path().join("store/temp").read_dir().unwrap().count(), 0);
}

#[tokio::test]
async fn everything_survives_a_restart_and_leftovers_go() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    let path = dir.path().join("image.tar");
    let reference = name("localhost/app:1");
    let digest = image().write_archive(&path, &reference).unwrap();
    let store = local(&root);
    store.load(&path, None).await.unwrap();
    store.pull(&pull(&reference.pinned(digest.clone()))).await.unwrap();
    store.pin(&digest, "revision").await.unwrap();
    let before = (store.list().await.unwrap(), store.layout("default", &digest).await.unwrap());
    drop(store);
    std::fs::create_dir_all(root.join("temp/half/tree")).unwrap();
    std::fs::write(root.join("temp/half/tree/file"), "x").unwrap();
    std::fs::create_dir_all(root.join("layers/default/half")).unwrap();

    let store = local(&root);
    assert_eq!(
        before,
        (store.list().await.unwrap(), store.layout("default", &digest).await.unwrap())
    );
    assert_eq!(root.join("temp").read_dir().unwrap().count(), 0);
    assert!(!root.join("layers/default/half").exists());
    assert_eq!(store.prune(Some(&reference)).await.unwrap_err().code(), "IMAGE_IN_USE");
    store.unpin(&digest, "revision").await.unwrap();
    assert!(store.prune(Some(&reference)).await.unwrap() > 0);
    assert_eq!(root.join("blobs/sha256").read_dir().unwrap().count(), 0);
    assert_eq!(root.join("layers/default").read_dir().unwrap().count(), 0);
    drop(store);
    assert!(local(&root).list().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_image_without_layers_or_command_is_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.tar");
    let reference = name("localhost/empty:1");
    let digest = ImageBuilder::new().write_archive(&path, &reference).unwrap();
    let store = local(&dir.path().join("store"));
    store.load(&path, None).await.unwrap();
    store.pull(&pull(&reference.pinned(digest.clone()))).await.unwrap();
    let layout = store.layout("default", &digest).await.unwrap();
    assert!(layout.lowers[0].is_dir() && layout.config.entrypoint.is_empty());
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("store");
    std::fs::create_dir_all(&root).unwrap();
    let status = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(&root)
        .status()
        .unwrap();
    assert!(status.success());
    let _mount = Overlay(root.clone());
    let store = local(&root);
    let path = dir.path().join("image.tar");
    for (layer, loads) in [
        (Layer::new().file("a", random(2 << 20), 0o644), false),
        (Layer::new().file("a", vec![0; 4 << 20], 0o644), true),
    ] {
        let reference = name("localhost/big:1");
        let digest = ImageBuilder::new().layer(layer).write_archive(&path, &reference).unwrap();
        let result = store.load(&path, None).await;
        let wanted = reference.pinned(digest.clone());
        let error =
            if loads { store.pull(&pull(&wanted)).await.unwrap_err() } else { result.unwrap_err() };
        assert_eq!(error.code(), "DISK_FULL", "{error}");
        assert!(store.layout("default", &digest).await.is_err());
        assert_eq!(root.join("temp").read_dir().unwrap().count(), 0);
    }
    drop(store);
}

/// Bytes that no compression makes smaller.
fn random(length: usize) -> Vec<u8> {
    use sha2::Digest as _;
    let blocks = (0..length as u64).step_by(32);
    blocks.flat_map(|n| sha2::Sha256::digest(n.to_le_bytes())).collect()
}
