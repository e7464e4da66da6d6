//! Removes tags, and what nothing needs any more.

use std::collections::BTreeSet;

use ebb_model::{Digest, Reference};

use super::Inner;
use super::files::{self, Scratch};
use super::state::State;
use crate::Error;
use crate::error::{in_use, not_here};

impl Inner {
    pub(super) fn prune(&self, reference: Option<&Reference>) -> Result<u64, Error> {
        let mut state = self.lock();
        let tags = reference.map_or(Ok(Vec::new()), |reference| tags_of(&state, reference))?;
        let tagged: BTreeSet<&Digest> = state
            .saved
            .tags
            .iter()
            .filter(|(tag, _)| !tags.contains(tag))
            .map(|(_, digest)| digest)
            .collect();
        let needed = |digest: &Digest| {
            tagged.contains(digest)
                || state.saved.pins.contains_key(digest)
                || state.busy.contains_key(digest)
        };
        let gone: Vec<Digest> =
            state.images.keys().filter(|digest| !needed(digest)).cloned().collect();
        // The list first: a crash in between leaves files that nothing names, never the reverse.
        state.change(&self.paths, |saved| {
            for tag in &tags {
                saved.tags.remove(tag);
            }
            for digest in &gone {
                saved.images.remove(digest);
                saved.pulled.remove(digest);
            }
        })?;
        for digest in &gone {
            state.images.remove(digest);
        }
        let (freed, trees) = self.sweep(&mut state);
        drop(state);
        drop(trees); // takes its time, and nobody needs to wait for it
        Ok(freed)
    }

    /// Removes files that no image names. Trees are only moved away under the lock.
    fn sweep(&self, state: &mut State) -> (u64, Vec<Scratch>) {
        let mut needed: BTreeSet<Digest> = state.busy.keys().cloned().collect();
        for (digest, image) in &state.images {
            needed.insert(digest.clone());
            needed.extend(image.digests());
        }
        let mut freed = 0;
        for entry in std::fs::read_dir(self.paths.blobs()).into_iter().flatten().flatten() {
            let name = format!("sha256:{}", entry.file_name().to_string_lossy());
            if !name.parse::<Digest>().is_ok_and(|digest| needed.contains(&digest)) {
                freed += entry.metadata().map_or(0, |metadata| metadata.len());
                files::remove(&entry.path());
            }
        }
        let mut trees = Vec::new();
        state.layers.retain(|(namespace, diff_id), note| {
            if needed.contains(diff_id) {
                return true;
            }
            let scratch = self.paths.scratch();
            let moved = std::fs::rename(self.paths.layer(namespace, diff_id), scratch.path());
            if let Err(error) = moved {
                tracing::warn!(layer = %diff_id, %error, "a layer cannot be removed");
                return true;
            }
            freed += note.size_bytes;
            trees.push(scratch);
            false
        });
        (freed, trees)
    }
}

/// The tags that `reference` stands for.
fn tags_of(state: &State, reference: &Reference) -> Result<Vec<Reference>, Error> {
    // With a digest the digest alone decides, and the sentence says nothing of the rest.
    let what: &dyn std::fmt::Display = match &reference.digest {
        Some(digest) => digest,
        None => reference,
    };
    let digest = match &reference.digest {
        Some(digest) => state.images.contains_key(digest).then_some(digest),
        None => state.saved.tags.get(reference),
    };
    let digest = digest.ok_or_else(|| not_here(&what))?;
    if state.saved.pins.contains_key(digest) {
        return Err(in_use(&what));
    }
    Ok(match &reference.digest {
        None => vec![reference.clone()],
        Some(digest) => {
            let all = state.saved.tags.iter().filter(|(_, tagged)| *tagged == digest);
            all.map(|(tag, _)| tag.clone()).collect()
        }
    })
}
