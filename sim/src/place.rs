//! Where the door keeps its files: made once, so that not every run makes keys.

use std::path::Path;

use ebb_api::auth::Token;
use ebb_api::tls::Authority;
use tempfile::TempDir;

/// A directory with an authority and a token; removed when it is dropped.
#[derive(Debug)]
pub struct Place(TempDir);

impl Place {
    /// Makes it.
    ///
    /// # Errors
    /// When files cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        Authority::load_or_create(dir.path())?;
        Token::load_or_create(&dir.path().join("admin.token"))?;
        Ok(Self(dir))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}
