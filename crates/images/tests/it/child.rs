//! The process that unpacks, with its descriptors and its output.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use ebb_images::build::{ImageBuilder, Layer};

/// Not a test: the body of the child process that the tests below start.
#[test]
#[ignore = "is started by other tests, with descriptors 3 and 4"]
fn process() {
    if std::env::var_os("EBB_UNPACK_TEST").is_some() {
        println!();
        let code = ebb_images::unpack::child_main("gzip");
        println!("exit {code}");
    }
}

/// Starts this test program as the child. The shell moves the descriptors, because that takes
/// unsafe code otherwise.
fn start(blob: &[u8], target: &std::path::Path) -> (Vec<u8>, bool) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(blob).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let program = std::env::current_exe().unwrap();
    let target: OwnedFd = std::fs::File::open(target).unwrap().into();
    let output = Command::new("sh")
        .args(["-c", r#"exec "$@" 3<&0 4<&2 0</dev/null 2>/dev/null"#, "sh"])
        .arg(program)
        .args(["--exact", "child::process", "--ignored", "--nocapture", "--test-threads=1"])
        .env("EBB_UNPACK_TEST", "1")
        .stdin(Stdio::from(file))
        .stderr(Stdio::from(target))
        .output()
        .unwrap();
    let lines: Vec<&[u8]> = output.stdout.split(|byte| *byte == b'\n').collect();
    let json = lines.iter().find(|line| line.starts_with(b"{")).expect("no report");
    (json.to_vec(), lines.contains(&b"exit 0".as_slice()))
}

fn layer(builder: &ImageBuilder) -> Vec<u8> {
    let built = builder.build().unwrap();
    built.blobs.into_values().find(|blob| blob.starts_with(&[0x1f, 0x8b])).unwrap()
}

#[test]
fn reports_what_it_made() {
    let target = tempfile::tempdir().unwrap();
    let image = ImageBuilder::new().layer(Layer::new().file("/a/b", "text", 0o4755).owner(7, 8));
    let (json, ok) = start(&layer(&image), target.path());
    assert!(ok);
    let report = ebb_images::unpack::report(&json).unwrap();
    assert_eq!(report.entries, 2);
    assert_eq!(std::fs::read(target.path().join("a/b")).unwrap(), b"text");
}

#[test]
fn reports_why_it_failed() {
    let target = tempfile::tempdir().unwrap();
    let (json, ok) = start(b"no gzip", target.path());
    assert!(!ok);
    let error = ebb_images::unpack::report(&json).unwrap_err();
    assert_eq!(error.code(), "IMAGE_CORRUPT");
    assert_eq!(ebb_images::unpack::report(b"").unwrap_err().code(), "UNPACK_FAILED");
}

#[test]
fn what_a_hostile_child_says_is_escaped_and_cut() {
    let text = format!("\u{1b}]0;x\u{7}{}", "y".repeat(100_000));
    let digest = ebb_model::Digest::from_sha256([1; 32]);
    let done = serde_json::json!({
        "diff_id": digest, "entries": 1, "size_bytes": 1, "warnings": vec![&text; 200],
    });
    let report = ebb_images::unpack::report(&serde_json::to_vec(&done).unwrap()).unwrap();
    assert_eq!(report.warnings.len(), 100);
    let fault = ebb_model::Fault::new("\u{1b}", ebb_model::Kind::Invalid, &*text).hint(&*text);
    let failed = serde_json::json!({ "error": fault });
    let error = ebb_images::unpack::report(&serde_json::to_vec(&failed).unwrap()).unwrap_err();
    assert_eq!(error.code(), "UNPACK_FAILED");
    for said in [&report.warnings[0], &error.0.message, error.0.hint.as_ref().unwrap()] {
        assert!(said.len() < 6000 && !said.chars().any(char::is_control));
    }
}
