//! Label and field selectors.

use serde_json::Value;

use crate::registry::Kind;
use crate::status::Failure;

/// Which objects of a kind are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Selector {
    /// From the values of `labelSelector` and `fieldSelector`.
    ///
    /// # Errors
    /// 400 saying what is allowed.
    pub(crate) fn parse(
        kind: &Kind,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Self, Failure> {
        let labels = labels.map(parse_labels).transpose()?.unwrap_or_default();
        let fields = fields.map(|text| parse_fields(kind, text)).transpose()?.unwrap_or_default();
        Ok(Self { labels, fields })
    }

    /// The name that an object must have, when the selector says so: then one key needs reading.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, equal, _)| *equal && field == "metadata.name")
            .map(|(_, _, value)| value.as_str())
    }

    /// Whether `object` is meant.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|requirement| {
            let value = labels.get(&requirement.key).and_then(Value::as_str);
            match (&requirement.rule, value) {
                (Rule::Exists, value) => value.is_some(),
                (Rule::Absent, value) => value.is_none(),
                (Rule::In(allowed), Some(value)) => allowed.iter().any(|a| a == value),
                (Rule::In(_), None) => false,
                (Rule::NotIn(refused), Some(value)) => !refused.iter().any(|r| r == value),
                (Rule::NotIn(_), None) => true,
            }
        }) && self.fields.iter().all(|(field, equal, want)| {
            let value = field.split('.').try_fold(object, |node, part| node.get(part));
            (value.and_then(Value::as_str).unwrap_or_default() == want) == *equal
        })
    }
}

fn invalid(what: &str, text: &str, why: &str) -> Failure {
    Failure::bad_request("INVALID_SELECTOR", format!("{what} {text:?} cannot be read: {why}"))
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, Failure> {
    let fail = |why: &str| invalid("labelSelector", text, why);
    split_outside_parentheses(text)
        .ok_or_else(|| fail("a parenthesis is not closed"))?
        .into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| parse_requirement(part).map_err(fail))
        .collect()
}

/// Parts between commas, except commas within `( )`.
fn split_outside_parentheses(text: &str) -> Option<Vec<&str>> {
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

fn parse_requirement(part: &str) -> Result<Requirement, &'static str> {
    if let Some(key) = part.strip_prefix('!') {
        return Ok(Requirement { key: label_key(key)?, rule: Rule::Absent });
    }
    for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
        if let Some((key, value)) = part.split_once(operator) {
            let values = vec![label_value(value)?];
            let rule = if equal { Rule::In(values) } else { Rule::NotIn(values) };
            return Ok(Requirement { key: label_key(key)?, rule });
        }
    }
    let Some((head, list)) = part.split_once('(') else {
        return Ok(Requirement { key: label_key(part)?, rule: Rule::Exists });
    };
    let values = list.trim_end().strip_suffix(')').ok_or("a parenthesis is not closed")?;
    let values = values.split(',').map(label_value).collect::<Result<Vec<_>, _>>()?;
    match head.split_whitespace().collect::<Vec<_>>().as_slice() {
        [key, "in"] => Ok(Requirement { key: label_key(key)?, rule: Rule::In(values) }),
        [key, "notin"] => Ok(Requirement { key: label_key(key)?, rule: Rule::NotIn(values) }),
        _ => Err("before a list, KEY in or KEY notin is allowed"),
    }
}

fn label_key(text: &str) -> Result<String, &'static str> {
    let key = text.trim();
    let ok = !key.is_empty()
        && key.len() <= 317
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
    ok.then(|| key.to_owned()).ok_or("a label key has letters, digits, '-', '_', '.' and '/'")
}

fn label_value(text: &str) -> Result<String, &'static str> {
    let value = text.trim();
    let ok = value.len() <= 63
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    ok.then(|| value.to_owned())
        .ok_or("a label value has at most 63 letters, digits, '-', '_' and '.'")
}

fn parse_fields(kind: &Kind, text: &str) -> Result<Vec<(String, bool, String)>, Failure> {
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let split = [("!=", false), ("==", true), ("=", true)].into_iter();
            let found = split.into_iter().find_map(|(operator, equal)| {
                part.split_once(operator).map(|(field, value)| (field.trim(), equal, value.trim()))
            });
            let Some((field, equal, value)) = found else {
                return Err(invalid(
                    "fieldSelector",
                    text,
                    "FIELD=VALUE or FIELD!=VALUE is allowed",
                ));
            };
            let known = ["metadata.name", "metadata.namespace"];
            if !known.contains(&field) && !kind.fields.contains(&field) {
                let allowed: Vec<_> = known.iter().chain(kind.fields).copied().collect();
                return Err(Failure::bad_request(
                    "INVALID_SELECTOR",
                    format!(
                        "field label not supported: {field}; allowed are {}",
                        allowed.join(", ")
                    ),
                ));
            }
            Ok((field.to_owned(), equal, value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::pod::KIND;

    fn labels(text: &str) -> Result<Selector, Failure> {
        Selector::parse(&KIND, Some(text), None)
    }

    #[test]
    fn label_selectors() {
        let object = json!({"metadata": {"labels": {"app": "a", "tier": "web", "x/y": ""}}});
        for (text, want) in [
            ("", true),
            ("app=a", true),
            ("app==a,tier!=db", true),
            ("app!=a", false),
            ("none!=a", true),
            ("app in (a, b),tier notin (db,cache)", true),
            ("app in (b)", false),
            ("none notin (b)", true),
            ("x/y", true),
            ("x/y=", true),
            ("!x/y", false),
            ("!none", true),
        ] {
            assert_eq!(labels(text).unwrap().matches(&object), want, "{text}");
        }
        for bad in ["a in", "a in (b", "a b", "a=b=c", "=", "a in ((b))", ")", "a of (b)", "é=1"] {
            assert!(labels(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn field_selectors() {
        let object = json!({"metadata": {"name": "p"}, "status": {"phase": "Running"}});
        for (text, want) in [
            ("metadata.name=p", true),
            ("metadata.name=q", false),
            ("status.phase!=Failed,metadata.name==p", true),
            ("spec.nodeName=", true),
        ] {
            let selector = Selector::parse(&KIND, None, Some(text)).unwrap();
            assert_eq!(selector.matches(&object), want, "{text}");
        }
        let named = Selector::parse(&KIND, None, Some("metadata.name=p")).unwrap();
        assert_eq!(named.name(), Some("p"));
        assert!(Selector::parse(&KIND, None, Some("spec.x=1")).is_err());
        assert!(Selector::parse(&KIND, None, Some("nonsense")).is_err());
    }
}
