//! The master key and its file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use rand::TryRngCore;
use rand::rngs::OsRng;
use zeroize::Zeroizing;

use crate::{Error, files};

const FORMAT: u8 = 1;
const KEY_LEN: usize = 32;
const ID_LEN: usize = 8;
const NONCE_LEN: usize = 24;
const HEADER_LEN: usize = 1 + ID_LEN;

/// A master key. Its bytes are wiped when it is dropped and are never shown.
pub struct Key {
    id: [u8; ID_LEN],
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(redacted)")
    }
}

impl Key {
    /// The key in this file, which is made (32 random bytes, mode 0400, in directories of mode
    /// 0700) when it does not exist. Keep it outside the data directory, and keep a copy: without
    /// it sealed values are lost.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the file cannot be read or made, does not have 32 bytes, or may
    /// be read by anybody but its owner.
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        let bad = |what: String| Error::Unavailable(format!("key file {}: {what}", path.display()));
        let failed = |error: io::Error| bad(error.to_string());
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                File::open(path).map_err(failed)?
            }
            opened => opened.map_err(failed)?,
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(bad("it is not a file".to_owned()));
        }
        if metadata.mode() & 0o077 != 0 {
            let mode = metadata.mode() & 0o777;
            return Err(bad(format!("mode {mode:04o} lets others use it; set it to 0400")));
        }
        let mut bytes = Zeroizing::new([0u8; KEY_LEN + 1]);
        let mut len = 0;
        while len < bytes.len() {
            match (&file).read(&mut bytes[len..]).map_err(failed)? {
                0 => break,
                n => len += n,
            }
        }
        match <&[u8; KEY_LEN]>::try_from(&bytes[..len]) {
            Ok(bytes) => Ok(Self::from_bytes(bytes)),
            Err(_) => Err(bad(format!("it has {} bytes, not {KEY_LEN}", metadata.len()))),
        }
    }

    /// A key from its bytes, for tests and for keys that are not kept in a file.
    pub fn from_bytes(bytes: &[u8; KEY_LEN]) -> Self {
        let cipher = XChaCha20Poly1305::new(bytes.into());
        // The id only tells keys apart: the cipher's output for a fixed nonce that no write uses
        // (a random one is equal to it once in 2^192) says nothing about the key.
        let id = cipher
            .encrypt(&XNonce::default(), Payload { msg: &[0; ID_LEN], aad: b"ebb key id" })
            .ok()
            .and_then(|sealed| sealed.get(..ID_LEN)?.try_into().ok())
            .unwrap_or_default();
        Self { id, cipher }
    }

    /// Encrypts the value of the record `key`.
    pub(super) fn seal(&self, key: &str, data: &[u8]) -> Result<Vec<u8>, Error> {
        let mut nonce = [0u8; NONCE_LEN];
        OsRng
            .try_fill_bytes(&mut nonce)
            .map_err(|error| Error::Unavailable(format!("no random bytes: {error}")))?;
        let mut sealed = Vec::with_capacity(HEADER_LEN + NONCE_LEN + data.len() + 16);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&self.id);
        let aad = aad(&sealed, key);
        sealed.extend_from_slice(&nonce);
        let encrypted = self
            .cipher
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: data, aad: &aad })
            .map_err(|_| Error::InvalidCommit(format!("the value of {key} cannot be sealed")))?;
        sealed.extend_from_slice(&encrypted);
        Ok(sealed)
    }

    /// Decrypts the value of the record `key`.
    pub(super) fn open(&self, key: &str, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let mismatch = |why: &str| Error::KeyMismatch(format!("{key} ({why})"));
        let Some((header, rest)) = sealed.split_at_checked(HEADER_LEN) else {
            return Err(mismatch("it is too short"));
        };
        let Some((nonce, encrypted)) = rest.split_at_checked(NONCE_LEN) else {
            return Err(mismatch("it is too short"));
        };
        if header[0] != FORMAT {
            return Err(mismatch("its format is not known to this version"));
        }
        if header[1..] != self.id {
            return Err(mismatch("it was sealed with another key"));
        }
        let payload = Payload { msg: encrypted, aad: &aad(header, key) };
        self.cipher
            .decrypt(XNonce::from_slice(nonce), payload)
            .map_err(|_| mismatch("it was changed after it was sealed"))
    }
}

fn aad(header: &[u8], key: &str) -> Vec<u8> {
    [header, key.as_bytes()].concat()
}

/// Makes the file whole or not at all: it is written and synced under another name first, and then
/// linked, which fails when somebody else was first.
fn create(path: &Path) -> Result<(), Error> {
    let failed = |error: io::Error| {
        Error::Unavailable(format!("key file {} cannot be made: {error}", path.display()))
    };
    let no_random = |_| failed(io::Error::other("no random bytes"));
    let mut bytes = Zeroizing::new([0u8; KEY_LEN]);
    OsRng.try_fill_bytes(bytes.as_mut_slice()).map_err(no_random)?;
    let suffix = OsRng.try_next_u64().map_err(no_random)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{suffix:016x}.new"));
    let new = path.with_file_name(name);

    files::private_dir(path.parent().unwrap_or(path)).map_err(failed)?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(&new)
        .and_then(|mut file| file.write_all(bytes.as_slice()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::hard_link(&new, path));
    let removed = std::fs::remove_file(&new);
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        written => written.map_err(failed)?,
    }
    removed.and_then(|()| files::sync_parent(path)).map_err(failed)
}
