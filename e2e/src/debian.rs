//! An image of nginx, made of Debian's packages and nothing else.
//!
//! apt resolves the packages against an empty list of installed ones, so everything down to the C
//! library is among them. They are downloaded with apt from whatever mirror this machine is set up
//! for, and kept in the cache directory.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ebb_images::build::{Compression, ImageBuilder, Layer};

use crate::platform::run;
use crate::process::has;

/// Name that the image is written under.
pub const NGINX: &str = "localhost/nginx:e2e";
/// What its front page says.
pub const NGINX_PAGE: &str = "nginx from Debian packages, served by ebb\n";

/// Trees that no program needs in order to run.
const LEFT_OUT: [&str; 9] = [
    "usr/include",
    "usr/lib/node_modules",
    "usr/lib/python3/dist-packages",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/share/perl5",
];

const CONFIG: &str = "\
user www-data;
worker_processes 1;
daemon off;
pid /run/nginx.pid;
error_log stderr notice;
events { worker_connections 512; }
http {
    access_log /dev/stdout;
    default_type text/plain;
    server {
        listen 80;
        root /srv/www;
    }
}
";

const PASSWD: &str = "\
root:x:0:0:root:/root:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
";
const GROUP: &str = "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n";

/// Writes the archive of the image into `cache`, unless it is there, and answers where.
///
/// # Errors
/// When apt or dpkg-deb are not on this machine or no package can be fetched: see [`why_not`].
pub fn nginx_image(cache: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(cache)?;
    let archive = cache.join("nginx.tar");
    if archive.exists() {
        return Ok(archive);
    }
    let layer = layer_of("nginx", &cache.join("apt"))?;
    let own = Layer::new()
        .file("/etc/passwd", PASSWD, 0o644)
        .file("/etc/group", GROUP, 0o644)
        .file("/etc/nginx/nginx.conf", CONFIG, 0o644)
        .file("/srv/www/index.html", NGINX_PAGE, 0o644)
        .dir("/var/lib/nginx", 0o755)
        .dir("/var/log/nginx", 0o755)
        .dir("/run", 0o755)
        .dir("/tmp", 0o1777);
    // Under another name first: a test that is interrupted must not leave half an archive.
    let partial = cache.join(format!("nginx.tar.{}", std::process::id()));
    ImageBuilder::new()
        .layer(layer)
        .layer(own)
        .entrypoint(["/usr/sbin/nginx", "-e", "stderr"])
        .expose(80)
        .stop_signal("SIGQUIT")
        .write_archive(&partial, &NGINX.parse()?)?;
    std::fs::rename(partial, &archive)?;
    Ok(archive)
}

/// kubectl of Debian's package, without its dependencies; fetched once into `cache`.
///
/// # Errors
/// As for [`nginx_image`].
pub fn kubectl(cache: &Path) -> Result<PathBuf> {
    let dir = cache.join("kubectl");
    let program = dir.join("usr/bin/kubectl");
    if program.exists() {
        return Ok(program);
    }
    std::fs::create_dir_all(cache)?;
    let partial = tempfile::tempdir_in(cache)?;
    let mut download = Command::new("apt-get");
    download.args(["download", "-q", "-o", "APT::Sandbox::User=root", "kubernetes-client"]);
    download.current_dir(partial.path());
    if run(&mut download)?.code != Some(0) {
        run(Command::new("apt-get").args(["update", "-q"]))?;
        run(&mut download)?.ok()?;
    }
    let mut entries = std::fs::read_dir(partial.path())?;
    let package = entries.next().context("apt-get downloaded nothing")??.path();
    let unpacked = partial.path().join("unpacked");
    run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&unpacked))?.ok()?;
    // Another test may have been faster.
    if std::fs::rename(unpacked, &dir).is_err() {
        ensure!(program.exists(), "the package has no kubectl");
    }
    Ok(program)
}

/// Why the image cannot be built on this machine; none when it can, as far as one sees without
/// trying.
pub fn why_not() -> Option<&'static str> {
    let missing = ["apt-get", "dpkg-deb"].into_iter().any(|program| !has(program));
    missing.then_some("it is built from Debian's packages, and apt-get or dpkg-deb is missing")
}

/// A layer of `package` and everything that it depends on; what is downloaded is kept in `dir`,
/// which is for this package alone.
///
/// # Errors
/// As for [`nginx_image`].
pub fn layer_of(package: &str, dir: &Path) -> Result<Layer> {
    let mut layer = Layer::new().compression(Compression::None);
    for package in &download(package, dir)? {
        layer = add(layer, package).with_context(|| package.display().to_string())?;
    }
    Ok(layer)
}

/// Downloads `package` and everything that it depends on into `dir`.
fn download(package: &str, dir: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir.join("archives/partial"))?;
    let status = dir.join("status");
    std::fs::write(&status, "")?;
    let option = |key: &str, value: &Path| format!("{key}={}", value.display());
    let mut apt = Command::new("apt-get");
    apt.args(["install", "--download-only", "--yes", "--no-install-recommends", "-q"])
        .args(["-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=true"])
        .args(["-o", &option("Dir::State::status", &status)])
        .args(["-o", &option("Dir::Cache", dir)])
        .arg(package)
        .env("DEBIAN_FRONTEND", "noninteractive");
    let mut ran = run(&mut apt)?;
    if ran.code != Some(0) {
        // The lists of packages may be absent or older than what the mirror still has.
        run(Command::new("apt-get").args(["update", "-q"]))?;
        ran = run(&mut apt)?;
    }
    ran.ok().with_context(|| format!("downloading {package}"))?;
    let mut packages = Vec::new();
    for entry in std::fs::read_dir(dir.join("archives"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            packages.push(path);
        }
    }
    packages.sort();
    ensure!(!packages.is_empty(), "apt-get downloaded nothing");
    Ok(packages)
}

/// Adds the files of a package to the layer.
fn add(mut layer: Layer, package: &Path) -> Result<Layer> {
    let mut tar = tempfile::tempfile()?;
    let status = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(tar.try_clone()?)
        .status()
        .context("cannot run dpkg-deb")?;
    ensure!(status.success(), "dpkg-deb: {status}");
    tar.rewind()?;
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path: PathBuf = entry.path()?.components().skip_while(is_dot).collect();
        if path.as_os_str().is_empty() || LEFT_OUT.iter().any(|tree| path.starts_with(tree)) {
            continue;
        }
        let header = entry.header();
        let (mode, uid, gid) = (header.mode()?, header.uid()?, header.gid()?);
        let target = entry.link_name()?.map(std::borrow::Cow::into_owned);
        layer = match (header.entry_type(), target) {
            (tar::EntryType::Directory, _) => layer.dir(path, mode),
            (tar::EntryType::Symlink, Some(target)) => layer.symlink(path, target),
            (tar::EntryType::Link, Some(target)) => layer.hardlink(path, target),
            _ => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                layer.file(path, bytes, mode)
            }
        };
        layer = layer.owner(uid, gid);
    }
    Ok(layer)
}

fn is_dot(part: &std::path::Component<'_>) -> bool {
    matches!(part, std::path::Component::CurDir | std::path::Component::RootDir)
}
