//! What real images contain must unpack, and come out as it was meant.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ebb_images::UnpackReport;

use crate::raw::{Head, Raw};
use crate::support::unpack;

async fn tree(tar: Raw) -> (tempfile::TempDir, UnpackReport) {
    let dir = tempfile::tempdir().unwrap();
    let report = unpack(&tar.end(), "none", dir.path()).await.unwrap();
    (dir, report)
}

fn opaque(report: &UnpackReport) -> Vec<String> {
    let text = |path| String::from_utf8(BASE64_STANDARD.decode(path).unwrap()).unwrap();
    report.opaque.iter().map(text).collect()
}

fn is_whiteout(path: &Path) -> bool {
    let metadata = path.symlink_metadata().unwrap();
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

#[tokio::test]
async fn a_link_of_busybox_is_replaced_by_a_file() {
    let busybox = Raw::new().file("bin/busybox", b"busybox").symlink("bin/ls", "/bin/busybox");
    let (dir, _) = tree(busybox.file("bin/ls", b"coreutils")).await;
    assert_eq!(std::fs::read(dir.path().join("bin/ls")).unwrap(), b"coreutils");
    assert_eq!(std::fs::read(dir.path().join("bin/busybox")).unwrap(), b"busybox");
}

#[tokio::test]
async fn entries_go_through_links_of_the_image() {
    let (dir, _) = tree(
        Raw::new()
            .dir("run")
            .dir("var")
            .symlink("var/run", "/run")
            .file("var/run/pid", b"1")
            .symlink("lib", "usr/lib")
            .file("lib/a.so", b"elf")
            .symlink("deep", "../../../../usr/lib/")
            .file("deep/b.so", b"elf"),
    )
    .await;
    assert_eq!(std::fs::read_link(dir.path().join("var/run")).unwrap(), Path::new("/run"));
    assert!(dir.path().join("run/pid").is_file());
    assert!(dir.path().join("usr/lib/a.so").is_file());
    assert!(dir.path().join("usr/lib/b.so").is_file());
}

#[tokio::test]
async fn metadata_comes_out_as_it_went_in() {
    let head = Head { mode: 0o4755, uid: b"0001750".into(), ..Head::new(b"su", b'0') };
    let sticky = Head { mode: 0o1777, ..Head::new(b"tmp/", b'5') };
    let closed = Head { mode: 0, uid: b"0000007".into(), ..Head::new(b"closed", b'5') };
    let (dir, report) = tree(
        Raw::new()
            .pax(b'x', "mtime", b"1500000000.25")
            .head(&head, b"x")
            .head(&sticky, b"")
            .file("tmp/x", b"")
            .head(&closed, b"")
            .file("closed/x", b"")
            .pax(b'x', "SCHILY.xattr.security.capability", &CAPABILITY)
            .file("ping", b"")
            .symlink("link", "su")
            .head(&Head { mode: 0o500, ..Head::new(b"./", b'5') }, b""),
    )
    .await;
    let metadata = |name: &str| dir.path().join(name).symlink_metadata().unwrap();
    let su = metadata("su");
    assert_eq!((su.mode() & 0o7777, su.uid(), su.gid()), (0o4755, 1000, 0));
    assert_eq!((su.mtime(), su.mtime_nsec()), (1_500_000_000, 250_000_000));
    assert_eq!(metadata("tmp").mode() & 0o7777, 0o1777);
    assert_eq!((metadata("closed").mode() & 0o7777, metadata("closed").uid()), (0, 7));
    assert_eq!(metadata("tmp").mtime(), 0);
    assert_eq!(metadata("").mode() & 0o7777, 0o500);
    let mut value = [0; 20];
    rustix::fs::getxattr(dir.path().join("ping"), "security.capability", &mut value).unwrap();
    assert_eq!(value, CAPABILITY);
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
}

/// `cap_net_raw=ep`, version 2.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[tokio::test]
async fn hard_links_across_directories_share_a_file() {
    let (dir, _) = tree(
        Raw::new()
            .file("a/one", b"text")
            .hardlink("b/two", "a/one")
            .hardlink("three", "./b/two")
            .symlink("l", "/a")
            .hardlink("four", "/l/one"),
    )
    .await;
    let inode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().ino();
    for name in ["b/two", "three", "four"] {
        assert_eq!(inode(name), inode("a/one"), "{name}");
    }
}

#[tokio::test]
async fn whiteouts_become_those_of_overlayfs() {
    let (dir, report) = tree(
        Raw::new()
            .file("etc/.wh.gone", b"")
            .file("data/.wh..wh..opq", b"")
            .file("data/new", b"")
            .file("data/.wh.old", b"") // needless inside an opaque directory, but it happens
            .dir("again")
            .file(".wh.again", b"") // about the layers below: what is new stays
            .file(".wh.later", b"")
            .file("later/x", b"")
            .file(".wh.dir", b"")
            .dir("dir")
            .symlink("link", "/data/sub")
            .file("link/.wh..wh..opq", b"")
            .file("was-file", b"")
            .dir("was-file")
            .file(".wh..wh.aufs", b""),
    )
    .await;
    assert!(is_whiteout(&dir.path().join("etc/gone")));
    assert!(is_whiteout(&dir.path().join("data/old")));
    assert!(dir.path().join("data/new").is_file());
    assert!(dir.path().join("again").is_dir());
    assert!(dir.path().join("later/x").is_file());
    let found = opaque(&report);
    assert_eq!(found, ["again", "data", "data/sub", "dir", "later", "was-file"]);
    assert_eq!(report.warnings.len(), 1);
    let (_, report) = tree(Raw::new().file(".wh..wh..opq", b"").file("x", b"")).await;
    assert_eq!(opaque(&report), [""]);
}

#[tokio::test]
async fn names_are_bytes() {
    let names: [&[u8]; 9] = [
        b"\xff\xfe",
        b"new\nline",
        b"\x1b[31mred",
        b"-rf",
        b".git",
        b"CASE",
        b"case",
        "e\u{301}".as_bytes(),
        "\u{e9}".as_bytes(),
    ];
    let raw = names.iter().fold(Raw::new(), |raw, name| raw.file(name, name));
    let long = vec![b'n'; 255];
    let (dir, _) = tree(raw.pax(b'x', "path", &long).file("x", b"")).await;
    for name in names {
        assert_eq!(std::fs::read(dir.path().join(OsStr::from_bytes(name))).unwrap(), name);
    }
    assert!(dir.path().join(OsStr::from_bytes(&long)).is_file());
}

#[tokio::test]
async fn long_names_come_in_every_form() {
    let name = "d/".repeat(100) + "file";
    let target = "t".repeat(200);
    let gnu = |flag| Head { name: b"././@LongLink".to_vec(), ..Head::new(b"", flag) };
    let (dir, _) = tree(
        Raw::new()
            .head(&gnu(b'L'), format!("{name}\0").as_bytes())
            .file("cut", b"gnu")
            .head(&gnu(b'K'), format!("{target}\0").as_bytes())
            .symlink("link", "cut")
            .pax(b'g', "comment", b"a commit")
            .flag("old/", 0),
    )
    .await;
    assert_eq!(std::fs::read(dir.path().join(&name)).unwrap(), b"gnu");
    assert_eq!(std::fs::read_link(dir.path().join("link")).unwrap(), Path::new(&target));
    assert!(dir.path().join("old").is_dir());
}

#[tokio::test]
async fn every_honest_compression_is_read() {
    let tar = Raw::new().file("a", b"text").file("b", &[9; 5000]).end();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::GzBuilder::new()
            .extra(vec![7; 60_000])
            .filename("layer")
            .write(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    let halves = tar.split_at(700);
    for (compression, blob) in [
        ("none", tar.clone()),
        ("gzip", gzip(&tar)),
        ("gzip", [gzip(halves.0), gzip(b""), gzip(halves.1)].concat()),
        ("zstd", zstd(&tar)),
        ("zstd", [zstd(halves.0), zstd(halves.1)].concat()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let report = unpack(&blob, compression, dir.path()).await.unwrap();
        assert_eq!(report.diff_id, crate::registry::sha256(&tar), "{compression}");
        assert_eq!(report.size_bytes, tar.len() as u64);
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"text");
    }
}

#[tokio::test]
async fn layers_without_entries_are_layers() {
    for (compression, blob) in [
        ("none", Vec::new()),
        ("gzip", Vec::new()),
        ("zstd", Vec::new()),
        ("none", vec![0; 1024]),
        ("none", vec![0; 10240]),
        ("zstd", zstd::encode_all([0; 1024].as_slice(), 1).unwrap()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let report = unpack(&blob, compression, dir.path()).await.unwrap();
        assert_eq!((report.entries, dir.path().read_dir().unwrap().count()), (0, 0));
    }
}

#[tokio::test]
async fn the_tar_of_this_machine_is_understood() {
    let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let from = source.path();
    std::fs::create_dir_all(from.join("d".repeat(120)).join("e".repeat(120))).unwrap();
    std::fs::write(from.join("d".repeat(120)).join("file"), vec![1; 100_000]).unwrap();
    std::os::unix::fs::symlink("x".repeat(150), from.join("link")).unwrap();
    for format in ["gnu", "posix", "ustar"] {
        let output = std::process::Command::new("tar")
            .args(["-C", from.to_str().unwrap(), "--format", format, "-cf", "-", "."])
            .output()
            .unwrap();
        if format == "ustar" && !output.status.success() {
            continue; // it cannot say such names
        }
        let into = target.path().join(format);
        unpack(&output.stdout, "none", &into).await.unwrap();
        let file = into.join("d".repeat(120)).join("file");
        assert_eq!(std::fs::metadata(file).unwrap().len(), 100_000, "{format}");
    }
}
