//! What a demo shows, in order.

use ebb_images::build::{ImageBuilder, Layer};
use ebb_kit::{Clock, SystemClock};
use ebb_model::Reference;
use ebb_model::routing::ColdPhases;
use ebb_model::scaling::ColdStartRecord;
use indicatif::ProgressBar;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use super::http::Connection;
use super::platform::Ready;
use crate::cli::Output;
use crate::commands::{Session, deploy, explain, images};
use crate::failure::Failure;
use crate::output::{self, milliseconds};

/// The example server, compiled by the build script.
const HELLO: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hello"));
const WARM_REQUESTS: usize = 1000;
/// The shortest idle window that Knative allows; the demo should not be a wait.
const IDLE_WINDOW: &str = "6s";

/// A spinner on a terminal; elsewhere the step is printed when it is done.
pub(crate) fn spinner(step: &str) -> ProgressBar {
    deploy::progress(step)
}

/// What was shown, for `-o json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    url: String,
    curl: String,
    cold: [Cold; 2],
    warm: Warm,
}

/// A cold request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cold {
    total_us: u64,
    phases: ColdPhases,
}

/// The warm requests.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Warm {
    requests: usize,
    p50_us: u64,
    p99_us: u64,
}

/// Shows everything but the farewell.
pub(crate) async fn show(session: &Session, platform: &Ready) -> Result<Shown, Failure> {
    let say = |text: &str| {
        if session.output == Output::Table {
            output::line(text);
        }
    };
    let clock = SystemClock::new();
    let step = spinner("building and loading the image of the hello example");
    load_image(session, platform).await?;
    step.finish_and_clear();
    say(&format!("image      {} KiB, one layer, built here", HELLO.len() / 1024));

    let step = spinner("deploying the service hello");
    let service = deploy_hello(session).await?;
    step.finish_and_clear();
    let url = service["status"]["url"].as_str().unwrap_or_default().to_owned();
    say(&format!("deployed   {url}"));
    say(&format!("           {}", curl(platform)));

    sleep_to_zero(session).await?;
    say("at zero    no instance runs");
    let first = cold(session, platform, &clock).await?;
    say(&first.text());
    let warm = warm(platform, &clock).await?;
    say(&warm.text());
    sleep_to_zero(session).await?;
    say("at zero    no instance runs");
    let second = cold(session, platform, &clock).await?;
    say(&second.text());
    Ok(Shown { url, curl: curl(platform), cold: [first, second], warm })
}

impl Cold {
    fn text(&self) -> String {
        let phases = explain::each(&self.phases)
            .map(|(name, micros)| format!("{name} {}", milliseconds(micros)));
        let total = milliseconds(self.total_us);
        format!("cold       {total} until the answer was there\n           {}", phases.join(", "))
    }
}

impl Warm {
    fn text(&self) -> String {
        let (p50, p99) = (milliseconds(self.p50_us), milliseconds(self.p99_us));
        format!("warm       {} requests: p50 {p50}, p99 {p99}", self.requests)
    }
}

async fn load_image(session: &Session, platform: &Ready) -> Result<(), Failure> {
    let archive = platform.scratch.join("hello.tar");
    let name: Reference = "hello:demo".parse()?;
    ImageBuilder::new()
        .layer(Layer::new().file("/hello", HELLO.to_vec(), 0o755))
        .entrypoint(["/hello"])
        .expose(8080)
        .write_archive(&archive, &name)
        .map_err(|error| Failure::internal("building the image", &error))?;
    images::upload(session, &archive, None).await.map(|_| ())
}

async fn deploy_hello(session: &Session) -> Result<Value, Failure> {
    let service = json!({
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": { "name": "hello", "namespace": session.namespace },
        "spec": { "template": {
            "metadata": { "annotations": { "autoscaling.knative.dev/window": IDLE_WINDOW } },
            "spec": { "containers": [{ "image": "hello:demo" }] },
        }},
    });
    let path = format!("{}?fieldValidation=Strict", session.services_path());
    let created = session.client.json(Method::POST, &path, Some(&service)).await?;
    deploy::wait_ready(session, &created).await
}

/// Waits until no instance of the service is left.
async fn sleep_to_zero(session: &Session) -> Result<(), Failure> {
    let step = spinner(&format!("waiting for scale to zero (idle window {IDLE_WINDOW})"));
    let path = format!(
        "/api/v1/namespaces/{}/pods?labelSelector=serving.knative.dev%2Fservice%3Dhello",
        session.namespace
    );
    loop {
        let pods = session.client.get(&path).await?;
        let items = pods["items"].as_array().cloned().unwrap_or_default();
        if !items.iter().any(lives) {
            break;
        }
        let version = pods["metadata"]["resourceVersion"].as_str().unwrap_or("0");
        let watch = format!("{path}&watch=true&resourceVersion={version}");
        session
            .client
            .lines(&watch, |line| {
                let event: Value = serde_json::from_slice(line).ok()?;
                (event["type"] == "DELETED" || !lives(&event["object"])).then_some(())
            })
            .await?;
    }
    step.finish_and_clear();
    Ok(())
}

fn lives(pod: &Value) -> bool {
    !matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

async fn cold(session: &Session, platform: &Ready, clock: &SystemClock) -> Result<Cold, Failure> {
    let known = explain::cold_starts(&explain::fetch(session, "hello").await?)?.len();
    let mut connection = Connection::open(platform.gateway, HOST, clock).await?;
    let total_us = connection.get().await?;
    let record = newest_cold_start(session, known).await?;
    Ok(Cold { total_us, phases: record.phases })
}

/// The record of the request that was just answered; it is written after the answer was sent.
async fn newest_cold_start(session: &Session, known: usize) -> Result<ColdStartRecord, Failure> {
    for _ in 0..100 {
        let mut records = explain::cold_starts(&explain::fetch(session, "hello").await?)?;
        if records.len() > known
            && let Some(newest) = records.pop()
        {
            return Ok(newest);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Err(Failure::internal("the cold request", &"it was answered by an instance that was ready"))
}

async fn warm(platform: &Ready, clock: &dyn Clock) -> Result<Warm, Failure> {
    let step = spinner("sending warm requests");
    let mut connection = Connection::open(platform.gateway, HOST, clock).await?;
    let mut times = Vec::with_capacity(WARM_REQUESTS);
    for _ in 0..WARM_REQUESTS {
        times.push(connection.get().await?);
    }
    times.sort_unstable();
    step.finish_and_clear();
    let at = |percent: usize| times[times.len() * percent / 100];
    Ok(Warm { requests: WARM_REQUESTS, p50_us: at(50), p99_us: at(99) })
}

const HOST: &str = "hello.default.localhost";

/// A line for a shell that reaches the service whether or not the resolver knows `*.localhost`.
fn curl(platform: &Ready) -> String {
    let gateway = platform.gateway;
    format!("curl -H 'Host: {HOST}' http://{gateway}/")
}

/// Says how to go on.
pub(crate) fn say_how_to_try(platform: &Ready) {
    let kubeconfig = platform.kubeconfig.display();
    output::line("");
    output::line("It stays up until Ctrl-C. In another terminal:");
    output::line(&format!("  {}", curl(platform)));
    output::line(&format!("  export KUBECONFIG={kubeconfig} EBB_KUBECONFIG={kubeconfig}"));
    output::line("  kubectl get ksvc,pods");
    output::line("  ebb services list");
    output::line("  ebb explain service/hello");
    output::line("  ebb logs hello -f");
}
