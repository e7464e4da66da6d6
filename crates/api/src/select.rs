//! Label and field selectors.

mod fields;
mod labels;

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
    Greater(i64),
    Less(i64),
}

/// How much of an object a selector looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing: it selects everything.
    Nothing,
    /// Namespace, name and labels.
    Metadata,
    /// Any field.
    Everything,
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
        let parsed = labels.map(labels::parse).transpose()?.unwrap_or_default();
        let find = |text: &str| {
            // kubectl says what it looked for by itself.
            fields::parse(kind, text).map_err(|why| Failure::bad_request("INVALID_SELECTOR", why))
        };
        let fields = fields.map(find).transpose()?.unwrap_or_default();
        Ok(Self { labels: parsed, fields })
    }

    /// The name that an object must have, when the selector says so: then one key needs reading.
    pub(crate) fn name(&self) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, equal, value)| *equal && field == "metadata.name" && !value.is_empty())
            .map(|(_, _, value)| value.as_str())
    }

    /// Whether it selects everything.
    pub(crate) const fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// How much of an object [`Selector::matches`] looks at.
    pub(crate) fn needs(&self) -> Needs {
        let metadata = |(field, _, _): &(String, bool, String)| field.starts_with("metadata.");
        match self.is_empty() {
            true => Needs::Nothing,
            false if self.fields.iter().all(metadata) => Needs::Metadata,
            false => Needs::Everything,
        }
    }

    /// Whether `object` is meant.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|requirement| {
            let value = labels.get(&requirement.key).and_then(Value::as_str);
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match (&requirement.rule, value) {
                (Rule::Exists, value) => value.is_some(),
                (Rule::Absent, value) => value.is_none(),
                (Rule::In(allowed), Some(value)) => allowed.iter().any(|a| a == value),
                (Rule::In(_), None) => false,
                (Rule::NotIn(refused), Some(value)) => !refused.iter().any(|r| r == value),
                (Rule::NotIn(_), None) => true,
                (Rule::Greater(than), _) => number().is_some_and(|number| number > *than),
                (Rule::Less(than), _) => number().is_some_and(|number| number < *than),
            }
        }) && self.fields.iter().all(|(field, equal, want)| {
            let value = field.split('.').try_fold(object, |node, part| node.get(part));
            (value.and_then(Value::as_str).unwrap_or_default() == want) == *equal
        })
    }
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
        let object =
            json!({"metadata": {"labels": {"app": "a", "tier": "web", "x/y": "", "build": "7"}}});
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
            (" app = a , tier = web ", true),
            ("! none", true),
            ("app in (a,)", true),
            ("none in (,b)", false),
            ("build > 6,build < 8", true),
            ("build>7", false),
            ("app>1", false),
            ("none<1", false),
        ] {
            assert_eq!(labels(text).unwrap().matches(&object), want, "{text}");
        }
        let long = format!("a={}", "x".repeat(64));
        for bad in [
            "a in",
            "a in (b",
            "a b",
            "a=b=c",
            "=",
            "a in ((b))",
            ")",
            "a of (b)",
            "é=1",
            "a in ()",
            "a notin ( )",
            "a=-b",
            "-a=b",
            "a/b/c",
            "/a",
            "a>x",
            "!a=b",
            "a in (b) c",
            long.as_str(),
        ] {
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
        let fields = |kind, text| Selector::parse(kind, Some("a=b"), Some(text));
        assert!(fields(&KIND, r"metadata.name=a\,b\=c\\").unwrap().name() == Some(r"a,b=c\"));
        assert_eq!(fields(&KIND, "metadata.name=").unwrap().name(), None);
        for (kind, text, why) in [
            (&KIND, "spec.x=1", "field label not supported: spec.x"),
            (&KIND, "nonsense", "invalid selector: 'nonsense'; can't understand 'nonsense'"),
            (&KIND, r"metadata.name=a\x", "invalid escape sequence: \\x"),
            (&KIND, r"metadata.name=a\", "invalid escape sequence: \\"),
            (&KIND, "metadata.name=a=b", "unescaped = in value: a=b"),
            (
                &crate::kinds::service::KIND,
                "spec.x=1",
                "\"spec.x\" is not a known field selector: only \"metadata.name\", \
                 \"metadata.namespace\"",
            ),
        ] {
            let failure = fields(kind, text).unwrap_err();
            assert_eq!(failure.message, why);
        }
    }

    #[test]
    fn a_selector_says_what_it_looks_at() {
        for (labels, fields, needs) in [
            ("", "", Needs::Nothing),
            ("a", "", Needs::Metadata),
            ("", "metadata.namespace=x", Needs::Metadata),
            ("a", "status.phase=Running", Needs::Everything),
        ] {
            let selector = Selector::parse(&KIND, Some(labels), Some(fields)).unwrap();
            assert_eq!(selector.needs(), needs, "{labels} {fields}");
        }
    }
}
