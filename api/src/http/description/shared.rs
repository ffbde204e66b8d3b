//! The parts of the description that several routes share.

use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::Components;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::{Tag, TagBuilder};

use super::answer::{Answer, reason};
use super::schemas;
use crate::http::parameters::{Parameter, Shape};
use crate::http::problem::Problem;

/// The name of the only security scheme.
pub(super) const BEARER: &str = "maintenance_token";

pub(super) const INTRODUCTION: &str = "\
    Ranked lists of the repositories of GitHub topics, their growth, their history, feeds and \
    pictures. A topic that is not tracked is fetched from GitHub by the first read of one of its \
    lists, if the server's settings allow that; until the list is ready the answer is 503 and says \
    how far the fetch is. A route that takes parameters refuses unknown and repeated ones, and \
    names in its errors what it accepts. A server behind a proxy may answer 429 to a client that \
    asks too often.";

/// The parameters of paths.
const PATH_PARAMETERS: [Parameter; 5] = [
    Parameter {
        name: "topic",
        accepted: "1 to 50 letters, digits and hyphens that do not start with a hyphen",
        doc: "The topic, in any case.",
        example: "kubernetes",
        shape: Shape::Pattern("[A-Za-z0-9][A-Za-z0-9-]{0,49}"),
    },
    Parameter {
        name: "owner",
        accepted: "a login of GitHub's",
        doc: "The repository's owner, in any case.",
        example: "istio",
        shape: Shape::Pattern("[A-Za-z0-9_.-]{1,100}"),
    },
    Parameter {
        name: "repo",
        accepted: "a name of GitHub's",
        doc: "The repository's name, in any case.",
        example: "istio",
        shape: Shape::Pattern("[A-Za-z0-9_.-]{1,100}"),
    },
    Parameter {
        name: "id",
        accepted: "a whole number",
        doc: "The id.",
        example: "1",
        shape: Shape::Integer { minimum: 1, maximum: u32::MAX },
    },
    Parameter {
        name: "file",
        accepted: "a name with .svg, .json or .csv",
        doc: "The repository's name and the form of the answer.",
        example: "istio.svg",
        shape: Shape::Pattern(r"[A-Za-z0-9_.-]{1,100}\.(svg|json|csv)"),
    },
];

/// The headers of answers: name, meaning, example, shape.
const HEADERS: [(&str, &str, &str, Shape); 18] = [
    ("Allow", "The methods that the route answers.", "GET,HEAD", Shape::Text),
    ("Cache-Control", "How long clients may keep the answer.", "public, max-age=60", Shape::Text),
    ("Cache-Status", "The cache that answered (RFC 9211).", "memory; hit", Shape::Text),
    (
        "Content-Disposition",
        "The name of the file to save.",
        "attachment; filename=\"kubernetes.csv\"",
        Shape::Text,
    ),
    ("ETag", "The version of these bytes, for If-None-Match.", "\"0f8b.gzip\"", Shape::Text),
    (
        "Last-Modified",
        "When a refresh last changed the list, for If-Modified-Since.",
        "Mon, 21 Sep 2026 14:13:20 GMT",
        Shape::Text,
    ),
    (
        "Link",
        "The first, previous, next and last page (RFC 8288).",
        "</topics/kubernetes/events?page=1&per_page=100>; rel=\"first\"",
        Shape::Text,
    ),
    ("Location", "The address to ask instead.", "/refreshes/1", Shape::Text),
    ("Preference-Applied", "The preference that was honoured.", "respond-async", Shape::Text),
    (
        "Retry-After",
        "The seconds after which to ask again.",
        "5",
        Shape::Integer { minimum: 1, maximum: u32::MAX },
    ),
    ("WWW-Authenticate", "The scheme of authentication.", "Bearer", Shape::Text),
    (
        "X-Complete",
        "Whether the last refresh was complete.",
        "true",
        Shape::OneOf(&["true", "false"]),
    ),
    ("X-History-Since", "The first day with counts.", "2026-06-24", Shape::Date),
    (
        "X-Matched",
        "The number of entries on all pages.",
        "123",
        Shape::Integer { minimum: 0, maximum: u32::MAX },
    ),
    (
        "X-Refreshed-At",
        "The time of the last complete refresh.",
        "2026-09-21T14:13:20Z",
        Shape::DayOrTime,
    ),
    (
        "X-Request-Id",
        "The id of the request in the server's log; a client may send its own.",
        "0123456789abcdef",
        Shape::Text,
    ),
    (
        "X-Total-Count",
        "GitHub's own count of the topic's repositories.",
        "35123",
        Shape::Integer { minimum: 0, maximum: u32::MAX },
    ),
    (
        "X-Window",
        "The first and the last day of the window.",
        "2026-09-14/2026-09-21",
        Shape::Pattern(r"\d{4}-\d{2}-\d{2}/\d{4}-\d{2}-\d{2}"),
    ),
];

