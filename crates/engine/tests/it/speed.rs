//! What a start costs. Prints; judges nothing, because a busy machine is no fault.

use std::time::Duration;

use ebb_engine::Engine;
use ebb_kit::{Clock, SystemClock};
use ebb_model::engine::{EngineEventKind, StartPhases};

use crate::harness::{Ctx, next};

const ROUNDS: u32 = 40;

pub(crate) async fn phases(ctx: Ctx) {
    let clock = SystemClock::new();
    let mut events = ctx.events().await;
    let mut all: Vec<(u128, StartPhases)> = Vec::new();
    for number in 1..=ROUNDS {
        let mut spec = ctx.spec(&["serve", "8080"]);
        spec.containers[0].port = Some(8080);
        // The reserve is filled again in the quiet time between two starts.
        tokio::time::sleep(Duration::from_millis(60)).await;
        let began = clock.now();
        let id = ctx.start(number, spec).await;
        loop {
            if let EngineEventKind::Ready { phases, .. } = next(&mut events).await.what {
                all.push((clock.now().since(began).as_micros(), phases));
                break;
            }
        }
        ctx.engine.stop(&id, Duration::from_secs(1)).await.unwrap();
    }
    let mut bare: Vec<u128> = Vec::new();
    for round in 0..ROUNDS {
        bare.push(bare_us(&ctx, &clock, u16::try_from(20_000 + round).unwrap()).await);
    }
    bare.sort_unstable();
    println!("fork, exec and first connection of the bare program: {} us", bare[bare.len() / 2]);
    let median = |of: &dyn Fn(&(u128, StartPhases)) -> u64| {
        let mut values: Vec<u64> = all.iter().map(of).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    println!(
        "start to ready, median of {ROUNDS}: {} us; create {}, rootfs {}, start {}, ready {}",
        median(&|(total, _)| u64::try_from(*total).unwrap_or(0)),
        median(&|(_, phases)| phases.create_us),
        median(&|(_, phases)| phases.rootfs_us),
        median(&|(_, phases)| phases.start_us),
        median(&|(_, phases)| phases.ready_us),
    );
}

/// The same program on the host: from fork until it accepts a connection.
async fn bare_us(ctx: &Ctx, clock: &SystemClock, port: u16) -> u128 {
    let program = ctx.layer().join("bin/app");
    tokio::time::sleep(Duration::from_millis(20)).await;
    let began = clock.now();
    let mut child =
        std::process::Command::new(program).args(["serve", &port.to_string()]).spawn().unwrap();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_micros(30));
    }
    let took = clock.now().since(began).as_micros();
    child.kill().unwrap();
    child.wait().unwrap();
    took
}
