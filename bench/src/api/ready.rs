//! From applying a new template to a service that sleeps until it is ready. The image is here, and
//! ready means what the API says: the first instance of the new revision was started and its port
//! accepted a connection.

use anyhow::{Context, Result, ensure};
use ebb_e2e::api::ApiConnection;
use ebb_e2e::{Platform, now};
use serde_json::{Value, json};

use super::Timing;
use super::client::{SERVICES, micros, worked};

const SERVICE: &str = "sleeper";
const PODS: &str = "/api/v1/namespaces/default/pods";

/// Every round applies another value of a variable, with server-side apply.
pub(super) fn measure(platform: &Platform, rounds: usize) -> Result<Vec<Timing>> {
    let image = platform.load_hello()?;
    let mut times = Vec::new();
    for round in 0..=rounds {
        let time = once(platform, image, round)?;
        if round > 0 {
            times.push(time);
        }
        sleep(platform, &mut platform.api()?.open()?)?;
    }
    Ok(vec![Timing::new("apply to Ready, service asleep", "ebb", &times)])
}

fn once(platform: &Platform, image: &str, round: usize) -> Result<f64> {
    let body = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service",
        "metadata": {"name": SERVICE},
        "spec": {"template": {"spec": {"containers": [{
            "image": image,
            "env": [{"name": "ROUND", "value": round.to_string()}],
        }]}}},
    });
    let api = platform.api()?;
    let list = api.get(&format!("{SERVICES}?limit=1"))?;
    let version = list["metadata"]["resourceVersion"].as_str().context("a list has a version")?;
    let watch = format!("{SERVICES}?watch=true&resourceVersion={version}");
    let (mut watcher, mut writer) = (api.open()?, api.open()?);
    let path = format!("{SERVICES}/{SERVICE}?fieldManager=bench&force=true");
    let begin = now();
    worked(writer.patch(&path, "application/apply-patch+yaml", &body)?)?;
    let text = round.to_string();
    watcher.watch(&watch, |event| is_ready(&event["object"], &text).then_some(()))?;
    Ok(micros(begin.elapsed()))
}

/// Whether the Service says that what was applied last is ready.
fn is_ready(service: &Value, round: &str) -> bool {
    let status = &service["status"];
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    service["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == round
        && status["observedGeneration"] == service["metadata"]["generation"]
        && status["latestReadyRevisionName"] == status["latestCreatedRevisionName"]
        && conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
}

/// Deletes every instance and waits until they are gone.
fn sleep(platform: &Platform, api: &mut ApiConnection) -> Result<()> {
    loop {
        let list = api.get(PODS)?;
        let mut pods = list["items"].as_array().into_iter().flatten();
        let lives =
            |pod: &&Value| !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let Some(pod) = pods.find(lives) else { return Ok(()) };
        let name = pod["metadata"]["name"].as_str().context("a pod without a name")?;
        let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("0");
        let mut watcher = platform.api()?.open()?;
        let status = api.send("DELETE", &format!("{PODS}/{name}"), None)?.status();
        ensure!(matches!(status, 200 | 202 | 404), "deleting {name}: {status}");
        watcher.watch(&format!("{PODS}?watch=true&resourceVersion={version}"), |event| {
            let gone = event["type"] == "DELETED" && event["object"]["metadata"]["name"] == name;
            gone.then_some(())
        })?;
    }
}
