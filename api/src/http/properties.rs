//! A request means what its parts say, and nothing panics, whatever a client sends.

mod headers;

use std::fmt::Display;

use axum::http::{HeaderMap, Uri};
use chrono::{DateTime, NaiveDate, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use url::form_urlencoded;

use super::list_parameters::{ListParameters, filter_text, parameters_of};
use super::pages::Page;
use super::parameters::{Parameter, Shape};
use crate::arbitrary::{config, pattern, text};
use crate::error::Error;
use crate::lists::query::Query;
use crate::model::filter::{Choice, Filter};
use crate::model::ranking::{Listing, Order};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).expect("a time")
}

/// A value that the description says is accepted.
fn described(parameter: &Parameter) -> BoxedStrategy<String> {
    let date = pattern("[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])");
    match &parameter.shape {
        Shape::Boolean => select(&["true", "false"][..]).prop_map(str::to_owned).boxed(),
        Shape::Integer(numbers) => numbers.clone().prop_map(|number| number.to_string()).boxed(),
        Shape::OneOf(values) => select(*values).prop_map(str::to_owned).boxed(),
        Shape::ListOf(names) => vec(select(*names), 1..9).prop_map(|names| names.join(",")).boxed(),
        Shape::Pattern(expression, _) => pattern(expression).boxed(),
        Shape::Date | Shape::DayOrTime => date.boxed(),
        Shape::Text => text().boxed(),
    }
}

fn listing() -> impl Strategy<Value = Listing> {
    select(&Listing::ALL[..])
}

/// A list, and parameters of it with values by `value`, each at most once, in any order.
fn asked<S>(
    value: impl Fn(&'static Parameter) -> S,
) -> impl Strategy<Value = (Listing, Vec<(String, String)>)>
where
    S: Strategy<Value = String> + 'static,
{
    let of_list = |listing| {
        let pair = |parameter: &'static Parameter| {
            let pair = (Just(parameter.name.to_owned()), value(parameter));
            prop::option::weighted(0.15, pair)
        };
        let pairs: Vec<_> = parameters_of(listing).into_iter().map(pair).collect();
        let given = |pairs: Vec<Option<_>>| pairs.into_iter().flatten().collect::<Vec<_>>();
        (Just(listing), pairs.prop_map(given).prop_shuffle())
    };
    Union::new(Listing::ALL.map(of_list))
}

fn query_of(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn uri(query: &str) -> Option<Uri> {
    format!("/api/kubernetes?{query}").parse().ok()
}

fn read(listing: Listing, uri: &Uri) -> Result<ListParameters, Error> {
    ListParameters::read(listing, uri, &HeaderMap::new(), now())
}

/// The parameters of a query in one form, whatever form they were given in.
fn canonical(query: &Query, day: Option<NaiveDate>) -> Vec<(String, String)> {
    let Query { order, filter, offset, limit, fields, format } = query;
    let mut pairs = filter_pairs(filter);
    let mut push = |name: &str, value: String| pairs.push((name.to_owned(), value));
    if let Order::Trending(_, measure) = order {
        push("by", <&str>::from(measure).to_owned());
    }
    if let Some(window) = order.window() {
        push("window", <&str>::from(window).to_owned());
    }
    if let Some(day) = day {
        push("day", day.to_string());
    }
    let fields: Vec<&str> = fields.iter().map(|field| field.name()).collect();
    push("fields", fields.join(","));
    push("format", <&str>::from(format).to_owned());
    push("page", (offset / limit + 1).to_string());
    push("per_page", limit.to_string());
    pairs
}

fn filter_pairs(filter: &Filter) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut push = |name: &str, value: Option<String>| {
        pairs.extend(value.map(|value| (name.to_owned(), value)));
    };
    push("language", names(&filter.language));
    push("license", names(&filter.license));
    push("owner", names(&filter.owner));
    let (wanted, unwanted) = &filter.topics;
    push("topic", joined(wanted.iter(), unwanted.iter()));
    let number = |end: &i64| Some(end.to_string()).filter(|_| *end != i64::MAX);
    let day = |end: &NaiveDate| {
        Some(end.to_string()).filter(|_| ![NaiveDate::MIN, NaiveDate::MAX].contains(end))
    };
    let range = |from: Option<String>, to: Option<String>| {
        Some(format!("{}..{}", from.unwrap_or_default(), to.unwrap_or_default()))
    };
    for (name, numbers) in [("stars", &filter.stars), ("forks", &filter.forks)] {
        push(name, numbers.as_ref().and_then(|all| range(number(all.start()), number(all.end()))));
    }
    let ranges =
        [("created", &filter.created), ("pushed", &filter.pushed), ("updated", &filter.updated)];
    for (name, days) in ranges {
        push(name, days.as_ref().and_then(|all| range(day(all.start()), day(all.end()))));
    }
    push("archived", filter.archived.map(|is| is.to_string()));
    push("template", filter.template.map(|is| is.to_string()));
    push("q", Some(filter.words.join(" ")).filter(|words| !words.is_empty()));
    pairs
}

