//! The page that shows the description of the routes to people.

use askama::Template;
use axum::http::HeaderValue;
use serde_json::Value;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{ArrayItems, Components, Object, Schema, SchemaType};
use utoipa::openapi::{OpenApi, RefOr, Required, Response};

use super::layout::{Layout, Section, document};
use crate::error::Error;
use crate::http::description::name_of;
use crate::lists::document::Document;

/// The address in examples if PUBLIC_URL is not set.
const ANY_SERVER: &str = "http://localhost:8081";

#[derive(Template)]
#[template(path = "docs.html")]
struct DocsPage<'a> {
    layout: Layout,
    title: &'a str,
    version: &'a str,
    introduction: &'a str,
    tags: Vec<TagView<'a>>,
    schemas: Vec<SchemaView<'a>>,
}

/// The operations of a tag.
struct TagView<'a> {
    name: &'a str,
    meaning: &'a str,
    operations: Vec<OperationView<'a>>,
}

struct OperationView<'a> {
    id: &'a str,
    method: &'static str,
    path: &'a str,
    summary: &'a str,
    is_guarded: bool,
    parameters: Vec<ParameterView<'a>>,
    answers: Vec<AnswerView<'a>>,
    curl: String,
}

struct ParameterView<'a> {
    name: &'a str,
    is_required: bool,
    meaning: &'a str,
    example: String,
}

struct AnswerView<'a> {
    status: &'a str,
    meaning: &'a str,
    bodies: Vec<Body<'a>>,
    headers: String,
}

struct Body<'a> {
    content_type: &'a str,
    kind: Kind<'a>,
}

struct SchemaView<'a> {
    name: &'a str,
    meaning: &'a str,
    properties: Vec<Property<'a>>,
}

struct Property<'a> {
    name: &'a str,
    is_required: bool,
    kind: Kind<'a>,
    meaning: &'a str,
}

/// A type in words, which may name a schema.
#[derive(Default)]
struct Kind<'a> {
    before: String,
    schema: &'a str,
    after: &'static str,
}

/// The page that shows the description. `root` is the path of the service.
pub(in crate::http) fn page(
    api: &OpenApi,
    root: String,
    cache_control: HeaderValue,
) -> Result<Document, Error> {
    let server = api.servers.iter().flatten().next().map_or("/", |server| &server.url);
    let example_server = if server == "/" { ANY_SERVER } else { server };
    let none = Components::default();
    let components = api.components.as_ref().unwrap_or(&none);
    let tags = api.tags.iter().flatten().map(|tag| TagView {
        name: &tag.name,
        meaning: text(tag.description.as_ref()),
        operations: operations(api, &tag.name, components, example_server),
    });
    let schemas = components.schemas.iter().map(|(name, schema)| schema_view(name, schema));
    let json = format!("{root}openapi.json");
    let page = DocsPage {
        layout: Layout::without_address(root, Section::Api, "The API".to_owned()).with_json(json),
        title: &api.info.title,
        version: &api.info.version,
        introduction: text(api.info.description.as_ref()),
        tags: tags.collect(),
        schemas: schemas.collect(),
    };
    document(&page, cache_control, false)
}

fn text(text: Option<&String>) -> &str {
    text.map(String::as_str).unwrap_or_default()
}

fn operations<'a>(
    api: &'a OpenApi,
    tag: &str,
    components: &'a Components,
    server: &str,
) -> Vec<OperationView<'a>> {
    let methods = api.paths.paths.iter().flat_map(|(path, item)| {
        let methods = [("GET", &item.get), ("POST", &item.post), ("DELETE", &item.delete)];
        methods.into_iter().filter_map(move |(method, operation)| {
            Some((path.as_str(), method, operation.as_ref()?))
        })
    });
    methods
        .filter(|(_, _, operation)| operation.tags.iter().flatten().any(|own| own == tag))
        .map(|(path, method, operation)| OperationView {
            id: text(operation.operation_id.as_ref()),
            method,
            path,
            summary: text(operation.summary.as_ref()),
            is_guarded: operation.security.is_some(),
            parameters: parameters(operation).map(parameter_view).collect(),
            answers: answers(operation, components),
            curl: curl(server, method, path, operation),
        })
        .collect()
}

fn parameters(operation: &Operation) -> impl Iterator<Item = &Parameter> {
    operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

fn parameter_view(parameter: &Parameter) -> ParameterView<'_> {
    ParameterView {
        name: &parameter.name,
        is_required: parameter.required == Required::True,
        meaning: text(parameter.description.as_ref()),
        example: example(parameter),
    }
}

