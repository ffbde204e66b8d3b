//! The first rows of a ready list, which pages read from its JSON.

use serde::de::DeserializeOwned;

use crate::cache::Hit;
use crate::lists::bundle::Encoding;
use crate::model::ranking::Listing;
use crate::read::Documents;

/// At most so many first rows of a topic's list, parsed on a thread for blocking work: a list has
/// 250 KB. There are none if the rows do not have the fields.
pub(super) async fn first_rows<T: DeserializeOwned + Send + 'static>(
    documents: &Documents,
    hit: Hit,
    listing: Listing,
    most: usize,
) -> Vec<T> {
    let parse = move || {
        let json = &hit.bundle.list(listing).body(Encoding::Identity).bytes;
        let mut rows: Vec<T> = serde_json::from_slice(json).unwrap_or_default();
        rows.truncate(most);
        rows
    };
    documents.compute(parse).await
}
