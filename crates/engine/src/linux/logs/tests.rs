use std::time::Duration;

use ebb_kit::Shutdown;
use tokio::sync::{mpsc, watch};

use super::follow::Reader;
use super::write::Writer;
use super::*;
use crate::LogQuery;

const OUT: LogStream = LogStream::Stdout;

fn writer(dir: &tempfile::TempDir, limits: LogLimits) -> Writer {
    Writer::make(dir.path().join("instance"), limits, Timestamp::default()).unwrap()
}

async fn read(dir: &tempfile::TempDir, query: LogQuery) -> Vec<LogRecord> {
    let (send, mut receive) = mpsc::channel(8);
    let (_keep, ended) = watch::channel(true);
    let reader = Reader { dir: dir.path().join("instance"), query, ended, send };
    let collect = async {
        let mut records = Vec::new();
        while let Some(record) = receive.recv().await {
            records.push(record);
        }
        records
    };
    tokio::join!(reader.run(Shutdown::new()), collect).1
}

fn lines(records: &[LogRecord]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(&record.line).into_owned()).collect()
}

#[tokio::test]
async fn lines_come_back_in_order_with_their_streams() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(&dir, LogLimits::default());
    let now = Timestamp::from_micros(7);
    writer.take(OUT, b"one\ntw", now);
    writer.take(LogStream::Stderr, b"\xff\x00\n", now);
    writer.take(OUT, b"o\n\nlast", now);
    writer.end(OUT, now);
    let records = read(&dir, LogQuery::default()).await;
    assert_eq!(lines(&records), ["one", "\u{fffd}\0", "two", "", "last"]);
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(records[1].stream, LogStream::Stderr);
    let tail = read(&dir, LogQuery { tail: Some(2), ..LogQuery::default() }).await;
    assert_eq!(lines(&tail), ["", "last"]);
    let since = Some(Timestamp::from_micros(8));
    assert!(read(&dir, LogQuery { since, ..LogQuery::default() }).await.is_empty());
}

#[tokio::test]
async fn long_lines_are_split() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(&dir, LogLimits::default());
    writer.take(OUT, &vec![b'x'; LINE_MAX * 2 + 3], Timestamp::default());
    writer.take(OUT, b"\n", Timestamp::default());
    let records = read(&dir, LogQuery::default()).await;
    let lengths: Vec<usize> = records.iter().map(|record| record.line.len()).collect();
    assert_eq!(lengths, [LINE_MAX, LINE_MAX, 3]);
}

#[tokio::test]
async fn a_flood_leaves_a_gap_and_one_marker() {
    let dir = tempfile::tempdir().unwrap();
    let limits = LogLimits { kept_bytes: 1 << 20, rate_bytes: 100, burst_bytes: 200 };
    let mut writer = writer(&dir, limits);
    let start = Timestamp::default();
    for _ in 0..20 {
        writer.take(OUT, b"0123456789012345678901234567890123456789\n", start);
    }
    writer.take(OUT, b"later\n", start.plus(Duration::from_secs(10)));
    let records = read(&dir, LogQuery::default()).await;
    let kept = lines(&records);
    assert_eq!(kept.len(), 4, "{kept:?}");
    assert!(kept[2].contains("18 lines were dropped"), "{}", kept[2]);
    assert_eq!(kept[3], "later");
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 21, 22]);
}

#[tokio::test]
async fn old_segments_go() {
    let dir = tempfile::tempdir().unwrap();
    let limits = LogLimits { kept_bytes: 1000, rate_bytes: 1 << 30, burst_bytes: 1 << 30 };
    let mut writer = writer(&dir, limits);
    for number in 0..1000 {
        writer.take(OUT, format!("{number}\n").as_bytes(), Timestamp::default());
    }
    let files = std::fs::read_dir(dir.path().join("instance")).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!((800..1500).contains(&bytes), "{bytes}");
    assert_eq!(lines(&read(&dir, LogQuery::default()).await).last().unwrap(), "999");
}

#[tokio::test]
async fn a_follower_gets_new_lines_until_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(&dir, LogLimits::default());
    writer.take(OUT, b"first\n", Timestamp::default());
    let (send, mut receive) = mpsc::channel(8);
    let (end, ended) = watch::channel(false);
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let reader = Reader { dir: dir.path().join("instance"), query, ended, send };
    let check = async {
        assert_eq!(receive.recv().await.unwrap().line, b"first");
        writer.take(OUT, b"second\n", Timestamp::default());
        assert_eq!(receive.recv().await.unwrap().line, b"second");
        writer.take(OUT, b"third\n", Timestamp::default());
        end.send(true).unwrap();
        assert_eq!(receive.recv().await.unwrap().line, b"third");
        assert!(receive.recv().await.is_none());
    };
    tokio::join!(reader.run(Shutdown::new()), check);
}
