//! The schemas of the description.

use std::collections::BTreeMap;

use utoipa::openapi::schema::{
    AdditionalProperties, AllOf, AnyOfBuilder, KnownFormat, Object, ObjectBuilder, Schema,
    SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::{OpenApi, RefOr};

use crate::http::parameters::Shape;

type Schemas = BTreeMap<String, RefOr<Schema>>;

/// The schema of a parameter or a header.
pub(super) fn of(shape: &Shape) -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let format = |format| text().format(Some(SchemaFormat::KnownFormat(format)));
    let object = match shape {
        Shape::Boolean => ObjectBuilder::new().schema_type(Type::Boolean),
        Shape::Date => format(KnownFormat::Date),
        Shape::DayOrTime => {
            let either = AnyOfBuilder::new().item(format(KnownFormat::Date));
            return either.item(format(KnownFormat::DateTime)).into();
        }
        Shape::Integer(numbers) => ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(*numbers.start()))
            .maximum(Some(*numbers.end())),
        Shape::ListOf(values) => {
            let one = values.join("|");
            text().pattern(Some(format!("^(?:all|(?:{one})(?:,(?:{one}))*)$")))
        }
        Shape::OneOf(values) => text().enum_values(Some(values.iter().copied())),
        Shape::Pattern(pattern, _) => text().pattern(Some(format!("^(?:{pattern})$"))),
        Shape::Text => text().min_length(Some(1)),
    };
    object.into()
}

/// Makes each schema one object with all of its properties, which names those that are always
/// there and has no others.
pub(super) fn simplify(schemas: &mut Schemas) {
    let derived = schemas.clone();
    for schema in schemas.values_mut() {
        if let RefOr::T(Schema::AllOf(parts)) = schema {
            *schema = joined(parts, &derived).into();
        }
        describe(schema);
        if let RefOr::T(Schema::Object(object)) = schema
            && !object.properties.is_empty()
        {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            let named = std::mem::take(&mut object.required);
            for (name, property) in &mut object.properties {
                describe(property);
                // The client chooses the properties of an object with a least number of them.
                let is_chosen = object.min_properties.is_some();
                if !is_chosen && (is_always_there(property) || named.contains(name)) {
                    object.required.push(name.clone());
                }
            }
        }
    }
}

/// Turns Rust's words and the lines of a comment into text for clients.
fn for_clients(comment: &str) -> String {
    comment.replace("`None`", "null").replace('\n', " ")
}

fn describe(schema: &mut RefOr<Schema>) {
    let description = match schema {
        RefOr::T(Schema::Object(object)) => &mut object.description,
        RefOr::T(Schema::Array(array)) => &mut array.description,
        RefOr::T(Schema::OneOf(either)) => {
            either.items.iter_mut().for_each(describe);
            &mut either.description
        }
        RefOr::T(_) => return,
        RefOr::Ref(named) => {
            named.description = for_clients(&named.description);
            return;
        }
    };
    *description = description.as_deref().map(for_clients);
}

/// One object in place of the parts that serde flattens into one.
fn joined(parts: &AllOf, schemas: &Schemas) -> Object {
    let mut whole = Object::new();
    whole.description.clone_from(&parts.description);
    for part in &parts.items {
        let part = match part {
            RefOr::T(part) => Some(part),
            RefOr::Ref(part) => match schemas.get(name_of(&part.ref_location)) {
                Some(RefOr::T(part)) => Some(part),
                _ => None,
            },
        };
        let part = match part {
            Some(Schema::Object(part)) => part.clone(),
            Some(Schema::AllOf(parts)) => joined(parts, schemas),
            _ => continue,
        };
        whole.properties.extend(part.properties);
        whole.required.extend(part.required);
    }
    whole
}

pub(in crate::http) fn name_of(reference: &str) -> &str {
    reference.rsplit('/').next().unwrap_or_default()
}

/// Whether answers always have a property that the derived schema does not require. A property is
/// null or left out, and never both. One with `serde(default)` is a number that the database lacks
/// in old rows, and answers have it.
fn is_always_there(property: &mut RefOr<Schema>) -> bool {
    let is_null = |kind: &SchemaType| match kind {
        SchemaType::Type(kind) => *kind == Type::Null,
        SchemaType::Array(kinds) => kinds.contains(&Type::Null),
        SchemaType::AnyValue => false,
    };
    match property {
        RefOr::T(Schema::Object(object)) => {
            let default = object.default.take();
            is_null(&object.schema_type) || default.is_some_and(|default| default.is_number())
        }
        RefOr::T(Schema::Array(array)) => {
            array.default = None;
            is_null(&array.schema_type)
        }
        RefOr::T(Schema::OneOf(either)) => {
            either.default = None;
            either.items.iter().any(|item| {
                matches!(item, RefOr::T(Schema::Object(object)) if is_null(&object.schema_type))
            })
        }
        _ => false,
    }
}

/// Drops schemas that were only parts of others.
pub(super) fn prune(api: &mut OpenApi) {
    let text = serde_json::to_string(api).unwrap_or_default();
    if let Some(components) = &mut api.components {
        components.schemas.retain(|name, _| text.contains(&format!("/schemas/{name}\"")));
    }
}
