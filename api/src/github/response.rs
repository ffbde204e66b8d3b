//! Classes of responses: good ones, limits, failures that may pass, refusals.
//!
//! Source: GitHub's "Rate limits for the REST API", and responses recorded by other clients'
//! projects.

use std::error::Error;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, RETRY_AFTER};
use serde::Deserialize;
use serde::de::IgnoredAny;
use strum::IntoStaticStr;
use tracing::warn;
use url::Url;

use crate::model::quota::{Quota, Reported, Resource};
use crate::model::repository::MAX_COUNT;
use crate::telemetry::left_out;

/// Characters of GitHub's message in the log.
const LOGGED_MESSAGE: usize = 160;

/// A response with its whole body.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Why there is no whole response.
#[derive(Debug)]
pub(super) struct NoResponse {
    /// For everyone to read.
    pub(super) reason: String,
    /// The host could not be reached, so other requests would fail too.
    pub(super) is_unreachable: bool,
}

/// A failure with the reason that reports may show to anyone. The log has the error with its
/// causes, which reqwest keeps apart.
pub(super) fn failure(error: reqwest::Error) -> NoResponse {
    let error = error.without_url();
    let causes = || std::iter::successors(error.source(), |cause| (*cause).source());
    let texts: Vec<String> = causes().map(ToString::to_string).collect();
    let causes_text = texts.join(": ");
    if let Some(left_out) = left_out(&format!("GitHub: {error}: {causes_text}")) {
        warn!(%error, causes = causes_text, left_out, "the request failed");
    }
    let is_unreachable = error.is_connect();
    let reason = match (is_unreachable, error.is_timeout()) {
        (true, _) if causes().any(is_about_certificate) => "its certificate is not trusted",
        (true, _) => "it could not be reached",
        (false, true) => "it did not answer in time",
        (false, false) => "its answer broke off",
    };
    NoResponse { reason: reason.to_owned(), is_unreachable }
}

/// Logs that a request is made again, or given up. Many runs may fail for the same reason.
pub(super) fn log_unusable(url: &Url, attempts: usize, reason: &str) {
    if let Some(left_out) = left_out(&format!("GitHub: {reason}")) {
        warn!(%url, attempts, reason, left_out, "GitHub gave no usable response");
    }
}

/// Whether TLS failed because the host's certificate is not valid for us. I/O errors hold rustls's,
/// one within the other, and do not name each other as their sources.
fn is_about_certificate(cause: &(dyn Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return matches!(error, rustls::Error::InvalidCertificate(_));
    }
    let within = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    within.is_some_and(|within| is_about_certificate(within))
}

/// How the client treats a response.
#[derive(Debug, IntoStaticStr, PartialEq)]
#[strum(serialize_all = "snake_case")]
pub(super) enum ResponseClass {
    /// Read it.
    Good,
    /// Wait until the quota allows the next request, then make the request again.
    Limited,
    /// Make the request again after a pause, for this reason.
    Failed(String),
    /// The token is not accepted. It may be by the next request, if it was before.
    Unauthorized,
    /// Give up this request, for this reason.
    Refused { status: u16, reason: String },
    /// Make no further request, for this reason.
    Denied(String),
}

