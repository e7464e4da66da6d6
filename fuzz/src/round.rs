//! Many requests to one door, and the cases that are kept.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::case::Case;
use crate::check::{self, Broken, Outcome};
use crate::door::Door;
use crate::generate::Generator;
use crate::schemas::Schemas;
use crate::shrink;

/// Wall time after which a request without an answer ends the program.
const HANG: Duration = Duration::from_mins(1);

/// Requests until what was deleted is made again, so that they meet something.
const RESTOCK: u64 = 20;

/// What became of the requests of a round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests that were sent.
    pub sent: u64,
    /// Of those, refused.
    pub refused: u64,
    /// Of those, that wrote an object.
    pub written: u64,
}

/// A request that broke a promise.
#[derive(Clone, Debug)]
pub struct Found {
    /// Seed of the round.
    pub seed: u64,
    /// Number of the request in it, from 0.
    pub number: u64,
    /// The request, as small as it still fails by itself; else as it was.
    pub case: Case,
    /// What was broken.
    pub broken: Broken,
    /// Whether it fails in a fresh door.
    pub alone: bool,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let alone = if self.alone { "by itself" } else { "after those before it" };
        writeln!(f, "seed {} request {} ({alone})\n{}", self.seed, self.number, self.broken)?;
        write!(f, "\n{}", self.case)
    }
}

/// Sends `requests` requests of the seed to a fresh door. Answers what became of them, or the first
/// that broke a promise.
///
/// # Errors
/// When the harness itself fails.
pub fn run(seed: u64, requests: u64) -> Result<Result<Count, Box<Found>>> {
    in_virtual_time(async move {
        let door = Door::open().await?;
        let schemas = Schemas::read(&door).await?;
        let mut generator = Generator::new(seed, schemas);
        let guard = Guard::new();
        let mut count = Count::default();
        for number in 0..requests {
            if number % RESTOCK == 0 {
                door.restock().await?;
            }
            let case = generator.next_case();
            guard.watch(&format!("seed {seed} request {number}\n{case}"));
            match check::run(&door, &case).await? {
                Ok(Outcome::NotSent) => {}
                Ok(outcome) => {
                    count.sent += 1;
                    count.refused += u64::from(outcome == Outcome::Refused);
                    count.written += u64::from(outcome == Outcome::Written);
                }
                Err(broken) => return Ok(Err(Box::new(found(seed, number, case, broken).await?))),
            }
        }
        Ok(Ok(count))
    })
}

async fn found(seed: u64, number: u64, case: Case, broken: Broken) -> Result<Found> {
    Ok(match shrink::smallest(&case, broken.promise).await? {
        Some((case, broken)) => Found { seed, number, case, broken, alone: true },
        None => Found { seed, number, case, broken, alone: false },
    })
}

/// Sends one case to a fresh door.
///
/// # Errors
/// When the harness itself fails.
pub fn replay(case: &Case) -> Result<Result<Outcome, Broken>> {
    in_virtual_time(async {
        let door = Door::open().await?;
        let guard = Guard::new();
        guard.watch(&case.to_string());
        check::run(&door, case).await
    })
}

/// Every case that was kept, with its file.
///
/// # Errors
/// When a file cannot be read or is no case.
pub fn corpus(dir: &Path) -> Result<Vec<(PathBuf, Case)>> {
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path)?;
            let case = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
            cases.push((path, case));
        }
    }
    cases.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(cases)
}

/// Timers end at once when nothing else is left to do, so that a watch of an hour takes no time.
fn in_virtual_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build()?.block_on(work)
}

/// Ends the program when a request makes it run for ever, after saying which.
struct Guard(SyncSender<String>);

impl Guard {
    #[allow(clippy::print_stderr)] // the last words
    fn new() -> Self {
        let (send, receive) = mpsc::sync_channel::<String>(1);
        std::thread::spawn(move || {
            let mut last = String::new();
            loop {
                match receive.recv_timeout(HANG) {
                    Ok(next) => last = next,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        eprintln!("no answer within {HANG:?}:\n{last}");
                        std::process::abort();
                    }
                }
            }
        });
        Self(send)
    }

    fn watch(&self, case: &str) {
        // Nobody listens only when the program ends.
        let _ = self.0.send(case.to_owned());
    }
}
