//! `ebb deploy`: create or change a service, wait until it is ready, print its URL.

use ebb_model::knative::{self, Service};
use ebb_model::{Fault, Kind};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{Session, services};
use crate::cli::{Deploy, Output};
use crate::failure::Failure;
use crate::output;

/// Runs the command.
pub(crate) async fn run(session: &Session, deploy: &Deploy) -> Result<(), Failure> {
    let object = apply(session, deploy).await?;
    let service = if deploy.wait { wait_ready(session, &object).await? } else { object };
    match session.output {
        Output::Table => {
            let url = service["status"]["url"].as_str().unwrap_or_default();
            output::line(if deploy.wait {
                url
            } else {
                "accepted; `ebb services list` shows when it is ready"
            });
            if let Some(note) = passed_over(&service).filter(|_| deploy.wait) {
                output::note(&note);
            }
        }
        Output::Json => output::json(&service),
        Output::Yaml => output::yaml(&service),
    }
    Ok(())
}

/// What to say when the newest revision is ready and takes no requests.
fn passed_over(object: &Value) -> Option<String> {
    let status = serde_json::from_value::<Service>(object.clone()).ok()?.status?;
    let newest = status.latest_ready_revision_name?;
    let serving: Vec<&str> = services::serving(&status.traffic).map(|(name, _)| name).collect();
    let passed_over = !serving.is_empty() && !serving.contains(&newest.as_str());
    let serving = serving.join(", ");
    passed_over.then(|| format!("{newest} takes no requests: spec.traffic names {serving}"))
}

/// Writes the service: a new one, or the existing one with what the flags say changed.
pub(crate) async fn apply(session: &Session, deploy: &Deploy) -> Result<Value, Failure> {
    let path = session.service_path(&deploy.name)?;
    let strict = "?fieldValidation=Strict&fieldManager=ebb";
    // Somebody else may write between our read and our write: read again and try again, a few times.
    let mut tries = 0;
    loop {
        let (method, path, object) = match session.client.get(&path).await {
            Ok(mut object) => {
                change(&mut object, deploy);
                (Method::PUT, format!("{path}{strict}"), object)
            }
            Err(failure) if failure.is(Kind::NotFound) => {
                let mut object = json!({
                    "apiVersion": knative::API_VERSION,
                    "kind": "Service",
                    "metadata": { "name": deploy.name, "namespace": session.namespace },
                });
                change(&mut object, deploy);
                (Method::POST, format!("{}{strict}", session.services_path()), object)
            }
            Err(failure) => return Err(failure),
        };
        match session.client.json(method, &path, Some(&object)).await {
            Err(failure) if failure.is(Kind::Conflict) && tries < 5 => tries += 1,
            answer => return answer,
        }
    }
}

/// Puts what the flags say into the object; what they do not name stays as it is.
fn change(object: &mut Value, deploy: &Deploy) {
    // A revision name given by an earlier manifest names that revision, not the next one. Reading
    // alone must not put anything there: the same command twice changes nothing.
    let metadata = object.pointer_mut("/spec/template/metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata {
        metadata.remove("name");
    }
    let template = &mut object["spec"]["template"];
    for (name, value) in [("min-scale", deploy.min), ("max-scale", deploy.max)] {
        if let Some(value) = value {
            let key = format!("autoscaling.knative.dev/{name}");
            template["metadata"]["annotations"][key] = json!(value.to_string());
        }
    }
    let spec = &mut template["spec"];
    if let Some(concurrency) = deploy.concurrency {
        spec["containerConcurrency"] = json!(concurrency);
    }
    if let Some(timeout) = deploy.timeout {
        spec["timeoutSeconds"] = json!(timeout);
    }
    if !spec["containers"].is_array() {
        spec["containers"] = json!([{}]);
    }
    let container = &mut spec["containers"][0];
    container["image"] = json!(deploy.image);
    if let Some(port) = deploy.port {
        container["ports"] = json!([{ "containerPort": port }]);
    }
    if !deploy.args.is_empty() {
        container["args"] = json!(deploy.args);
    }
    for (name, value) in [("memory", &deploy.memory), ("cpu", &deploy.cpu)] {
        if let Some(value) = value {
            container["resources"]["limits"][name] = json!(value);
        }
    }
    set_env(container, &deploy.env);
}

fn set_env(container: &mut Value, pairs: &[(String, String)]) {
    if pairs.is_empty() {
        return;
    }
    let mut env = container["env"].as_array().cloned().unwrap_or_default();
    for (name, value) in pairs {
        env.retain(|entry| entry["name"] != json!(name));
        let entry =
            Map::from_iter([("name".to_owned(), json!(name)), ("value".to_owned(), json!(value))]);
        env.push(Value::Object(entry));
    }
    container["env"] = Value::Array(env);
}

