//! One file per command.

mod demo;
mod deploy;
mod doctor;
mod explain;
mod images;
mod logs;
mod services;
mod up;

use std::future::Future;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Command, Output};
use crate::client::Client;
use crate::failure::Failure;
use crate::{kubeconfig, output};

/// What a client command works with.
#[derive(Debug)]
pub(crate) struct Session {
    /// The platform.
    pub(crate) client: Client,
    /// Namespace of the command.
    pub(crate) namespace: String,
    /// Form of the output.
    pub(crate) output: Output,
}

impl Session {
    /// Path of the Services of the namespace.
    pub(crate) fn services_path(&self) -> String {
        format!("/apis/serving.knative.dev/v1/namespaces/{}/services", self.namespace)
    }

    /// Path of one Service, with its name checked, so that no name can reach another path.
    pub(crate) fn service_path(&self, name: &str) -> Result<String, Failure> {
        ebb_model::name::check_label(name, "NAME", ebb_model::name::SERVICE_NAME_MAX)?;
        Ok(format!("{}/{name}", self.services_path()))
    }
}

/// Runs the command and answers its exit code.
pub(crate) fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        Command::Up(up) => up::run(&up, cli.output),
        Command::Spawner { handover } => up::spawner(&handover),
        Command::Daemon { handover } => up::daemon(&handover),
        Command::Demo(demo) => demo::run(&demo, cli.output),
        Command::Doctor { data_dir } => Ok(doctor::run(&data_dir, cli.output)),
        Command::Version => {
            version(cli.output);
            Ok(ExitCode::SUCCESS)
        }
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "ebb", &mut script);
            output::bytes(&script);
            Ok(ExitCode::SUCCESS)
        }
        command => {
            ebb_model::name::check_label(&cli.namespace, "--namespace", 63)?;
            install_crypto();
            let target = kubeconfig::target(cli.kubeconfig.as_deref())?;
            let client = Client::new(target)?;
            let session = Session { client, namespace: cli.namespace, output: cli.output };
            block_on(client_command(session, command))
        }
    }
}

async fn client_command(session: Session, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Deploy(deploy) => deploy::run(&session, &deploy).await?,
        Command::Services(services) => services::run(&session, services).await?,
        Command::Logs(logs) => logs::run(session, logs).await?,
        Command::Images(images) => images::run(&session, images).await?,
        Command::Explain { target } => explain::run(&session, &target).await?,
        _ => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs a client command; an interrupt ends it with 130.
pub(crate) fn block_on(
    command: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal("starting", &error))?;
    runtime.block_on(async {
        tokio::select! {
            done = command => done,
            _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(130)),
        }
    })
}

/// Chooses ring for every TLS connection of this process. A second call changes nothing.
pub(crate) fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn version(form: Output) {
    let version = env!("CARGO_PKG_VERSION");
    match form {
        Output::Table => output::line(&format!("ebb {version}")),
        Output::Json => output::json(&serde_json::json!({ "version": version })),
        Output::Yaml => output::yaml(&serde_json::json!({ "version": version })),
    }
}
