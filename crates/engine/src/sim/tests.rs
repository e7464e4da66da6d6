//! What the twin does beyond the promises of every engine: time, scripts, injected failures.

use std::collections::BTreeMap;

use ebb_kit::ManualClock;
use ebb_model::engine::{ContainerSpec, ExitRecord, RestartPolicy};
use ebb_model::image::{ImageConfig, RootFsLayout};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;

fn id(number: u32) -> InstanceId {
    InstanceId::parse(&format!("01sim{number:021}")).unwrap()
}

fn spec(env: &[(&str, &str)]) -> InstanceSpec {
    let container = ContainerSpec {
        name: "user".to_owned(),
        rootfs: RootFsLayout { lowers: Vec::new(), config: ImageConfig::default() },
        argv: vec!["/app".to_owned()],
        env: env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        working_dir: "/".to_owned(),
        user: String::new(),
        port: Some(8080),
        limits: BTreeMap::new(),
        read_only: false,
    };
    InstanceSpec {
        namespace: "default".to_owned(),
        name: "hello".to_owned(),
        init: Vec::new(),
        containers: vec![container],
        restart_policy: RestartPolicy::Never,
        runtime: "ebb".to_owned(),
        grace_ms: 10_000,
        start_timeout_ms: 10_000,
        labels: BTreeMap::new(),
    }
}

fn sim(config: SimConfig) -> Sim {
    Sim::new(config, Arc::new(ManualClock::default()))
}

async fn exit(events: &mut Events) -> ExitRecord {
    loop {
        if let EngineEventKind::Exited(record) = events.recv().await.unwrap().what {
            return record;
        }
    }
}

async fn endpoint(events: &mut Events) -> SocketAddr {
    loop {
        if let EngineEventKind::Ready { endpoint, .. } = events.recv().await.unwrap().what {
            return endpoint.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_takes_the_configured_time_and_what_the_instance_adds() {
    let config = SimConfig {
        create_time: Duration::from_millis(40),
        ready_time: Duration::from_millis(2),
        ..SimConfig::default()
    };
    let sim = sim(config);
    let mut events = sim.events(0).await.unwrap();
    let began = Instant::now();
    sim.start(&id(1), spec(&[("SIM_READY_MS", "500")])).await.unwrap();
    assert_eq!(began.elapsed(), Duration::ZERO, "start does not wait");
    assert_eq!(events.recv().await.unwrap().what, EngineEventKind::Started);
    assert_eq!(began.elapsed(), Duration::from_millis(40));
    endpoint(&mut events).await;
    assert_eq!(began.elapsed(), Duration::from_millis(542));
}

#[tokio::test(start_paused = true)]
async fn a_script_decides_and_memory_runs_out() {
    let script: Script = Arc::new(|_, spec| {
        assert_eq!(spec.name, "hello");
        Behaviour { ends: Some((Duration::from_secs(5), Ending::Oom)), ..Behaviour::default() }
    });
    let sim = sim(SimConfig { script: Some(script), ..SimConfig::default() });
    let mut events = sim.events(0).await.unwrap();
    sim.start(&id(1), spec(&[])).await.unwrap();
    endpoint(&mut events).await;
    assert_eq!(events.recv().await.unwrap().what, EngineEventKind::Oom);
    let record = exit(&mut events).await;
    assert!(record.oom);
    assert_eq!(record.signal, Some(9));
}

#[tokio::test(start_paused = true)]
async fn failures_come_when_asked_for_and_then_stop() {
    let sim = sim(SimConfig { capacity: 1, ..SimConfig::default() });
    sim.fail_next(Call::Start, 2);
    for _ in 0..2 {
        let error = sim.start(&id(1), spec(&[])).await.unwrap_err();
        assert_eq!(error.code(), "ENGINE_UNAVAILABLE");
    }
    sim.start(&id(1), spec(&[])).await.unwrap();
    sim.start(&id(1), spec(&[])).await.unwrap();
    assert_eq!(sim.starts(), 1);
    let error = sim.start(&id(2), spec(&[])).await.unwrap_err();
    assert_eq!(error.code(), "HOST_EXHAUSTED");
    for call in [Call::Stop, Call::Act, Call::Open, Call::List, Call::Events] {
        sim.fail_next(call, 1);
    }
    assert!(sim.list().await.is_err() && sim.list().await.is_ok());
    assert!(sim.events(0).await.is_err() && sim.events(0).await.is_ok());
    assert!(sim.act(&id(1), Act::Freeze).await.is_err());
    assert!(sim.stop(&id(1), Duration::ZERO).await.is_err());
    sim.stop(&id(1), Duration::ZERO).await.unwrap();
    sim.start(&id(2), spec(&[])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_ended_from_outside() {
    let sim = sim(SimConfig::default());
    let mut events = sim.events(0).await.unwrap();
    sim.start(&id(1), spec(&[])).await.unwrap();
    endpoint(&mut events).await;
    sim.end(&id(1), Ending::Code(7)).await;
    assert_eq!(exit(&mut events).await.code, Some(7));
    sim.end(&id(1), Ending::Code(8)).await;
    sim.end(&id(9), Ending::Code(8)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_frozen_does_nothing_until_it_thaws() {
    let sim = sim(SimConfig::default());
    let mut events = sim.events(0).await.unwrap();
    sim.start(&id(1), spec(&[("SIM_EXIT_CODE", "0"), ("SIM_EXIT_AFTER_MS", "100")])).await.unwrap();
    endpoint(&mut events).await;
    sim.act(&id(1), Act::Freeze).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(events.try_recv().is_err(), "frozen");
    sim.act(&id(1), Act::Thaw).await.unwrap();
    assert_eq!(exit(&mut events).await.code, Some(0));
}

#[tokio::test(start_paused = true)]
async fn old_events_and_old_exits_are_forgotten() {
    let config = SimConfig { events_kept: 4, exits_kept: 2, ..SimConfig::default() };
    let sim = sim(config);
    for number in 1..=5 {
        sim.start(&id(number), spec(&[])).await.unwrap();
        sim.stop(&id(number), Duration::ZERO).await.unwrap();
    }
    let left = sim.list().await.unwrap();
    assert_eq!(left.iter().map(|s| s.id.clone()).collect::<Vec<_>>(), [id(4), id(5)]);
    let Err(Error::EventsLost { oldest }) = sim.events(0).await else { panic!("lost") };
    let mut events = sim.events(oldest - 1).await.unwrap();
    assert_eq!(events.recv().await.unwrap().seq, oldest);
}

#[tokio::test]
async fn endpoints_answer_requests_and_crash_after_some() {
    let sim = sim(SimConfig { serve: true, ..SimConfig::default() });
    let mut events = sim.events(0).await.unwrap();
    sim.start(&id(1), spec(&[("SIM_EXIT_AFTER_REQUESTS", "2"), ("SIM_EXIT_CODE", "5")]))
        .await
        .unwrap();
    let address = endpoint(&mut events).await;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let requests = [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
    ];
    let body = format!("hello from {}\n", id(1));
    for request in requests {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(body.as_bytes()) {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the answer is whole");
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }
    assert_eq!(exit(&mut events).await.code, Some(5));
    // A process that another test starts at this moment has a copy of the listener until it
    // executes its program.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn everything_ends_with_the_last_handle() {
    let first = sim(SimConfig::default());
    let second = first.clone();
    let mut events = first.events(0).await.unwrap();
    first.start(&id(1), spec(&[])).await.unwrap();
    endpoint(&mut events).await;
    drop(first);
    assert_eq!(second.list().await.unwrap().len(), 1);
    drop(second);
    assert_eq!(events.recv().await, None);
}
