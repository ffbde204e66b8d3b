//! The parameters of lists as requests have them.

mod table;
mod values;

use std::borrow::Cow;

use axum::http::{HeaderMap, Uri};
use chrono::{DateTime, NaiveDate, Utc};
use url::form_urlencoded;

use self::table::{
    ARCHIVED, BY, CREATED, CREATED_ON, DAY, FIELDS, FORKS, FORMAT, LANGUAGE, LICENSE, OWNER,
    PUSHED, PUSHED_ON, Q, STARS, TEMPLATE, TOPIC, TREND_FIELDS, UPDATED, UPDATED_ON,
};
pub(super) use self::table::{DATED_FILTERS, FILTERS, WINDOW};
use self::values::{choice, days, numbers, topics, words};
use super::conditional::accepted_format;
use super::pages::{PAGE, PER_PAGE, Page};
use super::parameters::{Parameter, Parameters};
use crate::error::Error;
use crate::lists::field::Field;
use crate::lists::query::{Query, all_fields, default_fields};
use crate::lists::table::Format;
use crate::model::filter::Filter;
use crate::model::growth::{Measure, Window};
use crate::model::ranking::{Listing, Order, Trend};
use crate::model::time::parse_day;

/// The parameters that a list accepts.
pub(super) fn parameters_of(listing: Listing) -> Vec<&'static Parameter> {
    let fields: &[&Parameter] = match listing {
        Listing::Trend(_) => &[&TREND_FIELDS],
        Listing::Ranked(_) | Listing::Newest => &[&FIELDS],
    };
    [growth_parameters(listing), fields, &FILTERS, &[&PAGE, &PER_PAGE, &FORMAT]].concat()
}

/// The parameters that the page of a list accepts.
pub(super) fn page_parameters(listing: Listing) -> Vec<&'static Parameter> {
    [growth_parameters(listing), &FILTERS, &[&PAGE, &PER_PAGE]].concat()
}

fn growth_parameters(listing: Listing) -> &'static [&'static Parameter] {
    match listing {
        Listing::Trend(Trend::Trending) => &[&WINDOW, &BY, &DAY],
        Listing::Trend(Trend::Falling) => &[&WINDOW, &DAY],
        Listing::Ranked(_) | Listing::Newest => &[],
    }
}

/// The parameters of a list, read.
#[derive(Clone, Debug)]
pub(super) struct ListParameters {
    pub(super) query: Query,
    /// The last day of the window.
    pub(super) day: Option<NaiveDate>,
    pub(super) page: Page,
    /// The UTC day of the request if the ages of repositories decide which rows match.
    pub(super) today: Option<NaiveDate>,
}

impl ListParameters {
    pub(super) fn read(
        listing: Listing,
        uri: &Uri,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let mut parameters = Parameters::of(uri);
        let growth = growth(&mut parameters, listing);
        let fields = fields(&mut parameters, listing);
        let mut read = Self::rows(&mut parameters, growth, Page::FIRST_ROWS, now);
        let format = parameters.read(&FORMAT).unwrap_or_else(|| accepted_format(headers));
        parameters.finish()?;
        read.query.fields = fields.unwrap_or_else(|| default_fields(listing));
        read.query.format = format;
        Ok(read)
    }

    /// The parameters of a list's page, which has fields and a format of its own.
    pub(super) fn read_page(
        listing: Listing,
        uri: &Uri,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let mut parameters = Parameters::of(uri);
        let growth = growth(&mut parameters, listing);
        let read = Self::rows(&mut parameters, growth, Page::default(), now);
        parameters.finish()?;
        Ok(read)
    }

    /// The parameters that choose the rows.
    fn rows(
        parameters: &mut Parameters<'_>,
        Growth { order, day }: Growth,
        default_page: Page,
        now: DateTime<Utc>,
    ) -> Self {
        let today = now.date_naive();
        let (filter, has_age) = filter(parameters, Some(today));
        let page = Page::read(parameters).unwrap_or(default_page);
        let (offset, limit) = (page.offset(), page.limit());
        let (fields, format) = (Vec::new(), Format::default());
        let query = Query { order, filter, offset, limit, fields, format };
        Self { query, day, page, today: has_age.then_some(today) }
    }
}

/// The parameters of growth, read.
struct Growth {
    order: Order,
    day: Option<NaiveDate>,
}

fn growth(parameters: &mut Parameters<'_>, listing: Listing) -> Growth {
    let Listing::Trend(trend) = listing else {
        return Growth { order: listing.into(), day: None };
    };
    let window: Window = parameters.read(&WINDOW).unwrap_or_default();
    let order = match trend {
        Trend::Trending => {
            let measure: Option<Measure> = parameters.read(&BY);
            Order::Trending(window, measure.unwrap_or_default())
        }
        Trend::Falling => Order::Falling(window),
    };
    Growth { order, day: parameters.read_by(&DAY, parse_day) }
}

fn fields(parameters: &mut Parameters<'_>, listing: Listing) -> Option<Vec<Field>> {
    let all = all_fields(listing);
    let mut unknown = None;
    let fields = parameters.read_by(&FIELDS, |text| {
        if text == "all" {
            return Some(all.clone());
        }
        let mut fields: Vec<Field> = Vec::new();
        for name in text.split(',') {
            match name.parse().ok().filter(|field| all.contains(field)) {
                Some(field) if !fields.contains(&field) => fields.push(field),
                Some(_) => {}
                None => unknown = Some(name.to_owned()),
            }
        }
        Some(fields)
    });
    if unknown.is_some() {
        let names: Vec<&str> = all.iter().map(|field| field.name()).collect();
        parameters.refuse(
            "fields",
            format!("accepts all, or, with commas between them, {}", names.join(", ")),
        );
    }
    fields
}

/// The filter, and whether it counts days before today, which is possible if today is given.
pub(super) fn filter(parameters: &mut Parameters<'_>, today: Option<NaiveDate>) -> (Filter, bool) {
    let mut has_age = false;
    let mut days = |parameters: &mut Parameters<'_>, aged, dated| {
        let parameter = if today.is_some() { aged } else { dated };
        parameters.read_by(parameter, |text| days(text, today, &mut has_age))
    };
    let filter = Filter {
        language: parameters.read_by(&LANGUAGE, choice).unwrap_or_default(),
        license: parameters.read_by(&LICENSE, choice).unwrap_or_default(),
        owner: parameters.read_by(&OWNER, choice).unwrap_or_default(),
        topics: parameters.read_by(&TOPIC, topics).unwrap_or_default(),
        stars: parameters.read_by(&STARS, numbers),
        forks: parameters.read_by(&FORKS, numbers),
        created: days(parameters, &CREATED, &CREATED_ON),
        pushed: days(parameters, &PUSHED, &PUSHED_ON),
        updated: days(parameters, &UPDATED, &UPDATED_ON),
        archived: parameters.read(&ARCHIVED),
        template: parameters.read(&TEMPLATE),
        words: parameters.read_by(&Q, words).unwrap_or_default(),
    };
    (filter, has_age)
}

/// The parameters of a filter as a client sends them, always in the same order.
pub(super) fn filter_text(uri: &Uri) -> String {
    let query = uri.query().unwrap_or_default().as_bytes();
    let given: Vec<(Cow<'_, str>, Cow<'_, str>)> = form_urlencoded::parse(query).collect();
    let mut text = form_urlencoded::Serializer::new(String::new());
    for parameter in FILTERS {
        text.extend_pairs(given.iter().filter(|(name, _)| name == parameter.name));
    }
    text.finish()
}
