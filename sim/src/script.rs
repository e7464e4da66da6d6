//! A small language for scripts: what is done, and below it what is seen.
//!
//! A line that begins with `> ` is a command; the lines up to the next command, comment or empty
//! line are what it prints. `#` begins a comment. [`play`] runs the commands and answers the
//! script with what they printed, so a script is right when it is its own answer.

mod show;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ebb_engine::sim::Ending;
use serde_json::{Value as Json, json};

use crate::chance::{Rates, StoreRates};
use crate::check;
use crate::client::{Client, Name, template};
use crate::run::alone;
use crate::settle;
use crate::world::{Defect, World};

/// Seed of every script: what chance decides is not what a script is about.
const SEED: u64 = 1;

/// Runs the commands of `script`, and answers it with what they printed.
///
/// # Errors
/// A command that cannot be read, by its line; an invariant that did not hold.
pub fn play(script: &str, dir: &Path) -> Result<String> {
    alone(async {
        let world = World::new(SEED, dir, Defect::None);
        world.up().await;
        let player = Player { client: Client::new(world.clone()), world };
        let answer = player.play(script).await;
        player.world.kill("the end");
        let violations = player.world.trace.violations();
        if let Some(violation) = violations.first() {
            bail!("{violation}\n{}", player.world.trace.tail().join("\n"));
        }
        answer
    })?
}

struct Player {
    world: Arc<World>,
    client: Client,
}

/// What follows the verb of a command: words, and values by name.
struct Words<'a> {
    words: Vec<&'a str>,
    values: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    fn parse(text: &'a str) -> Self {
        let (mut words, mut values) = (Vec::new(), Vec::new());
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(pair) => values.push(pair),
                None => words.push(word),
            }
        }
        Self { words, values }
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn number(&self, name: &str) -> Result<Option<u64>> {
        let value = self.value(name).map(str::parse).transpose();
        value.with_context(|| format!("{name} is a number"))
    }

    fn word(&self, at: usize) -> Result<&'a str> {
        self.words.get(at).copied().context("a word is missing")
    }

    fn name(&self, at: usize) -> Result<Name> {
        Ok(Name::new(self.value("namespace").unwrap_or("default"), self.word(at)?))
    }

    /// A Service, or another kind where `kind=` says so.
    fn kind(&self, at: usize) -> Result<Name> {
        let namespace = self.value("namespace").unwrap_or("default");
        kind(namespace, self.word(at)?, self.value("kind").unwrap_or("services"))
    }

    fn template(&self) -> Result<Json> {
        let mut made = template(self.value("image").unwrap_or("ok"));
        for (name, annotation) in [("min", "min-scale"), ("max", "max-scale")] {
            if let Some(value) = self.number(name)? {
                let annotation = format!("autoscaling.knative.dev/{annotation}");
                made["metadata"]["annotations"][annotation] = json!(value.to_string());
            }
        }
        if let Some(value) = self.number("concurrency")? {
            made["spec"]["containerConcurrency"] = json!(value);
        }
        if let Some(value) = self.number("timeout")? {
            made["spec"]["timeoutSeconds"] = json!(value);
        }
        if let Some(secret) = self.value("secret") {
            made["spec"]["containers"][0]["env"] = json!([{"name": "PASSWORD",
                "valueFrom": {"secretKeyRef": {"name": secret, "key": "key"}}}]);
        }
        Ok(made)
    }
}

impl Player {
    async fn play(&self, script: &str) -> Result<String> {
        let mut played = String::new();
        let mut output = false;
        for (at, line) in script.lines().enumerate() {
            if let Some(command) = line.strip_prefix("> ") {
                played.push_str(line);
                played.push('\n');
                let printed = self.command(command).await;
                let printed = printed.with_context(|| format!("line {}: {command}", at + 1))?;
                for line in printed {
                    played.push_str(line.trim_end());
                    played.push('\n');
                }
                check::now(&self.world);
                output = true;
            } else if line.is_empty() || line.starts_with('#') || !output {
                output = false;
                played.push_str(line);
                played.push('\n');
            }
        }
        Ok(played)
    }

