//! What somebody may have meant who wrote a field that there is not.

use crate::registry::Kind;
use crate::schema::{self, Node};

/// The field of `kind` beside `path` whose name is nearest to the last one of `path`; none when
/// nothing is near. Paths are as Kubernetes writes them: `spec.containers[0].image`.
pub(crate) fn nearest(kind: &Kind, path: &str) -> Option<String> {
    let (parents, name) = match path.rsplit_once('.') {
        Some((parents, name)) => (parents.split('.').collect(), name),
        None => (Vec::new(), path),
    };
    let mut node = schema::of(kind);
    for part in parents {
        let (field, indices) = part.split_once('[').unwrap_or((part, ""));
        node = match node {
            Node::Struct { fields, .. } => fields.get(field)?,
            Node::Map { values, .. } => values,
            _ => return None,
        };
        for _ in indices.split_terminator(']') {
            node = match node {
                Node::List { items, .. } => items,
                _ => return None,
            };
        }
    }
    let Node::Struct { fields, .. } = node else { return None };
    // Beyond a third of the letters it is another word, not a slip.
    let most = (name.chars().count() / 3).clamp(1, 3);
    let near = fields.keys().map(|field| (distance(name, field), field));
    near.filter(|(distance, _)| *distance <= most).min().map(|(_, field)| field.clone())
}

/// Letters to insert, remove or replace to make `b` of `a`, whatever their case (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().take(64).collect();
    let b: Vec<char> = b.to_lowercase().chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{configmap, service};

    #[test]
    fn distances() {
        for (a, b, want) in
            [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("Data", "data", 0)]
        {
            assert_eq!(distance(a, b), want, "{a} {b}");
        }
    }

    #[test]
    fn slips_are_seen_and_other_words_are_not() {
        let of = |path: &str| nearest(&service::KIND, path);
        assert_eq!(of("spek").as_deref(), Some("spec"));
        let path = "spec.template.spec.containers[0].imagePullPolice";
        assert_eq!(of(path).as_deref(), Some("imagePullPolicy"));
        assert_eq!(of("spec.template.spec.containerz").as_deref(), Some("containers"));
        let path = "spec.template.spec.containers[0].ports[0].containerport";
        assert_eq!(of(path).as_deref(), Some("containerPort"));
        assert_eq!(of("spec.replicas"), None);
        assert_eq!(of("spec.nothing.at.all"), None);
        assert_eq!(nearest(&configmap::KIND, "metadata.labelz").as_deref(), Some("labels"));
        assert_eq!(nearest(&configmap::KIND, ""), None);
    }
}