/// Watches the service until its `Ready` condition speaks about this generation.
pub(crate) async fn wait_ready(session: &Session, object: &Value) -> Result<Value, Failure> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
    let spinner = progress(&format!("deploying {name}"));
    loop {
        // List first, so that a watch that ended early goes on from a known version.
        let current = session.client.get(&session.service_path(&name)?).await?;
        let version = current["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
        if let Some(done) = settled(&current, generation) {
            spinner.finish_and_clear();
            return done;
        }
        let path = format!(
            "{}?watch=true&fieldSelector=metadata.name%3D{name}&resourceVersion={version}",
            session.services_path()
        );
        let seen = session.client.lines(&path, |line| {
            let event: Value = serde_json::from_slice(line).ok()?;
            let state = state(&event["object"]);
            if !state.is_empty() {
                spinner.set_message(format!("deploying {name}: {state}"));
            }
            settled(&event["object"], generation)
        });
        if let Some(done) = seen.await? {
            spinner.finish_and_clear();
            return done;
        }
    }
}

/// The end of a deploy: ready, or failed with the condition's reason; none while it goes on.
fn settled(object: &Value, generation: i64) -> Option<Result<Value, Failure>> {
    let service: Service = serde_json::from_value(object.clone()).ok()?;
    let status = service.status?;
    if status.observed_generation < generation {
        return None;
    }
    let ready = services::condition(&status.conditions, knative::READY)?;
    match ready.status.as_str() {
        "True" => Some(Ok(object.clone())),
        "False" => {
            let code = ready.reason.clone().unwrap_or_else(|| "DEPLOY_FAILED".to_owned());
            let message = ready.message.clone().unwrap_or_default();
            let name = service.metadata.name.unwrap_or_default();
            let serving: Vec<&str> =
                services::serving(&status.traffic).map(|(revision, _)| revision).collect();
            let hint = match serving.as_slice() {
                [revision] => {
                    format!("{revision} keeps serving; `ebb services describe {name}` shows more")
                }
                [_, ..] => {
                    let all = serving.join(", ");
                    format!("{all} keep serving; `ebb services describe {name}` shows more")
                }
                [] => format!("`ebb services describe {name}` and `ebb logs {name}` show more"),
            };
            Some(Err(Fault::new(&code, failure_kind(&code), message).hint(hint).into()))
        }
        _ => None,
    }
}

/// What a failed deploy means for the caller, from its stable code.
fn failure_kind(code: &str) -> Kind {
    match code {
        "IMAGE_NOT_FOUND" => Kind::NotFound,
        "IMAGE_PULL_DENIED" => Kind::Denied,
        "REGISTRY_UNAVAILABLE" | "STORAGE_UNAVAILABLE" => Kind::Unavailable,
        "REGISTRY_RATE_LIMITED" | "DISK_FULL" | "HOST_EXHAUSTED" => Kind::Exhausted,
        "PROGRESS_DEADLINE_EXCEEDED" | "NEVER_READY" => Kind::Timeout,
        _ => Kind::Invalid,
    }
}

fn state(object: &Value) -> String {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition["type"] == knative::READY);
    let text =
        |key: &str| ready.and_then(|ready| ready[key].as_str()).unwrap_or_default().to_owned();
    let message = text("message");
    if message.is_empty() { text("reason") } else { message }
}

/// A spinner on a terminal, nothing elsewhere.
pub(crate) fn progress(message: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.set_message(message.to_owned());
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn deploy(arguments: &[&str]) -> Deploy {
        let all = ["ebb", "deploy", "hello", "--image", "a:1"].iter().chain(arguments);
        match crate::cli::Cli::parse_from(all).command {
            crate::cli::Command::Deploy(deploy) => *deploy,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_flags_twice_change_nothing() {
        let flags = deploy(&["--env", "A=1", "--min", "1", "--memory", "64Mi"]);
        let mut once = json!({});
        change(&mut once, &flags);
        let mut twice = once.clone();
        change(&mut twice, &flags);
        assert_eq!(once, twice);
        let mut plain = json!({ "spec": { "template": { "spec": {
            "containers": [{ "image": "a:1" }] } } } });
        let before = plain.clone();
        change(&mut plain, &deploy(&[]));
        assert_eq!(plain, before);
    }

    #[test]
    fn a_revision_without_requests_is_told() {
        let service = |newest: &str, traffic: Value| {
            passed_over(&json!({
                "apiVersion": knative::API_VERSION, "kind": "Service",
                "metadata": { "name": "a" },
                "spec": { "template": { "spec": { "containers": [{ "image": "a:1" }] } } },
                "status": { "latestReadyRevisionName": newest, "traffic": traffic },
            }))
        };
        let pinned = json!([{ "revisionName": "a-00001", "percent": 100 }]);
        let note = service("a-00002", pinned.clone()).unwrap();
        assert_eq!(note, "a-00002 takes no requests: spec.traffic names a-00001");
        assert_eq!(service("a-00001", pinned), None);
        assert_eq!(service("a-00001", json!([])), None);
    }

    #[test]
    fn what_no_flag_names_stays() {
        let mut object = json!({ "spec": { "template": {
            "metadata": { "name": "hello-one", "labels": { "a": "b" } },
            "spec": { "containers": [{ "image": "old", "env": [{ "name": "A", "value": "1" }] }] },
        } } });
        change(&mut object, &deploy(&["--env", "B=2"]));
        let template = &object["spec"]["template"];
        assert_eq!(template["metadata"], json!({ "labels": { "a": "b" } }));
        assert_eq!(template["spec"]["containers"][0]["image"], "a:1");
        assert_eq!(template["spec"]["containers"][0]["env"].as_array().unwrap().len(), 2);
    }
}
