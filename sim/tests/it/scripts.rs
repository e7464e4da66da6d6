use std::path::Path;

use ebb_sim::{Place, script};

/// Plays every script; with `UPDATE_GOLDEN=1`, writes down what is seen instead of comparing.
#[test]
fn scripts_print_what_they_say() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let mut paths: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 10);
    let place = Place::new().unwrap();
    let mut wrong = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match script::play(&text, place.path()) {
            Ok(played) if played == text => {}
            Ok(played) if std::env::var_os("UPDATE_GOLDEN").is_some() => {
                std::fs::write(&path, played).unwrap();
            }
            Ok(played) => wrong.push(format!("{name}: {}", difference(&text, &played))),
            Err(error) => wrong.push(format!("{name}: {error:#}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The first line that differs.
fn difference(text: &str, played: &str) -> String {
    let mut lines = text.lines().zip(played.lines()).enumerate();
    match lines.find(|(_, (a, b))| a != b) {
        Some((at, (a, b))) => format!("line {}: says {a:?}, prints {b:?}", at + 1),
        None => "one is longer than the other".to_owned(),
    }
}
