//! Reads the head of a request strictly: whatever two readers could understand in two ways is
//! refused, so that an instance never sees a request that the gateway did not see.

use crate::answer::Answer;

/// Longest head in bytes, request line and headers together.
pub(crate) const HEAD_MAX: usize = 32 * 1024;
/// Most header fields.
pub(crate) const HEADERS_MAX: usize = 100;
/// Longest request target in bytes.
pub(crate) const URI_MAX: usize = 8 * 1024;
/// Longest request line: a target, the longest method that is let through, and the version.
const LINE_MAX: usize = URI_MAX + 64;

/// How the body of a request is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    Empty,
    /// So many bytes.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// A head that is complete and in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Its length in bytes, empty line included.
    pub(crate) length: usize,
    pub(crate) framing: Framing,
}

/// Looks for the end of a head, remembering how far it came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Search {
    scanned: usize,
    line_start: usize,
    lines: usize,
}

impl Search {
    /// Reads `data`, which starts with what it was given before. None: not complete yet.
    pub(crate) fn read(&mut self, data: &[u8]) -> Result<Option<Head>, Answer> {
        while let Some(found) = data[self.scanned..].iter().position(|&b| b == b'\n') {
            let newline = self.scanned + found;
            if newline == self.line_start || data[newline - 1] != b'\r' {
                return Err(Answer::malformed("a line of the head does not end with CR LF"));
            }
            let empty = newline - 1 == self.line_start;
            let leading = empty && self.line_start == 0;
            self.scanned = newline + 1;
            self.line_start = newline + 1;
            if empty && !leading {
                self.check_size(self.scanned)?;
                return parse(&data[..self.scanned]).map(Some);
            }
            self.lines += usize::from(!leading);
            self.check_size(self.scanned)?;
        }
        self.scanned = data.len();
        self.check_size(data.len())?;
        Ok(None)
    }

    fn check_size(&self, length: usize) -> Result<(), Answer> {
        if self.lines == 0 && length > LINE_MAX {
            return Err(Answer::uri_too_long(URI_MAX));
        }
        if length > HEAD_MAX {
            return Err(Answer::head_too_large(format!(
                "the head is longer than {HEAD_MAX} bytes"
            )));
        }
        if self.lines > HEADERS_MAX + 1 {
            let message = format!("there are more than {HEADERS_MAX} header fields");
            return Err(Answer::head_too_large(message));
        }
        Ok(())
    }
}

/// Whether `byte` may stand in a token (RFC 9110, 5.6.2).
pub(super) const fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation)] // below 256
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

/// Whether `byte` may stand in a field value: visible, space, tab, or not ASCII.
const fn is_value(byte: u8) -> bool {
    (byte >= 0x20 && byte != 0x7f) || byte == b'\t'
}

#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    encoding: Option<&'a [u8]>,
}

/// Checks a whole head, which ends with an empty line.
fn parse(head: &[u8]) -> Result<Head, Answer> {
    let length = head.len();
    let body = head.strip_prefix(b"\r\n").unwrap_or(head);
    let mut lines = body.split(|&b| b == b'\n').map(|line| &line[..line.len().saturating_sub(1)]);
    let first = RequestLine::parse(lines.next().unwrap_or_default())?;
    let mut seen = Seen::default();
    for line in lines.take_while(|line| !line.is_empty()) {
        field(line, &mut seen)?;
    }
    let host = seen.host.ok_or_else(|| Answer::malformed("there is no Host field"))?;
    first.check_target(host)?;
    let framing = seen.framing(first.minor)?;
    Ok(Head { length, framing })
}

struct RequestLine<'a> {
    method: &'a [u8],
    target: &'a [u8],
    minor: u8,
}

impl<'a> RequestLine<'a> {
    fn parse(line: &'a [u8]) -> Result<Self, Answer> {
        let bad = || Answer::malformed("the request line is not METHOD SP TARGET SP VERSION");
        let mut parts = line.split(|&b| b == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(bad());
        };
        if method.is_empty() || !method.iter().copied().all(is_token) {
            return Err(bad());
        }
        let minor = match version {
            b"HTTP/1.1" => 1,
            b"HTTP/1.0" => 0,
            other if other.starts_with(b"HTTP/") => return Err(Answer::version()),
            _ => return Err(bad()),
        };
        if method == b"CONNECT" {
            return Err(Answer::connect_refused());
        }
        if target.len() > URI_MAX {
            return Err(Answer::uri_too_long(URI_MAX));
        }
        if target.is_empty() || !target.iter().all(|&b| (0x21..0x7f).contains(&b) && b != b'#') {
            return Err(Answer::malformed(
                "the request target has a character that is not allowed",
            ));
        }
        Ok(Self { method, target, minor })
    }

