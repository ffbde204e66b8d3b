//! The format of a topic's lists in Redis: the digits of epoch and revision, the length of the head
//! in four bytes, the head as JSON, the bodies.

#![expect(clippy::expect_used, reason = "plain data is always JSON, and ETags are ASCII")]

use axum::http::HeaderValue;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::lists::bundle::{Body, Bundle, List};
use crate::model::list::{ListMeta, Version};
use crate::model::ranking::Listing;
use crate::model::topic::Topic;

/// The name of the format; a change of the format counts the number up.
pub(super) const FORMAT: &str = "github-topic-mirror:3";

/// The digits of the largest epoch and of the largest revision.
const DIGITS: usize = 19;

#[derive(Deserialize, Serialize)]
struct Head {
    meta: ListMeta,
    lists: Vec<ListHead>,
}

#[derive(Deserialize, Serialize)]
struct ListHead {
    /// The name of the ranking.
    ranking: String,
    /// The length and the ETag of the body in each encoding.
    bodies: [(usize, String); 3],
}

/// A version in digits; within an epoch they sort as revisions do.
pub(super) fn digits(version: Version) -> String {
    let Version { epoch, revision } = version;
    format!("{:0DIGITS$}{:0DIGITS$}", epoch.max(0), revision.max(0))
}

/// Writes a bundle.
pub(super) fn encode(bundle: &Bundle) -> Bytes {
    let etag = |body: &Body| body.etag.to_str().expect("ASCII").to_owned();
    let head = |listing: Listing| ListHead {
        ranking: listing.name().to_owned(),
        bodies: bundle.list(listing).bodies.each_ref().map(|body| (body.bytes.len(), etag(body))),
    };
    let lists = Listing::ALL.into_iter().map(head).collect();
    let head = Head { meta: bundle.meta.clone(), lists };
    let head = serde_json::to_vec(&head).expect("plain data");
    let mut value = BytesMut::with_capacity(2 * DIGITS + 4 + head.len() + bundle.size());
    value.put_slice(digits(bundle.meta.version()).as_bytes());
    value.put_u32(u32::try_from(head.len()).expect("a few hundred bytes"));
    value.put_slice(&head);
    for body in bundle.lists.iter().flat_map(List::bodies) {
        value.put_slice(&body.bytes);
    }
    value.freeze()
}

/// Reads a value of [`encode`]; the bodies are slices of it. `None` if it is another value or lacks
/// a ranking of this release.
pub(super) fn decode(topic: &Topic, mut value: Bytes) -> Option<Bundle> {
    take(&mut value, 2 * DIGITS)?;
    let length = usize::try_from(take(&mut value, 4)?.get_u32()).ok()?;
    let head: Head = serde_json::from_slice(&take(&mut value, length)?).ok()?;
    let mut lists = Vec::with_capacity(head.lists.len());
    for ListHead { ranking, bodies } in head.lists {
        let mut read = Vec::with_capacity(bodies.len());
        for (length, etag) in bodies {
            let etag = HeaderValue::try_from(etag).ok()?;
            read.push(Body::with_etag(take(&mut value, length)?, etag));
        }
        lists.push((ranking, List { bodies: read.try_into().ok()? }));
    }
    let list = |listing: Listing| {
        let at = lists.iter().position(|(name, _)| name == listing.name())?;
        Some(lists[at].1.clone())
    };
    let lists = Listing::ALL.into_iter().map(list).collect::<Option<_>>()?;
    Some(Bundle { topic: topic.clone(), meta: head.meta, lists })
}

fn take(value: &mut Bytes, length: usize) -> Option<Bytes> {
    (value.len() >= length).then(|| value.split_to(length))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::lists::bundle::Encoding;

    fn bundle() -> Bundle {
        let list = |listing: Listing| List {
            bodies: Encoding::ALL
                .map(|encoding| Body::new(format!("{encoding:?} {listing:?}").into(), encoding)),
        };
        let at = DateTime::from_timestamp(1_790_000_000, 0).expect("a date");
        Bundle {
            topic: "kubernetes".parse().expect("a topic"),
            meta: ListMeta {
                epoch: 5,
                revision: 7,
                modified_at: Some(at),
                refreshed_at: None,
                complete: false,
                total_count: Some(3),
                valid_until: Some(at),
                history: None,
            },
            lists: Listing::ALL.into_iter().map(list).collect(),
        }
    }

    #[test]
    fn decode_returns_the_bundle_that_was_encoded() {
        let bundle = bundle();
        assert_eq!(decode(&bundle.topic, encode(&bundle)), Some(bundle));
    }

    #[test]
    fn decode_returns_none_for_other_values() {
        let (bundle, whole) = (bundle(), encode(&bundle()));
        for length in 0..whole.len() {
            assert_eq!(decode(&bundle.topic, whole.slice(..length)), None, "{length}");
        }
        let no_json =
            Bytes::from_static(b"00000000000000000050000000000000000007\xff\xff\xff\xff{}");
        assert_eq!(decode(&bundle.topic, no_json), None);
    }
}
