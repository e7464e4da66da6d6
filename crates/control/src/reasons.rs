//! Every reason that conditions and Events of control give, besides the codes of failures, which
//! have a page each. One table: what stands here is what docs/reference/conditions.md says.

/// Where a reason is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// As `reason` of a condition: kind of object, types of condition.
    Condition(&'static str, &'static str),
    /// As `reason` of an Event about a kind of object.
    Event(&'static str),
}

/// A documented reason.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(test), allow(dead_code))] // read by the test that checks the reference
pub(crate) struct Reason {
    pub(crate) name: &'static str,
    pub(crate) place: Where,
    /// What it means, in one sentence.
    pub(crate) means: &'static str,
}

macro_rules! reasons {
    ($($constant:ident = $name:literal, $place:expr, $means:literal;)*) => {
        $(#[doc = $means] pub(crate) const $constant: &str = $name;)*

        /// Every reason, in the order of the reference.
        #[cfg_attr(not(test), allow(dead_code))] // read by the test that checks the reference
        pub(crate) const ALL: &[Reason] =
            &[$(Reason { name: $name, place: $place, means: $means }),*];
    };
}

const REVISION: Where = Where::Condition("Revision", "Ready, ResourcesAvailable, ContainerHealthy");
const ROUTE: Where = Where::Condition("Route, Service", "Ready, AllTrafficAssigned, RoutesReady");
const SERVICE: Where = Where::Condition("Service", "Ready, ConfigurationsReady, RoutesReady");

reasons! {
    RESOLVING_DIGESTS = "ResolvingDigests", REVISION,
        "The registry is asked which digest the tag of the image has.";
    PULLING_IMAGE = "PullingImage", REVISION, "The image is being pulled.";
    DEPLOYING = "Deploying", REVISION,
        "The first instance is being started, or is about to be.";
    NO_TRAFFIC = "NoTraffic", Where::Condition("Revision", "Active"),
        "No instance runs, because no request came for a while; the next request starts one.";
    REVISION_MISSING = "RevisionMissing", ROUTE,
        "A revision that traffic goes to does not exist, or none is ready yet.";
    REVISION_NOT_READY = "RevisionNotReady", ROUTE,
        "A revision that traffic goes to is not ready yet.";
    CONFIGURATION_MISSING = "ConfigurationMissing", ROUTE,
        "A configuration that traffic goes to does not exist.";
    NOT_OWNED = "NotOwned", SERVICE,
        "A configuration or route of the same name exists that the service does not own.";
    ENGINE_READY = "EngineReady", Where::Condition("Node", "Ready"),
        "The machine runs instances.";
    RESOURCES_DISCOVERED = "ResourcesDiscovered",
        Where::Condition("Namespace", "NamespaceDeletionDiscoveryFailure"),
        "Every kind that can be in the namespace is known.";
    PARSED_GROUP_VERSIONS = "ParsedGroupVersions",
        Where::Condition("Namespace", "NamespaceDeletionGroupVersionParsingFailure"),
        "Every version of those kinds is known.";
    CONTENT_DELETED = "ContentDeleted",
        Where::Condition("Namespace", "NamespaceDeletionContentFailure"),
        "Everything in the namespace was deleted, or told to go.";
    SOME_RESOURCES_REMAIN = "SomeResourcesRemain",
        Where::Condition("Namespace", "NamespaceContentRemaining"),
        "Objects are left in the namespace; the message counts them.";
    CONTENT_REMOVED = "ContentRemoved",
        Where::Condition("Namespace", "NamespaceContentRemaining"),
        "Nothing is left in the namespace.";
    SOME_FINALIZERS_REMAIN = "SomeFinalizersRemain",
        Where::Condition("Namespace", "NamespaceFinalizersRemaining"),
        "Objects in the namespace wait for finalizers; the message names those.";
    CONTENT_HAS_NO_FINALIZERS = "ContentHasNoFinalizers",
        Where::Condition("Namespace", "NamespaceFinalizersRemaining"),
        "No object in the namespace waits for a finalizer.";
    REVISION_CREATED = "RevisionCreated", Where::Event("Service, Configuration"),
        "A new revision was made from the template.";
    REVISION_READY = "RevisionReady", Where::Event("Service, Configuration"),
        "An instance of a new revision has shown that it can serve.";
    SCALED = "Scaled", Where::Event("Service, Configuration"),
        "The number of instances of a revision was changed; the message names the rule.";
    OWNER_REF_INVALID_NAMESPACE = "OwnerRefInvalidNamespace", Where::Event("any"),
        "The object names an owner in another namespace, which counts as no owner.";
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::{Path, PathBuf};

    use super::*;

    fn reference() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/conditions.md")
    }

    fn render() -> String {
        let mut text = String::from(
            "# Conditions and events\n\nReasons that the platform gives in `status.conditions` and \
             in Events. Besides them, the code of a failure is given as the reason; each code has a \
             page under [errors](errors/README.md). A reason keeps its meaning between versions. \
             `lastTransitionTime` changes only when the status of the condition changes. This page \
             is checked against the table in the code.\n\n## Conditions\n\n\
             | Reason | Kind | Conditions | Meaning |\n|---|---|---|---|\n",
        );
        for reason in ALL {
            if let Where::Condition(kind, types) = reason.place {
                let _ = writeln!(text, "| {} | {kind} | {types} | {} |", reason.name, reason.means);
            }
        }
        text.push_str("\n## Events\n\n| Reason | About | Meaning |\n|---|---|---|\n");
        for reason in ALL {
            if let Where::Event(kind) = reason.place {
                let _ = writeln!(text, "| {} | {kind} | {} |", reason.name, reason.means);
            }
        }
        text
    }

    #[test]
    fn the_reference_says_what_the_table_says() {
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(reference(), render()).unwrap();
        }
        let kept = std::fs::read_to_string(reference()).unwrap_or_default();
        assert_eq!(kept, render(), "run with UPDATE_EXPECT=1 to write {:?}", reference());
    }

    #[test]
    fn no_reason_is_written_beside_the_table() {
        let mut left = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests may give any reason.
            let code = text.split("#[cfg(test)]").next().unwrap();
            if path.ends_with("reasons.rs") || path.ends_with("tests.rs") {
                continue;
            }
            for word in [
                "Verdict::failed(\"",
                "Verdict::unknown(\"",
                "Level::Normal, \"",
                "Level::Warning, \"",
            ] {
                assert!(!code.contains(word), "{}: {word}", path.display());
            }
            for reason in ALL {
                let literal = format!("\"{}\"", reason.name);
                assert!(!code.contains(&literal), "{}: {literal}", path.display());
            }
        }
    }
}
