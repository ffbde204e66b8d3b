//! Routes with their descriptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::routing::MethodRouter;
use serde_json::{Value, json};
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter as DescribedParameter, ParameterBuilder, ParameterIn,
    PathItem, Paths,
};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Ref, Required};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::answer::{Answer, NamedSchemas, reason};
use super::{schemas, shared};
use crate::app::App;
use crate::http::parameters::{Parameter, Shape};

pub(in crate::http) type Routes = OpenApiRouter<Arc<App>>;

/// The headers of an answer that a client may keep.
const KEPT: &[&str] = &["Cache-Control", "Cache-Status", "ETag"];

/// A route in one method.
pub(in crate::http) struct Operation {
    method: HttpMethod,
    id: String,
    summary: String,
    parameters: Vec<DescribedParameter>,
    security: Option<[SecurityRequirement; 2]>,
    answers: BTreeMap<u16, Answer>,
    /// The statuses of problems.
    problems: Vec<u16>,
}

impl Operation {
    /// Generated clients have a function named `id`.
    pub(in crate::http) fn get(id: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            method: HttpMethod::Get,
            id: id.into(),
            summary: summary.into(),
            parameters: Vec::new(),
            security: None,
            answers: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    pub(in crate::http) fn post(id: &str, summary: &str) -> Self {
        Self { method: HttpMethod::Post, ..Self::get(id, summary) }
    }

    pub(in crate::http) fn delete(id: &str, summary: &str) -> Self {
        Self { method: HttpMethod::Delete, ..Self::get(id, summary) }
    }

    /// The query parameters that the route accepts.
    pub(in crate::http) fn takes(mut self, parameters: &[&Parameter]) -> Self {
        let described = |parameter: &&Parameter| described(parameter, ParameterIn::Query);
        self.parameters.extend(parameters.iter().map(described));
        self.problems.push(400);
        self
    }

    /// A query parameter that a request must have.
    pub(in crate::http) fn requires(mut self, parameter: &Parameter) -> Self {
        let mut parameter = described(parameter, ParameterIn::Query);
        parameter.required = Required::True;
        self.parameters.push(parameter);
        self
    }

    pub(in crate::http) fn answers(mut self, status: u16, answer: Answer) -> Self {
        self.answers.insert(status, answer);
        self
    }

    /// Clients may keep the answer and ask by its ETag whether it is current.
    pub(in crate::http) fn kept(mut self, answer: Answer) -> Self {
        let answer = answer.with(KEPT);
        let current = Answer { content: Vec::new(), ..answer.clone() };
        self.answers.extend([(200, answer), (304, current)]);
        self
    }

    /// The problems of a route that needs the database: these statuses, and those that every such
    /// route has.
    pub(in crate::http) fn fails(mut self, statuses: &[u16]) -> Self {
        self.problems.extend(statuses.iter().chain(&[500, 503]));
        self
    }

    /// For maintainers.
    pub(in crate::http) fn guarded(mut self) -> Self {
        let bearer = SecurityRequirement::new(shared::BEARER, Vec::<String>::new());
        // Without a MAINTENANCE_TOKEN no request needs one.
        self.security = Some([bearer, SecurityRequirement::default()]);
        self.fails(&[401, 403])
    }

    /// The route with its description.
    pub(in crate::http) fn at(
        mut self,
        path: &str,
        handler: MethodRouter<Arc<App>>,
    ) -> UtoipaMethodRouter<Arc<App>> {
        let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let mut parameters = Vec::new();
        for parameter in names.filter_map(|name| shared::path_parameter(path, name)) {
            if parameter.name == "topic" {
                self.problems.push(400);
            }
            parameters.push(described(&parameter, ParameterIn::Path));
        }
        parameters.append(&mut self.parameters);
        let parameters = Some(parameters).filter(|parameters| !parameters.is_empty());
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .summary(Some(self.summary))
            .parameters(parameters)
            .securities(self.security);
        let mut schemas = NamedSchemas::new();
        for (status, mut answer) in self.answers {
            schemas.append(&mut answer.schemas);
            operation = operation.response(status.to_string(), answer.response(reason(status)));
        }
        self.problems.sort_unstable();
        self.problems.dedup();
        for status in self.problems {
            let problem = Ref::from_response_name(shared::problem_name(status));
            operation = operation.response(status.to_string(), problem);
        }
        let mut paths = Paths::new();
        paths.paths.insert(path.to_owned(), PathItem::new(self.method, operation));
        (schemas, paths, handler)
    }
}

fn described(parameter: &Parameter, place: ParameterIn) -> DescribedParameter {
    let Parameter { name, example, shape, .. } = parameter;
    let example = match shape {
        Shape::Integer(_) | Shape::Boolean => serde_json::from_str(example).ok(),
        _ => Some(json!(example)),
    };
    ParameterBuilder::new()
        .name(*name)
        .parameter_in(place)
        .required(Required::False)
        .description(Some(parameter.help()))
        .schema(Some(schemas::of(shape)))
        .example(example.filter(|example: &Value| !example.is_null()))
        .build()
}
