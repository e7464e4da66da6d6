//! Images of the servers under `examples`: an interpreter of Debian's packages, what npm and pip
//! install for them, and the example itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ebb_images::build::{ImageBuilder, Layer};

use crate::debian;
use crate::platform::run;

/// Name that the Express example is written under.
pub const EXPRESS: &str = "localhost/express:e2e";
/// Name that the Flask example is written under.
pub const FLASK: &str = "localhost/flask:e2e";

const PASSWD: &str = "root:x:0:0:root:/root:/usr/sbin/nologin\n\
                      app:x:1000:1000:app:/app:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\napp:x:1000:\n";

/// The archive of the Express example, which is kept in `cache`.
///
/// # Errors
/// Without Debian's tools, npm, or what they fetch from.
pub fn express_image(cache: &Path) -> Result<PathBuf> {
    let example = example("express");
    image(cache, "express", &example, |dir| {
        let modules = dir.join("npm");
        std::fs::create_dir_all(&modules)?;
        for file in ["package.json", "package-lock.json"] {
            std::fs::copy(example.join(file), modules.join(file))?;
        }
        let install = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
        run(Command::new("npm").args(install).current_dir(&modules))
            .context("cannot run npm")?
            .ok()?;
        let app = tree(Layer::new().dir("/app", 0o755), &modules, "/app")?;
        let app = tree(app, &example, "/app")?;
        let system = debian::layer_of("nodejs", &dir.join("apt"))?;
        // No port is exposed: the program listens on the one that it is told.
        Ok(base(system).layer(app).entrypoint(["/usr/bin/node", "server.js"]))
    })
}

/// The archive of the Flask example, which is kept in `cache`.
///
/// # Errors
/// Without Debian's tools, Python, pip, or what they fetch from.
pub fn flask_image(cache: &Path) -> Result<PathBuf> {
    let example = example("flask");
    image(cache, "flask", &example, |dir| {
        let system = debian::layer_of("python3", &dir.join("apt"))?;
        let version = python_version(&dir.join("apt/archives"))?;
        let (venv, packages) = (dir.join("venv"), dir.join("pip"));
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))
            .context("cannot run python3")?
            .ok()?;
        // For the Python of the image, whichever this machine has.
        let mut pip = Command::new(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "--upgrade"]);
        pip.args(["--platform", "manylinux2014_x86_64", "--python-version", &version]);
        pip.arg("--target").arg(&packages).arg("-r").arg(example.join("requirements.txt"));
        run(&mut pip)?.ok()?;
        let app = tree(Layer::new().dir("/app", 0o755), &example, "/app")?;
        let app = tree(app.dir("/app/packages", 0o755), &packages, "/app/packages")?;
        let image = base(system).layer(app).entrypoint(["/usr/bin/python3", "app.py"]);
        Ok(image.env("PYTHONPATH", "/app/packages").env("PYTHONUNBUFFERED", "1").expose(3000))
    })
}

/// Where an example is.
fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// Writes the archive that `build` describes, unless the one of the same example is there.
fn image(
    cache: &Path,
    name: &str,
    example: &Path,
    build: impl FnOnce(&Path) -> Result<ImageBuilder>,
) -> Result<PathBuf> {
    let dir = cache.join(name);
    std::fs::create_dir_all(&dir)?;
    let (archive, mark) = (dir.join("image.tar"), dir.join("made-of"));
    let made_of = sources(example)?;
    if archive.exists() && std::fs::read(&mark).is_ok_and(|before| before == made_of) {
        return Ok(archive);
    }
    let reference = format!("localhost/{name}:e2e").parse()?;
    // Under another name first: a test that is interrupted must not leave half an archive.
    let partial = dir.join(format!("image.tar.{}", std::process::id()));
    build(&dir)?.write_archive(&partial, &reference)?;
    std::fs::rename(partial, &archive)?;
    std::fs::write(mark, made_of)?;
    Ok(archive)
}

/// Everything in the example's directory, one file after the other.
fn sources(example: &Path) -> Result<Vec<u8>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(example).with_context(|| example.display().to_string())? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    let mut all = Vec::new();
    for file in files {
        all.extend(file.display().to_string().into_bytes());
        all.extend(std::fs::read(file)?);
    }
    Ok(all)
}

/// What every image of an example has besides its own layers.
fn base(system: Layer) -> ImageBuilder {
    let own = Layer::new()
        .file("/etc/passwd", PASSWD, 0o644)
        .file("/etc/group", GROUP, 0o644)
        .dir("/tmp", 0o1777);
    ImageBuilder::new().layer(system).layer(own).user("1000:1000").workdir("/app")
}

/// Adds the files below `from` as files below `to`.
fn tree(mut layer: Layer, from: &Path, to: &str) -> Result<Layer> {
    let mut entries: Vec<_> = std::fs::read_dir(from)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().ok().context("a name that is not UTF-8")?;
        let (path, target) = (entry.path(), format!("{to}/{name}"));
        let kind = entry.file_type()?;
        // Commands of packages are not needed to serve.
        if kind.is_symlink() || matches!(name.as_str(), "bin" | ".bin" | "__pycache__") {
            continue;
        }
        layer = if kind.is_dir() {
            tree(layer.dir(&target, 0o755), &path, &target)?
        } else {
            layer.file(&target, std::fs::read(&path)?, 0o644)
        };
    }
    Ok(layer)
}

/// The version of the Python among the packages, such as `3.11`.
fn python_version(archives: &Path) -> Result<String> {
    for entry in std::fs::read_dir(archives)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let version = name.strip_prefix("python").and_then(|rest| rest.split_once('-'));
        if let Some((version, _)) =
            version.filter(|(version, rest)| version.contains('.') && rest.starts_with("minimal_"))
        {
            ensure!(version.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "{name}");
            return Ok(version.to_owned());
        }
    }
    anyhow::bail!("no Python among the packages in {}", archives.display())
}
