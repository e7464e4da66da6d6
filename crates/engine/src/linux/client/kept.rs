//! Output of instances that have ended.

use std::collections::VecDeque;
use std::path::Path;

use ebb_model::InstanceId;

/// What earlier daemons left below `dir`, oldest first; what is more than `most` is removed.
/// Anything but the output of an instance is left alone.
pub(super) fn take_over(dir: &Path, most: usize) -> VecDeque<InstanceId> {
    let mut all: Vec<InstanceId> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| InstanceId::parse(entry.file_name().to_str()?).ok())
        .collect();
    // Ids begin with the time at which they were made.
    all.sort_unstable();
    let mut all = VecDeque::from(all);
    while all.len() > most {
        if let Some(oldest) = all.pop_front() {
            remove(dir, &oldest);
        }
    }
    all
}

/// Removes the output of `id`.
pub(super) fn remove(dir: &Path, id: &InstanceId) {
    // Output that cannot be removed now is found again by the next daemon.
    if let Err(error) = std::fs::remove_dir_all(dir.join(id.as_str())) {
        tracing::debug!(%id, %error, "the output of an instance stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_output_stays_and_the_rest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let id = |number: u32| format!("01j{number:023}");
        for number in [3, 1, 5, 2, 4] {
            let own = dir.path().join(id(number));
            std::fs::create_dir(&own).unwrap();
            std::fs::write(own.join("0000000001.log"), "x").unwrap();
        }
        std::fs::create_dir(dir.path().join("other")).unwrap();
        std::fs::write(dir.path().join(id(0)), "a file").unwrap();
        let kept: Vec<String> =
            take_over(dir.path(), 3).iter().map(|id| id.as_str().to_owned()).collect();
        assert_eq!(kept, [id(3), id(4), id(5)]);
        let mut left: Vec<String> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [id(0), id(3), id(4), id(5), "other".to_owned()]);
        assert!(take_over(&dir.path().join("none"), 3).is_empty());
    }
}
