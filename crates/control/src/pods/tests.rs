use ebb_kit::ManualClock;
use ebb_store::memory::Memory;

use super::*;

fn book() -> (Arc<ManualClock>, PodBook, Arc<Template>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
    let book = PodBook::new(clock.clone(), Arc::new(Ids::new(Some(1))), "node");
    let revision = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "hello-00001", "namespace": "default"},
        "spec": {"containers": [{"image": "hello",
                                 "env": [{"name": "TOKEN", "value": "s3cret"}]}]},
    }));
    let service = ServiceKey::new("default", "hello");
    let subject = Subject {
        api_version: "serving.knative.dev/v1".into(),
        kind: "Service".into(),
        namespace: "default".to_owned(),
        name: "hello".to_owned(),
        uid: "u".to_owned(),
    };
    (clock, book, Arc::new(Template { service, subject, revision: revision.unwrap() }))
}

fn id(n: u32) -> InstanceId {
    InstanceId::parse(&format!("01j000000000000000{n:08}")).unwrap()
}

#[tokio::test]
async fn many_changes_are_written_at_once() {
    let (_, book, template) = book();
    let live = Memory::new();
    book.created(&id(1), &template);
    book.started(&id(1));
    book.ready(&id(1), Some("10.0.0.1:8080".parse().unwrap()));
    let pod = book.next().await;
    book.write(&live, &pod).await.unwrap();
    book.done(&pod);
    let text = live.get("/core/pods/default/hello-00001-00000001").await.unwrap().unwrap();
    let text = String::from_utf8(text.value.data.to_vec()).unwrap();
    assert!(text.contains("\"Running\"") && text.contains("10.0.0.1"), "{text}");
    assert!(!text.contains("s3cret"), "no environment in pods");
}

#[test]
fn exits_are_shown_in_kubernetes_words() {
    for (record, phase, reason, code) in [
        (ExitRecord { code: Some(0), ..ExitRecord::default() }, "Succeeded", "Completed", 0),
        (ExitRecord { code: Some(3), ..ExitRecord::default() }, "Failed", "Error", 3),
        (ExitRecord { signal: Some(15), ..ExitRecord::default() }, "Failed", "Error", 143),
        (
            ExitRecord { oom: true, signal: Some(9), ..ExitRecord::default() },
            "Failed",
            "OOMKilled",
            137,
        ),
    ] {
        let (_, book, template) = book();
        book.created(&id(1), &template);
        book.started(&id(1));
        book.ended(&id(1), Some(record.clone()));
        let found = book.lock().pods.values().next().unwrap().clone();
        let pod = render::pod(&found, "p", "node");
        let status = pod.status.unwrap();
        assert_eq!(status.phase.as_deref(), Some(phase), "{record:?}");
        let state = status.container_statuses.unwrap()[0].state.clone().unwrap();
        let terminated = state.terminated.unwrap();
        assert_eq!(terminated.reason.as_deref(), Some(reason));
        assert_eq!(terminated.exit_code, code);
    }
}

#[test]
fn one_that_was_told_to_stop_and_did_is_complete() {
    let (_, book, template) = book();
    book.created(&id(1), &template);
    book.started(&id(1));
    book.stopping(&id(1));
    book.ended(&id(1), Some(ExitRecord { signal: Some(15), ..ExitRecord::default() }));
    let found = book.lock().pods.values().next().unwrap().clone();
    let status = render::pod(&found, "p", "node").status.unwrap();
    assert_eq!(status.phase.as_deref(), Some("Succeeded"));
    let state = status.container_statuses.unwrap()[0].state.clone().unwrap();
    assert_eq!(state.terminated.unwrap().exit_code, 143);
}

#[test]
fn only_ten_ended_ones_are_known() {
    let (_, book, template) = book();
    for n in 0..30 {
        book.created(&id(n), &template);
        book.ended(&id(n), None);
    }
    assert_eq!(book.lock().pods.len(), ENDED);
    assert_eq!(book.lock().by_id.len(), ENDED);
    assert_eq!(book.forgotten().len(), 20);
    book.forget_service(&template.service);
    assert!(book.lock().pods.is_empty() && book.lock().ended.is_empty());
}

#[test]
fn a_pod_is_not_ready_since_it_ceased_to_be() {
    let (clock, book, template) = book();
    let since = |n: u32| {
        let inner = book.lock();
        let view = inner.pods.values().find(|view| view.id == id(n)).unwrap();
        let conditions = render::pod(view, "p", "node").status.unwrap().conditions.unwrap();
        let ready = conditions.into_iter().find(|c| c.type_ == "Ready").unwrap();
        (ready.status, ready.last_transition_time.unwrap().0.as_second())
    };
    let pass = || clock.advance(Duration::from_secs(10));
    // One that never was ready.
    book.created(&id(1), &template);
    pass();
    book.stopping(&id(1));
    pass();
    book.ended(&id(1), None);
    assert_eq!(since(1), ("False".to_owned(), 1));
    // One that was told to stop, and took its time.
    book.created(&id(2), &template);
    book.ready(&id(2), None);
    assert_eq!(since(2), ("True".to_owned(), 21));
    pass();
    book.stopping(&id(2));
    pass();
    book.ended(&id(2), None);
    assert_eq!(since(2), ("False".to_owned(), 31));
    // One that ended by itself.
    book.created(&id(3), &template);
    book.ready(&id(3), None);
    pass();
    book.ended(&id(3), None);
    assert_eq!(since(3), ("False".to_owned(), 51));
}
