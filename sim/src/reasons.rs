//! Every reason that the platform gives is one that its reference explains.

use std::path::Path;
use std::sync::Arc;

use ebb_model::key;

use crate::objects::{SERVING, full_name, text};
use crate::settle::Complaint;
use crate::world::World;

/// The reference of conditions and Events, which control's own tests compare with its table.
const CONDITIONS: &str = include_str!("../../docs/reference/conditions.md");
/// Pages of the codes, beside this package.
const PAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/errors");

/// Whether the part of the reference explains it, or a page of its own.
fn is_documented(reason: &str, part: &str) -> bool {
    let (_, rows) = CONDITIONS.split_once(part).unwrap_or_default();
    let rows = rows.lines().skip(1).take_while(|line| !line.starts_with("## "));
    let names = rows.filter_map(|row| row.strip_prefix("| ")?.split(' ').next());
    names.into_iter().any(|name| name == reason)
        || Path::new(PAGES).join(format!("{reason}.md")).exists()
}

/// Reasons of conditions, whatever those say, and of Events.
pub(crate) fn check(world: &World, complaints: &mut Vec<Complaint>) {
    let mut objects = world.store.objects(&key::all("", "namespaces"));
    for resource in ["services", "configurations", "revisions", "routes"] {
        objects.extend(world.store.objects(&key::all(SERVING, resource)));
    }
    objects.extend(world.live("nodes").into_iter().map(Arc::new));
    let mut complain = |reason: &str, part, what: String| {
        if !reason.is_empty() && !is_documented(reason, part) {
            complaints.push(("reasons are documented", format!("{what} gives {reason:?}")));
        }
    };
    for object in &objects {
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        for condition in conditions {
            let what = format!(
                "{} {} {}",
                text(object, "/kind"),
                full_name(object),
                text(condition, "/type")
            );
            complain(text(condition, "/reason"), "## Conditions", what);
            if text(condition, "/status") == "False" && text(condition, "/reason").is_empty() {
                complain(
                    "none",
                    "## Conditions",
                    format!("{} {}", text(object, "/kind"), full_name(object)),
                );
            }
        }
    }
    for event in world.live("events") {
        complain(
            text(&event, "/reason"),
            "## Events",
            format!("event {}", text(&event, "/message")),
        );
    }
}
