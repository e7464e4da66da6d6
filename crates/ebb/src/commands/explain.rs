//! `ebb explain service/NAME`: the last decisions with their reasons, and the last cold requests.

use ebb_model::scaling::{ColdStartRecord, DecisionRecord};
use ebb_model::{Fault, Kind};
use serde_json::Value;

use super::Session;
use crate::cli::Output;
use crate::failure::Failure;
use crate::output::{self, milliseconds};

/// Runs the command.
pub(crate) async fn run(session: &Session, target: &str) -> Result<(), Failure> {
    let Some(name) = target.strip_prefix("service/").or_else(|| target.strip_prefix("services/"))
    else {
        let message = format!("{target:?} cannot be explained: write service/NAME");
        return Err(Fault::new("EXPLAIN_TARGET_INVALID", Kind::Invalid, message).into());
    };
    let explanation = fetch(session, name).await?;
    match session.output {
        Output::Json => output::json(&explanation),
        Output::Yaml => output::yaml(&explanation),
        Output::Table => text(&explanation)?,
    }
    Ok(())
}

/// The explanation as the API answers it.
pub(crate) async fn fetch(session: &Session, name: &str) -> Result<Value, Failure> {
    ebb_model::name::check_label(name, "NAME", ebb_model::name::SERVICE_NAME_MAX)?;
    let path = format!("/apis/ebb.dev/v1/namespaces/{}/services/{name}/explain", session.namespace);
    session.client.get(&path).await
}

/// The cold requests in an explanation, oldest first.
pub(crate) fn cold_starts(explanation: &Value) -> Result<Vec<ColdStartRecord>, Failure> {
    serde_json::from_value(explanation["coldStarts"].clone())
        .map_err(|error| Failure::internal("reading the explanation", &error))
}

fn text(explanation: &Value) -> Result<(), Failure> {
    let decisions: Vec<DecisionRecord> =
        serde_json::from_value(explanation["decisions"].clone())
            .map_err(|error| Failure::internal("reading the explanation", &error))?;
    let rows = decisions.iter().map(|decision| {
        vec![
            decision.at.to_rfc3339(),
            decision.revision.clone(),
            format!("{} -> {}", decision.have, decision.want),
            decision.rule.clone(),
            decision.why.clone(),
        ]
    });
    let head = ["TIME", "REVISION", "INSTANCES", "RULE", "WHY"];
    output::rows(Output::Table, &(), &head, rows);
    output::line("");
    let head = [
        "COLD REQUEST",
        "TOTAL",
        "QUEUE",
        "SCHEDULE",
        "ROOTFS",
        "CREATE",
        "START",
        "READY",
        "FIRST BYTE",
    ];
    let rows = cold_starts(explanation)?.into_iter().map(|cold| {
        let phases = cold.phases;
        let mut row = vec![cold.at.to_rfc3339(), milliseconds(phases.total_us())];
        row.extend(each(&phases).map(|(_, micros)| milliseconds(micros)));
        row
    });
    output::rows(Output::Table, &(), &head, rows);
    Ok(())
}

/// The phases with their names, in order.
pub(crate) fn each(phases: &ebb_model::routing::ColdPhases) -> [(&'static str, u64); 7] {
    [
        ("queue", phases.queue_us),
        ("schedule", phases.schedule_us),
        ("rootfs", phases.rootfs_us),
        ("create", phases.create_us),
        ("start", phases.start_us),
        ("ready", phases.ready_us),
        ("first byte", phases.first_byte_us),
    ]
}
