//! The `scale` subresource: the number of instances of a Service, as `autoscaling/v1` Scale.
//!
//! Reading it shows how many there are. Writing it turns scaling by requests off: the annotations
//! that ask for a manual number are set on the Service, in a commit like any other change of it,
//! and controllers do the rest. Removing them turns it on again.

use std::sync::{Mutex, PoisonError};

use ebb_model::knative::LABEL_SERVICE;
use ebb_model::scaling::{MANUAL, MANUAL_COUNT, SCALING_MODE, manual};
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{body_tree, get, update, warn};
use crate::admission::{self, Strictness};
use crate::auth::Verb;
use crate::body::{self, Body, Sent};
use crate::context::{Context, Target};
use crate::decode::{self, Tree};
use crate::dispatch;
use crate::kinds;
use crate::status::Failure;
use crate::{meta, patch, storage};

/// Most bytes that a patch may copy within a Scale, which has some hundred.
const SCALE_MAX: usize = 64 << 10;
/// Records read from the store at a time.
const CHUNK: usize = 500;

/// Answers one verb of it.
pub(crate) async fn serve(
    context: &Context,
    verb: Verb,
    target: &Target,
    parts: &Parts,
    body: Sent,
) -> Result<Response<Body>, Failure> {
    if verb == Verb::Get {
        let record = get::record(context, target).await?;
        let service = storage::read(target.kind, &record)?;
        let instances = instances(context, target).await?;
        return Ok(body::json(StatusCode::OK, &view(&service, instances)));
    }
    let content_type = dispatch::content_type(parts);
    let bytes = body::read(body, context.app.max_body_bytes).await?;
    let change = match verb {
        Verb::Patch => Change::Patch(form(content_type)?, decode::json(&bytes)?),
        _ => Change::Put(body_tree(&kinds::scale::KIND, content_type, &bytes)?),
    };
    write(context, target, &change).await
}

/// What a client sent.
enum Change {
    Put(Tree),
    Patch(Form, Tree),
}

/// How a patch is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A merge patch, or a strategic one: a Scale has no lists, so both mean the same.
    Merge,
    Json,
}

fn form(content_type: Option<&str>) -> Result<Form, Failure> {
    match content_type {
        Some("application/merge-patch+json" | "application/strategic-merge-patch+json") => {
            Ok(Form::Merge)
        }
        Some("application/json-patch+json") => Ok(Form::Json),
        other => Err(Failure::unsupported_media_type(format!(
            "the body of the request was in an unknown format ({}): application/merge-patch+json, \
             application/strategic-merge-patch+json and application/json-patch+json are accepted",
            other.unwrap_or("no Content-Type")
        ))),
    }
}

impl Change {
    /// The Scale that is asked for, given the one that there is.
    fn asked(&self, before: &Value) -> Result<Tree, Failure> {
        match self {
            Self::Put(tree) => {
                Ok(Tree { value: tree.value.clone(), duplicates: tree.duplicates.clone() })
            }
            Self::Patch(Form::Merge, tree) => {
                let mut value = before.clone();
                patch::merge(&mut value, &tree.value);
                Ok(Tree { value, duplicates: tree.duplicates.clone() })
            }
            Self::Patch(Form::Json, tree) => {
                let operations = patch::json::read(tree)?;
                let value = patch::json::apply(&operations, before, SCALE_MAX)?;
                Ok(Tree { value, duplicates: tree.duplicates.clone() })
            }
        }
    }

    /// The kind that Kubernetes gives the parameters in messages.
    const fn options(&self) -> &'static str {
        match self {
            Self::Put(_) => "UpdateOptions",
            Self::Patch(..) => "PatchOptions",
        }
    }

    /// The version that the client saw; none when it does not say.
    fn version<'a>(&'a self, asked: &'a Value) -> Option<&'a str> {
        match self {
            Self::Put(_) => meta::text(asked, "resourceVersion"),
            Self::Patch(_, tree) => meta::text(&tree.value, "resourceVersion"),
        }
    }
}

async fn write(
    context: &Context,
    target: &Target,
    change: &Change,
) -> Result<Response<Body>, Failure> {
    let strictness = Strictness::of(&context.query)?;
    let instances = instances(context, target).await?;
    let warnings = Mutex::new(Vec::new());
    let changed = update::changed(context, target, change.options(), |old| {
        let tree = change.asked(&view(old, instances))?;
        let version = change.version(&tree.value).map(str::to_owned);
        let mut scale = admission::answered(&kinds::scale::KIND, tree, strictness)?;
        check_is_same(target, &mut scale.object, old)?;
        *warnings.lock().unwrap_or_else(PoisonError::into_inner) = scale.warnings;
        let mut value = with_count(old, &scale.object);
        let versioned = version.is_some();
        value["metadata"]["resourceVersion"] = json!(version);
        let tree = Tree { value, duplicates: Vec::new() };
        Ok(update::Change { tree, versioned, must_be: false, managers: None })
    })
    .await?;
    let response = body::json(StatusCode::OK, &view(&changed.object, instances));
    let own = warnings.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(warn(response, &[own, changed.warnings].concat()))
}

