//! Why the gateway could not run.

/// Why the gateway could not run. What goes wrong with a single request is an answer to it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listening socket could not be used.
    #[error("the listening socket of the gateway cannot be used: {0}")]
    Listener(#[source] std::io::Error),
}
