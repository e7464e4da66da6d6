//! What a namespace that is being deleted says about it: the conditions of Kubernetes.

use std::collections::BTreeMap;

use ebb_model::Timestamp;
use ebb_store::Commit;
use serde_json::{Value as Json, json};

use super::contents::Left;
use crate::conditions::{FALSE, TRUE};
use crate::error::Error;
use crate::generic::Generic;
use crate::objects::ACTOR;
use crate::reasons;
use crate::shared::Shared;

/// Writes what is left, if that is not what the namespace says already.
pub(super) async fn write(
    shared: &Shared,
    mut namespace: Generic,
    left: &Left,
) -> Result<(), Error> {
    let before = namespace.json["status"].clone();
    namespace.json["status"] = after(&before, left, shared.clock.now());
    if namespace.json["status"] == before {
        return Ok(());
    }
    let (preconditions, writes) = (vec![namespace.unchanged()], vec![namespace.put()]);
    let commit = Commit { preconditions, writes, actor: ACTOR.to_owned(), ..Commit::default() };
    shared.store.commit(commit).await?;
    Ok(())
}

fn after(before: &Json, left: &Left, now: Timestamp) -> Json {
    let list = |counts: &BTreeMap<String, usize>| {
        let each = counts.iter().map(|(what, number)| format!("{what} ({number})"));
        each.collect::<Vec<_>>().join(", ")
    };
    let remain = format!("still there: {}", list(&left.objects));
    let held = format!("waited for: {}", list(&left.finalizers));
    let (resources, content) = (reasons::SOME_RESOURCES_REMAIN, reasons::CONTENT_REMOVED);
    let (finalizers, none) = (reasons::SOME_FINALIZERS_REMAIN, reasons::CONTENT_HAS_NO_FINALIZERS);
    let ok = |type_, reason, message: &str| (type_, FALSE, reason, message.to_owned());
    let conditions = [
        ok("NamespaceDeletionDiscoveryFailure", reasons::RESOURCES_DISCOVERED, "all are known"),
        ok(
            "NamespaceDeletionGroupVersionParsingFailure",
            reasons::PARSED_GROUP_VERSIONS,
            "all are known",
        ),
        ok(
            "NamespaceDeletionContentFailure",
            reasons::CONTENT_DELETED,
            "everything was told to go",
        ),
        if left.objects.is_empty() {
            ok("NamespaceContentRemaining", content, "nothing is left")
        } else {
            ("NamespaceContentRemaining", TRUE, resources, remain)
        },
        if left.finalizers.is_empty() {
            ok("NamespaceFinalizersRemaining", none, "nothing has finalizers")
        } else {
            ("NamespaceFinalizersRemaining", TRUE, finalizers, held)
        },
    ];
    let mut status = before.clone();
    status["phase"] = json!("Terminating");
    let known = before["conditions"].as_array().cloned().unwrap_or_default();
    let ours = |condition: &Json| conditions.iter().any(|(type_, ..)| condition["type"] == *type_);
    let mut all: Vec<Json> = known.iter().filter(|condition| !ours(condition)).cloned().collect();
    for (type_, says, reason, message) in &conditions {
        let same = known.iter().find(|c| c["type"] == *type_ && c["status"] == *says);
        let since = same.map(|condition| condition["lastTransitionTime"].clone());
        all.push(json!({
            "type": type_,
            "status": says,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since.unwrap_or_else(|| json!(now.to_rfc3339_seconds())),
        }));
    }
    status["conditions"] = Json::Array(all);
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_move_only_with_the_status() {
        let mut left = Left::default();
        left.objects.insert("configmaps".to_owned(), 2);
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let first = after(&json!({"phase": "Active"}), &left, at(1));
        assert_eq!(first["phase"], "Terminating");
        assert_eq!(after(&first, &left, at(2)), first, "nothing changed");
        left.finalizers.insert("example.com/hold".to_owned(), 1);
        let second = after(&first, &left, at(3));
        let find = |status: &Json, type_: &str| {
            let all = status["conditions"].as_array().unwrap();
            assert_eq!(all.len(), 5);
            all.iter().find(|c| c["type"] == type_).unwrap().clone()
        };
        let content = find(&second, "NamespaceContentRemaining");
        assert_eq!(content, find(&first, "NamespaceContentRemaining"));
        let held = find(&second, "NamespaceFinalizersRemaining");
        assert_eq!(
            (&held["status"], &held["reason"]),
            (&json!("True"), &json!("SomeFinalizersRemain"))
        );
        assert_eq!(held["lastTransitionTime"], json!(at(3).to_rfc3339_seconds()));
    }
}
