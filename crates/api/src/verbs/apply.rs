//! Server-side apply: a client says which fields it wants, and owns them.

use http::Response;
use serde_json::Value;

use super::update::{self, Change};
use super::writer::{Writer, known};
use super::{create, get};
use crate::admission::{self, Strictness};
use crate::apply::last_applied;
use crate::apply::managers::{Managers, Operation};
use crate::apply::walk;
use crate::apply::write::{Conflict, apply as lay_over};
use crate::auth::Verb;
use crate::body::Body;
use crate::context::{Context, Target};
use crate::decode::{self, Tree};
use crate::registry::Kind;
use crate::status::Failure;
use crate::{meta, schema};
use ebb_model::{Fault, Kind as FaultKind};

/// How often it is tried again when the object comes and goes meanwhile.
const TRIES: usize = 4;
/// Fields and list elements that are named at most when a configuration cannot be applied.
const MAX_NAMED: usize = 100;

/// Applies the configuration in the body; makes the object when it is not there.
pub(crate) async fn apply(
    context: &Context,
    target: &Target,
    bytes: &[u8],
) -> Result<Response<Body>, Failure> {
    let strictness = Strictness::of(&context.query)?;
    let force = context.query.flag("force")?;
    let writer = Writer::of(context, target, Operation::Apply, "PatchOptions")?;
    let config = read(target.kind, bytes)?;
    let versioned = meta::text(&config.value, "resourceVersion").is_some();
    for _ in 0..TRIES {
        if get::exists(context, target).await? {
            let changed = update::change(context, target, "PatchOptions", |old| {
                let (value, managers) = laid_over(target.kind, &writer, old, &config.value, force)?;
                let tree = Tree { value, duplicates: config.duplicates.clone() };
                Ok(Change { tree, versioned, must_be: false, managers: Some(managers) })
            });
            match changed.await {
                // Removed meanwhile.
                Err(failure) if failure.is_missing(target.kind, target.name()) => {}
                answer => return answer,
            }
        } else if target.subresource.is_some() {
            return Err(Failure::not_found(target.kind, target.name()));
        } else {
            match made(context, target, &writer, &config, strictness).await {
                // Made meanwhile.
                Err(failure) if failure.reason == "AlreadyExists" => {}
                answer => return answer,
            }
        }
    }
    Err(update::stale(target))
}

/// Reads a configuration.
///
/// # Errors
/// 400 for one that cannot be applied, whatever there is.
fn read(kind: &Kind, bytes: &[u8]) -> Result<Tree, Failure> {
    let json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let tree = match decode::json(bytes) {
        Ok(tree) if json => tree,
        // Flow style of YAML looks like JSON.
        _ => decode::yaml(bytes)?,
    };
    admission::type_meta(kind, &tree.value)?;
    for field in ["apiVersion", "kind"] {
        if !tree.value[field].is_string() {
            let message = format!("{field} is missing, and a configuration to apply says it");
            return Err(Failure::bad_request("UNSUPPORTED_VERSION", message));
        }
    }
    if !tree.value["metadata"]["managedFields"].is_null() {
        let message = "metadata.managedFields must be nil";
        return Err(Failure::bad_request("INVALID_VALUE", message));
    }
    let unknown = (kind.type_.decode)(tree.value.clone())?.unknown;
    let undeclared = "field not declared in schema";
    let mut wrong: Vec<(&str, String, String)> = unknown
        .into_iter()
        .map(|path| ("UNKNOWN_FIELD", format!(".{path}"), undeclared.to_owned()))
        .collect();
    let lists = walk::check(schema::of(kind), &tree.value);
    wrong.extend(lists.into_iter().map(|(path, why)| ("INVALID_LIST", path, why)));
    if wrong.is_empty() { Ok(tree) } else { Err(untypeable(kind, &tree.value, wrong)) }
}

