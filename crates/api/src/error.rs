//! What can go wrong while the door is opened. What goes wrong in a request is a `Status` answer.

use std::path::PathBuf;

use ebb_model::{Fault, Kind};

/// A failure to open the door.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of the door cannot be read or written.
    #[error("{} cannot be used: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The certificate authority's files do not fit together, or a certificate cannot be made.
    #[error("the certificate authority cannot be used: {0}")]
    Authority(String),
    /// The token file does not hold a token.
    #[error("{} does not hold a token of 64 hex digits", .0.display())]
    Token(PathBuf),
    /// A configured name is neither a host name nor an address.
    #[error("{0:?} in api.names is neither a host name nor an address")]
    Name(String),
    /// The first write, the namespace `default`, failed.
    #[error("the first namespace cannot be made: {0}")]
    Store(#[from] ebb_store::Error),
    /// The listener cannot be used.
    #[error("the listener cannot be used: {0}")]
    Listener(#[source] std::io::Error),
}

impl Error {
    /// What it means for the caller.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::File { .. } | Self::Listener(_) => Kind::Unavailable,
            Self::Authority(_) | Self::Token(_) | Self::Name(_) => Kind::Invalid,
            Self::Store(error) => error.kind(),
        }
    }

    /// Stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "API_FILE_UNUSABLE",
            Self::Authority(_) => "API_AUTHORITY_INVALID",
            Self::Token(_) => "API_TOKEN_INVALID",
            Self::Name(_) => "INVALID_NAME",
            Self::Store(error) => error.code(),
            Self::Listener(_) => "LISTENER_UNUSABLE",
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.kind(), error.to_string())
    }
}
