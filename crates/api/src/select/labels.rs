//! Label selectors: `KEY`, `!KEY`, `KEY=VALUE`, `KEY==VALUE`, `KEY!=VALUE`, `KEY in (VALUES)`,
//! `KEY notin (VALUES)`, `KEY>NUMBER`, `KEY<NUMBER`, separated by commas, with blanks anywhere.

use ebb_model::validate::metadata;

use super::{Requirement, Rule};
use crate::status::Failure;

/// Makes a rule of what stands behind an operator.
type Make = fn(&str) -> Result<Rule, String>;

/// # Errors
/// 400 saying what is wrong.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, Failure> {
    let fail = |why: String| {
        Failure::bad_request(
            "INVALID_SELECTOR",
            format!("unable to parse labelSelector {text:?}: {why}"),
        )
    };
    split(text)
        .ok_or_else(|| fail("a parenthesis is not closed".to_owned()))?
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| requirement(part).map_err(fail))
        .collect()
}

/// Parts between commas, except commas within `( )`.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' if inside => return None,
            '(' => inside = true,
            ')' if !inside => return None,
            ')' => inside = false,
            ',' if !inside => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!inside).then_some(parts)
}

fn requirement(part: &str) -> Result<Requirement, String> {
    if let Some((head, list)) = part.split_once('(') {
        return set(head, list);
    }
    if let Some(text) = part.strip_prefix('!') {
        return Ok(Requirement { key: key(text)?, rule: Rule::Absent });
    }
    let operators: [(&str, Make); 5] = [
        ("!=", |text| Ok(Rule::NotIn(vec![value(text)?]))),
        ("==", |text| Ok(Rule::In(vec![value(text)?]))),
        ("=", |text| Ok(Rule::In(vec![value(text)?]))),
        (">", |text| number(text).map(Rule::Greater)),
        ("<", |text| number(text).map(Rule::Less)),
    ];
    for (operator, make) in operators {
        if let Some((name, text)) = part.split_once(operator) {
            return Ok(Requirement { key: key(name)?, rule: make(text)? });
        }
    }
    Ok(Requirement { key: key(part)?, rule: Rule::Exists })
}

fn set(head: &str, list: &str) -> Result<Requirement, String> {
    let list = list.trim_end().strip_suffix(')').ok_or("a parenthesis is not closed")?;
    if list.trim().is_empty() {
        return Err("for 'in', 'notin' operators, values set can't be empty".to_owned());
    }
    let values = list.split(',').map(value).collect::<Result<Vec<_>, _>>()?;
    match head.split_whitespace().collect::<Vec<_>>().as_slice() {
        [name, "in"] => Ok(Requirement { key: key(name)?, rule: Rule::In(values) }),
        [name, "notin"] => Ok(Requirement { key: key(name)?, rule: Rule::NotIn(values) }),
        _ => Err("before a list, KEY in or KEY notin is allowed".to_owned()),
    }
}

fn key(text: &str) -> Result<String, String> {
    let text = text.trim();
    metadata::key(text, "").map_err(|fault| fault.message)?;
    Ok(text.to_owned())
}

fn value(text: &str) -> Result<String, String> {
    let text = text.trim();
    match metadata::labels(&[("x", text)], "").pop() {
        None => Ok(text.to_owned()),
        Some(fault) => Err(fault.message),
    }
}

fn number(text: &str) -> Result<i64, String> {
    let text = text.trim();
    text.parse().map_err(|_| "for 'Gt', 'Lt' operators, the value must be an integer".to_owned())
}
