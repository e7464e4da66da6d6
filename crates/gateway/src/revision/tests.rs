use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use ebb_kit::SystemClock;
use ebb_model::InstanceId;
use ebb_model::routing::Endpoint;

use super::*;
use crate::instance::Trust;

fn revision(concurrency: u32) -> Arc<Revision> {
    let key = RevisionKey::new("default", "hello-00001");
    let revision = Revision::new(key, Arc::new(SystemClock::new()));
    revision.set_policy(RequestPolicy { concurrency, timeout_ms: 1000, hold_limit: 100 });
    revision
}

fn id(n: usize) -> InstanceId {
    InstanceId::parse(&format!("{n:026}")).unwrap()
}

fn add(revision: &Arc<Revision>, n: usize) {
    revision.add(Endpoint { id: id(n), address: SocketAddr::from(([127, 0, 0, 1], 1)) });
}

fn enter(revision: &Arc<Revision>) -> Entry {
    revision.enter(revision.clock.now()).unwrap()
}

#[track_caller]
fn sent(entry: Entry) -> Permit {
    let Entry::Send(permit) = entry else { panic!("it is not sent") };
    permit
}

#[track_caller]
fn waits(entry: Entry) -> Waiter {
    let Entry::Wait { waiter, .. } = entry else { panic!("it does not wait") };
    waiter
}

fn poll(waiter: &mut Waiter) -> Poll<Grant> {
    waiter.poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn granted(waiter: &mut Waiter) -> Permit {
    let Poll::Ready(Ok(permit)) = poll(waiter) else { panic!("it was not granted") };
    permit
}

/// One that was granted a place and goes away before it hears of it takes nobody along.
#[test]
fn a_late_leave_takes_nobody_else_out_of_the_queue() {
    for behind in [false, true] {
        let revision = revision(1);
        add(&revision, 1);
        let back = sent(enter(&revision));
        let late = waits(enter(&revision));
        let third = behind.then(|| waits(enter(&revision)));
        add(&revision, 2); // granted to `late`, which does not look
        assert_eq!(revision.load().in_flight, 2);
        revision.suspect(&Arc::clone(back.instance()));
        let mut back = waits(revision.reenter(back));
        drop(late);
        let permit = granted(&mut back);
        assert_eq!(permit.instance().id, id(2));
        assert_eq!(revision.load().held, u32::from(behind));
        drop((permit, third));
        assert_eq!((revision.load().held, revision.load().in_flight), (0, 0));
    }
}

/// The same while no place is free at all: it stays where it is.
#[test]
fn a_late_leave_leaves_a_queue_that_cannot_move() {
    let revision = revision(1);
    add(&revision, 1);
    let back = sent(enter(&revision));
    let late = waits(enter(&revision));
    add(&revision, 2);
    let both = [back.instance(), &revision.state().ready[1].clone()].map(Arc::clone);
    for instance in &both {
        assert!(revision.suspect(instance));
    }
    let mut back = waits(revision.reenter(back));
    drop(late);
    assert!(poll(&mut back).is_pending());
    assert_eq!((revision.load().held, revision.load().in_flight), (1, 0));
    add(&revision, 3);
    assert_eq!(granted(&mut back).instance().id, id(3));
}

#[test]
fn those_who_come_back_keep_their_order() {
    let revision = revision(1);
    add(&revision, 1);
    add(&revision, 2);
    let (first, second) = (sent(enter(&revision)), sent(enter(&revision)));
    let mut third = waits(enter(&revision));
    for permit in [&first, &second] {
        revision.suspect(permit.instance());
    }
    let mut first = waits(revision.reenter(first));
    let mut second = waits(revision.reenter(second));
    add(&revision, 3);
    let permit = granted(&mut first);
    assert!(poll(&mut second).is_pending());
    drop(permit);
    let permit = granted(&mut second);
    assert!(poll(&mut third).is_pending());
    drop(permit);
    granted(&mut third);
}

/// However many wait, a dead instance is tried by one request per while.
#[test]
fn a_suspect_instance_is_tried_by_one_request_at_a_time() {
    let revision = revision(0);
    add(&revision, 1);
    let mut permit = sent(enter(&revision));
    let instance = Arc::clone(permit.instance());
    let mut waiting: Vec<Waiter> = Vec::new();
    let mut attempts = 0;
    for _ in 0..10 {
        attempts += 1;
        assert!(revision.suspect(&instance), "news once per while");
        assert!(!revision.suspect(&instance));
        waiting.insert(0, waits(revision.reenter(permit)));
        waiting.push(waits(enter(&revision)));
        revision.trust(&instance); // an old connection says nothing about new ones
        assert!(waiting.iter_mut().all(|waiter| poll(waiter).is_pending()), "nobody spins");
        assert_eq!(revision.load().in_flight, 0);
        revision.probe(&instance);
        assert_eq!(revision.load().in_flight, 1, "one tries");
        permit = granted(&mut waiting[0]);
        waiting.remove(0);
    }
    assert_eq!(attempts, 10);
    // The one that tries goes away: the next tries.
    drop(permit);
    assert_eq!(revision.load().in_flight, 1);
    let permit = granted(&mut waiting[0]);
    revision.trust(&instance);
    assert_eq!(instance.trust.get(), Trust::Full);
    assert_eq!((revision.load().held, revision.load().in_flight), (0, 10), "it took a connection");
    drop((permit, waiting));
    assert_eq!(revision.load().in_flight, 0);
}

#[test]
fn a_forgotten_revision_takes_no_request() {
    let revision = revision(0);
    let waiter = waits(enter(&revision));
    assert!(!revision.forget());
    drop(waiter);
    assert!(revision.forget());
    assert!(revision.enter(revision.clock.now()).is_none());
}
