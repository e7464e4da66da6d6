//! Start, ready, stop, exit.

use std::time::Duration;

use ebb_model::engine::{EngineEventKind, State};

use super::{Program, Suite};
use crate::{Act, Error};

/// Long enough that only a kill by mistake would come before it.
const LONG: Duration = Duration::from_secs(50);
const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;

impl Suite<'_> {
    pub(super) async fn serves_until_it_is_stopped(&mut self) {
        let mut watcher = self.watcher().await;
        let id = self.id();
        let spec = self.spec(&Program::Serves(8080));
        self.engine.start(&id, spec.clone()).await.expect("it starts");
        self.engine.start(&id, spec.clone()).await.expect("a second start changes nothing");
        let endpoint = watcher.ready(&id).await.expect("a port has an endpoint");
        if self.fixture.reachable() {
            tokio::net::TcpStream::connect(endpoint).await.expect("ready means that it accepts");
        }
        self.engine.start(&id, spec.clone()).await.expect("nor does a late one");
        let listed = self.engine.list().await.expect("it lists");
        let listed: Vec<_> = listed.into_iter().filter(|status| status.id == id).collect();
        assert_eq!(listed.len(), 1, "an instance is listed once");
        assert_eq!(listed[0].state, State::Ready);
        assert_eq!(listed[0].endpoint, Some(endpoint));
        assert_eq!(listed[0].spec, spec);
        assert_eq!(listed[0].exit, None);
        self.stop(&id, LONG).await;
        let (others, record) = watcher.events_until_exit(&id).await;
        assert_eq!(others, [], "no event between Ready and Exited");
        assert!(record.code.is_some() != record.signal.is_some(), "code or signal: {record:?}");
        assert!(!record.oom && record.start_failure.is_none(), "{record:?}");
        let listed = self.engine.list().await.expect("it lists");
        let state = listed.iter().find(|status| status.id == id).map(|status| status.state);
        assert!(matches!(state, None | Some(State::Exited)), "after stop: {state:?}");
        if self.fixture.reachable() {
            let gone = tokio::time::timeout(
                Duration::from_millis(200),
                tokio::net::TcpStream::connect(endpoint),
            );
            assert!(!matches!(gone.await, Ok(Ok(_))), "nothing listens after stop");
        }
        self.stop(&id, LONG).await;
    }

    pub(super) async fn every_exit_code_is_told(&mut self) {
        const AT_ONCE: usize = 16;
        let codes: Vec<u8> = (0..=255).collect();
        for codes in codes.chunks(AT_ONCE) {
            let mut watcher = self.watcher().await;
            let mut started = Vec::new();
            for code in codes {
                let id = self.id();
                let spec = self.spec(&Program::Exits(*code, None));
                self.engine.start(&id, spec).await.expect("it starts");
                started.push((id, *code));
            }
            for (id, code) in started {
                let record = watcher.exited(&id).await;
                assert_eq!((record.code, record.signal), (Some(code.into()), None));
                assert_eq!(record.start_failure, None);
                // The record of one that ended by itself is kept: starting it again does nothing.
                let spec = self.spec(&Program::Exits(code, None));
                self.engine.start(&id, spec).await.expect("nothing happens");
                let listed = self.engine.list().await.expect("it lists");
                let listed = listed.into_iter().find(|status| status.id == id);
                let listed = listed.expect("the record of an exit is kept");
                assert_eq!((listed.state, listed.exit), (State::Exited, Some(record)));
                self.stop(&id, Duration::ZERO).await;
            }
        }
    }

    pub(super) async fn every_signal_is_told(&mut self) {
        // HUP, INT, QUIT, ABRT, KILL, USR1, SEGV, ALRM, TERM.
        for signal in [1, 2, 3, 6, 9, 10, 11, 14, 15] {
            let record = self.run_to_end(self.spec(&Program::Dies(signal))).await;
            assert_eq!((record.code, record.signal), (None, Some(signal)));
            assert!(!record.oom);
        }
    }

    pub(super) async fn an_early_exit_is_never_ready(&mut self) {
        let mut watcher = self.watcher().await;
        let id = self.id();
        let spec = self.spec(&Program::Exits(3, Some(8080)));
        self.engine.start(&id, spec).await.expect("it starts");
        let (before, record) = watcher.events_until_exit(&id).await;
        let ready = |what: &EngineEventKind| matches!(what, EngineEventKind::Ready { .. });
        assert!(!before.iter().any(ready), "it was never ready: {before:?}");
        assert_eq!(record.code, Some(3));
    }

    pub(super) async fn a_program_that_never_listens_is_given_up(&mut self) {
        let mut spec = self.spec(&Program::NeverListens(8080));
        spec.start_timeout_ms = 300;
        let record = self.run_to_end(spec).await;
        let failure = record.start_failure.expect("a start failure");
        assert_eq!(failure.code, "NEVER_READY");
        assert!(!failure.message.is_empty());
    }

    pub(super) async fn a_missing_program_is_a_start_failure(&mut self) {
        let mut watcher = self.watcher().await;
        let id = self.id();
        self.engine.start(&id, self.spec(&Program::Missing)).await.expect("it starts");
        let (before, record) = watcher.events_until_exit(&id).await;
        assert_eq!(before, [], "a program that is not there is never Started");
        let failure = record.start_failure.expect("a start failure");
        assert_eq!(failure.code, "START_FAILED");
    }

    pub(super) async fn the_kill_follows_the_grace(&mut self) {
        let (id, mut watcher) = self.ready(&Program::IgnoresTerm(8080)).await;
        self.stop(&id, Duration::from_millis(300)).await;
        assert_eq!(watcher.exited(&id).await.signal, Some(SIGKILL));
        // No grace at all is allowed.
        let (id, mut watcher) = self.ready(&Program::IgnoresTerm(8080)).await;
        self.stop(&id, Duration::ZERO).await;
        assert_eq!(watcher.exited(&id).await.signal, Some(SIGKILL));
    }

    pub(super) async fn freezing_and_signals_act(&mut self) {
        let (id, mut watcher) = self.ready(&Program::Serves(8080)).await;
        match self.engine.act(&id, Act::Freeze).await {
            Ok(()) => {
                self.engine.act(&id, Act::Freeze).await.expect("freezing twice is freezing");
                self.engine.act(&id, Act::Thaw).await.expect("what freezes thaws");
                self.engine.act(&id, Act::Freeze).await.expect("and freezes again");
                // A frozen one can be stopped.
                self.stop(&id, Duration::from_secs(5)).await;
            }
            Err(Error::Unsupported(_)) => self.stop(&id, LONG).await,
            Err(error) => panic!("freeze: {error}"),
        }
        watcher.exited(&id).await;
        let (id, mut watcher) = self.ready(&Program::Serves(8080)).await;
        self.engine.act(&id, Act::Signal(SIGTERM)).await.expect("a signal is sent");
        watcher.exited(&id).await;
        let gone = self.engine.act(&id, Act::Signal(SIGTERM)).await;
        assert!(matches!(gone, Err(Error::NotFound(_))), "it has ended: {gone:?}");
    }

    pub(super) async fn events_are_resumed(&mut self) {
        let mut watcher = self.watcher().await;
        let id = self.id();
        self.engine.start(&id, self.spec(&Program::Exits(0, None))).await.expect("it starts");
        let started = watcher.of(&id).await;
        watcher.exited(&id).await;
        let again = self.engine.events(started.seq).await.expect("kept events are read again");
        let first = super::Watcher::from(again).next().await;
        assert_eq!(first.seq, started.seq + 1, "resumed after what was seen");
    }
}
