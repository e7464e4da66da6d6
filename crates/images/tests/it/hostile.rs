//! Hostile layers: each is refused with the right code or contained, and a tree beside the target
//! stays exactly as it was.

use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::raw::{Head, Raw, record};
use crate::support::{snapshot, unpack};

const INVALID: &str = "IMAGE_LAYER_INVALID";
const LARGE: &str = "IMAGE_TOO_LARGE";
const CORRUPT: &str = "IMAGE_CORRUPT";

/// What must come of it: a code, or a tree that the check accepts.
enum Want {
    Code(&'static str),
    Tree(fn(&Path) -> bool),
}
use Want::{Code, Tree};

/// A directory with a target and, beside it, what an escape would hit.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let canary = dir.path().join("canary");
        std::fs::create_dir_all(canary.join("sub")).unwrap();
        std::fs::write(canary.join("file"), "canary").unwrap();
        std::fs::write(canary.join("sub/secret"), "secret").unwrap();
        std::fs::set_permissions(&canary, PermissionsExt::from_mode(0o700)).unwrap();
        symlink("file", canary.join("link")).unwrap();
        Self { dir }
    }

    fn canary(&self) -> std::path::PathBuf {
        self.dir.path().join("canary")
    }

    fn target(&self) -> std::path::PathBuf {
        self.dir.path().join("target")
    }

    async fn check(&self, name: &str, tar: &[u8], want: &Want) {
        let before = snapshot(&self.canary());
        let _ = std::fs::remove_dir_all(self.target());
        let result = unpack(tar, "none", &self.target()).await;
        assert_eq!(before, snapshot(&self.canary()), "{name}: the host changed");
        match (result, want) {
            (Err(error), Code(code)) => assert_eq!(error.code(), *code, "{name}: {error}"),
            (Ok(_), Tree(check)) => assert!(check(&self.target()), "{name}: wrong tree"),
            (Ok(report), Code(code)) => panic!("{name}: {report:?} instead of {code}"),
            (Err(error), Tree(_)) => panic!("{name}: {error}"),
        }
    }
}

async fn all(cases: Vec<(String, Vec<u8>, Want)>) {
    let host = Host::new();
    for (name, tar, want) in &cases {
        host.check(name, tar, want).await;
    }
}

fn case(name: &str, tar: Raw, want: Want) -> (String, Vec<u8>, Want) {
    (name.to_owned(), tar.end(), want)
}

#[tokio::test]
async fn traversal() {
    let mut cases = Vec::new();
    for depth in 1..=64 {
        let path = format!("{}canary/file", "../".repeat(depth));
        let raw = Raw::new().pax(b'x', "path", path.as_bytes()).file("x", b"evil");
        cases.push(case(&format!("{depth} up"), raw, Code(INVALID)));
    }
    for path in ["..", "a/..", "a/../../canary/file", "./..//canary", "/../x", "a/../b"] {
        cases.push(case(path, Raw::new().file(path, b"evil"), Code(INVALID)));
        let raw = Raw::new().head(&Head::new(b"L", b'L'), path.as_bytes()).file("ok", b"");
        cases.push(case(path, raw, Code(INVALID)));
    }
    let at_root: fn(&Path) -> bool = |target| target.join("etc/passwd").is_file();
    cases.push(case("absolute", Raw::new().file("/etc/passwd", b"evil"), Tree(at_root)));
    cases.push(case("slashes", Raw::new().file(".//.//etc//passwd", b""), Tree(at_root)));
    cases.push(case("empty", Raw::new().file("", b"x"), Code(INVALID)));
    cases.push(case("root as file", Raw::new().file("./.", b"x"), Code(INVALID)));
    cases.push(case("root as link", Raw::new().symlink(".", "/"), Code(INVALID)));
    let backslash: fn(&Path) -> bool = |target| target.join("..\\..\\x").is_file();
    cases.push(case("backslash", Raw::new().file("..\\..\\x", b""), Tree(backslash)));
    let nul = Raw::new().pax(b'x', "path", b"a\0/../../x").file("x", b"");
    cases.push(case("NUL", nul, Code(INVALID)));
    let overlong: fn(&Path) -> bool = |target| target.read_dir().unwrap().count() == 1;
    cases.push(case("overlong", Raw::new().file(b"\xc0\xae\xc0\xae", b""), Tree(overlong)));
    all(cases).await;
}

