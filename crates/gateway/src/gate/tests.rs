use proptest::prelude::*;

use super::chunks::Chunks;
use super::head::{Framing, Head, Search};
use crate::answer::Answer;

fn read_head(data: &[u8]) -> Result<Option<Head>, Answer> {
    Search::default().read(data)
}

/// Reads a chunked body in pieces; how long it was, or that it was refused or is not over.
fn read_chunks(data: &[u8], cuts: &[usize]) -> Result<Option<usize>, ()> {
    let (mut chunks, mut at) = (Chunks::START, 0);
    let ends = cuts.iter().copied().chain([data.len()]);
    for end in ends {
        at += chunks.read(&data[at..end.max(at)]).map_err(|_| ())?;
        if chunks == Chunks::Done {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

#[test]
fn framings() {
    let head = |fields: &str| {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        read_head(text.as_bytes()).map(|head| head.map(|head| head.framing))
    };
    assert_eq!(head(""), Ok(Some(Framing::Empty)));
    assert_eq!(head("Content-Length: 0\r\n"), Ok(Some(Framing::Empty)));
    assert_eq!(head("Content-Length: 12\r\n"), Ok(Some(Framing::Length(12))));
    assert_eq!(head("transfer-encoding:chunked\r\n"), Ok(Some(Framing::Chunked)));
    assert!(head("Content-Length: 1234567890123456789\r\n").is_err());
}

#[test]
fn a_head_ends_where_it_ends() {
    let data = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next";
    assert_eq!(read_head(data).unwrap().unwrap().length, 27);
    for end in 0..27 {
        assert_eq!(read_head(&data[..end]), Ok(None), "{end}");
    }
}

#[test]
fn an_endless_line_is_refused_before_it_ends() {
    let line = vec![b'a'; 9 * 1024];
    assert_eq!(read_head(&line).unwrap_err().code, "URI_TOO_LONG");
    let head = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &vec![b'a'; 33 * 1024]].concat();
    assert_eq!(read_head(&head).unwrap_err().code, "HEADERS_TOO_LARGE");
}

proptest! {
    #[test]
    fn nothing_makes_the_head_reader_panic(data in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read_head(&data);
        let _ = read_chunks(&data, &[]);
    }

    #[test]
    fn a_head_reads_the_same_in_pieces(
        data in "(GET|POST) /[a-z]{0,5} HTTP/1\\.[01]\r\n(Host: [a-z:]{1,3}\r\n|X: y\r?\n|Content-Length: [0-9]{1,3}\r\n){0,4}\r\n[a-z]{0,4}",
        cuts in prop::collection::vec(0usize..120, 0..6),
    ) {
        let data = data.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|&c| c < data.len()).collect();
        cuts.push(data.len());
        cuts.sort_unstable();
        let mut search = Search::default();
        let mut pieces = Ok(None);
        for end in cuts {
            pieces = search.read(&data[..end]);
            if pieces != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(pieces, read_head(data));
    }

    #[test]
    fn good_chunks_are_read_to_their_end_however_they_are_cut(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
        extension in "(;[a-z]{1,5}(=[a-z]{1,3})?)?", trailers in "(x-[a-z]{1,3}: [ -~]{0,9}\r\n){0,3}",
        rest in prop::collection::vec(any::<u8>(), 0..10),
        cuts in prop::collection::vec(0usize..300, 0..8),
    ) {
        let mut data = Vec::new();
        for body in &bodies {
            data.extend(format!("{:x}{extension}\r\n", body.len()).as_bytes());
            data.extend(body);
            data.extend(b"\r\n");
        }
        data.extend(format!("0{extension}\r\n{trailers}\r\n").as_bytes());
        let length = data.len();
        data.extend(rest);
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|&c| c < data.len()).collect();
        cuts.sort_unstable();
        prop_assert_eq!(read_chunks(&data, &cuts), Ok(Some(length)));
    }

    #[test]
    fn chunks_read_the_same_in_pieces(
        data in "([0-9a-f]{1,2}(;[a-z]{1,2})?\r?\n[a-z]{0,12}\r?\n){0,4}", cuts in prop::collection::vec(0usize..80, 0..6),
    ) {
        let data = data.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|&c| c < data.len()).collect();
        cuts.sort_unstable();
        prop_assert_eq!(read_chunks(data, &cuts), read_chunks(data, &[]));
    }
}
