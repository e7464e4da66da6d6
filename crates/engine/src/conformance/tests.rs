//! The simulated twin, with simulated and with real endpoints.

use std::collections::BTreeMap;

use ebb_kit::SystemClock;
use ebb_model::engine::{ContainerSpec, RestartPolicy};
use ebb_model::image::{ImageConfig, RootFsLayout};

use super::*;
use crate::sim::{Sim, SimConfig};

/// Says to the simulated engine what to do by its environment variables.
struct Simulated {
    serve: bool,
}

impl Fixture for Simulated {
    fn spec(&self, program: &Program) -> InstanceSpec {
        let mut env = Vec::new();
        let mut say = |name: &str, value: String| env.push((name.to_owned(), value));
        let mut port = None;
        match program {
            Program::Serves(on) => port = Some(*on),
            Program::Exits(code, on) => {
                say("SIM_EXIT_CODE", code.to_string());
                port = *on;
            }
            Program::Dies(signal) => say("SIM_EXIT_SIGNAL", signal.to_string()),
            Program::NeverListens(on) => {
                say("SIM_NEVER_READY", "1".to_owned());
                port = Some(*on);
            }
            Program::IgnoresTerm(on) => {
                say("SIM_IGNORE_TERM", "1".to_owned());
                port = Some(*on);
            }
            Program::Prints(lines) => {
                for (name, stream) in
                    [("SIM_STDOUT", LogStream::Stdout), ("SIM_STDERR", LogStream::Stderr)]
                {
                    let of = lines.iter().filter(|(on, _)| *on == stream);
                    let all: Vec<&str> = of.map(|(_, line)| line.as_str()).collect();
                    say(name, all.join("|"));
                }
            }
            Program::Missing => say("SIM_START_FAILURE", "START_FAILED".to_owned()),
        }
        let container = ContainerSpec {
            name: "user".to_owned(),
            rootfs: RootFsLayout { lowers: Vec::new(), config: ImageConfig::default() },
            argv: vec!["/app".to_owned()],
            env,
            working_dir: "/".to_owned(),
            user: String::new(),
            port,
            limits: BTreeMap::from([("memory".to_owned(), 64 << 20), ("cpu".to_owned(), 100)]),
            read_only: false,
        };
        InstanceSpec {
            namespace: "default".to_owned(),
            name: "hello-00001-abcdefgh".to_owned(),
            init: Vec::new(),
            containers: vec![container],
            restart_policy: RestartPolicy::Never,
            runtime: "ebb".to_owned(),
            grace_ms: 10_000,
            start_timeout_ms: 10_000,
            labels: BTreeMap::new(),
        }
    }

    fn reachable(&self) -> bool {
        self.serve
    }
}

async fn run(serve: bool) {
    let config = SimConfig { serve, ..SimConfig::default() };
    let engine = Sim::new(config, Arc::new(SystemClock::new()));
    all(Arc::new(engine), &Simulated { serve }).await;
}

#[tokio::test(start_paused = true)]
async fn the_simulated_engine_keeps_its_promises() {
    run(false).await;
}

#[tokio::test]
async fn so_it_does_with_endpoints_on_loopback() {
    run(true).await;
}