    /// Checks the form of the target, and that an authority in it is the same as in `Host`.
    fn check_target(&self, host: &[u8]) -> Result<(), Answer> {
        if self.target.starts_with(b"/") || (self.target == b"*" && self.method == b"OPTIONS") {
            return Ok(());
        }
        let scheme = self.target.get(..7).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case(b"http://") {
            return Err(Answer::malformed("the request target is neither a path nor an http URL"));
        }
        let rest = &self.target[7..];
        let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        if rest[..end].eq_ignore_ascii_case(host) {
            return Ok(());
        }
        Err(Answer::malformed("the request target names another host than the Host field"))
    }
}

fn field<'a>(line: &'a [u8], seen: &mut Seen<'a>) -> Result<(), Answer> {
    let colon = line.iter().position(|&b| !is_token(b)).unwrap_or(line.len());
    if colon == 0 || line.get(colon) != Some(&b':') {
        return Err(Answer::malformed("a header field is not NAME ':' VALUE"));
    }
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    if !value.iter().copied().all(is_value) {
        return Err(Answer::malformed("a header value has a control character"));
    }
    let slot = match name.len() {
        4 if name.eq_ignore_ascii_case(b"host") => {
            check_host(value)?;
            &mut seen.host
        }
        14 if name.eq_ignore_ascii_case(b"content-length") => &mut seen.length,
        17 if name.eq_ignore_ascii_case(b"transfer-encoding") => &mut seen.encoding,
        6 if name.eq_ignore_ascii_case(b"expect") => {
            let met = value.eq_ignore_ascii_case(b"100-continue");
            return if met { Ok(()) } else { Err(Answer::expectation()) };
        }
        _ => return Ok(()),
    };
    if slot.replace(value).is_some() {
        let name = String::from_utf8_lossy(name).to_lowercase();
        return Err(Answer::malformed(format!("there is more than one {name} field")));
    }
    Ok(())
}

/// Without spaces and tabs around it; other white space is not what it seems.
fn trim(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// A host name, an IPv4 address or a bracketed IPv6 address, with or without a port.
fn check_host(value: &[u8]) -> Result<(), Answer> {
    let bad = || Answer::malformed("the Host field is not a host name with an optional port");
    let (name, port) = if let [b'[', rest @ ..] = value {
        let end = rest.iter().position(|&b| b == b']').ok_or_else(bad)?;
        let inner = |b: &u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.');
        (rest[..end].iter().all(inner) && end > 0, &rest[end + 1..])
    } else {
        let end = value.iter().position(|&b| b == b':').unwrap_or(value.len());
        let letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        (value[..end].iter().all(letter) && end > 0, &value[end..])
    };
    let port_ok = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if name && port_ok && value.len() <= 255 { Ok(()) } else { Err(bad()) }
}

impl Seen<'_> {
    fn framing(&self, minor: u8) -> Result<Framing, Answer> {
        match (self.encoding, self.length) {
            (Some(_), Some(_)) => {
                Err(Answer::malformed("Content-Length and Transfer-Encoding contradict each other"))
            }
            (Some(_), None) if minor == 0 => {
                Err(Answer::malformed("HTTP/1.0 has no Transfer-Encoding"))
            }
            (Some(encoding), None) if encoding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Framing::Chunked)
            }
            (Some(_), None) => {
                Err(Answer::malformed("the only Transfer-Encoding that is understood is chunked"))
            }
            (None, Some(length)) => match digits(length) {
                Some(0) => Ok(Framing::Empty),
                Some(n) => Ok(Framing::Length(n)),
                None => Err(Answer::malformed("Content-Length is not a number of bytes")),
            },
            (None, None) => Ok(Framing::Empty),
        }
    }
}

/// A decimal number of at most 18 digits and nothing else.
fn digits(text: &[u8]) -> Option<u64> {
    let ok = (1..=18).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    ok.then(|| text.iter().fold(0, |n, b| n * 10 + u64::from(b - b'0')))
}
