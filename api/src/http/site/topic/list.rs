//! The list of a topic's page: its rows, and all that the page tells of them.

use chrono::{DateTime, Utc};

use super::super::links::Link;
use super::super::words::{Grouped, Moment, counted, day};
use super::asked::Asked;
use super::facets::{FacetView, facet_views};
use super::rows::{Columns, RowView, row_views};
use crate::http::api::pictures::charts::topic_chart;
use crate::http::list_parameters::{FILTERS, ListParameters};
use crate::http::pages::{PAGE, PER_PAGE, Page};
use crate::lists::catalogue::{Catalogue, Row};
use crate::lists::query::in_order;
use crate::lists::table::Format;
use crate::model::list::HistoryDays;
use crate::model::ranking::{Listing, Ranking, Trend};
use crate::model::topic::Topic;
use crate::model::topic_day::TopicDay;
use crate::pictures::options::{Kind, Options, Range};

/// The rows and all that is told of them.
pub(super) struct ListView<'a> {
    pub(super) state: StateView,
    pub(super) columns: Columns,
    pub(super) rows: Vec<RowView<'a>>,
    pub(super) matched: String,
    /// Whether the page is past the last one.
    pub(super) is_past_end: bool,
    /// Whether GitHub knows nothing of the topic.
    pub(super) is_unknown: bool,
    /// Whether the list is empty because all counts are of one day.
    pub(super) is_new: bool,
    /// The page of the list by stars.
    pub(super) popular: String,
    /// How the list is made, in a sentence.
    pub(super) rule: String,
    pub(super) facets: Vec<FacetView>,
    pub(super) forms: [(&'static str, String); 3],
    pub(super) feeds: [(&'static str, String); 3],
    pub(super) pages: Pages,
    pub(super) charts: [String; 2],
    pub(super) csv: String,
}

/// How whole and how old the data are.
pub(super) struct StateView {
    /// The day, if the list is as of a past one.
    pub(super) past: Option<String>,
    /// `whole`, or `in part`.
    pub(super) coverage: &'static str,
    pub(super) repositories: String,
    pub(super) confirmed: Option<Moment>,
    pub(super) is_complete: bool,
    pub(super) since: Option<String>,
}

pub(super) struct Pages {
    pub(super) number: u32,
    pub(super) last: usize,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
}

/// The facts that a list's page is made of.
pub(super) struct Facts<'a> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) parameters: ListParameters,
    /// The days with counts, of the topic as it is now.
    pub(super) history: Option<HistoryDays>,
    pub(super) days: Vec<TopicDay>,
    pub(super) now: DateTime<Utc>,
}

impl<'a> ListView<'a> {
    pub(super) fn new(asked: &Asked, facts: &Facts<'a>) -> Self {
        let Facts { catalogue, parameters, history, days, now } = facts;
        let (link, query) = (asked.link(), &parameters.query);
        let all = in_order(catalogue, query);
        let shown = all.iter().skip(query.offset).take(query.limit).copied();
        let shown: Vec<&Row> = shown.collect();
        let csv = format!("{}charts/topics/{}.csv?type=daily", asked.site.root, asked.topic);
        let is_of_growth = query.order.window().is_some();
        let is_new = history.is_none_or(|history| history.first == history.last);
        Self {
            state: state(facts),
            columns: Columns::of(asked.listing, query.order),
            rows: row_views(catalogue, query, history.map(|days| days.first), &shown, *now),
            is_unknown: catalogue.rows().is_empty(),
            is_new: is_of_growth && is_new && query.filter.is_empty(),
            popular: asked.path(Listing::Ranked(Ranking::Popularity)),
            matched: counted(number(all.len()), "repository matches", "repositories match"),
            is_past_end: shown.is_empty() && !all.is_empty(),
            rule: rule(asked.listing, catalogue, parameters),
            facets: facet_views(catalogue, &all, &link),
            forms: forms(asked, &link, parameters.page),
            feeds: feeds(asked, &link, parameters),
            pages: pages(parameters.page, all.len(), &link),
            charts: charts(&asked.topic, days),
            csv,
        }
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The same rows as JSON and in other forms.
fn forms(asked: &Asked, link: &Link, page: Page) -> [(&'static str, String); 3] {
    let path = format!("{}api{}", asked.site.root, asked.listing.path());
    let path = path.replace("{topic}", asked.topic.as_str());
    let link = link.at(path).without_pages().with("fields", "all");
    let link = link.with(PAGE.name, page.number()).with(PER_PAGE.name, page.limit());
    let form = |format: Format| {
        let format: &str = format.into();
        link.with("format", format).to_string()
    };
    [("JSON", link.to_string()), ("NDJSON", form(Format::Ndjson)), ("CSV", form(Format::Csv))]
}

/// The feeds of the topic, under the same filter if they take it: they refuse ages.
fn feeds(asked: &Asked, link: &Link, parameters: &ListParameters) -> [(&'static str, String); 3] {
    let is_filter = |name: &str| FILTERS.iter().any(|filter| filter.name == name);
    let has_age = parameters.today.is_some();
    let filter = link.keeping(|name, _| !has_age && is_filter(name));
    let feed = |name: &str| {
        let path = format!("{}feeds/{}/{name}.atom", asked.site.root, asked.topic);
        filter.at(path).to_string()
    };
    [("new", feed("new")), ("events", feed("events")), ("trending", feed("trending"))]
}

/// How the list is made.
fn rule(listing: Listing, catalogue: &Catalogue, parameters: &ListParameters) -> String {
    let last = parameters.day.or(catalogue.last_day());
    match (parameters.query.order.window(), last) {
        (Some(window), Some(last)) => {
            let first = last - window.days();
            let change = match listing {
                Listing::Trend(Trend::Falling) => "lost",
                _ => "gained",
            };
            let (first, last) = (day(first), day(last));
            format!("Stars {change} from {first} to {last}, by this mirror's own counts.")
        }
        _ => format!("Repositories {}.", listing.summary()),
    }
}

fn state(facts: &Facts<'_>) -> StateView {
    let Facts { catalogue, parameters, history, days, now } = facts;
    let meta = catalogue.meta();
    // As of a past day, the counts are those of that day.
    let past = parameters.day.filter(|day| history.is_some_and(|history| *day < history.last));
    let total = match past {
        None => meta.total_count,
        Some(past) => days.iter().find(|day| day.day == past).and_then(|day| day.total_count),
    };
    let stored = number(catalogue.rows().len());
    let total = total.unwrap_or(stored);
    StateView {
        past: past.map(day),
        coverage: if stored >= total { "whole" } else { "in part" },
        repositories: if stored >= total {
            counted(stored, "repository", "repositories")
        } else {
            format!("{} of {} repositories", Grouped(stored), Grouped(total))
        },
        confirmed: meta.refreshed_at.map(|at| Moment::new(at, *now)),
        is_complete: meta.complete,
        since: history.map(|history| day(history.first)),
    }
}

fn pages(page: Page, matched: usize, link: &Link) -> Pages {
    let (number, last) = (page.number(), page.last(matched));
    let to = |number: usize| link.with(PAGE.name, number).to_string();
    let present = number as usize;
    Pages {
        number,
        last,
        previous: (present > 1).then(|| to((present - 1).min(last))),
        next: (present < last).then(|| to(present + 1)),
    }
}

/// The chart of the stars that the topic's repositories gained, for wide and for narrow windows.
fn charts(topic: &Topic, days: &[TopicDay]) -> [String; 2] {
    let options = Options { kind: Kind::Daily, range: Range::Quarter, ..Options::default() };
    topic_chart(topic, days, options.kind).embedded(options)
}
