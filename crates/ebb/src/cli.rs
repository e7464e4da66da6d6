//! The arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Serverless containers on your own machine: an image in, a URL out, from zero and back.
#[derive(Debug, Parser)]
#[command(
    name = "ebb",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    /// Form of the output
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Kubeconfig of the platform [default: the data directory's]
    #[arg(long, global = true, env = "EBB_KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Namespace
    #[arg(short, long, global = true, default_value = "default")]
    pub(crate) namespace: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns
    Table,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the platform
    Up(Box<Up>),
    /// See it work: start a platform, deploy an example, wake it, put it to sleep
    Demo(Demo),
    /// Deploy an image as a service and print its URL
    Deploy(Box<Deploy>),
    /// List, describe and delete services
    #[command(subcommand, alias = "service")]
    Services(Services),
    /// Print what a service's instances write
    Logs(Logs),
    /// Load, list and remove images
    #[command(subcommand, alias = "image")]
    Images(Images),
    /// Say why a service scaled as it did, and where its cold requests spent their time
    Explain {
        /// What to explain, as service/NAME
        target: String,
    },
    /// Say what this machine can do, and what a fallback costs
    Doctor {
        /// Data directory whose disk is looked at
        #[arg(long, default_value = "/var/lib/ebb")]
        data_dir: PathBuf,
    },
    /// Print the version
    Version,
    /// Print the completion script of a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    #[command(name = "__spawner", hide = true)]
    Spawner { handover: String },
    #[command(name = "__daemon", hide = true)]
    Daemon { handover: String },
}

/// Flags of `ebb up`; every one is a configuration key.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "EBB_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of everything that is kept [default: /var/lib/ebb]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// Services are reached at http://NAME.NAMESPACE.DOMAIN [default: localhost]
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// Address and port of the API, TLS [default: 127.0.0.1:7443]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) api: Option<String>,
    /// Further names that the API's certificate is valid for, separated by commas
    #[arg(long, value_name = "NAMES")]
    pub(crate) api_name: Option<String>,
    /// Registries and repositories that images may come from, separated by commas [default: all]
    #[arg(long, value_name = "NAMES")]
    pub(crate) image_registry: Option<String>,
    /// Objects at most of each kind in each namespace [default: 0, no limit]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_objects: Option<String>,
    /// Lists that the API reads at once [default: 8]
    #[arg(long, value_name = "N")]
    pub(crate) api_list_seats: Option<String>,
    /// Requests for single objects that the API serves at once [default: 128]
    #[arg(long, value_name = "N")]
    pub(crate) api_object_seats: Option<String>,
    /// Requests that may wait for a seat [default: 500]
    #[arg(long, value_name = "N")]
    pub(crate) api_queue_length: Option<String>,
    /// Seconds that a request may wait for a seat [default: 15]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) api_queue_timeout: Option<String>,
    /// Address and port that services are reached at, HTTP [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gateway: Option<String>,
    /// File with the key that Secrets are sealed with [default: /etc/ebb/CELL.key]
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<String>,
    /// IPv4 range of the instances [default: 100.64.0.0/10]
    #[arg(long, value_name = "NETWORK")]
    pub(crate) address_range: Option<String>,
    /// DNS servers for instances, separated by commas [default: the host's]
    #[arg(long, value_name = "ADDRESSES")]
    pub(crate) resolver: Option<String>,
    /// Network namespaces kept prepared [default: 4]
    #[arg(long, value_name = "N")]
    pub(crate) reserve: Option<String>,
    /// Seconds in which a new revision must become ready [default: 600]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) progress_deadline: Option<String>,
    /// What the platform itself logs [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// Stop in order when the process that started this one ends
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// End after the last line instead of staying up
    #[arg(long)]
    pub(crate) exit: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// Name of the service
    pub(crate) name: String,
    /// Image, such as ghcr.io/org/app:1.2
    #[arg(long, value_name = "REF")]
    pub(crate) image: String,
    /// Port that the program listens on [default: the image's single EXPOSE, else 8080]
    #[arg(long)]
    pub(crate) port: Option<i32>,
    /// Environment variable, may be repeated
    #[arg(long, value_name = "K=V", value_parser = key_value)]
    pub(crate) env: Vec<(String, String)>,
    /// Requests that one instance takes at once, 0 for no limit [default: 80]
    #[arg(long)]
    pub(crate) concurrency: Option<i64>,
    /// Instances that always run [default: 0]
    #[arg(long)]
    pub(crate) min: Option<u32>,
    /// Instances at most [default: 100]
    #[arg(long)]
    pub(crate) max: Option<u32>,
    /// Seconds a request may take [default: 300]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<i64>,
    /// Memory limit, such as 512Mi [default: 512Mi]
    #[arg(long)]
    pub(crate) memory: Option<String>,
    /// Processor limit, such as 500m or 2 [default: 1]
    #[arg(long)]
    pub(crate) cpu: Option<String>,
    /// Wait until it is ready, then print its URL
    #[arg(long, default_value_t = true, num_args = 0..=1, default_missing_value = "true",
          action = clap::ArgAction::Set, value_name = "true|false")]
    pub(crate) wait: bool,
    /// Arguments for the program
    #[arg(last = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Services {
    /// List services
    List,
    /// Show one service whole
    Describe { name: String },
    /// Delete a service and stop its instances
    Delete { name: String },
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// Name of the service
    pub(crate) name: String,
    /// Go on with new lines, also of new instances
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only the last so many lines of each instance
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<u64>,
    /// Begin each line with its time
    #[arg(long)]
    pub(crate) timestamps: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Images {
    /// Take in an OCI or docker archive
    Load {
        /// The archive
        file: PathBuf,
        /// Name for the image, where the archive names none or another
        #[arg(long)]
        name: Option<String>,
    },
    /// List images
    List,
    /// Remove an image that nothing uses
    Rm {
        /// Name or digest, as `ebb images list` shows it
        reference: String,
    },
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}
