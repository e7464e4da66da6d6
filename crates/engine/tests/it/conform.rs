//! The suite that every engine must pass.

use ebb_engine::conformance::{self, Fixture, Program};
use ebb_model::engine::{InstanceSpec, LogStream};

use crate::harness::Ctx;

struct Programs(Ctx);

impl Fixture for Programs {
    fn spec(&self, program: &Program) -> InstanceSpec {
        let (args, port): (Vec<String>, Option<u16>) = match program {
            Program::Serves(port) => (vec!["serve".into(), port.to_string()], Some(*port)),
            Program::Exits(code, port) => (vec!["exit".into(), code.to_string()], *port),
            Program::Dies(signal) => (vec!["signal".into(), signal.to_string()], None),
            Program::NeverListens(port) => (vec!["sleep".into()], Some(*port)),
            Program::IgnoresTerm(port) => {
                (vec!["serve-deaf".into(), port.to_string()], Some(*port))
            }
            Program::Prints(lines) => {
                let words = lines.iter().map(|(stream, line)| {
                    let stream = if *stream == LogStream::Stdout { "out" } else { "err" };
                    format!("{stream}:{line}")
                });
                (std::iter::once("say".to_owned()).chain(words).collect(), None)
            }
            Program::Missing => (vec![], None),
        };
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut spec = self.0.spec(&args);
        spec.containers[0].port = port;
        if *program == Program::Missing {
            spec.containers[0].argv[0] = "/bin/missing".into();
        }
        spec
    }

    fn reachable(&self) -> bool {
        true
    }
}

pub(crate) async fn all(ctx: Ctx) {
    let engine = std::sync::Arc::clone(&ctx.engine);
    conformance::all(engine, &Programs(ctx)).await;
}