#[tokio::test]
async fn symbolic_links() {
    let host = Host::new();
    let outside = host.canary();
    let outside = outside.to_str().unwrap();
    let mut cases = Vec::new();
    for target in [outside, "../canary", "../../canary", "/proc/self/root", "/proc/1/cwd"] {
        let through = Raw::new().symlink("l", target).file("l/file", b"evil");
        cases.push(case(target, through, Tree(|tree| tree.join("l").is_symlink())));
        let dir = Raw::new().symlink("l", target).dir("l/sub").file("l/sub/secret", b"evil");
        cases.push(case(target, dir, Tree(|tree| tree.join("l").is_symlink())));
        let replaced = Raw::new().symlink("l", format!("{target}/file")).file("l", b"mine");
        let is_mine: fn(&Path) -> bool = |tree| {
            !tree.join("l").is_symlink() && std::fs::read(tree.join("l")).unwrap() == b"mine"
        };
        cases.push(case(target, replaced, Tree(is_mine)));
        // A mode that is set late must not go through a link that came meanwhile.
        let swapped = Raw::new().head(&Head { mode: 0o777, ..Head::new(b"d", b'5') }, b"");
        let swapped = swapped.symlink("d", target);
        cases.push(case(target, swapped, Tree(|tree| tree.join("d").is_symlink())));
        let whiteout = Raw::new().symlink("l", target).file("l/.wh.file", b"");
        cases.push(case(target, whiteout, Tree(|tree| tree.join("l").is_symlink())));
        let opaque = Raw::new().symlink("l", target).file("l/.wh..wh..opq", b"");
        cases.push(case(target, opaque, Tree(|tree| tree.join("l").is_symlink())));
    }
    let circle = Raw::new().symlink("a", "b").symlink("b", "a").file("a/x", b"");
    cases.push(case("circle", circle, Code(INVALID)));
    let own = Raw::new().symlink("a", "a").file("a/x", b"");
    cases.push(case("itself", own, Code(INVALID)));
    let chain = |length: u32| {
        let links = (0..length).fold(Raw::new().dir("l0"), |raw, n| {
            raw.symlink(format!("l{}", n + 1), format!("l{n}"))
        });
        links.file(format!("l{length}/x"), b"")
    };
    cases.push(case("chain of 40", chain(40), Tree(|tree| tree.join("l0/x").is_file())));
    cases.push(case("chain of 41", chain(41), Code(INVALID)));
    cases.push(case("no target", Raw::new().symlink("l", ""), Code(INVALID)));
    cases.push(case("file on the way", Raw::new().file("f", b"").file("f/x", b""), Code(INVALID)));
    for name in ["dev", "proc", "sys", "etc", "tmp", "run"] {
        let raw = Raw::new().symlink(name, "/").dir(name);
        cases.push(case(name, raw, Tree(|tree| tree.read_dir().unwrap().count() == 1)));
    }
    for (name, tar, want) in &cases {
        host.check(name, tar, want).await;
    }
}

#[tokio::test]
async fn hard_links() {
    let host = Host::new();
    let outside = host.canary().join("file");
    let outside = outside.to_str().unwrap();
    let mut cases = vec![
        case("missing", Raw::new().hardlink("a", "b"), Code(INVALID)),
        case("itself", Raw::new().hardlink("a", "a"), Code(INVALID)),
        case("forward", Raw::new().hardlink("a", "b").file("b", b""), Code(INVALID)),
        case("directory", Raw::new().dir("d").hardlink("a", "d"), Code(INVALID)),
        case("root", Raw::new().hardlink("a", "/"), Code(INVALID)),
        case("up", Raw::new().hardlink("a", "../canary/file"), Code(INVALID)),
        case("host", Raw::new().hardlink("a", outside), Code(INVALID)),
        case("proc", Raw::new().hardlink("a", "/proc/self/exe"), Code(INVALID)),
        case("whiteout", Raw::new().file(".wh.b", b"").hardlink("a", "b"), Code(INVALID)),
        case("fifo", Raw::new().flag("f", b'6').hardlink("a", "f"), Code(INVALID)),
        case(
            "through a link",
            Raw::new().symlink("l", "../canary").hardlink("a", "l/file"),
            Code(INVALID),
        ),
        case(
            "to a link",
            Raw::new().symlink("l", outside).hardlink("a", "l"),
            Tree(|tree| tree.join("a").is_symlink()),
        ),
        case(
            "again",
            Raw::new().file("a", b"x").hardlink("b", "a").hardlink("b", "a").hardlink("a", "a"),
            Tree(|tree| std::fs::metadata(tree.join("a")).unwrap().nlink() == 2),
        ),
    ];
    // A link to a link, and then a write to it: the new file replaces the name only.
    let raw = Raw::new().symlink("l", outside).hardlink("a", "l").file("a", b"mine");
    cases.push(case("write", raw, Tree(|tree| std::fs::read(tree.join("a")).unwrap() == b"mine")));
    for (name, tar, want) in &cases {
        host.check(name, tar, want).await;
    }
}