fn names(choice: &Choice) -> Option<String> {
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
    joined(choice.wanted.iter().map(name), choice.unwanted.iter().map(name))
}

fn joined<T: Display>(
    wanted: impl Iterator<Item = T>,
    unwanted: impl Iterator<Item = T>,
) -> Option<String> {
    let wanted = wanted.map(|name| name.to_string());
    let all: Vec<String> = wanted.chain(unwanted.map(|name| format!("-{name}"))).collect();
    Some(all.join(",")).filter(|_| !all.is_empty())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn described_parameters_are_accepted_and_mean_the_same_in_their_canonical_form(
        (listing, pairs) in asked(described),
    ) {
        let Some(given) = uri(&query_of(&pairs)) else { return Ok(()) };
        let parameters = read(listing, &given);
        prop_assert!(parameters.is_ok(), "{parameters:?}");
        let parameters = parameters.expect("accepted");
        let canonical = canonical(&parameters.query, parameters.day);
        let again = read(listing, &uri(&query_of(&canonical)).expect("a URI"));
        prop_assert!(again.is_ok(), "{again:?}");
        let again = again.expect("accepted");
        prop_assert_eq!((&again.query, again.day), (&parameters.query, parameters.day));
        prop_assert_eq!(again.today, None, "no age");
    }

    #[test]
    fn filter_text_is_one_form_of_the_filter((listing, pairs) in asked(described)) {
        let Some(given) = uri(&query_of(&pairs)) else { return Ok(()) };
        let parameters = read(listing, &given).expect("accepted");
        let text = filter_text(&given);
        let filtered = uri(&text).expect("a URI");
        prop_assert_eq!(filter_text(&filtered), text);
        let again = read(listing, &filtered).expect("accepted");
        prop_assert_eq!(again.query.filter, parameters.query.filter);
    }

    #[test]
    fn refusal_names_parameters_of_the_query(
        (listing, mut pairs) in asked(|parameter| prop_oneof![
            2 => described(parameter),
            2 => text().boxed(),
            1 => Just(parameter.example.to_owned()).boxed(),
        ]),
        others in vec((text(), text()), 0..2),
        twice in any::<bool>(),
    ) {
        pairs.extend(others);
        if twice {
            pairs.extend(pairs.first().cloned());
        }
        let Some(given) = uri(&query_of(&pairs)) else { return Ok(()) };
        let _ = ListParameters::read_page(listing, &given, now());
        match read(listing, &given) {
            Ok(_) => prop_assert!(!twice || pairs.is_empty()),
            Err(Error::Parameters(faults)) => {
                let is_given = |name: &str| pairs.iter().any(|(given, _)| given == name);
                prop_assert!(!faults.is_empty());
                prop_assert!(faults.iter().all(|fault| is_given(&fault.parameter)), "{faults:?}");
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn any_query_is_read_or_refused(listing in listing(), query in pattern("[!-~]{0,80}")) {
        if let Some(given) = uri(&query) {
            let _ = read(listing, &given);
            let _ = ListParameters::read_page(listing, &given, now());
            let _ = filter_text(&given);
            let _ = Page::default().link(&given, 1_000);
        }
    }

    #[test]
    fn link_leads_to_the_same_query_on_other_pages(
        (listing, pairs) in asked(described),
        matched in prop_oneof![0..2_000_usize, any::<u32>().prop_map(|many| many as usize)],
    ) {
        let Some(given) = uri(&query_of(&pairs)) else { return Ok(()) };
        let parameters = read(listing, &given).expect("accepted");
        let Some(link) = parameters.page.link(&given, matched) else { return Ok(()) };
        prop_assert!(link.len() <= 12_000);
        let links = link.to_str().expect("text").split(", <");
        let targets = links.map(|link| link.trim_start_matches('<').split('>').next());
        let size = parameters.query.limit;
        let last = matched.max(1).div_ceil(size);
        for target in targets.map(|target| target.expect("a target")) {
            let again = read(listing, &target.parse().expect("a URI")).expect("accepted");
            prop_assert_eq!(again.query.limit, size);
            prop_assert!(again.query.offset / size < last);
            let offset = parameters.query.offset;
            prop_assert_eq!(Query { offset, ..again.query }, parameters.query.clone());
        }
    }
}
