//! `ebb logs`: what the instances of a service write.

use std::collections::BTreeSet;

use ebb_model::knative::LABEL_SERVICE;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Session;
use crate::cli::{Logs, Output};
use crate::failure::Failure;
use crate::output;

/// Runs the command.
pub(crate) async fn run(session: Session, logs: Logs) -> Result<(), Failure> {
    session.client.get(&session.service_path(&logs.name)?).await?;
    let pods = format!(
        "/api/v1/namespaces/{}/pods?labelSelector={}%3D{}",
        session.namespace,
        LABEL_SERVICE.replace('/', "%2F"),
        logs.name
    );
    let list = session.client.get(&pods).await?;
    let names: Vec<String> = list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
        .collect();
    if logs.follow {
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
        return follow(
            &session,
            &logs,
            names,
            &format!("{pods}&watch=true&resourceVersion={version}"),
        )
        .await;
    }
    for name in &names {
        let prefix = prefix(name, names.len() > 1 || session.output != Output::Table);
        let path = log_path(&session, name, &logs, false);
        session.client.lines(&path, |line| print(session.output, &prefix, line)).await?;
    }
    Ok(())
}

/// Follows every instance that is there, and each that comes.
async fn follow(
    session: &Session,
    logs: &Logs,
    names: Vec<String>,
    watch: &str,
) -> Result<(), Failure> {
    let (found, mut instances) = mpsc::channel::<String>(64);
    let mut streams = futures_util::stream::FuturesUnordered::new();
    let mut known = BTreeSet::new();
    let mut start = |name: String, streams: &mut futures_util::stream::FuturesUnordered<_>| {
        if known.insert(name.clone()) {
            let path = log_path(session, &name, logs, true);
            let prefix = prefix(&name, true);
            streams.push(async move {
                session.client.lines(&path, |line| print(session.output, &prefix, line)).await
            });
        }
    };
    for name in names {
        start(name, &mut streams);
    }
    let watching = session.client.lines(watch, |line| {
        let event: Value = serde_json::from_slice(line).ok()?;
        if event["type"] != "DELETED" {
            let _ = found.try_send(event["object"]["metadata"]["name"].as_str()?.to_owned());
        }
        None::<()>
    });
    tokio::pin!(watching);
    loop {
        tokio::select! {
            Some(name) = instances.recv() => start(name, &mut streams),
            Some(ended) = futures_util::StreamExt::next(&mut streams), if !streams.is_empty() => {
                // Nobody reads our output any more.
                if let Ok(Some(())) = ended {
                    return Ok(());
                }
            }
            done = &mut watching => return done.map(|_| ()),
        }
    }
}

fn log_path(session: &Session, pod: &str, logs: &Logs, follow: bool) -> String {
    let tail = logs.tail.map_or_else(String::new, |tail| format!("&tailLines={tail}"));
    let timestamps = if logs.timestamps { "&timestamps=true" } else { "" };
    let namespace = &session.namespace;
    format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?follow={follow}{tail}{timestamps}")
}

/// The last part of an instance's name, where lines of several are mixed.
fn prefix(pod: &str, wanted: bool) -> String {
    let short = pod.rsplit('-').next().unwrap_or(pod);
    if wanted { format!("[{short}] ") } else { String::new() }
}

/// Prints a line; `Some` when nobody reads any more.
fn print(form: Output, prefix: &str, line: &[u8]) -> Option<()> {
    let mut out = match form {
        Output::Table if output::is_terminal() => {
            format!("{prefix}{}", output::clean(&String::from_utf8_lossy(line))).into_bytes()
        }
        Output::Table => [prefix.as_bytes(), line].concat(),
        // One object a line: a stream has no end at which a list could be closed.
        Output::Json | Output::Yaml => {
            let instance = prefix.trim().trim_matches(['[', ']']);
            let text = String::from_utf8_lossy(line);
            let text = text.trim_end_matches('\n');
            serde_json::json!({ "instance": instance, "line": text }).to_string().into_bytes()
        }
    };
    if !out.ends_with(b"\n") {
        out.push(b'\n');
    }
    if output::bytes(&out) { None } else { Some(()) }
}
