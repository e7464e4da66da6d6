//! `ebb doctor`: what this machine can do.

use std::path::Path;
use std::process::ExitCode;

use ebb_engine::probe::State;
use serde_json::json;

use crate::cli::Output;
use crate::output;

/// Prints every probe; ends with 3 when something that is needed is missing.
pub(crate) fn run(data_dir: &Path, form: Output) -> ExitCode {
    let probes = ebb_node::doctor(data_dir);
    let value: Vec<_> = probes
        .iter()
        .map(|probe| {
            json!({ "name": probe.name, "state": word(probe.state), "detail": probe.detail })
        })
        .collect();
    let rows = probes.iter().map(|probe| {
        vec![word(probe.state).to_owned(), probe.name.to_owned(), probe.detail.clone()]
    });
    output::rows(form, &value, &["STATE", "WHAT", "DETAIL"], rows);
    let missing = probes.iter().any(|probe| probe.state == State::Missing);
    if missing { ExitCode::from(3) } else { ExitCode::SUCCESS }
}

const fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Fallback => "fallback",
        State::Missing => "missing",
    }
}
