//! `ebb images`: load, list, remove.

use ebb_model::image::ImageSummary;
use reqwest::Method;
use serde_json::Value;

use super::{Session, deploy};
use crate::cli::{Images, Output};
use crate::failure::Failure;
use crate::output;

const PATH: &str = "/apis/ebb.dev/v1/images";

/// Runs one of the commands.
pub(crate) async fn run(session: &Session, command: Images) -> Result<(), Failure> {
    match command {
        Images::List => {
            let list = session.client.get(PATH).await?;
            print(session, &list)
        }
        Images::Load { file, name } => load(session, &file, name.as_deref()).await,
        Images::Rm { reference } => {
            // A digest alone, as the list shows it, means the image whatever its names are.
            let named = match reference.parse::<ebb_model::Digest>() {
                Ok(digest) => digest.to_string(),
                Err(_) => reference.parse::<ebb_model::Reference>()?.to_string(),
            };
            let path = format!("{PATH}?reference={}", encode(&named));
            let answer = session.client.json(Method::DELETE, &path, None).await?;
            match session.output {
                Output::Table => output::line(&format!("image {named} removed")),
                Output::Json => output::json(&answer),
                Output::Yaml => output::yaml(&answer),
            }
            Ok(())
        }
    }
}

async fn load(
    session: &Session,
    file: &std::path::Path,
    name: Option<&str>,
) -> Result<(), Failure> {
    let spinner = deploy::progress(&format!("loading {}", file.display()));
    let answer = upload(session, file, name).await;
    spinner.finish_and_clear();
    print(session, &answer?)
}

/// Sends an archive and answers the list of what was tagged.
pub(crate) async fn upload(
    session: &Session,
    file: &std::path::Path,
    name: Option<&str>,
) -> Result<Value, Failure> {
    let archive = tokio::fs::File::open(file).await.map_err(|error| {
        Failure::new(
            "FILE_UNREADABLE",
            ebb_model::Kind::Invalid,
            format!("{} cannot be read: {error}", file.display()),
        )
    })?;
    let path = match name {
        Some(name) => {
            let name: ebb_model::Reference = name.parse()?;
            format!("{PATH}/load?name={}", encode(&name.to_string()))
        }
        None => format!("{PATH}/load"),
    };
    let body = reqwest::Body::from(archive);
    let response =
        session.client.send(Method::POST, &path, Some(body), "application/x-tar").await?;
    response.json().await.map_err(|error| Failure::internal("reading the answer", &error))
}

fn print(session: &Session, list: &Value) -> Result<(), Failure> {
    let items: Vec<ImageSummary> = serde_json::from_value(list["items"].clone())
        .map_err(|error| Failure::internal("reading the list of images", &error))?;
    let rows = items.iter().map(|image| {
        let name = image.reference.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let size = ebb_model::quantity::format_bytes(image.size_bytes.next_multiple_of(1024));
        vec![name, image.digest.to_string(), size, image.created.to_rfc3339_seconds()]
    });
    output::rows(session.output, list, &["NAME", "DIGEST", "SIZE", "CREATED"], rows);
    Ok(())
}

/// Percent-encodes what a query value may not hold; a reference has no other such characters.
fn encode(text: &str) -> String {
    text.replace('%', "%25").replace('@', "%40").replace(':', "%3A").replace('/', "%2F")
}