fn untypeable(kind: &Kind, config: &Value, wrong: Vec<(&str, String, String)>) -> Failure {
    let name = meta::text(config, "name").unwrap_or_default();
    let place = match meta::text(config, "namespace") {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    };
    let faults: Vec<Fault> = wrong
        .into_iter()
        .take(MAX_NAMED)
        .map(|(code, path, why)| Fault::new(code, FaultKind::Invalid, why).at(path))
        .collect();
    let each: Vec<String> = faults
        .iter()
        .map(|fault| format!("{}: {}", fault.field.as_deref().unwrap_or_default(), fault.message))
        .collect();
    let message = format!(
        "failed to create typed patch object ({place}; {}, Kind={}): {}",
        kind.api_version(),
        kind.kind,
        each.join("\n")
    );
    Failure::bad_body(message, faults)
}

/// What an object becomes, and who owns what then.
fn laid_over(
    kind: &Kind,
    writer: &Writer,
    old: &Value,
    config: &Value,
    force: bool,
) -> Result<(Value, Managers), Failure> {
    let before = known(old, None);
    let by = writer.by(kind);
    let mut live = old.clone();
    meta::take_managers(&mut live);
    let mut managers = before.clone();
    let mut laid = lay_over(&by, &mut managers, &live, config, force);
    if let (Err(conflicts), true) = (&laid, last_applied::is_kubectl(&writer.manager)) {
        let left = last_applied::not_vouched(by.node, &live, conflicts);
        if !left.is_empty() {
            return Err(conflict(&left));
        }
        managers = before;
        laid = lay_over(&by, &mut managers, &live, config, true);
    }
    let mut value = laid.map_err(|conflicts| conflict(&conflicts))?;
    if last_applied::is_kubectl(&writer.manager) {
        last_applied::refresh(&mut value, config);
    }
    Ok((value, managers))
}

/// Makes the object from the configuration alone.
async fn made(
    context: &Context,
    target: &Target,
    writer: &Writer,
    config: &Tree,
    strictness: Strictness,
) -> Result<Response<Body>, Failure> {
    create::check_allowed(context, target)?;
    if !target.kind.allows(Verb::Create) {
        let resource = target.kind.resource();
        let message = format!("{resource} are not made by applying: {}", target.kind.refused);
        return Err(Failure::method_not_allowed("DELETE, GET", message));
    }
    if meta::text(&config.value, "resourceVersion").is_some() {
        return Err(update::stale(target));
    }
    if meta::text(&config.value, "uid").is_some() {
        let why = "uid mismatch: the provided object specified a uid, and no existing object was \
                   found";
        return Err(Failure::conflict(target.kind, target.name(), why));
    }
    let mut managers = Managers::default();
    let value =
        lay_over(&writer.by(target.kind), &mut managers, &writer.blank, &config.value, true)
            .map_err(|conflicts| conflict(&conflicts))?;
    let tree = Tree { value, duplicates: config.duplicates.clone() };
    let record = |object: &mut Value| super::writer::set(object, &managers);
    create::make(context, target, tree, strictness, &record).await
}

fn conflict(conflicts: &[Conflict]) -> Failure {
    let mut list: Vec<(String, Vec<String>)> =
        conflicts.iter().map(|conflict| (conflict.who(), conflict.paths())).collect();
    list.sort();
    let count: usize = list.iter().map(|(_, paths)| paths.len()).sum();
    let message = match list.as_slice() {
        [(who, paths)] if count == 1 => {
            format!("Apply failed with 1 conflict: conflict with {who}: {}", paths.join(""))
        }
        many => {
            let each: Vec<String> = many
                .iter()
                .map(|(who, paths)| format!("conflicts with {who}:\n- {}", paths.join("\n- ")))
                .collect();
            format!("Apply failed with {count} conflicts: {}", each.join("\n"))
        }
    };
    let causes = list.iter().flat_map(|(who, paths)| {
        paths.iter().map(move |path| {
            // Clients look for Kubernetes' own word here.
            let message = format!("conflict with {who}");
            Fault::new("FieldManagerConflict", FaultKind::Conflict, message).at(path.clone())
        })
    });
    Failure::apply_conflict(message, causes.collect())
}