const PROBLEM_JSON: &str = "application/problem+json";

/// The problems: status, meaning, headers.
const PROBLEMS: [(u16, &str, &[&str]); 6] = [
    (400, "A parameter or a part of the path is not accepted; its errors name each.", &[]),
    (401, "Maintenance needs the server's MAINTENANCE_TOKEN.", &["WWW-Authenticate"]),
    (403, "A page of another site, or of a foreign host, sent the request.", &[]),
    (404, "The mirror does not have it.", &[]),
    (500, "A defect of the service; its log says more under the request's id.", &[]),
    (503, "The answer is not ready yet, or the database does not answer.", &["Retry-After"]),
];

fn example(status: u16) -> Value {
    let mut example = json!({
        "type": "about:blank",
        "title": reason(status),
        "status": status,
        "detail": "the cause in one sentence",
        "instance": "/api/trending/kubernetes",
        "request_id": "0123456789abcdef",
    });
    if status == 400 {
        let fault = json!({ "parameter": "window", "detail": "accepts 1d, 7d, 30d or 90d" });
        example["errors"] = json!([fault]);
    }
    example
}

pub(super) fn path_parameter(path: &str, name: &str) -> Option<Parameter> {
    let mut parameter = PATH_PARAMETERS.into_iter().find(|parameter| parameter.name == name)?;
    if path == "/exports/{file}" {
        parameter.accepted = "a topic with .ndjson or .csv";
        parameter.doc = "The topic and the form of the answer.";
        parameter.example = "kubernetes.ndjson";
        parameter.shape = Shape::Pattern(r"[A-Za-z0-9][A-Za-z0-9-]{0,49}\.(ndjson|csv)");
    } else if path == "/charts/{file}" {
        parameter.accepted = "compare.svg, compare.json or compare.csv";
        parameter.doc = "The form of the answer.";
        parameter.example = "compare.svg";
        parameter.shape = Shape::OneOf(&["compare.svg", "compare.json", "compare.csv"]);
    } else if path == "/charts/topics/{file}" {
        parameter.accepted = "a topic with .svg, .json or .csv";
        parameter.doc = "The topic and the form of the answer.";
        parameter.example = "kubernetes.svg";
        parameter.shape = Shape::Pattern(r"[A-Za-z0-9][A-Za-z0-9-]{0,49}\.(svg|json|csv)");
    }
    Some(parameter)
}

/// The name of the response among the components.
pub(super) fn problem_name(status: u16) -> String {
    reason(status).replace(' ', "")
}

pub(super) fn tag(name: &str, doc: &str) -> Tag {
    TagBuilder::new().name(name).description(Some(doc)).build()
}

/// Adds what the operations refer to by name.
pub(super) fn add(components: &mut Components) {
    for (name, doc, example, shape) in HEADERS {
        let header = HeaderBuilder::new().description(Some(doc));
        let header = header.example(Some(example.into())).schema(Some(schemas::of(&shape)));
        components.headers.insert(name.to_owned(), header.build().into());
    }
    let mut problem = Answer::default().or_json::<Problem<'_>>(PROBLEM_JSON);
    components.schemas.extend(std::mem::take(&mut problem.schemas));
    for (status, doc, headers) in PROBLEMS {
        let mut response = problem.clone().with(headers).response(doc).build();
        if let Some(RefOr::T(content)) = response.content.get_mut(PROBLEM_JSON) {
            content.example = Some(example(status));
        }
        components.responses.insert(problem_name(status), response.into());
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer);
    let bearer = bearer.description(Some("The server's MAINTENANCE_TOKEN.")).build();
    components.security_schemes.insert(BEARER.to_owned(), SecurityScheme::Http(bearer).into());
}
