//! What somebody may have meant who wrote a field that there is not.

use ebb_model::near;

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
    near::nearest(name, fields.keys().map(String::as_str)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{configmap, service};

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
