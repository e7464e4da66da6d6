use ebb_kit::ManualClock;
use tokio::sync::oneshot::Receiver;

use super::*;
use crate::sqlite::schema;
use crate::{Precondition, Retention, Value};

fn writer(dir: &std::path::Path) -> (Writer, std::fs::File) {
    let opened = schema::open(&dir.join("db")).unwrap();
    let options = Options {
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(7))),
        ..Options::new(Retention::DISK)
    };
    let hub = Arc::new(Hub::new(0, 64));
    (Writer::new(opened.connection, hub, options).unwrap(), opened.lock)
}

fn request(preconditions: Vec<Precondition>, key: &str) -> (Request, Receiver<Result<u64, Error>>) {
    let value = Value { storage_version: 1, sealed: false, data: "x".into() };
    let commit = Commit {
        preconditions,
        writes: vec![Write::Put { key: key.to_owned(), value }],
        actor: "alice".to_owned(),
        request_id: format!("request {key}"),
        idempotency_key: None,
    };
    let (answer, answered) = oneshot::channel();
    (Request { commit, answer }, answered)
}

#[test]
fn commits_of_one_group_see_each_other_and_fail_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _lock) = writer(dir.path());
    let absent = |key: &str| vec![Precondition::Absent(key.to_owned())];
    let (requests, answers): (Vec<_>, Vec<_>) = [
        request(absent("/a"), "/a"),
        request(absent("/a"), "/a"),
        request(vec![Precondition::Version("/a".to_owned(), 1)], "/b"),
        request(absent("/none"), "/a"),
    ]
    .into_iter()
    .unzip();
    let (mut live, _) = writer.hub.subscribe("/", 0);
    writer.group(requests);
    let mut answers = answers.into_iter().map(|mut answer| answer.try_recv().unwrap());
    assert_eq!(answers.next().unwrap().unwrap(), 1);
    assert!(matches!(answers.next().unwrap(), Err(Error::Conflict { key }) if key == "/a"));
    assert_eq!(answers.next().unwrap().unwrap(), 2);
    assert_eq!(answers.next().unwrap().unwrap(), 3);
    let events: Vec<_> = std::iter::from_fn(|| live.try_next())
        .map(|event| event.unwrap().event().version())
        .collect();
    assert_eq!(events, [1, 2, 3]);

    let rows: Vec<(i64, i64, String, String)> = writer
        .connection
        .prepare("SELECT version, time_us, actor, request_id FROM commits ORDER BY version")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let row = |version, key: &str| (version, 7, "alice".to_owned(), format!("request {key}"));
    assert_eq!(rows, [row(1, "/a"), row(2, "/b"), row(3, "/a")], "who, what and when");
}

#[test]
fn a_failure_of_the_disk_fails_the_group_and_leaves_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _lock) = writer(dir.path());
    writer.connection.pragma_update(None, "query_only", true).unwrap();
    let (requests, answers): (Vec<_>, Vec<_>) =
        [request(Vec::new(), "/a"), request(Vec::new(), "/b")].into_iter().unzip();
    writer.group(requests);
    for mut answer in answers {
        assert!(matches!(answer.try_recv().unwrap(), Err(Error::Unavailable(_))));
    }
    writer.connection.pragma_update(None, "query_only", false).unwrap();
    assert_eq!(writer.newest, 0);
    let (request, mut answer) = request(Vec::new(), "/a");
    writer.group(vec![request]);
    assert_eq!(answer.try_recv().unwrap().unwrap(), 1, "and it goes on afterwards");
}

#[test]
fn a_commit_that_does_not_fit_lets_the_others_of_its_group_pass() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, _lock) = writer(dir.path());
    let pages: i64 =
        writer.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    writer
        .connection
        .pragma_update_and_check(None, "max_page_count", pages + 8, |_| Ok(()))
        .unwrap();
    let mut large = request(Vec::new(), "/large");
    if let Some(Write::Put { value, .. }) = large.0.commit.writes.first_mut() {
        value.data = vec![7; 1 << 20].into();
    }
    let (requests, answers): (Vec<_>, Vec<_>) =
        [request(Vec::new(), "/a"), large, request(Vec::new(), "/b")].into_iter().unzip();
    writer.group(requests);
    let results = answers.into_iter().map(|mut answer| answer.try_recv().unwrap());
    let results: Vec<_> = results.map(|result| result.map_err(|error| error.code())).collect();
    assert_eq!(results, [Ok(1), Err("DISK_FULL"), Ok(2)]);
}

#[test]
fn every_connection_is_set_up_for_durability() {
    let dir = tempfile::tempdir().unwrap();
    let (writer, _lock) = writer(dir.path());
    let number = |name| {
        writer.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(number("synchronous"), 2, "FULL");
    assert_eq!(number("foreign_keys"), 1);
    let mode: String =
        writer.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    let mapped: Option<i64> = writer
        .connection
        .pragma_query(None, "mmap_size", |_| Ok(()))
        .map(|()| None)
        .or_else(|_| {
            writer.connection.pragma_query_value(None, "mmap_size", |row| row.get(0)).map(Some)
        })
        .unwrap();
    assert!(mapped.is_none_or(|bytes| bytes == 0), "nothing is mapped: {mapped:?}");
}
