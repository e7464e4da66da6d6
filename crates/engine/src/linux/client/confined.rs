//! Running a confined function.

use std::any::Any;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Core, spawner_gone};
use crate::Error;
use crate::linux::failure::step;
use crate::linux::packets::Packets;
use crate::linux::protocol::{self, Report, Request};

/// How a confined function ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfinedOutput {
    /// Exit code, when it ended by itself.
    pub code: Option<i32>,
    /// Signal number, when one ended it.
    pub signal: Option<i32>,
    /// Whether it was killed because its time was over.
    pub timed_out: bool,
    /// Its standard output; at most 1 MiB.
    pub stdout: Vec<u8>,
}

/// Something that must not go before a confined process has: a scratch directory that it writes
/// into, say.
pub type Kept = Box<dyn Any + Send>;

/// Runs it; see `Linux::confined`.
pub(super) async fn run(
    core: &Arc<Core>,
    args: &[String],
    fds: Vec<OwnedFd>,
    kept: Kept,
) -> Result<ConfinedOutput, Error> {
    // One descriptor of the message is the connection.
    let most = protocol::DESCRIPTORS_MAX - 1;
    if fds.len() > most {
        let message = format!("{} are given; at most {most}", fds.len());
        return Err(Error::Invalid { field: "fds".to_owned(), message });
    }
    let job = Job { core: Arc::clone(core), args: args.to_vec(), fds, kept };
    let (answer, answered) = oneshot::channel();
    // Whoever drops this future does not end the process, so a task of its own sees to its end.
    core.tasks.spawn("confined process", job.run(answer));
    answered.await.unwrap_or_else(|_| Err(abandoned()))
}

struct Job {
    core: Arc<Core>,
    args: Vec<String>,
    fds: Vec<OwnedFd>,
    kept: Kept,
}

impl Job {
    /// Runs it to its end; when nobody waits for the answer any more, it is ended.
    async fn run(self, mut answer: oneshot::Sender<Result<ConfinedOutput, Error>>) {
        let Self { core, args, fds, kept } = self;
        let connection = match begin(&core, args, fds).await {
            Ok(connection) => connection,
            Err(error) => {
                let _ = answer.send(Err(error)); // nobody may wait
                return;
            }
        };
        let shutdown = core.tasks.shutdown();
        let ended = tokio::select! {
            report = connection.receive::<Report>() => Some(report),
            () = answer.closed() => None,
            () = shutdown.wait() => None,
        };
        let output = if let Some(report) = ended {
            drop(kept);
            understand(report)
        } else {
            connection.end_sending();
            // Heard once the process is gone, or when its supervisor and its group are.
            let _ = connection.receive::<Report>().await;
            // It may be a directory with many files.
            let _ = tokio::task::spawn_blocking(move || drop(kept)).await;
            Err(abandoned())
        };
        let _ = answer.send(output); // nobody may wait
    }
}

/// Asks the spawner; answers the connection on which the end is told.
async fn begin(core: &Core, args: Vec<String>, fds: Vec<OwnedFd>) -> Result<Packets, Error> {
    let (ours, theirs) = protocol::pair().map_err(step("make a connection"))?;
    let mut descriptors = vec![theirs.as_fd()];
    descriptors.extend(fds.iter().map(AsFd::as_fd));
    let request = Request::Confined { args };
    core.spawner.send(&request, &descriptors).await.map_err(|_| spawner_gone())?;
    Packets::new(ours).map_err(step("watch a connection"))
}

fn understand(
    report: std::io::Result<Option<(Report, Vec<OwnedFd>)>>,
) -> Result<ConfinedOutput, Error> {
    let answer = report.map_err(step("hear from the confined process"))?;
    let Some((Report::Confined(end), mut files)) = answer else {
        return Err(Error::Unavailable("the confined process ended without a word".into()));
    };
    if let Some(failure) = end.failure {
        return Err(step("run a confined process")(std::io::Error::other(failure)));
    }
    let mut stdout = Vec::new();
    if let Some(file) = files.pop() {
        let mut file = File::from(file);
        file.seek(SeekFrom::Start(0)).map_err(step("read the output"))?;
        file.take(end.output_bytes).read_to_end(&mut stdout).map_err(step("read the output"))?;
    }
    Ok(ConfinedOutput { code: end.code, signal: end.signal, timed_out: end.timed_out, stdout })
}

fn abandoned() -> Error {
    Error::Unavailable("the platform is stopping".into())
}
