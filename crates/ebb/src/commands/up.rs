//! `ebb up`, and the two processes behind it.

use std::process::ExitCode;

use ebb_node::config::{self, Raw};
use ebb_node::{daemon, up};

use crate::cli::{Output, Up};
use crate::failure::Failure;

/// Reads the configuration and hands over to the spawner; comes back only with a failure.
pub(crate) fn run(flags: &Up, output: Output) -> Result<ExitCode, Failure> {
    if flags.with_parent {
        // It stays set over the execution of the spawner (prctl(2), PR_SET_PDEATHSIG).
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
            .map_err(|error| Failure::internal("following the parent", &error))?;
    }
    let raw = config::read(flags.config.as_deref(), std::env::vars(), raw(flags))?;
    let config = config::check(&raw)?;
    let announce = if output == Output::Json { up::Announce::Json } else { up::Announce::Text };
    match up::start(config, announce) {
        Ok(never) => match never {},
        Err(error) => Err(error.into()),
    }
}

/// The flags that were given, by the key that each stands for.
fn raw(flags: &Up) -> Raw {
    let values = [
        ("data_dir", &flags.data_dir),
        ("domain", &flags.domain),
        ("api.listen", &flags.api),
        ("api.names", &flags.api_name),
        ("api.image_registries", &flags.image_registry),
        ("api.max_objects", &flags.max_objects),
        ("api.list_seats", &flags.api_list_seats),
        ("api.object_seats", &flags.api_object_seats),
        ("api.queue_length", &flags.api_queue_length),
        ("api.queue_timeout_seconds", &flags.api_queue_timeout),
        ("gateway.listen", &flags.gateway),
        ("store.key_file", &flags.key_file),
        ("engine.address_range", &flags.address_range),
        ("engine.resolvers", &flags.resolver),
        ("engine.reserve", &flags.reserve),
        ("control.progress_deadline_seconds", &flags.progress_deadline),
        ("log.level", &flags.log_level),
    ];
    values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?))).collect()
}

/// The spawner process.
pub(crate) fn spawner(handover: &str) -> Result<ExitCode, Failure> {
    let handover = up::Handover::parse(handover)?;
    init_log(&handover.config.log_level);
    Ok(ExitCode::from(up::spawner(&handover)?))
}

/// The daemon process.
pub(crate) fn daemon(handover: &str) -> Result<ExitCode, Failure> {
    super::install_crypto();
    let handover = up::Handover::parse(handover)?;
    init_log(&handover.config.log_level);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ebb")
        .build()
        .map_err(|error| Failure::internal("starting the daemon", &error))?;
    let Err(error) = runtime.block_on(daemon::run(handover.clone())) else {
        return Ok(ExitCode::SUCCESS);
    };
    let form = match handover.announce {
        up::Announce::Json => Output::Json,
        up::Announce::Text => Output::Table,
    };
    let code = Failure::from(error).print(form);
    Ok(ExitCode::from(handover.failed_start(code)))
}

fn init_log(level: &str) {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_new(level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
