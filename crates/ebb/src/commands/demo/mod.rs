//! `ebb demo`: the whole path, on this machine, in a fresh data directory.

mod http;
mod platform;
mod steps;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Demo, Output};
use crate::client::Client;
use crate::commands::Session;
use crate::failure::Failure;
use crate::{kubeconfig, output};
use platform::Platform;

/// Runs the demo until an interrupt, or until its last line with `--exit`. An interrupt before
/// everything was shown ends it with 130.
pub(crate) fn run(demo: &Demo, output: Output) -> Result<ExitCode, Failure> {
    super::install_crypto();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal("starting", &error))?;
    runtime.block_on(async {
        let interrupted = interrupt()?;
        tokio::pin!(interrupted);
        let mut platform = Platform::start()?;
        let shown = tokio::select! {
            shown = show(&mut platform, output, demo.exit) => shown.map(|()| true),
            () = &mut interrupted => Ok(false),
        };
        if matches!(shown, Ok(true)) && !demo.exit {
            tokio::select! {
                () = &mut interrupted => {}
                () = platform.ended() => {}
            }
            if output == Output::Table {
                output::line("stopping");
            }
        }
        let stopped = platform.stop().await;
        let code = if shown? { ExitCode::SUCCESS } else { ExitCode::from(130) };
        stopped.map(|()| code)
    })
}

/// Waits for the platform and shows every step.
async fn show(platform: &mut Platform, output: Output, exit: bool) -> Result<(), Failure> {
    let spinner = steps::spinner("starting the platform");
    let ready = platform.ready().await;
    spinner.finish_and_clear();
    let ready = ready?;
    let target = kubeconfig::target(Some(&ready.kubeconfig))?;
    let session = Session { client: Client::new(target)?, namespace: "default".to_owned(), output };
    let shown = tokio::select! {
        shown = steps::show(&session, &ready) => shown?,
        () = platform.ended() => return Err(Failure::new(
            "PLATFORM_ENDED", ebb_model::Kind::Internal, "the platform ended by itself",
        )),
    };
    match output {
        Output::Table if exit => {}
        Output::Table => steps::say_how_to_try(&ready),
        Output::Json => output::json(&shown),
        Output::Yaml => output::yaml(&shown),
    }
    Ok(())
}

fn interrupt() -> Result<impl Future<Output = ()>, Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::internal("waiting for signals", &error));
    let (mut int, mut term) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}