/// Classifies a response and takes the limits that it reports into the quota. Also returns the end
/// of a pause that holds for every resource, if the response causes one.
pub(super) fn classify(
    response: &Response,
    resource: Resource,
    quota: &mut Quota,
    now: DateTime<Utc>,
) -> (ResponseClass, Option<DateTime<Utc>>) {
    let Response { status, headers, body } = response;
    // GitHub's times are compared with GitHub's own clock, which may differ from ours.
    // mutant in response: GitHub's times are compared with GitHub's clock
    //     date(headers, DATE).unwrap_or(now) => now
    let sent_at = date(headers, DATE).unwrap_or(now);
    let reported = reported(headers, sent_at);
    // A proxy in between answers 404 as well, but only GitHub answers it with JSON.
    // mutant in response: only GitHub says that a repository is gone
    //     404 | 410 | 451) && is_json(headers) => 404 | 410 | 451)
    let gone = matches!(status, 404 | 410 | 451) && is_json(headers);
    let good = matches!(status, 200..=299) || gone || (*status == 403 && is_blocked(body));
    // A failure, or a page of a proxy in between, may lack the headers. If GitHub's good response
    // lacks them, there is no limit.
    // mutant in response: only GitHub says that there is no limit
    //     (good && is_json(headers)) || => good ||
    if (good && is_json(headers)) || reported.limit.is_some() {
        quota.observe(resource, reported, now);
    }
    if good {
        quota.answered();
        return (ResponseClass::Good, None);
    }
    let message = message(body);
    let retry_after = retry_after(headers, sent_at);
    match *status {
        403 | 429 if reported.remaining == Some(0) && !is_secondary(&message) => {
            // Retry-After may name a time after the window's end.
            quota.exhausted(resource, reported.reset_in, now);
            quota.pause(now + retry_after.unwrap_or_default(), now);
            (ResponseClass::Limited, None)
        }
        403 | 429 if is_secondary(&message) || retry_after.is_some() || *status == 429 => {
            let class = if quota.slowed(retry_after, now) {
                ResponseClass::Limited
            } else {
                ResponseClass::Denied("its secondary rate limit came again and again".to_owned())
            };
            (class, quota.paused_until)
        }
        // mutant in client: 408, 421 and 425 pass like 5xx
        //     408 | 421 | 425 | 500..=599 => 500..=599
        408 | 421 | 425 | 500..=599 => {
            // A 503 may say when to come back.
            let wait = retry_after.filter(|wait| *wait > TimeDelta::zero());
            let pause = wait.map(|wait| {
                let _ = quota.slowed(Some(wait), now);
            });
            let failed = ResponseClass::Failed(format!("status {status}"));
            (failed, pause.and(quota.paused_until))
        }
        _ => (refuse(*status, &message), None),
    }
}

/// The class of a status that names no limit and no failure of GitHub's servers.
fn refuse(status: u16, message: &str) -> ResponseClass {
    match status {
        401 => ResponseClass::Unauthorized,
        404 | 410 | 451 => ResponseClass::Failed(format!("status {status}, not from GitHub")),
        300..=399 => ResponseClass::Refused {
            status,
            reason: format!("status {status}: a redirect to elsewhere, which is not followed"),
        },
        _ => {
            // The message stays in the log, because it may name our address.
            let message: String = message.chars().take(LOGGED_MESSAGE).collect();
            let message = message.trim();
            if let Some(left_out) = left_out(&format!("GitHub: {status} {message}")) {
                warn!(status, message, left_out, "GitHub refused the request");
            }
            let reason = format!("status {status}; the log says more");
            ResponseClass::Refused { status, reason }
        }
    }
}

/// Whether GitHub's staff has blocked the repository:
/// `{"message":"Repository access blocked","block":{…}}`.
fn is_blocked(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Blocked {
        #[serde(rename = "block")]
        _block: IgnoredAny,
    }
    serde_json::from_slice::<Blocked>(body).is_ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("json"))
}

fn reported(headers: &HeaderMap, sent_at: DateTime<Utc>) -> Reported {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let count = |name: &str| number(name).map(|count| count.clamp(0, MAX_COUNT));
    Reported {
        limit: count("x-ratelimit-limit"),
        remaining: count("x-ratelimit-remaining"),
        reset_in: number("x-ratelimit-reset")
            .map(|seconds| bounded_seconds(seconds.saturating_sub(sent_at.timestamp()))),
    }
}

