//! A table: commands for the shell, and what must come of them.
//!
//! A row begins with the command; the lines below it say what is expected:
//!
//! | line | means |
//! |---|---|
//! | `$ command` | a row; run by the shell in a directory with the table's files |
//! | `\| text` | a line of standard output, after those of the row's earlier lines |
//! | `2\| text` | a line of standard error |
//! | `! text` | nowhere in the output |
//! | `= code` | the exit code, 0 when not said |
//! | `since N`, `until N` | the row is for kubectl 1.N and later, or 1.N and earlier |
//!
//! In a text, `*` stands for anything and a run of blanks for any other.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use ebb_e2e::Platform;
use ebb_e2e::clients::{Kubectl, scripts};
use ebb_e2e::platform::{Ran, run};

/// Longest run of one row, in seconds: every wait in the tables is shorter.
const LIMIT_SECONDS: &str = "60";

/// A command and what must come of it.
#[derive(Debug)]
pub(crate) struct Row {
    place: String,
    command: String,
    stdout: Vec<String>,
    stderr: Vec<String>,
    nowhere: Vec<String>,
    code: i32,
    since: u32,
    until: u32,
}

impl Row {
    fn new(place: String, command: &str) -> Self {
        let command = command.to_owned();
        let (stdout, stderr, nowhere) = (Vec::new(), Vec::new(), Vec::new());
        Self { place, command, stdout, stderr, nowhere, code: 0, since: 0, until: u32::MAX }
    }

    /// Whether it is for kubectl 1.`minor`.
    pub(crate) fn is_for(&self, minor: u32) -> bool {
        (self.since..=self.until).contains(&minor)
    }

    fn check(&self, ran: &Ran) -> Result<()> {
        ensure!(ran.code == Some(self.code), "exit code {:?}, not {}", ran.code, self.code);
        in_order(&self.stdout, &ran.stdout)?;
        in_order(&self.stderr, &ran.stderr)?;
        for text in &self.nowhere {
            let shown = ran.stdout.contains(text) || ran.stderr.contains(text);
            ensure!(!shown, "{text:?} is in the output");
        }
        Ok(())
    }
}

/// Reads the rows of a table.
pub(crate) fn rows(table: &str, text: &str) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let place = format!("{table}.txt:{}", at + 1);
        if let Some(command) = line.strip_prefix("$ ") {
            rows.push(Row::new(place, command));
            continue;
        }
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let row = rows.last_mut().with_context(|| format!("{place}: before the first row"))?;
        let (mark, rest) = line.split_once(' ').with_context(|| format!("{place}: {line}"))?;
        match mark {
            "|" => row.stdout.push(rest.to_owned()),
            "2|" => row.stderr.push(rest.to_owned()),
            "!" => row.nowhere.push(rest.to_owned()),
            "=" => row.code = rest.parse().context(place)?,
            "since" => row.since = rest.parse().context(place)?,
            "until" => row.until = rest.parse().context(place)?,
            _ => bail!("{place}: {line}"),
        }
    }
    Ok(rows)
}

/// Every expected line is there, each after the one before.
fn in_order(expected: &[String], output: &str) -> Result<()> {
    let mut lines = output.lines();
    for text in expected {
        ensure!(lines.any(|line| matches(&words(text), &words(line))), "no line is {text:?}");
    }
    Ok(())
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether `text` is what `pattern` says, with `*` for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(first) else { return false };
    text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
}

/// Runs rows with one kubectl against one platform.
pub(crate) struct Shell {
    dir: PathBuf,
    kubeconfig: PathBuf,
    path: std::ffi::OsString,
}

impl Shell {
    /// A shell in a directory with the tables' files, in which `kubectl` is the given one.
    pub(crate) fn new(kubectl: &Kubectl, platform: &Platform) -> Result<Self> {
        let dir = platform.scratch().join("kubectl");
        std::fs::create_dir_all(dir.join("bin"))?;
        std::os::unix::fs::symlink(&kubectl.program, dir.join("bin/kubectl"))?;
        run(Command::new("cp").arg("-r").arg(scripts("kubectl/files/.")).arg(&dir))?.ok()?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths = [dir.join("bin")].into_iter().chain(std::env::split_paths(&path));
        let path = std::env::join_paths(paths)?;
        Ok(Self { dir, kubeconfig: platform.kubeconfig.clone(), path })
    }

    /// Runs a row.
    ///
    /// # Errors
    /// What is not as the row says, with everything that the command wrote.
    pub(crate) fn judge(&self, row: &Row) -> Result<()> {
        let mut shell = Command::new("timeout");
        shell.args([LIMIT_SECONDS, "sh", "-c", &row.command]).current_dir(&self.dir);
        shell.env("PATH", &self.path).env("KUBECONFIG", &self.kubeconfig);
        // Its cache of discovery must not outlive the platform.
        shell.env("HOME", &self.dir).env("IMAGE", ebb_e2e::image::HELLO);
        let ran = run(&mut shell)?;
        row.check(&ran).with_context(|| {
            let Ran { stdout, stderr, .. } = &ran;
            format!("{}: {}\n{}{}", row.place, row.command, shortened(stdout), shortened(stderr))
        })
    }
}

/// The first lines; the rest does not help.
fn shortened(output: &str) -> String {
    let lines = output.lines().take(25).flat_map(|line| ["    ", line, "\n"]);
    lines.collect()
}

#[test]
fn texts_match_with_blanks_and_stars() {
    assert!(matches(&words("a   b"), &words(" a b ")));
    assert!(matches("a*c", "abbc") && matches("*b*", "abc") && matches("*", ""));
    assert!(!matches("a", "ab") && !matches("a*c", "ab"));
    let text = "$ x\n| one\n| two\n= 1\nsince 24\n";
    let row = &rows("t", text).unwrap()[0];
    let ran = |stdout: &str| Ran { code: Some(1), stdout: stdout.into(), stderr: String::new() };
    assert!(row.check(&ran("one\nbetween\ntwo\n")).is_ok());
    assert!(row.check(&ran("two\none\n")).is_err());
    assert!(row.is_for(24) && !row.is_for(20));
}
