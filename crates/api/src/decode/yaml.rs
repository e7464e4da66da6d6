//! Reading YAML event by event, so that nothing of it costs more than it is long: depth is bounded
//! while it is read, what aliases repeat is counted, and tags that could mean anything are refused.
//!
//! Plain scalars mean what the core schema of YAML 1.2 says (section 10.3.2), with one exception:
//! a number with a leading zero stays a text, as it is 10 to some readers and 8 to others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Number, Value};

use super::{MAX_DEPTH, MAX_REPORTED, Tree, shorten};
use crate::status::Failure;

/// How much all anchors and aliases together may repeat: one for each value, and one for each byte of
/// text. Anchors count too: each keeps a copy, and they can stand within each other.
const ALIASES_MAX: usize = 1 << 20;
/// Handle of the tags of YAML itself, `!!`.
const CORE: &str = "tag:yaml.org,2002:";

/// Reads one document.
///
/// # Errors
/// 400 with line and column.
pub(crate) fn yaml(bytes: &[u8]) -> Result<Tree, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(&error.to_string()))?;
    check_characters(text)?;
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        path: Vec::new(),
        duplicates: Vec::new(),
        anchors: BTreeMap::new(),
        repeated: 0,
    };
    let value = reader.document()?;
    Ok(Tree { value, duplicates: reader.duplicates })
}

fn invalid(why: &str) -> Failure {
    refuse("INVALID_YAML", why)
}

fn refuse(code: &str, why: &str) -> Failure {
    Failure::bad_request(code, format!("the request body is not valid YAML: {why}"))
}

fn refuse_at(code: &str, why: &str, at: Marker) -> Failure {
    refuse(code, &format!("{why} at line {} column {}", at.line(), at.col() + 1))
}

/// A control character is not YAML (section 5.1), and NUL would end it for the parser.
fn check_characters(text: &str) -> Result<(), Failure> {
    let wrong = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    let Some(at) = text.find(wrong) else { return Ok(()) };
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Err(invalid(&format!("a control character at line {line} column {column}")))
}

/// A value that an alias can repeat.
#[derive(Clone, Debug)]
struct Read {
    value: Value,
    /// Values and bytes of text in it.
    weight: usize,
    /// Levels of lists and maps in it.
    depth: usize,
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    path: Vec<String>,
    duplicates: Vec<String>,
    anchors: BTreeMap<usize, Read>,
    repeated: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Marker), Failure> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start)),
            Some(Err(error)) => {
                // The parser has a limit of its own, for what it must look ahead.
                let deep = error.info().contains("recursion limit");
                let code = if deep { "JSON_TOO_DEEP" } else { "INVALID_YAML" };
                Err(refuse_at(code, error.info(), *error.marker()))
            }
            None => Ok((Event::StreamEnd, Marker::new(0, 0, 0))),
        }
    }

    fn document(&mut self) -> Result<Value, Failure> {
        let mut found = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(found.unwrap_or(Value::Null)),
                (Event::DocumentStart(_), at) if found.is_some() => {
                    return Err(refuse_at("INVALID_YAML", "a second document starts", at));
                }
                (Event::DocumentStart(_), _) => {
                    let (event, at) = self.next()?;
                    found = Some(self.value(event, at)?.value);
                }
                _ => {}
            }
        }
    }

    fn value(&mut self, event: Event<'a>, at: Marker) -> Result<Read, Failure> {
        let (anchor, read) = match event {
            Event::Alias(anchor) => return self.alias(anchor, at),
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, scalar(&text, style, tag.as_deref(), at)?)
            }
            Event::SequenceStart(anchor, tag) => {
                check_tag(tag.as_deref(), "seq", at)?;
                self.check_depth(0, at)?;
                (anchor, self.list()?)
            }
            Event::MappingStart(anchor, tag) => {
                check_tag(tag.as_deref(), "map", at)?;
                self.check_depth(0, at)?;
                (anchor, self.map()?)
            }
            _ => return Err(refuse_at("INVALID_YAML", "no value is here", at)),
        };
        if anchor != 0 {
            self.repeat(&read, at)?;
            self.anchors.insert(anchor, read.clone());
        }
        Ok(read)
    }

    /// Whether a value with `more` levels may be here.
    fn check_depth(&self, more: usize, at: Marker) -> Result<(), Failure> {
        if self.path.len() + more < MAX_DEPTH {
            return Ok(());
        }
        Err(refuse_at("JSON_TOO_DEEP", &format!("nested deeper than {MAX_DEPTH} levels"), at))
    }

    fn alias(&mut self, anchor: usize, at: Marker) -> Result<Read, Failure> {
        let Some(read) = self.anchors.get(&anchor) else {
            return Err(refuse_at("INVALID_YAML", "an alias of what it is part of", at));
        };
        self.check_depth(read.depth.saturating_sub(1), at)?;
        let read = read.clone();
        self.repeat(&read, at)?;
        Ok(read)
    }

    /// Counts one more copy of a value.
    fn repeat(&mut self, read: &Read, at: Marker) -> Result<(), Failure> {
        self.repeated = self.repeated.saturating_add(read.weight);
        if self.repeated > ALIASES_MAX {
            let why = "anchors and aliases repeat too much: write out what is meant, once";
            return Err(refuse_at("MANIFEST_TOO_COMPLEX", why, at));
        }
        Ok(())
    }

    fn list(&mut self) -> Result<Read, Failure> {
        let (mut values, mut weight, mut depth) = (Vec::new(), 1, 0);
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Read { value: Value::Array(values), weight, depth: depth + 1 });
            }
            self.path.push(format!("[{}]", values.len()));
            let item = self.value(event, at)?;
            self.path.pop();
            weight += item.weight;
            depth = depth.max(item.depth);
            values.push(item.value);
        }
    }

    fn map(&mut self) -> Result<Read, Failure> {
        let (mut map, mut weight, mut depth) = (Map::new(), 1, 0);
        loop {
            let (event, at) = self.next()?;
            let key = match event {
                Event::MappingEnd => {
                    return Ok(Read { value: Value::Object(map), weight, depth: depth + 1 });
                }
                Event::Scalar(key, style, anchor, tag) => {
                    key_text(key, style, anchor, tag.as_deref(), at)?
                }
                _ => return Err(refuse_at("INVALID_YAML", "a key that is no plain text", at)),
            };
            self.path.push(if self.path.is_empty() { key.clone() } else { format!(".{key}") });
            let (event, at) = self.next()?;
            let entry = self.value(event, at)?;
            weight += entry.weight + key.len();
            depth = depth.max(entry.depth);
            if map.insert(key, entry.value).is_some() && self.duplicates.len() < MAX_REPORTED {
                self.duplicates.push(shorten(self.path.concat()));
            }
            self.path.pop();
        }
    }
}

