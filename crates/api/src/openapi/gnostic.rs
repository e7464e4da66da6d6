//! The protobuf form of OpenAPI 2.0 that older clients of Kubernetes insist on: the messages of
//! gnostic's `openapi.v2` package, with the fields that our document has. Numbers are those of its
//! published description.

use prost::Message;
use serde_json::{Map, Value};

#[derive(Clone, PartialEq, Message)]
struct Document {
    #[prost(string, tag = "1")]
    swagger: String,
    #[prost(message, optional, tag = "2")]
    info: Option<Info>,
    #[prost(message, optional, tag = "8")]
    paths: Option<Paths>,
    #[prost(message, optional, tag = "9")]
    definitions: Option<Schemas>,
}

#[derive(Clone, PartialEq, Message)]
struct Info {
    #[prost(string, tag = "1")]
    title: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Paths {
    #[prost(message, repeated, tag = "2")]
    path: Vec<NamedPathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedPathItem {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<PathItem>,
}

#[derive(Clone, PartialEq, Message)]
struct PathItem {
    #[prost(message, optional, tag = "2")]
    get: Option<Operation>,
    #[prost(message, optional, tag = "3")]
    put: Option<Operation>,
    #[prost(message, optional, tag = "4")]
    post: Option<Operation>,
    #[prost(message, optional, tag = "5")]
    delete: Option<Operation>,
    #[prost(message, optional, tag = "8")]
    patch: Option<Operation>,
}

#[derive(Clone, PartialEq, Message)]
struct Operation {
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "5")]
    id: String,
    #[prost(string, repeated, tag = "6")]
    produces: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    consumes: Vec<String>,
    #[prost(message, repeated, tag = "8")]
    parameters: Vec<ParametersItem>,
    #[prost(message, optional, tag = "9")]
    responses: Option<Responses>,
    #[prost(message, repeated, tag = "13")]
    vendor_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct ParametersItem {
    #[prost(message, optional, tag = "1")]
    parameter: Option<Parameter>,
}

#[derive(Clone, PartialEq, Message)]
struct Parameter {
    #[prost(message, optional, tag = "1")]
    body: Option<BodyParameter>,
    #[prost(message, optional, tag = "2")]
    other: Option<OtherParameter>,
}

#[derive(Clone, PartialEq, Message)]
struct BodyParameter {
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    place: String,
    #[prost(bool, tag = "4")]
    required: bool,
    #[prost(message, optional, tag = "5")]
    schema: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct OtherParameter {
    #[prost(message, optional, tag = "3")]
    query: Option<QueryParameter>,
    #[prost(message, optional, tag = "4")]
    path: Option<PathParameter>,
}

#[derive(Clone, PartialEq, Message)]
struct QueryParameter {
    #[prost(bool, tag = "1")]
    required: bool,
    #[prost(string, tag = "2")]
    place: String,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "6")]
    type_: String,
}

#[derive(Clone, PartialEq, Message)]
struct PathParameter {
    #[prost(bool, tag = "1")]
    required: bool,
    #[prost(string, tag = "2")]
    place: String,
    #[prost(string, tag = "3")]
    description: String,
    #[prost(string, tag = "4")]
    name: String,
    #[prost(string, tag = "5")]
    type_: String,
}

