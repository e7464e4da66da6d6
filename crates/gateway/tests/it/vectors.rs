//! Heads and bodies that must be refused.

/// Lengths that are none.
const LENGTHS: &[&str] = &[
    "+5",
    "-5",
    "5 5",
    "5,5",
    "5, 6",
    "0x5",
    "5;",
    "",
    " ",
    "5\t5",
    "5.0",
    "1e1",
    "٥",
    "5_0",
    "99999999999999999999",
    "18446744073709551621",
    "five",
    "\"5\"",
    "'5'",
    "5\u{a0}",
];

/// Encodings that are not exactly `chunked`.
const ENCODINGS: &[&str] = &[
    "identity",
    "chunked, identity",
    "identity, chunked",
    "gzip, chunked",
    "chunked, chunked",
    "xchunked",
    "chunkedx",
    "\x0bchunked",
    "\x0cchunked",
    "chunked\x0b",
    "\"chunked\"",
    "chunked;q=1",
    "chunk",
    "",
    "chunked,",
    ",chunked",
    "\u{212a}chunked",
    "chunked\0",
];

/// Names and lines that some readers repair.
const FIELDS: &[&str] = &[
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "\tTransfer-Encoding: chunked",
    "Content-Length : 5",
    "Content Length: 5",
    ": 5",
    "X",
    "X\r\n Content-Length: 5",
    "X: y\r\n folded",
    "X: y\r\n\tfolded",
    "X: a\rb",
    "X: a\0b",
    "X: a\nContent-Length: 5",
    "X: a\n",
    "X\0: a",
    "X(: a",
    "X\u{e9}: a",
    "X: \x7f",
    "X: \x1b[0m",
    "\x00",
    "Transfer-Encoding: chunked\r\r",
    "\rX: y",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
];

/// A second host, or one that is none.
const HOSTS: &[&str] = &[
    "hello.default.test",
    "other.test",
    "",
    "a b",
    "a/b",
    "a@b",
    "a,b",
    "a\\b",
    "a?b",
    "a#b",
    "[::1",
    "a:b",
    "a:123456",
    "a\"b",
    "a%41",
    "é",
    ":80",
    "a:80:80",
];

/// Bodies that are not well-formed.
const CHUNKS: &[&str] = &[
    "x\r\n",
    " 5\r\nhello\r\n",
    "+5\r\nhello\r\n",
    "-5\r\nhello\r\n",
    "0x5\r\nhello\r\n",
    "5\nhello\r\n",
    "5\rhello\r\n",
    "5\r\nhello\n",
    "5\r\nhelloXX",
    "5\r\nhello\r\r\n",
    "\r\n5\r\nhello\r\n",
    ";a\r\n",
    "5\r\nhello\r\n0\r\nX\r\n\r\n",
    "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
    "5\r\nhello\r\n0\r\n X: y\r\n\r\n",
    "5\r\nhello\r\n0\r\nX: y\n\r\n",
    "5\r\nhello\r\n0\r\n\n",
    "5\r\nhello\r\n0\n\r\n",
    "5;a\nb\r\nhello\r\n",
    "5;\0\r\nhello\r\n",
    "10000000000000000\r\n",
    "FFFFFFFFFFFFFFFF\r\n",
    "00000000000000005\r\nhello\r\n",
    "5\r\nhello\r\n0\r\nX: \0\r\n\r\n",
    "5,5\r\n",
    "5.\r\n",
    "٥\r\n",
];

/// Header fields, and what follows the head, of requests that must be refused.
pub(crate) fn ambiguous() -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |fields: String, body: &str| all.push((fields, body.to_owned()));
    // Two framings at once, in either order and spelling.
    for te in
        ["Transfer-Encoding: chunked", "transfer-encoding:chunked", "TRANSFER-ENCODING: Chunked"]
    {
        for cl in ["Content-Length: 5", "content-length:5", "Content-Length: 0"] {
            add(format!("{te}\r\n{cl}\r\n"), "0\r\n\r\n");
            add(format!("{cl}\r\n{te}\r\n"), "0\r\n\r\n");
        }
    }
    for length in LENGTHS {
        add(format!("Content-Length: {length}\r\n"), "hello");
    }
    for (a, b) in [("5", "5"), ("5", "6"), ("0", "5"), ("5", "0"), ("5", "05")] {
        add(format!("Content-Length: {a}\r\nContent-Length: {b}\r\n"), "hello");
        add(format!("Content-Length: {a}\r\nX: y\r\ncontent-length: {b}\r\n"), "hello");
    }
    for encoding in ENCODINGS {
        add(format!("Transfer-Encoding: {encoding}\r\n"), "0\r\n\r\n");
    }
    for field in FIELDS {
        add(format!("{field}\r\n"), "0\r\n\r\n");
    }
    for host in HOSTS {
        add(format!("Host: {host}\r\n"), "");
    }
    all
}

/// Chunked bodies that must be refused.
pub(crate) fn bad_chunks() -> Vec<String> {
    let mut all: Vec<String> = CHUNKS.iter().map(|&body| body.to_owned()).collect();
    all.push(format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(64 * 1024)));
    all.push(format!("0\r\nX: {}\r\n\r\n", "a".repeat(16 * 1024)));
    all
}
