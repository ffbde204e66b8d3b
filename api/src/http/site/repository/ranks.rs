//! The places of a repository in its topics, now and before.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::super::words::Grouped;
use crate::app::App;
use crate::lists::catalogue::{Catalogue, Row};
use crate::lists::order;
use crate::lists::query::places_before;
use crate::model::filter::Filter;
use crate::model::growth::{Measure, Window};
use crate::model::ranking::{Order, Ranking};
use crate::model::repository::Places;
use crate::model::topic::Topic;

/// The most topics: the catalogue of each is in memory for its places before.
pub(super) const MOST_TOPICS: usize = 10;

/// How long the catalogues are waited for. Those that come later are there at the next look.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

const TRENDING: Order = Order::Trending(Window::Week, Measure::Gained);
const POPULARITY: Order = Order::Ranked(Ranking::Popularity);

/// The windows of the places by stars before.
const WINDOWS: [Window; 3] = [Window::Week, Window::Month, Window::Quarter];

/// The places in a topic. Those that are not known are `None`.
pub(super) struct RankView {
    pub(super) topic: Topic,
    pub(super) trending: Option<Grouped>,
    /// A week before.
    pub(super) trending_before: Option<Grouped>,
    pub(super) popularity: Grouped,
    /// 7, 30 and 90 days before.
    pub(super) popularity_before: [Option<Grouped>; 3],
    pub(super) activity: Grouped,
    pub(super) best_match: Option<Grouped>,
}

/// The catalogue of each topic; `None` if there is none in time. The reads keep no topic that
/// nobody else reads.
pub(super) async fn catalogues(app: &App, ranked: &[Places]) -> Vec<Option<Arc<Catalogue>>> {
    let deadline = Instant::now() + LONGEST_WAIT;
    let mut catalogues = Vec::new();
    for Places { topic, .. } in ranked.iter().take(MOST_TOPICS) {
        let load = async {
            let hit = app.reader.published(topic).await?;
            app.reader.catalogue(topic, None, hit.bundle.meta.version()).await.ok()
        };
        catalogues.push(timeout_at(deadline, load).await.ok().flatten());
    }
    catalogues
}

pub(super) fn rank_views(
    ranked: &[Places],
    catalogues: &[Option<Arc<Catalogue>>],
    id: i64,
) -> Vec<RankView> {
    let view = |(places, catalogue): (&Places, &Option<Arc<Catalogue>>)| {
        let catalogue = catalogue.as_deref();
        let row = catalogue.and_then(|catalogue| {
            let place = catalogue.rows().binary_search_by_key(&id, |row| row.id).ok()?;
            Some((catalogue, &catalogue.rows()[place]))
        });
        let before = |order, window| {
            row.and_then(|(catalogue, row)| place_before(catalogue, order, window, row))
        };
        RankView {
            topic: places.topic.clone(),
            trending: catalogue
                .and_then(|catalogue| order::place(catalogue, TRENDING, id))
                .map(grouped),
            trending_before: before(TRENDING, Window::Week),
            popularity: Grouped(places.popularity),
            popularity_before: WINDOWS.map(|window| before(POPULARITY, window)),
            activity: Grouped(places.activity),
            best_match: places.best_match.map(Grouped),
        }
    };
    ranked.iter().zip(catalogues).map(view).collect()
}

/// The place when a window began; `None` if the topic was not counted yet.
fn place_before(catalogue: &Catalogue, order: Order, window: Window, row: &Row) -> Option<Grouped> {
    let since = catalogue.meta().history?.first;
    let places = places_before(catalogue, order, &Filter::default(), window, since, &[row])?;
    places.first().copied().flatten().map(grouped)
}

fn grouped(place: usize) -> Grouped {
    Grouped(i64::try_from(place).unwrap_or(i64::MAX))
}