#[derive(Clone, PartialEq, Message)]
struct Responses {
    #[prost(message, repeated, tag = "1")]
    response_code: Vec<NamedResponse>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedResponse {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<ResponseValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ResponseValue {
    #[prost(message, optional, tag = "1")]
    response: Option<Response>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(string, tag = "1")]
    description: String,
    #[prost(message, optional, tag = "2")]
    schema: Option<SchemaItem>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaItem {
    #[prost(message, optional, tag = "1")]
    schema: Option<Schema>,
}

/// Both `Definitions` and `Properties`.
#[derive(Clone, PartialEq, Message)]
struct Schemas {
    #[prost(message, repeated, tag = "1")]
    additional_properties: Vec<NamedSchema>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedSchema {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct Schema {
    #[prost(string, tag = "1")]
    reference: String,
    #[prost(string, tag = "2")]
    format: String,
    #[prost(string, tag = "4")]
    description: String,
    #[prost(string, repeated, tag = "19")]
    required: Vec<String>,
    #[prost(message, repeated, tag = "20")]
    values: Vec<Any>,
    #[prost(message, optional, boxed, tag = "21")]
    additional_properties: Option<Box<AdditionalProperties>>,
    #[prost(message, optional, tag = "22")]
    type_: Option<Strings>,
    #[prost(message, optional, boxed, tag = "23")]
    items: Option<Box<Items>>,
    #[prost(message, optional, tag = "25")]
    properties: Option<Schemas>,
    #[prost(message, repeated, tag = "31")]
    vendor_extension: Vec<NamedAny>,
}

#[derive(Clone, PartialEq, Message)]
struct AdditionalProperties {
    #[prost(message, optional, boxed, tag = "1")]
    schema: Option<Box<Schema>>,
}

#[derive(Clone, PartialEq, Message)]
struct Items {
    #[prost(message, repeated, tag = "1")]
    schema: Vec<Schema>,
}

#[derive(Clone, PartialEq, Message)]
struct Strings {
    #[prost(string, repeated, tag = "1")]
    value: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct NamedAny {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "2")]
    yaml: String,
}

/// The document in its protobuf form.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let info = &document["info"];
    let info = Info { title: text(info, "title"), version: text(info, "version") };
    let path = entries(document, "paths")
        .map(|(path, item)| NamedPathItem { name: path.clone(), value: Some(path_item(item)) });
    let definitions = entries(document, "definitions").map(named);
    Document {
        swagger: text(document, "swagger"),
        info: Some(info),
        paths: Some(Paths { path: path.collect() }),
        definitions: Some(Schemas { additional_properties: definitions.collect() }),
    }
    .encode_to_vec()
}

fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    let all = value[field].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn entries<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(field).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// JSON is YAML, and one line of it needs no care.
fn any(value: &Value) -> Any {
    Any { yaml: format!("{value}\n") }
}

fn extensions(value: &Value) -> Vec<NamedAny> {
    let all = value.as_object().into_iter().flat_map(Map::iter);
    let all = all.filter(|(name, _)| name.starts_with("x-"));
    all.map(|(name, value)| NamedAny { name: name.clone(), value: Some(any(value)) }).collect()
}

fn path_item(item: &Value) -> PathItem {
    let of = |method: &str| item.get(method).map(operation);
    PathItem {
        get: of("get"),
        put: of("put"),
        post: of("post"),
        delete: of("delete"),
        patch: of("patch"),
    }
}

fn operation(value: &Value) -> Operation {
    let parameters = value["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
    let responses = entries(value, "responses").map(|(status, response)| NamedResponse {
        name: status.clone(),
        value: Some(ResponseValue {
            response: Some(Response {
                description: text(response, "description"),
                schema: Some(SchemaItem { schema: response.get("schema").map(schema) }),
            }),
        }),
    });
    Operation {
        description: text(value, "description"),
        id: text(value, "operationId"),
        produces: texts(value, "produces"),
        consumes: texts(value, "consumes"),
        parameters: parameters.iter().map(parameter).collect(),
        responses: Some(Responses { response_code: responses.collect() }),
        vendor_extension: extensions(value),
    }
}

fn parameter(value: &Value) -> ParametersItem {
    let (name, place) = (text(value, "name"), text(value, "in"));
    let required = value["required"] == true;
    let (description, type_) = (text(value, "description"), text(value, "type"));
    let parameter = match place.as_str() {
        "body" => {
            let schema = value.get("schema").map(schema);
            Parameter { body: Some(BodyParameter { name, place, required, schema }), other: None }
        }
        "path" => {
            let path = Some(PathParameter { required, place, description, name, type_ });
            Parameter { body: None, other: Some(OtherParameter { query: None, path }) }
        }
        _ => {
            let query = Some(QueryParameter { required, place, description, name, type_ });
            Parameter { body: None, other: Some(OtherParameter { query, path: None }) }
        }
    };
    ParametersItem { parameter: Some(parameter) }
}

fn named((name, value): (&String, &Value)) -> NamedSchema {
    NamedSchema { name: name.clone(), value: Some(schema(value)) }
}

fn schema(value: &Value) -> Schema {
    let values = value["enum"].as_array().map(Vec::as_slice).unwrap_or_default();
    let type_ = value["type"].as_str().map(|name| Strings { value: vec![name.to_owned()] });
    let below = value.get("additionalProperties").map(schema).map(Box::new);
    let properties = entries(value, "properties").map(named).collect::<Vec<_>>();
    let properties =
        (!properties.is_empty()).then_some(Schemas { additional_properties: properties });
    Schema {
        reference: text(value, "$ref"),
        format: text(value, "format"),
        description: text(value, "description"),
        required: texts(value, "required"),
        values: values.iter().map(any).collect(),
        additional_properties: below
            .map(|schema| Box::new(AdditionalProperties { schema: Some(schema) })),
        type_,
        items: value.get("items").map(|items| Box::new(Items { schema: vec![schema(items)] })),
        properties,
        vendor_extension: extensions(value),
    }
}

/// How many paths and definitions the protobuf form has.
#[cfg(test)]
pub(super) fn count(bytes: &[u8]) -> (usize, usize) {
    let document = Document::decode(bytes).unwrap();
    let paths = document.paths.unwrap().path.len();
    (paths, document.definitions.unwrap().additional_properties.len())
}