/// The wait that Retry-After asks for: seconds or a date (RFC 9110, section 10.2.3). The latter is
/// compared with the time at which GitHub sent it.
fn retry_after(headers: &HeaderMap, sent_at: DateTime<Utc>) -> Option<TimeDelta> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<i64>() {
        Ok(seconds) => Some(bounded_seconds(seconds)),
        Err(_) => {
            let date = date(headers, RETRY_AFTER);
            date.map(|date| bounded_seconds((date - sent_at).num_seconds()))
        }
    }
}

/// Seconds that another program named, cut to a year. The quota bounds them much further.
fn bounded_seconds(seconds: i64) -> TimeDelta {
    const YEAR: i64 = 31_536_000;
    TimeDelta::seconds(seconds.clamp(-YEAR, YEAR))
}

/// A header's date, as HTTP writes it.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<DateTime<Utc>> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(text.trim()).ok()?.with_timezone(&Utc))
}

/// GitHub's message with the address of its documentation, or the beginning of a body that is not
/// GitHub's JSON.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        message: String,
        #[serde(default)]
        documentation_url: String,
    }
    match serde_json::from_slice::<Message>(body) {
        Ok(Message { message, documentation_url }) => format!("{message} {documentation_url}"),
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned(),
    }
}

/// Whether the message, or the address of its documentation, names the secondary limit. GitHub once
/// called it abuse detection.
fn is_secondary(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("secondary") || message.contains("abuse")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).expect("a date")
    }

    fn classified(
        status: u16,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> (ResponseClass, Option<DateTime<Utc>>) {
        let headers = headers.iter().map(|(name, value)| {
            (
                reqwest::header::HeaderName::from_static(name),
                value.parse().expect("a header's value"),
            )
        });
        let response =
            Response { status, headers: headers.collect(), body: body.as_bytes().to_vec() };
        let mut quota = Quota::default();
        let (class, _) = classify(&response, Resource::Search, &mut quota, at(0));
        (class, quota.paused_until)
    }

    #[test]
    fn used_up_window_is_waited_for_with_either_status() {
        for status in [403, 429] {
            let headers = [
                ("x-ratelimit-limit", "30"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1790000020"),
            ];
            assert_eq!(
                classified(status, &headers, r#"{"message":"API rate limit exceeded"}"#),
                (ResponseClass::Limited, Some(at(21)))
            );
            let headers = [&headers[..], &[("retry-after", "40")]].concat();
            assert_eq!(
                classified(status, &headers, "{}"),
                (ResponseClass::Limited, Some(at(40))),
                "Retry-After goes first"
            );
        }
    }

    #[test]
    fn secondary_limit_is_recognised_by_its_message_or_by_retry_after() {
        let words =
            r#"{"message":"You have exceeded a secondary rate limit.","documentation_url":"x"}"#;
        let anchor = concat!(
            r#"{"message":"Slow down","#,
            r#""documentation_url":"https://docs.github.com/rest#abuse-rate-limits"}"#
        );
        let quota = [
            ("x-ratelimit-limit", "30"),
            ("x-ratelimit-remaining", "14"),
            ("x-ratelimit-reset", "1790000020"),
        ];
        assert_eq!(
            classified(403, &quota, words),
            (ResponseClass::Limited, Some(at(60))),
            "at least a minute"
        );
        assert_eq!(classified(403, &[], anchor), (ResponseClass::Limited, Some(at(60))));
        assert_eq!(
            classified(403, &[("retry-after", "8")], "{}"),
            (ResponseClass::Limited, Some(at(8)))
        );
        assert_eq!(
            classified(429, &[("retry-after", "Mon, 21 Sep 2026 14:13:30 GMT")], "{}"),
            (ResponseClass::Limited, Some(at(10)))
        );
    }

    #[test]
    fn refusal_is_not_retried() {
        let without_user_agent = "Request forbidden by administrative rules.";
        for (status, body) in [(403, without_user_agent), (403, "{}"), (422, "{}"), (301, "")] {
            assert!(
                matches!(classified(status, &[], body), (ResponseClass::Refused { .. }, None)),
                "{status}"
            );
        }
        assert_eq!(classified(401, &[], "{}"), (ResponseClass::Unauthorized, None));
    }

    #[test]
    fn missing_limit_is_believed_only_with_json() {
        let limit = |content_type: &str| {
            let headers = [(CONTENT_TYPE, content_type.parse().expect("a header's value"))]
                .into_iter()
                .collect();
            let mut quota = Quota::default();
            classify(
                &Response { status: 200, headers, body: Vec::new() },
                Resource::Search,
                &mut quota,
                at(0),
            );
            quota.limit
        };
        assert_eq!(limit("application/json; charset=utf-8"), None);
        assert_eq!(limit("text/html"), Quota::default().limit, "a page of a proxy in between");
    }

    #[test]
    fn gone_repository_is_believed_only_with_json() {
        let json = [("content-type", "application/json")];
        assert_eq!(classified(404, &json, "{}").0, ResponseClass::Good);
        assert_eq!(
            classified(
                403,
                &json,
                r#"{"message":"Repository access blocked","block":{"reason":"tos"}}"#
            )
            .0,
            ResponseClass::Good
        );
        assert!(matches!(
            classified(404, &[("content-type", "text/html")], "<html>").0,
            ResponseClass::Failed(_)
        ));
    }

    #[test]
    fn retry_after_is_bounded() {
        assert_eq!(classified(429, &[("retry-after", "99999999999")], "{}").1, Some(at(3_600)));
    }

    /// `at(0)` is 14:13:20 GMT.
    #[test]
    fn times_are_compared_with_githubs_own_clock() {
        for (date, retry_after, reset, expected) in [
            ("Mon, 21 Sep 2026 17:13:20 GMT", "Mon, 21 Sep 2026 17:13:50 GMT", 10_830, 30),
            ("Mon, 21 Sep 2026 11:13:20 GMT", "Mon, 21 Sep 2026 11:14:05 GMT", -10_755, 45),
            ("Mon, 21 Sep 2026 17:13:20 GMT", "Mon, 21 Sep 2026 17:13:20 GMT", 10_800, 1),
            ("Mon, 21 Sep 2026 17:13:20 GMT", "Mon, 21 Sep 2026 14:13:50 GMT", 50, 1),
        ] {
            let headers = [("date", date), ("retry-after", retry_after)];
            assert_eq!(classified(403, &headers, "{}").1, Some(at(expected)), "{retry_after}");
            let reset = (at(0).timestamp() + reset).to_string();
            let headers = [
                ("date", date),
                ("x-ratelimit-limit", "30"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", &reset),
            ];
            // The header counts whole seconds, so the window ends up to a second later.
            let expected = if expected > 1 { expected + 1 } else { expected };
            assert_eq!(classified(403, &headers, "{}").1, Some(at(expected)), "{date} {reset}");
        }
    }

    #[test]
    fn unusable_reset_causes_a_wait_within_the_window() {
        for (reset, expected) in [
            ("1790000030000", 60),
            ("9223372036854775807", 60),
            ("0", 1),
            ("-9223372036854775808", 1),
            ("soon", 60),
        ] {
            let headers = [
                ("x-ratelimit-limit", "30"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", reset),
            ];
            assert_eq!(classified(429, &headers, "{}").1, Some(at(expected)), "{reset}");
        }
    }

    #[test]
    fn server_error_is_retried() {
        assert_eq!(
            classified(502, &[], "<html>Unicorn!</html>"),
            (ResponseClass::Failed("status 502".into()), None)
        );
        assert_eq!(
            classified(503, &[("retry-after", "5")], ""),
            (ResponseClass::Failed("status 503".into()), Some(at(5)))
        );
        for status in [408, 421, 425] {
            let failed = ResponseClass::Failed(format!("status {status}"));
            assert_eq!(classified(status, &[], "{}"), (failed, None));
        }
    }
}
