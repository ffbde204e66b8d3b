//! One request and its answer, read to the last byte.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use flate2::read::GzDecoder;
use goose::prelude::{GooseUser, TransactionError};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderName};
use reqwest::{Method, RequestBuilder, StatusCode};

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, which must have come in this encoding.
    pub(crate) fn body(&self, encoding: &str) -> Result<Cow<'_, [u8]>, String> {
        let actual = self.header(&CONTENT_ENCODING).unwrap_or("identity");
        if actual != encoding {
            return Err(format!("it came as {actual}, not as {encoding}"));
        }
        if encoding == "identity" {
            return Ok(Cow::Borrowed(&self.body));
        }
        let mut plain = Vec::new();
        GzDecoder::new(&*self.body)
            .read_to_end(&mut plain)
            .map_err(|error| format!("{encoding} is broken: {error}"))?;
        Ok(Cow::Owned(plain))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty()
    }
}

/// How often a proxy said 429, by goose's name of the row. That is no fault of the service and no
/// list either, and goose, which counts every answer as the one or the other, does not hear of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limited(Arc<Mutex<BTreeMap<String, usize>>>);

impl Limited {
    fn count(&self, row: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(row).or_default() += 1;
    }

    pub(crate) fn rows(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sends a request, takes the time to the last byte, which goose's own clock would leave out, has
/// the answer checked, and counts it under `row`. `None` when the answer was wrong or none came, or
/// a 429 where that is allowed: with `limited`.
pub(crate) async fn exchange(
    user: &mut GooseUser,
    limited: Option<&Limited>,
    method: Method,
    row: &str,
    path: &str,
    headers: &[(HeaderName, &str)],
    check: impl FnOnce(&Answer) -> Result<(), String>,
) -> Result<Option<Answer>, Box<TransactionError>> {
    if user.config.throttle_requests.is_some()
        && let Some(throttle) = user.throttle.clone()
    {
        throttle.send_async(true).await.map_err(|stopped| Box::new(stopped.into()))?;
    }
    let mut request = user.client.request(method.clone(), user.build_url(path)?);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let started = Instant::now();
    let answer = whole(request).await;
    let took = started.elapsed();
    let status = answer.as_ref().ok().map(|answer| answer.status);
    if let (Some(StatusCode::TOO_MANY_REQUESTS), Some(limited)) = (status, limited) {
        limited.count(format!("{method} {row}"));
        return Ok(None);
    }
    let answer = answer.and_then(|answer| check(&answer).map(|()| answer));
    let error = answer.as_ref().err().map(String::as_str);
    let status = status.map(|status| status.as_u16());
    user.record_custom_request_duration(method.as_str(), row, took, error.is_none(), status, error)
        .await?;
    Ok(answer.ok())
}

async fn whole(request: RequestBuilder) -> Result<Answer, String> {
    let one_line =
        |error: reqwest::Error| format!("{:#}", anyhow::Error::from(error.without_url()));
    let answer = request.send().await.map_err(one_line)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok(Answer { status, headers, body: answer.bytes().await.map_err(one_line)?.into() })
}
