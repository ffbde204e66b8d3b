//! What goes wrong, as clients are told it: one line, and nothing of our insides.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::model::topic::{InvalidTopic, Topic};
use crate::store::StoreError;

/// Every error that a route answers with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The path or the query names no valid topic.
    #[error("{0}")]
    InvalidTopic(#[from] InvalidTopic),
    /// Nothing is known of the topic, and asking GitHub is not wished.
    #[error("the topic {0} is not tracked; POST /update_cache?topic={0} tracks it")]
    NotTracked(Topic),
    /// The ledger has no such entry.
    #[error("there is no refresh {0}")]
    NoRefresh(i64),
    /// Another method is wanted.
    #[error("only {0} is answered here")]
    MethodNotAllowed(&'static str),
    /// MAINTENANCE_TOKEN is set and the request does not carry it.
    #[error("maintenance wants `Authorization: Bearer` and the MAINTENANCE_TOKEN")]
    Unauthorized,
    /// A browser was sent here by another site.
    #[error("maintenance is refused to requests from other sites")]
    CrossSite,
    /// There is no list yet, for a reason that passes.
    #[error("{detail}")]
    NotYet {
        /// What is going on.
        detail: String,
        /// When to ask again.
        retry_after: Duration,
    },
    /// The database does not answer.
    #[error("the database does not answer; ask again in a moment")]
    Unavailable,
    /// The database answers, but nobody has made the schema.
    #[error("the database has no schema yet; POST /bootstrap_db makes it")]
    NoSchema,
    /// A defect of ours; the log has more, under the request id.
    #[error("something went wrong here; the log says more under this request id")]
    Internal,
}

/// How soon a database that is down is worth another request.
const DATABASE_RETRY: Duration = Duration::from_secs(5);

/// What a problem document says of an error, for the layer that writes it.
#[derive(Clone, Debug)]
pub(crate) struct Detail(pub(crate) String);

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::InvalidTopic(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::CrossSite => StatusCode::FORBIDDEN,
            Self::NotTracked(_) | Self::NoRefresh(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotYet { .. } | Self::Unavailable | Self::NoSchema => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn header(&self) -> Option<(header::HeaderName, HeaderValue)> {
        // Rounded up: who comes a moment too early would be told to come again.
        let seconds = |wait: Duration| {
            HeaderValue::from((wait + Duration::from_nanos(999_999_999)).as_secs().max(1))
        };
        match self {
            Self::MethodNotAllowed(allow) => Some((header::ALLOW, HeaderValue::from_static(allow))),
            Self::Unauthorized => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            Self::NotYet { retry_after, .. } => Some((header::RETRY_AFTER, seconds(*retry_after))),
            Self::Unavailable | Self::NoSchema => {
                Some((header::RETRY_AFTER, seconds(DATABASE_RETRY)))
            }
            _ => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the database failed a request");
        if error.is_without_schema() { Self::NoSchema } else { Self::Unavailable }
    }
}

impl IntoResponse for Error {
    /// Status and headers; the body is written where request id and path are known.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(Detail(self.to_string()));
        response
    }
}
