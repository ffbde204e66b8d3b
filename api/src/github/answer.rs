//! Telling answers apart: good ones, limits, failures that pass, refusals that stay.
//!
//! Source: GitHub's "Rate limits for the REST API", and answers recorded by other clients'
//! projects.

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use tracing::warn;

use super::Answer;
use crate::model::quota::{Quota, Reported, Resource};

/// No header makes us wait longer.
const LONGEST_RETRY_AFTER: TimeDelta = TimeDelta::days(1);

/// What to do with an answer.
pub(super) enum Verdict {
    /// Read it.
    Good(Answer),
    /// Wait as the quota now says, then ask again.
    Limited,
    /// Ask again after a pause.
    Failed(String),
    /// Do not ask again.
    Refused(String),
}

/// The same without the answer, which may have to be judged twice.
#[derive(Debug, PartialEq)]
pub(super) enum Ruling {
    Good,
    Limited,
    Failed(String),
    Refused(String),
}

/// Judges an answer and takes over what it says of the limits.
pub(super) fn judge(
    answer: &Answer,
    bucket: Resource,
    quota: &mut Quota,
    now: DateTime<Utc>,
) -> Ruling {
    let reported = reported(&answer.headers);
    // Of what is gone or blocked only GitHub itself can tell.
    let gone = matches!(answer.status, 404 | 410 | 451) && is_json(&answer.headers);
    let good = matches!(answer.status, 200..=299)
        || gone
        || (answer.status == 403 && is_blocked(&answer.body));
    // A failure's page, or one of something in between, may lack the headers; GitHub's good answer
    // without them means that there is no limit.
    if (good && is_json(&answer.headers)) || reported.limit.is_some() {
        quota.observe(bucket, reported, now);
    }
    if good {
        quota.answered();
        return Ruling::Good;
    }
    let message = message(&answer.body);
    let retry_after = retry_after(&answer.headers, now);
    match answer.status {
        403 | 429 if reported.remaining == Some(0) && !is_secondary(&message) => {
            quota.exhausted(now);
            // Its own word goes before the window's end.
            quota.paused_until = quota.paused_until.max(retry_after.map(|wait| now + wait));
            Ruling::Limited
        }
        403 | 429 if is_secondary(&message) || retry_after.is_some() || answer.status == 429 => {
            if quota.slowed(retry_after, now) {
                Ruling::Limited
            } else {
                Ruling::Refused("its secondary rate limit came again and again".to_owned())
            }
        }
        401 => Ruling::Refused("bad credentials: check GITHUB_TOKEN".to_owned()),
        500..=599 => {
            // A 503 may say when to come back.
            if let Some(wait) = retry_after {
                let _ = quota.slowed(Some(wait), now);
            }
            Ruling::Failed(format!("status {}", answer.status))
        }
        404 | 410 | 451 => Ruling::Failed(format!("status {}, not from GitHub", answer.status)),
        300..=399 => Ruling::Refused(format!(
            "status {}: a redirect to elsewhere, which is not followed",
            answer.status
        )),
        status => {
            // It may name our address.
            warn!(status, message = shorten(&message), "GitHub refused");
            Ruling::Refused(format!("status {status}; the log says more"))
        }
    }
}

/// A repository that GitHub's staff has blocked: `{"message":"Repository access
/// blocked","block":{…}}`.
fn is_blocked(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Blocked {
        block: serde::de::IgnoredAny,
    }
    serde_json::from_slice::<Blocked>(body)
        .is_ok_and(|Blocked { block: serde::de::IgnoredAny }| true)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("json"))
}

fn reported(headers: &HeaderMap) -> Reported {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    Reported {
        limit: number("x-ratelimit-limit"),
        remaining: number("x-ratelimit-remaining"),
        reset_at: number("x-ratelimit-reset")
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0)),
    }
}

/// Retry-After counts seconds or names a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<TimeDelta> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<i64>() {
        Ok(seconds) => TimeDelta::try_seconds(seconds)?,
        Err(_) => DateTime::parse_from_rfc2822(text).ok()?.with_timezone(&Utc) - now,
    };
    Some(wait.clamp(TimeDelta::zero(), LONGEST_RETRY_AFTER))
}

/// GitHub's words for an error; empty when the body is none of its JSON messages.
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

/// The message, or the address of its documentation, names the secondary limit; it was once called
/// abuse detection.
fn is_secondary(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("secondary") || message.contains("abuse")
}