    async fn command(&self, command: &str) -> Result<Vec<String>> {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        let words = Words::parse(rest);
        let world = &self.world;
        match verb {
            "advance" => {
                tokio::time::sleep(duration(words.word(0)?)?).await;
                Ok(Vec::new())
            }
            "show" => show::show(world, words.word(0)?),
            "request" => self.request(&words),
            "answers" => Ok(show::answers(world)),
            "crash" => self.crash(&words).await,
            "fault" => self.fault(words.word(0)?),
            "daemon" => self.daemon(words.word(0)?).await,
            "settle" => {
                settle::settle(world).await;
                Ok(vec!["settled".to_owned()])
            }
            _ => self.ask(verb, rest, &words).await,
        }
    }

    /// Asks the door.
    async fn ask(&self, verb: &str, rest: &str, words: &Words<'_>) -> Result<Vec<String>> {
        let client = &self.client;
        let reply = match verb {
            "deploy" => client.deploy(&words.kind(0)?, words.template()?).await,
            "scale" => client.scale(&words.name(0)?, words.word(1)?.parse()?).await,
            "apply" => {
                let fields = match words.word(1)? {
                    "one" => json!({"spec": {"template": words.template()?}}),
                    _ => json!({}),
                };
                let manager = if words.word(1)? == "one" { "one" } else { "two" };
                client.apply(&words.name(0)?, manager, fields).await
            }
            "tag" => {
                let traffic = json!([{"latestRevision": true, "percent": 100, "tag": "blue"}]);
                client.patch(&words.name(0)?, json!({"spec": {"traffic": traffic}})).await
            }
            "follow" => {
                let share = |(name, percent): &(&str, &str)| -> Result<Json> {
                    let percent: u8 = percent.parse()?;
                    Ok(match name.strip_prefix("revision/") {
                        Some(name) => json!({"revisionName": name, "percent": percent}),
                        None => json!({"configurationName": name, "percent": percent}),
                    })
                };
                let traffic: Result<Vec<Json>> = words.values.iter().map(share).collect();
                let name = words.name(0)?.of("routes");
                client.put(&name, json!({"spec": {"traffic": traffic?}})).await
            }
            "delete-all" => client.delete_collection(&kind("default", "", words.word(0)?)?).await,
            "both" => return self.both(rest).await,
            "traffic" => {
                let traffic: Result<Vec<Json>> = words.values.iter().map(target).collect();
                let patch = json!({"spec": {"traffic": traffic?}});
                client.patch(&words.name(0)?, patch).await
            }
            "finalizer" => {
                let finalizers = match words.word(1)? {
                    "on" => json!(["sim.test/wait"]),
                    _ => json!(null),
                };
                let patch = json!({"metadata": {"finalizers": finalizers}});
                client.patch(&words.kind(0)?, patch).await
            }
            "delete" => {
                let policy = words.value("policy").unwrap_or("Background");
                client.delete(&words.kind(0)?, policy).await
            }
            "namespace" => match words.word(0)? {
                "create" => client.create_namespace(words.word(1)?).await,
                _ => client.delete_namespace(words.word(1)?).await,
            },
            "secret" => match words.word(0)? {
                "set" => client.secret("default", words.word(1)?, words.word(2)?).await,
                _ => client.delete_secret("default", words.word(1)?).await,
            },
            other => bail!("there is no command {other:?}"),
        };
        Ok(vec![reply.brief()])
    }

