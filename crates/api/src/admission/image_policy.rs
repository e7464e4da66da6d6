//! Policy: images come from these places only.

use std::collections::BTreeSet;

use ebb_model::reference::Reference;
use ebb_model::{Fault, Kind as FaultKind};
use serde_json::Value;

use super::hooks::{Findings, Policy, Review};

/// Allows images of these registries and repositories only, in the templates of Knative kinds.
#[derive(Clone, Debug)]
pub(crate) struct ImageRegistries {
    /// Such as `docker.io`, `ghcr.io/acme` or `127.0.0.1:5000`; each allows everything below it.
    allowed: Vec<String>,
}

impl ImageRegistries {
    /// None when nothing is given: then every image is allowed.
    pub(crate) fn new(allowed: &[String]) -> Option<Self> {
        let allowed: Vec<String> =
            allowed.iter().map(|prefix| prefix.trim_end_matches('/').to_owned()).collect();
        (!allowed.is_empty()).then_some(Self { allowed })
    }

    fn allows(&self, image: &Reference) -> bool {
        let name = image.name();
        let below = |prefix: &String| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.allowed.iter().any(below)
    }
}

impl Policy for ImageRegistries {
    fn review(&self, review: &Review<'_>) -> Findings {
        let Some(new) = review.new else { return Findings::default() };
        // What runs already may be changed in other ways after the rule became stricter.
        let known: BTreeSet<&str> =
            review.old.into_iter().flat_map(images).map(|(_, image)| image).collect();
        let refused = images(new).into_iter().filter(|(_, image)| {
            let read: Result<Reference, _> = image.parse();
            !known.contains(image) && read.is_ok_and(|image| !self.allows(&image))
        });
        let faults = refused.map(|(field, image)| {
            let message =
                format!("the image {image:?} is refused by the rule api.image_registries");
            Fault::new("IMAGE_POLICY_DENIED", FaultKind::Denied, message)
                .at(field)
                .hint(format!("images of {} are allowed", self.allowed.join(", ")))
        });
        Findings { faults: faults.collect(), warnings: Vec::new() }
    }
}

/// Field and text of each image of a template.
fn images(object: &Value) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    for list in ["initContainers", "containers"] {
        let containers = object["spec"]["template"]["spec"][list].as_array();
        for (at, container) in containers.into_iter().flatten().enumerate() {
            let field = format!("spec.template.spec.{list}[{at}].image");
            found.extend(container["image"].as_str().map(|image| (field, image)));
        }
    }
    found
}