fn shorten(message: &str) -> String {
    message.chars().take(160).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).expect("a date")
    }

    fn judged(
        status: u16,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> (Ruling, Option<DateTime<Utc>>) {
        let headers = headers.iter().map(|(name, value)| {
            (
                reqwest::header::HeaderName::from_static(name),
                value.parse().expect("a header's value"),
            )
        });
        let answer = Answer { status, headers: headers.collect(), body: body.as_bytes().to_vec() };
        let mut quota = Quota::default();
        let ruling = judge(&answer, Resource::Search, &mut quota, at(0));
        (ruling, quota.paused_until)
    }

    #[test]
    fn an_empty_window_is_waited_for_whatever_the_status() {
        for status in [403, 429] {
            let headers = [
                ("x-ratelimit-limit", "30"),
                ("x-ratelimit-remaining", "0"),
                ("x-ratelimit-reset", "1790000020"),
            ];
            assert_eq!(
                judged(status, &headers, r#"{"message":"API rate limit exceeded"}"#),
                (Ruling::Limited, Some(at(21)))
            );
            let headers = [&headers[..], &[("retry-after", "40")]].concat();
            assert_eq!(
                judged(status, &headers, "{}"),
                (Ruling::Limited, Some(at(40))),
                "Retry-After goes first"
            );
        }
    }

    #[test]
    fn a_secondary_limit_is_known_by_its_words_or_by_retry_after() {
        let words =
            r#"{"message":"You have exceeded a secondary rate limit.","documentation_url":"x"}"#;
        let anchor = r#"{"message":"Slow down","documentation_url":"https://docs.github.com/rest#abuse-rate-limits"}"#;
        let quota = [
            ("x-ratelimit-limit", "30"),
            ("x-ratelimit-remaining", "14"),
            ("x-ratelimit-reset", "1790000020"),
        ];
        assert_eq!(
            judged(403, &quota, words),
            (Ruling::Limited, Some(at(60))),
            "at least a minute"
        );
        assert_eq!(judged(403, &[], anchor), (Ruling::Limited, Some(at(60))));
        assert_eq!(judged(403, &[("retry-after", "8")], "{}"), (Ruling::Limited, Some(at(8))));
        assert_eq!(
            judged(429, &[("retry-after", "Mon, 21 Sep 2026 14:13:30 GMT")], "{}"),
            (Ruling::Limited, Some(at(10)))
        );
    }

    #[test]
    fn a_real_refusal_is_not_retried() {
        let without_user_agent = "Request forbidden by administrative rules.";
        for (status, body) in
            [(403, without_user_agent), (403, "{}"), (401, "{}"), (422, "{}"), (301, "")]
        {
            assert!(matches!(judged(status, &[], body), (Ruling::Refused(_), None)), "{status}");
        }
    }

    #[test]
    fn only_github_tells_that_there_is_no_limit() {
        let limit = |content_type: &str| {
            let headers = [(CONTENT_TYPE, content_type.parse().expect("a header's value"))]
                .into_iter()
                .collect();
            let mut quota = Quota::default();
            judge(
                &Answer { status: 200, headers, body: Vec::new() },
                Resource::Search,
                &mut quota,
                at(0),
            );
            quota.limit
        };
        assert_eq!(limit("application/json; charset=utf-8"), None);
        assert_eq!(limit("text/html"), Quota::default().limit, "a page of something in between");
    }

    #[test]
    fn only_github_says_that_a_repository_is_gone() {
        let json = [("content-type", "application/json")];
        assert_eq!(judged(404, &json, "{}").0, Ruling::Good);
        assert_eq!(
            judged(
                403,
                &json,
                r#"{"message":"Repository access blocked","block":{"reason":"tos"}}"#
            )
            .0,
            Ruling::Good
        );
        assert!(matches!(
            judged(404, &[("content-type", "text/html")], "<html>").0,
            Ruling::Failed(_)
        ));
    }

    #[test]
    fn no_retry_after_is_endless() {
        assert_eq!(judged(429, &[("retry-after", "99999999999")], "{}").1, Some(at(86_400)));
    }

    #[test]
    fn server_errors_are_failures_that_pass() {
        assert_eq!(
            judged(502, &[], "<html>Unicorn!</html>"),
            (Ruling::Failed("status 502".into()), None)
        );
        assert_eq!(
            judged(503, &[("retry-after", "5")], ""),
            (Ruling::Failed("status 503".into()), Some(at(5)))
        );
    }
}
