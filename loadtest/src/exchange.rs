//! A request and its answer, with the body read to its end.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use flate2::read::GzDecoder;
use goose::prelude::{GooseUser, TransactionError};
use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderName};
use reqwest::{Method, RequestBuilder, StatusCode};

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The decompressed body.
    ///
    /// # Errors
    /// If the body has another encoding, or is not valid in it.
    pub(crate) fn body(&self, encoding: &str) -> Result<Cow<'_, [u8]>, String> {
        let actual = self.header(&CONTENT_ENCODING).unwrap_or("identity");
        if actual != encoding {
            return Err(format!("its encoding is {actual}, not {encoding}"));
        }
        self.plain_body()
    }

    /// The decompressed body, whatever its encoding.
    ///
    /// # Errors
    /// If the body has another encoding than gzip, or is not valid in it.
    pub(crate) fn plain_body(&self) -> Result<Cow<'_, [u8]>, String> {
        let encoding = match self.header(&CONTENT_ENCODING) {
            None => return Ok(Cow::Borrowed(&self.body)),
            Some("gzip") => "gzip",
            Some(other) => return Err(format!("its encoding is {other}, not gzip")),
        };
        let mut plain = Vec::new();
        GzDecoder::new(&*self.body)
            .read_to_end(&mut plain)
            .map_err(|error| format!("its body is not valid {encoding}: {error}"))?;
        Ok(Cow::Owned(plain))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.body.is_empty()
    }
}

/// Counts the 429s of a proxy by the rows of goose's report. A 429 is neither a success nor a
/// failure of the service, and goose has no third kind, so goose does not count it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitedCounts(Arc<Mutex<BTreeMap<String, usize>>>);

impl LimitedCounts {
    fn count(&self, row: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(row).or_default() += 1;
    }

    pub(crate) fn rows(&self) -> BTreeMap<String, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Sends a request, checks the answer, and counts it under `row` with the time to its last byte;
/// goose itself measures the time to the headers. With `limited`, a 429 is counted there instead.
///
/// Returns `None` if the request failed, the answer was wrong, or the 429 was allowed.
pub(crate) async fn exchange(
    user: &mut GooseUser,
    limited: Option<&LimitedCounts>,
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
    let answer = send(request).await;
    let duration = started.elapsed();
    let status = answer.as_ref().ok().map(|answer| answer.status);
    if let (Some(StatusCode::TOO_MANY_REQUESTS), Some(limited)) = (status, limited) {
        limited.count(format!("{method} {row}"));
        return Ok(None);
    }
    let answer = answer.and_then(|answer| check(&answer).map(|()| answer));
    let error = answer.as_ref().err().map(String::as_str);
    let status = status.map(|status| status.as_u16());
    user.record_custom_request_duration(
        method.as_str(),
        row,
        duration,
        error.is_none(),
        status,
        error,
    )
    .await?;
    Ok(answer.ok())
}

async fn send(request: RequestBuilder) -> Result<Answer, String> {
    let one_line =
        |error: reqwest::Error| format!("{:#}", anyhow::Error::from(error.without_url()));
    let answer = request.send().await.map_err(one_line)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    Ok(Answer { status, headers, body: answer.bytes().await.map_err(one_line)?.into() })
}