/// The parameter's example, which utoipa shows in JSON alone.
fn example(parameter: &Parameter) -> String {
    let parameter = serde_json::to_value(parameter).unwrap_or_default();
    match &parameter["example"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn answers<'a>(operation: &'a Operation, components: &'a Components) -> Vec<AnswerView<'a>> {
    let resolved =
        operation.responses.responses.iter().filter_map(|(status, response)| match response {
            RefOr::T(response) => Some((status, response)),
            RefOr::Ref(named) => match components.responses.get(name_of(&named.ref_location))? {
                RefOr::T(response) => Some((status, response)),
                RefOr::Ref(_) => None,
            },
        });
    resolved.map(|(status, response)| answer_view(status, response)).collect()
}

fn answer_view<'a>(status: &'a str, response: &'a Response) -> AnswerView<'a> {
    let bodies = response.content.iter().filter_map(|(content_type, content)| {
        let RefOr::T(content) = content else { return None };
        let kind = content.schema.as_ref().map(kind).unwrap_or_default();
        Some(Body { content_type, kind })
    });
    AnswerView {
        status,
        meaning: &response.description,
        bodies: bodies.collect(),
        headers: response.headers.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// A request that shows the operation: with the parameters that it cannot do without.
fn curl(server: &str, method: &str, path: &str, operation: &Operation) -> String {
    let (mut path, mut query) = (path.to_owned(), String::new());
    for parameter in parameters(operation).filter(|own| own.required == Required::True) {
        let (slot, example) = (format!("{{{}}}", parameter.name), example(parameter));
        if path.contains(&slot) {
            path = path.replace(&slot, &example);
        } else {
            query.push(if query.is_empty() { '?' } else { '&' });
            query.push_str(&format!("{}={example}", parameter.name));
        }
    }
    let options = match method {
        "GET" => "--compressed".to_owned(),
        _ => format!("-X {method}"),
    };
    let token = operation.security.as_ref().map(|_| " -H \"Authorization: Bearer $TOKEN\"");
    format!("curl {options}{} '{server}{path}{query}'", token.unwrap_or_default())
}

fn schema_view<'a>(name: &'a str, schema: &'a RefOr<Schema>) -> SchemaView<'a> {
    let RefOr::T(Schema::Object(object)) = schema else {
        return SchemaView { name, meaning: "", properties: Vec::new() };
    };
    let meaning = text(object.description.as_ref());
    let properties = object.properties.iter().map(|(name, schema)| Property {
        name,
        is_required: object.required.contains(name),
        kind: kind(schema),
        meaning: meaning_of(schema),
    });
    SchemaView { name, meaning, properties: properties.collect() }
}

fn meaning_of(schema: &RefOr<Schema>) -> &str {
    match schema {
        RefOr::Ref(named) => &named.description,
        RefOr::T(Schema::Object(object)) => text(object.description.as_ref()),
        RefOr::T(Schema::Array(array)) => text(array.description.as_ref()),
        RefOr::T(Schema::OneOf(either)) => {
            either.items.iter().map(meaning_of).find(|meaning| !meaning.is_empty()).unwrap_or("")
        }
        RefOr::T(_) => "",
    }
}

fn kind(schema: &RefOr<Schema>) -> Kind<'_> {
    match schema {
        RefOr::Ref(named) => Kind { schema: name_of(&named.ref_location), ..Kind::default() },
        RefOr::T(Schema::Object(object)) => Kind { before: words(object), ..Kind::default() },
        RefOr::T(Schema::Array(array)) => match &array.items {
            ArrayItems::RefOrSchema(items) => {
                let items = kind(items);
                Kind { before: format!("array of {}", items.before), ..items }
            }
            ArrayItems::False => Kind { before: "array".to_owned(), ..Kind::default() },
        },
        RefOr::T(Schema::OneOf(either)) => either
            .items
            .iter()
            .find(|item| matches!(item, RefOr::Ref(_)))
            .map(|named| Kind { after: " or null", ..kind(named) })
            .unwrap_or_default(),
        RefOr::T(_) => Kind::default(),
    }
}

/// The types of a value that is no schema of its own.
fn words(object: &Object) -> String {
    let name = |kind| serde_json::to_value(kind).unwrap_or_default();
    let kinds = match &object.schema_type {
        SchemaType::Type(kind) => vec![name(kind)],
        SchemaType::Array(kinds) => kinds.iter().map(name).collect(),
        SchemaType::AnyValue => Vec::new(),
    };
    let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).collect();
    kinds.join(" or ")
}
