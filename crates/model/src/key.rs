//! Keys of stored objects: `/<group>/<resource>/<namespace>/<name>`.

/// Key of an object. The empty group is written `core`; a cluster-scoped kind has an empty
/// namespace part.
pub fn object(group: &str, resource: &str, namespace: &str, name: &str) -> String {
    format!("{}{name}", namespaced(group, resource, namespace))
}

/// Prefix of every object of a kind in one namespace.
pub fn namespaced(group: &str, resource: &str, namespace: &str) -> String {
    format!("{}{namespace}/", all(group, resource))
}

/// Prefix of every object of a kind.
pub fn all(group: &str, resource: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    format!("/{group}/{resource}/")
}

/// Namespace and name of an object's key; none when it is not one.
pub fn parse(key: &str) -> Option<(&str, &str)> {
    let mut parts = key.strip_prefix('/')?.splitn(4, '/');
    let (_group, _resource) = (parts.next()?, parts.next()?);
    Some((parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn keys_parse_back() {
        let key = super::object("", "pods", "default", "a");
        assert_eq!(key, "/core/pods/default/a");
        assert_eq!(super::parse(&key), Some(("default", "a")));
        assert_eq!(super::parse(&super::object("", "nodes", "", "n")), Some(("", "n")));
        assert_eq!(super::parse("/x"), None);
    }
}