#[tokio::test]
async fn special_files() {
    let mut cases = Vec::new();
    for flag in [b'3', b'4'] {
        let raw = Raw::new().flag("dev/x", flag);
        cases.push(case("device", raw, Tree(|tree| !tree.join("dev/x").exists())));
    }
    let fifo: fn(&Path) -> bool =
        |tree| tree.join("f").symlink_metadata().unwrap().file_type().is_fifo();
    cases.push(case("fifo", Raw::new().file("f", b"x").flag("f", b'6'), Tree(fifo)));
    for flag in 1..=255 {
        if !b"01234567xgLK".contains(&flag) {
            let raw = Raw::new().flag("f", flag);
            cases.push(case(&format!("type {flag}"), raw, Code(INVALID)));
        }
    }
    let sparse = Raw::new().pax(b'x', "GNU.sparse.realsize", b"9223372036854775807").file("f", b"");
    cases.push(case("sparse", sparse, Code(INVALID)));
    for flag in *b"123456" {
        let head = Head { link: b"l".to_vec(), ..Head::new(b"a", flag) };
        cases.push(case("content", Raw::new().file("l", b"").head(&head, b"x"), Code(INVALID)));
    }
    all(cases).await;
}

#[tokio::test]
async fn metadata() {
    let mut cases = Vec::new();
    for id in ["65536", "2147483647", "2147483648", "4294967295", "4294967296", "-1"] {
        let raw = Raw::new().pax(b'x', "uid", id.as_bytes()).file("f", b"");
        cases.push(case(id, raw, Code(INVALID)));
        let raw = Raw::new().pax(b'x', "gid", id.as_bytes()).file("f", b"");
        cases.push(case(id, raw, Code(INVALID)));
    }
    let negative = Head { uid: vec![0xff; 8], ..Head::new(b"f", b'0') };
    cases.push(case("negative base 256", Raw::new().head(&negative, b""), Code(INVALID)));
    let words = Head { uid: b"0000x00".to_vec(), ..Head::new(b"f", b'0') };
    cases.push(case("no number", Raw::new().head(&words, b""), Code(INVALID)));
    let setuid: fn(&Path) -> bool =
        |tree| std::fs::metadata(tree.join("f")).unwrap().mode() & 0o7777 == 0o7777;
    let head = Head { mode: 0o7777, ..Head::new(b"f", b'0') };
    cases.push(case("setuid", Raw::new().head(&head, b""), Tree(setuid)));
    for name in ["trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.metacopy"] {
        let key = format!("SCHILY.xattr.{name}");
        cases.push(case(name, Raw::new().pax(b'x', &key, b"y").dir("d"), Code(INVALID)));
    }
    for name in ["security.selinux", "system.posix_acl_access", "trusted.x", "security.capability"]
    {
        let key = format!("SCHILY.xattr.{name}");
        let left_out: fn(&Path) -> bool = |tree| tree.join("f").is_file();
        cases.push(case(name, Raw::new().pax(b'x', &key, b"y").file("f", b""), Tree(left_out)));
    }
    let big = vec![b'x'; 70 << 10];
    cases.push(case("large", Raw::new().pax(b'x', "SCHILY.xattr.user.a", &big), Code(LARGE)));
    for time in ["-9999999999999", "99999999999999999999", "1.5"] {
        let raw = Raw::new().pax(b'x', "mtime", time.as_bytes()).file("f", b"");
        cases.push(case(time, raw, Tree(|tree| tree.join("f").is_file())));
    }
    all(cases).await;
}

