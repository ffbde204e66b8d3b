//! The fields of a list's rows.

use chrono::{DateTime, NaiveDate, Utc};
use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::catalogue::{Catalogue, Row, Text};
use crate::model::growth::Growth;

/// A field, under its name in answers.
#[derive(
    Clone, Copy, Debug, EnumString, Eq, IntoStaticStr, PartialEq, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum Field {
    Id,
    Name,
    FullName,
    HtmlUrl,
    Language,
    UpdatedAt,
    PushedAt,
    StargazersCount,
    Owner,
    Description,
    Homepage,
    License,
    Topics,
    DefaultBranch,
    Archived,
    Disabled,
    Fork,
    IsTemplate,
    Size,
    ForksCount,
    OpenIssuesCount,
    CreatedAt,
    NodeId,
    JoinedAt,
    StarsBefore,
    DayBefore,
    Days,
    StarsAfter,
    DayAfter,
    Gained,
    Percent,
    Velocity,
    Usual,
    Acceleration,
    BestDay,
    BestDayGained,
    ForksGained,
}

/// A value of a field.
#[derive(Debug)]
pub enum Value<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(&'a str),
    Texts(Vec<&'a str>),
    Time(DateTime<Utc>),
    Day(NaiveDate),
}

/// The number of the fields that are stored; those of growth follow them.
const STORED: usize = Field::StarsBefore as usize;

impl Field {
    /// The fields of a repository that the mirror keeps.
    pub const STORED: &[Self] = <Self as VariantArray>::VARIANTS.split_at(STORED).0;

    /// The names of all fields, those that are stored first.
    pub const NAMES: &[&str] = <Self as VariantNames>::VARIANTS;

    pub const STORED_NAMES: &[&str] = Self::NAMES.split_at(STORED).0;

    /// The fields of every list without parameters.
    pub const LISTED: &[Self] = Self::STORED.split_at(8).0;

    /// The operands of growth, and its measures.
    pub const GROWTH: &[Self] = <Self as VariantArray>::VARIANTS.split_at(STORED).1;

    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The field's value of a repository with this growth.
    pub(super) fn value<'a>(
        self,
        catalogue: &'a Catalogue,
        row: &Row,
        growth: Option<&Growth>,
    ) -> Value<'a> {
        let text = |text| catalogue.text(row, text).map_or(Value::Null, Value::Text);
        match self {
            Self::Id => Value::Integer(row.id),
            Self::Name => text(Text::Name),
            Self::FullName => text(Text::FullName),
            Self::HtmlUrl => text(Text::HtmlUrl),
            Self::Language => {
                row.language.map_or(Value::Null, |own| Value::Text(catalogue.languages.get(own)))
            }
            Self::UpdatedAt => row.updated_at.map_or(Value::Null, Value::Time),
            Self::PushedAt => row.pushed_at.map_or(Value::Null, Value::Time),
            Self::StargazersCount => Value::Integer(row.stars),
            Self::Owner => {
                row.owner.map_or(Value::Null, |own| Value::Text(catalogue.owners.get(own)))
            }
            Self::Description => text(Text::Description),
            Self::Homepage => text(Text::Homepage),
            Self::License => {
                row.license.map_or(Value::Null, |own| Value::Text(catalogue.licenses.get(own)))
            }
            Self::Topics => catalogue.topic_list(row).map_or(Value::Null, |topics| {
                Value::Texts(topics.iter().map(|topic| catalogue.topics.get(*topic)).collect())
            }),
            Self::DefaultBranch => text(Text::DefaultBranch),
            Self::Archived => Value::Boolean(row.is_archived),
            Self::Disabled => Value::Boolean(row.is_disabled),
            Self::Fork => Value::Boolean(row.is_fork),
            Self::IsTemplate => Value::Boolean(row.is_template),
            Self::Size => Value::Integer(row.size),
            Self::ForksCount => Value::Integer(row.forks),
            Self::OpenIssuesCount => Value::Integer(row.open_issues),
            Self::CreatedAt => row.created_at.map_or(Value::Null, Value::Time),
            Self::NodeId => text(Text::NodeId),
            Self::JoinedAt => row.joined_at.map_or(Value::Null, Value::Time),
            _ => growth.map_or(Value::Null, |growth| self.growth_value(growth)),
        }
    }

    fn growth_value(self, growth: &Growth) -> Value<'static> {
        let integer = |value: Option<i64>| value.map_or(Value::Null, Value::Integer);
        let number = |value: Option<f64>| value.map_or(Value::Null, Value::Number);
        match self {
            Self::StarsBefore => Value::Integer(growth.stars_before),
            Self::DayBefore => Value::Day(growth.day_before),
            Self::Days => Value::Integer(growth.days),
            Self::StarsAfter => Value::Integer(growth.stars_after),
            Self::DayAfter => Value::Day(growth.day_after),
            Self::Gained => Value::Integer(growth.gained),
            Self::Percent => number(growth.percent),
            Self::Velocity => Value::Number(growth.velocity),
            Self::Usual => number(growth.usual),
            Self::Acceleration => number(growth.acceleration),
            Self::BestDay => growth.best_day.map_or(Value::Null, Value::Day),
            Self::BestDayGained => integer(growth.best_day_gained),
            Self::ForksGained => integer(growth.forks_gained),
            _ => Value::Null,
        }
    }
}
