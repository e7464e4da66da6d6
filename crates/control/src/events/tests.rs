use ebb_kit::ManualClock;
use ebb_store::memory::Memory;

use super::*;

fn book() -> (Arc<ManualClock>, EventBook, Memory) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
    let book = EventBook::new(clock.clone(), Arc::new(Ids::new(Some(1))), "node");
    (clock, book, Memory::new())
}

pub(super) fn subject() -> Subject {
    Subject {
        api_version: API_VERSION.into(),
        kind: "Service".into(),
        namespace: "default".to_owned(),
        name: "hello".to_owned(),
        uid: "u".to_owned(),
    }
}

async fn flush(book: &EventBook, live: &Memory, count: usize) {
    for _ in 0..count {
        let key = book.next().await;
        book.write(live, &key).await.unwrap();
        book.done(&key);
    }
}

async fn events(live: &Memory) -> Vec<Event> {
    let all = objects::list::<Event>(live, "/core/events/").await.unwrap();
    all.into_iter().map(|stored| stored.object).collect()
}

#[tokio::test]
async fn repeats_are_counted_in_one_event() {
    let (_, book, live) = book();
    for _ in 0..3 {
        book.record(&subject(), Level::Warning, "OOM_KILLED", "too much");
    }
    book.record(&subject(), Level::Normal, "RevisionReady", "ready");
    flush(&book, &live, 2).await;
    let mut all = events(&live).await;
    all.sort_by_key(|event| event.count);
    assert_eq!(all.len(), 2);
    assert_eq!((all[0].count, all[0].type_.as_deref()), (Some(1), Some("Normal")));
    assert_eq!((all[1].count, all[1].type_.as_deref()), (Some(3), Some("Warning")));
    let series = all[1].series.as_ref().unwrap();
    assert_eq!((series.count, series.last_observed_time.is_some()), (Some(3), true));
    assert!(all[0].series.is_none());
    assert_eq!(all[1].reason.as_deref(), Some("OOM_KILLED"));
    assert_eq!(all[1].involved_object.kind.as_deref(), Some("Service"));
}

#[tokio::test]
async fn at_most_a_thousand_are_kept() {
    let (clock, book, live) = book();
    for n in 0..MOST + 5 {
        clock.advance(Duration::from_millis(1));
        let subject = Subject { name: format!("s-{n}"), ..subject() };
        book.record(&subject, Level::Normal, "Scaled", &n.to_string());
    }
    flush(&book, &live, MOST + 5).await;
    let all = events(&live).await;
    assert_eq!(all.len(), MOST);
    assert!(all.iter().all(|event| event.message.as_deref() != Some("0")));
}

#[tokio::test]
async fn they_are_gone_after_an_hour() {
    let (clock, book, live) = book();
    book.record(&subject(), Level::Normal, "Scaled", "x");
    flush(&book, &live, 1).await;
    assert_eq!(events(&live).await.len(), 1);
    clock.advance(KEEP);
    flush(&book, &live, 1).await;
    assert_eq!(events(&live).await.len(), 0);
    assert!(book.lock().known.is_empty());
}

#[tokio::test]
async fn much_of_one_sort_is_told_together_and_then_not_at_all() {
    let (_, book, live) = book();
    for n in 0..40 {
        book.record(&subject(), Level::Warning, "EXITED_EARLY", &n.to_string());
    }
    flush(&book, &live, 11).await;
    let all = events(&live).await;
    assert_eq!(all.len(), 11);
    let together = all.iter().find(|event| event.count > Some(1)).unwrap();
    assert_eq!(together.message.as_deref(), Some("(combined from similar events): 24"));
    assert_eq!(together.series.as_ref().unwrap().count, Some(15));
}

#[tokio::test]
async fn they_go_with_their_namespace() {
    let (_, book, live) = book();
    book.record(&subject(), Level::Normal, "Scaled", "x");
    let node = Subject { namespace: String::new(), ..subject() };
    book.record(&node, Level::Normal, "Ready", "x");
    flush(&book, &live, 2).await;
    assert!(events(&live).await.iter().all(|e| e.metadata.namespace.as_deref() == Some("default")));
    book.forget_namespace("default");
    flush(&book, &live, 2).await;
    assert!(events(&live).await.is_empty());
}
