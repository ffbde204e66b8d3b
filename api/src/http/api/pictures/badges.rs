//! Badges of a repository's place in a topic.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use strum::EnumString;

use super::file::{Format, full_name, query_of, split};
use crate::app::App;
use crate::error::Error;
use crate::http::api::repositories::present_owner;
use crate::http::cdn;
use crate::http::document::answer;
use crate::http::list_parameters::WINDOW;
use crate::http::parameters::{Parameters, Shape, parameters};
use crate::lists::order::place;
use crate::model::growth::{Measure, Window};
use crate::model::ranking::{Order, Ranking};
use crate::model::topic::Topic;
use crate::pictures::badge::{Badge, PlaceIn};
use crate::purge::Key;
use crate::read::is_of;

parameters! {
    pub(super) BY = "by", Shape::OneOf(&["popularity", "trending"]), such as "trending":
        "The list of the place, popularity if it is absent.";
}

#[derive(Clone, Copy, Default, EnumString)]
#[strum(serialize_all = "lowercase")]
enum By {
    #[default]
    Popularity,
    Trending,
}

/// The place of a repository among all of the topic's, not only among those of the topic's list.
pub(super) async fn badge(
    State(app): State<Arc<App>>,
    Path((topic, owner, file)): Path<(String, String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let (name, format) = split(&file)?;
    if format == Format::Csv {
        return Err(Error::NoPicture(file));
    }
    let (topic, name): (Topic, _) = (topic.parse()?, full_name(&owner, name)?);
    let list = list(&uri)?;
    let hit = app.reader.tracked(&topic).await?;
    let version = hit.bundle.meta.version();
    let key = format!("badge {topic} {} {format:?} {list:?}", name.folded());
    let own = Arc::clone(&app);
    let gather = || async move {
        let extension: &str = format.into();
        let query = query_of(&uri);
        let address = |name: &str| format!("/badges/{topic}/{name}.{extension}{query}");
        let id = present_owner(&own.public, &name, address).await?;
        let catalogue = own.reader.catalogue(&topic, None, version).await?;
        let order = match list {
            PlaceIn::Popularity => Order::Ranked(Ranking::Popularity),
            PlaceIn::Trending(window) => Order::Trending(window, Measure::Gained),
        };
        Ok(move || {
            let place = place(&catalogue, order, id);
            let no_place = || Error::NoPlace { name: name.to_string(), topic: topic.clone() };
            let badge = Badge::new(topic.as_str(), place.ok_or_else(no_place)?, list);
            let text = match format {
                Format::Svg => badge.svg(),
                _ => serde_json::to_string(&badge).map_err(|_| Error::Internal)?,
            };
            let mut document = format.document(text);
            document.is_provisional = !is_of(&catalogue, version);
            let keys = [Key::Topic(&topic), Key::Repository(id)];
            cdn::tag(&own, &mut document.head, keys);
            Ok(document)
        })
    };
    let served = app.documents.get(key, Some(version), gather).await?.of(&hit);
    Ok(answer(&app, &served, &headers).await)
}

fn list(uri: &Uri) -> Result<PlaceIn, Error> {
    let mut parameters = Parameters::of(uri);
    let by: Option<By> = parameters.read(&BY);
    let window: Option<Window> = parameters.read(&WINDOW);
    let list = match by.unwrap_or_default() {
        By::Trending => PlaceIn::Trending(window.unwrap_or_default()),
        By::Popularity => {
            if window.is_some() {
                parameters.refuse("window", "needs by=trending: stars are of no window".to_owned());
            }
            PlaceIn::Popularity
        }
    };
    parameters.finish()?;
    Ok(list)
}
