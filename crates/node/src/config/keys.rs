//! Every configuration key, with its default and meaning.

use std::fmt::Write;

/// One configuration key.
#[derive(Debug)]
pub struct Key {
    /// Dotted name, such as `gateway.listen`.
    pub name: &'static str,
    /// Default as text; empty when it is derived from other keys.
    pub default: &'static str,
    /// Flag of `ebb up`.
    pub flag: &'static str,
    /// What it means, its unit and what is allowed.
    pub doc: &'static str,
}

impl Key {
    /// Name of the environment variable.
    pub fn env(&self) -> String {
        format!("EBB_{}", self.name.replace('.', "__").to_uppercase())
    }
}

/// Every key, in the order of the reference.
pub const KEYS: &[Key] = &[
    Key {
        name: "data_dir",
        default: "/var/lib/ebb",
        flag: "--data-dir",
        doc: "Directory of everything that is kept: database, images, logs, CA, kubeconfig. Mode \
              0700. One platform per directory.",
    },
    Key {
        name: "domain",
        default: "localhost",
        flag: "--domain",
        doc: "Services are reached at http://NAME.NAMESPACE.DOMAIN.",
    },
    Key {
        name: "api.listen",
        default: "127.0.0.1:7443",
        flag: "--api",
        doc: "Address and port of the API (TLS). Port 0 takes a free one.",
    },
    Key {
        name: "api.names",
        default: "",
        flag: "--api-name",
        doc: "Further host names and addresses that the API's certificate is valid for, separated \
              by commas. Default: none.",
    },
    Key {
        name: "api.image_registries",
        default: "",
        flag: "--image-registry",
        doc: "Registries and repositories that images of services may come from, separated by \
              commas, such as ghcr.io/acme; each allows everything below it. An image without a \
              registry is of docker.io/library. Default: all.",
    },
    Key {
        name: "api.max_objects",
        default: "0",
        flag: "--max-objects",
        doc: "Objects at most of each kind in each namespace, Events excepted. 0: no limit.",
    },
    Key {
        name: "api.list_seats",
        default: "8",
        flag: "--api-list-seats",
        doc: "Lists that the API reads at once; a large one counts as several. Further ones wait, \
              and never keep requests for single objects waiting.",
    },
    Key {
        name: "api.object_seats",
        default: "128",
        flag: "--api-object-seats",
        doc: "Requests for single objects that the API serves at once.",
    },
    Key {
        name: "api.queue_length",
        default: "500",
        flag: "--api-queue-length",
        doc: "Requests that may wait for a seat, of lists and of single objects each. More are \
              refused with 429 OVERLOADED.",
    },
    Key {
        name: "api.queue_timeout_seconds",
        default: "15",
        flag: "--api-queue-timeout",
        doc: "Longest time that a request waits for a seat before it is refused with 429 OVERLOADED.",
    },
    Key {
        name: "gateway.listen",
        default: "127.0.0.1:8080",
        flag: "--gateway",
        doc: "Address and port that services are reached at (HTTP). Port 0 takes a free one.",
    },
    Key {
        name: "store.key_file",
        default: "",
        flag: "--key-file",
        doc: "File with the key that Secrets are sealed with. Outside the data directory, so that \
              a copy of the data alone opens no Secret. Default: /etc/ebb/CELL.key, made at first \
              start.",
    },
    Key {
        name: "engine.address_range",
        default: "100.64.0.0/10",
        flag: "--address-range",
        doc: "IPv4 range that instances get their addresses from; at most /10 is used. Platforms \
              on one host share it.",
    },
    Key {
        name: "engine.resolvers",
        default: "",
        flag: "--resolver",
        doc: "DNS servers (address or address:port) that instances' questions are sent to, \
              separated by commas. Default: those of the host's /etc/resolv.conf.",
    },
    Key {
        name: "engine.reserve",
        default: "4",
        flag: "--reserve",
        doc: "Network namespaces that are kept prepared for the next starts, 0 to 64.",
    },
    Key {
        name: "control.progress_deadline_seconds",
        default: "600",
        flag: "--progress-deadline",
        doc: "Seconds in which a new revision must become ready, 1 to 3600.",
    },
    Key {
        name: "log.level",
        default: "info",
        flag: "--log-level",
        doc: "What the platform itself logs to standard error: error, warn, info, debug or trace, \
              also per part (info,ebb_gateway=debug).",
    },
];

/// The reference page of every key, in Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         Values come from, later ones winning: defaults, the file given by `--config` (TOML), the \
         environment, flags. An unknown key is an error that names the nearest known key.\n",
    );
    for key in KEYS {
        let default = match key.default {
            "" => "see above".to_owned(),
            default => format!("`{default}`"),
        };
        let _ = write!(
            page,
            "\n## `{}`\n\n{}\n\n- default: {default}\n- flag: `{}`\n- environment: `{}`\n",
            key.name,
            key.doc,
            key.flag,
            key.env()
        );
    }
    page
}
