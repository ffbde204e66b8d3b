//! Entries of events: one an event, or one a period.

use super::text::{address, escaped, plain, uuid};
use super::{Digest, DigestPeriod, Entry, FeedKind, FeedQuery, MOST_ENTRIES, count};
use crate::model::event::{Event, EventKind, LeftReason};
use crate::model::topic::Topic;

/// The events that the entry of a period names.
const MOST_NAMED: usize = 100;

/// The entries of these events, which are newest first. A digest wants whole periods.
#[must_use]
pub fn event_entries(query: &FeedQuery, events: &[Event], base: &str) -> Vec<Entry> {
    let topic = &query.topic;
    let Some(digest) = query.digest else {
        return events.iter().take(MOST_ENTRIES).map(|event| entry(topic, event)).collect();
    };
    let period = |event: &Event| digest.period(event.at.date_naive());
    let periods = events.chunk_by(|newer, older| period(newer) == period(older));
    let entries = periods
        .filter_map(|of_period| {
            let period = period(of_period.first()?);
            Some(period_entry(query, digest, period, of_period, base))
        })
        .take(MOST_ENTRIES);
    entries.collect()
}

fn entry(topic: &Topic, event: &Event) -> Entry {
    let url = event.html_url.as_deref().and_then(address);
    let mut html = format!("<p>{}</p>", sentence(topic, event));
    let description = event.description.as_deref().map(escaped).unwrap_or_default();
    if !description.trim().is_empty() {
        html.push_str(&format!("<p>{description}</p>"));
    }
    let language = event.language.as_deref().map(escaped);
    let stars = event.stars.map(|stars| count(stars, "star"));
    let facts: Vec<String> = [stars, language].into_iter().flatten().collect();
    if !facts.is_empty() {
        html.push_str(&format!("<p>{}</p>", facts.join(", ")));
    }
    Entry {
        id: uuid(&["event", topic.as_str(), &event.id()]),
        at: event.at,
        title: plain(&title(topic, event)),
        url,
        html,
    }
}

fn title(topic: &Topic, event: &Event) -> String {
    let name = &event.full_name;
    match (event.kind, event.reason, &event.renamed) {
        (EventKind::Joined, ..) => format!("{name} joined {topic}"),
        (EventKind::Left, Some(LeftReason::Deleted), _) => {
            format!("{name} left {topic}: it was deleted")
        }
        (EventKind::Left, Some(LeftReason::Private), _) => {
            format!("{name} left {topic}: it became private")
        }
        (EventKind::Left, ..) => format!("{name} left {topic}: the topic was removed"),
        (EventKind::Renamed, _, Some((from, to))) => format!("{from} was renamed to {to}"),
        (EventKind::Renamed, ..) => format!("{name} was renamed"),
        (EventKind::Archived, ..) => format!("{name} was archived"),
        (EventKind::Unarchived, ..) => format!("{name} is no longer archived"),
    }
}

/// The title as HTML, with a link to the repository.
fn sentence(topic: &Topic, event: &Event) -> String {
    let title = escaped(&title(topic, event));
    match event.html_url.as_deref().and_then(address) {
        Some(url) => format!("<a href=\"{}\">{title}</a>", escaped(&url)),
        None => title,
    }
}

fn period_entry(
    query: &FeedQuery,
    digest: Digest,
    period: DigestPeriod,
    events: &[Event],
    base: &str,
) -> Entry {
    let topic = &query.topic;
    let number = i64::try_from(events.len()).unwrap_or(i64::MAX);
    let title = match query.kind {
        FeedKind::New if number == 1 => format!("1 repository joined {topic}"),
        FeedKind::New => format!("{number} repositories joined {topic}"),
        FeedKind::Events | FeedKind::Trending => format!("{} in {topic}", count(number, "event")),
    };
    let lines = events.iter().take(MOST_NAMED);
    let lines = lines.map(|event| format!("<li>{}</li>", sentence(topic, event)));
    let mut html = format!("<ul>{}</ul>", lines.collect::<String>());
    if let Some(more) = events.len().checked_sub(MOST_NAMED).filter(|more| *more > 0) {
        html.push_str(&format!("<p>and {more} more</p>"));
    }
    let kind = if query.kind == FeedKind::New { "&kind=joined" } else { "" };
    let url = format!("{base}/topics/{topic}/events?since={}{kind}", period.first);
    query.digest_entry(digest, period, &title, url, html)
}