#[tokio::test]
async fn whiteouts() {
    let mut cases = Vec::new();
    for name in [".wh.", ".wh..", ".wh...", "d/.wh."] {
        cases.push(case(name, Raw::new().file(name, b""), Code(INVALID)));
    }
    for flag in *b"256" {
        let head = Head { link: b"x".to_vec(), ..Head::new(b".wh.a", flag) };
        cases.push(case("no file", Raw::new().head(&head, b""), Code(INVALID)));
        let head = Head { link: b"x".to_vec(), ..Head::new(b".wh..wh..opq", flag) };
        cases.push(case("no file", Raw::new().head(&head, b""), Code(INVALID)));
    }
    cases.push(case("as directory", Raw::new().file(".wh.a/b", b""), Code(INVALID)));
    let is_whiteout: fn(&Path) -> bool = |tree| {
        let metadata = tree.join("a").symlink_metadata().unwrap();
        metadata.file_type().is_char_device() && metadata.rdev() == 0
    };
    cases.push(case("whiteout", Raw::new().file(".wh.a", b""), Tree(is_whiteout)));
    cases.push(case("content", Raw::new().file(".wh.a", b"content"), Tree(is_whiteout)));
    cases.push(case("twice", Raw::new().file(".wh.a", b"").file(".wh.a", b""), Tree(is_whiteout)));
    let stays: fn(&Path) -> bool = |tree| tree.join("a").is_file();
    cases.push(case("before", Raw::new().file(".wh.a", b"").file("a", b""), Tree(stays)));
    cases.push(case("behind", Raw::new().file("a", b"").file(".wh.a", b""), Tree(stays)));
    // 0:0 is what overlayfs takes for a whiteout.
    let forged = Raw::new().flag("a", b'3');
    cases.push(case("forged", forged, Tree(|tree| !tree.join("a").exists())));
    all(cases).await;
}

