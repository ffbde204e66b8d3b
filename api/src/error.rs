//! Errors as clients see them: one line each, and no internal text.

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::topic::{InvalidTopic, Topic};
use crate::store::{Fault, StoreError};
use crate::telemetry::left_out;

/// An error that a route answers with.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    InvalidTopic(#[from] InvalidTopic),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Parameters(Vec<ParameterFault>),
    /// The topic is not tracked, and ON_DEMAND_TOPICS is off or the route starts no fetch.
    #[error("the topic {0} is not tracked; POST /update_cache?topic={0} tracks it")]
    NotTracked(Topic),
    /// Links would need a Host that they can name.
    #[error("the Host of the request is missing or is not one: send one, or set PUBLIC_URL")]
    InvalidHost,
    #[error("the mirror has no repository {0}")]
    NoRepository(String),
    #[error("there is no picture {0}; charts end in .svg, .json or .csv, badges in .svg or .json")]
    NoPicture(String),
    #[error("there is no export {0}; those of repositories are TOPIC.ndjson and TOPIC.csv")]
    NoExport(String),
    /// A page of another release names it.
    #[error("there is no file {0}; load the page that names it again")]
    NoAsset(String),
    #[error("{name} has no place in this list of the topic {topic}")]
    NoPlace { name: String, topic: Topic },
    /// Holds the address of what was asked for: its repository has another name now.
    #[error("the repository has another name now; its address is {0}")]
    Moved(String),
    #[error("there is no refresh {0}")]
    NoRefresh(i64),
    /// Holds the value of Allow.
    #[error("only {0} is answered here")]
    MethodNotAllowed(&'static str),
    #[error("maintenance wants `Authorization: Bearer` and the MAINTENANCE_TOKEN")]
    Unauthorized,
    /// A page of another site made a browser send the request.
    #[error("maintenance is refused to requests from other sites")]
    CrossSite,
    #[error("without a MAINTENANCE_TOKEN, maintenance wants a Host such as 127.0.0.1 or localhost")]
    ForeignHost,
    /// There is no list yet, for a reason that will pass.
    #[error("{detail}")]
    NotYet { detail: String, retry_after: Duration },
    #[error("{0}")]
    Database(#[from] Fault),
    /// A defect of this service; the log has more under the request id.
    #[error("something went wrong here; the log says more under this request id")]
    Internal,
}

/// A parameter of a query that is refused.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ParameterFault {
    pub parameter: String,
    /// Completes the sentence that begins with the parameter's name.
    #[serde(rename = "detail")]
    pub rule: String,
}

impl fmt::Display for ParameterFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.parameter, self.rule)
    }
}

/// How soon a client should ask again while the database is down.
const DATABASE_RETRY: Duration = Duration::from_secs(5);

impl Error {
    fn status(&self) -> StatusCode {
        match self {
            Self::InvalidTopic(_) | Self::Parameters(_) | Self::InvalidHost => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::CrossSite | Self::ForeignHost => StatusCode::FORBIDDEN,
            Self::NotTracked(_)
            | Self::NoRepository(_)
            | Self::NoPicture(_)
            | Self::NoExport(_)
            | Self::NoAsset(_)
            | Self::NoPlace { .. }
            | Self::NoRefresh(_) => StatusCode::NOT_FOUND,
            Self::Moved(_) => StatusCode::MOVED_PERMANENTLY,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotYet { .. } | Self::Database(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn header(&self) -> Option<(header::HeaderName, HeaderValue)> {
        // Rounded up, since a client that asks a moment too early is told to ask again.
        let seconds = |wait: Duration| {
            HeaderValue::from((wait + Duration::from_nanos(999_999_999)).as_secs().max(1))
        };
        match self {
            Self::Moved(address) => {
                HeaderValue::try_from(address).ok().map(|address| (header::LOCATION, address))
            }
            Self::MethodNotAllowed(allow) => Some((header::ALLOW, HeaderValue::from_static(allow))),
            Self::Unauthorized => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            Self::NotYet { retry_after, .. } => Some((header::RETRY_AFTER, seconds(*retry_after))),
            Self::Database(_) => Some((header::RETRY_AFTER, seconds(DATABASE_RETRY))),
            _ => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        if let Some(left_out) = left_out(&error.to_string()) {
            tracing::error!(%error, left_out, "the database failed a request");
        }
        Self::Database(error.fault())
    }
}

impl IntoResponse for Error {
    /// Status and headers. The middleware, which knows request id and path, writes the body.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(self);
        response
    }
}
