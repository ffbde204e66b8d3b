//! Headers for a CDN in front: the keys by which it purges an answer, and how long it may keep it.
//! They are sent only with PURGE_URL: nobody else reads them, and a proxy that nothing purges must
//! not keep an answer for longer than a browser does.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::app::App;
use crate::model::repository::RepositoryDetails;
use crate::model::topic::Topic;
use crate::purge::Key;

/// Fastly's name, which Varnish's users have taken over.
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
/// Cloudflare's name.
const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
/// bunny's name.
const CDN_TAG: HeaderName = HeaderName::from_static("cdn-tag");

/// bunny's limit is the lowest.
const LONGEST: usize = 1_024;

/// Cache-Control of an answer that a purge ends. The hour bounds the age of one that the CDN did
/// not purge, and of one in a shared cache behind the CDN.
const UNTIL_PURGED: HeaderValue = HeaderValue::from_static(
    "public, max-age=60, s-maxage=3600, stale-while-revalidate=600, stale-if-error=86400",
);

/// Names the data that an answer is made of. Keys beyond the limit are left out.
pub(super) fn tag<'a>(app: &App, head: &mut HeaderMap, keys: impl IntoIterator<Item = Key<'a>>) {
    if app.config.purge.is_none() {
        return;
    }
    let (mut names, mut length) = (Vec::new(), 0);
    for name in keys.into_iter().map(|key| key.to_string()) {
        if names.contains(&name) {
            continue;
        }
        length += name.len() + 1;
        if length > LONGEST {
            break;
        }
        names.push(name);
    }
    let (words, list) = (names.join(" "), names.join(","));
    for (name, text) in [(SURROGATE_KEY, words), (CACHE_TAG, list.clone()), (CDN_TAG, list)] {
        head.extend(HeaderValue::try_from(text).ok().map(|value| (name, value)));
    }
}

/// The keys of an answer about a repository and its places.
pub(super) fn keys(details: &RepositoryDetails) -> impl Iterator<Item = Key<'_>> {
    let topics = details.topics_ranked.iter().map(|places| Key::Topic(&places.topic));
    std::iter::once(Key::Repository(details.repository.id)).chain(topics)
}

/// Names the topic whose lists an answer is made of. If it changes only with them, the CDN may keep
/// it until they change.
pub(super) fn tag_topic(app: &App, head: &mut HeaderMap, topic: &Topic, is_final: bool) {
    tag(app, head, [Key::Topic(topic)]);
    if is_final && app.config.purge.is_some() {
        head.insert(header::CACHE_CONTROL, UNTIL_PURGED);
    }
}
