//! The real kubectl against the door.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::log_and_images;
use crate::world::World;

const MANIFEST: &str = "\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: hello
spec:
  template:
    spec:
      containers:
      - image: hello
        env:
        - name: A
          value: one
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  a: one
";

/// Where kubectl is; none says so by the test's name.
fn kubectl(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|p| p.exists());
    if found.is_none() {
        println!("NOT RUN: {test}: kubectl is not on this machine");
    }
    found
}

struct Kubectl<'a> {
    program: PathBuf,
    home: &'a Path,
}

impl Kubectl<'_> {
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.args(line.split_whitespace()).env_clear();
        command.env("HOME", self.home).env("KUBECONFIG", self.home.join("kubeconfig"));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs to the end: status, output, errors.
    async fn run(&self, line: &str) -> (i32, String, String) {
        let output = self.command(line).output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// Runs to a success and answers its output.
    async fn ok(&self, line: &str) -> String {
        let (status, out, err) = self.run(line).await;
        assert_eq!(status, 0, "kubectl {line}\n{out}{err}");
        out
    }
}

fn setup(world: &World, program: PathBuf) -> Kubectl<'_> {
    let home = world.dir.path();
    let url = format!("https://{}", world.address);
    let (ca, token) = (world.handle.ca_pem(), world.handle.token());
    ebb_api::kubeconfig::write(&home.join("kubeconfig"), &url, ca, token).unwrap();
    Kubectl { program, home }
}

#[tokio::test]
async fn kubectl_applies_reads_and_deletes() {
    let Some(program) = kubectl("kubectl_applies_reads_and_deletes") else { return };
    let world = World::new();
    let kubectl = setup(&world, program);
    let file = world.dir.path().join("m.yaml");
    std::fs::write(&file, MANIFEST).unwrap();
    let apply = format!("apply -f {}", file.display());
    let out = kubectl.ok(&apply).await;
    assert_eq!(out, "service.serving.knative.dev/hello created\nconfigmap/settings created\n");
    let out = kubectl.ok(&apply).await;
    assert_eq!(out, "service.serving.knative.dev/hello unchanged\nconfigmap/settings unchanged\n");
    std::fs::write(&file, MANIFEST.replace("one", "two")).unwrap();
    let out = kubectl.ok(&apply).await;
    assert_eq!(
        out,
        "service.serving.knative.dev/hello configured\nconfigmap/settings configured\n"
    );

    let table = kubectl.ok("get ksvc").await;
    let head: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["NAME", "URL", "LATESTCREATED", "LATESTREADY", "READY", "REASON", "AGE"]);
    assert!(kubectl.ok("get services.serving.knative.dev,cm -A").await.contains("settings"));
    let json = kubectl.ok("get ksvc hello -o json").await;
    let object: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["metadata"]["generation"], 2);
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["env"][0]["value"], "two");
    assert!(kubectl.ok("get cm settings -o yaml").await.contains("a: two"));
    let described = kubectl.ok("describe ksvc hello").await;
    assert!(described.contains("Name:         hello"), "{described}");
    assert!(kubectl.ok("describe cm settings").await.contains("two"));
    let typo = world.dir.path().join("typo.yaml");
    std::fs::write(&typo, MANIFEST.replace("env:", "enw:")).unwrap();
    let (status, _, err) = kubectl.run(&format!("apply -f {}", typo.display())).await;
    assert_ne!(status, 0);
    let want = "strict decoding error: unknown field \"spec.template.spec.containers[0].enw\"";
    assert!(err.contains(want), "{err}");
    assert!(kubectl.ok("get ns").await.contains("Active"));
    assert!(kubectl.ok("api-resources").await.contains("ksvc"));
    let out = kubectl.ok(&format!("delete -f {}", file.display())).await;
    assert!(out.contains("\"hello\" deleted") && out.contains("\"settings\" deleted"), "{out}");
    let (status, _, err) = kubectl.run("get ksvc hello").await;
    assert_eq!(status, 1);
    assert!(err.contains("services.serving.knative.dev \"hello\" not found"), "{err}");
    world.end().await;
}

#[tokio::test]
async fn kubectl_shows_pods_and_their_logs() {
    let Some(program) = kubectl("kubectl_shows_pods_and_their_logs") else { return };
    let world = World::new();
    let kubectl = setup(&world, program);
    log_and_images::pod(&world).await;
    let name = "hello-00001-0abcdefg";
    let table = kubectl.ok("get pods").await;
    assert!(
        table.contains("READY") && table.contains("1/1") && table.contains("Running"),
        "{table}"
    );
    let out = kubectl.ok(&format!("logs {name}")).await;
    assert!(!out.is_empty());
    assert_eq!(kubectl.ok(&format!("logs {name} --tail=1")).await.lines().count(), 1);
    assert!(kubectl.ok(&format!("describe pod {name}")).await.contains("user-container"));
    let out = kubectl.ok(&format!("delete pod {name}")).await;
    assert!(out.contains("deleted"), "{out}");
    world.end().await;
}

#[tokio::test]
async fn kubectl_explains() {
    let Some(program) = kubectl("kubectl_explains") else { return };
    let world = World::new();
    let kubectl = setup(&world, program);
    for (what, want) in [
        ("pod.spec", "containers\t<[]Container> -required-"),
        ("pod.spec.containers.ports", "containerPort\t<integer> -required-"),
        ("secret", "data\t<map[string]string>"),
        ("ksvc.spec.traffic", "percent\t<integer>"),
        ("services.serving.knative.dev.spec.template", "Template of the next revision."),
        ("revisions.status", "actualReplicas\t<integer>"),
        ("leases.spec", "holderIdentity\t<string>"),
        ("namespaces", "Namespace provides a scope"),
    ] {
        let text = kubectl.ok(&format!("explain {what}")).await;
        assert!(text.contains(want), "{what}\n{text}");
    }
    let all = kubectl.ok("explain services.serving.knative.dev --recursive").await;
    assert!(all.contains("containerConcurrency") && all.contains("secretKeyRef"), "{all}");
    world.end().await;
}

#[tokio::test]
async fn kubectl_watches() {
    let Some(program) = kubectl("kubectl_watches") else { return };
    let world = World::new();
    let kubectl = setup(&world, program);
    let mut child = kubectl.command("get cm -w").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for (name, heading) in [("first", true), ("second", false)] {
        let body = crate::world::config_map(name, "1");
        assert_eq!(world.post(crate::world::MAPS, &body).await.0, 201);
        let mut line = lines.next_line().await.unwrap().unwrap();
        if heading {
            assert!(line.starts_with("NAME"), "{line}");
            line = lines.next_line().await.unwrap().unwrap();
        }
        assert!(line.starts_with(name), "{line}");
    }
    child.kill().await.unwrap();
    world.end().await;
}
