//! `ebb services`: list, describe, delete.

use ebb_model::Kind;
use ebb_model::knative::{self, Service, TrafficTarget};
use reqwest::Method;
use serde_json::Value;

use super::Session;
use crate::cli::{Output, Services};
use crate::failure::Failure;
use crate::output;

/// Runs one of the commands.
pub(crate) async fn run(session: &Session, command: Services) -> Result<(), Failure> {
    match command {
        Services::List => list(session).await,
        Services::Describe { name } => describe(session, &name).await,
        Services::Delete { name } => delete(session, &name).await,
    }
}

async fn list(session: &Session) -> Result<(), Failure> {
    let list = session.client.get(&session.services_path()).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let rows = items.iter().filter_map(|item| serde_json::from_value(item.clone()).ok()).map(
        |service: Service| {
            let name = service.metadata.name.clone().unwrap_or_default();
            let (status, reason) = ready(&service);
            let found = service.status.unwrap_or_default();
            let shares = shares(&found.traffic);
            vec![name, found.url.unwrap_or_default(), shares, status, reason]
        },
    );
    output::rows(session.output, &list, &["NAME", "URL", "REVISION", "READY", "REASON"], rows);
    Ok(())
}

/// Status and reason of the `Ready` condition.
pub(crate) fn ready(service: &Service) -> (String, String) {
    let status = service.status.as_ref();
    let ready = status.and_then(|status| condition(&status.conditions, knative::READY));
    ready.map_or_else(
        || ("Unknown".to_owned(), String::new()),
        |ready| (ready.status.clone(), ready.reason.clone().unwrap_or_default()),
    )
}

/// The revisions that requests go to, each with its share when there are several.
fn shares(traffic: &[TrafficTarget]) -> String {
    let shares: Vec<String> = serving(traffic)
        .map(|(revision, percent)| match percent {
            100 => revision.to_owned(),
            percent => format!("{revision} {percent}%"),
        })
        .collect();
    shares.join(", ")
}

/// The revisions that requests go to, with their shares in percent.
pub(crate) fn serving(traffic: &[TrafficTarget]) -> impl Iterator<Item = (&str, i64)> {
    let shares = traffic.iter().filter_map(|target| {
        Some((target.revision_name.as_deref()?, target.percent.unwrap_or_default()))
    });
    shares.filter(|(_, percent)| *percent > 0)
}

/// A condition by its type.
pub(crate) fn condition<'a>(
    conditions: &'a [knative::Condition],
    type_: &str,
) -> Option<&'a knative::Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

async fn describe(session: &Session, name: &str) -> Result<(), Failure> {
    let object = session.client.get(&session.service_path(name)?).await?;
    match session.output {
        Output::Json => output::json(&object),
        Output::Yaml => output::yaml(&object),
        Output::Table => describe_text(session, name, &object).await?,
    }
    Ok(())
}

async fn describe_text(session: &Session, name: &str, object: &Value) -> Result<(), Failure> {
    let service: Service = serde_json::from_value(object.clone())
        .map_err(|error| Failure::internal("reading the service", &error))?;
    let status = service.status.clone().unwrap_or_default();
    let container = service.spec.template.spec.containers.first().cloned().unwrap_or_default();
    let field = |label: &str, value: &str| {
        output::line(&format!("{label:<12} {}", output::clean(value)));
    };
    field("Name:", name);
    field("Namespace:", &session.namespace);
    field("URL:", status.url.as_deref().unwrap_or("-"));
    field("Image:", container.image.as_deref().unwrap_or("-"));
    field("Generation:", &service.metadata.generation.unwrap_or_default().to_string());
    field("Latest:", status.latest_created_revision_name.as_deref().unwrap_or("-"));
    let shares = shares(&status.traffic);
    field("Serving:", if shares.is_empty() { "-" } else { &shares });
    output::line("");
    let conditions = status.conditions.iter().map(|condition| {
        vec![
            condition.type_.clone(),
            condition.status.clone(),
            condition.reason.clone().unwrap_or_default(),
            condition.message.clone().unwrap_or_default(),
        ]
    });
    let head = ["CONDITION", "STATUS", "REASON", "MESSAGE"];
    output::rows(Output::Table, &(), &head, conditions);
    output::line("");
    let path = format!(
        "/api/v1/namespaces/{}/pods?labelSelector={}%3D{name}",
        session.namespace,
        knative::LABEL_SERVICE.replace('/', "%2F")
    );
    let pods = session.client.get(&path).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pods = pods["items"].as_array().cloned().unwrap_or_default();
    let rows = pods.iter().map(|pod| {
        vec![
            text(&pod["metadata"]["name"]),
            text(&pod["status"]["phase"]),
            text(&pod["status"]["podIP"]),
        ]
    });
    output::rows(Output::Table, &(), &["INSTANCE", "PHASE", "ADDRESS"], rows);
    Ok(())
}

async fn delete(session: &Session, name: &str) -> Result<(), Failure> {
    let path = session.service_path(name)?;
    session.client.json(Method::DELETE, &path, None).await?;
    // Deleting is done when the object is gone.
    loop {
        match session.client.get(&path).await {
            Err(failure) if failure.is(Kind::NotFound) => break,
            Err(failure) => return Err(failure),
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
    match session.output {
        Output::Table => output::line(&format!("service {name} deleted")),
        Output::Json => output::json(&serde_json::json!({ "deleted": name })),
        Output::Yaml => output::yaml(&serde_json::json!({ "deleted": name })),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serves_is_what_requests_go_to() {
        let target = |revision: &str, percent| TrafficTarget {
            revision_name: Some(revision.to_owned()),
            percent,
            ..TrafficTarget::default()
        };
        assert_eq!(shares(&[]), "");
        assert_eq!(shares(&[target("a-00001", Some(100)), target("a-00002", None)]), "a-00001");
        let split = [target("a-00001", Some(60)), target("a-00002", Some(40))];
        assert_eq!(shares(&split), "a-00001 60%, a-00002 40%");
    }
}