/// A key as it is written, whatever it would mean as a value.
fn key_text(
    key: Cow<'_, str>,
    style: ScalarStyle,
    anchor: usize,
    tag: Option<&Tag>,
    at: Marker,
) -> Result<String, Failure> {
    check_tag(tag, "str", at)?;
    if anchor != 0 {
        return Err(refuse_at("INVALID_YAML", "an anchor on a key", at));
    }
    if style == ScalarStyle::Plain && key == "<<" {
        let why = "a merge key (<<), which is not of YAML 1.2: write out what is meant";
        return Err(refuse_at("INVALID_YAML", why, at));
    }
    Ok(key.into_owned())
}

/// Tags may say what a value is anyway, and nothing else.
fn check_tag(tag: Option<&Tag>, want: &str, at: Marker) -> Result<(), Failure> {
    match tag {
        None => Ok(()),
        Some(tag) if tag.handle == CORE && tag.suffix == want => Ok(()),
        Some(tag) if tag.handle == "!" && tag.suffix.is_empty() => Ok(()),
        Some(tag) => Err(unsupported(tag, at)),
    }
}

fn unsupported(tag: &Tag, at: Marker) -> Failure {
    let handle = if tag.handle == CORE { "!!" } else { tag.handle.as_str() };
    let why = format!("the tag {handle}{} is not taken here", tag.suffix);
    refuse_at("UNSUPPORTED_TAG", &why, at)
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Marker) -> Result<Read, Failure> {
    let plain = style == ScalarStyle::Plain;
    let value = match tag {
        None if plain => resolve(text, at)?,
        None => Value::from(text),
        Some(tag) if tag.handle == CORE && tag.suffix == "str" => Value::from(text),
        Some(tag) if tag.handle == "!" && tag.suffix.is_empty() => Value::from(text),
        Some(tag) if tag.handle == CORE => typed(text, tag, at)?,
        Some(tag) => return Err(unsupported(tag, at)),
    };
    Ok(Read { value, weight: 1 + text.len(), depth: 0 })
}

/// A scalar that says what it is.
fn typed(text: &str, tag: &Tag, at: Marker) -> Result<Value, Failure> {
    let value = resolve(text, at)?;
    let fits = match tag.suffix.as_str() {
        "null" => value.is_null(),
        "bool" => value.is_boolean(),
        "int" => value.is_i64() || value.is_u64(),
        "float" => value.is_number(),
        _ => return Err(unsupported(tag, at)),
    };
    let why = format!("{text:?} is not what its tag !!{} says", tag.suffix);
    if fits { Ok(value) } else { Err(refuse_at("INVALID_YAML", &why, at)) }
}

/// What a plain scalar means.
fn resolve(text: &str, at: Marker) -> Result<Value, Failure> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if not_finite(text) => return Err(too_large(text, at)),
        _ if is_number(text) => Value::Number(number(text).ok_or_else(|| too_large(text, at))?),
        _ => Value::from(text),
    })
}

fn too_large(text: &str, at: Marker) -> Failure {
    refuse_at("INVALID_NUMBER", &format!("{text} is no finite number"), at)
}

fn not_finite(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    matches!(text, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN")
}

/// A prefix of whole numbers of another base, and what follows it.
fn base(text: &str) -> Option<(u32, &str)> {
    let hex = text.strip_prefix("0x").map(|digits| (16, digits));
    hex.or_else(|| text.strip_prefix("0o").map(|digits| (8, digits)))
}

/// Whether the core schema takes `text` for a number.
fn is_number(text: &str) -> bool {
    if let Some((radix, digits)) = base(text) {
        return !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent),
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    let empty = exponent.is_empty() || (whole.is_empty() && fraction.is_empty());
    !empty && !leading_zero && digits(whole) && digits(fraction) && digits(exponent)
}

/// The number that `text` is; none when it is too large for any.
fn number(text: &str) -> Option<Number> {
    if let Some((radix, digits)) = base(text) {
        return u64::from_str_radix(digits, radix).ok().map(Number::from);
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    // `-0` is a number of its own, as in JSON.
    if text != "-0" {
        let signed = text.parse::<i64>().ok().map(Number::from);
        let whole = signed.or_else(|| text.parse::<u64>().ok().map(Number::from));
        if whole.is_some() {
            return whole;
        }
    }
    text.parse::<f64>().ok().and_then(Number::from_f64)
}
