//! The answers of operations.

use axum::http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, Object, Schema, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};

pub(super) type NamedSchemas = Vec<(String, RefOr<Schema>)>;

/// The body and the headers of an answer.
#[derive(Clone, Default)]
pub(in crate::http) struct Answer {
    pub(super) content: Vec<(&'static str, RefOr<Schema>)>,
    pub(super) headers: Vec<&'static str>,
    pub(super) schemas: NamedSchemas,
}

impl Answer {
    pub(in crate::http) fn json<T: ToSchema>() -> Self {
        Self::default().or_json::<T>("application/json")
    }

    /// An array as JSON.
    pub(in crate::http) fn rows<T: ToSchema>() -> Self {
        let mut answer = Self::json::<T>();
        for (_, schema) in &mut answer.content {
            *schema = Array::new(schema.clone()).into();
        }
        answer
    }

    /// An array of objects with this schema as JSON.
    pub(in crate::http) fn rows_of(name: &str, row: Object) -> Self {
        let rows = Array::new(Ref::from_schema_name(name)).into();
        let schemas = vec![(name.to_owned(), row.into())];
        Self { content: vec![("application/json", rows)], headers: Vec::new(), schemas }
    }

    pub(in crate::http) fn text(content_type: &'static str) -> Self {
        Self::default().or_text(content_type)
    }

    /// The same answer in another form, of JSON.
    pub(in crate::http) fn or_json<T: ToSchema>(mut self, content_type: &'static str) -> Self {
        let name = T::name().into_owned();
        self.content.push((content_type, Ref::from_schema_name(&name).into()));
        self.schemas.push((name, T::schema()));
        T::schemas(&mut self.schemas);
        self
    }

    /// The same answer in another form.
    pub(in crate::http) fn or_text(mut self, content_type: &'static str) -> Self {
        self.content.push((content_type, Object::with_type(Type::String).into()));
        self
    }

    pub(in crate::http) fn with(mut self, headers: &[&'static str]) -> Self {
        self.headers.extend(headers);
        self
    }

    pub(super) fn response(self, description: &str) -> ResponseBuilder {
        let mut response = ResponseBuilder::new().description(description);
        for (content_type, schema) in self.content {
            let content = ContentBuilder::new().schema(Some(schema)).build();
            response = response.content(content_type, content);
        }
        self.headers.into_iter().chain(["X-Request-Id"]).fold(response, |response, name| {
            response.header_ref(name, Ref::new(format!("#/components/headers/{name}")))
        })
    }
}

/// A status in words.
pub(super) fn reason(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or_default()
}
