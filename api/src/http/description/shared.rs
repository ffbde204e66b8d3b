//! The parts of the description that several routes share.

use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::Components;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::{Tag, TagBuilder};

use super::answer::{Answer, reason};
use super::schemas;
use crate::http::parameters::{Parameter, Shape, parameters};
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

parameters! {
    TOPIC = "topic", Shape::TOPIC, such as "kubernetes":
        "The topic, in any case.";
    OWNER = "owner", Shape::Pattern("[A-Za-z0-9_.-]{1,100}", "a login of GitHub's"),
        such as "istio":
        "The repository's owner, in any case.";
    REPO = "repo", Shape::Pattern("[A-Za-z0-9_.-]{1,100}", "a name of GitHub's"), such as "istio":
        "The repository's name, in any case.";
    ID = "id", Shape::Integer(1..=u32::MAX), such as "1":
        "The id.";
    PICTURE = "file", Shape::Pattern(
        r"[A-Za-z0-9_.-]{1,100}\.(svg|json|csv)", "a name with .svg, .json or .csv"
    ), such as "istio.svg":
        "The repository's name and the form of the answer.";
    EXPORT = "file", Shape::Pattern(
        r"[A-Za-z0-9][A-Za-z0-9-]{0,49}\.(ndjson|csv)", "a topic with .ndjson or .csv"
    ), such as "kubernetes.ndjson":
        "The topic and the form of the answer.";
    COMPARISON = "file", Shape::OneOf(&["compare.svg", "compare.json", "compare.csv"]),
        such as "compare.svg":
        "The form of the answer.";
    TOPIC_CHART = "file", Shape::Pattern(
        r"[A-Za-z0-9][A-Za-z0-9-]{0,49}\.(svg|json|csv)", "a topic with .svg, .json or .csv"
    ), such as "kubernetes.svg":
        "The topic and the form of the answer.";
}

macro_rules! headers {
    ($($name:literal, $shape:expr, such as $example:literal: $doc:literal;)*) => {
        &[$(($name, $doc, $example, $shape)),*]
    };
}

const DAYS: Shape =
    Shape::Pattern(r"\d{4}-\d{2}-\d{2}/\d{4}-\d{2}-\d{2}", "two days with a slash between them");

/// The headers of answers: name, meaning, example, shape.
const HEADERS: &[(&str, &str, &str, Shape)] = headers! {
    "Allow", Shape::Text, such as "GET,HEAD":
        "The methods that the route answers.";
    "Cache-Control", Shape::Text, such as "public, max-age=60":
        "How long clients may keep the answer.";
    "Cache-Status", Shape::Text, such as "memory; hit":
        "The cache that answered (RFC 9211).";
    "Content-Disposition", Shape::Text, such as "attachment; filename=\"kubernetes.csv\"":
        "The name of the file to save.";
    "ETag", Shape::Text, such as "\"0f8b.gzip\"":
        "The version of these bytes, for If-None-Match.";
    "Last-Modified", Shape::Text, such as "Mon, 21 Sep 2026 14:13:20 GMT":
        "When a refresh last changed the list, for If-Modified-Since.";
    "Link", Shape::Text, such as "</topics/kubernetes/events?page=1&per_page=100>; rel=\"first\"":
        "The first, previous, next and last page (RFC 8288).";
    "Location", Shape::Text, such as "/refreshes/1":
        "The address to ask instead.";
    "Preference-Applied", Shape::Text, such as "respond-async":
        "The preference that was honoured.";
    "Retry-After", Shape::Integer(1..=u32::MAX), such as "5":
        "The seconds after which to ask again.";
    "WWW-Authenticate", Shape::Text, such as "Bearer":
        "The scheme of authentication.";
    "X-Complete", Shape::OneOf(&["true", "false"]), such as "true":
        "Whether the last refresh was complete.";
    "X-History-Since", Shape::Date, such as "2026-06-24":
        "The first day with counts.";
    "X-Matched", Shape::Integer(0..=u32::MAX), such as "123":
        "The number of entries on all pages.";
    "X-Refreshed-At", Shape::DayOrTime, such as "2026-09-21T14:13:20Z":
        "The time of the last complete refresh.";
    "X-Request-Id", Shape::Text, such as "0123456789abcdef":
        "The id of the request in the server's log; a client may send its own.";
    "X-Total-Count", Shape::Integer(0..=u32::MAX), such as "35123":
        "GitHub's own count of the topic's repositories.";
    "X-Window", DAYS, such as "2026-09-14/2026-09-21":
        "The first and the last day of the window.";
};

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

/// The parameter of a path.
pub(super) fn path_parameter(path: &str, name: &str) -> Option<Parameter> {
    match (name, path) {
        ("topic", _) => Some(TOPIC),
        ("owner", _) => Some(OWNER),
        ("repo", _) => Some(REPO),
        ("id", _) => Some(ID),
        ("file", "/exports/{file}") => Some(EXPORT),
        ("file", "/charts/{file}") => Some(COMPARISON),
        ("file", "/charts/topics/{file}") => Some(TOPIC_CHART),
        ("file", _) => Some(PICTURE),
        _ => None,
    }
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
        let header = HeaderBuilder::new().description(Some(*doc));
        let header = header.example(Some((*example).into())).schema(Some(schemas::of(shape)));
        components.headers.insert((*name).to_owned(), header.build().into());
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
