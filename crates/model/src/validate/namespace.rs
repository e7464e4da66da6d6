//! Namespace: its name is that of a tenant, so it may not look like the platform's own.

use super::{fault, metadata};
use crate::Fault;

/// Names that mean whoever runs the platform.
const RESERVED: [&str; 3] = ["admin", "ebb", "system"];
/// Beginnings of names that Kubernetes and this platform keep for themselves.
const RESERVED_PREFIXES: [&str; 2] = ["ebb-", "kube-"];

/// What is wrong with the name of a Namespace, when it is made or (`new` is false) changed: one that
/// was there before its name was reserved stays usable.
pub fn namespace(name: &str, new: bool) -> Option<Fault> {
    const AT: &str = "metadata.name";
    if let Err(wrong) = metadata::dns_label(name, AT) {
        return Some(wrong);
    }
    let reserved =
        RESERVED.contains(&name) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if !new || !reserved {
        return None;
    }
    let message = format!(
        "{name:?} is reserved: {}, and what begins with {}, are names of the platform",
        RESERVED.join(", "),
        RESERVED_PREFIXES.join(" or ")
    );
    Some(fault("INVALID_NAME", AT, message).hint("choose another name"))
}
