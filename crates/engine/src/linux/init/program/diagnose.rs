//! Why a program could not be executed, for people.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::linux::failure::{Failure, cut};

/// Machine number of ELF files for this processor (`EM_X86_64`, `EM_AARCH64` of `elf.h`).
const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

/// Longest name and search path in a message, in bytes. The reason comes after them
/// and must be seen.
const NAME_MAX: usize = 1024;
const SEARCH_MAX: usize = 4096;

/// A `START_FAILED` that names the path, what the kernel said and what that usually means.
/// `tried` is the user that tried and what the kernel said.
pub(super) fn explain(
    name: &str,
    search: &str,
    paths: &[CString],
    tried: (u32, io::Error),
) -> Failure {
    let (uid, error) = tried;
    let found = paths
        .iter()
        .map(|path| String::from_utf8_lossy(path.as_bytes()).into_owned())
        .find(|path| std::fs::symlink_metadata(path).is_ok());
    let errno = match error.raw_os_error() {
        Some(libc::ENOENT) => "ENOENT",
        Some(libc::EACCES) => "EACCES",
        Some(libc::ENOEXEC) => "ENOEXEC",
        Some(libc::E2BIG) => "E2BIG",
        Some(libc::ELOOP) => "ELOOP",
        Some(libc::EPERM) => "EPERM",
        _ => "error",
    };
    let hint = match (&found, error.raw_os_error()) {
        (None, _) if name.contains('/') => "there is no such file in the image".to_owned(),
        (None, _) => {
            let search = cut(search, SEARCH_MAX);
            format!("it is in none of the directories of PATH ({search})")
        }
        (Some(path), Some(libc::ENOENT)) => missing_interpreter(Path::new(path)),
        (Some(path), Some(libc::EACCES)) => not_executable(Path::new(path), uid),
        (Some(path), Some(libc::ENOEXEC)) => wrong_format(Path::new(path)),
        _ => "the kernel refused it".to_owned(),
    };
    let path = found.unwrap_or_else(|| name.to_owned());
    let path = cut(&path, NAME_MAX);
    Failure::new("START_FAILED", format!("{path} cannot be executed: {errno}: {hint}"))
}

fn missing_interpreter(path: &Path) -> String {
    let head = head(path);
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let interpreter = line.split_whitespace().next().unwrap_or_default();
        return format!(
            "the file is there, but its interpreter {interpreter:?} (first line) is not in the \
             image"
        );
    }
    "the file is there, but the dynamic loader or interpreter that it needs is not in the image \
     (a program linked against another C library?)"
        .to_owned()
}

fn not_executable(path: &Path, uid: u32) -> String {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => "it is a directory".to_owned(),
        _ => format!("it is not executable for user {uid}; set the mode in the image (chmod +x)"),
    }
}

fn wrong_format(path: &Path) -> String {
    let head = head(path);
    match head.get(..4) {
        Some(b"\x7fELF") => {
            let machine = head.get(18..20).map_or(0, |two| u16::from_le_bytes([two[0], two[1]]));
            let class = head.get(4).copied().unwrap_or_default();
            let other = match machine {
                183 => "arm64",
                62 => "amd64",
                40 => "32-bit arm",
                3 => "32-bit x86",
                243 => "riscv64",
                _ => "another processor",
            };
            if machine == MACHINE && class == 2 {
                return "it is damaged: the kernel does not accept its headers".to_owned();
            }
            format!("it is a program for {other}; build the image for this machine")
        }
        Some(_) if head.starts_with(b"MZ") => "it is a Windows program".to_owned(),
        None if head.is_empty() => "the file is empty".to_owned(),
        _ => "it is neither an ELF program nor a script with a #! line".to_owned(),
    }
}

fn head(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    // A pipe of the image's must not make us wait.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    if let Ok(file) = file {
        let _ = file.take(256).read_to_end(&mut head); // what cannot be read is no hint
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_seen_however_long_the_names_are() {
        let missing = || io::Error::from_raw_os_error(libc::ENOENT);
        let search = "/very/long:".repeat(10_000);
        let failure = explain("none", &search, &[], (0, missing()));
        assert!(failure.message.len() < 8 * 1024);
        assert!(failure.message.starts_with("none cannot be executed: ENOENT: it is in none"));
        assert!(failure.message.ends_with("...)"));
        let name = "/x".repeat(60_000);
        let failure = explain(&name, "", &[], (0, missing()));
        assert!(failure.message.ends_with("ENOENT: there is no such file in the image"));
    }
}
