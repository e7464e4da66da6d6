//! Running a confined function.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};

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

/// Runs it; see `Linux::confined`.
pub(super) async fn run(
    core: &Core,
    args: &[String],
    fds: Vec<OwnedFd>,
) -> Result<ConfinedOutput, Error> {
    // One descriptor of the message is the connection.
    let most = protocol::DESCRIPTORS_MAX - 1;
    if fds.len() > most {
        let message = format!("{} are given; at most {most}", fds.len());
        return Err(Error::Invalid { field: "fds".to_owned(), message });
    }
    let (ours, theirs) = protocol::pair().map_err(step("make a connection"))?;
    let request = Request::Confined { args: args.to_vec() };
    {
        let mut descriptors = vec![theirs.as_fd()];
        descriptors.extend(fds.iter().map(AsFd::as_fd));
        core.spawner.send(&request, &descriptors).await.map_err(|_| spawner_gone())?;
    }
    drop((theirs, fds));
    let ours = Packets::new(ours).map_err(step("watch a connection"))?;
    let answer = ours.receive::<Report>().await.map_err(step("hear from the confined process"))?;
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