/// The Scale has to be that of the object in the path.
fn check_is_same(target: &Target, scale: &mut Value, service: &Value) -> Result<(), Failure> {
    meta::place(&kinds::scale::KIND, scale, target.namespace.as_deref(), Some(target.name()))?;
    let uid = meta::text(scale, "uid");
    if uid.is_some() && uid != meta::text(service, "uid") {
        let why = "the object that has this name now is another one: metadata.uid differs";
        return Err(Failure::conflict(target.kind, target.name(), why));
    }
    Ok(())
}

/// The Service, scaled by hand to what the Scale says.
fn with_count(service: &Value, scale: &Value) -> Value {
    let mut service = service.clone();
    let count = scale["spec"]["replicas"].as_u64().unwrap_or(0);
    let annotations = &mut service["metadata"]["annotations"];
    if !annotations.is_object() {
        *annotations = json!({});
    }
    annotations[SCALING_MODE] = json!(MANUAL);
    annotations[MANUAL_COUNT] = json!(count.to_string());
    service
}

/// The Scale of a Service that has so many instances now. While it scales by itself, that is also
/// the number that it is asked to have.
fn view(service: &Value, instances: u64) -> Value {
    let name = meta::text(service, "name").unwrap_or_default();
    let annotations = serde_json::from_value(service["metadata"]["annotations"].clone()).ok();
    let wanted = manual(annotations.as_ref()).map_or(instances, u64::from);
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        metadata[field] = service["metadata"][field].clone();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": { "replicas": wanted },
        "status": { "replicas": instances, "selector": format!("{LABEL_SERVICE}={name}") },
    })
}

/// Instances of the Service that are there and not on their way out.
async fn instances(context: &Context, target: &Target) -> Result<u64, Failure> {
    let pods = &kinds::pod::KIND;
    let prefix = pods.prefix(target.namespace.as_deref());
    let (mut count, mut after) = (0, None::<String>);
    loop {
        let store = context.app.store(pods);
        let scan = store.scan(&prefix, None, after.as_deref(), CHUNK).await?;
        for record in &scan.records {
            let pod = storage::read(pods, record)?;
            let ours = pod["metadata"]["labels"][LABEL_SERVICE] == target.name();
            let lives = matches!(pod["status"]["phase"].as_str(), Some("Pending" | "Running"));
            count += u64::from(ours && lives && !meta::deleting(&pod));
        }
        match scan.records.last() {
            Some(last) if scan.more => after = Some(last.key.clone()),
            _ => return Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(annotations: &Value) -> Value {
        json!({"metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7",
                            "annotations": annotations}})
    }

    #[test]
    fn a_scale_shows_what_is_wanted_and_what_is_there() {
        let automatic = view(&service(&Value::Null), 3);
        assert_eq!(automatic["spec"]["replicas"], 3);
        assert_eq!(automatic["status"]["replicas"], 3);
        assert_eq!(automatic["status"]["selector"], "serving.knative.dev/service=a");
        assert_eq!(automatic["metadata"]["resourceVersion"], "7");
        let by_hand = with_count(&service(&Value::Null), &json!({"spec": {"replicas": 5}}));
        assert_eq!(by_hand["metadata"]["annotations"][MANUAL_COUNT], "5");
        assert_eq!(view(&by_hand, 3)["spec"]["replicas"], 5);
    }

    #[test]
    fn patches_are_applied_to_the_scale() {
        let before = view(&service(&Value::Null), 1);
        for (form, patch, want) in [
            (Form::Merge, json!({"spec": {"replicas": 4}}), 4),
            (Form::Json, json!([{"op": "replace", "path": "/spec/replicas", "value": 6}]), 6),
        ] {
            let tree = Tree { value: patch, duplicates: Vec::new() };
            let asked = Change::Patch(form, tree).asked(&before).unwrap();
            assert_eq!(asked.value["spec"]["replicas"], want);
        }
        for bad in [json!({}), json!([{"op": "jump"}]), json!([{"op": "remove", "path": "/x"}])] {
            let tree = Tree { value: bad.clone(), duplicates: Vec::new() };
            let refused = Change::Patch(Form::Json, tree).asked(&before).unwrap_err();
            assert!(matches!(refused.status.as_u16(), 400 | 422), "{bad}");
        }
        for half in [
            json!([{"op": "add", "path": "/spec/replicas", "value": 9}, {"op": "remove", "path": "/x"}]),
            json!([{"op": "replace", "path": "/metadata/name", "value": false},
                {"op": "move", "from": "/metadata/name", "path": "/kind/-"}]),
        ] {
            let tree = Tree { value: half.clone(), duplicates: Vec::new() };
            assert!(Change::Patch(Form::Json, tree).asked(&before).is_err(), "{half}");
        }
    }
}