    /// Two templates for one Service at the same moment: `both hello image=ok | image=slow`.
    async fn both(&self, rest: &str) -> Result<Vec<String>> {
        let (first, second) = rest.split_once('|').context("two templates, with | between")?;
        let (first, second) = (Words::parse(first), Words::parse(second));
        let name = first.name(0)?;
        let patch = |words: &Words<'_>| -> Result<Json> {
            Ok(json!({"spec": {"template": words.template()?}}))
        };
        let (a, b) = (patch(&first)?, patch(&second)?);
        let (a, b) = futures_util::join!(self.client.patch(&name, a), self.client.patch(&name, b));
        Ok(vec![a.brief(), b.brief()])
    }

    /// `request hello x200 work=100`.
    fn request(&self, words: &Words<'_>) -> Result<Vec<String>> {
        let count = words.words.get(1).and_then(|word| word.strip_prefix('x'));
        let count: u32 = count.unwrap_or("1").parse()?;
        let work = Duration::from_millis(words.number("work")?.unwrap_or(10));
        for _ in 0..count {
            self.world.request(words.name(0)?.host(), work);
        }
        Ok(Vec::new())
    }

    /// `crash default/hello-00001#1`, or every instance of a Service: `crash hello`.
    async fn crash(&self, words: &Words<'_>) -> Result<Vec<String>> {
        let wanted = words.word(0)?;
        let code = Ending::Code(i32::try_from(words.number("code")?.unwrap_or(1))?);
        let mut crashed = Vec::new();
        for (id, truth) in self.world.engine.living() {
            let name = self.world.trace.known(&id);
            let of_service = truth.revision.name.rsplit_once('-').map(|(service, _)| service);
            if name == wanted || of_service == Some(wanted) {
                self.world.engine.crash(&id, code).await;
                crashed.push(name);
            }
        }
        Ok(crashed)
    }

    fn fault(&self, what: &str) -> Result<Vec<String>> {
        let none = Rates::default();
        let full = StoreRates { full: 1000, ..StoreRates::default() };
        let away = StoreRates { read: 1000, refused: 1000, ..StoreRates::default() };
        let too_old = StoreRates { watch_break: 1000, too_old: 1000, ..StoreRates::default() };
        self.world.chance.set(match what {
            "none" => none,
            "disk-full" => Rates { disk: full, ..none },
            "live-full" => Rates { live: full, ..none },
            "live-away" => Rates { live: away, ..none },
            "watches-too-old" => Rates { disk: too_old, live: too_old, ..none },
            "registry-away" => Rates { pull: 1000, ..none },
            "engine-away" => Rates { start: 1000, stop: 1000, engine: 1000, ..none },
            "start-answers-lost" => Rates { start_unknown: 1000, ..none },
            "stops-refused" => Rates { stop: 1000, ..none },
            "events-lost" => Rates { event_lost: 1000, ..none },
            "events-lost-and-no-list" => Rates { event_lost: 1000, list: 1000, ..none },
            other => bail!("there is no fault {other:?}"),
        });
        Ok(Vec::new())
    }

    /// `daemon kill`, `daemon stop`, `daemon start`, `daemon restart`, or with power: `daemon
    /// power-cut`.
    async fn daemon(&self, what: &str) -> Result<Vec<String>> {
        let world = &self.world;
        match what {
            "kill" => world.kill("as the script says"),
            "stop" => world.stop().await,
            "start" => world.up().await,
            "restart" => {
                world.kill("as the script says");
                world.up().await;
            }
            "power-cut" => {
                world.kill("as the script says");
                world.engine.power_cut();
                world.up().await;
            }
            other => bail!("a daemon cannot be told to {other:?}"),
        }
        Ok(Vec::new())
    }
}

fn kind(namespace: &str, name: &str, kind: &str) -> Result<Name> {
    let known = ["services", "configurations", "routes", "configmaps"];
    let resource = known.into_iter().find(|known| *known == kind);
    Ok(Name::new(namespace, name).of(resource.context("no such kind")?))
}

/// `hello-00001=80`, or `latest=20`.
fn target((revision, percent): &(&str, &str)) -> Result<Json> {
    let percent: u8 = percent.parse()?;
    Ok(match *revision {
        "latest" => json!({"latestRevision": true, "percent": percent}),
        revision => json!({"revisionName": revision, "percent": percent}),
    })
}

fn duration(text: &str) -> Result<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse()?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        unit => bail!("{unit:?} is no unit of time: ms, s or m"),
    }
}