#[tokio::test]
async fn two_readings() {
    let sized = |size: &[u8]| {
        let size = Some(size.to_vec());
        Raw::new().head(&Head { size, ..Head::new(b"f", b'0') }, &[b'x'; 512]).file("g", b"y")
    };
    let mut cases = vec![
        case("huge base 256", sized(&[0x80, 0, 0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0]), Code(LARGE)),
        case("overflow", sized(&[0x80, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), Code(INVALID)),
        case("negative", sized(&[0xff; 12]), Code(INVALID)),
        case("signed", sized(b"-0000000001"), Code(INVALID)),
        case("plus", sized(b"+0000000001"), Code(INVALID)),
        case("decimal", sized(b"00000000008"), Code(INVALID)),
        case("global size", Raw::new().pax(b'g', "size", b"512").file("f", b""), Code(INVALID)),
        case("global path", Raw::new().pax(b'g', "path", b"x").file("f", b""), Code(INVALID)),
        case("at the end", Raw::new().pax(b'x', "path", b"x"), Code(INVALID)),
        case(
            "two headers",
            Raw::new().pax(b'x', "path", b"x").pax(b'x', "path", b"y").file("f", b""),
            Code(INVALID),
        ),
        case(
            "two kinds",
            Raw::new().head(&Head::new(b"L", b'L'), b"x").pax(b'x', "path", b"y").file("f", b""),
            Code(INVALID),
        ),
    ];
    for size in ["0", "511", "513", "1024", "8589934592"] {
        let inner = Raw::new().file("inner", b"hidden");
        let raw = Raw::new().pax(b'x', "size", size.as_bytes()).file("f", &inner.0[..512]);
        cases.push(case(size, raw, Code(INVALID)));
    }
    let twice = [record("size", b"0"), record("size", b"512")].concat();
    cases.push(case(
        "size twice",
        Raw::new().head(&Head::new(b"p", b'x'), &twice).file("f", &[0; 512]),
        Code(INVALID),
    ));
    let whole = Raw::new().file("a", b"text").pax(b'x', "path", b"b").file("x", &[1; 700]).end();
    let mut broken = whole.clone();
    broken[0] ^= 1;
    cases.push(("checksum".to_owned(), broken, Code(INVALID)));
    let behind = [whole.as_slice(), &Raw::new().file("late", b"").0].concat();
    cases.push(("behind the end".to_owned(), behind, Code(INVALID)));
    let early = [&[0; 512], whole.as_slice()].concat();
    cases.push(("one zero block".to_owned(), early, Code(INVALID)));
    // Cut at every place that is not the end of an entry.
    for length in (1..whole.len() - 1024).step_by(64) {
        if length != 1024 && length != whole.len() - 1024 {
            cases.push((format!("cut at {length}"), whole[..length].to_vec(), Code(INVALID)));
        }
    }
    let unmarked = whole[..whole.len() - 1024].to_vec();
    cases.push(("no end".to_owned(), unmarked, Tree(|tree| tree.join("b").is_file())));
    all(cases).await;
}

#[tokio::test]
async fn bombs() {
    let long = |length: usize| vec![b'n'; length];
    let deep = b"d/".repeat(257);
    let cases = vec![
        case("name", Raw::new().pax(b'x', "path", &long(256)).file("x", b""), Code(LARGE)),
        case("path", Raw::new().pax(b'x', "path", &b"a/".repeat(2100)).file("x", b""), Code(LARGE)),
        case("depth", Raw::new().pax(b'x', "path", &deep).dir("x"), Code(LARGE)),
        case("header", Raw::new().pax(b'x', "comment", &long(2 << 20)), Code(LARGE)),
        case("long name", Raw::new().head(&Head::new(b"L", b'L'), &long(2 << 20)), Code(LARGE)),
        case(
            "depth through links",
            Raw::new()
                .pax(b'x', "path", &b"d/".repeat(200))
                .dir("x")
                .pax(b'x', "linkpath", &b"d/".repeat(200))
                .symlink("l", "x")
                .pax(b'x', "path", &[b"l/".as_slice(), &b"e/".repeat(200)].concat())
                .dir("x"),
            Code(LARGE),
        ),
        case(
            "closed directory",
            Raw::new().head(&Head { mode: 0, ..Head::new(b"d", b'5') }, b"").file("d/f", b""),
            Tree(|tree| tree.join("d/f").is_file()),
        ),
    ];
    all(cases).await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn compression_lies() {
    let tar = Raw::new().file("a", b"text").end();
    let packed = gzip(&tar);
    let zeros = Raw::new().file("zeros", &vec![0; 16 << 20]).end();
    let mut checksum = packed.clone();
    let at = checksum.len() - 5;
    checksum[at] ^= 1;
    let mut window = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    window.window_log(28).unwrap();
    window.write_all(&zeros).unwrap();
    let window = window.finish().unwrap();
    let many: Vec<u8> = gzip(b"").repeat(10_001);
    for (name, blob, compression, code) in [
        ("gzip as zstd", packed.clone(), "zstd", CORRUPT),
        ("plain as gzip", tar.clone(), "gzip", CORRUPT),
        ("gzip as plain", packed.clone(), "none", INVALID),
        ("checksum", checksum, "gzip", CORRUPT),
        ("truncated gzip", packed[..packed.len() - 9].to_vec(), "gzip", CORRUPT),
        ("garbage", [&packed, b"garbage".as_slice()].concat(), "gzip", CORRUPT),
        ("zstd bomb", zstd::encode_all(zeros.as_slice(), 1).unwrap(), "zstd", LARGE),
        ("gzip bomb", gzip(&zeros), "gzip", LARGE),
        ("zstd window", window, "zstd", LARGE),
        ("members", many, "gzip", LARGE),
        (
            "truncated zstd",
            zstd::encode_all(tar.as_slice(), 1).unwrap()[..20].into(),
            "zstd",
            CORRUPT,
        ),
        ("unknown", tar, "lzma", "IMAGE_UNSUPPORTED"),
    ] {
        let host = Host::new();
        let before = snapshot(&host.canary());
        let error = unpack(&blob, compression, &host.target()).await.unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert_eq!(before, snapshot(&host.canary()));
    }
}

#[tokio::test]
async fn random_bytes_never_escape_or_panic() {
    let whole = Raw::new()
        .dir("d")
        .symlink("l", "../canary")
        .file("l/file", b"evil")
        .hardlink("h", "d/../x")
        .pax(b'x', "path", b"some/path")
        .file("x", &[7; 600])
        .file(".wh.gone", b"")
        .end();
    let host = Host::new();
    let before = snapshot(&host.canary());
    // A fixed sequence (splitmix64), so that a failure can be repeated.
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 27)) >> 32).unwrap()
    };
    for _ in 0..2000 {
        let mut tar = whole.clone();
        for _ in 0..=next() % 4 {
            let at = next() % tar.len();
            tar[at] = u8::try_from(next() % 256).unwrap();
        }
        // Right checksums, so that the mutation is looked at.
        for block in tar.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
            block[148..156].copy_from_slice(b"        ");
            let sum: u32 = block.iter().copied().map(u32::from).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let _ = std::fs::remove_dir_all(host.target());
        let _ = unpack(&tar, "none", &host.target()).await;
    }
    assert_eq!(before, snapshot(&host.canary()));
}
